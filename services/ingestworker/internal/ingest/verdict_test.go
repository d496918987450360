package ingest_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// tiny is a market of just enough rows to compare days.
func tiny() tusharesim.Options { return tusharesim.Options{Stocks: 120, Funds: 100} }

func (r *harness) fail(f tusharesim.Fault) int {
	r.t.Helper()
	id, err := r.sim.AddFault(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// volumes are the columns of moneyflow with the volumes of orders.
var volumes = []string{"buy_sm_vol", "sell_sm_vol", "buy_md_vol", "sell_md_vol", "buy_lg_vol", "sell_lg_vol", "buy_elg_vol", "sell_elg_vol"}

// under passes over a request up to a day, while a fault is on that day. It returns the fault's
// number.
func (r *harness) under(t *testing.T, f tusharesim.Fault, w *coverage.PlanRequest, day market.Date) (id int, out []outcome) {
	t.Helper()
	f.TradeDate, w.End = day.Compact(), day
	id = r.fail(f)
	out, err := r.pass(*w, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id, out
}

// standing is what a day of universe is worth, with its issues.
func (r *harness) standing(dataset string, d market.Date) (coverage.Verdict, []fault.Issue) {
	r.t.Helper()
	days, err := r.ing.Survey(context.Background(), market.Universe, datasets(dataset), d, d, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, x := range days {
		if x.Date == d {
			return x.Verdict, x.Issues
		}
	}
	return coverage.Missing, nil
}

// TestWrongValuesAreNeverComplete injects another kind of wrong values on each evening. The day must
// not be complete, must have the reason, and must be complete once the provider has corrected it.
func TestWrongValuesAreNeverComplete(t *testing.T) {
	full := func(cols ...string) []string { return cols }
	cases := map[string]struct {
		fault   tusharesim.Fault
		dataset string
		reason  fault.Reason
		stored  bool // rows are kept though they are not complete
	}{
		"yesterday's daily":       {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily}, catalog.Daily, fault.ValuesRepeated, false},
		"yesterday's daily_basic": {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.DailyBasic}, catalog.DailyBasic, fault.ValuesRepeated, false},
		"yesterday's moneyflow":   {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Moneyflow}, catalog.Moneyflow, fault.ValuesRepeated, false},
		"yesterday's fund_daily":  {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.FundDaily}, catalog.FundDaily, fault.ValuesRepeated, false},
		"a fifth of yesterday":    {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, Share: 0.2}, catalog.Daily, fault.ValuesRepeated, false},
		"stale columns of basic":  {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.DailyBasic, Columns: full("close", "total_mv", "circ_mv")}, catalog.DailyBasic, fault.ValuesRepeated, false},
		"stale turnover_rate":     {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.DailyBasic, Columns: full("turnover_rate")}, catalog.DailyBasic, fault.ValuesRepeated, false},
		"stale volume":            {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, Columns: full("vol", "amount")}, catalog.Daily, fault.ValuesRepeated, false},
		"volume × 100":            {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.Daily, Column: "vol", Factor: 100}, catalog.Daily, fault.UnitSuspect, false},
		"turnover ÷ 1000":         {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.FundDaily, Column: "amount", Factor: 0.001}, catalog.FundDaily, fault.UnitSuspect, false},
		"both × 100":              {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.Moneyflow, Columns: volumes, Factor: 100}, catalog.Moneyflow, fault.ValuesConflict, false},
		"market value × 10":       {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Column: "total_mv", Factor: 10}, catalog.DailyBasic, fault.ValuesConflict, false},
		"no values of basic":      {tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.DailyBasic, Columns: full("turnover_rate", "pe", "pb", "total_mv")}, catalog.DailyBasic, fault.ValuesMissing, true},
		"no close":                {tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.DailyBasic, Columns: full("close")}, catalog.DailyBasic, fault.ValuesMissing, false},
		"no pb alone":             {tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.DailyBasic, Columns: full("pb")}, catalog.DailyBasic, fault.ValuesMissing, true},
		"no flow":                 {tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.Moneyflow, Columns: full("net_mf_amount")}, catalog.Moneyflow, fault.ValuesMissing, true},
	}
	r := newHarness(t, small()) // large enough to be judged by the lists
	w, days := r.evenings(market.Universe, len(cases), nil)
	for n, name := range slices.Sorted(maps.Keys(cases)) {
		c, day := cases[name], days[n]
		t.Run(name, func(t *testing.T) {
			id, _ := r.under(t, c.fault, &w, day)
			verdict, issues := r.standing(c.dataset, day)
			faulttest.Produces(t, issues, c.reason)
			if verdict != coverage.Incomplete {
				t.Errorf("%s is %s with %v, want incomplete", c.dataset, verdict, issues)
			}
			if held, _ := r.sinks[market.Universe].Held(coverage.Key{Dataset: c.dataset, Date: day}); (held.Rows > 0) != c.stored {
				t.Errorf("%d rows are stored", held.Rows)
			}
			for _, i := range issues {
				if i.Reason == fault.RowsInconsistent && strings.Contains(i.Message, "not stored") == c.stored {
					t.Errorf("rows are stored %v and reported as %q", c.stored, i.Message)
				}
			}
			for _, ds := range everything {
				if v, issues := r.standing(ds.ID, day); !ds.Snapshot && ds.ID != c.dataset && v != coverage.Complete {
					t.Errorf("%s is blamed too: %s %v", ds.ID, v, issues)
				}
			}
			r.sim.RemoveFault(id)
			r.settle(w, 3)
		})
	}
	r.sameAsProvider(w.Start, w.End, everything)
}

