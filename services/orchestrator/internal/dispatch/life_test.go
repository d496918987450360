package dispatch_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker/workertest"
)

func request(pool market.Pool, modules ...string) dispatch.CreateRequest {
	return dispatch.CreateRequest{Pools: []market.Pool{pool}, Request: run.Request{Modules: modules}}
}

func TestRunSucceeds(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start()
		r, events := g.run(market.Universe)
		if r.Outcome != run.Succeeded || r.Partitions != 6 || r.Completed != 6 || r.Rows != 60 || r.New != 60 {
			t.Errorf("run = %+v", r)
		}
		if r.AsOf.String() != "2026-03-02" || r.Symbols != 10 || r.Meta.UniverseCounts["daily"] != 20 || r.Calls != 12 {
			t.Errorf("as of %s, %d symbols, %v, %d calls", r.AsOf, r.Symbols, r.Meta.UniverseCounts, r.Calls)
		}
		if r.PreflightID == "" || r.Meta.PreflightUpdatedAt == 0 || r.Meta.TokenSources["stock"] != "environment" || len(r.Meta.SelectedModules) != 6 {
			t.Errorf("meta = %+v, preflight %q", r.Meta, r.PreflightID)
		}
		var states []run.State
		planned := 0
		for _, e := range events {
			if e.StateChanged != nil {
				states = append(states, e.StateChanged.To)
			}
			if e.Planned != nil {
				planned += e.Planned.Partitions
			}
		}
		if !slices.Equal(states, []run.State{run.Checking, run.Running, run.Finished}) || planned != 6 {
			t.Errorf("states = %v, planned = %d", states, planned)
		}
		epochs := g.srv.Epochs()
		slices.Sort(epochs)
		if len(epochs) != 6 || len(slices.Compact(epochs)) != 6 {
			t.Errorf("epochs = %v", epochs)
		}
		calendar, err := g.store.Calendar(t.Context())
		if err != nil || len(calendar.Open) != 3 {
			t.Errorf("calendar = %+v, %v", calendar, err)
		}
		v, err := g.d.Verify(t.Context(), r.ID)
		if err != nil || v.Checked != 6 || len(v.Differences) != 0 {
			t.Errorf("verify = %+v, %v", v, err)
		}
		// The probes are fresh now, and the references are not due again for a second run.
		probed := len(g.srv.Probed())
		g.srv.Script(func(s *workertest.Server) { s.Reference, s.Data = nil, nil })
		again, _ := g.run(market.Universe)
		if again.Outcome != run.Unchanged || len(g.srv.Probed()) != probed {
			t.Errorf("second run = %s, probes %d to %d", again.Outcome, probed, len(g.srv.Probed()))
		}
	})
}

func TestTransientIsRetriedAndPermanentIsNot(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		var daily, flow atomic.Int32
		g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			switch id := req.GetPartition().GetPartitionId(); {
			case id == "daily/2026-03-02" && daily.Add(1) < 3:
				return nil, fault.New(fault.ProviderUnavailable, "The provider sent what cannot be read.", "cause", "html")
			case strings.HasPrefix(id, "moneyflow"):
				flow.Add(1)
				return nil, fault.New(fault.PermissionDenied, "Not permitted.", "api", "moneyflow")
			}
			done := workertest.Complete(10)
			done.Phases = &marketv1.PartitionPhases{WaitMs: 5, FetchMs: 6, CheckMs: 7, CommitMs: 8}
			return done, nil
		}
		g.start()
		r, _ := g.run(market.Universe)
		p := g.partitions(r.ID)
		if r.Outcome != run.Partial || p["daily/2026-03-02"].State != run.PartitionCompleted || p["daily/2026-03-02"].Attempts != 3 {
			t.Errorf("run = %s, daily = %+v", r.Outcome, p["daily/2026-03-02"])
		}
		if got := p["daily/2026-03-02"].Phases; got == nil || *got != (run.Phases{Wait: 5, Fetch: 6, Check: 7, Commit: 8}) || p["moneyflow/2026-03-02"].Phases != nil {
			t.Errorf("phases: daily %+v, moneyflow %+v", got, p["moneyflow/2026-03-02"].Phases)
		}
		if p["moneyflow/2026-03-02"].State != run.PartitionFailed || flow.Load() != 1 {
			t.Errorf("moneyflow = %+v after %d dispatches", p["moneyflow/2026-03-02"], flow.Load())
		}
		faulttest.Produces(t, r.Issues[0], fault.PermissionDenied)
		if len(g.followUps(r.ID)) != 0 {
			t.Error("what a person must change was queued again")
		}
	})
}

