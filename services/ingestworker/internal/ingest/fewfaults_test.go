package ingest_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
	"github.com/afterbell/afterbell/services/ingestworker/internal/tushare"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// TestFaultsOfOneDayInTargets is TestFaultsOfOneDay for a watch list: no row that differs from the
// provider's may be settled, the reason must be reported, and no row of another dataset may be
// blamed.
func TestFaultsOfOneDayInTargets(t *testing.T) {
	shift := func(api string, columns ...string) tusharesim.Fault {
		return tusharesim.Fault{Kind: tusharesim.ShiftColumn, API: api, Columns: columns}
	}
	swap := func(api string, columns ...string) tusharesim.Fault {
		return tusharesim.Fault{Kind: tusharesim.SwapColumns, API: api, Columns: columns}
	}
	scale := func(api, exchange string, factor float64, columns ...string) tusharesim.Fault {
		return tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: api, Exchange: exchange, Factor: factor, Columns: columns}
	}
	round := func(api string, to float64, columns ...string) tusharesim.Fault {
		return tusharesim.Fault{Kind: tusharesim.RoundColumn, API: api, Factor: to, Columns: columns}
	}
	ratios := []string{"pe", "pe_ttm", "pb", "ps", "ps_ttm"}
	cases := map[string]struct {
		fault  tusharesim.Fault
		reason fault.Reason
	}{
		"daily of the row before":            {shift(catalog.Daily), fault.ValuesConflict},
		"fund_daily of the row before":       {shift(catalog.FundDaily), fault.ValuesConflict},
		"price to book of the row before":    {shift(catalog.DailyBasic, "pb"), fault.ValuesConflict},
		"earnings of the row before":         {shift(catalog.DailyBasic, "pe"), fault.ValuesConflict},
		"free turnover of the row before":    {shift(catalog.DailyBasic, "turnover_rate_f"), fault.ValuesConflict},
		"volume ratio of the row before":     {shift(catalog.DailyBasic, "volume_ratio"), fault.ValuesConflict},
		"net flow of the row before":         {shift(catalog.Moneyflow, "net_mf_vol", "net_mf_amount"), fault.ValuesConflict},
		"moneyflow of the row before":        {shift(catalog.Moneyflow), fault.ValuesConflict},
		"volume and turnover of Shenzhen":    {scale(catalog.Daily, "SZ", 10, "vol", "amount"), fault.UnitSuspect},
		"prices of funds to a hundredth":     {round(catalog.FundDaily, 0.01, "open", "high", "low", "close", "pre_close", "change"), fault.ValuesConflict},
		"highs of the row before":            {shift(catalog.Daily, "high"), fault.ValuesConflict},
		"volumes of the row before":          {shift(catalog.Daily, "vol"), fault.UnitSuspect},
		"volume and turnover of funds":       {scale(catalog.FundDaily, "", 10, "vol", "amount"), fault.UnitSuspect},
		"a fraction in place of per cent":    {scale(catalog.Daily, "", 0.01, "pct_chg"), fault.ValuesConflict},
		"net flow of the other sign":         {scale(catalog.Moneyflow, "", -1, "net_mf_amount"), fault.ValuesConflict},
		"no price to book of Shanghai":       {tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.DailyBasic, Exchange: "SH", Columns: []string{"pb"}}, fault.ValuesMissing},
		"ratios as whole numbers":            {round(catalog.DailyBasic, 1, ratios...), fault.ValuesConflict},
		"prices to a tenth":                  {round(catalog.Daily, 0.1, "open", "high", "low", "close", "pre_close", "change"), fault.ValuesConflict},
		"earnings of a year and of months":   {swap(catalog.DailyBasic, "pe", "pe_ttm"), fault.ValuesConflict},
		"sales of a year and of months":      {swap(catalog.DailyBasic, "ps", "ps_ttm"), fault.ValuesConflict},
		"small orders for the largest":       {swap(catalog.Moneyflow, "buy_sm_vol", "buy_elg_vol", "buy_sm_amount", "buy_elg_amount"), fault.ValuesConflict},
		"volumes of small and large swapped": {swap(catalog.Moneyflow, "buy_sm_vol", "buy_elg_vol"), fault.ValuesConflict},
	}
	for _, size := range [][2]int{{18, 5}, {3, 3}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newHarness(t, tusharesim.Options{Stocks: 700, Funds: 120})
			symbols := r.watchList(size[0], size[1])
			w, days := r.evenings(market.Targets, len(cases)+2, symbols)
			days = r.withoutReports(days)
			for n, name := range slices.Sorted(maps.Keys(cases)) {
				c, day := cases[name], days[n]
				r.upTo(&w, day)
				t.Run(name, func(t *testing.T) {
					id, out := r.under(t, c.fault, &w, day)
					reported := slices.ContainsFunc(out, func(o outcome) bool {
						return o.part.Dataset == c.fault.API && !o.result.Held.Verdict.Settled() && slices.ContainsFunc(o.result.Issues, func(i fault.Issue) bool { return i.Reason == c.reason })
					})
					if !reported {
						t.Errorf("nothing is reported: %+v", out)
					}
					r.noWrongRows(t, symbols, day)
					r.sim.RemoveFault(id)
					r.settle(w, 4)
					for _, ds := range datasets(daily...) {
						for _, s := range symbols {
							if held, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: ds.ID, Date: day, Symbol: s}); ds.Covers(s) && held.Verdict != coverage.Complete && held.Verdict != coverage.ExpectedEmpty {
								t.Errorf("afterwards %s of %s is %s", ds.ID, s, held.Verdict)
							}
						}
					}
				})
			}
			r.targetsSameAsProvider(symbols, w.Start, w.End)
		})
	}
}

