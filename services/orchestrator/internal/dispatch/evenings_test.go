package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/scheduler"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker/workertest"
)

// lateMoneyflow makes the worker find moneyflow missing until the provider has it, as a
// worker does that plans what is missing.
func lateMoneyflow(g *harness, day market.Date, open []market.Date, released time.Time) (asks func() int) {
	held, asked := false, 0
	g.srv.OpenDates, g.srv.Reference = nil, nil
	for _, d := range open {
		g.srv.OpenDates = append(g.srv.OpenDates, d.String())
	}
	g.srv.Plan = func(req *ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error) {
		resp := &ingestv1.PlanPartitionsResponse{}
		g.srv.Script(func(*workertest.Server) {
			if req.GetStage() == ingestv1.PlanStage_PLAN_STAGE_DATA {
				resp.LastTradeDate = day.String()
				if !held {
					resp.Partitions = append(resp.Partitions, workertest.Spec("stock.moneyflow", "moneyflow", day.String()))
				}
			}
		})
		return resp, nil
	}
	g.srv.Ingest = func(context.Context, *ingestv1.IngestPartitionRequest, workertest.Beat) (*ingestv1.PartitionResult, error) {
		late := time.Now().Before(released)
		g.srv.Script(func(*workertest.Server) { asked, held = asked+1, !late })
		if late {
			return &ingestv1.PartitionResult{Coverage: &marketv1.Coverage{Verdict: marketv1.Verdict_VERDICT_NOT_PUBLISHED}, CallCount: 1}, nil
		}
		return workertest.Complete(10), nil
	}
	return func() (n int) {
		g.srv.Script(func(*workertest.Server) { n = asked })
		return n
	}
}

// seldom keeps the timers of many days few: with Go 1.26.8 the race detector itself
// crashes when one bubble has fired some ten thousand of them (golang/go 78156).
func seldom(cfg *dispatch.Config) { cfg.Timing.Idle = 10 * time.Minute }

// TestLateOverClosedDays: data that is not published on the evening before closed days is fetched on
// these days, with one queued follow-up run at a time, despite restarts and other runs. The next time
// is always reported.
func TestLateOverClosedDays(t *testing.T) {
	friday, sept30 := market.NewDate(2026, 3, 6), market.NewDate(2026, 9, 30)
	for name, c := range map[string]struct {
		day, next market.Date
		released  time.Time
		within    time.Duration
		most      int // asks
	}{
		"Friday to Saturday at ten":          {friday, friday + 3, (friday + 1).At(10, 0, market.Shanghai), 2 * time.Hour, 25},
		"National Day to the last morning":   {sept30, sept30 + 9, (sept30 + 9).At(8, 0, market.Shanghai), time.Hour, 70},
		"National Day to a day in its midst": {sept30, sept30 + 9, (sept30 + 4).At(9, 30, market.Shanghai), 4 * time.Hour, 55},
	} {
		t.Run(name, func(t *testing.T) {
			withFakeClock(t, func(t *testing.T) {
				g := newHarness(t)
				time.Sleep(time.Until(c.day.At(19, 30, market.Shanghai)))
				asks := lateMoneyflow(g, c.day, []market.Date{c.day - 1, c.day, c.next, c.next + 1}, c.released)
				g.start(seldom)
				first := g.create(market.Universe)[0]
				done := time.Time{}
				for n := 0; done.IsZero() && time.Now().Before(c.next.At(19, 0, market.Shanghai)); n++ {
					time.Sleep(10 * time.Minute)
					settle()
					status, err := g.d.PoolStatus(t.Context(), market.Universe)
					if err != nil {
						t.Fatal(err)
					}
					if len(status.Queued) > 1 || len(status.Queued) == 0 && status.Current == nil && status.Last.Outcome != run.Succeeded {
						t.Fatalf("%v: %d runs in the queue: %+v", time.Now(), len(status.Queued), status.Queued)
					}
					if status.Last != nil && status.Last.Outcome == run.Succeeded {
						done = status.Last.FinishedAt
					}
					switch n {
					case 7, 40: // a restart, the follow-up waits on
						g.stop()
						if err := g.store.Close(); err != nil {
							t.Fatal(err)
						}
						g.open()
						g.start(seldom)
					case 10: // a run by hand finds the same, and does not start a second chain
						g.create(market.Universe)
					case 30:
						said, _, err := scheduler.New(scheduler.Config{Ledger: g.store}).ExplainRun(t.Context(), *status.Last)
						want := fmt.Sprintf("starts at %s (Shanghai): moneyflow of %s was not published or not complete.", slot.Moment(status.Queued[0].NotBefore, nil), c.day)
						if text := strings.Join(bilingual.In(said, false), "\n"); err != nil || !strings.Contains(text, want) {
							t.Errorf("%q is missing in:\n%s %v", want, text, err)
						}
						zh := strings.Join(bilingual.In(said, true), "\n")
						for _, want := range []string{"预检：全市场的结论：", "的 moneyflow 尚未发布或不完整）。"} {
							if !strings.Contains(zh, want) {
								t.Errorf("%q is missing in:\n%s", want, zh)
							}
						}
					}
				}
				if late := done.Sub(c.released); done.IsZero() || late < 0 || late > c.within {
					t.Errorf("held at %v, released at %v", done, c.released)
				}
				if asks() > c.most {
					t.Errorf("%d asks, want %d at most", asks(), c.most)
				}
				if r := g.get(first.ID); r.RetryAt.IsZero() {
					t.Errorf("the first run does not say when it was followed up: %+v", r)
				}
				t.Logf("held %s after the release, %d asks", done.Sub(c.released), asks())
			})
		})
	}
}

