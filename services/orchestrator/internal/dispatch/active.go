package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Causes for which calls of a run are cancelled.
var (
	errEnded     = errors.New("the run has ended")
	errCancelled = errors.New("the run is cancelled")
	errPausing   = errors.New("the pool is paused")
	errStopping  = errors.New("the orchestrator is stopping")
)

// phase is the current step of a run.
type phase int

const (
	checking phase = iota
	planningReferences
	references
	planningData
	data
	publishing
)

// active is the run in progress. Only the pool's loop uses it.
type active struct {
	r      run.Run
	ctx    context.Context // of all calls of the run
	cancel context.CancelCauseFunc
	phase  phase

	step       int // the result of an earlier step is ignored
	stepCancel context.CancelCauseFunc

	set     settings.Settings
	zone    *time.Location
	modules []string // that passed the checks
	symbols []string // targets only

	clock          []fault.Issue // warnings that the clock was wrong
	warnings       []fault.Issue // of checks and plans
	preflightCalls int
	lastTradeDate  market.Date

	verified   bool // the previous trading day was verified, or need not be
	alteredDay market.Date
	altered    []alteration

	parts   map[string]*part
	order   []*part
	queue   []*part // pending, in the order of dispatch
	waiting map[*part]bool
	inHand  int
	calls   int // of the partitions in hand, as estimated
	gaveUp  []exclusion

	change *auth.Change // the change that a caller requested, until a write has stored it; nil otherwise

	away      bool      // the worker is unreachable and being polled
	fails     int       // failures of the provider since its last response
	outSince  time.Time // since when it counts as down; zero when up
	holdUntil time.Time // nothing is dispatched before this time

	pausing   bool
	pauseNote string
	confirmed bool // the worker has stopped; a cancelled run may end

	events  []run.Event
	dirty   map[string]*part
	flushAt time.Time
	ending  *run.End    // how the run ends after its pool is published; nil before
	final   *run.Update // the end of the run, not stored yet
}

// part is a partition of the run in progress.
type part struct {
	run.Partition
	inHand bool
	cancel context.CancelCauseFunc // of the current call
	tries  int                     // failures that count as attempts
	lost   int                     // dispatches that were lost with the worker
	spent  int                     // calls of all dispatches
}

// exclusion says which partitions are no longer tried in this run, and why.
type exclusion struct {
	all     bool   // otherwise those of dataset
	dataset string // the one that failed; empty if none did
	issue   fault.Issue
}

func (s exclusion) concerns(p *part) bool { return s.all || s.dataset == p.Dataset }

// about is the issue for a partition. For a partition of another dataset, it names the
// dataset that failed.
func (s exclusion) about(p *part) []fault.Issue {
	i := s.issue
	if s.dataset != "" && s.dataset != p.Dataset {
		i.Message = "Not fetched because of " + s.dataset + ": " + i.Message
		i.Module, i.Meta = p.Module, maps.Clone(i.Meta)
		i.Domain, _, _ = strings.Cut(p.Module, ".")
		for _, k := range []string{"api", "module", "domain"} {
			delete(i.Meta, k)
		}
	}
	return []fault.Issue{i}
}

func (l *loop) newActive(r run.Run) *active {
	a := &active{r: r, parts: map[string]*part{}, waiting: map[*part]bool{}, dirty: map[string]*part{}, lastTradeDate: market.NoDate, alteredDay: market.NoDate,
		set: settings.Default(), zone: market.Shanghai}
	a.ctx, a.cancel = context.WithCancelCause(context.WithoutCancel(l.ctx))
	return a
}

func (a *active) nextLook(l *loop) time.Time {
	next := now().Add(l.d.cfg.Timing.Idle)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	earlier(a.flushAt)
	if a.r.State != run.Running || a.pausing || a.final != nil {
		return next
	}
	if len(a.queue) > 0 && a.holdUntil.After(now()) {
		earlier(a.holdUntil)
	}
	for p := range a.waiting {
		earlier(p.RetryAt)
	}
	return next
}

