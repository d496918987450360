package dispatch

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

const (
	watchBatch = 500              // events read at a time
	watchPoll  = 10 * time.Second // in case a change did not pass through this process
)

// Watch sends the run's events after the given sequence, past ones first, and returns nil
// after the last one. It returns the error of send, or of ctx when that ends. A sequence
// that the run has not reached is INVALID_ARGUMENT, because the caller would wait beyond
// the end. send is called from one goroutine; keep-alives are the caller's task.
func (d *Dispatcher) Watch(ctx context.Context, runID string, after int64, send func(run.Event) error) error {
	if after > 0 {
		if _, err := d.cfg.Ledger.Run(ctx, runID); err != nil {
			return err
		}
		seen, err := d.cfg.Ledger.Events(ctx, runID, after-1, 1)
		if err != nil {
			return err
		}
		if len(seen) == 0 {
			return fault.Invalid("after_sequence", "%d is after the run's last event; 0 means from the first event", after)
		}
	}
	for {
		changed, release := d.bus.wait(runID) // before reading, so that no change is missed
		done, last, err := d.sendPast(ctx, runID, after, send)
		if err != nil || done {
			release()
			return err
		}
		after = last
		timer := time.NewTimer(watchPoll)
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		release()
		if err != nil {
			return err
		}
	}
}

// sendPast sends the events in the ledger after a sequence. done means that no more will
// follow.
func (d *Dispatcher) sendPast(ctx context.Context, runID string, after int64, send func(run.Event) error) (done bool, last int64, err error) {
	r, err := d.cfg.Ledger.Run(ctx, runID) // before the events: a run that has ended since has its last event
	if err != nil {
		return false, after, err
	}
	behind := false
	for {
		batch := watchBatch
		if !behind || d.replays.many() { // each keeps the events that it has read while it waits
			batch = replayPiece
		}
		events, err := d.cfg.Ledger.Events(ctx, runID, after, batch)
		if err != nil {
			return false, after, err
		}
		if len(events) == batch && !behind {
			behind = true
			defer d.replays.begin()()
		}
		for i, e := range events {
			if behind && i%replayPiece == 0 {
				if err := d.replays.wait(ctx, min(replayPiece, len(events)-i)); err != nil {
					return false, after, err
				}
			}
			if err := send(e); err != nil {
				return false, after, err
			}
			after = e.Sequence
			if e.Finished != nil {
				return true, after, nil
			}
		}
		if len(events) < batch {
			return r.State == run.Finished, after, nil
		}
	}
}
