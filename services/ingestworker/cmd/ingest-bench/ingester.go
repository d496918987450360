package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
)

// ingesterFloor runs the worker's pipeline without RPC. Compared with the pipe it shows the cost of
// checks, verdicts and coverage; the pair compared with it shows the cost of RPC.
func ingesterFloor(ctx context.Context, b *bench) (err error) {
	path := filepath.Join(b.dir, "analysis.duckdb")
	sink := universe.New(universe.Config{
		Path: path, Source: "simulated", Logger: slog.New(slog.DiscardHandler), Memory: b.opts.memory, Threads: b.opts.threads,
		CheckpointRows: b.opts.checkpointRows,
	})
	closed := false
	defer func() {
		if !closed {
			_ = sink.Close()
		}
	}()
	worker := ingest.New(ingest.Config{
		Provider: b.client, Sinks: map[market.Pool]ingest.Sink{market.Universe: sink},
		WindowDays: map[market.Pool]int{market.Universe: 40_000}, Depth: b.opts.depth,
	})
	wish := coverage.PlanRequest{Pool: market.Universe, Datasets: catalog.Datasets(), Start: b.days[len(b.days)-1], End: b.days[0]}
	lists, err := worker.References(ctx, wish)
	if err != nil {
		return err
	}
	epoch := int64(0)
	for _, p := range lists.Partitions {
		epoch++
		if _, err := worker.Partition(ctx, ingest.Work{Partition: p, RunID: "bench", Epoch: epoch}, nil); err != nil {
			return err
		}
	}
	plan, err := worker.Data(ctx, wish)
	if err != nil {
		return err
	}
	b.begin()
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.opts.depth)
	for _, p := range plan.Partitions {
		if ctx.Err() != nil {
			break
		}
		epoch++
		work := ingest.Work{Partition: p, RunID: "bench", Epoch: epoch}
		group.Go(func() error {
			r, err := worker.Partition(ctx, work, nil)
			mu.Lock()
			defer mu.Unlock()
			b.report.Calls += r.Calls
			b.committed(p.Start, int(r.Held.Rows))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	closed = true
	if err := sink.Close(); err != nil { // it checkpoints
		return err
	}
	return b.end(path)
}
