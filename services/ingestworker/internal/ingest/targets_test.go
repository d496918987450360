package ingest_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/providertest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// watchList is some stocks of every exchange and some ETFs that the provider has.
func (r *harness) watchList(stocks, etfs int) []string {
	r.t.Helper()
	_, end := r.span(1)
	var out []string
	by := map[string]int{}
	for _, s := range slices.Sorted(maps.Keys(r.truth(catalog.Lookup(catalog.Daily), map[string]string{"trade_date": end.Compact()}, nil))) {
		if x := market.Exchange(s); by[x] < stocks/3 {
			by[x]++
			out = append(out, s)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(r.truth(catalog.Lookup(catalog.FundDaily), map[string]string{"trade_date": end.Compact()}, market.IsETF))) {
		if by["ETF"] < etfs {
			by["ETF"]++
			out = append(out, s)
		}
	}
	return out
}

func (r *harness) targetsSameAsProvider(symbols []string, start, end market.Date) {
	r.t.Helper()
	r.close()
	for _, id := range daily {
		ds := catalog.Lookup(id)
		days := r.storedDays(market.Targets, ds, start, end)
		for _, text := range r.sim.OpenDates(start.Compact(), end.Compact()) {
			d, err := market.ParseCompact(text)
			if err != nil {
				r.t.Fatal(err)
			}
			got := days[d.String()]
			maps.DeleteFunc(got, func(s string, _ []any) bool { return market.IsETF(s) != (ds.Kind == market.ETF) })
			want := r.truth(ds, map[string]string{"trade_date": text}, func(s string) bool { return slices.Contains(symbols, s) })
			r.equal("targets "+id+" "+d.String(), got, want)
		}
	}
	r.open()
}

func TestTargetsEqualTheProvider(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(20)
	symbols := r.watchList(9, 4)
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
	out, err := r.pass(w, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, o := range out {
		if o.err != nil || !o.result.Held.Verdict.Settled() {
			t.Errorf("%s: %s %v, %v", o.part.ID, o.result.Held.Verdict, o.result.Issues, o.err)
		}
		calls += o.result.Calls
	}
	if loop := len(symbols) * 3; calls > loop {
		t.Errorf("%d calls for %d symbols", calls, len(symbols))
	}
	r.settle(w, 3) // days on which an ETF was idle are proved by whole dates
	r.targetsSameAsProvider(symbols, start, end)
}

// TestWrongValuesInARangeOfDates: rows that come by symbol, over a range of dates, are compared
// with the previous day and with daily, as those of whole dates are.
func TestWrongValuesInARangeOfDates(t *testing.T) {
	for name, f := range map[string]tusharesim.Fault{
		"daily of another day":  {Kind: tusharesim.Stale, API: catalog.Daily},
		"values of another day": {Kind: tusharesim.Stale, API: catalog.DailyBasic},
		"another close":         {Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"close", "total_mv", "circ_mv"}, Factor: 1.1},
		"another turnover":      {Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"turnover_rate", "turnover_rate_f"}, Factor: 1.2},
		"flows × 100":           {Kind: tusharesim.ScaleColumn, API: catalog.Moneyflow, Columns: volumes, Factor: 100},
		"turnover ÷ 100":        {Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"turnover_rate", "turnover_rate_f"}, Factor: 0.01},
		"no large orders":       {Kind: tusharesim.ScaleColumn, API: catalog.Moneyflow, Columns: []string{"buy_lg_amount"}, Factor: 0.001},
		"more free than float":  {Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"free_share"}, Factor: 30},
		"one turnover × 100":    {Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"turnover_rate"}, Factor: 100},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, small())
			start, end := r.span(20)
			symbols := r.watchList(3, 0)
			w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
			open := r.sim.OpenDates(start.Compact(), end.Compact())
			f.TradeDate, f.Codes = open[10], symbols[1:2]
			if f.Kind == tusharesim.Stale {
				f.TradeDate, f.SourceDate = r.unlinked(symbols[1], open)
			}
			id := r.fail(f)
			out, err := r.pass(w, 4, nil)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(out, func(o outcome) bool {
				return o.part.Dataset == f.API && o.part.Start < o.part.End && slices.Contains(o.part.Symbols, f.Codes[0])
			})
			if i < 0 {
				t.Fatal("the symbol is not fetched over a range of dates")
			}
			if o := out[i]; o.err != nil || o.result.Held.Verdict != coverage.Incomplete {
				t.Errorf("%s is %s, %v", o.part.ID, o.result.Held.Verdict, o.err)
			}
			faulttest.Produces(t, out[i].result.Issues, fault.ValuesConflict)
			r.sim.RemoveFault(id)
			r.settle(w, 3)
			r.targetsSameAsProvider(symbols, start, end)
		})
	}
}

