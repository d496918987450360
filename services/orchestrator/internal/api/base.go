package api

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalogue"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

// refreshTime is how long a first question to the worker may take.
const refreshTime = 2 * time.Second

// base is what every service stands on.
type base struct {
	Config
	// changing serialises read-change-write of settings, domains and targets.
	changing sync.Mutex
	dates    dateCache
}

// facts are what the ledger knows. Where no catalogue was ever told, the worker is
// asked for it once.
func (b *base) facts(ctx context.Context) (readiness.Facts, error) {
	f, err := b.Preflight.Facts(ctx, nil)
	if err != nil || known(f.Catalogue) {
		return f, err
	}
	asking, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	if err := b.Preflight.Refresh(asking); err != nil {
		if _, told := fault.As(err); !told && asking.Err() != nil && ctx.Err() == nil {
			err = fault.Wrap(err, fault.WorkerUnreachable, "The ingest-worker did not tell its catalogue in time, and no copy of it is kept yet.")
		}
		return f, err
	}
	f, err = b.Preflight.Facts(ctx, nil)
	if err == nil && !known(f.Catalogue) {
		err = fault.New(fault.WorkerUnreachable, "The ingest-worker has not told its catalogue yet.")
	}
	return f, err
}

func known(c *catalogue.Catalogue) bool { return c != nil && len(c.Modules) > 0 }

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

// defaultREST is the address that commands are written with.
const defaultREST = "localhost:7780"

// command is a command line as it works here.
func (b *base) command(line string) string {
	if b.RESTAddr == "" {
		return line
	}
	return strings.ReplaceAll(line, defaultREST, b.RESTAddr)
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
