package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker/workertest"
)

// gateway holds partitions of a pool at the worker until it is opened.
type gateway struct {
	open    chan struct{}
	started chan string
}

func hold(g *harness, pool market.Pool) *gateway {
	w := &gateway{open: make(chan struct{}), started: make(chan string, 1000)}
	ingest := func(ctx context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
		mine := req.GetPool() == marketv1.Pool_POOL_TARGETS
		if mine != (pool == market.Targets) {
			return workertest.Complete(10), nil
		}
		w.started <- req.GetPartition().GetPartitionId()
		select {
		case <-w.open:
			return workertest.Complete(10), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	g.srv.Script(func(s *workertest.Server) { s.Ingest = ingest })
	return w
}

func TestCancelWaitsForTheWorker(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Linger = 7 * time.Second // the transaction rolls back slowly
		w := hold(g, market.Universe)
		g.start()
		id := g.create(market.Universe)[0].ID
		<-w.started
		start := time.Now()
		r, err := g.d.Cancel(t.Context(), id, "anna: wrong range")
		if err != nil || r.State != run.Cancelling {
			t.Fatalf("cancel = %+v, %v", r, err)
		}
		if again, err := g.d.Cancel(t.Context(), id, "again"); err != nil || again.State != run.Cancelling {
			t.Errorf("a second cancel = %v, %v", again.State, err)
		}
		time.Sleep(5 * time.Second)
		if r := g.get(id); r.State != run.Cancelling {
			t.Errorf("state = %s while the worker still writes", r.State)
		}
		r, _ = g.watch(id)
		if r.Outcome != run.Cancelled || r.State.Status(r.Outcome) != "canceled" || r.Note != "anna: wrong range" || time.Since(start) < 7*time.Second {
			t.Errorf("run = %+v after %s", r, time.Since(start))
		}
		faulttest.Produces(t, r.Issues, fault.Cancelled)
		for id, p := range g.partitions(id) {
			if p.State != run.PartitionCancelled {
				t.Errorf("%s is %s", id, p.State)
			}
		}
		if len(g.followUps(id)) != 0 {
			t.Error("a cancelled run is followed")
		}
		_, err = g.d.Cancel(t.Context(), id, "too late")
		faulttest.Produces(t, err, fault.WrongState)
		if f, _ := fault.As(err); f.Meta["allowed_states"] != "queued, checking, running, paused, cancelling" {
			t.Errorf("allowed_states = %q", f.Meta["allowed_states"])
		}
		_, err = g.d.Cancel(t.Context(), "no-such-run", "")
		faulttest.Produces(t, err, fault.NotFound)
	})
}

func TestCancelWhileTheWorkerIsAway(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		w := hold(g, market.Universe)
		g.start()
		id := g.create(market.Universe)[0].ID
		<-w.started
		g.srv.Down()
		if _, err := g.d.Cancel(t.Context(), id, "stop"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if r := g.get(id); r.State != run.Cancelling {
			t.Errorf("state = %s although the worker has not confirmed", r.State)
		}
		g.srv.Up()
		if r, _ := g.watch(id); r.Outcome != run.Cancelled {
			t.Errorf("outcome = %s", r.Outcome)
		}
	})
}

