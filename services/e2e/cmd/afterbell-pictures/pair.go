package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// market describes the data of a pair that is started here.
type market struct {
	stocks, funds int
	// days is the window of the pools in calendar days.
	days int
	// years is the number of years of evenings in the ledger before the start.
	years int
}

var (
	// pictured is the market of the screenshots.
	pictured = market{stocks: 800, funds: 300, days: 420}
	// measured has three years of coverage and ten years of runs. The number of rows of a date does
	// not matter to the console.
	measured = market{stocks: 120, funds: 40, days: 1095, years: 10}
)

// pair is a pair that is started here, with a simulated market, pools that it has just filled, and
// some dates for which the provider returns wrong data.
func pair(ctx context.Context, bin string, of market) (base string, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "afterbell-pictures")
	if err != nil {
		return "", nil, err
	}
	server, err := tusharesim.Start(ctx, tusharesim.Options{Stocks: of.stocks, Funds: of.funds, Latency: 20 * time.Millisecond})
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() error { return errors.Join(server.Close(), os.RemoveAll(dir)) }
	for _, f := range []tusharesim.Fault{
		{Kind: tusharesim.HalfDay, API: tusharesim.Moneyflow, TradeDate: day(-12), EndDate: day(-9)},
		{Kind: tusharesim.Empty, API: tusharesim.FundDaily, TradeDate: day(-60), EndDate: day(-55)},
		{Kind: tusharesim.HTTP503, API: tusharesim.DailyBasic, TradeDate: day(-131), EndDate: day(-124)},
	} {
		if _, err := server.Sim.AddFault(f); err != nil {
			return "", stop, err
		}
	}
	if of.years > 0 {
		years := exec.CommandContext(ctx, "go", "run", "github.com/afterbell/afterbell/services/orchestrator/cmd/ledger-years", "--data-dir", dir, "--years", strconv.Itoa(of.years))
		years.Stdout, years.Stderr = os.Stderr, os.Stderr
		if err := years.Run(); err != nil {
			return "", stop, fmt.Errorf("writing the ledger: %w", err)
		}
	}
	window := fmt.Sprintf("%dd", of.days)
	s, err := stack.New(ctx, stack.Config{
		Bin: bin, Data: dir, ProviderURL: server.URL,
		WorkerFlags:       []string{"--rate-limit", "0", "--universe-window", window, "--targets-window", window},
		OrchestratorFlags: []string{"--schedule=false"},
		Env:               []string{"AFTERBELL_TUSHARE_TOKEN=pictures"},
	})
	if err != nil {
		return "", stop, err
	}
	stop = func() error { return errors.Join(s.Close(), server.Close(), os.RemoveAll(dir)) }
	symbols := []string{"600519.SH", "000001.SZ", "510300.SH"}
	if _, err := orchestratorv1.NewTargetServiceClient(s.Conn).UpdateTargets(ctx, &orchestratorv1.UpdateTargetsRequest{
		Targets: &orchestratorv1.Targets{Symbols: symbols},
	}); err != nil {
		return "", stop, err
	}
	for _, pool := range []marketv1.Pool{marketv1.Pool_POOL_UNIVERSE, marketv1.Pool_POOL_TARGETS} {
		if err := fill(ctx, s, pool); err != nil {
			return "", stop, err
		}
	}
	if of.years == 0 {
		if err := schedule(ctx, s); err != nil {
			return "", stop, err
		}
	}
	return "http://" + s.Config.HTTPAddr, stop, nil
}

// schedule restarts the orchestrator with the schedule and without a start-up run.
func schedule(ctx context.Context, s *stack.Stack) error {
	off := false
	if _, err := orchestratorv1.NewScheduleServiceClient(s.Conn).UpdateSchedule(ctx, &orchestratorv1.UpdateScheduleRequest{RunOnStartup: &off}); err != nil {
		return err
	}
	if err := s.Orchestrator.Stop(30 * time.Second); err != nil {
		return err
	}
	s.Config.OrchestratorFlags = nil
	return s.StartOrchestrator(ctx)
}

// fill brings a pool up to date and waits for the end of the run.
func fill(ctx context.Context, s *stack.Stack, pool marketv1.Pool) error {
	created, err := s.Runs().CreateRun(ctx, &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{pool}})
	if err != nil {
		return err
	}
	watch, err := s.Runs().WatchRun(ctx, &orchestratorv1.WatchRunRequest{RunId: created.GetRuns()[0].GetRunId()})
	if err != nil {
		return err
	}
	for {
		m, err := watch.Recv()
		if err != nil {
			return fmt.Errorf("the run of %s: %w", pool, err)
		}
		if m.GetEvent().GetFinished() != nil {
			return nil
		}
	}
}

// day returns the date so many days from now, in the provider's format.
func day(n int) string { return time.Now().AddDate(0, 0, n).Format("20060102") }