// A failure of one API is not reported for the other API of the module, and does not block it.
func TestTheOtherDatasetOfAModuleIsNotBlamed(t *testing.T) {
	for _, c := range []struct {
		reason    fault.Reason
		goesOn    bool // with daily
		refetches bool // daily_basic of another date is asked for as well
	}{
		{fault.PermissionDenied, true, false}, {fault.QuotaExhausted, true, false}, {fault.ProviderRefused, true, true}, {fault.TokenInvalid, false, false},
	} {
		withFakeClock(t, func(t *testing.T) {
			g := newHarness(t)
			g.settings(func(s *settings.Settings) { s.DispatchWidth = 1 })
			g.srv.Data = []*ingestv1.PartitionSpec{
				workertest.Spec("stock.market.daily", "daily_basic", "2026-03-02"), workertest.Spec("stock.market.daily", "daily_basic", "2026-02-27"),
				workertest.Spec("stock.market.daily", "daily", "2026-03-02"), workertest.Spec("etf.daily_quote", "fund_daily", "2026-03-02"),
			}
			g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
				if req.GetPartition().GetPartitionId() == "daily_basic/2026-03-02" {
					return nil, fault.New(c.reason, "Tushare refuses daily_basic.", "domain", "stock", "module", "stock.market.daily", "api", "daily_basic")
				}
				return workertest.Complete(10), nil
			}
			g.start()
			r, _ := g.run(market.Universe)
			p := g.partitions(r.ID)
			if s := p["daily_basic/2026-03-02"]; s.State != run.PartitionFailed || s.Issues[0].Message != "Tushare refuses daily_basic." {
				t.Errorf("%s: %+v", c.reason, s)
			}
			if s := p["daily_basic/2026-02-27"]; (s.State == run.PartitionCompleted) != c.refetches {
				t.Errorf("%s: %+v", c.reason, s)
			}
			for id, domain := range map[string]string{"daily/2026-03-02": "stock", "fund_daily/2026-03-02": "etf"} {
				s := p[id]
				if c.goesOn {
					if s.State != run.PartitionCompleted || len(s.Issues) > 0 {
						t.Errorf("%s: %+v", c.reason, s)
					}
					continue
				}
				if i := s.Issues[0]; s.State != run.PartitionFailed || i.Message != "Not fetched because of daily_basic: Tushare refuses daily_basic." ||
					i.Module != s.Module || i.Domain != domain || i.Meta["api"] != "" {
					t.Errorf("%s: %+v", c.reason, s)
				}
			}
		})
	}
}

func TestGivesUpAfterAttempts(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			if req.GetPartition().GetDatasetId() == "fund_daily" {
				return nil, fault.New(fault.StoreFailed, "Writing failed.", "pool", "universe")
			}
			return workertest.Complete(10), nil
		}
		g.start()
		r, _ := g.run(market.Universe)
		if p := g.partitions(r.ID)["fund_daily/2026-03-02"]; p.State != run.PartitionFailed || p.Attempts != 3 {
			t.Errorf("partition = %+v", p)
		}
		if r.Outcome != run.Partial || len(g.followUps(r.ID)) != 1 {
			t.Errorf("outcome = %s, follow-ups = %v", r.Outcome, g.followUps(r.ID))
		}
	})
}

