// Command afterbell-bench starts simulator, worker and orchestrator, fills the empty universe
// pool, and compares that with the floors that ingest-bench measures in the same run. `make
// bench` runs it. Missed targets on a slow machine are printed and are not a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
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
	// against is the directory of another build to compare with; empty for none.
	against string
	dates   int
	rounds  int
	quick   bool
	only    []string
	// width and workerFlags replace the settings of the services; 0 and empty keep the defaults.
	width       int
	workerFlags []string
}

// scenario is one measurement.
type scenario struct {
	name, does string
	// every is true if it runs in every round; otherwise it runs once.
	every bool
	// compared is true if it runs by default, in every round, for both builds of --against.
	compared bool
	run      func(ctx context.Context, b *bench, r *round) error
}

var scenarios = []scenario{
	{"floors", "fetch and decode, the bare writer, the bare pipe, the worker's pipeline without RPC", true, false, floorsScenario},
	{"worker", "the worker alone, over its gRPC contract", true, false, workerScenario},
	{"pair", "orchestrator and worker: the universe pool from empty", true, true, pairScenario},
	{"verify", "VerifyRun of what pair has filled", true, true, verifyScenario},
	{"reading", "publishing and reading what pair has filled, beside DuckDB alone", true, false, readingScenario},
	{"cli", "the command afterbell: its start beside an empty program, status beside curl", true, false, cliScenario},
	{"evening", "one more date onto what pair has filled", true, true, eveningScenario},
	{"clients", "a date fetched again, alone and beside 2,000 slow, stalled or vanishing clients and 100 wrong keys a second", true, false, clientsScenario},
	{"memory", "the pair with 60 dates, for its peak memory", true, false, memoryScenario},
	{"latency", "the pair with 100 ms per call", false, true, latencyScenario},
	{"targets", "500 symbols × 30 days", false, false, targetsScenario},
	{"limit", "the pair under a limit per minute", false, false, limitScenario},
	{"manytargets", "2,000 symbols over all the days, and all of it again", false, false, manyTargetsScenario},
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	var only, workerFlags string
	fs := flag.NewFlagSet("afterbell-bench", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	fs.StringVar(&o.dir, "dir", "", "where the files are written and removed; the system's own place if empty")
	fs.StringVar(&o.against, "against", "", "folder of another build to compare with, side by side: a checkout with its programs in bin, or that folder")
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
	if o.against != "" {
		var err error
		if o.against, err = programs(o.against); err != nil {
			return o, err
		}
	}
	if only == "" {
		for _, s := range scenarios {
			if s.compared || o.against == "" {
				o.only = append(o.only, s.name)
			}
		}
		return o, nil
	}
	for n := range strings.SplitSeq(only, ",") {
		if !slices.Contains(names(), n) {
			return o, fmt.Errorf("--only: there is no %q; there are %s", n, strings.Join(names(), ", "))
		}
		o.only = append(o.only, n)
	}
	for _, n := range []string{"verify", "reading", "cli", "evening", "clients"} {
		if slices.Contains(o.only, n) && !slices.Contains(o.only, "pair") {
			o.only = append(o.only, "pair") // it creates the data that they need
		}
	}
	if o.against != "" && slices.Contains(o.only, "floors") {
		return o, errors.New("--only: floors are measured without --against")
	}
	return o, nil
}

// programs returns the directory of the services of another build.
func programs(dir string) (string, error) {
	for _, d := range []string{filepath.Join(dir, "bin"), dir} {
		_, err := os.Stat(filepath.Join(d, "ingest-worker"))
		_, err2 := os.Stat(filepath.Join(d, "orchestrator"))
		if err == nil && err2 == nil {
			return d, nil
		}
	}
	return "", fmt.Errorf("--against: neither %s nor its folder bin holds orchestrator and ingest-worker", dir)
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
		if err := b.round(ctx, n); err != nil {
			return err
		}
	}
	if o.against != "" {
		printComparison(out, b)
	} else {
		printReport(out, b)
	}
	fmt.Fprintf(out, "\nTook %s.\n", time.Since(began).Round(time.Second))
	return nil
}
