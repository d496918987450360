package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

const (
	maxLost      = 5               // dispatches of one partition that were lost with the worker: it may be what crashes the worker
	shortWait    = 2 * time.Minute // a shorter wait for a limit happens within the run; a longer one needs a follow-up
	minuteWindow = time.Minute     // the wait if a limit per minute names no time
	patience     = 5               // a partition whose rows have arrived may stand still for so many times Timing.Stall
)

// advance does what is due for the run in progress.
func (l *loop) advance() {
	a := l.act
	at := now()
	if !a.flushAt.IsZero() && !a.flushAt.After(at) {
		if l.flush() != nil || l.act != a {
			return
		}
	}
	if a.r.State == run.Running && a.final == nil {
		l.pump()
	}
}

// pump dispatches what may be dispatched, and continues with the next phase when nothing is
// left.
func (l *loop) pump() {
	a := l.act
	if a.r.State != run.Running || a.phase != references && a.phase != data || a.final != nil {
		return
	}
	if a.pausing {
		if a.inHand == 0 {
			l.nowPaused()
		}
		return
	}
	at := now()
	for p := range a.waiting {
		if !p.RetryAt.After(at) {
			delete(a.waiting, p)
			p.State, p.RetryAt = run.PartitionPending, time.Time{}
			a.queue = append([]*part{p}, a.queue...)
		}
	}
	if !l.stopping && !a.away && !a.holdUntil.After(at) {
		width := max(a.set.DispatchWidth, 1)
		if !a.outSince.IsZero() {
			width = 1 // the provider is down: one partition tries whether it is back
		}
		for a.inHand < width && len(a.queue) > 0 {
			p := a.queue[0]
			if p.State == run.PartitionPending && a.inHand > 0 && a.calls+p.Calls > callsPerPartition*width {
				break
			}
			a.queue = a.queue[1:]
			if p.State == run.PartitionPending && !l.dispatch(p) {
				return
			}
		}
	}
	if a.inHand == 0 && len(a.waiting) == 0 && !a.away && !l.left() && !(l.stopping && a.phase == references) {
		l.settle()
	}
}

// callsPerPartition is how many calls the partitions in hand may have on average. The worker has all
// rows of a partition in memory, and a date of a long target list has many calls.
const callsPerPartition = 10

// left reports whether a partition is still to be dispatched.
func (l *loop) left() bool {
	return slices.ContainsFunc(l.act.queue, func(p *part) bool { return p.State == run.PartitionPending })
}

// dispatch sends one partition to the worker. It returns false if the ledger gave no epoch.
func (l *loop) dispatch(p *part) bool {
	a := l.act
	epoch, err := l.d.cfg.Ledger.NextEpoch(l.store(), now())
	if err != nil {
		l.log.Error("no epoch could be reserved; retrying", "run_id", a.r.ID, "error", err)
		a.holdUntil = now().Add(time.Second)
		a.queue = append([]*part{p}, a.queue...)
		return false
	}
	ctx, cancel := context.WithCancelCause(a.ctx)
	p.State, p.RetryAt, p.inHand, p.cancel, p.Phases = run.PartitionRunning, time.Time{}, true, cancel, nil
	p.Attempts++
	a.inHand, a.calls = a.inHand+1, a.calls+p.Calls // these stay the estimate until it has ended
	a.changed(l, p)
	job := Job{RunID: a.r.ID, Pool: l.pool, Partition: p.Partition, Epoch: epoch}
	l.spawn(a, func() func() {
		defer cancel(nil)
		res, last, err := l.d.ingest(ctx, cancel, job, func(pr Progress) {
			l.post(func() {
				if l.act == a {
					l.waits(p, pr)
				}
			})
		})
		return func() { l.ended(p, res, last, err) }
	})
	return true
}

// ingest executes one dispatch and ends it as STALLED if it makes no progress. A slow
// partition makes progress, and one that waits for a limit reports until when. report is
// called when it starts or stops waiting.
func (d *Dispatcher) ingest(ctx context.Context, cancel context.CancelCauseFunc, job Job, report func(Progress)) (res Result, last Progress, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.cfg.Logger.Error("a dispatch panicked", "run_id", job.RunID, "partition_id", job.Partition.ID, "panic", fmt.Sprint(p))
			err = fault.New(fault.Internal, "An unexpected error occurred in the orchestrator; its log has the details.")
		}
	}()
	stall, moved := d.cfg.Timing.Stall, time.Now()
	watchdog := time.AfterFunc(stall, func() {
		cancel(fault.New(fault.Stalled, fmt.Sprintf("%s made no progress for %s.", job.Partition.ID, stall),
			"partition_id", job.Partition.ID, "seconds", fmt.Sprint(int(stall.Seconds()))))
	})
	defer watchdog.Stop()
	res, err = d.cfg.Worker.IngestPartition(ctx, job, func(pr Progress) {
		before := last
		last = pr
		if pr == before {
			// Alive, but without progress. After its rows have arrived, it may wait for another
			// partition or for its turn to commit, so a sign of life is enough for a while; at the
			// provider it is not.
			if pr.Stage != "" && pr.Stage != "extracting" && time.Since(moved) < patience*stall {
				watchdog.Reset(stall)
			}
			return
		}
		moved = time.Now()
		if wait := time.Until(pr.WaitUntil); pr.WaitingAPI != "" && wait > 0 {
			watchdog.Reset(wait + stall)
		} else {
			watchdog.Reset(stall)
		}
		if pr.WaitingAPI != before.WaitingAPI || !pr.WaitUntil.Equal(before.WaitUntil) {
			report(pr)
		}
	})
	if cause := context.Cause(ctx); err != nil && ctx.Err() != nil && cause != nil {
		err = cause // why it was cancelled, whatever error the call returned
	}
	return res, last, err
}

