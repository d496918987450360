package scheduler

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// manualRun queues a manual run.
func (w *machine) manualRun(pool market.Pool) run.Run {
	w.t.Helper()
	r := run.Run{ID: newID(), Pool: pool, Mode: run.Manual, Source: run.SourceManual, TriggerID: newID(), State: run.Queued,
		AsOf: market.NoDate, CreatedAt: w.now().Truncate(time.Millisecond)}
	if err := w.store.Enqueue(context.Background(), []run.Run{r}, nil); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// cancel ends a run as a user does who cancels it.
func (w *machine) cancel(r run.Run) {
	w.t.Helper()
	if r.State == run.Queued {
		got(w, func(ctx context.Context) (run.Run, error) {
			return w.store.CancelQueued(ctx, r.ID, "anna: wrong dates", w.now())
		})
		return
	}
	w.finish(w.askCancel(r), nil, run.End{Outcome: run.Cancelled})
}

// askCancel asks for the end of a run in progress.
func (w *machine) askCancel(r run.Run) run.Run {
	w.t.Helper()
	asked, e, err := run.AskCancel(r, w.now().Truncate(time.Millisecond), "anna: wrong dates")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Save(context.Background(), run.Update{Run: asked, Events: []run.Event{e}}); err != nil {
		w.t.Fatal(err)
	}
	return asked
}

// covered lives to half past seven on Monday, where both slots are covered by runs
// that somebody queued.
func (w *machine) covered() (targets, universe run.Run) {
	w.t.Helper()
	w.until(monday, 12, 0, 0)
	w.start()
	w.drain()
	w.until(monday, 19, 29, 0)
	targets, universe = w.manualRun(market.Targets), w.manualRun(market.Universe)
	w.until(monday, 19, 31, 0)
	for pool, r := range map[market.Pool]run.Run{market.Targets: targets, market.Universe: universe} {
		if v := w.slot(monday, pool); v.State != slot.Covered || v.RunID != r.ID {
			w.t.Fatalf("the slot is not covered: %+v", v)
		}
	}
	return targets, universe
}

func (w *machine) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestCancelledCoverFires: the evening is not lost with the run of somebody else.
func TestCancelledCoverFires(t *testing.T) {
	for name, restart := range map[string]func(w *machine, r run.Run){
		"queued":       func(w *machine, r run.Run) { w.cancel(r) },
		"under way":    func(w *machine, r run.Run) { w.cancel(w.take(r)) },
		"process away": func(w *machine, r run.Run) { w.stopped(func() { w.cancel(w.take(r)) }) },
		"killed while cancelling": func(w *machine, r run.Run) {
			w.askCancel(w.take(r))
			w.restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			onMachine(t, always, func(t *testing.T, w *machine) {
				_, r := w.covered()
				w.until(monday, 19, 45, 0)
				restart(w, r)
				w.pass(time.Minute)
				v := w.slot(monday, market.Universe)
				if v.State != slot.Fired || v.RunID == r.ID || v.Late < 15*time.Minute || !strings.Contains(v.LateNote, "run "+r.ID+", which covered it, was cancelled") {
					t.Fatalf("slot: %+v", v)
				}
				own := got(w, func(ctx context.Context) (run.Run, error) { return w.store.Run(ctx, v.RunID) })
				if own.State != run.Queued || own.Source != run.SourceSchedule || own.SlotID != v.ID {
					t.Errorf("its run: %+v", own)
				}
				text, e := w.explain(monday, market.Universe)
				for _, want := range []string{
					"late: run " + r.ID + ", which covered it, was cancelled at 2000-01-03 19:45:", "(anna: wrong dates).",
					"The slot was covered by a run that was queued: " + r.ID + ". That run was cancelled at ",
				} {
					if !strings.Contains(text, want) {
						t.Errorf("not reported: %s\n%s", want, text)
					}
				}
				if len(e.Runs) != 1 || e.Runs[0].ID != own.ID {
					t.Errorf("runs: %+v", e.Runs)
				}
				if v := w.slot(monday, market.Targets); v.State != slot.Covered {
					t.Errorf("the other pool: %+v", v)
				}
				// Who cancels the slot's own run calls the evening off.
				w.cancel(own)
				w.pass(time.Hour)
				w.restart()
				w.pass(time.Hour)
				if again := w.slot(monday, market.Universe); again.RunID != own.ID {
					t.Errorf("it fired twice: %+v", again)
				}
				w.drain()
				w.until(monday+1, 20, 0, 0)
				if v := w.slot(monday+1, market.Universe); v.State != slot.Fired || v.Late != 0 {
					t.Errorf("the next evening: %+v", v)
				}
			})
		})
	}
}