// unlinked returns a day and an earlier one whose pre_close is above the close of the day before:
// no ex-date explains that.
func (r *harness) unlinked(symbol string, open []string) (day, source string) {
	r.t.Helper()
	rows, err := r.sim.Rows(catalog.Daily, map[string]string{"ts_code": symbol, "start_date": open[0], "end_date": open[len(open)-1]}, "trade_date", "close", "pre_close")
	if err != nil {
		r.t.Fatal(err)
	}
	closed, pre := map[string]float64{}, map[string]float64{}
	for _, row := range rows.Rows {
		closed[row[0].(string)], pre[row[0].(string)] = row[1].(float64), row[2].(float64)
	}
	for n := 2; n < len(open)-1; n++ {
		for _, source := range open[:n-1] {
			if closed[open[n-1]] > 0 && closed[open[n]] > 0 && pre[source] > 1.01*closed[open[n-1]] {
				return open[n], source
			}
		}
	}
	r.t.Fatal("the prices only rise")
	return "", ""
}

func TestSuspendedSymbolIsSettled(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(3)
	symbols := r.watchList(6, 2)
	gone := symbols[0]
	for _, d := range r.sim.OpenDates(start.Compact(), end.Compact()) {
		for _, api := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
			if _, err := r.sim.Revise(tusharesim.Revision{API: api, TradeDate: d, Drop: 1, Codes: []string{gone}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
	r.settle(w, 3)
	for _, id := range []string{catalog.Daily, catalog.DailyBasic} {
		if held, ok := r.sinks[market.Targets].Held(coverage.Key{Dataset: id, Date: end, Symbol: gone}); !ok || held.Verdict != coverage.ExpectedEmpty {
			t.Errorf("%s of a suspended stock: %s, %v", id, held.Verdict, ok)
		}
	}
	r.targetsSameAsProvider(symbols, start, end)
}

func TestFailedBasicIsRefilled(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(3)
	symbols := r.watchList(6, 0)
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
	id, err := r.sim.AddFault(tusharesim.Fault{Kind: tusharesim.HTTP500, API: catalog.DailyBasic})
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.pass(w, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		if failed := fault.Is(o.err, fault.ProviderUnavailable); failed != (o.part.Dataset == catalog.DailyBasic) {
			t.Errorf("%s: %v", o.part.ID, o.err)
		}
	}
	r.sim.RemoveFault(id)
	plan, err := r.ing.Data(context.Background(), w)
	if err != nil || len(plan.Partitions) == 0 {
		t.Fatal(plan, err)
	}
	for _, p := range plan.Partitions {
		if p.Dataset != catalog.DailyBasic {
			t.Errorf("%s is planned though only daily_basic is missing", p.ID)
		}
	}
	r.settle(w, 2)
	r.targetsSameAsProvider(symbols, start, end)
}

// TestHeldRowsSurviveAnAnswerWithoutThem refetches while the provider forgets half
// of the day.
func TestHeldRowsSurviveAnAnswerWithoutThem(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(5)
	symbols := r.watchList(9, 3)
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
	r.settle(w, 3)
	for _, kind := range []tusharesim.FaultKind{tusharesim.HalfDay, tusharesim.Empty} {
		id, err := r.sim.AddFault(tusharesim.Fault{Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		w.Refetch = true
		plan, err := r.ing.Data(context.Background(), w)
		if err != nil {
			t.Fatal(err)
		}
		warned := false
		for _, o := range r.all(plan.Partitions, 2) {
			if o.err != nil {
				t.Errorf("%s: %v", o.part.ID, o.err)
			}
			for _, i := range o.result.Issues {
				warned = warned || i.Reason == fault.Incomplete && i.Severity == fault.Warning
			}
		}
		if !warned {
			t.Errorf("%s: nothing is reported", kind)
		}
		r.sim.RemoveFault(id)
		r.targetsSameAsProvider(symbols, start, end)
	}
}

func TestTargetsAnyOrderAnyFault(t *testing.T) {
	kinds := []tusharesim.Fault{
		{Kind: tusharesim.HTTP500}, {Kind: tusharesim.TruncatedBody}, {Kind: tusharesim.Empty}, {Kind: tusharesim.HalfDay},
		{Kind: tusharesim.OtherDate}, {Kind: tusharesim.DuplicateRows}, {Kind: tusharesim.WrongValue}, {Kind: tusharesim.WrongValue, Mode: tusharesim.ModeTenfold},
		{Kind: tusharesim.WrongValue, Mode: tusharesim.ModeNull},
	}
	for seed := range 6 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			mix := rand.New(rand.NewPCG(uint64(seed), 11))
			r := newHarness(t, tusharesim.Options{Seed: uint64(seed + 1), Stocks: 200, Funds: 80})
			start, end := r.span(6)
			symbols := r.watchList(6, 2)
			w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
			for range 3 {
				r.sim.ClearFaults()
				f := kinds[mix.IntN(len(kinds))]
				f.Probability, f.API = 0.5, daily[mix.IntN(len(daily))]
				if _, err := r.sim.AddFault(f); err != nil {
					t.Fatal(err)
				}
				if _, err := r.pass(w, 1+mix.IntN(4), mix); err != nil {
					t.Fatal(err)
				}
			}
			r.sim.ClearFaults()
			r.settle(w, 4)
			r.targetsSameAsProvider(symbols, start, end)
		})
	}
}

func TestFiveHundredSymbolsCostATenth(t *testing.T) {
	r := newHarness(t, tusharesim.Options{Stocks: 700, Funds: 20})
	end := market.DateOf(time.Now()) - 14
	symbols := r.watchList(3*240, 0)
	if len(symbols) > 500 {
		symbols = symbols[:500]
	}
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: end - 30, End: end, Symbols: symbols}
	out, err := r.pass(w, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, o := range out {
		if o.err != nil || !o.result.Held.Verdict.Settled() {
			t.Errorf("%s: %s, %v", o.part.ID, o.result.Held.Verdict, o.err)
		}
		calls += o.result.Calls
	}
	if calls*10 > 3*len(symbols) {
		t.Errorf("%d calls for %d symbols; a loop makes %d", calls, len(symbols), 3*len(symbols))
	}
}

// TestIdleEndOfASpan fetches a range of an ETF that did not trade on its last days. A call for one
// whole date shows that these days are published, and whether a row that the range lacks is
// missing.
func TestIdleEndOfASpan(t *testing.T) {
	var fields []string
	for _, c := range catalog.Lookup(catalog.FundDaily).Columns {
		fields = append(fields, strconv.Quote(c.Provider))
	}
	without := fmt.Sprintf(`{"code":0,"data":{"fields":[%s],"items":[]}}`, strings.Join(fields, ","))
	for name, want := range map[string]coverage.Verdict{"idle": coverage.Complete, "answer without rows": coverage.Incomplete} {
		t.Run(name, func(t *testing.T) {
			p := oddProvider(40, 30)
			start, end := lastDays(p, 5)
			code := p.Funds[5].Code
			if want == coverage.Complete {
				p.Funds[5].Idle = func(d market.Date) bool { return d > end-3 }
			} else {
				p.Answer = func(c providertest.Call, _ int, w http.ResponseWriter) bool {
					if c.Params["ts_code"] != "" {
						providertest.Send(w, providertest.Habits{}, without)
					}
					return c.Params["ts_code"] != ""
				}
			}
			r := newOddHarness(t, p)
			w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: []string{code}}
			refs, err := r.ing.References(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			span := coverage.Partition{ID: "span", Pool: market.Targets, Dataset: catalog.FundDaily, Start: start, End: end, Symbols: w.Symbols}
			for _, o := range r.all(append(refs.Partitions, span), 1) {
				if o.err != nil {
					t.Fatal(o.part.ID, o.err)
				}
				if got := o.result; o.part.ID == span.ID && (got.Held.Verdict != want || got.Calls != 2) {
					t.Errorf("%s after %d calls, want %s after 2: %v", got.Held.Verdict, got.Calls, want, got.Issues)
				}
			}
		})
	}
}