func TestStalledIsCancelledAndSlowIsNot(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		var hung atomic.Bool
		g.srv.Ingest = func(ctx context.Context, req *ingestv1.IngestPartitionRequest, beat workertest.Beat) (*ingestv1.PartitionResult, error) {
			switch req.GetPartition().GetDatasetId() {
			case "moneyflow": // says every five seconds that it lives, and never moves
				first := hung.CompareAndSwap(false, true)
				for first && ctx.Err() == nil {
					beat(&ingestv1.IngestPartitionResponse_Heartbeat{Stage: ingestv1.IngestPartitionResponse_STAGE_EXTRACTING, CallCount: 1})
					pause(ctx, 5*time.Second)
				}
			case "stock_basic": // has its rows and waits four minutes for its turn to commit
				for range 48 {
					beat(&ingestv1.IngestPartitionResponse_Heartbeat{Stage: ingestv1.IngestPartitionResponse_STAGE_COMMITTING, RowCount: 10})
					pause(ctx, 5*time.Second)
				}
			case "fund_daily": // ten minutes, and a row now and then
				for n := range 20 {
					beat(&ingestv1.IngestPartitionResponse_Heartbeat{Stage: ingestv1.IngestPartitionResponse_STAGE_EXTRACTING, RowCount: int64(n)})
					pause(ctx, 30*time.Second)
				}
			case "daily": // waits an hour for its limit, and says so
				beat(&ingestv1.IngestPartitionResponse_Heartbeat{WaitingApi: "daily", WaitUntilTime: timestamppb.New(time.Now().Add(time.Hour))})
				pause(ctx, time.Hour)
			}
			return workertest.Complete(10), ctx.Err()
		}
		g.start()
		id := g.create(market.Universe)[0].ID
		time.Sleep(5 * time.Minute)
		if p := g.partitions(id)["daily/2026-03-02"]; p.State != run.PartitionWaiting || !p.RetryAt.After(time.Now()) {
			t.Errorf("a partition that waits for its limit shows as %s until %v", p.State, p.RetryAt)
		}
		r, events := g.watch(id)
		p := g.partitions(id)
		if r.Outcome != run.Succeeded || p["moneyflow/2026-03-02"].Attempts != 2 || p["fund_daily/2026-03-02"].Attempts != 1 || p["daily/2026-03-02"].Attempts != 1 || p["stock_basic"].Attempts != 1 {
			t.Errorf("outcome = %s, partitions = %+v", r.Outcome, p)
		}
		stalled := false
		for _, e := range events {
			if e.Partition != nil && len(e.Partition.Issues) > 0 {
				faulttest.Produces(t, e.Partition.Issues, fault.Stalled)
				stalled = true
			}
		}
		if !stalled {
			t.Error("no event reports the stall")
		}
	})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func TestQuotaGivesItsAPIUp(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.settings(func(s *settings.Settings) { s.DispatchWidth = 1 })
		opens := time.Now().Add(5 * time.Hour)
		g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			if req.GetPartition().GetDatasetId() == "daily" {
				err := fault.New(fault.QuotaExhausted, "The day's quota is spent.", "api", "daily", "window", "day")
				err.RetryAt = opens
				return nil, err
			}
			return workertest.Complete(10), nil
		}
		g.start()
		r, _ := g.run(market.Universe)
		p := g.partitions(r.ID)
		if p["daily/2026-02-27"].Attempts != 1 || p["daily/2026-03-02"].Attempts != 0 || p["daily/2026-03-02"].State != run.PartitionFailed {
			t.Errorf("partitions = %+v", p)
		}
		if r.Outcome != run.Partial || p["moneyflow/2026-03-02"].State != run.PartitionCompleted {
			t.Errorf("outcome = %s", r.Outcome)
		}
		faulttest.Produces(t, r.Issues[0], fault.QuotaExhausted)
		if f := g.followUps(r.ID); len(f) != 1 || f[0].NotBefore.Sub(opens).Abs() > time.Second {
			t.Errorf("follow-ups = %+v, want one at %v", f, opens)
		}
	})
}