// scheduled queues a run of the schedule for this moment and follows it to its end.
func (g *harness) scheduled(pool market.Pool) run.Run {
	g.t.Helper()
	runs := []run.Run{{
		Pool: pool, Mode: run.Daily, Source: run.SourceSchedule, SlotID: slot.ID(market.DateOf(time.Now()), pool),
		Request: run.Request{Start: market.NoDate, End: market.NoDate}, State: run.Queued, AsOf: market.NoDate, CreatedAt: time.Now(),
	}}
	if err := g.store.Enqueue(g.t.Context(), runs, nil); err != nil {
		g.t.Fatal(err)
	}
	g.d.Wake()
	r, _ := g.watch(runs[0].ID)
	return r
}

// TestEachEveningProbesAnew: a probe of the evening before is a day old but for the
// seconds that it took, and is not reused; one of this evening is.
func TestEachEveningProbesAnew(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		slow := time.Duration(0)
		g.srv.Probe = func(ctx context.Context, _ string) (*ingestv1.ModuleProbe, error) {
			pause(ctx, slow)
			return &ingestv1.ModuleProbe{Passed: true}, nil
		}
		g.start()
		for evening := range 6 {
			slow = time.Duration(evening%3) * 4 * time.Second // half of them stale at the next hour, or none
			before := len(g.srv.Probed())
			for i, pool := range []market.Pool{market.Targets, market.Universe, market.Universe} {
				r := g.scheduled(pool)
				for _, issue := range r.Issues {
					if issue.Reason == fault.ModuleTestStale {
						t.Errorf("evening %d, run %d: %s", evening, i, issue.Message)
					}
				}
			}
			if got := len(g.srv.Probed()) - before; got != 6 {
				t.Errorf("evening %d: %d probes, want each of the six modules once", evening, got)
			}
			time.Sleep(time.Until(market.DateOf(time.Now().Add(24*time.Hour)).At(19, 30, market.Shanghai)))
		}
	})
}

