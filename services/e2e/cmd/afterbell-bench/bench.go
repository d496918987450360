package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// bench has what all scenarios share: one simulator, whose settings they change and restore, and
// the dates.
type bench struct {
	opts   options
	out    io.Writer
	dir    string
	sim    *stack.Process
	simURL string
	// days to fill, newest first, "YYYY-MM-DD"; evening is the open day after them.
	days    []string
	evening string
	// bin is the directory of the services under test: opts.bin or opts.against.
	bin    string
	rounds []*round
	// others are the rounds of opts.against; each belongs to the round with the same number.
	others []*round
	dirs   int
}

// round has the values of one round by name, without those that were not measured.
type round struct {
	values map[string]float64
	failed map[string]error
	// runs are the ids of the runs that filled a pool, by the name of their figures.
	runs map[string]string
	// filled is the data directory that the scenario pair leaves for verify and evening.
	filled string
}

func newRound() *round {
	return &round{values: map[string]float64{}, failed: map[string]error{}, runs: map[string]string{}}
}

func newBench(ctx context.Context, o options, out io.Writer) (b *bench, err error) {
	dir, err := os.MkdirTemp(o.dir, "afterbell-bench-")
	if err != nil {
		return nil, err
	}
	b = &bench{opts: o, out: out, dir: dir, bin: o.bin}
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

// dataDir returns a new, empty data directory.
func (b *bench) dataDir(name string) (string, error) {
	b.dirs++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.dirs))
	return dir, os.MkdirAll(dir, 0o700)
}

// round runs the scenarios of round n. With --against both builds run each scenario, one right
// after the other, and the order alternates.
func (b *bench) round(ctx context.Context, n int) error {
	type side struct {
		bin string
		r   *round
	}
	mine := newRound()
	sides := []side{{b.opts.bin, mine}}
	b.rounds = append(b.rounds, mine)
	if b.opts.against != "" {
		other := newRound()
		b.others = append(b.others, other)
		sides = append(sides, side{b.opts.against, other})
		if n%2 == 1 {
			slices.Reverse(sides)
		}
	}
	defer func() {
		for _, s := range sides {
			if s.r.filled != "" {
				_ = os.RemoveAll(s.r.filled)
			}
		}
	}()
	for _, s := range scenarios {
		if !slices.Contains(b.opts.only, s.name) || !s.every && n > 0 && b.opts.against == "" {
			continue
		}
		for _, side := range sides {
			b.bin = side.bin
			which := ""
			if len(sides) > 1 {
				which = ", " + side.bin
			}
			fmt.Fprintf(b.out, "round %d of %d: %s (%s)%s\n", n+1, b.opts.rounds, s.name, s.does, which)
			if err := s.run(ctx, b, side.r); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				// The table shows the failure; the other scenarios still run.
				fmt.Fprintf(b.out, "  %s failed: %v\n", s.name, err)
				side.r.failed[s.name] = err
			}
		}
	}
	return nil
}

// median returns the median of a value over the rounds; ok is false if no round has it.
func (b *bench) median(name string) (v float64, ok bool) {
	return b.medianOf(func(r *round) (float64, bool) { v, ok := r.values[name]; return v, ok })
}

// ratio returns the median of the rounds' ratios, so that compared values were measured minutes
// apart and not hours.
func (b *bench) ratio(over, under string) (float64, bool) {
	return b.medianOf(func(r *round) (float64, bool) {
		o, ok := r.values[over]
		u, ok2 := r.values[under]
		return o / u, ok && ok2 && u != 0
	})
}

func (b *bench) medianOf(value func(r *round) (float64, bool)) (float64, bool) {
	return medianOf(b.rounds, value)
}

func medianOf(rounds []*round, value func(r *round) (float64, bool)) (float64, bool) {
	var all []float64
	for _, r := range rounds {
		if v, ok := value(r); ok {
			all = append(all, v)
		}
	}
	return middle(all)
}

// middle sorts values and returns their median; ok is false if there are none.
func middle(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2, true
	}
	return all[len(all)/2], true
}

// failures returns the errors of a scenario in all rounds.
func (b *bench) failures(name string) error { return failures(b.rounds, name) }
