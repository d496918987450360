package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// publishTimeout is how long a publication may take. A full one of thirty years takes a few
// minutes.
const publishTimeout = 15 * time.Minute

// Publisher updates the copy of a pool for readers.
type Publisher interface {
	// Publish publishes a pool at the end of a run and returns its findings, for example that
	// the copy was damaged. It does nothing if the copy is up to date.
	Publish(ctx context.Context, pool market.Pool, runID string) ([]fault.Issue, error)
}

// publish publishes the pool, then ends the run. A worker that restarts meanwhile is called
// again. If publishing fails, the run gets an issue and is otherwise unchanged; the next run
// tries again.
func (l *loop) publish(end run.End) {
	a := l.act
	if l.d.cfg.Publisher == nil || l.stopping {
		l.finish(end)
		return
	}
	a.phase, a.ending = publishing, &end
	id := a.r.ID
	l.next(func(ctx context.Context) func() {
		issues := l.published(ctx, id)
		return func() {
			a.warnings = append(a.warnings, issues...)
			l.finish(end)
		}
	})
}

// publishAside publishes what was committed by a run that did not end normally. Nothing
// waits for it.
func (l *loop) publishAside(r run.Run) {
	if l.d.cfg.Publisher == nil || l.stopping || r.New+r.Changed+r.Gone == 0 {
		return
	}
	l.d.tasks.Go(func() { l.published(l.ctx, r.ID) })
}

func (l *loop) published(ctx context.Context, runID string) []fault.Issue {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	var issues []fault.Issue
	err := l.d.patiently(ctx, func(ctx context.Context) (err error) {
		issues, err = l.d.cfg.Publisher.Publish(ctx, l.pool, runID)
		return err
	})
	if err == nil {
		return issues
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	l.log.Warn("the pool was not published", "run_id", runID, "error", err)
	if _, told := fault.As(err); !told {
		err = fmt.Errorf("it did not finish within %s", publishTimeout)
	}
	return []fault.Issue{fault.NewIssue(fault.PublicationFailed,
		fmt.Sprintf("Publishing %s failed, so readers still get the version of an earlier run: %v", l.pool, err), "pool", string(l.pool))}
}