// TestAFewWrongRowsAreNamed: rows that cannot be those of their day, but are too few for the
// whole day to be wrong, are stored, named, and fetched once more.
func TestAFewWrongRowsAreNamed(t *testing.T) {
	cases := map[string]struct {
		fault  tusharesim.Fault
		reason fault.Reason
	}{
		"yesterday's daily":       {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, N: 2}, fault.ValuesRepeated},
		"yesterday's daily_basic": {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.DailyBasic, N: 2}, fault.ValuesRepeated},
		"yesterday's moneyflow":   {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Moneyflow, N: 2}, fault.ValuesRepeated},
		"yesterday's fund_daily":  {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.FundDaily, N: 2}, fault.ValuesRepeated},
		"another close":           {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"close", "total_mv", "circ_mv"}, Factor: 1.1, N: 2}, fault.ValuesConflict},
		"flows × 100":             {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.Moneyflow, Columns: volumes, Factor: 100, N: 2}, fault.ValuesConflict},
		"shares × 100":            {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"total_share", "total_mv"}, Factor: 100, N: 2}, fault.ValuesConflict},
	}
	r := newHarness(t, small())
	w, days := r.evenings(market.Universe, len(cases), nil)
	for n, name := range slices.Sorted(maps.Keys(cases)) {
		c, day := cases[name], days[n]
		t.Run(name, func(t *testing.T) {
			id, _ := r.under(t, c.fault, &w, day)
			verdict, issues := r.standing(c.fault.API, day)
			faulttest.Produces(t, issues, c.reason)
			if verdict != coverage.Complete {
				t.Errorf("it is %s with %v, want complete", verdict, issues)
			}
			plan, err := r.ing.Data(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			again := slices.ContainsFunc(plan.Partitions, func(p coverage.Partition) bool { return p.Dataset == c.fault.API && p.Start == day })
			if !again {
				t.Errorf("planned are %v, want %s once more", plan.Partitions, c.fault.API)
			}
			r.settle(w, 3) // the second response is the same, so it is what the provider has
			_, issues = r.standing(c.fault.API, day)
			faulttest.Produces(t, issues, c.reason)
			r.sim.RemoveFault(id)
			mended := w
			mended.Start, mended.Refetch = day, true
			if _, err := r.pass(mended, 4, nil); err != nil {
				t.Fatal(err)
			}
			if _, issues := r.standing(c.fault.API, day); len(issues) > 0 {
				t.Errorf("the right rows have %v", issues)
			}
		})
	}
	r.sameAsProvider(w.Start, w.End, everything)
}

