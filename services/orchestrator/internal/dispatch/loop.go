package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// loop owns one pool. Only its own goroutine accesses its fields; others send it functions
// through inbox.
type loop struct {
	d     *Dispatcher
	pool  market.Pool
	log   *slog.Logger
	inbox chan func()
	wake  chan struct{}
	done  chan struct{} // closed when the goroutine has ended

	ctx      context.Context // of Run: ends when the process stops
	act      *active         // the run in progress or paused; nil when there is none
	held     bool
	working  bool // the last value given to count
	stopping bool
	seen     map[string]time.Time // universe runs that wait for their targets run, since when
	look     time.Time            // next check of the queue
}

func newLoop(d *Dispatcher, pool market.Pool) *loop {
	return &loop{
		d: d, pool: pool, log: d.cfg.Logger.With("pool", string(pool)), inbox: make(chan func(), 64), wake: make(chan struct{}, 1),
		done: make(chan struct{}), seen: map[string]time.Time{},
	}
}

// store is the context of ledger calls: a transaction must complete when the process stops.
func (l *loop) store() context.Context { return context.WithoutCancel(l.ctx) }

func (l *loop) run(ctx context.Context) {
	defer close(l.done)
	l.ctx = ctx
	l.guard(l.adopt)
	for ctx.Err() == nil {
		// No longer than Idle, even if the clock was set back meanwhile.
		timer := time.NewTimer(min(time.Until(l.nextLook()), l.d.cfg.Timing.Idle))
		select {
		case <-ctx.Done():
		case f := <-l.inbox:
			l.guard(f)
		case <-l.wake:
			l.look = time.Time{}
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() == nil {
			l.guard(l.tick)
		}
		l.count(l.act != nil && l.act.r.State != run.Paused)
	}
	l.guard(l.shutdown)
	l.count(false)
}

// count publishes whether the pool has a run in progress, which slows down watchers of past
// events.
func (l *loop) count(working bool) {
	switch {
	case working && !l.working:
		l.d.replays.working.Add(1)
	case !working && l.working:
		l.d.replays.working.Add(-1)
	}
	l.working = working
}

// guard runs a function of the loop. A panic in it ends the run in progress, not the loop.
func (l *loop) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("the pool's loop panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			l.failAfterPanic()
		}
	}()
	f()
}

