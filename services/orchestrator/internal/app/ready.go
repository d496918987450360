package app

import (
	"context"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/orchestrator/internal/gateway"
)

const (
	pingTime = time.Second     // timeout of the worker in a readiness check
	pingKept = 2 * time.Second // how long the result is reused
)

// ready reports whether the ledger can be used, and whether the worker responded recently.
func (a *App) ready() func(context.Context) gateway.Status {
	var mu sync.Mutex
	var at time.Time
	state := "unknown"
	return func(ctx context.Context) gateway.Status {
		// The next callers get the same result, so a caller that disconnects must not make it
		// fail.
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