// Partitions that were in progress together and fail for the same reason are logged once.
func TestSkippingIsLoggedOnce(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.settings(func(s *settings.Settings) { s.DispatchWidth = 8 })
		g.srv.Ingest = func(ctx context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			pause(ctx, time.Second)
			if req.GetPartition().GetDatasetId() == "daily" {
				return nil, fault.New(fault.QuotaExhausted, "The day's quota is spent.", "api", "daily", "window", "day")
			}
			return workertest.Complete(10), nil
		}
		var log bytes.Buffer // written to until stop
		g.start(func(cfg *dispatch.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		r, _ := g.run(market.Universe)
		p := g.partitions(r.ID)
		if p["daily/2026-02-27"].Attempts != 1 || p["daily/2026-03-02"].Attempts != 1 {
			t.Fatalf("partitions = %+v; both of daily must be in progress together", p)
		}
		g.stop()
		if n := strings.Count(log.String(), "partitions are skipped"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
	})
}

// Only a scheduled run checks old dates again, and their result does not affect that of the evening.
func TestOldDatesAreLookedAtByTheScheduleOnly(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		old := workertest.Spec("stock.market.daily", "daily", "2026-01-05")
		old.Repeat, old.Recheck = true, true
		g.srv.Data = append(g.srv.Data, old)
		g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			if p := req.GetPartition(); p.GetRecheck() != (p.GetPartitionId() == old.GetPartitionId()) {
				t.Errorf("the worker gets %v", p)
			} else if p.GetRecheck() {
				return nil, fault.New(fault.ProviderRefused, "Not this one.", "api", "daily")
			}
			return workertest.Complete(10), nil
		}
		g.settings(func(s *settings.Settings) { s.RecheckDays = 7 })
		g.start()
		asked := func() (n []int32) {
			for _, req := range g.srv.Planned() {
				n = append(n, req.GetRecheckDays())
			}
			return n
		}
		if r, _ := g.run(market.Universe); slices.Max(asked()) != 0 {
			t.Errorf("run %s of a person asks for %v old dates", r.ID, asked())
		}
		before := len(asked())
		runs, err := g.d.Create(t.Context(), dispatch.CreateRequest{Pools: []market.Pool{market.Universe}, Source: run.SourceSchedule, Mode: run.Daily})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := g.watch(runs[0].ID)
		if n := asked()[before:]; !slices.Equal(n, []int32{0, 7}) {
			t.Errorf("a run of the schedule asks for %v old dates", n)
		}
		p := g.partitions(r.ID)[old.GetPartitionId()]
		if r.Outcome != run.Succeeded || r.Completed != r.Partitions-1 || !p.Recheck || p.State != run.PartitionFailed || len(g.followUps(r.ID)) != 0 {
			t.Errorf("it ended %s with %d of %d, the old date as %+v", r.Outcome, r.Completed, r.Partitions, p)
		}
		if i := slices.IndexFunc(r.Issues, func(i fault.Issue) bool { return i.Reason == fault.ProviderRefused }); i < 0 || r.Issues[i].Severity != fault.Warning {
			t.Errorf("its issues are %+v", r.Issues)
		}
	})
}

func TestNotPublishedIsPartialAndFollowed(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			if req.GetPartition().GetDatasetId() == "moneyflow" {
				return &ingestv1.PartitionResult{Coverage: &marketv1.Coverage{Verdict: marketv1.Verdict_VERDICT_NOT_PUBLISHED}, CallCount: 1}, nil
			}
			return workertest.Complete(10), nil
		}
		g.start()
		r, _ := g.run(market.Universe)
		if r.Outcome != run.Partial || r.State.Status(r.Outcome) != "partial" {
			t.Errorf("outcome = %s", r.Outcome)
		}
		faulttest.Produces(t, r.Issues[0], fault.NotPublished)
		if f := g.followUps(r.ID); len(f) != 1 || f[0].NotBefore.Sub(r.FinishedAt).Round(time.Minute) != 15*time.Minute {
			t.Fatalf("follow-ups = %+v", f)
		}
		// It is there when the follow-up asks.
		g.srv.Script(func(s *workertest.Server) { s.Ingest = nil })
		next, _ := g.watch(g.followUps(r.ID)[0].ID)
		if next.Outcome != run.Succeeded || next.Follows != r.ID || next.StartedAt.Sub(r.FinishedAt).Round(time.Minute) != 15*time.Minute {
			t.Errorf("follow-up = %+v", next)
		}
	})
}