// waits records that a partition in progress waits for a limit, or no longer does.
func (l *loop) waits(p *part, pr Progress) {
	a := l.act
	if !p.inHand {
		return
	}
	if pr.WaitingAPI == "" {
		p.State, p.RetryAt = run.PartitionRunning, time.Time{}
	} else {
		p.State, p.RetryAt = run.PartitionWaiting, pr.WaitUntil
		if a.pausing { // it would delay the pause until the limit allows calls again
			p.cancel(errPausing)
		}
	}
	a.changed(l, p)
}

// ended handles the end of a dispatch.
func (l *loop) ended(p *part, res Result, last Progress, err error) {
	a := l.act
	if !p.inHand {
		return
	}
	p.inHand, p.cancel = false, nil
	a.inHand, a.calls = a.inHand-1, a.calls-p.Calls
	p.spent += max(res.Calls, last.Calls)
	p.Calls, p.RetryAt = p.spent, time.Time{}
	switch {
	case err == nil && res.Committed:
		l.committed(p, res)
	case err == nil:
		issues := res.Issues
		if len(issues) == 0 {
			issues = []fault.Issue{fault.NewIssue(fault.Internal, "The ingest-worker committed nothing and reported no reason.")}
		}
		l.failed(p, issues)
	default:
		if errors.Is(err, errPausing) || errors.Is(err, errCancelled) || errors.Is(err, errStopping) || errors.Is(err, errEnded) {
			l.again(p, nil)
			break
		}
		if _, ok := fault.As(err); !ok {
			l.log.Error("a dispatch failed without a reason", "run_id", a.r.ID, "partition_id", p.ID, "error", err)
		}
		l.failed(p, []fault.Issue{fault.IssueOf(err)})
	}
	a.changed(l, p)
	if a.r.State == run.Cancelling {
		l.endCancelled()
		return
	}
	l.pump()
}

// committed stores what was written, and whether it settles the partition.
func (l *loop) committed(p *part, res Result) {
	l.act.fails, l.act.outSince = 0, time.Time{}
	p.Verdict, p.Rows, p.Expected, p.SymbolCount, p.Issues = res.Verdict, res.Rows, res.Expected, res.Symbols, res.Issues
	p.New, p.Changed, p.Gone = res.New, res.Changed, res.Gone
	p.Revised, p.Phases = res.Revised, res.Phases
	if res.Verdict.Settled() {
		p.State = run.PartitionCompleted
	} else {
		p.State = run.PartitionFailed
		if len(p.Issues) == 0 {
			p.Issues = []fault.Issue{fault.NewIssue(cmp.Or(run.ReasonOf(res.Verdict), fault.Incomplete), fmt.Sprintf("%s is not complete: %s.", p.ID, fault.Of(res.Rows, res.Expected, "row", "rows")),
				"dataset", p.Dataset, "trade_date", p.End.String())}
		}
	}
}

// again queues a partition for another dispatch.
func (l *loop) again(p *part, issues []fault.Issue) {
	a := l.act
	p.State, p.Issues = run.PartitionPending, issues
	for _, s := range a.gaveUp {
		if s.concerns(p) {
			p.State, p.Issues = run.PartitionFailed, s.about(p)
			return
		}
	}
	a.queue = append([]*part{p}, a.queue...)
}

// later queues a partition for a dispatch at a later time.
func (l *loop) later(p *part, issues []fault.Issue, at time.Time) {
	a := l.act
	for _, s := range a.gaveUp {
		if s.concerns(p) {
			p.State, p.Issues = run.PartitionFailed, s.about(p)
			return
		}
	}
	p.State, p.Issues, p.RetryAt = run.PartitionWaiting, issues, at
	a.waiting[p] = true
}

