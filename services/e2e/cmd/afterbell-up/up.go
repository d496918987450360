package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// firstTargets are a dozen well-known stocks and ETFs, set where the list is empty.
var firstTargets = []string{
	"600519.SH", "601318.SH", "600036.SH", "601398.SH", "000001.SZ", "000002.SZ", "000333.SZ", "300750.SZ",
	"510300.SH", "510050.SH", "588000.SH", "159915.SZ",
}

type options struct {
	bin, data, window string
	once              bool
	simFlags          []string
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("afterbell-up", flag.ContinueOnError)
	flags.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	flags.StringVar(&o.data, "data", "data", "parent of the data directories")
	flags.StringVar(&o.window, "window", "90d", "calendar days of history")
	flags.BoolVar(&o.once, "once", false, "end once both pools are up to date instead of serving")
	err := flags.Parse(args)
	return o, err
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	c := stack.Config{
		Bin: o.bin, SimAddr: "127.0.0.1:7790", WorkerAddr: "127.0.0.1:7701", GRPCAddr: "127.0.0.1:7700", HTTPAddr: "127.0.0.1:7780",
		WorkerFlags: []string{"--universe-window", o.window, "--targets-window", o.window},
	}
	if os.Getenv("AFTERBELL_TUSHARE_TOKEN") != "" || os.Getenv("AFTERBELL_TUSHARE_TOKEN_FILE") != "" {
		c.ProviderURL, c.Data = "https://api.tushare.pro", filepath.Join(o.data, "tushare")
		fmt.Fprintln(out, "Using the real provider with your token.")
	} else {
		c.Data = filepath.Join(o.data, "simulated")
		c.WorkerFlags = append(c.WorkerFlags, "--rate-limit", "0")
		// The simulator takes any token; this one says what it is.
		c.Env = []string{"AFTERBELL_TUSHARE_TOKEN=simulated"}
		c.SimFlags = o.simFlags
		fmt.Fprintln(out, "No AFTERBELL_TUSHARE_TOKEN is set: using the simulated provider; its prices are invented.")
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	fmt.Fprintf(out, "Starting the services; their logs are in %s\n", filepath.Join(c.Data, "logs"))
	s, err := stack.New(ctx, c)
	if err != nil {
		return err
	}
	keepers, work := errgroup.WithContext(ctx)
	work, cancel := context.WithCancel(work)
	keep(work, s, keepers, out)
	err = serve(work, s, o, out)
	cancel()
	err = errors.Join(err, keepers.Wait())
	fmt.Fprintln(out, "\nStopping.")
	return errors.Join(err, s.Close())
}

func serve(ctx context.Context, s *stack.Stack, o options, out io.Writer) error {
	if err := setTargets(ctx, s); err != nil {
		return err
	}
	err := fill(ctx, s, out)
	if ctx.Err() != nil {
		err = nil // interrupted, which is how it ends
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	if err = printHistory(ctx, filepath.Join(s.Config.Data, "market-cache.sqlite"), out); err != nil {
		return err
	}
	printNext(s, out)
	if !o.once {
		<-ctx.Done()
	}
	return nil
}

// setTargets fills the list where it is empty, so that a second start leaves a
// person's own list alone.
func setTargets(ctx context.Context, s *stack.Stack) error {
	targets := orchestratorv1.NewTargetServiceClient(s.Conn)
	got, err := targets.GetTargets(ctx, &orchestratorv1.GetTargetsRequest{})
	if err != nil || len(got.GetTargets().GetSymbols()) > 0 {
		return err
	}
	_, err = targets.UpdateTargets(ctx, &orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: firstTargets}})
	return err
}

// fill asks for a run of both pools and shows them until both have finished.
func fill(ctx context.Context, s *stack.Stack, out io.Writer) error {
	created, err := s.Runs().CreateRun(ctx, &orchestratorv1.CreateRunRequest{
		Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS, marketv1.Pool_POOL_UNIVERSE},
	})
	if err != nil {
		return err
	}
	view := newView(out, created.GetRuns())
	group, watching := errgroup.WithContext(ctx)
	for _, r := range created.GetRuns() {
		group.Go(func() error { return watch(watching, s, r.GetRunId(), view) })
	}
	ticks := make(chan struct{})
	go func() {
		defer close(ticks)
		view.paint(ctx)
	}()
	err = group.Wait()
	view.finish()
	<-ticks
	return err
}

// watch follows one run to its last event, resuming where a stream was cut.
func watch(ctx context.Context, s *stack.Stack, runID string, view *view) error {
	var after int64
	for failures := 0; ; {
		stream, err := s.Runs().WatchRun(ctx, &orchestratorv1.WatchRunRequest{RunId: runID, AfterSequence: after})
		for err == nil {
			var message *orchestratorv1.WatchRunResponse
			if message, err = stream.Recv(); err != nil {
				break
			}
			failures = 0
			event := message.GetEvent()
			if event == nil {
				continue
			}
			after = event.GetSequence()
			view.apply(event)
			if event.GetPlanned() != nil {
				var known []*orchestratorv1.Partition
				if known, err = partitions(ctx, s, runID); err == nil {
					view.know(runID, known)
				}
			}
			if event.GetFinished() != nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failures++; failures > 20 {
			return fmt.Errorf("following run %s: %w", runID, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// partitions are those planned for a run.
func partitions(ctx context.Context, s *stack.Stack, runID string) (all []*orchestratorv1.Partition, err error) {
	for page := ""; ; {
		got, err := s.Runs().ListPartitions(ctx, &orchestratorv1.ListPartitionsRequest{RunId: runID, PageSize: 500, PageToken: page})
		if err != nil {
			return nil, err
		}
		all = append(all, got.GetPartitions()...)
		if page = got.GetNextPageToken(); page == "" {
			return all, nil
		}
	}
}
