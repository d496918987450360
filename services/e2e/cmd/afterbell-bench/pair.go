package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// fromEmpty fills a new data directory with the pair and records the figures under name. It
// returns the directory, which the caller must remove.
func (b *bench) fromEmpty(ctx context.Context, r *round, name, start, end string, rate int) (data string, err error) {
	data, err = b.dataDir(name)
	if err != nil {
		return "", err
	}
	s, err := b.pair(ctx, data, rate)
	if err != nil {
		return data, err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := b.resetStats(ctx); err != nil {
		return data, err
	}
	workerBefore, orchestratorBefore := cpuSeconds(s.Worker), cpuSeconds(s.Orchestrator)
	f, err := b.fill(ctx, s, b.universe(start, end))
	if err != nil {
		return data, err
	}
	calls, err := b.stats(ctx)
	if err != nil {
		return data, err
	}
	publishPeak, orchestratorPeak := peakMemory(s.Worker), peakMemory(s.Orchestrator)
	closed = true
	stopping := time.Now()
	// Stop the worker first: it checkpoints the file, as the floors do before their clock stops.
	err = s.Worker.Stop(grace)
	folded := time.Since(stopping)
	if err = errors.Join(err, s.Close()); err != nil {
		return data, err
	}
	bytes, err := size(analysis(data))
	if err != nil {
		return data, err
	}
	// The copy for readers has separate figures, because the floors and other builds have none.
	took := f.stored + folded
	worker := s.Worker.CPU().Seconds() - workerBefore - f.worker
	cpu := worker + s.Orchestrator.CPU().Seconds() - orchestratorBefore - f.orchestrator
	r.runs[name] = f.run.GetRunId()
	r.values[name+".worker_cpu_million"] = worker / float64(f.rows) * 1e6
	r.values[name+".cpu_million"] = cpu / float64(f.rows) * 1e6
	r.note(name, floor{
		Rows: f.rows, Seconds: took.Seconds(), RowsPerSecond: float64(f.rows) / took.Seconds(), CPUSeconds: cpu, PeakRSS: f.peak,
		FileBytes: bytes, Calls: int(calls.Total), FirstSeconds: f.first.Seconds(), LastSeconds: f.last.Seconds(),
	})
	_, most := calls.data()
	r.values[name+".publish_seconds"], r.values[name+".publish_cpu"] = (f.took - f.stored).Seconds(), f.worker
	r.values[name+".publish_rss"] = float64(publishPeak)
	r.values[name+".run_seconds"], r.values[name+".most_calls"] = f.stored.Seconds(), float64(most)
	r.values[name+".orchestrator_rss"] = float64(orchestratorPeak)
	return data, nil
}

// pairScenario fills the empty universe pool and leaves it for eveningScenario.
func pairScenario(ctx context.Context, b *bench, r *round) error {
	data, err := b.fromEmpty(ctx, r, "pair", b.days[len(b.days)-1], b.days[0], 0)
	if err != nil {
		return errors.Join(err, os.RemoveAll(data))
	}
	r.filled = data
	r.values["pair.least_calls"] = float64(len(b.days)*len(dailyAPIs) + snapshotCalls)
	return nil
}

// verifyScenario verifies the run that filled the pool. Both services have just started, so the
// measured time includes opening the file.
func verifyScenario(ctx context.Context, b *bench, r *round) (err error) {
	if r.filled == "" {
		return errors.New("pair has left nothing to verify")
	}
	c, err := b.config(r.filled, 0)
	if err != nil {
		return err
	}
	s, err := stack.New(ctx, c)
	if err != nil {
		return err
	}
	before, began := cpuSeconds(s.Worker), time.Now()
	v, err := s.Runs().VerifyRun(ctx, &orchestratorv1.VerifyRunRequest{RunId: r.runs["pair"]})
	took, cpu, peak := time.Since(began), cpuSeconds(s.Worker)-before, peakMemory(s.Worker)
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if n := len(v.GetDifferences()); n > 0 {
		return fmt.Errorf("%d of %d partitions differ: %s", n, v.GetCheckedCount(), v.GetDifferences()[0].GetMessage())
	}
	r.values["verify.seconds"], r.values["verify.cpu"], r.values["verify.rss"] = took.Seconds(), cpu, float64(peak)
	r.values["verify.partitions"] = float64(v.GetCheckedCount())
	return nil
}

// eveningScenario adds one date to the filled pool, as an evening does: both services were idle,
// the file is closed, and all modules are probed.
func eveningScenario(ctx context.Context, b *bench, r *round) (err error) {
	if r.filled == "" {
		return errors.New("pair has left nothing to add to")
	}
	c, err := b.config(r.filled, 0)
	if err != nil {
		return err
	}
	s, err := stack.New(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	always := orchestratorv1.PreflightPolicy_PREFLIGHT_POLICY_ALWAYS
	settings := orchestratorv1.NewSettingsServiceClient(s.Conn)
	if _, err := settings.UpdateSettings(ctx, &orchestratorv1.UpdateSettingsRequest{PreflightPolicy: &always}); err != nil {
		return err
	}
	if err := b.resetStats(ctx); err != nil {
		return err
	}
	f, err := b.fill(ctx, s, b.universe("", b.evening)) // part of today may be due already
	if err != nil {
		return err
	}
	if f.run.GetAsOfTradeDate() != b.evening || f.run.GetNewCount() == 0 {
		return fmt.Errorf("the run is as of %s with %d new rows, and %s was to come", f.run.GetAsOfTradeDate(), f.run.GetNewCount(), b.evening)
	}
	calls, err := b.stats(ctx)
	if err != nil {
		return err
	}
	r.values["evening.seconds"], r.values["evening.calls"] = f.took.Seconds(), float64(calls.Total)
	r.values["evening.rows"], r.values["evening.publish"] = float64(f.rows), (f.took - f.stored).Seconds()
	return nil
}

// fewDates is the number of dates of the small fill whose memory is compared.
const fewDates = 60

// memoryScenario fills few dates, to check that memory does not depend on the number of dates.
func memoryScenario(ctx context.Context, b *bench, r *round) error {
	if len(b.days) <= fewDates {
		return nil
	}
	data, err := b.fromEmpty(ctx, r, "few", b.days[fewDates-1], b.days[0], 0)
	return errors.Join(err, os.RemoveAll(data))
}

// latencyScenario fills the same dates from a slow provider.
func latencyScenario(ctx context.Context, b *bench, r *round) error {
	if err := b.setLatency(ctx, 100*time.Millisecond); err != nil {
		return err
	}
	data, err := b.fromEmpty(ctx, r, "latency", b.days[len(b.days)-1], b.days[0], 0)
	return errors.Join(err, b.setLatency(context.WithoutCancel(ctx), 0), os.RemoveAll(data))
}

// limitScenario fills with a limit: 500 calls per minute for three years, and for fewer dates a
// limit with which the fill takes two minutes.
func limitScenario(ctx context.Context, b *bench, r *round) error {
	n := 500
	if len(b.days) < 700 {
		n = max(10, len(b.days)/2)
	}
	if err := b.setLimit(ctx, n); err != nil {
		return err
	}
	data, err := b.fromEmpty(ctx, r, "limit", b.days[len(b.days)-1], b.days[0], n)
	r.values["limit.per_minute"] = float64(n)
	if err == nil {
		r.values["limit.bound"] = r.values["limit.most_calls"] / float64(n) * 60
	}
	return errors.Join(err, b.setLimit(context.WithoutCancel(ctx), 0), os.RemoveAll(data))
}

const (
	targetSymbols = 500
	targetDays    = 30
)

// targetsScenario fills the targets pool with many symbols and few days.
func targetsScenario(ctx context.Context, b *bench, r *round) (err error) {
	days := slices.Concat([]string{b.evening}, b.days)
	days = days[:min(targetDays, len(days))]
	symbols, err := b.stocks(ctx, days[len(days)-1], targetSymbols)
	if err != nil {
		return err
	}
	data, err := b.dataDir("targets")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	s, err := b.pair(ctx, data, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	targets := orchestratorv1.NewTargetServiceClient(s.Conn)
	if _, err := targets.UpdateTargets(ctx, &orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: symbols}}); err != nil {
		return err
	}
	if err := b.resetStats(ctx); err != nil {
		return err
	}
	f, err := b.fill(ctx, s, &orchestratorv1.CreateRunRequest{
		Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS}, StartDate: days[len(days)-1], EndDate: days[0],
	})
	if err != nil {
		return err
	}
	calls, err := b.stats(ctx)
	if err != nil {
		return err
	}
	r.values["targets.seconds"], r.values["targets.rows"] = f.took.Seconds(), float64(f.rows)
	r.values["targets.calls"] = float64(calls.Total)
	// A loop over symbols would call daily, daily_basic and moneyflow for each, and the calendar.
	r.values["targets.loop"] = targetSymbols*3 + 1
	return nil
}
