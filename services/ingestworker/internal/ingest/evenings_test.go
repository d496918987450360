package ingest_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/probe"
	"github.com/afterbell/afterbell/services/ingestworker/internal/providertest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
	"github.com/afterbell/afterbell/services/ingestworker/internal/tushare"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// direct calls a handler without a network, which a bubble of time can wait for.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r)
	return w.Result(), nil
}

func (anyToken) Fingerprint(string) string { return "fp" }

// newBubbleHarness returns a harness of both pools over a provider without a network, for use in a bubble of
// time. What is to come is not published.
func newBubbleHarness(t *testing.T, p *providertest.Provider, window int, through http.RoundTripper) (*harness, *limiter.Limiter) {
	p.First = market.NewDate(2025, 1, 1)
	p.Share = func(_ string, d market.Date) float64 {
		if d > market.DateOf(time.Now()) {
			return 0
		}
		return 1
	}
	client, limits := newClient(t, limiter.Config{}, tushare.Config{Transport: through})
	r := &harness{t: t, dir: t.TempDir(), client: client}
	r.open()
	r.ing = ingest.New(ingest.Config{Provider: client, Sinks: r.sinks, WindowDays: map[market.Pool]int{market.Targets: window, market.Universe: window}})
	return r, limits
}

// TestEvenings lives through two weeks of evenings in which data is late, short and
// revised, with two runs per evening of both pools.
func TestEvenings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := market.NewDate(2026, 3, 2) // a Monday
		// A bubble begins in 2000. Sleep before anything with timers is opened.
		time.Sleep(time.Until(first.At(8, 0, market.Shanghai)))
		p := providertest.New(200, 40, first)
		r, limits := newBubbleHarness(t, p, 10, direct{p})
		defer r.close()
		p.Closed = func(d market.Date) bool { return d == first+3 } // a Thursday off
		gone := "600000.SH"
		p.Stocks[0].Idle = func(d market.Date) bool { return d > first }
		p.Stocks[2].Listed = first + 2
		p.Stocks[4].Delisted = first + 4
		p.Funds[5].Idle = func(d market.Date) bool { return d%3 == 0 }
		clock := func() market.Date { return market.DateOf(time.Now()) }
		p.Share = func(api string, d market.Date) float64 {
			switch {
			case d > clock():
				return 0
			case api == catalog.FundDaily && d == first+1 && clock() == d: // out the next morning
				return 0
			case api == catalog.Daily && d == first+2: // never more than this
				return 0.9
			case api == catalog.Moneyflow && d == first+4 && clock() < first+8: // days late
				return 0
			}
			return 1
		}
		answers := ingest.NewAnswers()
		r.ing = ingest.New(ingest.Config{Provider: r.client, Sinks: r.sinks, Answers: answers, WindowDays: map[market.Pool]int{market.Universe: 10, market.Targets: 10}})
		prober := probe.New(r.client, anyToken{}, answers, limits)
		symbols := []string{gone, "000001.SZ", "600002.SH", "600004.SH", "920007.BJ", "510005.SH", "159001.SZ"}

		verdicts := map[coverage.Key][]coverage.Verdict{}
		for day := first; day <= first+11; day++ {
			if !p.IsOpen(day) {
				continue
			}
			time.Sleep(time.Until(day.At(19, 31, market.Shanghai)))
			p.Do(func() { clear(p.Calls) })
			none := func(probe.Outcome) error { return nil }
			err := prober.Run(t.Context(), probe.Request{Modules: []string{"stock.basic", "etf.basic_info", "stock.reference"}, TradeDate: day - 1}, probe.Events{
				Started: func(*catalog.Module) error { return nil }, Finished: none})
			if err != nil {
				t.Fatal(err)
			}
			for again := range 2 {
				for _, pool := range market.Pools() {
					w := coverage.PlanRequest{Pool: pool, Datasets: everything, Start: market.NoDate, End: market.NoDate, Symbols: symbols}
					out, err := r.pass(w, 3, nil)
					if err != nil {
						t.Fatal(err)
					}
					for _, o := range out {
						if o.err != nil {
							t.Errorf("%s %s %s: %v", day, pool, o.part.ID, o.err)
						}
						if again == 1 && o.part.Repeat {
							t.Errorf("%s %s: %s is looked at a second time twice", day, pool, o.part.ID)
						}
						if again == 1 && o.result.Held.Verdict == coverage.Complete && pool == market.Universe {
							t.Errorf("%s: %s came complete in the second run: %+v", day, o.part.ID, o.result.Held)
						}
					}
				}
				time.Sleep(15 * time.Minute)
			}
			for k, n := range p.Calls {
				if !strings.Contains(k, "trade_date") && !strings.Contains(k, "ts_code") && n != 1 {
					t.Errorf("%s: %s was asked %d times", day, k, n)
				}
			}
			for d := first; d <= day; d++ {
				for _, id := range daily {
					k := coverage.Key{Dataset: id, Date: d}
					if held, ok := r.sinks[market.Universe].Held(k); ok {
						verdicts[k] = append(verdicts[k], held.Verdict)
					}
				}
			}
		}
		is := func(id string, d market.Date, want ...coverage.Verdict) {
			t.Helper()
			got := verdicts[coverage.Key{Dataset: id, Date: d}]
			for i, v := range want {
				if i >= len(got) || got[i] != v {
					t.Errorf("%s of %s was %v, want it to begin %v", id, d, got, want)
					return
				}
			}
		}
		is(catalog.FundDaily, first+1, coverage.NotPublished, coverage.Complete)
		is(catalog.Daily, first+2, coverage.Incomplete, coverage.Incomplete, coverage.AcceptedShort, coverage.AcceptedShort)
		is(catalog.Moneyflow, first+4, coverage.NotPublished, coverage.Empty)
		if got := verdicts[coverage.Key{Dataset: catalog.Daily, Date: first + 3}]; got != nil {
			t.Errorf("a closed day was asked for: %v", got)
		}
		p.Share = func(api string, d market.Date) float64 { return 1 }
		for _, pool := range market.Pools() {
			for _, id := range daily {
				for d := first; d <= first+11; d++ {
					for _, s := range symbols {
						k := coverage.Key{Dataset: id, Date: d}
						if pool == market.Targets {
							k.Symbol = s
						}
						held, ok := r.sinks[pool].Held(k)
						if ok && !held.Verdict.Settled() {
							t.Errorf("%s %s %s %s is %s", pool, id, d, k.Symbol, held.Verdict)
						}
					}
				}
			}
		}
	})
}