// TestSlotBeforeTheDataIsDue: a slot that fires in the afternoon, by its setting or for a
// trial, is followed that evening when each dataset is due, and not a day later.
func TestSlotBeforeTheDataIsDue(t *testing.T) {
	due := map[string]int{"daily": 17, "daily_basic": 18, "moneyflow": 19}
	monday := market.NewDate(2026, 3, 9)
	for name, c := range map[string]struct {
		hour, minute int
		slotID       string
		follows      bool
	}{
		"set to four o'clock":     {16, 0, slot.ID(monday, market.Universe), true},
		"a trial at five past 14": {14, 5, slot.ID(monday, market.Universe), true},
		"between the hours":       {17, 30, slot.ID(monday, market.Universe), true},
		"in the evening":          {19, 30, slot.ID(monday, market.Universe), true},
		"Friday's, caught up":     {14, 5, slot.ID(monday-3, market.Universe), false}, // Monday's own slot is to come
		"by hand":                 {14, 5, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			withFakeClock(t, func(t *testing.T) {
				g := newHarness(t)
				g.srv.OpenDates, g.srv.Reference = []string{"2026-03-05", "2026-03-06", "2026-03-09", "2026-03-10"}, nil
				held := map[string]time.Time{}
				g.srv.Plan = func(req *ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error) {
					resp := &ingestv1.PlanPartitionsResponse{LastTradeDate: "2026-03-06"}
					g.srv.Script(func(*workertest.Server) {
						for dataset, hour := range due {
							if req.GetStage() == ingestv1.PlanStage_PLAN_STAGE_DATA && held[dataset].IsZero() && !time.Now().Before(monday.At(hour, 0, market.Shanghai)) {
								resp.LastTradeDate = monday.String()
								resp.Partitions = append(resp.Partitions, workertest.Spec("stock.market.daily", dataset, monday.String()))
							}
						}
					})
					return resp, nil
				}
				g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
					g.srv.Script(func(*workertest.Server) { held[req.GetPartition().GetDatasetId()] = time.Now() })
					return workertest.Complete(10), nil
				}
				time.Sleep(time.Until(monday.At(c.hour, c.minute, market.Shanghai)))
				g.start()
				first := run.Run{
					Pool: market.Universe, Mode: run.Daily, Source: run.SourceSchedule, SlotID: c.slotID,
					Request: run.Request{Start: market.NoDate, End: market.NoDate}, State: run.Queued, AsOf: market.NoDate, CreatedAt: time.Now(),
				}
				if err := g.store.Enqueue(t.Context(), []run.Run{first}, nil); err != nil {
					t.Fatal(err)
				}
				g.d.Wake()
				time.Sleep(time.Until(monday.At(19, 31, market.Shanghai)))
				settle()
				for dataset, hour := range due {
					at := monday.At(max(hour, c.hour), 0, market.Shanghai)
					if hour < c.hour || hour == c.hour && c.minute > 0 {
						at = monday.At(c.hour, c.minute, market.Shanghai)
					}
					if got := held[dataset]; got.IsZero() == c.follows || c.follows && got.Sub(at) > time.Minute {
						t.Errorf("%s came at %v, due at %v", dataset, got, at)
					}
				}
				queue, err := g.store.Queue(t.Context(), market.Universe)
				if err != nil || len(queue) != 0 {
					t.Errorf("left in the queue: %+v %v", queue, err)
				}
			})
		})
	}
}