// failAfterPanic ends the run in progress as INTERNAL after a panic.
func (l *loop) failAfterPanic() {
	a := l.act
	if a == nil {
		l.look = now().Add(l.d.cfg.Timing.Idle)
		return
	}
	defer func() {
		if p := recover(); p != nil { // that failed, too: drop it; the next start ends its row
			l.log.Error("a run could not be finished", "run_id", a.r.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			a.cancel(errEnded)
			l.act = nil
		}
	}()
	if a.r.State == run.Finished || a.r.State == run.Paused {
		a.cancel(errEnded)
		l.act = nil
		return
	}
	l.finish(run.End{Outcome: run.Failed, Issues: []fault.Issue{fault.NewIssue(fault.Internal,
		"An unexpected error occurred in the orchestrator; its log has the details.")}})
}

// post sends a function to the loop. It is dropped if the loop has ended.
func (l *loop) post(f func()) {
	select {
	case l.inbox <- f:
	case <-l.done:
	}
}

// ask runs f in the loop and returns its result.
func ask[T any](ctx context.Context, l *loop, f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	answers := make(chan answer, 1)
	g := func() {
		a := answer{err: fault.New(fault.Internal, "An unexpected error occurred in the orchestrator; its log has the details.")}
		defer func() { answers <- a }() // also if f panics
		a.v, a.err = f()
	}
	select {
	case l.inbox <- g:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-l.done:
		return none, stopped()
	}
	select {
	case a := <-answers:
		return a.v, a.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-l.done:
		select {
		case a := <-answers:
			return a.v, a.err
		default:
			return none, stopped()
		}
	}
}

func stopped() error {
	return fault.New(fault.Interrupted, "The orchestrator is shutting down; try again after it has restarted.", "state", "stopping")
}

// nextLook is when the loop must act even if nothing happens.
func (l *loop) nextLook() time.Time {
	if l.act == nil {
		return l.look
	}
	return l.act.nextLook(l)
}

// tick does what is due.
func (l *loop) tick() {
	if l.act != nil {
		l.advance()
	}
	if ahead := l.look.Sub(now()); l.act == nil && !l.stopping && (ahead <= 0 || ahead > l.d.cfg.Timing.Idle) {
		l.takeNext()
	}
}

// adopt loads the pause state and a paused run of an earlier process.
func (l *loop) adopt() {
	hold, err := l.d.cfg.Ledger.PauseState(l.store(), l.pool)
	if err != nil {
		l.log.Error("the pool's pause state cannot be read; the pool counts as not paused", "error", err)
	}
	l.held = hold.Paused
	unfinished, err := l.d.cfg.Ledger.Unfinished(l.store())
	if err != nil {
		l.log.Error("the runs in progress cannot be read", "error", err)
		return
	}
	for _, r := range unfinished {
		if r.Pool == l.pool && r.State == run.Paused {
			l.act = l.newActive(r)
			if !l.held {
				l.resume("The pool is not paused.")
			}
			return
		}
	}
}

// takeNext starts the first run of the queue that may start now.
func (l *loop) takeNext() {
	at := now()
	l.look = at.Add(l.d.cfg.Timing.Idle)
	if l.held {
		return
	}
	queue, err := l.d.cfg.Ledger.Queue(l.store(), l.pool)
	if err != nil {
		l.log.Error("the queue cannot be read", "error", err)
		l.look = at.Add(5 * time.Second)
		return
	}
	if slices.ContainsFunc(queue, func(r run.Run) bool { return r.CreatedAt.Sub(at) > run.ClockSlack }) {
		if err = l.d.repairQueue(l.store()); err == nil {
			queue, err = l.d.cfg.Ledger.Queue(l.store(), l.pool)
		}
		if err != nil {
			l.log.Error("the queue cannot be repaired", "error", err)
			return
		}
	}
	for _, r := range queue {
		until := r.NotBefore
		if !until.After(at) {
			if until, err = l.waitsForTargets(r, at); err != nil {
				l.log.Error("the order of the pools cannot be read; the run starts now", "run_id", r.ID, "error", err)
				until = time.Time{}
			}
		}
		if until.After(at) {
			if until.Before(l.look) {
				l.look = until
			}
			continue
		}
		delete(l.seen, r.ID)
		if l.begin(r) {
			return
		}
	}
}

// waitsForTargets is until when a universe run waits for the targets run of its trigger;
// zero if it need not wait.
func (l *loop) waitsForTargets(r run.Run, at time.Time) (time.Time, error) {
	if l.pool != market.Universe {
		return time.Time{}, nil
	}
	hold, err := l.d.cfg.Ledger.PauseState(l.store(), market.Targets)
	if err != nil || hold.Paused {
		return time.Time{}, err
	}
	// The queue first: a run that leaves it meanwhile is then found among the active ones.
	queued, err := l.d.cfg.Ledger.Queue(l.store(), market.Targets)
	if err != nil {
		return time.Time{}, err
	}
	unfinished, err := l.d.cfg.Ledger.Unfinished(l.store())
	if err != nil {
		return time.Time{}, err
	}
	for _, t := range append(queued, unfinished...) {
		if t.Pool != market.Targets || t.TriggerID != r.TriggerID || t.State == run.Paused || t.NotBefore.After(at) {
			continue
		}
		set, err := l.d.cfg.Ledger.Settings(l.store())
		if err != nil {
			return time.Time{}, err
		}
		since, ok := l.seen[r.ID]
		if !ok {
			since = at
			l.seen[r.ID] = at
		}
		if !t.StartedAt.IsZero() && t.StartedAt.Before(since) {
			since = t.StartedAt
		}
		return since.Add(set.OrderWait), nil
	}
	return time.Time{}, nil
}

// begin takes a run from the queue. It returns false if the run is no longer there or the
// ledger failed.
func (l *loop) begin(queued run.Run) bool {
	taken, event, err := run.Take(queued, now())
	if err != nil {
		l.log.Error("a queued run cannot be taken", "run_id", queued.ID, "error", err)
		return false
	}
	taken.AsOf = market.NoDate
	a := l.newActive(taken)
	a.events = append(a.events, event)
	l.act = a
	if err := l.flush(); err != nil { // no check starts before its row is stored
		a.cancel(errEnded)
		l.act = nil
		l.look = now().Add(5 * time.Second)
		return false
	}
	l.log.Info("run taken", "run_id", taken.ID, "mode", taken.Mode, "source", taken.Source)
	l.check()
	return true
}

// setHold pauses or resumes the pool for the caller of ctx.
func (l *loop) setHold(ctx context.Context, paused bool, note string) error {
	if !paused && !l.held {
		return nil
	}
	if err := l.d.cfg.Ledger.SetPauseState(auth.Carry(l.store(), ctx), l.pool, run.PauseState{Paused: paused, Note: note, At: now()}); err != nil {
		return err
	}
	changed := l.held != paused
	l.held = paused
	l.log.Info("pool paused or resumed", "paused", paused, "note", note)
	switch {
	case !changed:
	case l.act == nil:
		l.look = time.Time{}
	case paused:
		l.act.pauseNote = note
		l.pauseAct()
	default:
		l.resume(note)
	}
	return nil
}

// cancelRun cancels a queued or active run of the pool for the caller of ctx.
func (l *loop) cancelRun(ctx context.Context, id, note string) (run.Run, error) {
	if l.act == nil || l.act.r.ID != id {
		r, err := l.d.cfg.Ledger.Run(l.store(), id)
		if err != nil {
			return run.Run{}, err
		}
		if r.State != run.Queued {
			_, _, err := run.AskCancel(r, now(), note)
			if err == nil { // active, but dropped by this loop because the ledger failed
				err = fault.New(fault.WrongState, fmt.Sprintf("Run %s is %s, but no process is working on it; the next start of the orchestrator ends it.", id, r.State),
					"run_id", id, "pool", string(l.pool), "state", string(r.State))
			}
			return run.Run{}, err
		}
		r, err = l.d.cfg.Ledger.CancelQueued(auth.Carry(l.store(), ctx), id, note, now())
		if err == nil {
			l.d.bus.notify(id)
			l.d.Wake()
		}
		return r, err
	}
	a := l.act
	if a.r.State == run.Cancelling { // cancelled already: same answer
		return a.r, nil
	}
	next, event, err := run.AskCancel(a.r, now(), note)
	if err != nil {
		return run.Run{}, err
	}
	a.r = next
	a.events, a.change = append(a.events, event), auth.ChangeOf(ctx)
	l.log.Info("run is being cancelled", "run_id", id, "note", note)
	a.cancel(errCancelled)
	err = l.flush()
	l.confirmStopped()
	return a.r, err
}
