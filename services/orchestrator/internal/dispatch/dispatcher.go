package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Config is what a Dispatcher is built from.
type Config struct {
	// Ledger that remembers everything. Required; *ledger.Store is one.
	Ledger Ledger
	// Worker that does the work. Required; *worker.Client is one.
	Worker Worker
	// Preflight probes and judges. Required; *preflight.Runner is one.
	Preflight Preflighter
	// Publisher of the copies for readers. Nil publishes nothing; *worker.Client is one.
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
	createMu sync.Mutex // a run that covers a request must not slip in between look and enqueue
	tasks    sync.WaitGroup

	changeMu sync.Mutex
	changed  map[market.Pool]time.Time // when what the pool's runs take in was last changed

	recovered chan struct{} // closed once nothing that a crash left counts as under way
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

// Run ends what a crash left behind, then works off both queues until ctx ends.
// Then the partitions in progress may finish for Timing.Drain, and what is still under
// way is recorded as INTERRUPTED with a follow-up. The error is that of the
// recovery, when the ledger fails.
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

// Recovered is closed once Run has ended what a crash left behind. Whoever asks for
// runs waits for it, so that no dead run seems to cover a new one.
func (d *Dispatcher) Recovered() <-chan struct{} { return d.recovered }

// Wake makes both pools look at their queues now; call it after something was
// queued past Create.
func (d *Dispatcher) Wake() {
	for _, l := range d.loops {
		select {
		case l.wake <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// now is the wall clock without a monotonic part, so that a host that slept does
// not shift what is compared with the ledger's times.
func now() time.Time { return time.Now().Round(0) }
