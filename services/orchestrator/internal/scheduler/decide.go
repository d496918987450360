package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// decide stores a decision for every day up to now, of both pools. A day whose slot time
// has passed is due, whether or not the process was running then. Earlier decisions are
// revisited, because a user may have cancelled the run that covered a slot.
func (s *Scheduler) decide(ctx context.Context, now time.Time) (err error) {
	before := s.lastLook
	s.lastLook = now
	defer func() { s.failing = err }()
	if now.Before(s.quietFrom) || !now.Before(s.quietUntil) {
		if err := s.decideDue(ctx, before, now); err != nil {
			return err
		}
	}
	return s.decideLapsed(ctx, now)
}

// decideDue decides the slots that became due since the last time.
func (s *Scheduler) decideDue(ctx context.Context, before, now time.Time) error {
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return err
	}
	jobs, told, err := s.undecided(ctx, sched, now)
	if err != nil {
		return err
	}
	if len(jobs) > 0 {
		why := func(due time.Time) string { return s.whyLate(due, before, now) }
		if err := s.settle(ctx, sched, now, batch{days: jobs, policy: sched.CatchUp, why: why, told: told}); err != nil {
			return err
		}
	}
	today, _, err := sched.Today(now)
	if err != nil {
		return err
	}
	next, err := sched.DueAt(today)
	if err != nil {
		return err
	}
	if !next.After(now) {
		if next, err = sched.DueAt(today + 1); err != nil {
			return err
		}
	}
	s.quietFrom, s.quietUntil = now, next
	return nil
}