// TestAStandingConflictEnds: a symbol's valuation contradicts its daily permanently, and no
// earlier day shows which is wrong. Both are fetched again until the conflict is accepted. A later
// check of the day does not reopen it.
func TestAStandingConflictEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := market.NewDate(2026, 3, 2) // a Monday
		time.Sleep(time.Until(first.At(8, 0, market.Shanghai)))
		p := providertest.New(60, 10, first)
		wrong := "600000.SH"
		p.Stocks[0].Idle = func(d market.Date) bool { return d == first }
		p.Change = func(api string, row map[string]any) bool {
			if api == catalog.DailyBasic && row["ts_code"] == wrong && row["trade_date"] == (first+1).Compact() {
				for _, column := range []string{"close", "total_mv", "circ_mv"} {
					row[column] = row[column].(float64) * 1.05
				}
			}
			return true
		}
		r, _ := newBubbleHarness(t, p, 20, direct{p})
		defer r.close()
		held := func(dataset string) coverage.Verdict {
			rec, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: dataset, Date: first + 1, Symbol: wrong})
			return rec.Verdict
		}
		live := func(day market.Date) {
			t.Helper()
			time.Sleep(time.Until(day.At(19, 31, market.Shanghai)))
			for range 2 {
				w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: market.NoDate, End: market.NoDate, Symbols: []string{wrong, "600004.SH"}, Recheck: 4}
				out, err := r.pass(w, 3, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range out {
					if o.err != nil {
						t.Errorf("%s %s: %v", day, o.part.ID, o.err)
					}
				}
				if v := held(catalog.Daily); day > first+3 && v != coverage.Complete {
					t.Errorf("%s: daily is %s", day, v)
				}
				time.Sleep(15 * time.Minute)
			}
		}
		live(first)
		doubted, looked := false, 0
		for day := first + 1; day <= first+11; day++ {
			if !p.IsOpen(day) {
				continue
			}
			p.Do(func() { clear(p.Calls) })
			live(day)
			switch {
			case day <= first+2:
				doubted = doubted || held(catalog.DailyBasic) == coverage.Incomplete
			case day > first+3:
				if v := held(catalog.DailyBasic); v != coverage.AcceptedShort {
					t.Errorf("%s: the valuation is %s", day, v)
				}
				for k, n := range p.Calls {
					if strings.HasPrefix(k, catalog.DailyBasic) && strings.Contains(k, (first+1).Compact()) {
						looked += n
					}
				}
			}
		}
		if !doubted || looked == 0 {
			t.Errorf("the conflict was seen: %v; the day was checked again %d times", doubted, looked)
		}
	})
}

