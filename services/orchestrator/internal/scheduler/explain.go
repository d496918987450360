package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Explanation says why a slot's run did or did not happen.
type Explanation struct {
	// Slot that was asked about.
	Slot slot.Slot
	// Runs are the slot's run and its follow-ups, oldest first.
	Runs []run.Run
	// Sentences say what happened, in order.
	Sentences []bilingual.Text
	// Next is the next command to type.
	Next string
}

func (e *Explanation) say(en, zh string, args ...any) {
	e.Sentences = append(e.Sentences, bilingual.Say(en, zh, args...))
}

// maxChain is the largest number of runs in an explanation.
const maxChain = 100

// ListSlots lists slots, newest first, starting with the next ones that will fire. An empty
// pool means both. before is the ID of the last slot of the previous page.
func (s *Scheduler) ListSlots(ctx context.Context, pool market.Pool, limit int, before string) ([]slot.Slot, error) {
	if limit <= 0 {
		limit = 50
	}
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return nil, err
	}
	cal, err := s.ledger.Calendar(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.decided(ctx, sched, pool, limit, before)
	if err != nil {
		return nil, err
	}
	coming, err := s.nextSlots(ctx, sched, cal)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if v := &rows[i]; v.State == slot.Pending { // may be from an earlier schedule
			if v.DueAt, err = sched.DueAt(v.Date); err != nil {
				return nil, err
			}
		}
	}
	for _, v := range coming {
		if pool != "" && v.Pool != pool || before != "" && v.ID >= before {
			continue
		}
		switch _, err := s.ledger.Slot(ctx, v.ID); {
		case fault.Is(err, fault.NotFound):
			rows = append(rows, v)
		case err != nil:
			return nil, err
		}
	}
	slices.SortFunc(rows, func(a, b slot.Slot) int { return strings.Compare(b.ID, a.ID) })
	return rows[:min(limit, len(rows))], nil
}

// decided lists the slots that have a row, except those that a clock that was ahead has decided.
// An invalid schedule has no today, so all of them are listed.
func (s *Scheduler) decided(ctx context.Context, sched slot.Schedule, pool market.Pool, limit int, before string) (rows []slot.Slot, err error) {
	ahead := func(slot.Slot) bool { return false }
	if len(sched.Validate()) == 0 {
		today, ends, err := sched.Today(s.now())
		if err != nil {
			return nil, err
		}
		ahead = func(v slot.Slot) bool { return v.DecidedAhead(today, ends) }
	}
	for len(rows) < limit {
		page, err := s.ledger.Slots(ctx, pool, limit, before)
		if err != nil {
			return nil, err
		}
		for _, v := range page {
			if !ahead(v) {
				rows = append(rows, v)
			}
		}
		if len(page) < limit {
			break
		}
		before = page[len(page)-1].ID
	}
	return rows[:min(limit, len(rows))], nil
}

// ExplainSlot explains a slot: when it was due, what happened to it and why, what happened
// in its run, and its follow-ups. A future slot is explained by the current schedule.
func (s *Scheduler) ExplainSlot(ctx context.Context, id string) (Explanation, error) {
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return Explanation{}, err
	}
	zone, err := slot.ParseZone(sched.TimeZone)
	if err != nil {
		return Explanation{}, fault.Invalid("time_zone", "%v", err)
	}
	v, err := s.ledger.Slot(ctx, id)
	if fault.Is(err, fault.NotFound) || err == nil && v.State == slot.Pending {
		return s.foresee(ctx, sched, zone, id, v, err)
	}
	if err != nil {
		return Explanation{}, err
	}
	c, err := s.ahead(ctx, v.Pool)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Slot: v, Sentences: v.Explain(zone), Next: nextFor(v, c)}
	if len(sched.Validate()) == 0 {
		issue, again, ok, err := s.againOne(ctx, sched, v, s.now())
		if err != nil {
			return Explanation{}, err
		}
		if ok && !again {
			e.Sentences = append(e.Sentences, bilingual.Issue(issue))
		}
	}
	var last run.History
	if v.RunID != "" {
		if last, err = s.chain(ctx, &e, zone); err != nil {
			return Explanation{}, err
		}
	}
	closing(&e.Sentences, c, last, zone)
	return e, nil
}

// chain adds the run of a slot and its follow-ups, and returns the history of the last one.
func (s *Scheduler) chain(ctx context.Context, e *Explanation, zone *time.Location) (last run.History, err error) {
	first, err := s.ledger.Run(ctx, e.Slot.RunID)
	if fault.Is(err, fault.NotFound) {
		e.say("Run %s is no longer in the ledger: it was deleted, or it is older than the retention period.", "运行 %s 已不在账本中：它被删除，或已超过保留期。", e.Slot.RunID)
		e.Next = "curl localhost:7780/v1/pools/" + string(e.Slot.Pool) + "/coverage"
		return last, nil
	}
	if err != nil {
		return last, err
	}
	e.Runs = []run.Run{first}
	for i := 0; i < len(e.Runs) && i < maxChain; i++ {
		story, err := s.story(ctx, e.Runs[i], zone)
		if err != nil {
			return last, err
		}
		said, next := run.Explain(story)
		e.Sentences = append(e.Sentences, said...)
		if i == 0 || story.Run.State != run.Queued || story.PauseState.Paused { // a follow-up will run; the remedy was given before
			e.Next = next
		}
		e.Runs, last = append(e.Runs, story.FollowUps...), story
	}
	return last, nil
}