// evenings fills a pool with some days and returns the days after them, each for an
// evening to come.
func (r *harness) evenings(p market.Pool, n int, symbols []string) (w coverage.PlanRequest, days []market.Date) {
	r.t.Helper()
	const held = 4
	start, end := r.span(held + n)
	w = coverage.PlanRequest{Pool: p, Datasets: everything, Start: start, Symbols: symbols}
	for _, text := range r.sim.OpenDates(start.Compact(), end.Compact()) {
		d, err := market.ParseCompact(text)
		if err != nil {
			r.t.Fatal(err)
		}
		days = append(days, d)
	}
	w.End = days[held-1]
	r.settle(w, 3)
	return w, days[held:]
}

// TestWrongValuesAreNeverCompleteInTargets is the same for a watch list.
func TestWrongValuesAreNeverCompleteInTargets(t *testing.T) {
	for name, c := range map[string]struct {
		fault  tusharesim.Fault
		reason fault.Reason
	}{
		"yesterday's daily":        {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily}, fault.ValuesRepeated},
		"yesterday's daily_basic":  {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.DailyBasic}, fault.ValuesRepeated},
		"yesterday's moneyflow":    {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Moneyflow}, fault.ValuesRepeated},
		"yesterday's fund_daily":   {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.FundDaily}, fault.ValuesRepeated},
		"stale columns of basic":   {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.DailyBasic, Columns: []string{"close", "total_mv", "circ_mv"}}, fault.ValuesConflict},
		"volume × 100":             {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.Daily, Column: "vol", Factor: 100}, fault.UnitSuspect},
		"no values of basic":       {tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.DailyBasic, Columns: []string{"turnover_rate", "total_mv"}}, fault.ValuesMissing},
		"no close":                 {tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.DailyBasic, Columns: []string{"close"}}, fault.RowsRejected},
		"no pb alone":              {tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.DailyBasic, Columns: []string{"pb"}}, fault.ValuesMissing},
		"funds of two days before": {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.FundDaily, SourceDate: "20000101"}, fault.ValuesRepeated},
		"stale ratios":             {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.DailyBasic, Columns: []string{"pb", "ps", "ps_ttm"}}, fault.ValuesRepeated},
		"shares for 万股":            {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"total_share", "total_mv"}, Factor: 1e4}, fault.UnitSuspect},
		"stale volume":             {tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, Columns: []string{"vol", "amount"}}, fault.ValuesRepeated},
		"flows × 100":              {tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.Moneyflow, Factor: 100, Columns: append(slices.Clone(volumes), "net_mf_vol")}, fault.ValuesConflict},
	} {
		alone := name == "no pb alone" || name == "stale ratios" || name == "shares for 万股" || name == "stale volume" || name == "funds of two days before"
		for _, first := range []bool{false, true} {
			if first && alone {
				continue // with nothing held, it may be what there is
			}
			t.Run(fmt.Sprintf("%s, first fill %v", name, first), func(t *testing.T) {
				t.Parallel()
				r := newHarness(t, tiny())
				start, end := r.span(3)
				w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: append(r.funds(end)[:2], r.traded(end))}
				slices.Sort(w.Symbols)
				if !first {
					w.End = end - 1
					r.settle(w, 3)
					w.End = end
				}
				c.fault.TradeDate = end.Compact()
				if c.fault.SourceDate != "" {
					c.fault.SourceDate = start.Compact()
				}
				id := r.fail(c.fault)
				out, err := r.pass(w, 1, nil)
				if err != nil {
					t.Fatal(err)
				}
				reported := false
				for _, o := range out {
					reported = reported || !o.result.Held.Verdict.Settled() && slices.ContainsFunc(o.result.Issues, func(i fault.Issue) bool {
						return i.Reason == c.reason || first && i.Reason == fault.ValuesConflict // without earlier days it is unknown which day it repeats
					})
				}
				days, err := r.ing.Survey(t.Context(), market.Targets, datasets(c.fault.API), end, end, w.Symbols)
				if err != nil || len(days) != 1 || days[0].Verdict.Settled() || !reported {
					t.Errorf("%+v, reported %v, %v", days, reported, err)
				}
				r.sim.RemoveFault(id)
				r.settle(w, 4)
				if days, err = r.ing.Survey(t.Context(), market.Targets, datasets(c.fault.API), end, end, w.Symbols); err != nil || days[0].Verdict != coverage.Complete {
					t.Errorf("afterwards %+v, %v", days, err)
				}
			})
		}
	}
}

