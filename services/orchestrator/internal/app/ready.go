package app

import (
	"context"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/orchestrator/internal/gateway"
)

const (
	pingTime = time.Second     // for the worker to answer a readiness check
	pingKept = 2 * time.Second // how long an answer is told again
)

// ready tells whether the ledger can be used, and whether the worker answered a
// moment ago.
func (a *App) ready() func(context.Context) gateway.Status {
	var mu sync.Mutex
	var at time.Time
	state := "unknown"
	return func(ctx context.Context) gateway.Status {
		// The next callers are told the same, so one that leaves must not make it fail.
		ctx = context.WithoutCancel(ctx)
		s := gateway.Status{Ready: true, Ledger: "open", WorkerAddress: a.worker.Addr()}
		if err := a.ledger.Check(ctx); err != nil {
			s.Ready, s.Ledger = false, "cannot be used; the log has the details"
			a.log.Error("the ledger cannot be used", "error", err.Error())
		}
		mu.Lock()
		defer mu.Unlock()
		if time.Since(at) > pingKept {
			ping, cancel := context.WithTimeout(ctx, pingTime)
			defer cancel()
			state = "reachable"
			if err := a.worker.Ping(ping); err != nil {
				state = "unreachable"
			}
			at = time.Now()
		}
		s.Worker = state
		return s
	}
}