// spawn runs a call of the run in a goroutine that only reports back: the function that f
// returns runs in the loop, unless the run has ended.
func (l *loop) spawn(a *active, f func() func()) {
	id := a.r.ID // the loop owns a
	l.d.tasks.Go(func() {
		var report func()
		func() {
			defer func() {
				if p := recover(); p != nil {
					l.log.Error("a call of a run panicked", "run_id", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
					report = l.failAfterPanic
				}
			}()
			report = f()
		}()
		l.post(func() {
			if l.act == a {
				report()
			}
		})
	})
}

// next starts the run's next step; the result of the previous one is ignored from now on.
func (l *loop) next(f func(ctx context.Context) func()) {
	a := l.act
	l.endStep(errEnded)
	ctx, cancel := context.WithCancelCause(a.ctx)
	a.stepCancel = cancel
	n := a.step
	l.spawn(a, func() func() {
		defer cancel(nil)
		report := f(ctx)
		return func() {
			if a.step == n {
				report()
			}
		}
	})
}

func (l *loop) endStep(cause error) {
	a := l.act
	a.step++
	if a.stepCancel != nil {
		a.stepCancel(cause)
		a.stepCancel = nil
	}
}

// note adds an event. The next flush stores it.
func (a *active) note(l *loop, e run.Event) {
	e.RunID = a.r.ID
	if e.Time.IsZero() {
		e.Time = now()
	}
	a.events = append(a.events, e)
	a.soon(l)
}

// changed marks a partition for the next flush. mostInEvent limits how many symbols the
// event of a partition names: otherwise each date of a long target list would repeat all of
// them in each event.
const mostInEvent = 100

func (a *active) changed(l *loop, p *part) {
	a.dirty[p.ID] = p
	copied := p.Partition
	if len(copied.Symbols) > mostInEvent {
		copied.Symbols = nil
	}
	a.note(l, run.Event{Partition: &copied})
}

func (a *active) soon(l *loop) {
	if a.flushAt.IsZero() {
		a.flushAt = now().Add(l.d.cfg.Timing.Flush)
	}
}

// warned returns the warnings so far, including those about the clock.
func (a *active) warned() []fault.Issue {
	is := func(i fault.Issue) bool { return i.Reason == fault.ClockWrong }
	if len(a.clock) == 0 {
		return slices.Clone(a.warnings)
	}
	return append(slices.Clone(a.clock), slices.DeleteFunc(slices.Clone(a.warnings), is)...)
}

// partitions are all partitions of the run, in order.
func (a *active) partitions() []run.Partition {
	out := make([]run.Partition, len(a.order))
	for i, p := range a.order {
		out[i] = p.Partition
	}
	return out
}

// totals sums the partitions into the run.
func (a *active) totals() {
	r := &a.r
	r.Partitions, r.Completed, r.Rows, r.New, r.Changed, r.Gone, r.Calls = len(a.order), 0, 0, 0, 0, 0, a.preflightCalls
	r.Meta.Revised = nil
	counts := map[string]int64{}
	newest, tried, symbols := market.NoDate, market.NoDate, int64(len(a.symbols))
	for _, p := range a.order {
		if p.State == run.PartitionCompleted {
			r.Completed++
		}
		if !p.Reference && p.Attempts > 0 {
			tried = max(tried, p.End)
		}
		if !p.Reference && (p.State == run.PartitionCompleted || p.Rows > 0) {
			newest = max(newest, p.End)
		}
		r.Rows += p.Rows
		r.New += p.New
		r.Changed += p.Changed
		r.Gone += p.Gone
		r.Meta.Revised = r.Meta.Revised.Add(p.Revised)
		r.Calls += p.spent
		if p.Verdict != "" {
			counts[p.Dataset] += p.Rows
		}
		if r.Pool == market.Universe && !p.Reference {
			symbols = max(symbols, p.SymbolCount)
		}
	}
	r.Symbols = symbols
	if r.Pool == market.Universe && len(counts) > 0 {
		r.Meta.UniverseCounts = counts
	}
	r.AsOf = a.lastTradeDate
	if r.State == run.Finished && r.Outcome != run.Succeeded && r.Outcome != run.Unchanged {
		if r.AsOf = newest; newest == market.NoDate {
			r.AsOf = tried // no rows came; this is the date that it tried
		}
	}
}

// flush stores the changes in one transaction. If the ledger fails, it is retried after a
// moment.
func (l *loop) flush() error {
	a := l.act
	if a.final != nil {
		return l.storeEnd()
	}
	a.totals()
	u := run.Update{Run: a.r, Events: a.events}
	for _, p := range a.order {
		if a.dirty[p.ID] != nil {
			u.Partitions = append(u.Partitions, p.Partition)
		}
	}
	if _, err := l.d.cfg.Ledger.Save(l.saving(), u); err != nil {
		l.log.Error("a run's progress could not be stored; retrying", "run_id", a.r.ID, "error", err)
		if fault.Is(err, fault.WrongState) || fault.Is(err, fault.NotFound) {
			l.detach()
		}
		a.flushAt = now().Add(2 * time.Second)
		return err
	}
	clear(a.dirty)
	a.events, a.flushAt = nil, time.Time{}
	l.d.bus.notify(a.r.ID)
	return nil
}

// saving is the context of a write about the current run. It carries the change that a
// caller requested until a write has stored it.
func (l *loop) saving() context.Context {
	return auth.WithChange(l.store(), l.act.change)
}

// detach drops a run whose state in the ledger is a different one.
func (l *loop) detach() {
	l.endStep(errEnded)
	l.act.cancel(errEnded)
	l.act = nil
	l.look = time.Time{}
}

// finish ends the run and queues its follow-up. Partitions that are not done keep their
// state.
func (l *loop) finish(end run.End) {
	a := l.act
	l.endStep(errEnded)
	a.cancel(errEnded)
	for _, p := range a.order {
		switch p.State {
		case run.PartitionPending, run.PartitionRunning, run.PartitionWaiting:
			p.State, p.RetryAt, p.inHand = run.PartitionCancelled, time.Time{}, false
			a.changed(l, p)
		}
	}
	asked := a.r.State == run.Cancelling
	a.r.Issues = a.warned()
	told, unhealed := a.alteredIssues()
	end.Issues = slices.Concat(end.Issues, told)
	ended, event, err := run.Finish(a.r, now(), end)
	if err != nil { // a bug of this package; the next start ends the row
		l.log.Error("a run cannot be finished", "run_id", a.r.ID, "error", err)
		l.detach()
		return
	}
	a.r = ended
	a.totals()
	u := &run.Update{Events: append(a.events, event)}
	for _, p := range a.order {
		if a.dirty[p.ID] != nil {
			u.Partitions = append(u.Partitions, p.Partition)
		}
	}
	u.Run = a.r
	l.follow(u, a.partitions(), l.followUpFacts(a.r, a.set, a.zone), asked)
	a.r = u.Run
	if unhealed && !asked {
		again := a.refetchAltered(a.r.FinishedAt)
		u.Enqueue = append(u.Enqueue, again)
		if a.r.RetryAt.IsZero() {
			a.r.RetryAt = again.NotBefore
		}
		u.Run = a.r
	}
	u.Events = append(u.Events, run.Event{RunID: a.r.ID, Time: a.r.FinishedAt, Finished: &a.r})
	a.final = u
	if a.ending == nil {
		l.publishAside(a.r)
	}
	if l.storeEnd() != nil {
		a.soon(l)
	}
}

// storeEnd stores the end of the run and drops it. If the ledger fails, it is retried until
// it succeeds.
func (l *loop) storeEnd() error {
	a := l.act
	if _, err := l.d.cfg.Ledger.Save(l.saving(), *a.final); err != nil {
		l.log.Error("the end of a run could not be stored; retrying", "run_id", a.r.ID, "error", err)
		if fault.Is(err, fault.WrongState) || fault.Is(err, fault.NotFound) {
			l.detach()
		}
		a.flushAt = now().Add(2 * time.Second)
		return err
	}
	attrs := []any{"run_id", a.r.ID, "outcome", a.r.Outcome, "partitions", a.r.Partitions, "completed", a.r.Completed, "rows", a.r.Rows,
		"took", a.r.FinishedAt.Sub(a.r.StartedAt)}
	w, ok := fault.Worst(a.r.Issues)
	if ok {
		attrs = append(attrs, "reason", w.Reason, "stage", a.r.Stage)
	}
	if a.r.Outcome == run.Blocked { // nothing was fetched, and possibly nothing will be until a user acts
		l.log.Warn("run blocked", append(attrs, "module", w.Module, "message", w.Message, "next", w.Command())...)
	} else {
		l.log.Info("run finished", attrs...)
	}
	l.act = nil
	l.look = time.Time{}
	l.d.bus.notify(a.r.ID)
	l.d.Wake() // universe may have waited for this run
	return nil
}

// follow adds the follow-up of a finished run to its update: the run to queue, the queued
// follow-ups that it makes unnecessary, and when it is due. A queued follow-up that does
// the same no later is used instead.
func (l *loop) follow(u *run.Update, partitions []run.Partition, around run.FollowUpFacts, asked bool) {
	r := &u.Run
	verdict := r.RetryAt
	r.RetryAt = time.Time{}
	if asked {
		return
	}
	judged := *r
	if judged.RetryAt = verdict; !verdict.IsZero() { // the verdict was RETRY: reasons that need a user did not stop it
		judged.Issues = slices.DeleteFunc(slices.Clone(r.Issues), func(i fault.Issue) bool {
			return i.Reason.Class() == fault.Permanent
		})
	}
	next, ok := run.FollowUp(judged, partitions, around)
	if !ok {
		return
	}
	follow := next.Follow(*r, around.Now)
	queued, err := l.d.cfg.Ledger.Queue(l.store(), l.pool)
	if err != nil {
		l.log.Error("the queue cannot be read; a follow-up run may be queued twice", "error", err)
	}
	needless, serves := run.Superseded(queued, follow)
	if serves != nil {
		r.RetryAt = serves.NotBefore
		return
	}
	for _, q := range needless {
		u.Superseded = append(u.Superseded, q.ID)
	}
	r.RetryAt = next.At
	u.Enqueue = append(u.Enqueue, follow)
}

// followUpFacts returns the inputs of the follow-up. What cannot be read from the ledger counts as
// unknown: a run always ends.
func (l *loop) followUpFacts(r run.Run, set settings.Settings, zone *time.Location) run.FollowUpFacts {
	at := now()
	around := run.FollowUpFacts{Settings: set, Zone: zone, Now: at}
	cal, err := l.d.cfg.Ledger.Calendar(l.store())
	if err != nil {
		l.log.Error("the calendar cannot be read; weekdays count as trading days", "error", err)
	}
	around.Calendar = cal
	facts, err := l.d.cfg.Preflight.Facts(l.store(), r.Request.Modules)
	if err != nil || facts.Catalog == nil {
		return around
	}
	if r.SlotID == slot.ID(market.DateIn(r.StartedAt, slot.ZoneOr(zone)), r.Pool) && r.Request.End == market.NoDate {
		around.DueLater = run.DueLater(*facts.Catalog, readiness.Select(r.Pool, facts).Modules, cal, r.StartedAt, at)
	}
	return around
}