// closing ends an explanation with the next time at which the pool is fetched, unless the
// text says it already. last is the history of its last run, if any.
func closing(sentences *[]bilingual.Text, c run.Forecast, last run.History, zone *time.Location) {
	if r := last.Run; r.State == run.Finished && (r.Outcome == run.Blocked || r.Outcome == run.Failed || r.Outcome == run.Partial) && last.Later == nil && last.Check == readiness.Holds {
		worst, _ := fault.Worst(r.Issues)
		if d, _ := fault.Describe(worst.Reason); d.Class == fault.Permanent {
			c.EndsAs = run.Failed
			if r.Outcome == run.Blocked {
				c.EndsAs = run.Blocked
			}
		}
	}
	text, key := c.Explain(zone)
	if !slices.ContainsFunc(*sentences, func(t bilingual.Text) bool { return strings.Contains(t.En, key) }) {
		*sentences = append(*sentences, text)
	}
}

// ahead returns the forecast for a pool.
func (s *Scheduler) ahead(ctx context.Context, pool market.Pool) (c run.Forecast, err error) {
	c = run.Forecast{Pool: pool, Now: s.now(), Off: s.off}
	if c.Schedule, err = s.ledger.Schedule(ctx); err != nil {
		return c, err
	}
	if c.PauseState, err = s.ledger.PauseState(ctx, pool); err != nil {
		return c, err
	}
	queue, err := s.ledger.Queue(ctx, pool) // read before the active runs, so that a run that leaves the queue meanwhile is not missed
	if err != nil {
		return c, err
	}
	open, err := s.ledger.Unfinished(ctx)
	if err != nil {
		return c, err
	}
	for i := range open {
		if open[i].Pool == pool {
			c.Current = &open[i]
		}
	}
	for i := range queue {
		if q := &queue[i]; c.Queued == nil || q.NotBefore.Before(c.Queued.NotBefore) {
			c.Queued = q
		}
	}
	if next, ok, err := s.NextSlot(ctx, pool); err != nil {
		return c, err
	} else if ok {
		c.Slot = &next
	}
	return c, nil
}

// NextSlot is the next slot of a pool that will fire; ok is false when none will.
func (s *Scheduler) NextSlot(ctx context.Context, pool market.Pool) (next slot.Slot, ok bool, err error) {
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return slot.Slot{}, false, err
	}
	cal, err := s.ledger.Calendar(ctx)
	if err != nil {
		return slot.Slot{}, false, err
	}
	coming, err := s.nextSlots(ctx, sched, cal)
	i := slices.IndexFunc(coming, func(v slot.Slot) bool { return v.Pool == pool })
	if err != nil || i < 0 {
		return slot.Slot{}, false, err
	}
	return coming[i], true, nil
}

// foresee explains a slot that is not decided. missing is the error for a slot that has no
// row; such a slot is in the future or does not exist.
func (s *Scheduler) foresee(ctx context.Context, sched slot.Schedule, zone *time.Location, id string, row slot.Slot, missing error) (Explanation, error) {
	text, name, _ := strings.Cut(id, ".")
	date, err := market.ParseDate(text)
	if err != nil {
		return Explanation{}, fault.Invalid("slot_id", "%v; write a slot as YYYY-MM-DD.pool", err)
	}
	pool, err := market.ParsePool(name)
	if err != nil {
		return Explanation{}, fault.Invalid("slot_id", "%v", err)
	}
	now := s.now()
	if missing != nil {
		if err := s.expects(ctx, sched, zone, pool, date, now); err != nil {
			return Explanation{}, err
		}
	}
	due, err := sched.DueAt(date)
	if err != nil {
		return Explanation{}, err
	}
	cal, err := s.ledger.Calendar(ctx)
	if err != nil {
		return Explanation{}, err
	}
	v := slot.Slot{ID: slot.ID(date, pool), Pool: pool, Date: date, DueAt: due, State: slot.Pending}
	c, err := s.ahead(ctx, pool)
	if err != nil {
		return Explanation{}, err
	}
	// What would happen if it were due now.
	decided := sched.Passed(pool, []slot.Due{{Date: date, At: due}}, cal, due, slot.CatchUpLast, nil)
	e := Explanation{Slot: v, Sentences: v.Explain(zone), Next: nextFor(v, c)}
	d := decided[0]
	d.Issues = append(d.Issues, row.Issues...)
	if d.Action == slot.Fire {
		early, err := s.early(ctx, sched, []market.Pool{pool}, d.TradeDay, later(due, now))
		if err != nil {
			return Explanation{}, err
		}
		d.Issues = append(d.Issues, early...)
	}
	switch {
	case d.Action == slot.Skip:
		e.say("With the current settings it will be skipped.", "按现在的设置，它会被跳过。")
		e.Slot.Issues = d.Issues
	case s.off:
		e.say("This process does not run the schedule.", "这个进程不执行计划。")
		e.Slot.Issues = append([]fault.Issue{switchedOff()}, d.Issues...)
	case !due.After(now):
		e.say("It is due, and the scheduler decides it within %s.", "它已到期，调度器会在 %s 内作出决定。", s.every)
		e.Slot.Issues = d.Issues
	case c.PauseState.Paused:
		e.say("With the current settings its run will wait in the queue.", "按现在的设置，它的运行会在队列中等待。")
		e.Slot.Issues = d.Issues
	default:
		e.Slot.Issues = d.Issues
		if err := s.foreseeCheck(ctx, &e); err != nil {
			return Explanation{}, err
		}
	}
	for _, i := range e.Slot.Issues {
		e.say("%s: %s", "%s：%s", i.Reason, bilingual.Issue(i))
	}
	closing(&e.Sentences, c, run.History{}, zone)
	return e, nil
}