// stopped does something to the ledger while no scheduler runs.
func (w *machine) stopped(do func()) {
	w.t.Helper()
	w.scheduler.mu.Lock() // as if it were away: it looks at nothing meanwhile
	do()
	w.scheduler.mu.Unlock()
	w.restart()
}

// TestCancelledCoverThatDoesNotFire: a slot that the schedule does not catch up is reported.
func TestCancelledCoverThatDoesNotFire(t *testing.T) {
	set := func(f func(*slot.Schedule)) func(w *machine) { return func(w *machine) { w.change(f) } }
	for name, c := range map[string]struct {
		before func(w *machine)
		state  slot.State
		reason fault.Reason
		says   string
	}{
		"none":  {set(func(s *slot.Schedule) { s.CatchUp = slot.CatchUpNone }), slot.Missed, fault.SlotMissed, "the catch-up policy is none: run "},
		"off":   {set(func(s *slot.Schedule) { s.Enabled = false }), slot.Skipped, fault.ScheduleDisabled, "was disabled when the run that covered the slot was cancelled"},
		"other": {set(func(s *slot.Schedule) { s.Pools = []market.Pool{market.Targets} }), slot.Skipped, fault.ScheduleDisabled, "does not include"},
		"paused": {func(w *machine) {
			got(w, func(ctx context.Context) (View, error) { return w.scheduler.Pause(ctx, "anna") })
		}, slot.Skipped, fault.SchedulePaused, "was paused when the run that covered the slot was cancelled (anna)"},
	} {
		t.Run(name, func(t *testing.T) {
			onMachine(t, always, func(t *testing.T, w *machine) {
				_, r := w.covered()
				c.before(w)
				w.until(monday, 19, 45, 0)
				w.cancel(r)
				w.pass(time.Minute)
				v := w.slot(monday, market.Universe)
				if v.State != c.state || v.RunID != "" || v.Issues[0].Reason != c.reason || !strings.Contains(v.Issues[0].Message, c.says) {
					t.Fatalf("slot: %+v", v)
				}
				text, _ := w.explain(monday, market.Universe)
				if !strings.Contains(text, "The slot was covered by a run that was queued: "+r.ID) {
					t.Errorf("not reported: %s", text)
				}
				if c.reason != fault.SchedulePaused {
					return
				}
				got(w, func(ctx context.Context) (View, error) { return w.scheduler.Resume(ctx, "anna", slot.CatchUpLast) })
				v = w.slot(monday, market.Universe)
				text, _ = w.explain(monday, market.Universe)
				if v.State != slot.Fired || !strings.Contains(text, "The slot was covered by a run that was queued: "+r.ID) {
					t.Errorf("after the pause: %+v\n%s", v, text)
				}
			})
		})
	}
}

// TestCancelledCoverIsCoveredElsewhere: by a run that came meanwhile, or that of a
// later slot.
func TestCancelledCoverIsCoveredElsewhere(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		targets, universe := w.covered()
		w.cancel(targets)
		other := w.manualRun(market.Targets)
		w.pass(time.Minute)
		if v := w.slot(monday, market.Targets); v.State != slot.Covered || v.RunID != other.ID || len(v.Issues) != 2 {
			t.Errorf("slot: %+v", v)
		}
		w.cancel(other)
		w.pass(time.Minute)
		if v := w.slot(monday, market.Targets); v.State != slot.Fired {
			t.Errorf("slot: %+v", v)
		}
		if text, _ := w.explain(monday, market.Targets); !strings.Contains(text, targets.ID) || !strings.Contains(text, other.ID) {
			t.Errorf("the chain is not reported: %s", text)
		}

		under := w.take(universe) // it takes until the next evening
		w.until(monday+1, 20, 0, 0)
		next := w.slot(monday+1, market.Universe)
		if next.State != slot.Fired {
			t.Fatalf("slot: %+v", next)
		}
		w.cancel(under)
		w.pass(time.Minute)
		v := w.slot(monday, market.Universe)
		if v.State != slot.Covered || v.RunID != next.RunID || !strings.Contains(v.Issues[0].Message, "the run of a later slot: "+next.RunID) {
			t.Errorf("slot: %+v", v)
		}
		own := got(w, func(ctx context.Context) (run.Run, error) { return w.store.Run(ctx, next.RunID) })
		w.cancel(own)
		w.pass(time.Hour)
		if again := w.slot(monday, market.Universe); again.DecidedAt != v.DecidedAt {
			t.Errorf("it is decided again: %+v", again)
		}
	})
}
