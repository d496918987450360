package reader_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
)

// A Parquet file of many months is joined from one file a month; what an evening does not
// change is not made again, and whoever takes a file away does no harm.
func TestParquetOfManyMonthsIsJoined(t *testing.T) {
	r := newRig(t)
	days := []market.Date{ // newest first, as a first fill does
		market.NewDate(2026, 3, 3), market.NewDate(2026, 3, 2), market.NewDate(2026, 2, 3), market.NewDate(2026, 2, 2),
		market.NewDate(2026, 1, 6), market.NewDate(2026, 1, 5),
	}
	fill := func(day market.Date, seed uint64) {
		r.commit(catalog.Daily, day, sinktest.Rows(catalog.Daily, day, stocks, seed), stocks)
		r.commit(catalog.FundDaily, day, sinktest.Rows(catalog.FundDaily, day, etfs, seed), etfs)
	}
	for _, day := range days {
		fill(day, 1)
	}
	r.publish()
	prices, err := reader.Lookup(catalog.TablePrices)
	if err != nil {
		t.Fatal(err)
	}
	kept := func() []string {
		found, err := filepath.Glob(filepath.Join(r.dir, "answers", "month-*.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	check := func(what string, start, end market.Date) (path string) {
		q := query(prices.Name)
		where := ""
		if q.Start = start; start != market.NoDate {
			where = " WHERE trade_date >= DATE '" + start.String() + "'"
		}
		if q.End = end; end != market.NoDate {
			where = " WHERE trade_date <= DATE '" + end.String() + "'"
		}
		want := r.truth("SELECT * FROM daily_prices"+where+" ORDER BY trade_date, symbol", prices.Columns)
		got, path := r.parquet(q, prices.Columns)
		same(t, what, got, want)
		// Readers skip row groups by what is told of them.
		one := " WHERE symbol = '" + stocks[7] + "' AND trade_date > DATE '2026-01-31'"
		same(t, what+", one symbol", r.truth("SELECT * FROM read_parquet("+universe.Quote(path)+")"+one, prices.Columns),
			r.truth("SELECT * FROM (SELECT * FROM daily_prices"+where+") t"+one+" ORDER BY trade_date", prices.Columns))
		return path
	}
	path := check("all", market.NoDate, market.NoDate)
	if n := len(kept()); n != 3 {
		t.Errorf("%d months are kept, not 3", n)
	}
	meta := func(sql string) string { return r.truth(sql, pool.Tables()[0].Columns[:1])[0][0].(string) }
	version := meta("SELECT decode(value) FROM parquet_kv_metadata(" + universe.Quote(path) + ") WHERE decode(key) = 'afterbell.version'")
	if want := r.store.Current().Version; version != want {
		t.Errorf("the file says that its version is %q, not %q", version, want)
	}
	rows := len(days) * (len(stocks) + len(etfs))
	if got := meta("SELECT num_rows::VARCHAR FROM parquet_file_metadata(" + universe.Quote(path) + ")"); got != strconv.Itoa(rows) {
		t.Errorf("the file says that it has %s rows, not %d", got, rows)
	}
	check("part of a month first", market.NewDate(2026, 1, 6), market.NoDate)
	check("part of a month last", market.NoDate, market.NewDate(2026, 3, 2))
	before := kept()
	if len(before) != 3 {
		t.Errorf("%d months are kept, not 3: a part of one is not", len(before))
	}

	fill(days[0], 2) // an evening
	r.publish()
	if err := os.Remove(before[1]); err != nil { // an older month, or the one that changes
		t.Fatal(err)
	}
	stamps := map[string]os.FileInfo{}
	for _, p := range slices.Delete(slices.Clone(before), 1, 2) {
		if stamps[p], err = os.Stat(p); err != nil {
			t.Fatal(err)
		}
	}
	check("after an evening", market.NoDate, market.NoDate)
	if n := len(kept()); n < 3 || n > 4 { // 3 where the one taken away is of no use any more
		t.Errorf("%d months are kept after an evening", n)
	}
	for p, st := range stamps {
		if again, err := os.Stat(p); err != nil || !again.ModTime().Equal(st.ModTime()) {
			t.Errorf("%s was made again: %v", filepath.Base(p), err)
		}
	}
}