// TestAsOfWithoutSuccess: a run of which nothing is complete still says of what date it
// was, that of the rows that came where some did.
func TestAsOfWithoutSuccess(t *testing.T) {
	for verdict, rows := range map[marketv1.Verdict]int64{marketv1.Verdict_VERDICT_NOT_PUBLISHED: 0, marketv1.Verdict_VERDICT_INCOMPLETE: 3} {
		withFakeClock(t, func(t *testing.T) {
			g := newHarness(t)
			g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
				if req.GetPartition().GetEndDate() == "" {
					return workertest.Complete(10), nil
				}
				return &ingestv1.PartitionResult{Coverage: &marketv1.Coverage{Verdict: verdict, RowCount: rows}, CallCount: 1}, nil
			}
			g.start()
			r, _ := g.run(market.Universe)
			if r.Outcome != run.Partial || r.AsOf.String() != "2026-03-02" {
				t.Errorf("%s: %s as of %q", verdict, r.Outcome, r.AsOf)
			}
		})
	}
}

func TestTokenRevokedMidRunStopsEverything(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.settings(func(s *settings.Settings) { s.DispatchWidth = 1 })
		g.srv.Ingest = func(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			if req.GetPartition().GetPartitionId() == "daily/2026-02-27" {
				return nil, fault.New(fault.TokenInvalid, "The token is refused.")
			}
			return workertest.Complete(10), nil
		}
		g.start()
		r, _ := g.run(market.Universe)
		if r.Outcome != run.Partial || r.Completed != 2 || len(g.srv.Epochs()) != 3 {
			t.Errorf("run = %s, %d completed, %d dispatches", r.Outcome, r.Completed, len(g.srv.Epochs()))
		}
		faulttest.Produces(t, r.Issues[0], fault.TokenInvalid)
		if r.Issues[0].Remedy == "" || len(g.followUps(r.ID)) != 0 {
			t.Errorf("issue = %+v, followed by %v", r.Issues[0], g.followUps(r.ID))
		}
	})
}

func TestCalendarThatCannotBeHadFailsTheRun(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.OpenDates = nil
		g.srv.Ingest = func(context.Context, *ingestv1.IngestPartitionRequest, workertest.Beat) (*ingestv1.PartitionResult, error) {
			return nil, fault.New(fault.PermissionDenied, "Not permitted.", "api", "trade_cal")
		}
		g.start()
		r, _ := g.run(market.Universe)
		if r.Outcome != run.Failed {
			t.Errorf("outcome = %s", r.Outcome)
		}
		faulttest.Produces(t, r.Issues[0], fault.PermissionDenied)
		faulttest.Produces(t, r.Issues, fault.CalendarUnavailable)
	})
}

func TestProviderDownForMinutesIsSurvived(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.srv.Data = nil
		for d := market.NewDate(2026, 1, 1); d < market.NewDate(2026, 2, 28); d++ {
			g.srv.Data = append(g.srv.Data, workertest.Spec("stock.market.daily", "daily", d.String()))
		}
		down, up := time.Now().Add(2*time.Second), time.Now().Add(3*time.Minute)
		g.srv.Ingest = func(ctx context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			pause(ctx, time.Second)
			if time.Now().After(down) && time.Now().Before(up) {
				return nil, fault.New(fault.ProviderUnavailable, "HTTP 502.", "cause", "502")
			}
			return workertest.Complete(10), nil
		}
		g.start()
		r, _ := g.run(market.Universe)
		if r.Outcome != run.Succeeded || r.Completed != r.Partitions {
			t.Errorf("outcome = %s, %d of %d", r.Outcome, r.Completed, r.Partitions)
		}
		if n := len(g.srv.Epochs()) - r.Partitions; n > 100 {
			t.Errorf("%d dispatches were wasted on a provider that is down", n)
		}
	})
}