func TestCancelQueuedAndChecking(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Probe = func(ctx context.Context, _ string) (*ingestv1.ModuleProbe, error) {
			<-ctx.Done() // a provider that hangs
			return nil, ctx.Err()
		}
		g.start()
		first := g.create(market.Universe)[0].ID
		second, err := g.d.Create(t.Context(), dispatch.CreateRequest{Pools: []market.Pool{market.Universe}, Request: run.Request{Refetch: true}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if r := g.get(first); r.State != run.Checking {
			t.Fatalf("state = %s", r.State)
		}
		r, err := g.d.Cancel(t.Context(), second[0].ID, "not needed")
		if err != nil || r.State != run.Finished || r.Outcome != run.Cancelled {
			t.Errorf("queued: %+v, %v", r, err)
		}
		g.watch(second[0].ID)
		if _, err := g.d.Cancel(t.Context(), first, "hangs"); err != nil {
			t.Fatal(err)
		}
		if r, _ := g.watch(first); r.Outcome != run.Cancelled {
			t.Errorf("checking: %s", r.Outcome)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.settings(func(s *settings.Settings) { s.DispatchWidth = 1 })
		g.srv.Reference = nil
		w := hold(g, market.Universe)
		g.start()
		id := g.create(market.Universe)[0].ID
		in := <-w.started
		status, err := g.d.Pause(t.Context(), market.Universe, "ben: exchange maintenance")
		if err != nil || !status.Paused || status.Note != "ben: exchange maintenance" || status.Current == nil || status.Current.State != run.Running {
			t.Fatalf("pause = %+v, %v", status, err)
		}
		w.open <- struct{}{} // the partition in hand commits
		settle()
		if r := g.get(id); r.State != run.Paused || r.State.Status(r.Outcome) != "running" {
			t.Fatalf("state = %s", r.State)
		}
		if p := g.partitions(id); p[in].State != run.PartitionCompleted || len(g.srv.Epochs()) != 1 {
			t.Errorf("in hand = %+v, %d dispatches", p[in], len(g.srv.Epochs()))
		}
		queued := g.create(market.Universe)[0] // covered by the paused run
		if queued.ID != id {
			t.Error("a paused run does not answer a trigger that it covers")
		}
		time.Sleep(time.Hour)
		if len(g.srv.Epochs()) != 1 {
			t.Error("a held pool dispatched")
		}
		checks := g.srv.Checked()
		g.srv.Script(func(s *workertest.Server) { s.Data = s.Data[1:] }) // what is held is not planned again
		close(w.open)
		if status, err = g.d.Resume(t.Context(), market.Universe, "ben: over"); err != nil || status.Paused {
			t.Fatalf("resume = %+v, %v", status, err)
		}
		r, events := g.watch(id)
		if r.Outcome != run.Succeeded || r.Partitions != 4 || r.Completed != 4 || g.srv.Checked() == checks {
			t.Errorf("run = %+v", r)
		}
		var walk []string
		for _, e := range events {
			if e.StateChanged != nil {
				walk = append(walk, string(e.StateChanged.To))
			}
		}
		if got := strings.Join(walk, " "); got != "checking running paused checking running finished" {
			t.Errorf("states = %s", got)
		}
		if _, err := g.d.Resume(t.Context(), market.Universe, "nothing to do"); err != nil {
			t.Error(err)
		}
		_, err = g.d.Pause(t.Context(), "elsewhere", "")
		faulttest.Produces(t, err, fault.NotFound)
	})
}

func TestPauseDoesNotWaitForALimit(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		waiting := make(chan struct{}, 100)
		g.srv.Reference = nil
		g.srv.Ingest = func(ctx context.Context, _ *ingestv1.IngestPartitionRequest, beat workertest.Beat) (*ingestv1.PartitionResult, error) {
			beat(&ingestv1.IngestPartitionResponse_Heartbeat{WaitingApi: "daily", WaitUntilTime: timestamppb.New(time.Now().Add(time.Hour))})
			waiting <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		g.start()
		id := g.create(market.Universe)[0].ID
		<-waiting
		settle()
		if _, err := g.d.Pause(t.Context(), market.Universe, "now"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if r := g.get(id); r.State != run.Paused {
			t.Errorf("state = %s", r.State)
		}
		if r, err := g.d.Cancel(t.Context(), id, "enough"); err != nil || r.State != run.Cancelling {
			t.Errorf("cancel of a paused run = %+v, %v", r, err)
		}
		if r, _ := g.watch(id); r.Outcome != run.Cancelled {
			t.Errorf("outcome = %s", r.Outcome)
		}
	})
}

func TestUniverseWaitsForTargets(t *testing.T) {
	for name, c := range map[string]struct {
		during func(g *harness, targets string) // once targets is at the worker
		after  time.Duration                    // universe starts this long after its trigger
	}{
		"until ten minutes have passed": {func(*harness, string) {}, 10 * time.Minute},
		"until targets ends":            {func(g *harness, id string) { time.Sleep(time.Minute); _, _ = g.d.Cancel(g.t.Context(), id, "x") }, time.Minute},
		"until targets is paused": {func(g *harness, _ string) {
			time.Sleep(2 * time.Minute)
			_, _ = g.d.Pause(g.t.Context(), market.Targets, "x")
		}, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			withFakeClock(t, func(t *testing.T) {
				g := newHarness(t)
				w := hold(g, market.Targets)
				g.start(func(c *dispatch.Config) { c.Timing.Stall = time.Hour })
				runs := g.create()
				<-w.started
				c.during(g, runs[0].ID)
				r, _ := g.watch(runs[1].ID)
				if took := r.StartedAt.Sub(r.CreatedAt); r.Outcome != run.Succeeded || took < c.after || took > c.after+5*time.Second {
					t.Errorf("universe %s, started after %s, want %s", r.Outcome, took, c.after)
				}
			})
		})
	}
}