// funds are ETFs that traded on d.
func (r *harness) funds(d market.Date) []string {
	r.t.Helper()
	rows, err := r.sim.Rows(catalog.FundDaily, map[string]string{"trade_date": d.Compact()}, "ts_code")
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, row := range rows.Rows {
		if s := row[0].(string); market.IsETF(s) {
			out = append(out, s)
		}
	}
	return out
}

// TestStaleNewestDayOfAFirstFill: with nothing held before, the older day that comes
// after it in the backfill proves the newest one wrong.
func TestStaleNewestDayOfAFirstFill(t *testing.T) {
	for _, at := range []int{1, 8} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := newHarness(t, small())
			start, end := r.span(4)
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
			id := r.fail(tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, TradeDate: end.Compact()})
			out, err := r.pass(w, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			if v, reasons := r.standing(catalog.Daily, end); v != coverage.Incomplete {
				t.Errorf("the newest day is %s %v", v, reasons)
			}
			reported := slices.ContainsFunc(out, func(o outcome) bool {
				return slices.ContainsFunc(o.result.Issues, func(i fault.Issue) bool {
					return i.Severity > fault.Warning && i.Meta["dataset"] == catalog.Daily && i.Meta["trade_date"] == end.String()
				}) && !o.result.Held.Verdict.Settled()
			})
			if !reported {
				t.Error("no partition of the run says so, so the run would end as a success")
			}
			r.sim.RemoveFault(id)
			r.settle(w, 4)
			r.sameAsProvider(start, end, everything)
		})
	}
}

// TestAMissingSymbolIsProved: the other datasets of the date prove that a symbol is missing,
// whichever dataset lacks it and in any order.
func TestAMissingSymbolIsProved(t *testing.T) {
	apis := []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow}
	kinds := map[string]tusharesim.Fault{"dropped": {Kind: tusharesim.DropRows}, "mangled": {Kind: tusharesim.MangledCode}}
	for _, api := range apis {
		for kind, f := range kinds {
			t.Run(fmt.Sprintf("%s %s, first fill", api, kind), func(t *testing.T) {
				t.Parallel()
				r := newHarness(t, tiny())
				start, end := r.span(3)
				w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
				r.missing(t, f, api, w)
				r.sameAsProvider(start, end, everything)
			})
		}
	}
	r := newHarness(t, tiny())
	w, days := r.evenings(market.Universe, 2*len(apis), nil)
	for n, api := range apis {
		for k, kind := range slices.Sorted(maps.Keys(kinds)) {
			t.Run(fmt.Sprintf("%s %s", api, kind), func(t *testing.T) {
				w.End = days[2*n+k]
				r.missing(t, kinds[kind], api, w)
			})
		}
	}
	r.sameAsProvider(w.Start, w.End, everything)
}

// missing takes one symbol out of a dataset on the last day of w, and heals it.
func (r *harness) missing(t *testing.T, f tusharesim.Fault, api string, w coverage.PlanRequest) {
	f.API, f.TradeDate, f.Codes = api, w.End.Compact(), []string{r.traded(w.End)}
	id := r.fail(f)
	if _, err := r.pass(w, 4, nil); err != nil {
		t.Fatal(err)
	}
	v, issues := r.standing(api, w.End)
	faulttest.Produces(t, issues, fault.SymbolsMissing)
	if v != coverage.Incomplete {
		t.Errorf("%s is %s %v", api, v, issues)
	}
	r.sim.RemoveFault(id)
	r.settle(w, 3)
}

