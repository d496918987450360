package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// bench holds what all scenarios share: one simulator, whose settings they change
// and put back, and the dates.
type bench struct {
	opts   options
	out    io.Writer
	dir    string
	sim    *stack.Process
	simURL string
	// days to fill, newest first, "YYYY-MM-DD"; evening is the open day after them.
	days    []string
	evening string
	rounds  []*round
	dirs    int
}

// round is what was measured in one round, by name; absent where not measured.
type round struct {
	values map[string]float64
	failed map[string]error
	// filled is the data directory that pair left for evening.
	filled string
}

func newRound() *round { return &round{values: map[string]float64{}, failed: map[string]error{}} }

func newBench(ctx context.Context, o options, out io.Writer) (b *bench, err error) {
	dir, err := os.MkdirTemp(o.dir, "afterbell-bench-")
	if err != nil {
		return nil, err
	}
	b = &bench{opts: o, out: out, dir: dir}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	b.sim, err = stack.Start(ctx, o.bin, "tushare-sim", filepath.Join(dir, "tushare-sim.log"), []string{"--addr", "127.0.0.1:0"}, nil, "")
	if err != nil {
		return nil, err
	}
	b.simURL = "http://" + b.sim.Addr("")
	days, err := b.openDays(ctx, o.dates+1)
	if err != nil {
		return nil, err
	}
	b.evening, b.days = days[0], days[1:]
	return b, nil
}

func (b *bench) close() {
	if b.sim != nil {
		if err := b.sim.Stop(10 * time.Second); err != nil {
			fmt.Fprintln(b.out, err)
		}
	}
	_ = os.RemoveAll(b.dir)
}

// dataDir is a new, empty data directory.
func (b *bench) dataDir(name string) (string, error) {
	b.dirs++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.dirs))
	return dir, os.MkdirAll(dir, 0o700)
}

func (b *bench) endRound(r *round) error {
	b.rounds = append(b.rounds, r)
	if r.filled != "" {
		return os.RemoveAll(r.filled)
	}
	return nil
}

// median of a value over the rounds; ok is false where no round has it.
func (b *bench) median(name string) (v float64, ok bool) {
	return b.medianOf(func(r *round) (float64, bool) { v, ok := r.values[name]; return v, ok })
}

// ratio is the median of the rounds' ratios, so that what is compared was
// measured minutes apart and not hours.
func (b *bench) ratio(over, under string) (float64, bool) {
	return b.medianOf(func(r *round) (float64, bool) {
		o, ok := r.values[over]
		u, ok2 := r.values[under]
		return o / u, ok && ok2 && u != 0
	})
}

func (b *bench) medianOf(value func(r *round) (float64, bool)) (float64, bool) {
	var all []float64
	for _, r := range b.rounds {
		if v, ok := value(r); ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2, true
	}
	return all[len(all)/2], true
}

// failures are the errors of a scenario over the rounds.
func (b *bench) failures(name string) error {
	var all []error
	for _, r := range b.rounds {
		all = append(all, r.failed[name])
	}
	return errors.Join(all...)
}
