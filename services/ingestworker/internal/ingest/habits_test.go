package ingest_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/providertest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// newOddHarness returns a harness with a provider that differs from the simulator.
func newOddHarness(t testing.TB, p *providertest.Provider) *harness {
	t.Helper()
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	return harnessAt(t, srv.URL)
}

// lastDays is a span of so many open days that ended some time ago.
func lastDays(p *providertest.Provider, n int) (start, end market.Date) {
	end = market.DateOf(time.Now()) - 14
	open := p.Open(end-n2(n), end)
	return open[len(open)-n], open[len(open)-1]
}

func n2(n int) market.Date { return market.Date(2*n + 14) }

func (r *harness) sameAs(p *providertest.Provider, pool market.Pool, start, end market.Date, symbols []string) {
	r.t.Helper()
	r.close()
	for _, id := range daily {
		ds := catalog.Lookup(id)
		days := r.storedDays(pool, ds, start, end)
		for _, d := range p.Open(start, end) {
			got := days[d.String()]
			maps.DeleteFunc(got, func(s string, _ []any) bool { return market.IsETF(s) != (ds.Kind == market.ETF) })
			want := rowSet{}
			for _, row := range p.Rows(id, map[string]string{"trade_date": d.Compact()}) {
				s := row["ts_code"].(string)
				if market.IsETF(s) != (ds.Kind == market.ETF) || symbols != nil && !slices.Contains(symbols, s) {
					continue
				}
				cells := make([]any, len(ds.Columns))
				for i, c := range ds.Columns {
					cells[i] = row[c.Provider]
					if c.Provider == "trade_date" {
						cells[i] = d.String()
					}
				}
				want[s] = cells
			}
			r.equal(string(pool)+" "+id+" "+d.String(), got, want)
		}
	}
	r.open()
}

func oddProvider(stocks, funds int) *providertest.Provider {
	return providertest.New(stocks, funds, market.DateOf(time.Now()))
}

// TestHabitsOfAnswering fills both pools from a provider that does everything a
// little otherwise.
func TestHabitsOfAnswering(t *testing.T) {
	for name, h := range map[string]providertest.Habits{
		"plain":          {},
		"texts":          {Texts: true, IntDates: true, NullMsg: true, TextCode: true},
		"fields":         {Reverse: true, Extra: true},
		"items first":    {ItemsFirst: true, Gzip: true},
		"cap 800, mute":  {Cap: 800, Mute: true},
		"cap 1000, mute": {Cap: 1000, Mute: true},
		"cap 3000, mute": {Cap: 3000, Mute: true},
		"cap 77":         {Cap: 77},
		"overlap":        {Cap: 500, Overlap: 13},
		"shuffled pages": {Cap: 900, Shuffled: true},
		"in pieces":      {Pieces: true},
		"closing":        {Closing: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := oddProvider(1203, 60)
			p.Habits = h
			r := newOddHarness(t, p)
			start, end := lastDays(p, 2)
			symbols := []string{"600000.SH", "000001.SZ", "920007.BJ", "510000.SH", "159001.SZ"}
			for _, pool := range market.Pools() {
				w := coverage.PlanRequest{Pool: pool, Datasets: everything, Start: start, End: end, Symbols: symbols}
				r.settle(w, 3)
				var only []string
				if pool == market.Targets {
					only = symbols
				}
				r.sameAs(p, pool, start, end, only)
			}
		})
	}
}

func outcomes(out []outcome) string {
	var b strings.Builder
	for _, o := range out {
		fmt.Fprintf(&b, "\n  %s: %s found %s rows %d of %d, err %v", o.part.ID, o.result.Held.Verdict, o.result.Found, o.result.Held.Rows, o.result.Held.Expected, o.err)
		for _, i := range o.result.Issues {
			fmt.Fprintf(&b, "\n      %s %s", i.Reason, i.Message)
		}
	}
	return b.String()
}

// TestFewModulesOnAnEmptyPool: half a day must not pass for a whole one because
// the list was not among the modules.
func TestFewModulesOnAnEmptyPool(t *testing.T) {
	p := oddProvider(400, 40)
	r := newOddHarness(t, p)
	start, end := lastDays(p, 1)
	p.Share = func(api string, _ market.Date) float64 { return 0.5 }
	for _, id := range []string{catalog.Daily, catalog.FundDaily, catalog.DailyBasic, catalog.Moneyflow} {
		w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(id), Start: start, End: end}
		out, err := r.pass(w, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if last := out[len(out)-1]; last.part.Dataset != id || last.result.Held.Verdict != coverage.Incomplete {
			t.Errorf("half a day of %s:%s", id, outcomes(out))
		}
	}
}

// TestLateETFList: days with half of the ETFs, which were accepted without a list, are fetched
// again when the list is available, and nothing is fetched forever in an idle market.
func TestLateETFList(t *testing.T) {
	for _, idle := range []bool{false, true} {
		p := oddProvider(40, 60)
		for i := range p.Funds {
			p.Funds[i].Idle = func(market.Date) bool { return idle && i%2 == 0 }
		}
		half := true
		p.Share = func(api string, _ market.Date) float64 {
			if half && api == catalog.FundDaily {
				return 0.5
			}
			return 1
		}
		p.Answer = func(c providertest.Call, _ int, w http.ResponseWriter) bool {
			if half && c.API == catalog.FundBasic {
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			return false
		}
		r := newOddHarness(t, p)
		start, end := lastDays(p, 4)
		w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
		if _, err := r.pass(w, 1, nil); err != nil {
			t.Fatal(err)
		}
		p.Do(func() { half = false })
		if idle { // the same on one day only: it is neither accepted nor forgotten
			for range 3 {
				if _, err := r.pass(w, 1, nil); err != nil {
					t.Fatal(err)
				}
			}
		} else {
			r.settle(w, 4)
		}
		r.sameAs(p, market.Universe, start, end, nil)
	}
}