// failed handles a partition of which nothing was committed, by the class of its worst
// issue: it is retried if the failure may be temporary; otherwise it fails, together with
// the partitions that would fail for the same reason.
func (l *loop) failed(p *part, issues []fault.Issue) {
	a := l.act
	for n := range issues {
		if issues[n].Module == "" {
			issues[n].Module = p.Module
		}
		if issues[n].Reason == fault.PermissionDenied {
			issues[n].Remedy = readiness.PermissionRemedy(l.pool, p.Module)
		}
	}
	p.Issues, p.State = issues, run.PartitionFailed
	worst, _ := fault.Worst(issues)
	at := now()
	switch worst.Reason {
	case fault.ProviderUnavailable, fault.Stalled, fault.WorkerUnreachable:
	default: // the provider responded, or was not called
		a.fails, a.outSince = 0, time.Time{}
	}
	switch worst.Reason {
	case fault.WorkerUnreachable:
		if p.lost++; p.lost < maxLost {
			l.again(p, issues)
		}
		l.workerAway()
		return
	case fault.TokenInvalid, fault.TokenMissing, fault.TooManyIPs, fault.SourceMismatch, fault.DiskFull,
		fault.AnalysisDBNotInitialized, fault.TargetsDBNotInitialized:
		l.giveUp(exclusion{all: true, dataset: p.Dataset, issue: worst})
		return
	case fault.PermissionDenied, fault.QuotaExhausted: // of one API; the module's other dataset continues
		l.giveUp(exclusion{dataset: p.Dataset, issue: worst})
		return
	case fault.RateLimited:
		until := worst.RetryAt
		if !until.After(at) {
			until = at.Add(minuteWindow)
		}
		if until.Sub(at) <= shortWait {
			if p.tries++; p.tries < l.d.cfg.Timing.Attempts+2 {
				l.later(p, issues, until)
			}
			return
		}
		l.giveUp(exclusion{dataset: p.Dataset, issue: worst})
		return
	case fault.NotPublished, fault.Incomplete, fault.EmptyAnswer:
		p.Verdict = map[fault.Reason]market.Verdict{fault.NotPublished: market.VerdictNotPublished, fault.Incomplete: market.VerdictIncomplete, fault.EmptyAnswer: market.VerdictEmpty}[worst.Reason]
		return
	case fault.ProviderUnavailable, fault.Stalled:
		if l.outage(p, worst) {
			return
		}
	}
	if worst.Reason.Class() != fault.Transient {
		return
	}
	if p.tries++; p.tries < l.d.cfg.Timing.Attempts {
		l.later(p, issues, at.Add(l.d.cfg.Timing.pause(p.tries)))
	}
}

// outage distinguishes a provider that is down from a single failed call. It counts as down
// after as many consecutive failures as partitions are dispatched at a time. Then failures
// do not count as attempts, and one partition at a time is tried after growing pauses,
// until the provider responds or Timing.Outage is over.
func (l *loop) outage(p *part, issue fault.Issue) bool {
	a := l.act
	t := l.d.cfg.Timing
	at := now()
	a.fails++
	beyond := a.fails - max(a.set.DispatchWidth, 2*t.Attempts)
	if beyond < 0 {
		return false
	}
	if a.outSince.IsZero() {
		a.outSince = at
		l.log.Warn("the provider seems to be down; dispatching one partition at a time", "run_id", a.r.ID)
	}
	if at.Sub(a.outSince) > t.Outage {
		l.giveUp(exclusion{all: true, dataset: p.Dataset, issue: issue})
		return true
	}
	if a.inHand == 0 {
		a.holdUntil = at.Add(min(t.BackoffMax, t.BackoffBase<<min(beyond, 10)))
	}
	l.again(p, p.Issues)
	return true
}

// giveUp fails the partitions of an exclusion, for this run. Those that were in progress when
// the first of them failed may fail for the same reason; it is logged once.
func (l *loop) giveUp(s exclusion) {
	a := l.act
	if slices.ContainsFunc(a.gaveUp, func(o exclusion) bool { return o.all || !s.all && o.dataset == s.dataset }) {
		return
	}
	a.gaveUp = append(a.gaveUp, s)
	l.log.Warn("partitions are skipped for the rest of this run", "run_id", a.r.ID, "all", s.all, "dataset", s.dataset, "reason", s.issue.Reason)
	l.abandon(s)
}

func (l *loop) abandon(s exclusion) {
	a := l.act
	for _, p := range a.order {
		if p.inHand || !s.concerns(p) || p.State != run.PartitionPending && p.State != run.PartitionWaiting {
			continue
		}
		delete(a.waiting, p)
		p.State, p.RetryAt, p.Issues = run.PartitionFailed, time.Time{}, s.about(p)
		a.changed(l, p)
	}
}

// workerAway polls the worker until it is back; the partitions in progress are then
// dispatched again. If it stays unreachable, the remaining ones fail.
func (l *loop) workerAway() {
	a := l.act
	if a.away || a.r.State != run.Running {
		return
	}
	a.away = true
	id := a.r.ID
	l.log.Warn("the ingest-worker is unreachable", "run_id", id)
	l.next(func(ctx context.Context) func() {
		err := l.d.patiently(ctx, func(ctx context.Context) error {
			_, err := l.d.cfg.Worker.ActivePartitions(ctx, id)
			return err
		})
		return func() {
			a.away = false
			if err != nil {
				l.giveUp(exclusion{all: true, issue: fault.IssueOf(err)})
			} else {
				l.log.Info("the ingest-worker is reachable again", "run_id", a.r.ID)
			}
			l.pump()
		}
	})
}