// TestEachEveningVerifiesTheDayBefore: if rows of the previous open day differ from the committed
// ones, that is reported, and they are fetched again in the same run or a follow-up run.
func TestEachEveningVerifiesTheDayBefore(t *testing.T) {
	friday := market.NewDate(2026, 2, 27)
	for name, c := range map[string]struct {
		pool    market.Pool
		altered string // partition
		fails   bool   // the refetch does
		healed  bool   // in the same run
	}{
		"in the second look":      {market.Universe, "daily/2026-02-27", false, true},
		"beside the second look":  {market.Universe, "moneyflow/2026-02-27", false, true},
		"and not to be had":       {market.Universe, "moneyflow/2026-02-27", true, false},
		"of a symbol of targets":  {market.Targets, "moneyflow/2026-02-27/600519.SH", false, true},
		"nothing":                 {market.Universe, "", false, true},
		"of a day that is not it": {market.Universe, "daily/2026-02-26", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			withFakeClock(t, func(t *testing.T) {
				g := newHarness(t)
				var checked, fetched []string
				g.srv.Verify = func(req *ingestv1.VerifyPartitionsRequest) *ingestv1.VerifyPartitionsResponse {
					resp := &ingestv1.VerifyPartitionsResponse{}
					for _, p := range req.GetPartitions() {
						checked = append(checked, p.GetPartitionId())
						resp.Checks = append(resp.Checks, &ingestv1.PartitionCheck{PartitionId: p.GetPartitionId(), RowCount: 10, CoverageCount: 10,
							Verdict: marketv1.Verdict_VERDICT_COMPLETE, Altered: p.GetPartitionId() == c.altered})
					}
					return resp
				}
				g.srv.Plan = func(req *ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error) {
					resp := &ingestv1.PlanPartitionsResponse{LastTradeDate: "2026-03-02"}
					switch {
					case req.GetStage() == ingestv1.PlanStage_PLAN_STAGE_REFERENCES:
					case req.GetRefetch():
						if req.GetStartDate() != friday.String() || req.GetEndDate() != friday.String() {
							t.Errorf("refetch of %s to %s", req.GetStartDate(), req.GetEndDate())
						}
						resp.Partitions = []*ingestv1.PartitionSpec{workertest.Spec("stock.market.daily", "daily", friday.String()), workertest.Spec("stock.moneyflow", "moneyflow", friday.String())}
					default:
						resp.Partitions = g.srv.Data
					}
					return resp, nil
				}
				fails := c.fails
				g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
					id := req.GetPartition().GetPartitionId()
					var broken bool
					g.srv.Script(func(*workertest.Server) { fetched, broken = append(fetched, id), fails })
					if broken && id == "moneyflow/2026-02-27" {
						return nil, fault.New(fault.PermissionDenied, "Not permitted.", "api", "moneyflow")
					}
					return workertest.Complete(10), nil
				}
				g.start()
				r := g.scheduled(c.pool)
				if len(checked) == 0 || slices.ContainsFunc(checked, func(id string) bool { return !strings.Contains(id, "/2026-02-27") }) {
					t.Errorf("checked %v", checked)
				}
				i := slices.IndexFunc(r.Issues, func(i fault.Issue) bool { return i.Reason == fault.StoreAltered })
				if told := strings.Contains(c.altered, friday.String()); told != (i >= 0) {
					t.Fatalf("reported %v: %+v", told, r.Issues)
				} else if !told {
					return
				}
				issue := r.Issues[i]
				faulttest.Produces(t, issue, fault.StoreAltered)
				dataset, _, _ := strings.Cut(c.altered, "/")
				want := fmt.Sprintf(`curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_%s"],"start_date":"2026-02-27","end_date":"2026-02-27","refetch":true}'`, strings.ToUpper(string(c.pool)))
				if issue.Command() != want || issue.Meta["dataset"] != dataset || !strings.Contains(issue.Message, c.altered) {
					t.Errorf("%+v", issue)
				}
				if n := count(fetched, dataset+"/2026-02-27"); n != 1 {
					t.Errorf("fetched %d times: %v", n, fetched)
				}
				follow := g.followUps(r.ID)
				if c.healed {
					if r.Outcome != run.Succeeded || issue.Severity != fault.Warning || len(follow) != 0 {
						t.Errorf("%s with %s, followed by %+v", r.Outcome, issue.Severity, follow)
					}
					return
				}
				if r.Outcome != run.Partial || issue.Severity != fault.Retry || len(follow) != 1 || !follow[0].Request.Refetch ||
					follow[0].Request.Start != friday || follow[0].Request.End != friday || r.RetryAt.IsZero() {
					t.Fatalf("%s with %s, followed by %+v", r.Outcome, issue.Severity, follow)
				}
				g.srv.Script(func(*workertest.Server) { fails = false })
				if next, _ := g.watch(follow[0].ID); next.Outcome != run.Succeeded || count(fetched, "moneyflow/2026-02-27") != 2 {
					t.Errorf("the follow-up ended %s: %v", next.Outcome, fetched)
				}
				verified := len(checked)
				if g.run(c.pool); len(checked) != verified {
					t.Error("a run by hand verifies the day before")
				}
			})
		})
	}
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// TestVerifyingThatFailsHoldsNothingUp: if the worker cannot read the previous day, that is logged,
// and the evening continues.
func TestVerifyingThatFailsHoldsNothingUp(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Verify = func(*ingestv1.VerifyPartitionsRequest) *ingestv1.VerifyPartitionsResponse {
			return &ingestv1.VerifyPartitionsResponse{} // not an answer
		}
		g.start()
		if r := g.scheduled(market.Universe); r.Outcome != run.Succeeded || len(r.Issues) != 0 {
			t.Errorf("%s: %+v", r.Outcome, r.Issues)
		}
	})
}
