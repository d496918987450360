package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// evenings runs the scheduler's own test of 400 days of evenings in simulated time
// with many seeds.
func evenings(ctx context.Context, o options, out io.Writer) error {
	fmt.Fprintf(out, "\n400 days of evenings in simulated time, %d seeds\n", o.seeds)
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "60m", "-run", "Evenings",
		"github.com/afterbell/afterbell/services/orchestrator/internal/scheduler")
	cmd.Env = append(os.Environ(), fmt.Sprintf("AFTERBELL_EVENING_SEEDS=%d", o.seeds))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("evenings: %w", err)
	}
	fmt.Fprintf(out, "ok, %d seeds in %s\n", o.seeds, time.Since(began).Round(time.Second))
	return nil
}
