package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// A program that ends more often than this is not restarted.
const (
	mostEnds   = 5
	endsWithin = time.Minute
)

// keep restarts a program when it ends by itself, until ctx ends. Either service may be killed at
// any moment; the next run repairs what was in progress.
func keep(ctx context.Context, s *stack.Stack, group *errgroup.Group, out io.Writer) {
	if s.Sim != nil {
		group.Go(func() error {
			return keepOne(ctx, out, s.Sim, func() (*stack.Process, error) { err := s.StartSim(ctx); return s.Sim, err })
		})
	}
	group.Go(func() error {
		return keepOne(ctx, out, s.Worker, func() (*stack.Process, error) { err := s.StartWorker(ctx); return s.Worker, err })
	})
	group.Go(func() error {
		return keepOne(ctx, out, s.Orchestrator, func() (*stack.Process, error) { err := s.StartOrchestrator(ctx); return s.Orchestrator, err })
	})
}

func keepOne(ctx context.Context, out io.Writer, p *stack.Process, start func() (*stack.Process, error)) error {
	var ends []time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.Done():
		}
		now := time.Now()
		for len(ends) > 0 && now.Sub(ends[0]) > endsWithin {
			ends = ends[1:]
		}
		if ends = append(ends, now); len(ends) > mostEnds {
			return fmt.Errorf("%w; it exited %d times within %s", p.Ended(), len(ends), endsWithin)
		}
		text := strings.Join(wrap(p.Ended().Error()+". Restarting it.", ""), "\n")
		fmt.Fprintf(out, "\n%s\n\n", text)
		again, err := start()
		switch {
		case err == nil:
			p = again
		case ctx.Err() == nil:
			return err
		}
	}
}
