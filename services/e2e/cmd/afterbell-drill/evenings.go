package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// evenings runs the scheduler's test of 400 simulated days with many seeds.
func evenings(ctx context.Context, o options, out io.Writer) error {
	fmt.Fprintf(out, "\n400 days of evenings in simulated time, %d seeds\n", o.seeds)
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", "test", "-v", "-count=1", "-timeout", "60m", "-run", "Evenings",
		"github.com/afterbell/afterbell/services/orchestrator/internal/scheduler")
	cmd.Env = append(os.Environ(), fmt.Sprintf("AFTERBELL_EVENING_SEEDS=%d", o.seeds))
	cmd.Stderr = out
	output, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("evenings: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("evenings: %w", err)
	}
	seeds := 0
	for lines := bufio.NewScanner(output); lines.Scan(); {
		switch line := strings.TrimSpace(lines.Text()); {
		case strings.HasPrefix(line, "=== "):
		case strings.HasPrefix(line, "--- PASS: TestFourHundredEvenings/"):
			if seeds++; seeds%10 == 0 {
				fmt.Fprintf(out, "%d seeds after %s\n", seeds, time.Since(began).Round(time.Second))
			}
		default:
			fmt.Fprintln(out, lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("evenings: %w", err)
	}
	fmt.Fprintf(out, "ok, %d seeds in %s\n", o.seeds, time.Since(began).Round(time.Second))
	return nil
}
