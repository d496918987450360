package dispatch

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// OneTrigger excludes all other triggers, from the look-up of a covering run until the new
// run is queued. Call release afterwards. Create does this itself.
func (d *Dispatcher) OneTrigger() (release func()) {
	d.createMu.Lock()
	return d.createMu.Unlock
}

// Reconfigured records that the modules or targets of these pools' runs have changed. A run
// in progress was planned before the change, so it covers no later request. The record is
// not stored, because a restart ends such runs anyway.
func (d *Dispatcher) Reconfigured(pools ...market.Pool) {
	d.changeMu.Lock()
	defer d.changeMu.Unlock()
	for _, pool := range pools {
		d.changed[pool] = now()
	}
}

// Outdated reports whether a run left the queue before the modules or targets of its pool
// were changed.
func (d *Dispatcher) Outdated(r run.Run) bool {
	d.changeMu.Lock()
	defer d.changeMu.Unlock()
	at, ok := d.changed[r.Pool]
	// The ledger has milliseconds. In doubt a second run finds nothing to do.
	return ok && r.State != run.Queued && !r.StartedAt.After(at.Truncate(time.Millisecond))
}