// traded is a Shenzhen stock that traded on each of the ten days up to d, with another close on
// each: an equal one would prove no missing row.
func (r *harness) traded(d market.Date) string {
	r.t.Helper()
	all := r.tradedAnd(d, true)
	return all[len(all)/2]
}

// tradedBeside is another such stock.
func (r *harness) tradedBeside(d market.Date) string {
	r.t.Helper()
	all := r.tradedAnd(d, true)
	return all[len(all)/2-1]
}

// allTraded are the Shenzhen stocks that traded on each of the ten days up to d.
func (r *harness) allTraded(d market.Date) []string {
	r.t.Helper()
	return r.tradedAnd(d, false)
}

func (r *harness) tradedAnd(d market.Date, moved bool) []string {
	r.t.Helper()
	open := r.sim.OpenDates((d - 30).Compact(), d.Compact())
	closes := map[string][]float64{}
	for _, day := range open[max(0, len(open)-10):] {
		rows, err := r.sim.Rows(catalog.Daily, map[string]string{"trade_date": day}, "ts_code", "close")
		if err != nil {
			r.t.Fatal(err)
		}
		for _, row := range rows.Rows {
			s := row[0].(string)
			closes[s] = append(closes[s], row[1].(float64))
		}
	}
	var all []string
	for s, values := range closes {
		if len(values) == 10 && strings.HasSuffix(s, ".SZ") {
			slices.Sort(values)
			if !moved || len(slices.Compact(values)) == 10 {
				all = append(all, s)
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestTheNextDayProvesAMissingSymbol where every dataset of the day lacks it: the
// reference price of the next day counts a day that is not held.
func TestTheNextDayProvesAMissingSymbol(t *testing.T) {
	for _, days := range []int{1, 2} {
		t.Run(fmt.Sprint(days), func(t *testing.T) {
			r := newHarness(t, small())
			start, end := r.spanTo(market.DateOf(time.Now())-3, 5) // on old days, a reference price alone proves nothing
			open := r.sim.OpenDates(start.Compact(), end.Compact())
			code := r.traded(end)
			gone := tusharesim.Fault{Kind: tusharesim.DropRows, Codes: []string{code}, TradeDate: open[4-days], EndDate: open[3]}
			id := r.fail(gone)
			var lacking []market.Date
			for _, text := range open[4-days : 4] {
				d, err := market.ParseCompact(text)
				if err != nil {
					t.Fatal(err)
				}
				lacking = append(lacking, d)
			}
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: lacking[len(lacking)-1]}
			r.settle(w, 3)
			absent, err := r.ing.Absent(t.Context(), market.Universe, catalog.Lookup(catalog.Daily), lacking[0], nil)
			if err != nil || !slices.ContainsFunc(absent, func(a ingest.Absent) bool { return a.Symbol == code && a.TradedBefore && a.Name != "" }) {
				t.Errorf("%s is not among the absent %v, %v", code, absent, err)
			}
			if v, _ := r.standing(catalog.Daily, lacking[0]); v != coverage.Complete {
				t.Fatalf("nothing proves it yet, and it is %s", v)
			}
			w.End = end
			if _, err := r.pass(w, 4, nil); err != nil {
				t.Fatal(err)
			}
			for _, d := range lacking {
				v, issues := r.standing(catalog.Daily, d)
				faulttest.Produces(t, issues, fault.SymbolsMissing)
				if v != coverage.Incomplete {
					t.Errorf("%s is %s %v", d, v, issues)
				}
			}
			r.sim.RemoveFault(id)
			w.Refetch = true // the others lack the row without a proof
			if _, err := r.pass(w, 4, nil); err != nil {
				t.Fatal(err)
			}
			w.Refetch = false
			r.settle(w, 3)
			r.sameAsProvider(start, end, everything)
		})
	}
}

// TestTheNextDayProvesAMissingSymbolOfAFirstFill, which comes newest day first.
func TestTheNextDayProvesAMissingSymbolOfAFirstFill(t *testing.T) {
	for _, at := range []int{1, 4} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := newHarness(t, tusharesim.Options{Stocks: 2400, Funds: -1}) // enough that suspend_d is never empty
			start, end := r.spanTo(market.DateOf(time.Now())-3, 6)
			open := r.sim.OpenDates(start.Compact(), end.Compact())
			r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, Codes: []string{r.traded(end)}, TradeDate: open[2], EndDate: open[3]})
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.TradeCal, catalog.StockBasic, catalog.Daily), Start: start, End: end}
			if _, err := r.pass(w, at, nil); err != nil {
				t.Fatal(err)
			}
			for n, text := range open {
				d, err := market.ParseCompact(text)
				if err != nil {
					t.Fatal(err)
				}
				v, issues := r.standing(catalog.Daily, d)
				if n == 2 || n == 3 {
					faulttest.Produces(t, issues, fault.SymbolsMissing)
				} else if v != coverage.Complete {
					t.Errorf("%s is %s %v", d, v, issues)
				}
			}
		})
	}
}

