package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Config is the configuration of a Dispatcher.
type Config struct {
	// Ledger that stores everything. Required; *ledger.Store implements it.
	Ledger Ledger
	// Worker that fetches and stores data. Required; *worker.Client implements it.
	Worker Worker
	// Preflight runs probes and decides. Required; *preflight.Runner implements it.
	Preflight Preflighter
	// Publisher of the copies for readers. Nil publishes nothing; *worker.Client implements
	// it.
	Publisher Publisher
	// Logger gets one line per run and state. Required.
	Logger *slog.Logger
	// Timing bounds waits and retries.
	Timing Timing
}

// Dispatcher runs the queues of both pools. Safe for concurrent use.
type Dispatcher struct {
	cfg      Config
	loops    map[market.Pool]*loop
	bus      bus
	replays  replays
	createMu sync.Mutex // prevents a covering run from being queued between the look-up and the insert
	tasks    sync.WaitGroup

	changeMu sync.Mutex
	changed  map[market.Pool]time.Time // when the modules or targets of the pool's runs were last changed

	recovered chan struct{} // closed when the runs of a crashed process have been ended
}

// New builds a Dispatcher. It does nothing until Run; calls that need a pool's loop
// wait for it.
func New(cfg Config) *Dispatcher {
	cfg.Timing = cfg.Timing.withDefaults()
	d := &Dispatcher{cfg: cfg, loops: map[market.Pool]*loop{}, changed: map[market.Pool]time.Time{}, recovered: make(chan struct{})}
	for _, p := range market.Pools() {
		d.loops[p] = newLoop(d, p)
	}
	return d
}

// Run ends the runs of a crashed process, then processes both queues until ctx ends. Then
// the partitions in progress may finish for Timing.Drain, and what is still in progress is
// recorded as INTERRUPTED with a follow-up. It returns an error if the recovery failed
// because of the ledger.
func (d *Dispatcher) Run(ctx context.Context) error {
	if err := d.recover(ctx); err != nil {
		for _, l := range d.loops {
			close(l.done)
		}
		return err
	}
	close(d.recovered)
	var wg sync.WaitGroup
	for _, l := range d.loops {
		wg.Go(func() { l.run(ctx) })
	}
	wg.Wait()
	d.tasks.Wait()
	return nil
}

// Recovered is closed when Run has ended the runs of a crashed process. Wait for it before
// you request runs, so that no dead run covers a new request.
func (d *Dispatcher) Recovered() <-chan struct{} { return d.recovered }

// Wake makes both pools check their queues now. Call it after something other than Create
// has queued a run.
func (d *Dispatcher) Wake() {
	for _, l := range d.loops {
		select {
		case l.wake <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// now is the wall clock without a monotonic reading, so that it stays comparable with the
// ledger's times after the host was asleep.
func now() time.Time { return time.Now().Round(0) }
