package worker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnswersBecomeValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := workertest.New(t)
		srv.OpenDates = []string{"2026-03-02", "2026-03-03"}
		c := srv.Client(t)
		ctx := t.Context()
		cat, err := c.Catalog(ctx)
		if err != nil || len(cat.Modules) != 7 || cat.Module("etf.daily_quote").Kind != market.ETF || cat.Module("index.daily").SyncCapable ||
			len(cat.Module("stock.basic").Pools) != 1 || !cat.Provider("tushare").Active || cat.Provider("wind").Active {
			t.Errorf("catalog = %+v, %v", cat, err)
		}
		tokens, host, err := c.Tokens(ctx)
		if err != nil || host != "api.tushare.pro" || len(tokens) != 2 || tokens[0].Source != "environment" || tokens[0].Fingerprint == "" {
			t.Errorf("tokens = %+v of %s, %v", tokens, host, err)
		}
		calendar, err := c.Calendar(ctx)
		if err != nil || len(calendar.Open) != 2 || calendar.Last.String() != "2026-03-03" {
			t.Errorf("calendar = %+v, %v", calendar, err)
		}
		srv.Data = []*ingestv1.PartitionSpec{workertest.Spec("stock.market.daily", "daily", "2026-03-02")}
		plan, err := c.PlanPartitions(ctx, dispatch.PlanRequest{Pool: market.Universe, Start: market.NoDate, End: market.NoDate})
		if err != nil || len(plan.Partitions) != 1 || plan.LastTradeDate.String() != "2026-03-02" || plan.Partitions[0].Start.String() != "2026-03-02" ||
			plan.Partitions[0].State != run.PartitionPending {
			t.Errorf("plan = %+v, %v", plan, err)
		}
		until := time.Now().Add(time.Minute)
		srv.Ingest = func(_ context.Context, _ *ingestv1.IngestPartitionRequest, beat workertest.Beat) (*ingestv1.PartitionResult, error) {
			beat(&ingestv1.IngestPartitionResponse_Heartbeat{
				Stage: ingestv1.IngestPartitionResponse_STAGE_COMMITTING, RowCount: 7, CallCount: 2, WaitingApi: "daily", WaitUntilTime: timestamppb.New(until),
			})
			r := workertest.Complete(7)
			r.Coverage.Verdict = marketv1.Verdict_VERDICT_ACCEPTED_SHORT
			r.Phases = &marketv1.PartitionPhases{WaitMs: 1, FetchMs: 2, CheckMs: 3, CommitMs: 4}
			return r, nil
		}
		var seen []dispatch.Progress
		res, err := c.IngestPartition(ctx, dispatch.Job{RunID: "r", Pool: market.Universe, Partition: plan.Partitions[0], Epoch: 5},
			func(p dispatch.Progress) { seen = append(seen, p) })
		if err != nil || !res.Committed || res.Verdict != "accepted_short" || res.Rows != 7 || res.New != 7 || *res.Phases != (run.Phases{Wait: 1, Fetch: 2, Check: 3, Commit: 4}) {
			t.Errorf("result = %+v, %v", res, err)
		}
		if len(seen) != 1 || seen[0].Stage != "committing" || seen[0].WaitingAPI != "daily" || !seen[0].WaitUntil.Equal(until) {
			t.Errorf("progress = %+v", seen)
		}
		coverage, err := c.Coverage(ctx, worker.CoverageQuery{Pool: market.Universe, Start: market.NoDate, End: market.NewDate(2026, 3, 2)})
		if err != nil || len(coverage) != 1 || coverage[0].Verdict != "missing" || coverage[0].Date.String() != "2026-03-02" {
			t.Errorf("coverage = %+v, %v", coverage, err)
		}
		if active, err := c.ActivePartitions(ctx, ""); err != nil || len(active) != 0 {
			t.Errorf("active = %+v, %v", active, err)
		}
		if err := c.Ping(ctx); err != nil {
			t.Error(err)
		}
	})
}

// A worker that accepts and never answers is noticed by every call's deadline.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := workertest.New(t)
		c := srv.Client(t)
		srv.Plan = func(*ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error) {
			time.Sleep(time.Hour)
			return &ingestv1.PlanPartitionsResponse{}, nil
		}
		start := time.Now()
		_, err := c.PlanPartitions(t.Context(), dispatch.PlanRequest{Pool: market.Universe})
		faulttest.Produces(t, err, fault.WorkerUnreachable)
		if took := time.Since(start); took > time.Minute+time.Second {
			t.Errorf("noticed after %s", took)
		}
		time.Sleep(2 * time.Hour) // the handler's own sleep
	})
}

func TestReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := workertest.New(t)
		c := srv.Client(t)
		if _, err := c.Catalog(t.Context()); err != nil {
			t.Fatal(err)
		}
		srv.Down()
		time.Sleep(time.Second)
		_, err := c.Catalog(t.Context())
		faulttest.Produces(t, err, fault.WorkerUnreachable)
		if f, _ := fault.As(err); f == nil || f.Meta["address"] != workertest.Addr {
			t.Errorf("err = %v", err)
		}
		srv.Up()
		time.Sleep(5 * time.Second) // no longer than the longest pause between two tries to connect
		if _, err := c.Catalog(t.Context()); err != nil {
			t.Errorf("after the restart: %v", err)
		}
	})
}

func TestUnreadableAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := workertest.New(t)
		srv.OpenDates = []string{"2026-02-30"}
		_, err := srv.Client(t).Calendar(t.Context())
		faulttest.Produces(t, err, fault.Internal)
	})
}
