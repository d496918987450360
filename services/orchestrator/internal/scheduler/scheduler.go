package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Ledger stores slots, runs and the schedule; *ledger.Store implements it.
type Ledger interface {
	Schedule(ctx context.Context) (slot.Schedule, error)
	// SaveSchedule replaces the schedule. The given slots become pending again.
	SaveSchedule(ctx context.Context, s slot.Schedule, again ...slot.Slot) error
	// FactStore returns which modules a pool ingests, and the calendar.
	preflight.FactStore

	// Settle decides slots and queues runs in one transaction. It returns slot.ErrDecided and
	// writes nothing if a slot has been decided already. A slot that was skipped by a pause
	// may still fire or be covered; one whose covering run lapsed may get any decision.
	Settle(ctx context.Context, slots []slot.Slot, runs []run.Run) error
	// InsertSlot adds a slot that is not due yet; one that exists stays.
	InsertSlot(ctx context.Context, s slot.Slot) (inserted bool, err error)
	// DropSlotsAhead deletes the slots of today and later that were decided after that day's
	// end by a clock that was ahead of the current time.
	DropSlotsAhead(ctx context.Context, today market.Date, ends time.Time) (int, error)
	Slot(ctx context.Context, id string) (slot.Slot, error)
	// Slots lists slots by ID, newest first.
	Slots(ctx context.Context, pool market.Pool, limit int, before string) ([]slot.Slot, error)
	// LastSlot is the newest slot of a pool, except those that DropSlotsAhead deletes and
	// undecided ones that a clock that was ahead has left; ahead is the oldest of the former.
	LastSlot(ctx context.Context, pool market.Pool, today market.Date, ends time.Time) (last, ahead *slot.Slot, err error)
	PendingSlots(ctx context.Context) ([]slot.Slot, error)
	// UncoveredSlots lists the slots that were due after since and whose covering run a user
	// stopped, oldest first.
	UncoveredSlots(ctx context.Context, since time.Time) ([]slot.Slot, error)

	Enqueue(ctx context.Context, runs []run.Run, req *run.CreateRecord) error
	Queue(ctx context.Context, pool market.Pool) ([]run.Run, error)
	Unfinished(ctx context.Context) ([]run.Run, error)
	PauseState(ctx context.Context, pool market.Pool) (run.PauseState, error)
	Run(ctx context.Context, id string) (run.Run, error)
	Runs(ctx context.Context, f run.Filter) ([]run.Run, error)
	FollowUps(ctx context.Context, runID string) ([]run.Run, error)
	Milestones(ctx context.Context, runID string) ([]run.Event, error)
	Partitions(ctx context.Context, runID string, offset, limit int) ([]run.Partition, error)
}

// Dispatcher starts queued runs.
type Dispatcher interface {
	// OneTrigger prevents others from queuing runs until release is called.
	OneTrigger() (release func())
	// Outdated reports whether a run began before the set of modules or targets that it
	// ingests was changed.
	Outdated(r run.Run) bool
	// Wake makes the pools check their queues. It does not block.
	Wake()
}

// Config is the configuration of a Scheduler.
type Config struct {
	// Ledger that stores slots.
	Ledger Ledger
	// Dispatcher to wake. Nil means none.
	Dispatcher Dispatcher
	// Logger; nil means slog.Default().
	Logger *slog.Logger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Off means that Run is not called; a later process fires the slots that were due.
	Off bool
	// Every is the longest time between two checks of the clock. 0 means 30 s.
	Every time.Duration
}

// Scheduler fires slots. Its methods are safe for concurrent use, before and during Run.
type Scheduler struct {
	ledger   Ledger
	wake     func()
	alone    func() (release func())
	outdated func(run.Run) bool
	log      *slog.Logger
	clock    func() time.Time
	every    time.Duration
	off      bool
	poke     chan struct{}

	mu sync.Mutex // held while slots are decided or the schedule is changed
	// The span of wall time in which no slot lacks a decision.
	quietFrom, quietUntil time.Time
	// What whyLate needs.
	started, lastLook time.Time
	failing           error
	first             bool
}

// New returns a scheduler. It does nothing until Run.
func New(cfg Config) *Scheduler {
	s := &Scheduler{ledger: cfg.Ledger, wake: func() {}, alone: func() func() { return func() {} }, outdated: func(run.Run) bool { return false }, log: cfg.Logger, clock: cfg.Now, every: cfg.Every, off: cfg.Off, poke: make(chan struct{}, 1), first: true}
	if cfg.Dispatcher != nil {
		s.wake, s.alone, s.outdated = cfg.Dispatcher.Wake, cfg.Dispatcher.OneTrigger, cfg.Dispatcher.Outdated
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.every <= 0 {
		s.every = 30 * time.Second
	}
	return s
}

// now is the wall clock in milliseconds, as the ledger stores it. It has no monotonic
// reading, so that it includes the time that the host was asleep and changes of the clock.
func (s *Scheduler) now() time.Time { return s.clock().Round(0).Truncate(time.Millisecond) }

// Run decides slots until ctx ends, and returns nil then. Errors are logged and retried at
// the next check: if the ledger cannot be written for a while, slots are delayed, but not
// lost.
func (s *Scheduler) Run(ctx context.Context) error {
	for {
		wait := s.check(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-s.poke:
			timer.Stop()
		}
	}
}

// check decides the slots that are due; the first call also requests the start-up run. It
// returns how long to wait.
func (s *Scheduler) check(ctx context.Context) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.started.IsZero() {
		s.started = now
	}
	err := s.decide(ctx, now)
	if err == nil && s.first {
		if err = s.startup(ctx, now); err == nil {
			s.first = false
		}
	}
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "The scheduler could not read or write its state; retrying.", "error", err, "cause", errors.Unwrap(err))
	}
	wait := s.every
	if until := s.quietUntil.Sub(now); until > 0 && until < wait {
		wait = until
	}
	return wait
}

// changed triggers a check at once after a change of the schedule.
func (s *Scheduler) changed() {
	s.quietUntil = time.Time{}
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