func TestWorkerRestartedMidRun(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		var first atomic.Bool
		started := make(chan struct{})
		g.srv.Ingest = func(ctx context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			if req.GetPartition().GetDatasetId() == "daily" && first.CompareAndSwap(false, true) {
				close(started)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return workertest.Complete(10), nil
		}
		g.start()
		id := g.create(market.Universe)[0].ID
		<-started
		g.srv.Down()
		time.Sleep(10 * time.Second)
		g.srv.Up()
		r, _ := g.watch(id)
		if r.Outcome != run.Succeeded {
			t.Errorf("outcome = %s: %+v", r.Outcome, r.Issues)
		}
	})
}

func TestWorkerStaysAwayMidRun(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		started := make(chan struct{}, 16)
		g.srv.Ingest = func(ctx context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			if req.GetPartition().GetStartDate() == "" {
				return workertest.Complete(10), nil
			}
			started <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		g.start()
		id := g.create(market.Universe)[0].ID
		<-started
		start := time.Now()
		g.srv.Down()
		r, _ := g.watch(id)
		if r.Outcome != run.Partial || time.Since(start) > 35*time.Second {
			t.Errorf("outcome = %s after %s", r.Outcome, time.Since(start))
		}
		faulttest.Produces(t, r.Issues[0], fault.WorkerUnreachable)
		if r.Issues[0].Meta["address"] != workertest.Addr || len(g.followUps(r.ID)) != 1 {
			t.Errorf("issue = %+v", r.Issues[0])
		}
	})
}

func TestCreate(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		block := make(chan struct{})
		g.srv.Ingest = func(ctx context.Context, _ *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
			select {
			case <-block:
			case <-ctx.Done():
			}
			return workertest.Complete(10), ctx.Err()
		}
		g.start()
		first := g.create(market.Universe)[0]
		time.Sleep(time.Second)
		if again := g.create(market.Universe)[0]; again.ID != first.ID {
			t.Error("a covered trigger was queued")
		}
		other := dispatch.CreateRequest{Pools: []market.Pool{market.Universe}, RequestID: "r-1",
			Request: run.Request{Start: market.NewDate(2026, 1, 5), End: market.NewDate(2026, 1, 9)}}
		second, err := g.d.Create(t.Context(), other)
		if err != nil || second[0].ID == first.ID || second[0].Mode != run.OnDemand {
			t.Fatalf("another range: %+v, %v", second, err)
		}
		repeat, err := g.d.Create(t.Context(), other)
		if err != nil || len(repeat) != 1 || repeat[0].ID != second[0].ID {
			t.Errorf("the same request_id: %+v, %v", repeat, err)
		}
		other.Request.Refetch = true
		_, err = g.d.Create(t.Context(), other)
		faulttest.Produces(t, err, fault.RequestIDReused)
		for field, bad := range map[string]dispatch.CreateRequest{
			"end_date":      {Request: run.Request{End: market.NewDate(2026, 3, 3)}},
			"start_date":    {Request: run.Request{Start: market.NewDate(2026, 2, 2), End: market.NewDate(2026, 2, 1)}},
			"module_ids[0]": {Request: run.Request{Modules: []string{"no.such"}}},
			"module_ids":    {Pools: []market.Pool{market.Targets}, Request: run.Request{Modules: []string{"stock.basic"}}},
			"pools[0]":      {Pools: []market.Pool{"elsewhere"}},
		} {
			_, err := g.d.Create(t.Context(), bad)
			faulttest.Produces(t, err, fault.InvalidArgument)
			if f, _ := fault.As(err); f == nil || f.Meta["field"] != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		one, err := g.d.Create(t.Context(), dispatch.CreateRequest{Request: run.Request{Modules: []string{"stock.basic"}}})
		if err != nil || len(one) != 1 || one[0].Pool != market.Universe {
			t.Errorf("a module of one pool: %+v, %v", one, err)
		}
		if err := g.store.SaveModule(t.Context(), "etf.daily_quote", false); err != nil {
			t.Fatal(err)
		}
		off, err := g.d.Create(t.Context(), dispatch.CreateRequest{Pools: []market.Pool{market.Universe}, Request: run.Request{Modules: []string{"etf.daily_quote"}, Start: market.NoDate, End: market.NoDate}})
		if err != nil || off[0].ID == first.ID {
			t.Errorf("a run of what is enabled answered for a module that is off: %+v, %v", off, err)
		}
		close(block)
		if r, _ := g.watch(second[0].ID); r.Outcome != run.Succeeded || r.StartedAt.Before(g.get(first.ID).FinishedAt) {
			t.Errorf("the queued run = %+v", r)
		}
	})
}

