package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// queue is that of the universe pool.
type queue struct {
	Dispatcher
	runs []run.Run
}

func (q *queue) PoolStatus(_ context.Context, pool market.Pool) (dispatch.PoolStatus, error) {
	if pool != market.Universe {
		return dispatch.PoolStatus{}, errors.New("its state cannot be read")
	}
	return dispatch.PoolStatus{Pool: pool, Queued: q.runs}, nil
}

// oneSlot is all that is coming.
type oneSlot struct {
	Scheduler
	slot slot.Slot
}

func (s oneSlot) NextSlot(_ context.Context, pool market.Pool) (slot.Slot, bool, error) {
	return s.slot, pool == s.slot.Pool, nil
}

// The next fetch of a pool depends on its own slot and queue, not on those of the other pool.
func TestNextRunOfAPool(t *testing.T) {
	due := time.Date(2026, 11, 30, 19, 30, 0, 0, market.Shanghai)
	sooner := due.Add(-time.Hour)
	var queued queue
	next := func(pool market.Pool) time.Time {
		return NextRun(&queued, oneSlot{slot: slot.Slot{Pool: market.Universe, DueAt: due}})(t.Context(), pool)
	}
	if got := next(market.Universe); !got.Equal(due) {
		t.Errorf("universe: %v", got)
	}
	if got := next(market.Targets); !got.IsZero() {
		t.Errorf("targets, which no slot fetches: %v", got)
	}
	queued.runs = []run.Run{{NotBefore: sooner}}
	if got := next(market.Universe); !got.Equal(sooner) {
		t.Errorf("with a run that is queued: %v", got)
	}
}