// foreseeCheck predicts the result of the checks before a slot's run, from the last probes and,
// for the pool's file, from the last run.
func (s *Scheduler) foreseeCheck(ctx context.Context, e *Explanation) error {
	ended, err := s.ledger.Runs(ctx, run.Filter{Pool: e.Slot.Pool, State: run.Finished, Limit: 1})
	if err != nil {
		return err
	}
	facts, err := preflight.LoadFacts(ctx, s.ledger, nil)
	if err != nil {
		return err
	}
	facts.Now = s.now()
	text := bilingual.Text{En: "With the current settings it will run.", Zh: "按现在的设置，它会运行。"}
	fails := func(why fault.Issue) {
		text = bilingual.Say("It will start, but the last check failed (%s). If its cause is not fixed by then, the run is blocked.",
			"它会开始，但最近一次检查没有通过（%s）。如果届时仍未解决，运行会被阻止。", why.Reason)
		e.Next = cmp.Or(why.Command(), e.Next)
	}
	for _, r := range ended {
		if why, ok := fault.Worst(r.Issues); ok && r.Outcome == run.Blocked && r.Stage == run.StageAnalysisInit && why.Severity == fault.Blocking {
			fails(why)
		}
	}
	if facts.Catalog != nil {
		v := readiness.Judge(e.Slot.Pool, facts)
		why, _ := fault.Worst(v.Issues)
		switch v.Decision {
		case readiness.Blocked:
			fails(why)
		case readiness.Degraded:
			text = bilingual.Say("It will run without %s, because the last check failed (%s), unless its cause is fixed by then.",
				"它会运行，但不包括 %s，因为最近一次检查没有通过（%s），除非届时已解决。", strings.Join(v.Blocked, ", "), why.Reason)
		}
		if command := why.Command(); command != "" && v.Decision != readiness.Ready {
			e.Next = command
		}
	}
	e.Sentences = append(e.Sentences, text)
	return nil
}

// expects returns NOT_FOUND with the reason if a slot that has no row will never have one.
func (s *Scheduler) expects(ctx context.Context, sched slot.Schedule, zone *time.Location, pool market.Pool, date market.Date, now time.Time) error {
	id := slot.ID(date, pool)
	none := func(why string, more ...string) error {
		return fault.New(fault.NotFound, "There is no slot "+id+": "+why, append([]string{"kind", "slot", "id", id}, more...)...)
	}
	today, ends, err := sched.Today(now)
	if err != nil {
		return err
	}
	last, _, err := s.ledger.LastSlot(ctx, pool, today, ends)
	switch {
	case err != nil:
		return err
	case date < today || last != nil && date <= last.Date:
		next, err := s.instead(ctx, pool, zone)
		if err != nil {
			return err
		}
		return none("its day is before the first day of this schedule. "+next, "before_schedule", "true")
	case date > today+366:
		return none("its day is more than one year in the future.")
	}
	return nil
}

// instead says which run fetches a day that has no slot, and when.
func (s *Scheduler) instead(ctx context.Context, pool market.Pool, zone *time.Location) (string, error) {
	if s.off {
		return "This process does not run the schedule; a run that you start fetches what is missing of that day.", nil
	}
	next, ok, err := s.NextSlot(ctx, pool)
	switch {
	case err != nil:
		return "", err
	case ok:
		return fmt.Sprintf("The next run fetches what is missing of that day: the slot of %s runs at %s.", next.Date, slot.Shanghai(next.DueAt, zone).En), nil
	}
	return "No slot runs with the current settings; a run that you start fetches what is missing of that day.", nil
}

// nextFor is the command to type about a slot without a run.
func nextFor(v slot.Slot, c run.Forecast) string {
	if len(v.Issues) > 0 && v.Issues[0].Reason == fault.SlotMissed {
		return run.Again(v.Pool, run.Request{End: slot.TradeDay(v.Date, v.DueAt)})
	}
	if command := c.Command(); command != "" && (!c.Off || c.PauseState.Paused) { // the schedule's issue says how to enable it
		return command
	}
	return run.ShowSchedule
}
