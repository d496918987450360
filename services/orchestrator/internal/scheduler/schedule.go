package scheduler

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// View is the schedule with its next time and its warnings.
type View struct {
	// Schedule as stored.
	Schedule slot.Schedule
	// NextAt is when the next slot fires. Zero when none will.
	NextAt time.Time
	// Issues are warnings, for example that the calendar has ended.
	Issues []fault.Issue
}

// Get returns the schedule and when it fires next.
func (s *Scheduler) Get(ctx context.Context) (View, error) {
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return View{}, err
	}
	return s.view(ctx, sched)
}

func (s *Scheduler) view(ctx context.Context, sched slot.Schedule) (View, error) {
	cal, err := s.ledger.Calendar(ctx)
	if err != nil {
		return View{}, err
	}
	v := View{Schedule: sched}
	if s.off {
		v.Issues = append(v.Issues, switchedOff())
	}
	if len(sched.Validate()) > 0 {
		return v, nil
	}
	today, _, err := sched.Today(s.now())
	if err != nil {
		return v, err
	}
	at, err := sched.DueAt(today)
	if err != nil {
		return v, err
	}
	early, err := s.early(ctx, sched, sched.Pools, slot.TradeDay(today, at), at)
	if err != nil {
		return v, err
	}
	v.Issues = append(v.Issues, early...)
	_, stay, err := s.again(ctx, sched, s.now())
	if err != nil {
		return v, err
	}
	v.Issues = append(v.Issues, stay...)
	coming, err := s.nextSlots(ctx, sched, cal)
	if err != nil || len(coming) == 0 {
		return v, err
	}
	first := slices.MinFunc(coming, func(a, b slot.Slot) int { return a.DueAt.Compare(b.DueAt) })
	v.NextAt = first.DueAt
	if warning, warn := cal.Warning(slot.TradeDay(first.Date, first.DueAt)); warn && sched.TradingDaysOnly {
		v.Issues = append(v.Issues, warning)
	}
	return v, nil
}

