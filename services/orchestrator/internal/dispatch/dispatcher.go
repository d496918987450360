package dispatch

import (
	"context"
	"errors"
	"log/slog"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// Config is what a Dispatcher is built from.
type Config struct {
	// Ledger that remembers everything. Required; *ledger.Store is one.
	Ledger Ledger
	// Worker that does the work. Required; *worker.Client is one.
	Worker Worker
	// Preflight probes and judges. Required; *preflight.Runner is one.
	Preflight Preflighter
	// Logger gets one line per run and state. Required.
	Logger *slog.Logger
	// Timing bounds waits and retries. Zero fields have the defaults that Timing
	// names.
	Timing Timing
}

// Ledger is what the dispatcher keeps and reads.
type Ledger interface{}

// Worker is what the dispatcher asks of the ingest-worker.
type Worker interface{}

// Preflighter checks pools.
type Preflighter interface{}

// Timing bounds waits and retries.
type Timing struct{}

// Dispatcher runs the queues of both pools.
type Dispatcher struct{ cfg Config }

// New builds a Dispatcher. It does nothing until Run.
func New(cfg Config) *Dispatcher { return &Dispatcher{cfg} }

// Run ends what a crash left behind, then works off both queues until ctx ends.
// Then the partitions in hand may finish for Timing.Drain, and what is still under
// way is recorded as INTERRUPTED with a follow-up.
func (d *Dispatcher) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Create queues one run per pool, targets before universe, and answers with them in
// that order; a pool whose queued or running run covers the request answers with
// that run. INVALID_ARGUMENT names the field that is wrong,
// MODULE_NOT_SYNC_CAPABLE a module that is not built, REQUEST_ID_REUSED a RequestID
// seen with another request.
func (d *Dispatcher) Create(ctx context.Context, req CreateRequest) ([]run.Run, error) {
	return nil, errors.ErrUnsupported
}

// Plan answers what Create would do, and records nothing. It asks the worker.
func (d *Dispatcher) Plan(ctx context.Context, req CreateRequest) ([]Plan, error) {
	return nil, errors.ErrUnsupported
}

// Cancel stops a run for good and answers with it as it then is: FINISHED when it
// was queued, CANCELLING otherwise until the worker has confirmed that it stopped.
// A finished run is WRONG_STATE. note says who and why.
func (d *Dispatcher) Cancel(ctx context.Context, runID, note string) (run.Run, error) {
	return run.Run{}, errors.ErrUnsupported
}

// Pause holds a pool: nothing is dispatched any more, and its run is PAUSED once the
// partitions in hand have committed. Pausing a held pool changes its note only.
func (d *Dispatcher) Pause(ctx context.Context, pool market.Pool, note string) (PoolStatus, error) {
	return PoolStatus{}, errors.ErrUnsupported
}

// Resume lets a pool go on; a paused run is checked again first. Resuming a pool
// that is not held changes nothing.
func (d *Dispatcher) Resume(ctx context.Context, pool market.Pool, note string) (PoolStatus, error) {
	return PoolStatus{}, errors.ErrUnsupported
}

// Delete removes a finished run from the ledger; any other is WRONG_STATE.
func (d *Dispatcher) Delete(ctx context.Context, runID string) error { return errors.ErrUnsupported }

// Watch sends the run's events after the given sequence, past ones first, and
// returns nil after the finished one. It returns send's error, and ctx's when that
// ends. send is called from one goroutine; keep-alives are the caller's.
func (d *Dispatcher) Watch(ctx context.Context, runID string, after int64, send func(run.Event) error) error {
	return errors.ErrUnsupported
}

// PoolStatus tells a pool's state from the ledger.
func (d *Dispatcher) PoolStatus(ctx context.Context, pool market.Pool) (PoolStatus, error) {
	return PoolStatus{}, errors.ErrUnsupported
}

// Verify counts a finished run's partitions in the pool's file anew and compares. A
// run that is not finished is WRONG_STATE.
func (d *Dispatcher) Verify(ctx context.Context, runID string) (Verification, error) {
	return Verification{}, errors.ErrUnsupported
}

// Wake makes both pools look at their queues now; call it after something was
// queued past Create.
func (d *Dispatcher) Wake() {}
