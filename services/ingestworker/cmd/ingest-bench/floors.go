package main

import (
	"context"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// part is a fetched partition.
type part struct {
	dataset *catalog.Dataset
	day     market.Date
	batch   *table.Batch
	rows    int // of the batch
	calls   int
}

// fetchAll fetches all partitions with several concurrent calls, and calls take for each in one
// goroutine.
func (b *bench) fetchAll(ctx context.Context, take func(p part) error) error {
	group, ctx := errgroup.WithContext(ctx)
	todo, done := make(chan part), make(chan part, 2)
	group.Go(func() error {
		defer close(todo)
		for _, day := range b.days {
			for _, d := range daily() {
				select {
				case todo <- part{dataset: d, day: day}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	fetchers, fetching := errgroup.WithContext(ctx)
	for range b.opts.fetchers {
		fetchers.Go(func() error {
			for p := range todo {
				var err error
				if p.batch, p.calls, err = b.fetchDay(fetching, p.dataset, p.day); err != nil {
					return err
				}
				p.rows = p.batch.Len
				select {
				case done <- p:
				case <-fetching.Done():
					return fetching.Err()
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(done)
		return fetchers.Wait()
	})
	group.Go(func() error {
		for p := range done {
			b.report.Calls += p.calls
			if err := take(p); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// fetchFloor fetches, decodes and discards the rows.
func fetchFloor(ctx context.Context, b *bench) error {
	b.begin()
	err := b.fetchAll(ctx, func(p part) error {
		b.committed(p.day, p.rows)
		return nil
	})
	if err != nil {
		return err
	}
	return b.end("")
}

// bareWriter groups partitions into transactions.
type bareWriter struct {
	b     *bench
	file  *bareFile
	group []part
}

func (w *bareWriter) add(p part) error {
	if len(w.group) == 0 {
		if err := w.file.begin(); err != nil {
			return err
		}
	}
	if err := w.file.add(p.dataset, p.batch); err != nil {
		return err
	}
	p.batch = nil
	w.group = append(w.group, p)
	if len(w.group) < w.b.opts.group {
		return nil
	}
	return w.flush()
}

func (w *bareWriter) flush() error {
	if len(w.group) == 0 {
		return nil
	}
	if err := w.file.commit(); err != nil {
		return err
	}
	for _, p := range w.group {
		w.b.committed(p.day, p.rows)
	}
	w.group = w.group[:0]
	if n := w.b.opts.checkpointRows; n > 0 && w.file.dirty >= n {
		return w.file.checkpoint()
	}
	return nil
}

// write writes a file with the partitions of produce, including its checkpoint.
func write(b *bench, produce func(take func(p part) error) error) error {
	path := filepath.Join(b.dir, "bare.duckdb")
	b.begin()
	file, err := openBare(path, b.opts)
	if err != nil {
		return err
	}
	defer func() { _ = file.close() }() // it was checkpointed before
	w := &bareWriter{b: b, file: file}
	if err := produce(w.add); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := file.checkpoint(); err != nil {
		return err
	}
	return b.end(path)
}

// pipeFloor fetches, decodes and writes.
func pipeFloor(ctx context.Context, b *bench) error {
	return write(b, func(take func(p part) error) error { return b.fetchAll(ctx, take) })
}

// prepared is the number of dates whose rows the writer uses in turn.
const prepared = 10

// writerFloor writes rows that were fetched before the clock started, with new dates.
func writerFloor(ctx context.Context, b *bench) error {
	days := b.days
	b.days = days[:min(prepared, len(days))]
	held := map[market.Date][]part{}
	err := b.fetchAll(ctx, func(p part) error {
		held[p.day] = append(held[p.day], p)
		return nil
	})
	if err != nil {
		return err
	}
	b.days, b.report.Calls = days, 0
	return write(b, func(take func(p part) error) error {
		for i, day := range days {
			for _, p := range held[days[i%min(prepared, len(days))]] {
				p.day = day
				dates := p.batch.Column("trade_date").Dates
				for n := range dates {
					dates[n] = day
				}
				if err := take(p); err != nil {
					return err
				}
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}
