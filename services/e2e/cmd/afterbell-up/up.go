package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

const (
	ledgerFile = "market-cache.sqlite"
	stopGrace  = 30 * time.Second
)

// firstTargets are a dozen well-known stocks and ETFs, for an empty target list.
var firstTargets = []string{
	"600519.SH", "601318.SH", "600036.SH", "601398.SH", "000001.SZ", "000002.SZ", "000333.SZ", "300750.SZ",
	"510300.SH", "510050.SH", "588000.SH", "159915.SZ",
}

type options struct {
	bin, data, window string
	once, freePorts   bool
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("afterbell-up", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.bin, "bin", "bin", "`folder` of the built programs")
	flags.StringVar(&o.data, "data", cmp.Or(os.Getenv("AFTERBELL_DATA_DIR"), "data"), "`folder` of the data directories")
	flags.StringVar(&o.window, "window", "", "calendar `days` of history; default: AFTERBELL_UNIVERSE_WINDOW, or else 90d")
	flags.BoolVar(&o.once, "once", false, "exit when both pools are up to date, instead of serving")
	flags.BoolVar(&o.freePorts, "free-ports", false, "listen on free ports instead of the default ones")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%q is not a flag; --help lists them", flags.Arg(0))
	}
	return o, err
}

// provider is the URL of the real provider.
const provider = "https://api.tushare.pro"

// configure returns what to start and where: with the provider that the environment names, or
// else with the simulator.
func configure(o options, env func(string) string, out io.Writer) (stack.Config, error) {
	c := stack.Config{
		Bin: o.bin,
		WorkerFlags: []string{
			"--universe-window", cmp.Or(o.window, env("AFTERBELL_UNIVERSE_WINDOW"), "90d"),
			"--targets-window", cmp.Or(o.window, env("AFTERBELL_TARGETS_WINDOW"), "90d"),
		},
	}
	c.MetricsAddr = "127.0.0.1:0"
	if !o.freePorts {
		c.MetricsAddr = "127.0.0.1:7702"
		c.SimAddr, c.WorkerAddr, c.GRPCAddr, c.HTTPAddr = "127.0.0.1:7790", "127.0.0.1:7701", "127.0.0.1:7700", "127.0.0.1:7780"
	}
	if env("AFTERBELL_TUSHARE_TOKEN")+env("AFTERBELL_TUSHARE_TOKEN_FILE")+env("AFTERBELL_TUSHARE_URL") == "" {
		c.Data = filepath.Join(o.data, "simulated")
		c.WorkerFlags = append(c.WorkerFlags, "--rate-limit", cmp.Or(env("AFTERBELL_RATE_LIMIT"), "0"))
		// The simulator accepts any token.
		c.Env = []string{"AFTERBELL_TUSHARE_TOKEN=simulated"}
		fmt.Fprintln(out, "No AFTERBELL_TUSHARE_TOKEN is set: the provider is simulated and its prices\nare invented.")
		return c, nil
	}
	c.ProviderURL = cmp.Or(env("AFTERBELL_TUSHARE_URL"), provider)
	u, err := url.Parse(c.ProviderURL)
	if err != nil || u.Hostname() == "" {
		return c, fmt.Errorf("AFTERBELL_TUSHARE_URL is not a URL such as %s", provider)
	}
	folder := "tushare"
	if c.ProviderURL != provider {
		folder = u.Hostname() // the files record the host
	}
	c.Data = filepath.Join(o.data, folder)
	fmt.Fprintf(out, "The provider is %s.\n", u.Redacted())
	return c, nil
}

// free checks that all addresses are free before anything is started.
func free(c stack.Config) error {
	use := []struct{ addr, what string }{{c.WorkerAddr, "the worker"}, {c.GRPCAddr, "gRPC"}, {c.HTTPAddr, "REST"}, {c.MetricsAddr, "the worker's metrics"}}
	if c.ProviderURL == "" {
		use = append(use, struct{ addr, what string }{c.SimAddr, "the simulator"})
	}
	var taken []string
	for _, u := range use {
		if u.addr == "" {
			continue
		}
		lis, err := net.Listen("tcp", u.addr)
		if err != nil {
			taken = append(taken, "\n  "+u.addr+" ("+u.what+")")
			continue
		}
		_ = lis.Close()
	}
	if len(taken) > 0 {
		return fmt.Errorf("another program, possibly another make run, listens on%s\n"+
			"Stop it, or use free ports: make run RUN_FLAGS=--free-ports", strings.Join(taken, ""))
	}
	return nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	screen := newScreen(out)
	c, err := configure(o, os.Getenv, screen)
	if err != nil {
		return err
	}
	if err := free(c); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	fmt.Fprintf(screen, "Starting the services; their logs are in %s\n", filepath.Join(c.Data, "logs"))
	s, err := start(ctx, c)
	if err != nil {
		if interrupted(ctx) {
			return nil
		}
		return err
	}
	keepers, work := errgroup.WithContext(ctx)
	work, cancel := context.WithCancel(work)
	keep(work, s, keepers, screen)
	err = serve(work, s, o, screen)
	cancel()
	err = errors.Join(err, keepers.Wait())
	fmt.Fprintln(screen, "\nStopping.")
	return errors.Join(err, s.Close())
}

// interrupted reports whether the user has interrupted it, which is the normal end.
func interrupted(ctx context.Context) bool { return ctx.Err() != nil }

