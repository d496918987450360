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

// Ledger is what the scheduler keeps and reads; *ledger.Store is one.
type Ledger interface {
	Schedule(ctx context.Context) (slot.Schedule, error)
	// SaveSchedule replaces the schedule; the slots given are pending again from then on.
	SaveSchedule(ctx context.Context, s slot.Schedule, again ...slot.Slot) error
	// FactStore tells which modules a pool takes in, and the calendar.
	preflight.FactStore

	// Settle decides slots and queues runs in one transaction. It returns
	// slot.ErrDecided, and writes nothing, when a slot was decided before; one that
	// was skipped by a pause may still fire or be covered, and one whose covering run
	// lapsed may become anything.
	Settle(ctx context.Context, slots []slot.Slot, runs []run.Run) error
	// InsertSlot adds a slot that is not due yet; one that exists stays.
	InsertSlot(ctx context.Context, s slot.Slot) (inserted bool, err error)
	// DropSlotsAhead forgets the slots of today and later that were decided when that
	// day had ended, by a clock that was ahead of the one of now.
	DropSlotsAhead(ctx context.Context, today market.Date, ends time.Time) (int, error)
	Slot(ctx context.Context, id string) (slot.Slot, error)
	// Slots lists slots by ID, newest first.
	Slots(ctx context.Context, pool market.Pool, limit int, before string) ([]slot.Slot, error)
	// LastSlot is the newest slot of a pool but for those that DropSlotsAhead forgets,
	// and ahead the oldest one of them.
	LastSlot(ctx context.Context, pool market.Pool, today market.Date, ends time.Time) (last, ahead *slot.Slot, err error)
	PendingSlots(ctx context.Context) ([]slot.Slot, error)
	// UncoveredSlots lists the slots due after since whose covering run a user stopped,
	// oldest first.
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

// Dispatcher is told when a run was queued.
type Dispatcher interface {
	// OneTrigger keeps others from queuing runs until release is called.
	OneTrigger() (release func())
	// Outdated reports whether a run began before what it takes in was changed.
	Outdated(r run.Run) bool
	// Wake makes the pools look into their queues. It does not block.
	Wake()
}

// Config is what a Scheduler is made of.
type Config struct {
	// Ledger it keeps slots in.
	Ledger Ledger
	// Dispatcher to wake. Nil wakes nobody.
	Dispatcher Dispatcher
	// Logger; nil means slog.Default().
	Logger *slog.Logger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Off says that Run is not called: a later process fires what is due.
	Off bool
	// Every is the longest time between two looks at the clock. 0 means 30 s.
	Every time.Duration
}

// Scheduler fires slots. Its methods may be called from several goroutines, before
// and while Run runs.
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

	mu sync.Mutex // held by whoever decides slots or changes the schedule
	// The span of wall time for which the slot table is known to lack nothing.
	quietFrom, quietUntil time.Time
	// What is needed to say why a slot fires late.
	started, lastLook time.Time
	failing           error
	first             bool
}

// New is a scheduler that does nothing before Run.
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

// now is the wall clock to the millisecond, as the ledger keeps it. Without its
// monotonic reading, so that a host that slept or a clock that was set shows.
func (s *Scheduler) now() time.Time { return s.clock().Round(0).Truncate(time.Millisecond) }

// Run decides slots until ctx ends, and returns nil then. What fails is logged and
// tried again at the next look: a ledger that cannot be written for a while delays
// slots, and loses none.
func (s *Scheduler) Run(ctx context.Context) error {
	for {
		wait := s.look(ctx)
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

// look decides what was due, and at the first time asks for the start-up run. It
// returns how long to wait.
func (s *Scheduler) look(ctx context.Context) time.Duration {
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

// changed makes the loop look at once, after the schedule was changed.
func (s *Scheduler) changed() {
	s.quietUntil = time.Time{}
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