// TestManySuspensions: days on which half of the market is suspended are complete because of the
// neighbouring days or the provider's list, and a day among them that lost rows is not. Without the
// list, a sudden change cannot be distinguished from lost rows.
func TestManySuspensions(t *testing.T) {
	for _, denied := range []bool{false, true} {
		t.Run(fmt.Sprintf("suspend_d denied %v", denied), func(t *testing.T) {
			r := newHarness(t, tusharesim.Options{Stocks: 1200, Funds: -1})
			start, end := r.span(16)
			open := r.sim.OpenDates(start.Compact(), end.Compact())
			if _, err := r.sim.Suspend(tusharesim.Suspension{TradeDate: open[0], EndDate: open[11], Share: 0.13}); err != nil {
				t.Fatal(err)
			}
			if denied {
				r.fail(tusharesim.Fault{Kind: tusharesim.NoPermission, API: catalog.SuspendD})
			}
			lost, err := market.ParseCompact(open[5])
			if err != nil {
				t.Fatal(err)
			}
			id := r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, API: catalog.Daily, Share: 0.05, TradeDate: open[5]})
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.TradeCal, catalog.StockBasic, catalog.Daily), Start: start, End: end}
			if _, err := r.pass(w, 1, nil); err != nil {
				t.Fatal(err)
			}
			for _, text := range open {
				d, err := market.ParseCompact(text)
				if err != nil {
					t.Fatal(err)
				}
				v, issues := r.standing(catalog.Daily, d)
				if !denied && text == open[11] { // the first suspended day, which no neighbouring day explains
					faulttest.Produces(t, issues, fault.SuspensionsConfirmed)
				}
				want := coverage.Complete
				if d == lost || denied && text <= open[11] {
					want = coverage.Incomplete
				}
				if v != want {
					t.Errorf("%s is %s %v, want %s", d, v, issues, want)
				}
			}
			calls := r.sim.Stats().ByAPI[catalog.SuspendD]
			if calls == 0 || calls > 12 {
				t.Errorf("the list of suspensions was asked for %d times", calls)
			}
			r.sim.RemoveFault(id)
		})
	}
}

// TestADatasetBeginsLater: if a dataset begins after the start of the window, the earlier days are
// expected to be empty and are not fetched again. A gap does not count as a beginning.
func TestADatasetBeginsLater(t *testing.T) {
	for name, mix := range map[string]*rand.Rand{"newest first": nil, "in any order": rand.New(rand.NewPCG(1, 2)), "in another order": rand.New(rand.NewPCG(5, 6))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			beginsLater(t, mix)
		})
	}
}