func TestTargetsFirstAndEachByItself(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Store = func(pool marketv1.Pool) []fault.Issue {
			if pool == marketv1.Pool_POOL_UNIVERSE {
				return []fault.Issue{fault.NewIssue(fault.AnalysisDBNotInitialized, "It is no DuckDB file.")}
			}
			return nil
		}
		g.start()
		runs := g.create()
		if len(runs) != 2 || runs[0].Pool != market.Targets || runs[0].TriggerID != runs[1].TriggerID {
			t.Fatalf("runs = %+v", runs)
		}
		targets, _ := g.watch(runs[0].ID)
		universe, _ := g.watch(runs[1].ID)
		if targets.Outcome != run.Succeeded || targets.Symbols != 2 || universe.Outcome != run.Blocked || universe.StartedAt.Before(targets.FinishedAt) {
			t.Errorf("targets = %s, universe = %s", targets.Outcome, universe.Outcome)
		}
		for _, p := range g.srv.Planned() {
			if len(p.GetSymbols()) != 2 {
				t.Errorf("planned for %v", p.GetSymbols())
			}
		}
	})
}

// panickingWorker panics in one call of one pool.
type panickingWorker struct {
	dispatch.Worker
	pool  market.Pool
	where string
}

func (c panickingWorker) PlanPartitions(ctx context.Context, req dispatch.PlanRequest) (dispatch.WorkPlan, error) {
	if req.Pool == c.pool && c.where == "plan" {
		panic("plan")
	}
	return c.Worker.PlanPartitions(ctx, req)
}

func (c panickingWorker) IngestPartition(ctx context.Context, job dispatch.Job, progress func(dispatch.Progress)) (dispatch.Result, error) {
	if job.Pool == c.pool && c.where == "ingest" {
		panic("ingest")
	}
	return c.Worker.IngestPartition(ctx, job, progress)
}

// panickingLedger panics once in NextEpoch.
type panickingLedger struct {
	dispatch.Ledger
	armed *atomic.Bool
}

func (f panickingLedger) NextEpoch(ctx context.Context, now time.Time) (int64, error) {
	if f.armed.CompareAndSwap(true, false) {
		panic("epoch")
	}
	return f.Ledger.NextEpoch(ctx, now)
}

func TestPanicEndsItsRunAndNothingElse(t *testing.T) {
	for _, where := range []string{"plan", "ingest", "loop"} {
		t.Run(where, func(t *testing.T) {
			withFakeClock(t, func(t *testing.T) {
				g := newHarness(t)
				armed := &atomic.Bool{}
				armed.Store(where == "loop")
				g.start(func(c *dispatch.Config) {
					c.Worker = panickingWorker{c.Worker, market.Targets, where}
					c.Ledger = panickingLedger{c.Ledger, armed}
				})
				runs := g.create()
				broken, _ := g.watch(runs[0].ID)
				if broken.Outcome != run.Failed {
					t.Errorf("outcome = %s", broken.Outcome)
				}
				faulttest.Produces(t, broken.Issues, fault.Internal)
				if r, _ := g.watch(runs[1].ID); r.Outcome != run.Succeeded {
					t.Errorf("universe = %s", r.Outcome)
				}
				if where == "loop" {
					if r, _ := g.run(market.Targets); r.Outcome != run.Succeeded {
						t.Errorf("the next run of the pool = %s", r.Outcome)
					}
				}
			})
		})
	}
}

