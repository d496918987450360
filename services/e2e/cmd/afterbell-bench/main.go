// Command afterbell-bench starts simulator, worker and orchestrator, fills the
// universe pool from empty, and prints how that compares with the floors measured
// in the same run by ingest-bench. It is what `make bench` runs. A slow machine is
// told as it is and is no failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "afterbell-bench:", err)
		os.Exit(1)
	}
}

type options struct {
	bin, dir string
	dates    int
	rounds   int
	quick    bool
	only     []string
	// width and workerFlags replace the product's own settings; 0 and empty keep
	// them.
	width       int
	workerFlags []string
}

// scenario is one thing that is measured; the first two groups run every round.
type scenario struct {
	name, does string
	// every round, for medians; the others run once.
	every bool
	run   func(ctx context.Context, b *bench, r *round) error
}

var scenarios = []scenario{
	{"floors", "fetch and decode, the bare writer, the bare pipe, the worker's pipeline without RPC", true, floorsScenario},
	{"worker", "the worker alone, over its gRPC contract", true, workerScenario},
	{"pair", "orchestrator and worker: the universe pool from empty", true, pairScenario},
	{"evening", "one more date onto what pair has filled", true, eveningScenario},
	{"memory", "the pair with 60 dates, for its peak memory", true, memoryScenario},
	{"latency", "the pair with 100 ms per call", false, latencyScenario},
	{"targets", "500 symbols × 30 days", false, targetsScenario},
	{"limit", "the pair under a limit per minute", false, limitScenario},
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	var only, workerFlags string
	fs := flag.NewFlagSet("afterbell-bench", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	fs.StringVar(&o.dir, "dir", "", "where the files are written and removed; the system's own place if empty")
	fs.IntVar(&o.dates, "dates", 730, "open days to fill; three years are some 730")
	fs.IntVar(&o.rounds, "rounds", 0, "how often, for medians; 3, or 1 with --quick, if 0")
	fs.BoolVar(&o.quick, "quick", false, "60 dates, one round")
	fs.IntVar(&o.width, "width", 0, "partitions at the worker at a time; the orchestrator's own setting if 0")
	fs.StringVar(&workerFlags, "worker-flags", "", "more flags of the worker, parted by spaces, to compare settings")
	fs.StringVar(&only, "only", "", "comma list of: "+strings.Join(names(), ", "))
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.workerFlags = strings.Fields(workerFlags)
	if o.quick && !given(fs, "dates") {
		o.dates = 60
	}
	if o.rounds == 0 {
		o.rounds = 3
		if o.quick {
			o.rounds = 1
		}
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("%q is no flag", fs.Arg(0))
	case o.dates < 10 || o.rounds < 1:
		return o, errors.New("at least 10 dates and 1 round")
	}
	if only == "" {
		o.only = names()
		return o, nil
	}
	for n := range strings.SplitSeq(only, ",") {
		if !slices.Contains(names(), n) {
			return o, fmt.Errorf("--only: there is no %q; there are %s", n, strings.Join(names(), ", "))
		}
		o.only = append(o.only, n)
	}
	if slices.Contains(o.only, "evening") && !slices.Contains(o.only, "pair") {
		o.only = append(o.only, "pair") // which fills what the evening adds to
	}
	return o, nil
}

func names() []string {
	out := make([]string, len(scenarios))
	for i, s := range scenarios {
		out[i] = s.name
	}
	return out
}

func given(fs *flag.FlagSet, name string) bool {
	found := false
	fs.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, o, out)
	if err != nil {
		return err
	}
	defer b.close()
	began := time.Now()
	fmt.Fprintf(out, "Universe of %d open days, %s to %s, %d round(s); simulator on the same machine; files in %s\n",
		len(b.days), b.days[len(b.days)-1], b.days[0], o.rounds, b.dir)
	for n := range o.rounds {
		r := newRound()
		for _, s := range scenarios {
			if !slices.Contains(o.only, s.name) || !s.every && n > 0 {
				continue
			}
			fmt.Fprintf(out, "round %d of %d: %s (%s)\n", n+1, o.rounds, s.name, s.does)
			if err := s.run(ctx, b, r); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				// One that fails is told in the table; the others are measured still.
				fmt.Fprintf(out, "  %s failed: %v\n", s.name, err)
				r.failed[s.name] = err
			}
		}
		if err := b.endRound(r); err != nil {
			return err
		}
	}
	printReport(out, b)
	fmt.Fprintf(out, "\nTook %s.\n", time.Since(began).Round(time.Second))
	return nil
}