func beginsLater(t *testing.T, mix *rand.Rand) {
	r := newHarness(t, small())
	start, end := r.span(12)
	open := r.sim.OpenDates("20100101", end.Compact())
	n := len(open)
	r.fail(tusharesim.Fault{Kind: tusharesim.Empty, API: catalog.Moneyflow, TradeDate: open[0], EndDate: open[n-8]})
	hole := r.fail(tusharesim.Fault{Kind: tusharesim.Empty, API: catalog.DailyBasic, TradeDate: open[n-12], EndDate: open[n-9]})
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
	if _, err := r.pass(w, 4, mix); err != nil {
		t.Fatal(err)
	}
	for i, text := range open[n-12:] {
		d, err := market.ParseCompact(text)
		if err != nil {
			t.Fatal(err)
		}
		want := coverage.Complete
		if i <= 4 {
			want = coverage.ExpectedEmpty
		}
		if v, reasons := r.standing(catalog.Moneyflow, d); v != want {
			t.Errorf("moneyflow of %s is %s %v, want %s", d, v, reasons, want)
		}
		want = coverage.Complete
		if i <= 3 {
			want = coverage.Empty
		}
		if v, reasons := r.standing(catalog.DailyBasic, d); v != want {
			t.Errorf("daily_basic of %s is %s %v, want %s", d, v, reasons, want)
		}
	}
	r.sim.RemoveFault(hole)
	r.settle(w, 3)
}

// TestADatasetBeginsLaterThanTargets: days of targets before a dataset's first are
// expected empty though other datasets have their rows, and are not fetched again; a
// hole behind its first day is missing.
func TestADatasetBeginsLaterThanTargets(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(12)
	open := r.sim.OpenDates("20100101", end.Compact())
	n := len(open)
	r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, Share: 1, API: catalog.Moneyflow, TradeDate: open[0], EndDate: open[n-8]})
	hole := r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, Share: 1, API: catalog.DailyBasic, TradeDate: open[n-9], EndDate: open[n-9]})
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: []string{r.traded(end), r.tradedBeside(end)}}
	if _, err := r.pass(w, 4, nil); err != nil {
		t.Fatal(err)
	}
	check := func(id, text string, want coverage.Verdict) {
		t.Helper()
		d, err := market.ParseCompact(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range w.Symbols {
			if held, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: id, Date: d, Symbol: s}); held.Verdict != want {
				t.Errorf("%s of %s on %s is %s, want %s", id, s, text, held.Verdict, want)
			}
		}
	}
	for i, text := range open[n-12:] {
		want := coverage.Complete
		if i <= 4 {
			want = coverage.ExpectedEmpty
		}
		check(catalog.Moneyflow, text, want)
	}
	check(catalog.DailyBasic, open[n-9], coverage.Incomplete)
	r.sim.RemoveFault(hole)
	r.settle(w, 3)
	before := r.sim.Stats().ByAPI[catalog.Moneyflow]
	r.settle(w, 3)
	if again := r.sim.Stats().ByAPI[catalog.Moneyflow] - before; again > 1 { // the newest day is checked again
		t.Errorf("moneyflow is asked for %d times more", again)
	}
}

// TestASuspendedTarget on a day with many suspensions is idle and not missing: the
// provider's list says so, though the whole date has fewer rows than stocks are listed.
// One that the list does not name is missing.
func TestASuspendedTarget(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(4)
	halted, lost := r.traded(end), r.tradedBeside(end)
	for _, x := range []tusharesim.Suspension{{Share: 0.4, Exchange: "SH"}, {Codes: []string{halted}}} {
		x.TradeDate = end.Compact()
		if _, err := r.sim.Suspend(x); err != nil {
			t.Fatal(err)
		}
	}
	for _, api := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
		r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, API: api, TradeDate: end.Compact(), Codes: []string{lost}})
	}
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end - 1, Symbols: []string{halted, lost}}
	r.settle(w, 3)
	w.Start, w.End = end, end
	if _, err := r.pass(w, 4, nil); err != nil {
		t.Fatal(err)
	}
	for symbol, want := range map[string]coverage.Verdict{halted: coverage.ExpectedEmpty, lost: coverage.Incomplete} {
		held, ok := r.sinks[market.Targets].Held(coverage.Key{Dataset: catalog.Daily, Date: end, Symbol: symbol})
		if !ok || held.Verdict != want {
			t.Errorf("%s is %s, want %s", symbol, held.Verdict, want)
		}
	}
	if n := r.sim.Stats().ByAPI[catalog.SuspendD]; n != 1 {
		t.Errorf("the list of suspensions was asked for %d times", n)
	}
}
