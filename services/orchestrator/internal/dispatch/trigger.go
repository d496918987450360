package dispatch

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// OneTrigger keeps every other trigger out, from the look for a run that covers
// what is wanted until the new one is queued; release lets them in again. Create
// does so itself.
func (d *Dispatcher) OneTrigger() (release func()) {
	d.createMu.Lock()
	return d.createMu.Unlock
}

// Reconfigured tells that what runs of these pools take in was changed: targets, or
// what is enabled. A run in progress by then planned by the old and covers no request
// that comes later. It need not survive a restart, which ends such runs.
func (d *Dispatcher) Reconfigured(pools ...market.Pool) {
	d.changeMu.Lock()
	defer d.changeMu.Unlock()
	for _, pool := range pools {
		d.changed[pool] = now()
	}
}

// Outdated reports whether a run left the queue before what it takes in was changed.
func (d *Dispatcher) Outdated(r run.Run) bool {
	d.changeMu.Lock()
	defer d.changeMu.Unlock()
	at, ok := d.changed[r.Pool]
	// The ledger keeps milliseconds. In doubt a second run finds nothing to do.
	return ok && r.State != run.Queued && !r.StartedAt.After(at.Truncate(time.Millisecond))
}
