package dispatch

import (
	"context"
	"fmt"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// Cancel stops a run for good and returns its new state: FINISHED if it was queued,
// otherwise CANCELLING until the worker has confirmed that it stopped. WRONG_STATE if it
// has finished. note says who cancelled it and why.
func (d *Dispatcher) Cancel(ctx context.Context, runID, note string) (run.Run, error) {
	r, err := d.cfg.Ledger.Run(ctx, runID)
	if err != nil {
		return run.Run{}, err
	}
	l, ok := d.loops[r.Pool]
	if !ok {
		return run.Run{}, fault.New(fault.Internal, "The pool of the run is unknown.")
	}
	return ask(ctx, l, func() (run.Run, error) { return l.cancelRun(ctx, runID, note) })
}

// Pause pauses a pool: nothing more is dispatched, and its run is PAUSED when the
// partitions in progress have committed. If the pool is paused already, only its note
// changes.
func (d *Dispatcher) Pause(ctx context.Context, pool market.Pool, note string) (PoolStatus, error) {
	return d.hold(ctx, pool, true, note)
}

// Resume resumes a pool; a paused run starts again with its checks. A pool that is not
// paused does not change.
func (d *Dispatcher) Resume(ctx context.Context, pool market.Pool, note string) (PoolStatus, error) {
	return d.hold(ctx, pool, false, note)
}

func (d *Dispatcher) hold(ctx context.Context, pool market.Pool, paused bool, note string) (PoolStatus, error) {
	l, ok := d.loops[pool]
	if !ok {
		return PoolStatus{}, fault.New(fault.NotFound, fmt.Sprintf("There is no pool %.40q.", string(pool)), "kind", "pool", "id", fault.Clip(string(pool), fault.MaxMeta))
	}
	if _, err := ask(ctx, l, func() (struct{}, error) { return struct{}{}, l.setHold(ctx, paused, note) }); err != nil {
		return PoolStatus{}, err
	}
	d.Wake() // universe no longer waits for the paused targets
	return d.PoolStatus(ctx, pool)
}

// Delete removes a finished run from the ledger. WRONG_STATE if it has not finished.
func (d *Dispatcher) Delete(ctx context.Context, runID string) error {
	err := d.cfg.Ledger.DeleteRun(ctx, runID)
	if err == nil {
		d.bus.notify(runID)
	}
	return err
}

// PoolStatus reads a pool's state from the ledger.
func (d *Dispatcher) PoolStatus(ctx context.Context, pool market.Pool) (PoolStatus, error) {
	if _, ok := d.loops[pool]; !ok {
		return PoolStatus{}, fault.New(fault.NotFound, fmt.Sprintf("There is no pool %.40q.", string(pool)), "kind", "pool", "id", fault.Clip(string(pool), fault.MaxMeta))
	}
	hold, err := d.cfg.Ledger.PauseState(ctx, pool)
	if err != nil {
		return PoolStatus{}, err
	}
	s := PoolStatus{Pool: pool, Paused: hold.Paused, Note: hold.Note, NotedAt: hold.At}
	// The queue before the active run: a run that leaves it meanwhile is then seen twice
	// rather than not at all. The duplicate is removed below.
	if s.Queued, err = d.cfg.Ledger.Queue(ctx, pool); err != nil {
		return PoolStatus{}, err
	}
	unfinished, err := d.cfg.Ledger.Unfinished(ctx)
	if err != nil {
		return PoolStatus{}, err
	}
	for i := range unfinished {
		if unfinished[i].Pool == pool {
			s.Current = &unfinished[i]
		}
	}
	if s.Current != nil {
		for i := range s.Queued {
			if s.Queued[i].ID == s.Current.ID {
				s.Queued = append(s.Queued[:i:i], s.Queued[i+1:]...)
				break
			}
		}
	}
	last, ok, err := d.cfg.Ledger.LastFinished(ctx, pool)
	if err != nil {
		return PoolStatus{}, err
	}
	if ok {
		s.Last = &last
	}
	return s, nil
}
