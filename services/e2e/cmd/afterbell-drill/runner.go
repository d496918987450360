package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/e2e/internal/truth"
)

// drill is one failure and its expected result.
type drill struct {
	name, fault, expect string
	// do injects the failure and checks the pair's reaction. Afterwards the runner lets the pair
	// recover, compares it and stops it.
	do func(r *harness)
}

// result is a line of the table.
type result struct {
	drill
	happened string
	skipped  string
	failures []string
	report   truth.Report
	recovery time.Duration
	took     time.Duration
}

func (r result) ok() bool { return r.skipped == "" && len(r.failures) == 0 }

// runAll runs the drills, a few at a time, and prints a table.
func runAll(ctx context.Context, o options, chosen []drill, out io.Writer) error {
	results := make([]result, len(chosen))
	var mu sync.Mutex
	done := 0
	var group errgroup.Group
	group.SetLimit(o.parallel)
	for i, d := range chosen {
		group.Go(func() error {
			results[i] = runOne(ctx, o, d)
			mu.Lock()
			defer mu.Unlock()
			done++
			fmt.Fprintf(out, "[%2d/%d] %-28s %-7s %5.1fs  %s\n", done, len(chosen), d.name, results[i].mark(), results[i].took.Seconds(), results[i].happened)
			for _, f := range results[i].failures {
				fmt.Fprintf(out, "        %s\n", f)
			}
			return nil
		})
	}
	_ = group.Wait() // each result has its error
	failed := printTable(out, results)
	if o.seeds > 0 && o.only.MatchString("evenings") && ctx.Err() == nil {
		if err := evenings(ctx, o, out); err != nil {
			fmt.Fprintln(out, "FAILED:", err)
			failed++
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed > 0 {
		return errFailed
	}
	return nil
}

func (r result) mark() string {
	switch {
	case r.skipped != "":
		return "SKIPPED"
	case len(r.failures) > 0:
		return "FAILED"
	}
	return "ok"
}

func runOne(ctx context.Context, o options, d drill) (res result) {
	res = result{drill: d}
	if ctx.Err() != nil {
		res.skipped, res.happened = "interrupted", "interrupted before it began"
		return res
	}
	began := time.Now()
	dir, err := os.MkdirTemp(o.tmp, "drill-"+d.name+"-")
	if err != nil {
		res.failures = []string{err.Error()}
		return res
	}
	r, err := newRig(ctx, o, dir)
	if err != nil {
		res.failures = []string{err.Error()}
		return res
	}
	d.do(r)
	r.finish()
	res.happened, res.skipped, res.report, res.recovery = r.summary, r.skipped, r.report, r.recovery
	res.took = time.Since(began)
	res.failures = r.failures
	if r.err != nil {
		res.failures = append(res.failures, r.err.Error())
	}
	if r.skipped != "" {
		res.happened = "SKIPPED: " + r.skipped
	}
	if len(res.failures) > 0 && o.keep {
		res.failures = append(res.failures, "kept: "+dir)
		return res
	}
	if err := os.RemoveAll(dir); err != nil {
		res.failures = append(res.failures, err.Error())
	}
	return res
}

// printTable prints a line for each drill and returns how many failed.
func printTable(out io.Writer, results []result) int {
	failed, skipped := 0, 0
	if len(results) == 0 {
		return 0
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "drill\tfault\texpected\thappened\trows compared\tlost\tdoubled\trecovered after\t")
	for _, r := range results {
		lost, doubled, compared, recovered := "-", "-", "-", "-"
		if r.report.Rows > 0 {
			compared, lost, doubled = fmt.Sprint(r.report.Rows), fmt.Sprint(r.report.Lost), fmt.Sprint(r.report.Doubled)
		}
		if r.recovery > 0 {
			recovered = fmt.Sprintf("%.1f s", r.recovery.Seconds())
		}
		happened := r.happened
		if !r.ok() && r.skipped == "" {
			failed++
			happened = "FAILED: " + strings.Join(r.failures, "; ")
		}
		if r.skipped != "" {
			skipped++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.name, r.fault, r.expect, clip(happened, 160), compared, lost, doubled, recovered)
	}
	_ = table.Flush() // the writer's errors are ignored
	fmt.Fprintf(out, "\n%d drills: %d as expected, %d failed, %d skipped\n", len(results), len(results)-failed-skipped, failed, skipped)
	if skipped > 0 {
		fmt.Fprintf(out, "!!!! %d DRILLS WERE SKIPPED on this machine; the table says why !!!!\n", skipped)
	}
	return failed
}

func clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return s
}