func TestPlanRecordsNothing(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start()
		plans, err := g.d.Plan(t.Context(), dispatch.CreateRequest{})
		if err != nil || len(plans) != 2 || plans[0].Run.Pool != market.Targets || len(plans[1].Partitions) != 6 || plans[1].Calls != 6 ||
			plans[1].LastTradeDate.String() != "2026-03-02" {
			t.Errorf("plans = %+v, %v", plans, err)
		}
		if runs, err := g.store.Runs(t.Context(), run.Filter{}); err != nil || len(runs) != 0 || len(g.srv.Epochs()) != 0 {
			t.Errorf("runs = %v, %v", runs, err)
		}
	})
}

func TestVerifyTellsDifferences(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start()
		r, _ := g.run(market.Universe)
		g.srv.Script(func(s *workertest.Server) {
			s.Verify = func(req *ingestv1.VerifyPartitionsRequest) *ingestv1.VerifyPartitionsResponse {
				resp := &ingestv1.VerifyPartitionsResponse{}
				for _, p := range req.GetPartitions() {
					c := &ingestv1.PartitionCheck{PartitionId: p.GetPartitionId(), RowCount: 10, CoverageCount: 10, RunId: r.ID}
					switch p.GetPartitionId() {
					case "moneyflow/2026-03-02":
						c.RowCount, c.DuplicateCount = 12, 2
					case "daily/2026-03-02":
						c.RowCount, c.CoverageCount, c.RunId = 9, 9, "a later run"
					case "fund_daily/2026-03-02", "stock_basic":
						c.Altered = true
					}
					resp.Checks = append(resp.Checks, c)
				}
				return resp
			}
		})
		v, err := g.d.Verify(t.Context(), r.ID)
		if err != nil || v.Checked != 6 {
			t.Errorf("verify = %+v, %v", v, err)
		}
		const again = `Fetch it again: curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_UNIVERSE"],"start_date":"2026-03-02","end_date":"2026-03-02","refetch":true}'`
		told := map[string]dispatch.Difference{}
		for _, d := range v.Differences {
			if told[d.PartitionID] = d; !strings.HasSuffix(d.Message, again) {
				t.Errorf("%s does not tell what to do", d.Message)
			}
		}
		if d := told["moneyflow/2026-03-02"]; d.Duplicates != 2 || d.Altered || strings.Contains(d.Message, "values") {
			t.Errorf("moneyflow = %+v", d)
		}
		for _, id := range []string{"fund_daily/2026-03-02", "stock_basic"} {
			if d := told[id]; !d.Altered || !strings.Contains(d.Message, id+": the file has other values than were committed") {
				t.Errorf("%s = %+v", id, d)
			}
		}
		if len(told) != 3 {
			t.Errorf("reported %v", told)
		}
		_, err = g.d.Verify(t.Context(), "no-such-run")
		faulttest.Produces(t, err, fault.NotFound)
		if err := g.d.Delete(t.Context(), r.ID); err != nil {
			t.Error(err)
		}
		faulttest.Produces(t, g.d.Delete(t.Context(), r.ID), fault.NotFound)
	})
}