// TestHangOfOnePool has targets hang in its check for good: universe runs.
func TestHangOfOnePool(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start(func(c *dispatch.Config) { c.Worker = hangingWorker{c.Worker} })
		runs := g.create()
		if r, _ := g.watch(runs[1].ID); r.Outcome != run.Succeeded {
			t.Errorf("universe = %s", r.Outcome)
		}
		if r := g.get(runs[0].ID); r.State != run.Checking {
			t.Errorf("targets = %s", r.State)
		}
		status, err := g.d.PoolStatus(t.Context(), market.Targets)
		if err != nil || status.Current == nil || status.Current.ID != runs[0].ID || status.Last != nil || len(status.Queued) != 0 {
			t.Errorf("status = %+v, %v", status, err)
		}
	})
}

// hangingWorker never answers CheckStore of targets.
type hangingWorker struct{ dispatch.Worker }

func (d hangingWorker) CheckStore(ctx context.Context, pool market.Pool) (dispatch.StoreCheck, error) {
	if pool == market.Targets {
		<-ctx.Done()
		return dispatch.StoreCheck{}, context.Cause(ctx)
	}
	return d.Worker.CheckStore(ctx, pool)
}

func TestRecover(t *testing.T) {
	for _, state := range []run.State{run.Checking, run.Running, run.Cancelling, run.Paused} {
		t.Run(string(state), func(t *testing.T) {
			withFakeClock(t, func(t *testing.T) {
				g := newHarness(t)
				r := run.Run{
					ID: ledger.NewID(), Pool: market.Universe, Mode: run.Daily, Source: run.SourceSchedule, TriggerID: "t",
					Request: run.Request{Start: market.NoDate, End: market.NoDate}, AsOf: market.NoDate, CreatedAt: time.Now(), State: run.Queued,
				}
				if err := g.store.Enqueue(t.Context(), []run.Run{r}, nil); err != nil {
					t.Fatal(err)
				}
				r, _, err := run.Take(r, time.Now())
				save := func(events ...run.Event) {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
					if _, err = g.store.Save(t.Context(), run.Update{Run: r, Events: events, Partitions: []run.Partition{
						{ID: "daily/2026-03-02", Dataset: "daily", Module: "stock.market.daily", Start: market.NewDate(2026, 3, 2),
							End: market.NewDate(2026, 3, 2), State: run.PartitionRunning, Attempts: 1},
					}}); err != nil {
						t.Fatal(err)
					}
				}
				r.Partitions = 1
				switch state {
				case run.Running:
					r, _, err = run.Begin(r, time.Now())
				case run.Cancelling:
					r, _, err = run.AskCancel(r, time.Now(), "stop")
				case run.Paused:
					r, _, err = run.Pause(r, time.Now(), "held")
					if err := g.store.SetPauseState(t.Context(), market.Universe, run.PauseState{Paused: true, Note: "held", At: time.Now()}); err != nil {
						t.Fatal(err)
					}
				}
				save()
				g.start()
				if state == run.Paused {
					time.Sleep(time.Hour)
					if r := g.get(r.ID); r.State != run.Paused {
						t.Fatalf("state = %s", r.State)
					}
					if _, err := g.d.Resume(t.Context(), market.Universe, "on"); err != nil {
						t.Fatal(err)
					}
					if r := finished(g, r.ID); r.Outcome != run.Succeeded {
						t.Errorf("outcome = %s: %+v", r.Outcome, r.Issues)
					}
					return
				}
				ended := finished(g, r.ID)
				if ended.Outcome != run.Failed || ended.Stage != "" {
					t.Errorf("run = %+v", ended)
				}
				faulttest.Produces(t, ended.Issues[0], fault.Interrupted)
				if p := g.partitions(r.ID)["daily/2026-03-02"]; p.State != run.PartitionCancelled {
					t.Errorf("partition = %+v", p)
				}
				follow := g.followUps(r.ID)
				if state == run.Cancelling {
					if len(follow) != 0 || strings.Contains(ended.Issues[0].Remedy, "follow-up") {
						t.Errorf("a run that a person ended is followed, or said to be: %v, %s", follow, ended.Issues[0].Remedy)
					}
					return
				}
				if len(follow) != 1 {
					t.Fatalf("follow-ups = %+v", follow)
				}
				if next, _ := g.watch(follow[0].ID); next.Outcome != run.Succeeded {
					t.Errorf("follow-up = %s", next.Outcome)
				}
			})
		})
	}
}