func serve(ctx context.Context, s *stack.Stack, o options, screen *screen) error {
	lacking, err := fill(ctx, s, screen)
	if interrupted(ctx) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s (logs: %s)", status.Convert(err).Message(), filepath.Join(s.Config.Data, "logs"))
	}
	if err := printHistory(ctx, filepath.Join(s.Config.Data, ledgerFile), screen); err != nil {
		return err
	}
	if o.once {
		if len(lacking) > 0 {
			return fmt.Errorf("not up to date: %s", strings.Join(lacking, ", "))
		}
		return nil
	}
	if err := printNext(s.Config, screen); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// start starts everything. At the first start, the targets are set before the schedule is
// enabled, so that the start-up run does not have an empty list.
func start(ctx context.Context, c stack.Config) (*stack.Stack, error) {
	_, err := os.Stat(filepath.Join(c.Data, ledgerFile))
	first := errors.Is(err, os.ErrNotExist)
	if first {
		c.OrchestratorFlags = []string{"--schedule=false"}
	}
	s, err := stack.New(ctx, c)
	if err != nil {
		return nil, err
	}
	if err = setTargets(ctx, s); err == nil && first {
		s.Config.OrchestratorFlags = nil
		err = errors.Join(s.Orchestrator.Stop(stopGrace), s.StartOrchestrator(ctx))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// setTargets sets the target list if it is empty, so that a second start keeps the user's list.
func setTargets(ctx context.Context, s *stack.Stack) error {
	targets := orchestratorv1.NewTargetServiceClient(s.Conn)
	got, err := targets.GetTargets(ctx, &orchestratorv1.GetTargetsRequest{})
	if err != nil || len(got.GetTargets().GetSymbols()) > 0 {
		return err
	}
	_, err = targets.UpdateTargets(ctx, &orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: firstTargets}})
	return err
}

// fill starts a run of both pools and shows them until both have finished. It returns the pools
// that are not up to date.
func fill(ctx context.Context, s *stack.Stack, screen *screen) (lacking []string, err error) {
	created, err := s.Runs().CreateRun(ctx, &orchestratorv1.CreateRunRequest{
		Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS, marketv1.Pool_POOL_UNIVERSE},
	})
	if err != nil {
		return nil, err
	}
	view := newView(screen, created.GetRuns())
	ended := make([]*orchestratorv1.Run, len(created.GetRuns()))
	waits := make([]string, len(created.GetRuns()))
	for i, r := range created.GetRuns() {
		if waits[i], err = pausedBy(ctx, s, r); err != nil {
			return nil, err
		}
		fmt.Fprint(screen, waits[i])
	}
	group, watching := errgroup.WithContext(ctx)
	for i, r := range created.GetRuns() {
		if waits[i] != "" {
			continue
		}
		group.Go(func() (err error) {
			ended[i], err = follow(watching, s, r.GetRunId(), view)
			return err
		})
	}
	painted := make(chan struct{})
	go func() {
		defer close(painted)
		view.paint(ctx)
	}()
	err = group.Wait()
	view.finish()
	<-painted
	for i, r := range ended {
		switch r.GetOutcome() {
		case orchestratorv1.Run_OUTCOME_SUCCEEDED, orchestratorv1.Run_OUTCOME_UNCHANGED:
		default:
			lacking = append(lacking, word(created.GetRuns()[i].GetPool().String(), "POOL_"))
		}
	}
	return lacking, err
}

// pausedBy returns a text that says that a run's pool is paused; empty if it is not.
func pausedBy(ctx context.Context, s *stack.Stack, r *orchestratorv1.Run) (string, error) {
	pool := word(r.GetPool().String(), "POOL_")
	got, err := orchestratorv1.NewPoolServiceClient(s.Conn).GetPool(ctx, &orchestratorv1.GetPoolRequest{Pool: pool})
	if err != nil || !got.GetPool().GetPaused() {
		return "", err
	}
	return fmt.Sprintf("%-8s  is paused, so its run is waiting. To resume it:\n  curl -X POST http://%s/v1/pools/%s:resume -d '{}'\n",
		pool, s.Config.HTTPAddr, pool), nil
}

// follow watches a run to its end; if a crash ended the run, it also watches the follow-up run.
func follow(ctx context.Context, s *stack.Stack, runID string, view *view) (*orchestratorv1.Run, error) {
	for {
		ended, err := watch(ctx, s, runID, view)
		if err != nil || !slices.ContainsFunc(ended.GetIssues(), func(i *faultv1.Issue) bool {
			return i.GetReason() == faultv1.Reason_REASON_INTERRUPTED
		}) {
			return ended, err
		}
		got, err := s.Runs().ListRuns(ctx, &orchestratorv1.ListRunsRequest{Pool: ended.GetPool()})
		if err != nil {
			return ended, err
		}
		i := slices.IndexFunc(got.GetRuns(), func(r *orchestratorv1.Run) bool { return r.GetFollowsRunId() == runID })
		if i < 0 {
			return ended, nil
		}
		runID = got.GetRuns()[i].GetRunId()
		view.follow(got.GetRuns()[i])
	}
}

// watch follows one run to its last event. If the stream is interrupted, it resumes it.
func watch(ctx context.Context, s *stack.Stack, runID string, view *view) (*orchestratorv1.Run, error) {
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
				return event.GetFinished(), nil
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if failures++; failures > 20 {
			return nil, fmt.Errorf("following run %s: %w", runID, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// partitions returns the planned partitions of a run.
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
