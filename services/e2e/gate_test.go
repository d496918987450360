package e2e_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// wantFailed checks that there is exactly one failed row of universe, and that it has a message.
func (e *env) wantFailed(stage, code string) {
	e.t.Helper()
	var universe []failedRow
	for _, r := range e.failedRows() {
		if r.Scope == "universe" {
			universe = append(universe, r)
		}
	}
	if len(universe) != 1 || universe[0].Stage != stage || universe[0].Code != code || len(universe[0].Message) < 20 {
		e.t.Errorf("failed rows of universe: %+v; want one with stage %s and code %s", universe, stage, code)
	}
}

func (e *env) wantOutcome(runs map[marketv1.Pool]*orchestratorv1.Run, pool marketv1.Pool, want orchestratorv1.Run_Outcome) {
	e.t.Helper()
	r := runs[pool]
	if r.GetOutcome() != want {
		e.t.Errorf("%s ended %s, want %s: %v", pool, r.GetOutcome(), want, r.GetIssues())
	}
	if want == orchestratorv1.Run_OUTCOME_BLOCKED {
		if len(r.GetIssues()) == 0 || r.GetIssues()[0].GetRemedy() == "" {
			e.t.Errorf("%s is blocked without saying what to do: %v", pool, r.GetIssues())
		}
	}
}

const (
	inTargets  = marketv1.Pool_POOL_TARGETS
	inUniverse = marketv1.Pool_POOL_UNIVERSE
	blocked    = orchestratorv1.Run_OUTCOME_BLOCKED
	succeeded  = orchestratorv1.Run_OUTCOME_SUCCEEDED
)

// listed are some stocks that trade at the simulator.
func (e *env) listed(n int) []string {
	e.t.Helper()
	table, err := e.sim.Rows("stock_basic", map[string]string{"list_status": "L"}, "ts_code")
	if err != nil {
		e.t.Fatal(err)
	}
	var symbols []string
	for _, row := range table.Rows[:n] {
		symbols = append(symbols, row[0].(string))
	}
	return symbols
}

func TestNoTokenBlocks(t *testing.T) {
	t.Parallel()
	e := up(t, small(), noToken)
	e.wantOutcome(e.run(&orchestratorv1.CreateRunRequest{}), inUniverse, blocked)
	e.wantFailed("token", "TOKEN_MISSING")
}

func TestBadTokenBlocks(t *testing.T) {
	t.Parallel()
	sim := small()
	sim.Tokens = map[string]tusharesim.Grant{"another-token": {}}
	e := up(t, sim)
	e.wantOutcome(e.run(&orchestratorv1.CreateRunRequest{}), inUniverse, blocked)
	e.wantFailed("readiness", "TOKEN_INVALID")
}

func TestFundsDeniedBlocksUniverseOnly(t *testing.T) {
	t.Parallel()
	for _, api := range []string{"fund_basic", "fund_daily"} {
		t.Run(api, func(t *testing.T) {
			sim := small()
			sim.Deny = []string{api}
			e := up(t, sim)
			e.setTargets(e.listed(3)...)
			ended := e.run(&orchestratorv1.CreateRunRequest{})
			e.wantOutcome(ended, inTargets, succeeded)
			e.wantOutcome(ended, inUniverse, blocked)
			e.wantFailed("readiness", "PERMISSION_DENIED")
			if remedy := ended[inUniverse].GetIssues()[0].GetRemedy(); !strings.Contains(remedy, "/v1/domains/etf") {
				t.Errorf("the remedy %q does not name the switch that lets universe go on without ETFs", remedy)
			}
			status, _ := e.rest("PATCH", "/v1/domains/etf", `{"enabled":false}`)
			if status != 200 {
				t.Fatalf("the remedy answers %d", status)
			}
			e.wantOutcome(e.run(&orchestratorv1.CreateRunRequest{}), inUniverse, succeeded)
		})
	}
}

func TestProviderDownEndsAndIsRetried(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	if err := e.sim.Close(); err != nil {
		t.Fatal(err)
	}
	r := e.run(&orchestratorv1.CreateRunRequest{})[inUniverse]
	e.wantFailed("readiness", "PROVIDER_UNAVAILABLE")
	if r.GetRetryTime() == nil {
		t.Error("a run that was stopped by a passing fault must be followed up")
	}
}

func TestWorkerDownIsNoticed(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	e.Worker.Kill()
	begun := time.Now()
	e.run(&orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{inUniverse}})
	if took := time.Since(begun); took > 45*time.Second {
		t.Errorf("noticed after %s", took)
	}
	e.wantFailed("preflight", "WORKER_UNREACHABLE")
	if err := e.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.wantOutcome(e.run(&orchestratorv1.CreateRunRequest{
		Pools: []marketv1.Pool{inUniverse}, RequestId: "0190f3c2-6c00-7000-8000-000000000001",
	}), inUniverse, succeeded)
}

func TestLockedStoreBlocksUniverseOnly(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	e.setTargets(e.listed(3)...)
	holder, err := sql.Open("duckdb", e.path("analysis.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Ping(); err != nil {
		t.Fatal(err)
	}
	ended := e.run(&orchestratorv1.CreateRunRequest{})
	e.wantOutcome(ended, inTargets, succeeded)
	e.wantOutcome(ended, inUniverse, blocked)
	e.wantFailed("analysis_init", "ANALYSIS_DB_LOCKED")
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEitherServiceStartsAlone(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	e.Worker.Kill()
	e.Orchestrator.Kill()
	if err := e.StartOrchestrator(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := orchestratorv1.NewPoolServiceClient(e.Conn).ListPools(ctx, &orchestratorv1.ListPoolsRequest{}); err != nil {
		t.Errorf("without the worker: %v", err)
	}
	if err := e.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.wantOutcome(e.run(&orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{inUniverse}}), inUniverse, succeeded)
}
