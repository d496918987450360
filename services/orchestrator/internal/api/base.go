package api

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

// refreshTime is the timeout of the first call to the worker.
const refreshTime = 2 * time.Second

// base is shared by all services.
type base struct {
	Config
	// changing serializes read-change-write of settings, schedule, domains and targets.
	changing sync.Mutex
	dates    dateCache
	lists    listCache
}

// current are the facts with the worker's current state, so that a new token is visible at
// once; Facts.Away if the worker does not respond.
func (b *base) current(ctx context.Context) (readiness.Facts, error) {
	asking, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	told := b.Preflight.Refresh(asking)
	f, err := b.Preflight.Facts(ctx, nil)
	if err != nil {
		return f, err
	}
	switch {
	case told == nil:
	case fault.Is(told, fault.WorkerUnreachable), asking.Err() != nil && ctx.Err() == nil:
		f.Away = true
	default:
		return f, told
	}
	if !known(f.Catalog) {
		f.Catalog = nil
	}
	return f, nil
}

// facts are the facts in the ledger. If there is no catalog yet, the worker is asked once.
func (b *base) facts(ctx context.Context) (readiness.Facts, error) {
	f, err := b.Preflight.Facts(ctx, nil)
	if err != nil || known(f.Catalog) {
		return f, err
	}
	asking, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	if err := b.Preflight.Refresh(asking); err != nil {
		if _, told := fault.As(err); !told && asking.Err() != nil && ctx.Err() == nil {
			err = fault.Wrap(err, fault.WorkerUnreachable, "The ingest-worker did not return its catalog in time, and the orchestrator has no copy of it yet.")
		}
		return f, err
	}
	f, err = b.Preflight.Facts(ctx, nil)
	if err == nil && !known(f.Catalog) {
		err = fault.New(fault.WorkerUnreachable, "The orchestrator has not received the catalog from the ingest-worker yet.")
	}
	return f, err
}

func known(c *catalog.Catalog) bool { return c != nil && len(c.Modules) > 0 }

// defaultHTTP is the address in the commands of remedies.
const defaultHTTP = "localhost:7780"

// Here returns a function that changes the commands in a text so that they reach the
// process whose REST port is at an address, with TLS or without. Nil if they need no
// change.
func Here(httpAddr string, tls bool) func(text string) string {
	host, port, err := net.SplitHostPort(httpAddr)
	if err != nil || port == "7780" && !tls {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		httpAddr = "localhost:" + port
	}
	if tls {
		httpAddr = "https://" + httpAddr
	}
	return func(text string) string { return strings.ReplaceAll(text, defaultHTTP, httpAddr) }
}

// stoppable returns a context that ends with the caller's and when the process is asked to
// stop.
func (b *base) stoppable(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-b.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// stopping reports whether the process was asked to stop.
func (b *base) stopping() bool {
	select {
	case <-b.Stopping:
		return true
	default:
		return false
	}
}
