package dispatch_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker/workertest"
)

// probes makes the modules named, or all, fail with a reason.
func probes(reason fault.Reason, only ...string) func(g *harness) {
	return func(g *harness) {
		g.srv.Probe = func(_ context.Context, module string) (*ingestv1.ModuleProbe, error) {
			for _, id := range only {
				if id != module {
					continue
				}
				return workertest.Found(reason), nil
			}
			if len(only) == 0 {
				return workertest.Found(reason), nil
			}
			return &ingestv1.ModuleProbe{Passed: true}, nil
		}
	}
}

// Every row of the table of checks ends as a failed row with stage, code, message
// and remedy, and before anything was planned.
func TestGate(t *testing.T) {
	file := func(reason fault.Reason) func(g *harness) {
		return func(g *harness) {
			g.srv.Store = func(marketv1.Pool) []fault.Issue {
				return []fault.Issue{fault.NewIssue(reason, "The file is not fit.", "pool", "universe", "file", "analysis.duckdb")}
			}
		}
	}
	domain := func(id string, enabled bool, provider string) func(g *harness) {
		return func(g *harness) {
			if err := g.store.SaveDomain(g.t.Context(), readiness.DomainSetting{Domain: id, Enabled: enabled, Provider: provider}); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		pool     market.Pool
		set      func(g *harness)
		stage    run.Stage
		reason   fault.Reason
		also     fault.Reason
		within   time.Duration // from creation to the end
		followed bool
	}{
		"no token":    {set: func(g *harness) { g.srv.Tokens = nil }, stage: run.StageToken, reason: fault.TokenMissing},
		"worker away": {set: func(g *harness) { g.srv.Down() }, stage: run.StagePreflight, reason: fault.WorkerUnreachable, within: 31 * time.Second, followed: true},
		"preflight breaks": {set: func(g *harness) {
			g.srv.Probe = func(context.Context, string) (*ingestv1.ModuleProbe, error) {
				return nil, fault.New(fault.Internal, "No.")
			}
		}, stage: run.StagePreflight, reason: fault.PreflightFailed, followed: true},
		"token refused":      {set: probes(fault.TokenInvalid), stage: run.StageReadiness, reason: fault.TokenInvalid, also: fault.DomainTestFailed},
		"too many addresses": {set: probes(fault.TooManyIPs), stage: run.StageReadiness, reason: fault.TooManyIPs, followed: true},
		"not permitted":      {set: probes(fault.PermissionDenied, "etf.basic_info"), stage: run.StageReadiness, reason: fault.PermissionDenied},
		"provider down":      {set: probes(fault.ProviderUnavailable), stage: run.StageReadiness, reason: fault.ProviderUnavailable, also: fault.DomainTestFailed, followed: true},
		"probe fails":        {set: probes(fault.ModuleTestFailed, "stock.basic"), stage: run.StageReadiness, reason: fault.ModuleTestFailed},
		"nothing enabled":    {set: func(g *harness) { domain("stock", false, "tushare")(g); domain("etf", false, "tushare")(g) }, stage: run.StageReadiness, reason: fault.NoSyncModuleSelected},
		"modules all off": {set: func(g *harness) {
			domain("stock", false, "tushare")(g)
			for _, m := range []string{"etf.basic_info", "etf.daily_quote"} {
				_ = g.store.SaveModule(g.t.Context(), m, false)
			}
		}, stage: run.StageReadiness, reason: fault.NoSyncModuleSelected, also: fault.DomainHasNoEnabledModules},
		"provider planned":    {set: domain("etf", true, "wind"), stage: run.StageReadiness, reason: fault.DomainProviderNotActive},
		"readiness_only":      {set: func(g *harness) { g.settings(func(s *settings.Settings) { s.Preflight = readiness.ReadinessOnly }) }, stage: run.StageReadiness, reason: fault.ModuleTestRequired, also: fault.DomainTestRequired},
		"file locked":         {set: file(fault.AnalysisDBLocked), stage: run.StageAnalysisInit, reason: fault.AnalysisDBLocked, within: 62 * time.Second, followed: true},
		"file unreadable":     {set: file(fault.AnalysisDBNotInitialized), stage: run.StageAnalysisInit, reason: fault.AnalysisDBNotInitialized},
		"file of another":     {set: file(fault.SourceMismatch), stage: run.StageAnalysisInit, reason: fault.SourceMismatch},
		"disk full":           {set: file(fault.DiskFull), stage: run.StageAnalysisInit, reason: fault.DiskFull},
		"targets file locked": {pool: market.Targets, set: file(fault.TargetsDBLocked), stage: run.StageAnalysisInit, reason: fault.TargetsDBLocked, within: 62 * time.Second, followed: true},
	} {
		t.Run(name, func(t *testing.T) {
			withFakeClock(t, func(t *testing.T) {
				g := newHarness(t)
				c.set(g)
				var log bytes.Buffer // written to until stop
				g.start(func(cfg *dispatch.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
				if c.pool == "" {
					c.pool = market.Universe
				}
				start := time.Now()
				r, _ := g.run(c.pool)
				if r.Outcome != run.Blocked || r.Stage != c.stage || r.State.Status(r.Outcome) != "failed" {
					t.Errorf("outcome = %s at %q, want blocked at %q: %+v", r.Outcome, r.Stage, c.stage, r.Issues)
				}
				if len(r.Issues) == 0 {
					t.Fatal("no issue")
				}
				faulttest.Produces(t, r.Issues[0], c.reason)
				if c.also != "" {
					faulttest.Produces(t, r.Issues, c.also)
				}
				if r.Issues[0].Message == "" || r.Issues[0].Remedy == "" {
					t.Errorf("an issue without words: %+v", r.Issues[0])
				}
				took := time.Since(start)
				if c.within == 0 {
					c.within = 5 * time.Second
				}
				if took > c.within {
					t.Errorf("it took %s, want %s at most", took, c.within)
				}
				if held := r.Meta.BlockedModules; c.stage == run.StageToken && (len(held) == 0 || !slices.Equal(held, r.Meta.SelectedModules)) {
					t.Errorf("held back %v of %v", held, r.Meta.SelectedModules)
				}
				if len(g.srv.Planned()) > 0 || len(g.srv.Epochs()) > 0 {
					t.Error("a blocked run planned or dispatched")
				}
				follow := g.followUps(r.ID)
				if (len(follow) == 1) != c.followed || (!r.RetryAt.IsZero()) != c.followed {
					t.Errorf("followed by %d runs, retry at %v; want followed = %v", len(follow), r.RetryAt, c.followed)
				}
				g.stop()
				if text := log.String(); !strings.Contains(text, `level=WARN msg="run blocked"`) || !strings.Contains(text, "reason="+string(c.reason)) || !strings.Contains(text, " message=") {
					t.Errorf("the log does not warn of it:\n%s", text)
				}
				if c.followed && (!follow[0].NotBefore.Equal(r.RetryAt) || follow[0].Source != run.SourceAuto) {
					t.Errorf("follow-up = %+v", follow[0])
				}
			})
		})
	}
}

// The selection is known while the worker is unreachable, from the last catalog.
func TestSelectionIsToldWhileTheWorkerIsAway(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start()
		before, _ := g.run(market.Universe)
		g.srv.Down()
		r, _ := g.run(market.Universe)
		if r.Stage != run.StagePreflight || len(r.Meta.SelectedModules) == 0 || !slices.Equal(r.Meta.SelectedModules, before.Meta.SelectedModules) ||
			len(r.Meta.SelectedDomains) == 0 || len(r.Meta.TokenSources) == 0 {
			t.Errorf("at %q with %+v", r.Stage, r.Meta)
		}
	})
}

func TestNotBuiltModuleIsRefusedAndBlocks(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.start()
		// Without the worker's catalog nothing can be refused here; the gate refuses it later.
		runs, err := g.d.Create(t.Context(), request(market.Universe, "index.daily"))
		if err != nil {
			t.Fatal(err)
		}
		r, _ := g.watch(runs[0].ID)
		if r.Stage != run.StageReadiness {
			t.Errorf("stage = %q", r.Stage)
		}
		faulttest.Produces(t, r.Issues[0], fault.ModuleNotSyncCapable)
		_, err = g.d.Create(t.Context(), request(market.Universe, "index.daily"))
		faulttest.Produces(t, err, fault.ModuleNotSyncCapable)
	})
}

