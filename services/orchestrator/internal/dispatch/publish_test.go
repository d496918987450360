package dispatch_test

import (
	"context"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// publisher is a dispatch.Publisher that does what a test says.
type publisher func(ctx context.Context, pool market.Pool, runID string) ([]fault.Issue, error)

func (p publisher) Publish(ctx context.Context, pool market.Pool, runID string) ([]fault.Issue, error) {
	return p(ctx, pool, runID)
}

func (g *harness) publishes(p publisher) func(*dispatch.Config) {
	return func(c *dispatch.Config) { c.Publisher = p }
}

func TestRunPublishesBeforeItEnds(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		var published []string
		g.start(g.publishes(func(ctx context.Context, pool market.Pool, runID string) ([]fault.Issue, error) {
			r, err := g.store.Run(ctx, runID)
			if err != nil || r.State != run.Running {
				t.Errorf("it is published in state %v, %v", r.State, err)
			}
			published = append(published, string(pool)+" "+runID)
			return []fault.Issue{fault.NewIssue(fault.PublicationRepaired, "it was deleted", "pool", string(pool))}, nil
		}))
		r := g.create(market.Universe)[0]
		ended, _ := g.watch(r.ID)
		if ended.Outcome != run.Succeeded || len(published) != 1 || published[0] != "universe "+r.ID {
			t.Errorf("%v, published %v", ended.Outcome, published)
		}
		faulttest.Produces(t, ended.Issues, fault.PublicationRepaired)
	})
}

func TestFailedPublicationIsAnIssueOfTheRun(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start(g.publishes(func(context.Context, market.Pool, string) ([]fault.Issue, error) {
			return nil, fault.New(fault.DiskFull, "The volume is full.")
		}))
		ended, _ := g.watch(g.create(market.Universe)[0].ID)
		if ended.Outcome != run.Succeeded || len(ended.Issues) != 1 || ended.Issues[0].Severity != fault.Warning {
			t.Errorf("%v with %+v", ended.Outcome, ended.Issues)
		}
		faulttest.Produces(t, ended.Issues, fault.PublicationFailed)
	})
}

// A worker that is killed while it publishes is called again when it is back.
func TestPublicationIsRepeatedAfterARestartOfTheWorker(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		calls := 0
		g.start(g.publishes(func(ctx context.Context, _ market.Pool, _ string) ([]fault.Issue, error) {
			switch calls++; calls {
			case 1:
				time.Sleep(10 * time.Minute) // longer than the worker is waited for
				fallthrough
			case 2, 3:
				return nil, fault.New(fault.WorkerUnreachable, "The ingest-worker does not respond.")
			}
			return nil, nil
		}))
		ended, _ := g.watch(g.create(market.Universe)[0].ID)
		if ended.Outcome != run.Succeeded || len(ended.Issues) > 0 || calls != 4 {
			t.Errorf("%v with %+v after %d calls", ended.Outcome, ended.Issues, calls)
		}
	})
}

func TestPublicationThatHangsDoesNotKeepTheRun(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start(g.publishes(func(ctx context.Context, _ market.Pool, _ string) ([]fault.Issue, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		ended, _ := g.watch(g.create(market.Universe)[0].ID)
		if ended.Outcome != run.Succeeded || ended.FinishedAt.Sub(ended.StartedAt) < 15*time.Minute {
			t.Errorf("%v after %v", ended.Outcome, ended.FinishedAt.Sub(ended.StartedAt))
		}
		faulttest.Produces(t, ended.Issues, fault.PublicationFailed)
	})
}

// A stop while the pool is published ends the run as it was done.
func TestStopWhilePublishing(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		begun := make(chan struct{})
		g.start(g.publishes(func(ctx context.Context, _ market.Pool, _ string) ([]fault.Issue, error) {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		r := g.create(market.Universe)[0]
		<-begun
		g.stop()
		if ended, err := g.store.Run(t.Context(), r.ID); err != nil || ended.Outcome != run.Succeeded {
			t.Errorf("%v, %v", ended.Outcome, err)
		}
	})
}

func TestCancelWhilePublishing(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		begun := make(chan struct{})
		g.start(g.publishes(func(ctx context.Context, _ market.Pool, _ string) ([]fault.Issue, error) {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		r := g.create(market.Universe)[0]
		<-begun
		if _, err := g.d.Cancel(t.Context(), r.ID, "enough"); err != nil {
			t.Fatal(err)
		}
		if ended, _ := g.watch(r.ID); ended.Outcome != run.Cancelled {
			t.Errorf("%v", ended.Outcome)
		}
	})
}