// TestADoubtedAbsenceIsAcceptedAfterTwoDays: only pre_close speaks for the row that an ETF
// lacks, so two equal responses are enough, and the issue says two.
func TestADoubtedAbsenceIsAcceptedAfterTwoDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := market.NewDate(2026, 3, 2) // a Monday
		time.Sleep(time.Until(first.At(8, 0, market.Shanghai)))
		p := providertest.New(20, 10, first)
		code, on := p.Funds[1].Code, first+1
		p.Change = func(api string, row map[string]any) bool {
			return api != catalog.FundDaily || row["ts_code"] != code || row["trade_date"] != on.Compact()
		}
		r, _ := newBubbleHarness(t, p, 20, direct{p})
		defer r.close()
		var accepted []fault.Issue
		for day := first; day <= first+4; day++ {
			time.Sleep(time.Until(day.At(19, 31, market.Shanghai)))
			w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: market.NoDate, End: market.NoDate, Symbols: []string{code, p.Funds[2].Code}}
			out, err := r.pass(w, 2, nil)
			if err != nil {
				t.Fatal(err)
			}
			if i, ok := firstIssue(out, fault.AcceptedShort); ok {
				accepted = append(accepted, i)
			}
		}
		if v := r.verdict(catalog.FundDaily, code, on); v != coverage.AcceptedShort {
			t.Errorf("the day is %s", v)
		}
		if len(accepted) != 1 || accepted[0].Meta["days"] != "2" || !strings.Contains(accepted[0].Message, "the same on 2 days") {
			t.Errorf("reported: %+v", accepted)
		}
	})
}

// TestAUnitThatChangesForGood: if the days before and after a change each agree, they are not
// fetched again forever. The change is reported.
func TestAUnitThatChangesForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := market.NewDate(2026, 3, 2) // a Monday
		time.Sleep(time.Until(first.At(8, 0, market.Shanghai)))
		p := providertest.New(200, 10, first)
		p.Change = func(api string, row map[string]any) bool {
			if pe, ok := row["pe"].(float64); ok && row["trade_date"].(string) >= (first+2).Compact() {
				row["pe"] = pe * 100
			}
			return true
		}
		r, _ := newBubbleHarness(t, p, 10, direct{p})
		defer r.close()
		var told []fault.Issue
		for day := first; day <= first+4; day++ {
			time.Sleep(time.Until(day.At(19, 31, market.Shanghai)))
			for again := range 3 {
				out, err := r.pass(coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: market.NoDate, End: market.NoDate}, 3, nil)
				if err != nil {
					t.Fatal(err)
				}
				told = append(told, issuesOf(out, fault.UnitSuspect)...)
				if again == 2 && day > first+2 && len(out) > 0 {
					t.Errorf("%s: %s is fetched forever: %s", day, out[0].part.ID, out[0].result.Held.Verdict)
				}
				time.Sleep(15 * time.Minute)
			}
		}
		if !slices.ContainsFunc(told, func(i fault.Issue) bool {
			return i.Severity == fault.Warning && strings.Contains(i.Message, "for good")
		}) {
			t.Errorf("the change is not reported: %v", told)
		}
		for d := first; d <= first+4; d++ {
			if held, _ := r.sinks[market.Universe].Held(coverage.Key{Dataset: catalog.DailyBasic, Date: d}); held.Verdict != coverage.Complete {
				t.Errorf("%s is %s", d, held.Verdict)
			}
		}
	})
}

// gatedDaily delays the calls for one trade date of daily until the gate opens.
type gatedDaily struct {
	http.RoundTripper
	date market.Date
	gate chan struct{}
}

func (w gatedDaily) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if bytes.Contains(body, []byte(`"daily"`)) && bytes.Contains(body, []byte(w.date.Compact())) {
		<-w.gate
	}
	return w.RoundTripper.RoundTrip(r)
}

// TestACompanyThatDailyNeverHas: a company with a valuation and without daily on any day is not
// missing, also while the neighbouring day is still in progress.
func TestACompanyThatDailyNeverHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := market.NewDate(2026, 3, 2) // a Monday
		time.Sleep(time.Until((first + 4).At(20, 0, market.Shanghai)))
		p := providertest.New(60, 10, first+4)
		p.Change = func(api string, row map[string]any) bool {
			return api != catalog.Daily || row["ts_code"] != "600000.SH"
		}
		slow := gatedDaily{direct{p}, first + 2, make(chan struct{})}
		r, _ := newBubbleHarness(t, p, 20, slow)
		defer r.close()
		refs, err := r.ing.References(t.Context(), coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: first, End: first + 4})
		if err != nil {
			t.Fatal(err)
		}
		r.all(refs.Partitions, 1)
		fetch := func(dataset string, d market.Date) {
			o := r.one(t.Context(), coverage.Partition{ID: coverage.PartitionID(dataset, d, d, nil), Pool: market.Universe, Dataset: dataset, Start: d, End: d})
			if o.err != nil {
				t.Errorf("%s %s: %v", dataset, d, o.err)
			}
		}
		fetch(catalog.DailyBasic, first+1)
		var both sync.WaitGroup
		for _, d := range []market.Date{first + 2, first + 1} {
			both.Go(func() { fetch(catalog.Daily, d) })
			synctest.Wait()
		}
		close(slow.gate)
		both.Wait()
		if held, _ := r.sinks[market.Universe].Held(coverage.Key{Dataset: catalog.Daily, Date: first + 1}); held.Verdict != coverage.Complete {
			t.Errorf("%s is %s: %v", first+1, held.Verdict, held.Issues)
		}
	})
}
