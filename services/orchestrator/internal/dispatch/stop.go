package dispatch

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// pauseAct pauses the run in progress: at once if nothing is at the worker, otherwise when
// the partitions in progress have committed.
func (l *loop) pauseAct() {
	a := l.act
	if a.final != nil {
		return
	}
	switch a.r.State {
	case run.Checking:
		l.nowPaused()
	case run.Running:
		a.pausing = true
		l.dropWaiting(errPausing)
		if a.inHand == 0 {
			l.nowPaused()
		}
	}
}

// dropWaiting takes back the partitions that wait for a limit: they would delay the pause
// until the limit allows calls again.
func (l *loop) dropWaiting(cause error) {
	for _, p := range l.act.order {
		if p.inHand && p.State == run.PartitionWaiting {
			p.cancel(cause)
		}
	}
}

func (l *loop) nowPaused() {
	a := l.act
	l.endStep(errPausing)
	a.pausing, a.away, a.ending = false, false, nil
	clear(a.waiting)
	a.queue = nil
	for _, p := range a.order {
		if p.State == run.PartitionWaiting {
			p.State, p.RetryAt = run.PartitionPending, time.Time{}
			a.changed(l, p)
		}
	}
	paused, event, err := run.Pause(a.r, now(), a.pauseNote)
	if err != nil {
		l.fail(err)
		return
	}
	a.r = paused
	a.note(l, event)
	l.log.Info("run paused", "run_id", a.r.ID)
	if l.flush() == nil {
		l.d.Wake() // universe does not wait for a paused run
	}
}

// resume continues the run that the pause of the pool stopped.
func (l *loop) resume(note string) {
	a := l.act
	if a.final != nil {
		return
	}
	switch a.r.State {
	case run.Running:
		a.pausing = false
		l.pump()
	case run.Paused:
		if err := l.reload(); err != nil {
			l.log.Error("a paused run cannot be read; it continues after the next start", "run_id", a.r.ID, "error", err)
			return
		}
		resumed, event, err := run.Resume(a.r, now(), note)
		if err != nil {
			l.fail(err)
			return
		}
		a.r = resumed
		a.note(l, event)
		if l.flush() != nil && l.act == nil {
			return
		}
		l.log.Info("run resumed", "run_id", a.r.ID)
		l.check()
	}
}

// reload loads the partitions of a run that an earlier process paused.
func (l *loop) reload() error {
	a := l.act
	if len(a.order) > 0 || a.r.Partitions == 0 {
		return nil
	}
	stored, err := l.d.cfg.Ledger.Partitions(l.store(), a.r.ID, 0, 0)
	if err != nil {
		return err
	}
	a.preflightCalls, a.lastTradeDate = a.r.Calls, a.r.AsOf
	for _, s := range stored {
		p := &part{Partition: s}
		if s.Attempts > 0 {
			p.spent = s.Calls
			a.preflightCalls -= s.Calls
		}
		a.parts[s.ID] = p
		a.order = append(a.order, p)
	}
	return nil
}

// confirmStopped polls the worker until it no longer works for the cancelled run. A worker
// that is unreachable may still be writing; one that has restarted is not.
func (l *loop) confirmStopped() {
	a := l.act
	if a == nil {
		return
	}
	if err := l.reload(); err != nil {
		l.log.Error("the partitions of a cancelled run cannot be read", "run_id", a.r.ID, "error", err)
	}
	l.endStep(errCancelled)
	id := a.r.ID
	l.spawn(a, func() func() {
		for {
			active, err := l.d.cfg.Worker.ActivePartitions(l.ctx, id)
			if err == nil && len(active) == 0 {
				return func() {
					a.confirmed = true
					l.endCancelled()
				}
			}
			if !sleep(l.ctx, l.d.cfg.Timing.CancelPoll) {
				return func() {}
			}
		}
	})
}

// endCancelled ends the cancelled run once the worker has confirmed and every call
// has returned.
func (l *loop) endCancelled() {
	if a := l.act; a.confirmed && a.inHand == 0 && a.final == nil {
		l.finish(run.End{Outcome: run.Cancelled})
	}
}

// shutdown lets the partitions in progress finish for a while and records the others as
// interrupted. A paused run stays paused.
func (l *loop) shutdown() {
	l.stopping = true
	a := l.act
	if a == nil {
		return
	}
	if a.r.State == run.Running && a.inHand > 0 {
		l.dropWaiting(errStopping)
		l.serve(l.d.cfg.Timing.Drain, func() bool { return l.act != a || a.inHand == 0 })
	}
	if l.act == a && a.final == nil {
		l.endStep(errStopping)
		a.cancel(errStopping)
		l.serve(2*time.Second, func() bool { return l.act != a || a.inHand == 0 })
	}
	if l.act == a && a.final == nil {
		if a.r.State == run.Paused {
			l.lastFlush()
			return
		}
		end := run.End{Outcome: run.Failed, Issues: []fault.Issue{interrupted(a.r)}}
		if a.ending != nil && a.r.State == run.Running {
			end = *a.ending // only the publication is left, which the next run does
		}
		l.finish(end)
	}
	if l.act == a {
		l.lastFlush()
	}
}

func (l *loop) lastFlush() {
	for range 3 {
		if l.act == nil || l.flush() == nil {
			return
		}
	}
	l.log.Error("the end of a run could not be stored; the next start ends the run", "run_id", l.act.r.ID)
}

// serve runs the functions that are sent to the loop until done or the time is up.
func (l *loop) serve(limit time.Duration, done func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for !done() {
		select {
		case f := <-l.inbox:
			l.guard(f)
		case <-ctx.Done():
			return
		}
	}
}
