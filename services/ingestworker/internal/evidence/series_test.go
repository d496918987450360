package evidence

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/realdatatest"
)

// TestRecordedSeriesContradictNothing: the rows of some symbols over years, judged by
// themselves as those of a watch list.
func TestRecordedSeriesContradictNothing(t *testing.T) {
	dir := realdatatest.Dir(t)
	for name, dataset := range map[string]string{
		"daily_15stocks_20250801_20260713.csv":        catalog.Daily,
		"fund_daily_4etf_20240102_20260713.csv":       catalog.FundDaily,
		"daily_basic_600519.SH_20230925_20251023.csv": catalog.DailyBasic,
		"moneyflow_688333.SH_20260116_20260317.csv":   catalog.Moneyflow,
	} {
		ds, path := catalog.Lookup(dataset), filepath.Join(dir, "series", name)
		days := series(t, path, ds)
		dates := slices.Sorted(maps.Keys(days))
		if len(dates) < 30 {
			t.Fatalf("%s has %d days", name, len(dates))
		}
		rows := 0
		for n, d := range dates[2:] {
			day, before, beyond := days[d], days[dates[n+1]], days[dates[n]]
			rows += len(day.Symbols)
			for s, what := range Contradicted(day, before) {
				t.Errorf("%s of %s on %s contradicts the day before in %s", dataset, s, d, what)
			}
			for s, what := range Strayed(day, before, before, beyond) {
				t.Errorf("%s of %s on %s strays in %s", dataset, s, d, what)
			}
		}
		all := table.New(ds.Specs(), rows)
		for _, b := range recorded(t, path, ds) {
			for r := range b.Len {
				all.AppendRow(b, r)
			}
		}
		for r, what := range Unhabitual(ds, all) {
			t.Errorf("%s of %s on %s is unlike the others in %s", dataset, all.Column("ts_code").Texts[r], all.Column("trade_date").Dates[r], what)
		}
		t.Logf("%s: %d rows", name, rows)
	}
}

// recordedPairs are whole recorded days of the market, some days apart.
var recordedPairs = [][3]string{
	{catalog.DailyBasic, "20191025", "20191030"}, {catalog.DailyBasic, "20260320", "20260401"}, {catalog.Moneyflow, "20260320", "20260401"},
	{catalog.Daily, "20260320", "20260401"}, {catalog.Daily, "20160411", "20160412"}, {catalog.FundDaily, "20191028", "20191029"},
}

// TestRecordedMarketsAgree: whole days of the market, days apart, differ in none of the ways
// in which a fault does.
func TestRecordedMarketsAgree(t *testing.T) {
	dir := realdatatest.Dir(t)
	for _, c := range recordedPairs {
		var days [2]*Day
		for n, text := range c[1:] {
			for _, day := range series(t, filepath.Join(dir, c[0], text+".csv"), catalog.Lookup(c[0])) {
				days[n] = day
			}
		}
		rules := map[string]func(day, other *Day) (Finding, bool){"Differs": func(day, other *Day) (Finding, bool) { return PairOf(day, other).Differs() }, "Breaks": Breaks, "MissingValues": MissingValues,
			"Shuffled": func(day, other *Day) (Finding, bool) { return PairOf(day, other).Shuffled(day) }}
		for name, rule := range rules {
			for _, both := range [][2]*Day{{days[0], days[1]}, {days[1], days[0]}} {
				if f, ok := rule(both[0], both[1]); ok {
					t.Errorf("%s of %s: %s %+v", c[0], both[0].Date, name, f)
				}
			}
		}
		if len(days[0].Symbols) < 100 {
			t.Errorf("%s of %s has %d rows", c[0], c[1], len(days[0].Symbols))
		}
	}
}

// TestRecordedRowsOfRandomLists: the same days as random watch lists have them. Days as far apart as
// these may differ for one list in a hundred.
func TestRecordedRowsOfRandomLists(t *testing.T) {
	dir := realdatatest.Dir(t)
	rng := rand.New(rand.NewPCG(1, 2))
	const lists = 200
	for _, c := range recordedPairs {
		ds := catalog.Lookup(c[0])
		var days [2]*table.Batch
		for n, text := range c[1:] {
			for _, b := range recorded(t, filepath.Join(dir, c[0], text+".csv"), ds) {
				days[n] = b
			}
		}
		found := map[string]int{}
		for n := range lists {
			keep := map[string]bool{}
			for range []int{3, 10, 22, 52}[n%4] {
				keep[days[0].Column("ts_code").Texts[rng.IntN(days[0].Len)]] = true
			}
			var of [2]*Day
			for i, b := range days {
				var rows []int
				for r, s := range b.Column("ts_code").Texts {
					if keep[s] {
						rows = append(rows, r)
					}
				}
				of[i] = NewDay(ds, b.Column("trade_date").Dates[0], b.Select(rows))
			}
			for _, rule := range []func(day, other *Day) (Finding, bool){
				func(day, other *Day) (Finding, bool) { return PairOf(day, other).Differs() }, Breaks, MissingValues,
			} {
				if f, ok := rule(of[1], of[0]); ok {
					found[f.What]++
				}
			}
			for _, what := range Strayed(of[1], of[0], of[0], of[1]) {
				if what != "pre_close" { // the close of another day than the one before
					found["strays in "+what]++
					break
				}
			}
		}
		all := 0
		for _, n := range found {
			all += n
		}
		if all > lists/100 {
			t.Errorf("%s of %s: %d of %d lists differ: %v", c[0], c[2], all, lists, found)
		}
	}
}

// series reads recorded rows and remembers them by trade date.
func series(t *testing.T, path string, ds *catalog.Dataset) map[market.Date]*Day {
	t.Helper()
	out := map[market.Date]*Day{}
	for d, b := range recorded(t, path, ds) {
		out[d] = NewDay(ds, d, b)
	}
	return out
}

// recorded reads recorded rows by trade date.
func recorded(t *testing.T, path string, ds *catalog.Dataset) map[market.Date]*table.Batch {
	t.Helper()
	batches := map[market.Date]*table.Batch{}
	for _, row := range realdatatest.Rows(t, path) {
		d, err := market.ParseCompact(row["trade_date"])
		if err != nil {
			t.Fatal(err)
		}
		if batches[d] == nil {
			batches[d] = table.New(ds.Specs(), 1)
		}
		b := batches[d]
		for i := range b.Columns {
			c := &b.Columns[i]
			cell := row[c.Name]
			switch {
			case cell == "":
				c.AppendNull()
			case c.Name == "trade_date":
				c.AppendDate(d)
			case c.Type == table.Text:
				c.AppendText(cell)
			default:
				v, err := strconv.ParseFloat(cell, 64)
				if err != nil {
					t.Fatal(err)
				}
				c.AppendNumber(v)
			}
		}
		b.Len++
	}
	return batches
}
