package dispatch

import (
	"context"
	"slices"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// calendarDataset is the reference on which all other plans depend.
const calendarDataset = "trade_cal"

// plan asks the worker what is missing: calendar and lists first, then data.
func (l *loop) plan(refs bool) {
	a := l.act
	a.phase = planningData
	if refs {
		a.phase = planningReferences
	}
	if len(a.modules) == 0 {
		l.conclude()
		return
	}
	req := planRequest(a.r, a.modules, a.symbols, refs)
	if a.r.Source == run.SourceSchedule && !refs {
		req.RecheckDays = a.set.RecheckDays
	}
	r, modules, symbols, verify := a.r, a.modules, a.symbols, !refs && a.verifies()
	l.next(func(ctx context.Context) func() {
		var altered []alteration
		day := market.NoDate
		if !refs {
			if err := l.d.refreshCalendar(ctx); err != nil {
				return func() { l.planFailed(err) }
			}
		}
		if verify {
			day, altered = l.d.verifyBefore(ctx, r, modules, symbols)
		}
		var answer WorkPlan
		err := l.d.patiently(ctx, func(ctx context.Context) (err error) {
			answer, err = l.d.cfg.Worker.PlanPartitions(ctx, req)
			return err
		})
		if err != nil {
			return func() { l.planFailed(err) }
		}
		l.d.addAltered(ctx, req, day, altered, &answer)
		return func() {
			if verify {
				a.verified, a.alteredDay, a.altered = true, day, altered
			}
			l.planned(answer, refs)
		}
	})
}

// refreshCalendar copies the calendar from the worker, so that the schedule knows trading
// days while the worker is down. Without an answer the previous copy stays.
func (d *Dispatcher) refreshCalendar(ctx context.Context) error {
	c, err := d.cfg.Worker.Calendar(ctx)
	if err != nil {
		if ctx.Err() != nil || !fault.Is(err, fault.WorkerUnreachable) {
			return err
		}
		return nil
	}
	return d.cfg.Ledger.SaveCalendar(ctx, c)
}

// planFailed ends a run that could not be planned. The issues of its references are added,
// because they are usually the cause.
func (l *loop) planFailed(err error) {
	a := l.act
	l.log.Error("a run cannot be planned", "run_id", a.r.ID, "reason", fault.ReasonOf(err), "error", err)
	issue := fault.IssueOf(err)
	l.finish(run.End{Outcome: run.Failed, Issues: append(run.IssuesOf(a.partitions()), issue)})
}

// planned stores the worker's plan and starts to dispatch it.
func (l *loop) planned(w WorkPlan, refs bool) {
	a := l.act
	a.phase = data
	if refs {
		a.phase = references
	} else {
		a.lastTradeDate = w.LastTradeDate
	}
	for _, i := range w.Issues {
		i.Severity = fault.Warning // a plan exists, so nothing blocked it
		a.warnings = append(a.warnings, i)
	}
	a.r.Issues = a.warned()
	added, calls := l.add(w.Partitions)
	if !refs || added > 0 { // only a plan of data can say that nothing is due
		a.note(l, run.Event{Planned: &run.Planned{Partitions: added, Calls: calls, LastTradeDate: w.LastTradeDate}})
	}
	l.pump()
}

// add adds partitions to the run. After a pause some exist already: completed ones stay
// completed, the others are tried again.
func (l *loop) add(planned []run.Partition) (added, calls int) {
	a := l.act
	listed := map[string]bool{}
	for _, w := range planned {
		listed[w.ID] = true
		p, known := a.parts[w.ID]
		if known {
			if p.State == run.PartitionCompleted {
				continue
			}
			p.State, p.Issues, p.RetryAt = run.PartitionPending, nil, w.RetryAt
			p.tries, p.lost = 0, 0
		} else {
			w.State, w.Ordinal = run.PartitionPending, len(a.order)
			p = &part{Partition: w}
			a.parts[w.ID] = p
			a.order = append(a.order, p)
		}
		added++
		calls += w.Calls
		a.queue = append(a.queue, p)
		a.dirty[p.ID] = p
	}
	// A partition of an earlier plan of this run that is not in this one was committed while
	// the pool was being paused or the connection was lost. Without a verdict the run counts
	// no rows of it.
	for _, p := range a.order {
		if p.State == run.PartitionPending && !listed[p.ID] && p.Reference == (a.phase == references) {
			p.State, p.Issues = run.PartitionCompleted, nil
			a.changed(l, p)
		}
	}
	for _, s := range a.gaveUp {
		l.abandon(s)
	}
	return added, calls
}

// settle continues when a phase has nothing left to do.
func (l *loop) settle() {
	a := l.act
	if a.phase == references {
		if i := slices.IndexFunc(a.gaveUp, func(s exclusion) bool { return s.all }); i < 0 {
			l.afterReferences()
			return
		}
	}
	l.conclude()
}

// afterReferences plans the data, unless the calendar could not be fetched and none is
// stored.
func (l *loop) afterReferences() {
	a := l.act
	failed := slices.IndexFunc(a.order, func(p *part) bool {
		return p.Dataset == calendarDataset && p.State == run.PartitionFailed
	})
	if failed < 0 {
		l.plan(false)
		return
	}
	a.phase = planningData
	l.next(func(ctx context.Context) func() {
		held, err := l.d.cfg.Worker.Calendar(ctx)
		if err != nil || len(held.Open) > 0 {
			return func() { l.plan(false) } // without an answer the plan fails with the reason
		}
		return func() {
			l.finish(run.End{Outcome: run.Failed, Issues: append(run.IssuesOf(a.partitions()), fault.NewIssue(fault.CalendarUnavailable,
				"The trading calendar could not be fetched and none is stored, so no dates can be planned.",
				"start_date", a.r.Request.Start.String(), "end_date", a.r.Request.End.String()))})
		}
	})
}

// conclude ends a run that has nothing left to do.
func (l *loop) conclude() {
	a := l.act
	partitions := a.partitions()
	outcome := run.OutcomeOf(partitions, a.r.Meta.BlockedModules)
	issues := run.IssuesOf(partitions)
	if _, again := a.alteredIssues(); again && (outcome == run.Succeeded || outcome == run.Unchanged) {
		outcome = run.Partial // what the file lost is not restored yet
	}
	if (outcome == run.Partial || outcome == run.Failed) && len(issues)+len(a.warnings)+len(a.altered) == 0 {
		// Every incomplete partition should have an issue; this is for one that has none.
		left := a.r.Partitions - a.r.Completed
		issues = append(issues, fault.NewIssue(fault.Internal,
			fault.Of(left, a.r.Partitions, "partition", "partitions")+fault.One(left, " is", " are")+" not complete, and none reported a reason."))
	}
	l.publish(run.End{Outcome: outcome, Issues: issues})
}
