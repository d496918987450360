package api

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

// idle has two pools without runs or slots.
type idle struct{ Dispatcher }

func (idle) PoolStatus(_ context.Context, pool market.Pool) (dispatch.PoolStatus, error) {
	return dispatch.PoolStatus{Pool: pool}, nil
}

type noSlot struct{ Scheduler }

func (noSlot) NextSlot(context.Context, market.Pool) (slot.Slot, bool, error) {
	return slot.Slot{}, false, nil
}

type noTargets struct{ Ledger }

func (noTargets) Targets(context.Context) ([]string, error) { return nil, nil }

// surveyor returns one complete date after a delay.
type surveyor struct {
	Worker
	takes time.Duration
}

func (s surveyor) Coverage(ctx context.Context, _ worker.CoverageQuery) ([]worker.Coverage, error) {
	select {
	case <-time.After(s.takes):
		return []worker.Coverage{{Module: "stock.market.daily", Dataset: "daily", Date: market.NewDate(2026, 11, 27), Verdict: "complete"}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func pools(takes time.Duration) *poolService {
	return &poolService{base: &base{Config: Config{
		Dispatcher: idle{}, Scheduler: noSlot{}, Ledger: noTargets{}, Worker: surveyor{takes: takes}, Logger: slog.New(slog.DiscardHandler),
	}}}
}

// A caller who leaves must not make the next ones see a pool without its dates.
func TestACallerWhoLeavesHidesNoDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pools(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if dates := s.moduleDates(ctx, market.Universe); len(dates) != 0 {
			t.Errorf("the caller who leaves gets %v", dates)
		}
		if dates := s.moduleDates(t.Context(), market.Universe); len(dates) != 1 {
			t.Errorf("the next caller gets %v", dates)
		}
	})
}

// A worker that does not answer keeps a list of pools waiting once, not once for each.
func TestPoolsWaitForTheWorkerTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := pools(time.Hour), time.Now()
		resp, err := s.ListPools(t.Context(), &orchestratorv1.ListPoolsRequest{})
		if err != nil || len(resp.GetPools()) != len(market.Pools()) {
			t.Fatal(resp, err)
		}
		for i, pool := range market.Pools() {
			if got := resp.GetPools()[i].GetPool(); got != transport.PoolToProto(pool) {
				t.Errorf("pool %d is %s, want %s", i, got, pool)
			}
		}
		if took := time.Since(start); took != datesTime {
			t.Errorf("it took %s, want %s", took, datesTime)
		}
	})
}