// finished waits for the end of a run whose first events were not recorded.
func finished(g *harness, id string) run.Run {
	g.t.Helper()
	if err := g.d.Watch(g.t.Context(), id, 0, func(run.Event) error { return nil }); err != nil {
		g.t.Fatal(err)
	}
	return g.get(id)
}

func TestStopDrainsAndTheQueueSurvives(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		w := hold(g, market.Universe)
		g.start()
		id := g.create(market.Universe)[0].ID
		<-w.started
		<-w.started
		queued, err := g.d.Create(t.Context(), dispatch.CreateRequest{Pools: []market.Pool{market.Universe}, Request: run.Request{Refetch: true}})
		if err != nil {
			t.Fatal(err)
		}
		go func() { time.Sleep(3 * time.Second); close(w.open) }()
		g.stop()
		r := g.get(id)
		if r.Outcome != run.Failed || r.Completed != 2 { // both references committed within the drain; data was not planned
			t.Errorf("run = %+v", r)
		}
		faulttest.Produces(t, r.Issues, fault.Interrupted)
		_, err = g.d.Cancel(t.Context(), queued[0].ID, "")
		faulttest.Produces(t, err, fault.Interrupted)
		follow := g.followUps(id)
		if len(follow) != 1 {
			t.Fatalf("follow-ups = %+v", follow)
		}
		g.start()
		for _, next := range []string{queued[0].ID, follow[0].ID} {
			if r, _ := g.watch(next); r.Outcome != run.Succeeded {
				t.Errorf("%s = %s", next, r.Outcome)
			}
		}
	})
}

func TestStopCutsWhatHangs(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		w := hold(g, market.Universe)
		g.start()
		id := g.create(market.Universe)[0].ID
		<-w.started
		start := time.Now()
		g.stop()
		if took := time.Since(start); took > 11*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		r := g.get(id)
		faulttest.Produces(t, r.Issues, fault.Interrupted)
		if r.State != run.Finished {
			t.Errorf("run = %+v", r)
		}
	})
}

