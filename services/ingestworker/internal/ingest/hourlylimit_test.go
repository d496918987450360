package ingest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
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

// hourly refuses stock_basic more than once an hour and five times a day, as a token of
// the lowest tier has it. Refused calls count or not.
type hourly struct {
	counts bool
	raised bool
	calls  []time.Time
	served []string
}

func (h *hourly) answer(c providertest.Call, _ int, w http.ResponseWriter) bool {
	if c.API != catalog.StockBasic {
		return false
	}
	hour, today, now := 0, 0, time.Now()
	for _, at := range h.calls {
		if now.Sub(at) < time.Hour {
			hour++
		}
		if market.DateOf(at) == market.DateOf(now) {
			today++
		}
	}
	refused := ""
	switch {
	case h.raised:
	case hour >= 1:
		refused = "1次/小时"
	case today >= 5:
		refused = "5次/天"
	}
	if refused == "" || h.counts {
		h.calls = append(h.calls, now)
	}
	if refused == "" {
		h.served = append(h.served, c.Params["list_status"])
		return false
	}
	fmt.Fprintf(w, `{"code":40203,"data":null,"msg":"抱歉，您访问接口(stock_basic)频率超限(%s)，具体频次详情"}`, refused)
	return true
}

// A list that may be asked for once an hour comes whole in three hours, though a
// preflight probes it each time, and though both pools want it.
func TestAListOfOneCallAnHourComesWhole(t *testing.T) {
	for _, counts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			first := market.NewDate(2026, 3, 2)
			time.Sleep(time.Until(first.At(8, 0, market.Shanghai)))
			p := providertest.New(40, 20, first)
			p.First = market.NewDate(2026, 1, 1)
			h := &hourly{counts: counts}
			p.Answer = h.answer
			client, limits := newClient(t, limiter.Config{}, tushare.Config{Transport: direct{p}})
			r := &harness{t: t, dir: t.TempDir(), client: client}
			r.open()
			defer r.close()
			answers := ingest.NewAnswers()
			r.ing = ingest.New(ingest.Config{Provider: client, Sinks: r.sinks, Answers: answers, WindowDays: map[market.Pool]int{market.Universe: 3, market.Targets: 3}})
			prober := probe.New(client, anyToken{}, answers, limits)
			symbols := []string{"600000.SH", "000001.SZ"}

			// attempt is a preflight and a run of both pools; it returns when to try again,
			// zero when all lists are whole.
			attempt := func(refetch bool) (again time.Time) {
				err := prober.Run(t.Context(), probe.Request{Modules: []string{"stock.basic"}, TradeDate: first - 3}, probe.Events{
					Started: func(*catalog.Module) error { return nil },
					Finished: func(o probe.Outcome) error {
						if !o.Passed {
							t.Errorf("the probe failed: %+v", o.Issues)
						}
						return nil
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, pool := range market.Pools() {
					w := coverage.PlanRequest{Pool: pool, Datasets: datasets(catalog.TradeCal, catalog.StockBasic), Start: market.NoDate, End: market.NoDate, Symbols: symbols, Refetch: refetch}
					refs, err := r.ing.References(t.Context(), w)
					if err != nil {
						t.Fatal(err)
					}
					for _, o := range r.all(refs.Partitions, 1) {
						if o.err == nil && o.result.Held.Verdict == coverage.Complete {
							continue
						}
						f, ok := fault.As(o.err)
						if !ok || f.Reason != fault.QuotaExhausted || !f.RetryAt.After(time.Now()) {
							t.Fatalf("%s: %v, %+v", o.part.ID, o.err, o.result)
						}
						again = f.RetryAt
					}
				}
				return again
			}
			evening := func(d market.Date, refetch bool) {
				t.Helper()
				time.Sleep(time.Until(d.At(19, 30, market.Shanghai)))
				start := time.Now()
				h.served = nil
				for again := attempt(refetch); !again.IsZero(); again = attempt(refetch) {
					if again.Sub(start) > 3*time.Hour {
						t.Fatalf("%s: not whole after %v; served %v", d, again.Sub(start), h.served)
					}
					time.Sleep(time.Until(again))
				}
				if took := time.Since(start); !slices.Equal(h.served, []string{"L", "D", "P"}) || took > 2*time.Hour+time.Minute {
					t.Errorf("%s counts %v: served %v in %v", d, counts, h.served, took)
				}
			}
			evening(first, false)
			evening(first+1, false)
			evening(first+2, true)

			// The tier is upgraded: this is noticed, and the whole list is fetched at once.
			h.raised = true
			time.Sleep(time.Until((first + 3).At(19, 30, market.Shanghai)))
			h.served = nil
			if again := attempt(false); !again.IsZero() || !slices.Equal(h.served, []string{"L", "D", "P"}) {
				t.Errorf("after the tier was raised: served %v, again at %v", h.served, again)
			}
		})
	}
}

// A probe of a day leaves the hour's only call to the run.
func TestAProbeLeavesTheOnlyCallToTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := market.NewDate(2026, 3, 2)
		time.Sleep(time.Until(first.At(20, 0, market.Shanghai)))
		p := providertest.New(40, 20, first)
		var last time.Time
		p.Answer = func(c providertest.Call, _ int, w http.ResponseWriter) bool {
			if c.API != catalog.Moneyflow {
				return false
			}
			if now := time.Now(); last.IsZero() || now.Sub(last) >= time.Hour {
				last = now
				return false
			}
			fmt.Fprint(w, `{"code":40203,"msg":"抱歉，您每小时最多访问该接口1次，权限的具体详情访问"}`)
			return true
		}
		client, limits := newClient(t, limiter.Config{}, tushare.Config{Transport: direct{p}})
		prober := probe.New(client, anyToken{}, nil, limits)
		look := func() (out probe.Outcome) {
			err := prober.Run(t.Context(), probe.Request{Modules: []string{"stock.moneyflow"}, TradeDate: first}, probe.Events{
				Started: func(*catalog.Module) error { return nil }, Finished: func(o probe.Outcome) error { out = o; return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		fetch := func() error {
			_, err := client.Fetch(t.Context(), ingest.Query{Dataset: catalog.Lookup(catalog.Moneyflow), Params: map[string]string{"trade_date": first.Compact()}}, nil)
			return err
		}
		if o := look(); !o.Passed || o.Calls != 1 {
			t.Fatalf("nothing is known yet: %+v", o)
		}
		if err := fetch(); !fault.Is(err, fault.QuotaExhausted) {
			t.Fatal(err)
		}
		for hour := range 3 {
			time.Sleep(time.Hour + time.Second)
			o := look()
			if !o.Passed || o.Calls != 0 || len(o.Issues) != 1 || o.Issues[0].Severity != fault.Warning || !strings.Contains(o.Issues[0].Message, "moneyflow is 1 per hour") {
				t.Errorf("hour %d: %+v", hour, o)
			}
			if err := fetch(); err != nil {
				t.Errorf("hour %d: the run did not get its call: %v", hour, err)
			}
		}
	})
}