func TestDegradedRunsTheRest(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		g.settings(func(s *settings.Settings) { s.Readiness = readiness.Lenient })
		g.srv.Probe = func(_ context.Context, module string) (*ingestv1.ModuleProbe, error) {
			if module == "etf.basic_info" {
				return workertest.Found(fault.PermissionDenied), nil
			}
			return &ingestv1.ModuleProbe{Passed: true}, nil
		}
		g.start()
		r, _ := g.run(market.Universe)
		if r.Outcome != run.Partial || len(r.Meta.BlockedModules) != 1 || r.Meta.BlockedModules[0] != "etf.basic_info" || r.Completed != r.Partitions || r.Partitions == 0 {
			t.Errorf("run = %+v", r)
		}
		for _, p := range g.srv.Planned() {
			for _, id := range p.GetModuleIds() {
				if id == "etf.basic_info" {
					t.Error("a module held back was planned")
				}
			}
		}
	})
}

func TestFileFreedInTime(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		freed := time.Now().Add(20 * time.Second)
		g.srv.Store = func(marketv1.Pool) []fault.Issue {
			if time.Now().Before(freed) {
				return []fault.Issue{fault.NewIssue(fault.AnalysisDBLocked, "Held.")}
			}
			return nil
		}
		g.start()
		if r, _ := g.run(market.Universe); r.Outcome != run.Succeeded {
			t.Errorf("outcome = %s: %+v", r.Outcome, r.Issues)
		}
	})
}

func TestNoTargetsIsUnchanged(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		if _, err := g.store.SaveTargetSet(t.Context(), targetset.Explicit()); err != nil {
			t.Fatal(err)
		}
		g.srv.Tokens = nil
		g.start()
		r, _ := g.run(market.Targets)
		if r.Outcome != run.Unchanged || r.State.Status(r.Outcome) != "success" || r.Symbols != 0 || len(g.srv.Probed()) > 0 {
			t.Errorf("run = %+v, probed %v", r, g.srv.Probed())
		}
	})
}

// A verdict that rests on earlier probes says so: they do not prove that the modules can run.
func TestVerdictNamesWhatWasNotCheckedAgain(t *testing.T) {
	withFakeClock(t, func(t *testing.T) {
		g := newHarness(t)
		probes(fault.TokenInvalid, "etf.basic_info")(g)
		g.start()
		verdict := func() (text string) {
			r, _ := g.run(market.Universe)
			events, err := g.store.Milestones(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Preflight != nil && strings.HasPrefix(e.Preflight.Message, "Verdict") {
					text = e.Preflight.Message
				}
			}
			return text
		}
		if text := verdict(); strings.Contains(text, "not checked again") {
			t.Errorf("all were checked: %s", text)
		}
		if text := verdict(); !strings.HasPrefix(text, "Verdict for universe: blocked, because of etf.basic_info; not checked again: stock.basic") {
			t.Errorf("one was checked: %s", text)
		}
	})
}