func TestWatchResumesAndLetsGo(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start()
		r, all := g.run(market.Universe)
		var rest []run.Event
		if err := g.d.Watch(t.Context(), r.ID, 5, func(e run.Event) error { rest = append(rest, e); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(rest) != len(all)-5 || rest[0].Sequence != 6 {
			t.Errorf("%d events after 5 of %d", len(rest), len(all))
		}
		if err := g.d.Watch(t.Context(), r.ID, int64(len(all)), func(run.Event) error { return errors.New("nothing is left") }); err != nil {
			t.Error(err)
		}
		past := g.d.Watch(t.Context(), r.ID, int64(len(all))+1, func(run.Event) error { return errors.New("nothing is there") })
		if faulttest.Produces(t, past, fault.InvalidArgument); !strings.Contains(past.Error(), "after_sequence") {
			t.Errorf("a sequence never reached: %v", past)
		}
		gone := errors.New("the watcher left")
		if err := g.d.Watch(t.Context(), r.ID, 0, func(run.Event) error { return gone }); !errors.Is(err, gone) {
			t.Errorf("err = %v", err)
		}
		faulttest.Produces(t, g.d.Watch(t.Context(), "no-such-run", 0, func(run.Event) error { return nil }), fault.NotFound)
		hold(g, market.Universe)
		g.srv.Script(func(s *workertest.Server) { s.Data[0] = workertest.Spec("stock.market.daily", "daily", "2026-02-26") })
		id := g.create(market.Universe)[0].ID
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.d.Watch(ctx, id, 0, func(run.Event) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	})
}

// countingLedger counts the events that watchers have read and not sent.
type countingLedger struct {
	dispatch.Ledger
	now, most *atomic.Int64
}

func (h countingLedger) Events(ctx context.Context, id string, after int64, limit int) ([]run.Event, error) {
	events, err := h.Ledger.Events(ctx, id, after, limit)
	n := h.now.Add(int64(len(events)))
	for was := h.most.Load(); n > was && !h.most.CompareAndSwap(was, n); was = h.most.Load() {
	}
	return events, err
}

// A hundred watchers of a long run get all of it, and hold little of it at a time.
func TestManyWatchersHoldLittle(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Data = nil
		for n := range 400 {
			g.srv.Data = append(g.srv.Data, workertest.Spec("stock.market.daily", "daily", (market.NewDate(2020, 1, 1)+market.Date(n)).String()))
		}
		h := countingLedger{now: &atomic.Int64{}, most: &atomic.Int64{}}
		g.start(func(c *dispatch.Config) { h.Ledger = c.Ledger; c.Ledger = h })
		r, all := g.run(market.Universe)
		h.now.Store(0)
		h.most.Store(0)
		const many = 100
		var group sync.WaitGroup
		for range many {
			group.Go(func() {
				next := int64(1)
				err := g.d.Watch(t.Context(), r.ID, 0, func(e run.Event) error {
					if e.Sequence != next {
						return fmt.Errorf("event %d after %d", e.Sequence, next-1)
					}
					next++
					h.now.Add(-1)
					time.Sleep(time.Microsecond) // the others have their turn
					return nil
				})
				if err != nil || next != int64(len(all))+1 {
					t.Errorf("%d of %d events, %v", next-1, len(all), err)
				}
			})
		}
		group.Wait()
		if most := h.most.Load(); most > many*60 {
			t.Errorf("%d watchers of %d events held %d at once", many, len(all), most)
		}
	})
}

// failing refuses to store for a while.
type failing struct {
	dispatch.Ledger
	until *atomic.Int64
}

func (f failing) Save(ctx context.Context, u run.Update) ([]run.Event, error) {
	if time.Now().UnixMilli() < f.until.Load() {
		return nil, fault.New(fault.Internal, "disk I/O error")
	}
	return f.Ledger.Save(ctx, u)
}

func TestLedgerThatFailsForAWhile(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		w := hold(g, market.Universe)
		until := &atomic.Int64{}
		g.start(func(c *dispatch.Config) { c.Ledger = failing{c.Ledger, until} })
		until.Store(time.Now().Add(20 * time.Second).UnixMilli())
		id := g.create(market.Universe)[0].ID
		time.Sleep(10 * time.Second)
		if len(g.srv.Probed()) > 0 {
			t.Error("something was checked before the run's row stood")
		}
		<-w.started
		until.Store(time.Now().Add(20 * time.Second).UnixMilli())
		close(w.open)
		r, _ := g.watch(id)
		if r.Outcome != run.Succeeded || r.Completed != 6 {
			t.Errorf("run = %+v", r)
		}
	})
}

func TestThousandsOfPartitionsAreStoredTogether(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Data = nil
		for n := range 2000 {
			g.srv.Data = append(g.srv.Data, workertest.Spec("stock.market.daily", "daily", (market.NewDate(2020, 1, 1)+market.Date(n)).String()))
		}
		saves := &atomic.Int64{}
		g.start(func(c *dispatch.Config) { c.Ledger = counting{c.Ledger, saves} })
		r, events := g.run(market.Universe)
		if r.Outcome != run.Succeeded || r.Completed != 2002 || len(events) < 2*2002 {
			t.Errorf("run = %s, %d completed, %d events", r.Outcome, r.Completed, len(events))
		}
		if n := saves.Load(); n > 400 {
			t.Errorf("%d transactions for 2,002 partitions", n)
		}
	})
}

type counting struct {
	dispatch.Ledger
	saves *atomic.Int64
}

func (c counting) Save(ctx context.Context, u run.Update) ([]run.Event, error) {
	c.saves.Add(1)
	return c.Ledger.Save(ctx, u)
}
