package dispatch_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/scheduler"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// TestClockThatWasAhead: after a run during which the clock was 400 days ahead, the run's probes are
// stale, its follow-up runs are dropped, it is first in no list, and one warning says so. What is
// missing today is fetched nevertheless.
func TestClockThatWasAhead(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		ctx, then := t.Context(), time.Now().AddDate(0, 0, 400)
		// The run of that moment, its probes and slot, and its follow-ups.
		left := run.Run{ID: ledger.NewID(), Pool: market.Universe, Mode: run.Daily, Source: run.SourceSchedule, State: run.Queued, SlotID: slot.ID(market.DateOf(then), market.Universe),
			Request: run.Request{Start: market.NoDate, End: market.NoDate}, AsOf: market.NoDate, CreatedAt: then}
		if err := g.store.Enqueue(ctx, []run.Run{left}, nil); err != nil {
			t.Fatal(err)
		}
		taken, e1, err1 := run.Take(left, then)
		begun, e2, err2 := run.Begin(taken, then)
		ended, e3, err3 := run.Finish(begun, then.Add(time.Minute), run.End{Outcome: run.Partial, Issues: []fault.Issue{fault.NewIssue(fault.NotPublished, "Not there.")}})
		u := run.Update{Run: ended, Events: []run.Event{e1, e2, e3, {Time: then, Finished: &ended}}}
		for _, minutes := range []int{15, 600} {
			f := run.Next{At: then.Add(time.Duration(minutes) * time.Minute), Reason: fault.NotPublished, Note: "late"}.Follow(ended, then)
			f.Attempt = minutes / 600
			u.Enqueue = append(u.Enqueue, f)
		}
		_, err4 := g.store.Save(ctx, u)
		byHand := run.Run{Pool: market.Targets, Mode: run.Manual, Source: run.SourceManual, State: run.Queued, CreatedAt: then, NotBefore: then,
			Request: run.Request{Start: market.NoDate, End: market.NoDate}}
		err5 := g.store.Enqueue(ctx, []run.Run{byHand}, nil)
		_, err6 := g.store.InsertSlot(ctx, slot.Slot{ID: left.SlotID, Pool: market.Universe, Date: market.DateOf(then), DueAt: then, State: slot.Fired, DecidedAt: then, RunID: left.ID})
		err7 := g.store.SaveProbe(ctx, readiness.Probe{Module: "stock.basic", Status: readiness.Pass, At: then})
		if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
			t.Fatal(err)
		}

		g.start()
		time.Sleep(10 * time.Minute)
		settle()
		var warned []run.Run
		runs, err := g.store.Runs(ctx, run.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range runs {
			if (i == len(runs)-1) != (r.ID == left.ID) {
				t.Errorf("run %d of %d is of %v: %s", i, len(runs), r.CreatedAt, r.ID)
			}
			for _, issue := range r.Issues {
				if issue.Reason == fault.ClockWrong {
					faulttest.Produces(t, issue, fault.ClockWrong)
					warned = append(warned, r)
					if issue.Severity != fault.Warning || !strings.Contains(issue.Message, "the latest 2027-04-06") {
						t.Errorf("%+v", issue)
					}
				}
			}
		}
		if len(warned) != 1 || len(runs) != 3 {
			t.Errorf("%d runs warn of %d: %+v", len(warned), len(runs), runs)
		}
		for _, pool := range market.Pools() {
			status, err := g.d.PoolStatus(ctx, pool)
			if err != nil || len(status.Queued) != 0 || status.Last == nil || status.Last.CreatedAt.After(time.Now()) || status.Last.Outcome != run.Succeeded {
				t.Errorf("%s: %+v, %v", pool, status, err)
			}
			if pool == market.Universe && (status.Last.Follows != left.ID || !strings.HasPrefix(status.Last.Note, "The clock was wrong")) {
				t.Errorf("what replaced the follow-ups: %+v", status.Last)
			}
		}
		probes, err := g.store.Probes(ctx)
		if err != nil || probes["stock.basic"].At.After(time.Now()) {
			t.Errorf("a probe from the future counts: %+v, %v", probes["stock.basic"], err)
		}
		slots, err := scheduler.New(scheduler.Config{Ledger: g.store}).ListSlots(ctx, market.Universe, 1, "")
		if err != nil || len(slots) != 1 || slots[0].DueAt.After(time.Now().Add(48*time.Hour)) {
			t.Errorf("the list of slots begins with %+v, %v", slots, err)
		}
		// Page by page the list is the same.
		before := ""
		for i := range runs {
			page, err := g.store.Runs(ctx, run.Filter{Limit: 1, Before: before})
			if err != nil || len(page) != 1 || page[0].ID != runs[i].ID {
				t.Fatalf("page %d: %+v, %v", i, page, err)
			}
			before = page[0].ID
		}
		if page, err := g.store.Runs(ctx, run.Filter{Limit: 1, Before: before}); err != nil || len(page) != 0 {
			t.Errorf("after the last: %+v, %v", page, err)
		}
		// It is reported once, also after a restart.
		g.stop()
		g.start()
		if r, _ := g.run(market.Universe); len(r.Issues) != 0 {
			t.Errorf("reported again: %+v", r.Issues)
		}
	})
}

// TestClockThatWasAheadForAnHour: follow-ups of today that a clock an hour ahead queued
// are kept, and wait no longer.
func TestClockThatWasAheadForAnHour(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		first, then := ledger.NewID(), time.Now().Add(2*time.Hour)
		f := run.Next{At: then.Add(15 * time.Minute), Note: "late"}.Follow(run.Run{ID: first, Pool: market.Universe, Mode: run.Daily,
			Request: run.Request{Start: market.NoDate, End: market.NoDate}}, then)
		if err := g.store.Enqueue(t.Context(), []run.Run{f}, nil); err != nil {
			t.Fatal(err)
		}
		g.start()
		time.Sleep(time.Minute)
		settle()
		follow := g.followUps(first)
		if len(follow) != 1 || follow[0].Outcome != run.Succeeded || follow[0].Note != "late" {
			t.Errorf("%+v", follow)
		}
	})
}
