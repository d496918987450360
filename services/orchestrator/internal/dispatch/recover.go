package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// recover ends the runs that an earlier process left CHECKING, RUNNING or CANCELLING, and
// queues one follow-up for each that was not being cancelled. Queued and paused runs do not
// change.
func (d *Dispatcher) recover(ctx context.Context) error {
	if err := d.cfg.Preflight.Recover(ctx); err != nil {
		return err
	}
	if err := d.repairQueue(ctx); err != nil {
		return err
	}
	unfinished, err := d.cfg.Ledger.Unfinished(ctx)
	if err != nil {
		return err
	}
	for _, r := range unfinished {
		if r.State == run.Paused {
			continue
		}
		if err := d.endInterrupted(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dispatcher) endInterrupted(ctx context.Context, r run.Run) error {
	partitions, err := d.cfg.Ledger.Partitions(ctx, r.ID, 0, 0)
	if err != nil {
		return err
	}
	set, err := d.cfg.Ledger.Settings(ctx)
	if err != nil {
		return err
	}
	schedule, err := d.cfg.Ledger.Schedule(ctx)
	if err != nil {
		return err
	}
	u := run.Update{}
	for i := range partitions {
		switch p := &partitions[i]; p.State {
		case run.PartitionPending, run.PartitionRunning, run.PartitionWaiting:
			p.State = run.PartitionCancelled
			u.Partitions = append(u.Partitions, *p)
		}
	}
	ended, event, err := run.Finish(r, now(), run.End{Outcome: run.Failed, Issues: []fault.Issue{interrupted(r)}})
	if err != nil {
		return err
	}
	if l := d.loops[r.Pool]; l != nil {
		l.ctx = ctx
		u.Run = ended
		l.follow(&u, partitions, l.followUpFacts(ended, set, zoneOf(schedule)), r.State == run.Cancelling)
		ended = u.Run
	}
	u.Run = ended
	u.Events = []run.Event{event, {RunID: r.ID, Time: ended.FinishedAt, Finished: &ended}}
	if _, err := d.cfg.Ledger.Save(ctx, u); err != nil {
		return err
	}
	d.cfg.Logger.Warn("a run was interrupted", "run_id", r.ID, "pool", string(r.Pool), "state", r.State, "follow_ups", len(u.Enqueue))
	d.bus.notify(r.ID)
	return nil
}

func interrupted(r run.Run) fault.Issue {
	issue := fault.NewIssue(fault.Interrupted, fmt.Sprintf("The orchestrator stopped while the run was %s.", r.State),
		"run_id", r.ID, "state", string(r.State))
	if r.State == run.Cancelling { // a user cancelled it, so it has no follow-up
		d, _ := fault.Describe(fault.Cancelled)
		issue.Remedy = d.Remedy
	}
	return issue
}

// repairQueue drops the follow-ups of future days that a clock that was ahead left in the
// queue.
func (d *Dispatcher) repairQueue(ctx context.Context) error {
	dropped, err := d.cfg.Ledger.RepairQueue(ctx, now())
	if dropped > 0 {
		d.cfg.Logger.Warn("the clock was wrong; follow-up runs for future days were dropped", "count", dropped)
	}
	return err
}

// clockWrong warns once about records that a clock that was ahead left in the ledger.
func (l *loop) clockWrong() []fault.Issue {
	count, latest, err := l.d.cfg.Ledger.Ahead(l.store(), now())
	if err != nil {
		l.log.Error("the ledger cannot be searched for future timestamps", "error", err)
	}
	if err != nil || count == 0 {
		return nil
	}
	l.log.Warn("the clock was wrong: records have future timestamps", "count", count, "latest", latest)
	return []fault.Issue{fault.NewIssue(fault.ClockWrong, fmt.Sprintf(
		"The clock was wrong: %s a future timestamp, the latest %s. Such a record counts as stale: modules are probed again, lists and calendar are fetched again, and follow-up runs for future days were dropped.",
		fault.Count(count, "record has", "records have"), slot.Moment(latest, nil)), "count", fmt.Sprint(count), "latest_time", latest.UTC().Format(time.RFC3339))}
}
