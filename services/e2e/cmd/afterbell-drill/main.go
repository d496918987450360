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
	"regexp"
	"syscall"
)

type options struct {
	bin, tmp        string
	clock           string
	only            *regexp.Regexp
	list            bool
	keep            bool
	seeds, parallel int
	// of the season
	seed     uint64
	evenings int
}

var errFailed = errors.New("not every drill ended as expected")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "afterbell-drill:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("afterbell-drill", flag.ContinueOnError)
	flags.StringVar(&o.bin, "bin", "bin/drill", "`folder` of the programs built with the tag drill")
	flags.StringVar(&o.tmp, "tmp", os.TempDir(), "`folder` in which each drill gets a data directory")
	flags.StringVar(&only, "only", "", "run the drills whose names match this `regexp`; evenings for the simulated years alone")
	flags.BoolVar(&o.list, "list", false, "list the drills and end")
	flags.BoolVar(&o.keep, "keep", false, "keep the data directories of drills that failed")
	flags.IntVar(&o.seeds, "seeds", 100, "`number` of seeds for 400 days of evenings in simulated time; 0 for none")
	flags.Uint64Var(&o.seed, "seed", 1, "`seed` of the drills eight and sixty")
	flags.IntVar(&o.evenings, "evenings", 60, "`number` of evenings of the drill sixty")
	flags.StringVar(&o.clock, "clock", "", "write toolexec.sh, with which go build links a clock that can be set off, into this `folder`, and end")
	flags.IntVar(&o.parallel, "parallel", 2, "drills at a time")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag; --help lists them", flags.Arg(0))
	}
	if o.parallel < 1 || o.seeds < 0 || o.evenings < 1 {
		return o, errors.New("--parallel and --evenings must be 1 or more, and --seeds 0 or more")
	}
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return o, fmt.Errorf("--only: %w", err)
	}
	o.bin, err = filepath.Abs(o.bin)
	return o, err
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.clock != "" {
		_, err := writeClock(o.clock)
		return err
	}
	var chosen []drill
	for _, d := range drills(o) {
		if o.only.MatchString(d.name) {
			chosen = append(chosen, d)
		}
	}
	if o.list {
		for _, d := range chosen {
			fmt.Fprintf(out, "%-28s %s\n", d.name, d.fault)
		}
		return nil
	}
	if len(chosen) == 0 && !o.only.MatchString("evenings") {
		return fmt.Errorf("no drill is called like %q; --list names them", o.only)
	}
	return runAll(ctx, o, chosen, out)
}
