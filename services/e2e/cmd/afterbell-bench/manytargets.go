package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// manySymbols is the number of symbols of a long target list.
const manySymbols = 2000

// manyTargetsScenario fills the empty targets pool with many symbols and all days, and then
// fetches everything again, which changes nothing.
func manyTargetsScenario(ctx context.Context, b *bench, r *round) (err error) {
	symbols, err := b.stocks(ctx, b.days[len(b.days)-1], manySymbols)
	if err != nil {
		return err
	}
	data, err := b.dataDir("manytargets")
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
	last := 0.0
	for _, step := range []struct {
		name    string
		refetch bool
	}{{"manytargets", false}, {"manytargets.refetch", true}} {
		if err := b.resetStats(ctx); err != nil {
			return err
		}
		f, err := b.fill(ctx, s, &orchestratorv1.CreateRunRequest{
			Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS}, StartDate: b.days[len(b.days)-1], EndDate: b.days[0], Refetch: step.refetch,
		})
		if err != nil {
			return err
		}
		calls, err := b.stats(ctx)
		if err != nil {
			return err
		}
		cpu := cpuSeconds(s.Worker) + cpuSeconds(s.Orchestrator)
		log, err := size(filepath.Join(data, "targets.sqlite-wal"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		file, err := size(filepath.Join(data, "targets.sqlite"))
		if err != nil {
			return err
		}
		v := map[string]float64{
			"seconds": f.stored.Seconds(), "publish_seconds": (f.took - f.stored).Seconds(),
			"rows": float64(f.rows), "calls": float64(calls.Total), "cpu": cpu - last - f.worker - f.orchestrator,
			"worker_rss": float64(f.peak), "publish_rss": float64(peakMemory(s.Worker)), "orchestrator_rss": float64(peakMemory(s.Orchestrator)), "wal": float64(log), "file": float64(file),
		}
		last = cpu
		for k, x := range v {
			r.values[step.name+"."+k] = x
		}
		const mb = 1 << 20
		fmt.Fprintf(b.out, "  %s: %d symbols × %d days in %.1f s and %.1f s for readers: %.0f rows, %.0f rows/s, %.0f calls, %.1f CPU s; peak memory worker %.0f MB (%.0f with the copy), orchestrator %.0f MB; file %.0f MB, log %.0f MB\n",
			step.name, manySymbols, len(b.days), v["seconds"], v["publish_seconds"], v["rows"], v["rows"]/v["seconds"], v["calls"], v["cpu"], v["worker_rss"]/mb, v["publish_rss"]/mb, v["orchestrator_rss"]/mb, v["file"]/mb, v["wal"]/mb)
	}
	return nil
}