// undecided returns the days of each pool that were due and have no decision. On the very
// first start today is the first day; earlier days are ignored. A pending row stores that
// day, so that it is not lost if the process is down when the slot is due.
//
// A clock that was ahead may have decided future days. When such a day really arrives, it
// is decided again; until then its row stays. If the clock was ahead on the very first start,
// only that pending row is in the future, and today becomes the first day.
//
// The second result has, by slot, why the slot is due once more.
func (s *Scheduler) undecided(ctx context.Context, sched slot.Schedule, now time.Time) (jobs map[market.Pool][]slot.Due, told map[string][]fault.Issue, err error) {
	today, ends, err := sched.Today(now)
	if err != nil {
		return nil, nil, err
	}
	jobs, told = map[market.Pool][]slot.Due{}, map[string][]fault.Issue{}
	again := false
	for _, pool := range market.Pools() {
		last, ahead, err := s.ledger.LastSlot(ctx, pool, today, ends)
		if err != nil {
			return nil, nil, err
		}
		from := today
		switch {
		case last != nil:
			from = last.Date + 1
		case ahead != nil:
			from = ahead.Date
		}
		for d := from; d <= today; d++ {
			due, err := sched.DueAt(d)
			if err != nil {
				return nil, nil, err
			}
			if !due.After(now) {
				jobs[pool] = append(jobs[pool], slot.Due{Date: d, At: due})
				again = again || ahead != nil
			} else if last == nil && ahead == nil {
				_, err := s.ledger.InsertSlot(ctx, slot.Slot{ID: slot.ID(d, pool), Pool: pool, Date: d, DueAt: due, State: slot.Pending})
				if err != nil {
					return nil, nil, err
				}
			}
		}
	}
	if again {
		n, err := s.ledger.DropSlotsAhead(ctx, today, ends)
		if err != nil {
			return nil, nil, err
		}
		s.log.WarnContext(ctx, "The clock was set back: slots that were decided while it was ahead are decided again.", "slots", n, "today", today.String())
	}
	pending, err := s.ledger.PendingSlots(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range pending {
		told[p.ID] = slot.Only(p.Issues, fault.SlotReopened)
		due, err := sched.DueAt(p.Date)
		if err != nil {
			return nil, nil, err
		}
		known := slices.ContainsFunc(jobs[p.Pool], func(d slot.Due) bool { return d.Date == p.Date })
		if !due.After(now) && !known {
			jobs[p.Pool] = append(jobs[p.Pool], slot.Due{Date: p.Date, At: due})
			slices.SortFunc(jobs[p.Pool], byDate)
		}
	}
	return jobs, told, nil
}

func byDate(a, b slot.Due) int { return int(a.Date - b.Date) }

// batch is what settle decides.
type batch struct {
	days   map[market.Pool][]slot.Due // ascending
	policy slot.CatchUp
	why    func(due time.Time) string // why a slot did not fire when it was due
	told   map[string][]fault.Issue   // by slot, what its explanation must repeat from before
	held   bool                       // the slots were skipped by a pause; one that does not fire now stays skipped
}

// settle decides the given days by a catch-up policy, in one transaction: day by day, and
// targets before universe.
func (s *Scheduler) settle(ctx context.Context, sched slot.Schedule, now time.Time, b batch) error {
	defer s.alone()()
	cal, err := s.ledger.Calendar(ctx)
	if err != nil {
		return err
	}
	var slots []slot.Slot
	var runs []run.Run
	for _, pool := range market.Pools() {
		covered := len(slots) // older ones that the run of the newest one covers come before it
		for _, d := range sched.Passed(pool, b.days[pool], cal, now, b.policy, b.why) {
			v := slot.Slot{ID: slot.ID(d.Date, pool), Pool: pool, Date: d.Date, DueAt: d.At, DecidedAt: now}
			v.Issues = slices.Concat(d.Issues, b.told[v.ID])
			late := d.LateNote
			if d.Lapsed != "" { // already explained, if another run covers it
				late = ""
			}
			switch d.Action {
			case slot.Cover:
				v.State, v.LateNote = slot.Covered, late
			case slot.Skip:
				v.State = slot.Skipped
			case slot.Miss:
				v.State = slot.Missed
			case slot.Fire:
				v.Late, v.LateNote = d.Late, late
				early, err := s.early(ctx, sched, []market.Pool{pool}, d.TradeDay, later(d.At, now))
				if err != nil {
					return err
				}
				v.Issues = append(v.Issues, early...)
				own, err := s.fire(ctx, &v, d, now)
				if err != nil {
					return err
				}
				if v.State == slot.Fired {
					v.LateNote = d.LateNote
					runs = append(runs, own)
				}
				if d.Newest {
					for i := covered; i < len(slots); i++ {
						if w := &slots[i]; w.State == slot.Covered && w.RunID == "" {
							cover(w, v.RunID, "the run of a later slot")
						}
					}
				}
			}
			slots = append(slots, v)
		}
	}
	if b.held {
		slots = slices.DeleteFunc(slots, func(v slot.Slot) bool { return v.State != slot.Fired && v.State != slot.Covered })
	}
	slices.SortStableFunc(runs, func(a, b run.Run) int { return strings.Compare(a.TriggerID, b.TriggerID) })
	if err := s.ledger.Settle(ctx, slots, runs); err != nil {
		return err
	}
	for _, v := range slots {
		s.log.InfoContext(ctx, "A slot was decided.", "slot", v.ID, "state", string(v.State), "run", v.RunID, "late", v.Late.String(), "late_note", v.LateNote)
	}
	if len(runs) > 0 {
		s.wake()
	}
	return nil
}

// fire assigns a slot the run that covers it, or queues one of its own and returns it.
func (s *Scheduler) fire(ctx context.Context, v *slot.Slot, d slot.Decision, now time.Time) (run.Run, error) {
	want := run.Request{Start: market.NoDate, End: market.NoDate}
	if !d.Newest {
		want.End = d.TradeDay
	}
	by, covered, err := s.covering(ctx, v.Pool, want, now)
	if err != nil {
		return run.Run{}, err
	}
	// Only a slot's own run is followed up when the other datasets of the day are due.
	early := slices.ContainsFunc(v.Issues, func(i fault.Issue) bool { return i.Reason == fault.RunAtEarly })
	if covered && !early {
		cover(v, by.ID, "a run that was "+string(by.State))
		return run.Run{}, nil
	}
	mode, err := s.mode(ctx, v.Pool)
	if err != nil {
		return run.Run{}, err
	}
	own := run.Run{
		ID: newID(), Pool: v.Pool, Mode: mode, Source: run.SourceSchedule, SlotID: v.ID, TriggerID: "slot." + v.Date.String(),
		Request: want, State: run.Queued, AsOf: market.NoDate, CreatedAt: now,
	}
	v.State, v.RunID = slot.Fired, own.ID
	return own, nil
}

// cover assigns a slot a run that is not its own. If the slot is late, the reason includes
// why.
func cover(v *slot.Slot, runID, what string) {
	text := fmt.Sprintf("The slot is covered by %s: %s.", what, runID)
	if v.LateNote != "" {
		text += " It did not run when it was due: " + v.LateNote
	}
	v.State, v.RunID, v.Late, v.LateNote = slot.Covered, runID, 0, ""
	v.Issues = append([]fault.Issue{slot.CoveredBy(v.ID, runID, text)}, v.Issues...)
}

// covering is a queued or active run of the pool that covers the request. Runs with
// attempts behind them do not count: they may have used up their attempts, and an evening
// has attempts of its own.
func (s *Scheduler) covering(ctx context.Context, pool market.Pool, want run.Request, now time.Time) (run.Run, bool, error) {
	queue, err := s.ledger.Queue(ctx, pool)
	if err != nil {
		return run.Run{}, false, err
	}
	open, err := s.ledger.Unfinished(ctx)
	if err != nil {
		return run.Run{}, false, err
	}
	cat, _, err := s.ledger.Catalog(ctx)
	if err != nil {
		return run.Run{}, false, err
	}
	due := run.LastDue(cat, now)
	for _, r := range slices.Concat(open, queue) {
		if r.Pool == pool && r.Attempt == 0 && !s.outdated(r) && run.Covers(r, want, now, due) {
			return r, true, nil
		}
	}
	return run.Run{}, false, nil
}

// mode is bootstrap until some run of the pool has stored data.
func (s *Scheduler) mode(ctx context.Context, pool market.Pool) (run.Mode, error) {
	for _, o := range []run.Outcome{run.Succeeded, run.Partial, run.Unchanged} {
		runs, err := s.ledger.Runs(ctx, run.Filter{Pool: pool, Outcome: o, Limit: 1})
		if err != nil {
			return "", err
		}
		if len(runs) > 0 {
			return run.Daily, nil
		}
	}
	return run.Bootstrap, nil
}

// startup requests a run of each pool for which no slot has just fired and which no run
// covers.
func (s *Scheduler) startup(ctx context.Context, now time.Time) error {
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return err
	}
	if !sched.RunOnStartup || !sched.Enabled || sched.Paused {
		s.log.InfoContext(ctx, "No start-up run is configured.", "run_on_startup", sched.RunOnStartup, "enabled", sched.Enabled, "paused", sched.Paused)
		return nil
	}
	want := run.Request{Start: market.NoDate, End: market.NoDate}
	defer s.alone()()
	trigger := newID()
	var runs []run.Run
	for _, pool := range market.Pools() {
		if !sched.Fires(pool) {
			continue
		}
		by, covered, err := s.covering(ctx, pool, want, now)
		if err != nil {
			return err
		}
		if covered {
			s.log.InfoContext(ctx, "The start-up run is not needed: another run covers it.", "pool", string(pool), "run", by.ID)
			continue
		}
		mode, err := s.mode(ctx, pool)
		if err != nil {
			return err
		}
		runs = append(runs, run.Run{
			ID: newID(), Pool: pool, Mode: mode, Source: run.SourceStartup, TriggerID: trigger, Request: want,
			State: run.Queued, AsOf: market.NoDate, CreatedAt: now,
		})
	}
	if len(runs) == 0 {
		return nil
	}
	if err := s.ledger.Enqueue(ctx, runs, nil); err != nil {
		return err
	}
	s.wake()
	return nil
}

// whyLate says why a due slot did not fire on time, as far as this process knows.
func (s *Scheduler) whyLate(due, before, now time.Time) string {
	switch {
	case s.failing != nil:
		return "the scheduler could not read or write its state until now: " + s.failing.Error()
	case before.IsZero() || due.Before(s.started) && s.first:
		return "the orchestrator was not running when the slot was due; it started at " + slot.Moment(s.started, nil) + "."
	case due.Before(before):
		return "the schedule was changed after the slot was due."
	}
	return fmt.Sprintf("the scheduler did not run between %s and %s: the host was asleep, or its clock was changed.", slot.Moment(before, nil), slot.Moment(now, nil))
}
