package scheduler

import (
	"context"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// ExplainRun explains a run: what happened in order, and the next command to type.
func (s *Scheduler) ExplainRun(ctx context.Context, r run.Run) (sentences []bilingual.Text, next string, err error) {
	zone := market.Shanghai
	if sched, err := s.ledger.Schedule(ctx); err == nil {
		if known, err := slot.ParseZone(sched.TimeZone); err == nil {
			zone = known
		}
	}
	story, err := s.story(ctx, r, zone)
	if err != nil {
		return nil, "", err
	}
	if r.SlotID != "" {
		v, err := s.ledger.Slot(ctx, r.SlotID)
		switch {
		case err == nil:
			story.Slot = &v
		case !fault.Is(err, fault.NotFound):
			return nil, "", err
		}
	}
	sentences, next = run.Explain(story)
	c, err := s.ahead(ctx, r.Pool)
	if err != nil {
		return nil, "", err
	}
	closing(&sentences, c, story, zone)
	return sentences, next, nil
}

// story loads the history of a run, without its slot.
func (s *Scheduler) story(ctx context.Context, r run.Run, zone *time.Location) (story run.History, err error) {
	story = run.History{Run: r, Zone: zone}
	if story.Events, err = s.ledger.Milestones(ctx, r.ID); err != nil {
		return story, err
	}
	if story.Partitions, err = s.ledger.Partitions(ctx, r.ID, 0, 0); err != nil {
		return story, err
	}
	if story.FollowUps, err = s.ledger.FollowUps(ctx, r.ID); err != nil {
		return story, err
	}
	if r.State != run.Queued {
		if story.Next, err = s.next(ctx, r.Pool); err != nil {
			return story, err
		}
		return story, s.since(ctx, &story)
	}
	return story, s.waits(ctx, &story)
}

// since adds what has changed since a run had an issue that no follow-up waits for.
func (s *Scheduler) since(ctx context.Context, story *run.History) error {
	r := story.Run
	worst, bad := fault.Worst(r.Issues)
	if r.State != run.Finished || !bad || worst.Severity <= fault.Warning || len(story.FollowUps) > 0 {
		return nil
	}
	newest, err := s.ledger.Runs(ctx, run.Filter{Pool: r.Pool, State: run.Finished})
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(newest, func(o run.Run) bool { return run.Outlives(o, r, worst) }); i >= 0 {
		story.Later = &newest[i]
		return nil
	}
	facts, err := preflight.LoadFacts(ctx, s.ledger, r.Request.Modules)
	if err != nil {
		return err
	}
	facts.Now = s.now()
	story.Check = readiness.StandingOf(r.Pool, facts, worst.Reason, r.Meta.BlockedModules, r.FinishedAt)
	return nil
}

// next is the queued follow-up of a pool that starts first, or nil.
func (s *Scheduler) next(ctx context.Context, pool market.Pool) (first *run.Run, err error) {
	queue, err := s.ledger.Queue(ctx, pool)
	if err != nil {
		return nil, err
	}
	for i := range queue {
		if q := &queue[i]; q.Source == run.SourceAuto && (first == nil || q.NotBefore.Before(first.NotBefore)) {
			first = q
		}
	}
	return first, nil
}

// waits adds what a queued run waits for.
func (s *Scheduler) waits(ctx context.Context, story *run.History) (err error) {
	r := story.Run
	if story.PauseState, err = s.ledger.PauseState(ctx, r.Pool); err != nil {
		return err
	}
	queue, err := s.ledger.Queue(ctx, r.Pool) // read before the active runs, so that a run that leaves the queue meanwhile is not missed
	if err != nil {
		return err
	}
	open, err := s.ledger.Unfinished(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(queue, func(q run.Run) bool { return q.ID == r.ID }); i >= 0 {
		queue = queue[:i]
	}
	for _, o := range slices.Concat(open, queue) {
		if o.Pool == r.Pool && o.ID != r.ID && !o.NotBefore.After(s.now()) {
			story.Ahead = append(story.Ahead, o)
		}
	}
	if r.Pool != market.Universe {
		return nil
	}
	hold, err := s.ledger.PauseState(ctx, market.Targets)
	if err != nil || hold.Paused {
		return err
	}
	if queue, err = s.ledger.Queue(ctx, market.Targets); err != nil {
		return err
	}
	for _, t := range slices.Concat(queue, open) {
		if t.Pool == market.Targets && t.TriggerID == r.TriggerID && t.State != run.Paused {
			story.First = &t
		}
	}
	return nil
}