// early warns about slots that are due before datasets of their trading day.
func (s *Scheduler) early(ctx context.Context, sched slot.Schedule, pools []market.Pool, trade market.Date, at time.Time) ([]fault.Issue, error) {
	facts, err := preflight.LoadFacts(ctx, s.ledger, nil)
	if err != nil || facts.Catalog == nil {
		return nil, err
	}
	var modules []string
	for _, pool := range pools {
		modules = append(modules, readiness.Select(pool, facts).Modules...)
	}
	if issue, ok := run.Early(*facts.Catalog, modules, trade, at, sched.RunAt); ok {
		return []fault.Issue{issue}, nil
	}
	return nil, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// switchedOff warns that this process fires no slots.
func switchedOff() fault.Issue {
	i := fault.NewIssue(fault.ScheduleDisabled, "The schedule is disabled in this process: no slot runs until the orchestrator starts without --schedule=false and catches up according to the policy.")
	i.Severity, i.Remedy = fault.Warning, "Start the orchestrator without --schedule=false."
	return i
}

// again returns the decided slots whose time is still in the future by a changed schedule.
// Those that fire once more are returned as pending; stay says why the others do not. Slots
// that a clock that was ahead has decided are not among them: undecided drops those.
func (s *Scheduler) again(ctx context.Context, sched slot.Schedule, now time.Time) (pending []slot.Slot, stay []fault.Issue, err error) {
	if len(sched.Validate()) > 0 {
		return nil, nil, nil
	}
	today, ends, err := sched.Today(now)
	if err != nil {
		return nil, nil, err
	}
	for _, pool := range market.Pools() {
		page, err := s.ledger.Slots(ctx, pool, 10, "") // zones are at most about one day apart
		if err != nil {
			return nil, nil, err
		}
		for _, v := range page {
			if v.Date < today || v.DecidedAhead(today, ends) {
				continue
			}
			issue, again, ok, err := s.againOne(ctx, sched, v, now)
			switch {
			case err != nil:
				return nil, nil, err
			case again:
				due, err := sched.DueAt(v.Date)
				if err != nil {
					return nil, nil, err
				}
				pending = append(pending, slot.Slot{ID: v.ID, Pool: pool, Date: v.Date, DueAt: due, State: slot.Pending, Issues: append(slot.Only(v.Issues, fault.SlotReopened), issue)})
			case ok:
				stay = append(stay, issue)
			}
		}
	}
	return pending, stay, nil
}

// againOne applies slot.Schedule.Again with the ledger's data about the slot.
func (s *Scheduler) againOne(ctx context.Context, sched slot.Schedule, v slot.Slot, now time.Time) (issue fault.Issue, again, ok bool, err error) {
	if _, ok := sched.ToCome(v, now); !ok {
		return issue, false, false, nil // nothing else about it need be read
	}
	facts, err := preflight.LoadFacts(ctx, s.ledger, nil)
	if err != nil {
		return issue, false, false, err
	}
	e := slot.Earlier{Slot: v, AllDue: func(trade market.Date) time.Time {
		if facts.Catalog == nil {
			return run.DueOn(catalog.Catalog{}, nil, trade)
		}
		return run.DueOn(*facts.Catalog, readiness.Select(v.Pool, facts).Modules, trade)
	}}
	if v.RunID != "" {
		switch r, err := s.ledger.Run(ctx, v.RunID); {
		case fault.Is(err, fault.NotFound): // deleted, or older than the retention period
		case err != nil:
			return issue, false, false, err
		case r.Outcome == run.Blocked || r.Outcome == run.Failed:
			e.Idle = strings.ToUpper(string(r.Outcome))
		}
	}
	cal, err := s.ledger.Calendar(ctx)
	if err != nil {
		return issue, false, false, err
	}
	issue, again, ok = sched.Again(e, cal, now)
	return issue, again, ok, nil
}

// nextSlots is the next slot of each pool that will fire. A decided slot is not among them
// unless a change of the schedule made it pending again.
func (s *Scheduler) nextSlots(ctx context.Context, sched slot.Schedule, cal slot.Calendar) ([]slot.Slot, error) {
	if s.off || len(sched.Validate()) > 0 {
		return nil, nil
	}
	now := s.now()
	today, ends, err := sched.Today(now)
	if err != nil {
		return nil, err
	}
	pending, err := s.ledger.PendingSlots(ctx)
	if err != nil {
		return nil, err
	}
	var all []slot.Slot
	for _, pool := range sched.Pools {
		last, _, err := s.ledger.LastSlot(ctx, pool, today, ends)
		if err != nil {
			return nil, err
		}
		after := market.NoDate
		if last != nil {
			after = last.Date
		}
		next, ok := sched.NextDue(cal, now, after)
		for _, p := range pending {
			if p.Pool != pool {
				continue
			}
			if at, fires := sched.NextDue(cal, now, p.Date-1); fires && at.Date == p.Date && (!ok || at.At.Before(next.At)) {
				next, ok = at, true
			}
		}
		if ok {
			all = append(all, slot.Slot{ID: slot.ID(next.Date, pool), Pool: pool, Date: next.Date, DueAt: next.At, State: slot.Pending})
		}
	}
	return all, nil
}

// Update changes the schedule with a function. INVALID_ARGUMENT names every invalid field,
// and nothing is changed. Slots that were due before are decided first, by the previous
// schedule.
func (s *Scheduler) Update(ctx context.Context, change func(*slot.Schedule)) (View, error) {
	return s.edit(ctx, func(sched *slot.Schedule, _ time.Time) error { return apply(sched, change) })
}

// Check returns what Update would return, and changes nothing.
func (s *Scheduler) Check(ctx context.Context, change func(*slot.Schedule)) (View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return View{}, err
	}
	if err := apply(&sched, change); err != nil {
		return View{}, err
	}
	return s.view(ctx, sched)
}

// apply changes the fields that a caller may change, and validates the result.
func apply(sched *slot.Schedule, change func(*slot.Schedule)) error {
	held := *sched
	sched.Pools = slices.Clone(sched.Pools)
	change(sched)
	sched.Paused, sched.Note, sched.NotedAt = held.Paused, held.Note, held.NotedAt
	slices.SortFunc(sched.Pools, func(a, b market.Pool) int { return slices.Index(market.Pools(), a) - slices.Index(market.Pools(), b) })
	wrong := sched.Validate()
	if len(wrong) == 0 {
		return nil
	}
	err := fault.Invalid(wrong[0].Field, "%s", wrong[0].Problem)
	err.Fields = wrong
	return err
}

