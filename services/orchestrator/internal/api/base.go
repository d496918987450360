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

// refreshTime is how long a first question to the worker may take.
const refreshTime = 2 * time.Second

// base is what every service stands on.
type base struct {
	Config
	// changing serializes read-change-write of settings, schedule, domains and targets.
	changing sync.Mutex
	dates    dateCache
	lists    listCache
}

// current are the facts with what the worker tells at this moment, so that another
// token shows at once; Facts.Away where it does not answer.
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

// facts are what the ledger knows. Where no catalog was ever told, the worker is
// asked for it once.
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

// defaultHTTP is the address in commands as they are written.
const defaultHTTP = "localhost:7780"

// Here makes the commands in a text reach the process whose REST listens at an
// address, with TLS or without. Nil where they do so as they are.
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

// stoppable ends with the caller's context and when the process is asked to stop.
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
