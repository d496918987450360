// Command ingest-bench measures the floors that the worker is compared with, each in a separate
// process, so that memory and CPU time are measured separately:
//
//	fetch     fetch and decode; the rows are discarded
//	writer    a minimal DuckDB writer, with rows prepared in memory
//	pipe      fetch, decode and write in one process: no checks, no coverage, no RPC
//	ingester  the worker's own pipeline in one process: checks and coverage, no RPC
//
// It prints one JSON object to standard output and progress to standard error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "ingest-bench:", err)
		os.Exit(1)
	}
}

// options are the flags, the same for every floor.
type options struct {
	url            string
	dates          int
	end            market.Date
	fetchers       int
	depth          int
	group          int
	checkpointRows int
	memory         string
	threads        int
	dir            string
	cpuProfile     string
	memProfile     string
}

var floors = map[string]func(context.Context, *bench) error{
	"fetch": fetchFloor, "writer": writerFloor, "pipe": pipeFloor, "ingester": ingesterFloor,
}

func run(ctx context.Context, args []string, out, errout io.Writer) error {
	if len(args) == 0 || floors[args[0]] == nil {
		return errors.New("say which floor first: fetch, writer, pipe or ingester; --help after it lists the flags")
	}
	o, err := parse(args[0], args[1:], errout)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "ingest-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, args[0], o, dir, errout)
	if err != nil {
		return err
	}
	defer b.client.Close()
	if o.cpuProfile != "" {
		f, err := os.Create(o.cpuProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if err := floors[args[0]](ctx, b); err != nil {
		return err
	}
	if o.memProfile != "" {
		if err := writeHeap(o.memProfile); err != nil {
			return err
		}
	}
	return json.NewEncoder(out).Encode(b.finish())
}

func parse(name string, args []string, errout io.Writer) (options, error) {
	var o options
	var end string
	fs := flag.NewFlagSet("ingest-bench "+name, flag.ContinueOnError)
	fs.SetOutput(errout)
	fs.StringVar(&o.url, "tushare-url", "http://127.0.0.1:7790", "`URL` of the simulator")
	fs.IntVar(&o.dates, "dates", 60, "how many of the last open `days`")
	fs.StringVar(&end, "end-date", "", "last open `day`, YYYY-MM-DD; the last that is due if empty")
	fs.IntVar(&o.fetchers, "fetchers", 4, "calls at once, in fetch and pipe")
	fs.IntVar(&o.depth, "depth", 32, "partitions in hand, in ingester")
	fs.IntVar(&o.group, "group", 80, "partitions in one transaction, in writer and pipe")
	fs.IntVar(&o.checkpointRows, "checkpoint-rows", 1_000_000, "checkpoint after so many rows; 0 only at the end, which is slower: what is not yet compressed spills")
	fs.StringVar(&o.memory, "duckdb-memory", "256MB", "DuckDB's memory limit")
	fs.IntVar(&o.threads, "duckdb-threads", 1, "DuckDB's threads")
	fs.StringVar(&o.dir, "dir", "", "where the file is written and removed; the system's own place if empty")
	fs.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile to this `file`")
	fs.StringVar(&o.memProfile, "memprofile", "", "write a heap profile to this `file` at the end")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.dates < 2 || o.fetchers < 1 || o.depth < 1 || o.group < 1 || fs.NArg() > 0 {
		return o, errors.New("there are at least 2 dates, 1 fetcher, a depth of 1 and a group of 1, and no arguments beside flags")
	}
	o.end = lastDue(time.Now())
	if end != "" {
		var err error
		if o.end, err = market.ParseDate(end); err != nil {
			return o, fmt.Errorf("end-date: %w", err)
		}
	}
	return o, nil
}

// lastDue returns the last day of which all datasets are published: the provider publishes the
// last of them at 19:00.
func lastDue(now time.Time) market.Date {
	today := market.DateOf(now)
	if now.Before(today.At(19, 0, market.Shanghai)) {
		return today - 1
	}
	return today
}