// Pause pauses the schedule. If it is paused already, only the note changes.
func (s *Scheduler) Pause(ctx context.Context, note string) (View, error) {
	return s.edit(ctx, func(sched *slot.Schedule, now time.Time) error {
		if !sched.Paused {
			sched.Paused, sched.NotedAt = true, now
		}
		sched.Note = note
		return nil
	})
}

// Resume resumes the schedule and catches up the slots that were skipped meanwhile, by the
// caller's policy, or by the schedule's own if that is empty. A schedule that is not paused
// does not change.
func (s *Scheduler) Resume(ctx context.Context, note string, policy slot.CatchUp) (View, error) {
	switch policy {
	case "", slot.CatchUpLast, slot.CatchUpAll, slot.CatchUpNone:
	default:
		return View{}, fault.Invalid("catch_up", "%.40q is not allowed: write last, all or none", string(policy))
	}
	return s.edit(ctx, func(sched *slot.Schedule, now time.Time) error {
		if !sched.Paused {
			return nil
		}
		since := sched.NotedAt
		if policy == "" {
			policy = sched.CatchUp
		}
		sched.Paused, sched.Note, sched.NotedAt = false, note, now
		if policy == slot.CatchUpNone {
			return nil
		}
		jobs, told, err := s.held(ctx, since)
		if err != nil {
			return err
		}
		text := "the schedule was paused from " + slot.Moment(since, nil) + " to " + slot.Moment(now, nil) + "."
		// The slots first: after a crash before the schedule is saved, it is still paused, and
		// the next resume finds the slots decided.
		return s.settle(ctx, *sched, now, batch{days: jobs, policy: policy, why: func(time.Time) string { return text }, told: told, held: true})
	})
}

// held are the days that were skipped since the schedule was paused, by pool, ascending,
// with the times at which they were due by the schedule of then, and the runs that covered
// them before.
func (s *Scheduler) held(ctx context.Context, since time.Time) (jobs map[market.Pool][]slot.Due, told map[string][]fault.Issue, err error) {
	jobs, told = map[market.Pool][]slot.Due{}, map[string][]fault.Issue{}
	for _, pool := range market.Pools() {
		before := ""
		for {
			page, err := s.ledger.Slots(ctx, pool, 200, before)
			if err != nil {
				return nil, nil, err
			}
			for _, v := range page {
				if v.Held() && !v.DecidedAt.Before(since) {
					jobs[pool] = append(jobs[pool], slot.Due{Date: v.Date, At: v.DueAt})
					told[v.ID] = covers(v)
				}
			}
			if len(page) == 0 || page[len(page)-1].DecidedAt.Before(since) {
				break
			}
			before = page[len(page)-1].ID
		}
		slices.SortFunc(jobs[pool], byDate)
	}
	return jobs, told, nil
}

// edit decides what was due by the previous schedule, then changes and saves it.
func (s *Scheduler) edit(ctx context.Context, change func(*slot.Schedule, time.Time) error) (View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return View{}, err
	}
	// Before Run has started, its start decides missed slots. A schedule that was damaged in
	// the ledger decides nothing until it is corrected.
	if !s.first && len(sched.Validate()) == 0 {
		if err := s.decide(ctx, now); err != nil {
			return View{}, err
		}
	}
	if err := change(&sched, now); err != nil {
		return View{}, err
	}
	again, _, err := s.again(ctx, sched, now)
	if err != nil {
		return View{}, err
	}
	if err := s.ledger.SaveSchedule(ctx, sched, again...); err != nil {
		return View{}, err
	}
	for _, v := range again {
		s.log.InfoContext(ctx, "A slot is due once more, because the schedule was changed.", "slot", v.ID, "due", v.DueAt)
	}
	s.changed()
	return s.view(ctx, sched)
}