// noWrongRows fails if a settled row of targets differs from the provider's.
func (r *harness) noWrongRows(t *testing.T, symbols []string, day market.Date) {
	t.Helper()
	for _, ds := range datasets(daily...) {
		want := r.truth(ds, map[string]string{"trade_date": day.Compact()}, nil)
		b, err := r.sinks[market.Targets].Rows(t.Context(), coverage.Key{Dataset: ds.ID, Date: day})
		if err != nil {
			t.Fatal(err)
		}
		for n, s := range b.Column("ts_code").Texts {
			held, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: ds.ID, Date: day, Symbol: s})
			for i, c := range ds.Columns {
				col := b.Column(c.Provider)
				if col.Numbers == nil || !held.Verdict.Settled() {
					continue
				}
				if v, ok := want[s][i].(float64); ok == col.Null[n] || ok && v != col.Numbers[n] {
					t.Errorf("%s of %s is %s with a wrong %s", ds.ID, s, held.Verdict, c.Provider)
				}
			}
		}
	}
}

// upTo fills the pool up to the day before another one. A day that withoutReports has left out
// would otherwise come together with the next one.
func (r *harness) upTo(w *coverage.PlanRequest, day market.Date) {
	r.t.Helper()
	open := r.sim.OpenDates((day - 30).Compact(), (day - 1).Compact())
	var err error
	if w.End, err = market.ParseCompact(open[len(open)-1]); err != nil {
		r.t.Fatal(err)
	}
	r.settle(*w, 4)
}

// withoutReports removes the day on which the simulator changes the base of all ratios, as it does
// once a year, and the next day: on these days a ratio of another company cannot be recognized.
func (r *harness) withoutReports(days []market.Date) []market.Date {
	r.t.Helper()
	book := func(text string) map[string]float64 {
		rows, err := r.sim.Rows(catalog.DailyBasic, map[string]string{"trade_date": text}, "ts_code", "pb", "close")
		if err != nil {
			r.t.Fatal(err)
		}
		out := map[string]float64{}
		for _, row := range rows.Rows {
			if pb, ok := row[1].(float64); ok {
				out[row[0].(string)] = row[2].(float64) / pb
			}
		}
		return out
	}
	reports := func(text, before string) bool {
		now, was, changed := book(text), book(before), 0
		for s, v := range now {
			if x := v / was[s]; x > 1.1 || x < 0.9 {
				changed++
			}
		}
		return 2*changed > len(now)
	}
	return slices.DeleteFunc(days, func(d market.Date) bool {
		open := r.sim.OpenDates((d - 30).Compact(), d.Compact())
		last := len(open) - 1
		return reports(open[last], open[last-1]) || reports(open[last-1], open[last-2])
	})
}

// TestALastingChange: in both pools, a column that contradicts others permanently is accepted after
// three days, and one with another unit is reported.
func TestALastingChange(t *testing.T) {
	for name, c := range map[string]struct {
		fault tusharesim.Fault
		want  coverage.Verdict // of the first changed day, three evenings later
	}{
		"volumes in shares": {tusharesim.Fault{API: catalog.Daily, Factor: 100, Columns: []string{"vol"}}, coverage.AcceptedShort},
		"shares for 万股":     {tusharesim.Fault{API: catalog.DailyBasic, Factor: 1e4, Columns: []string{"total_share", "total_mv"}}, coverage.Complete},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				friday := market.NewDate(2026, 3, 13)
				time.Sleep(time.Until(friday.At(19, 31, market.Shanghai)))
				sim, err := tusharesim.New(tusharesim.Options{Stocks: 300, Funds: 30})
				if err != nil {
					t.Fatal(err)
				}
				client, _ := newClient(t, limiter.Config{}, tushare.Config{Transport: direct{sim.Handler()}})
				r := &harness{t: t, dir: t.TempDir(), client: client}
				r.open()
				defer r.close()
				r.ing = ingest.New(ingest.Config{Provider: client, Sinks: r.sinks, WindowDays: map[market.Pool]int{market.Targets: 8, market.Universe: 8}})
				symbols := []string{"000001.SZ", "600000.SH", "000004.SZ", "600009.SH"}
				evening := func() {
					for range 2 {
						for _, pool := range market.Pools() {
							if _, err := r.pass(coverage.PlanRequest{Pool: pool, Datasets: everything, Start: market.NoDate, End: market.NoDate, Symbols: symbols}, 3, nil); err != nil {
								t.Fatal(err)
							}
						}
						time.Sleep(15 * time.Minute)
					}
				}
				evening()
				first := friday + 3
				f := c.fault
				f.Kind, f.TradeDate, f.EndDate = tusharesim.ScaleColumn, first.Compact(), (first + 30).Compact()
				if _, err := sim.AddFault(f); err != nil {
					t.Fatal(err)
				}
				for d := first; d < first+4; d++ {
					time.Sleep(time.Until(d.At(19, 31, market.Shanghai)))
					evening()
					for on := first; on <= d; on++ {
						whole, _ := r.sinks[market.Universe].Held(coverage.Key{Dataset: f.API, Date: on})
						if on == first && d == first+3 && whole.Verdict != c.want {
							t.Errorf("the first day is %s, want %s", whole.Verdict, c.want)
						}
						for _, s := range symbols {
							held, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: f.API, Date: on, Symbol: s})
							if held.Verdict != whole.Verdict || (held.Rows > 0) != (whole.Rows > 0) {
								t.Errorf("on %s %s of %s is %s with %d rows in targets, and %s with %d in universe", d, on, s, held.Verdict, held.Rows, whole.Verdict, whole.Rows)
							}
						}
					}
				}
			})
		})
	}
}

// TestASuspensionThatAnotherDatasetRefutes: a list of suspensions that names the stocks
// without a row excuses none of which another dataset of the date has a row.
func TestASuspensionThatAnotherDatasetRefutes(t *testing.T) {
	const share = 0.3
	for _, lacking := range [][]string{{catalog.Daily}, {catalog.Daily, catalog.DailyBasic}, {catalog.Daily, catalog.Moneyflow}, {catalog.DailyBasic, catalog.Moneyflow}} {
		t.Run(fmt.Sprint(lacking), func(t *testing.T) {
			r := newHarness(t, small())
			symbols := r.watchList(60, 0)
			w, days := r.evenings(market.Universe, 1, nil)
			few := w
			few.Pool, few.Symbols = market.Targets, symbols
			r.settle(few, 4)
			w.End, few.End = days[0], days[0]
			r.fail(tusharesim.Fault{Kind: tusharesim.AllSuspended, Share: share, TradeDate: days[0].Compact()})
			for _, api := range lacking {
				r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, API: api, Share: share, TradeDate: days[0].Compact()})
			}
			for _, w := range []coverage.PlanRequest{w, few} {
				if _, err := r.pass(w, 4, nil); err != nil {
					t.Fatal(err)
				}
			}
			lost := 0
			for _, id := range lacking {
				if v, issues := r.standing(id, days[0]); v != coverage.Incomplete {
					t.Errorf("%s is %s %v", id, v, issues)
				}
				for _, s := range symbols {
					held, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: id, Date: days[0], Symbol: s})
					if held.Rows > 0 || !catalog.Lookup(id).Covers(s) {
						continue
					}
					for _, other := range coverage.Siblings(catalog.Lookup(id), s) {
						if x, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: other, Date: days[0], Symbol: s}); x.Rows > 0 {
							if lost++; held.Verdict.Settled() {
								t.Errorf("%s of %s is %s though %s has its row", id, s, held.Verdict, other)
							}
						}
					}
				}
			}
			if lost == 0 {
				t.Error("no symbol is without a row")
			}
		})
	}
}
