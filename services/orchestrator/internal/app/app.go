package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/scrape"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/access"
	"github.com/afterbell/afterbell/services/orchestrator/internal/api"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/config"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/gateway"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/messenger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/metrics"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notify"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/rows"
	"github.com/afterbell/afterbell/services/orchestrator/internal/scheduler"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

// Service is the name of the orchestrator in the log.
const Service = "orchestrator"

const (
	// closeTime is the timeout of one cleanup; one that exceeds it is named in the error.
	closeTime = 10 * time.Second
	// maxRequest is the largest request, in bytes: the longest target list takes a tenth.
	maxRequest = 1 << 20
	// pruneEvery is how often runs past their retention are removed.
	pruneEvery = 6 * time.Hour
	// keepNotices is the minimum number of days for which notices are kept.
	keepNotices = 60
)

// App is the orchestrator with everything opened. Run it, then Close it.
type App struct {
	cfg        config.Config
	log        *slog.Logger
	ledger     *ledger.Store
	keeper     *access.Keeper
	worker     *worker.Client
	preflight  *preflight.Runner
	dispatcher *dispatch.Dispatcher
	scheduler  *scheduler.Scheduler
	notifier   *notify.Notifier
	grpc       *transport.Server
	http       *gateway.Server
	stopping   chan struct{}
	undo       []cleanup // in the order of opening
}

type cleanup struct {
	name string
	do   func() error
}

// New opens everything that the orchestrator needs and listens; it serves only after Run is
// called. The worker need not be running. If a step fails, everything is closed again.
func New(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, log: log, stopping: make(chan struct{})}
	started := time.Now()
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.ledger, err = ledger.Open(ctx, ledger.Config{
		Path: filepath.Join(cfg.DataDir, ledger.FileName), Logger: log, Key: cfg.LedgerKey, KeyFile: cfg.LedgerKeyFile,
	}); err != nil {
		return nil, err
	}
	a.later("ledger", a.ledger.Close)
	if a.keeper, err = access.Open(ctx, a.ledger, log); err != nil {
		return nil, err
	}
	sec, err := openSecurity(cfg, a.keeper, log)
	if err != nil {
		return nil, err
	}
	if a.worker, err = worker.Dial(cfg.WorkerAddr, sec.worker, worker.WithTimeout(cfg.Web.CallTimeout)); err != nil {
		return nil, err
	}
	a.later("connection to the worker", a.worker.Close)
	a.preflight = preflight.New(preflight.Config{Ledger: a.ledger, Worker: a.worker, Logger: log})
	registry := scrape.New(Service)
	counts := metrics.NewCounts(registry)
	a.dispatcher = dispatch.New(dispatch.Config{
		Ledger: counts.Watched(a.ledger), Worker: a.worker, Publisher: a.worker, Preflight: a.preflight, Logger: log,
		Timing: dispatch.Timing{Drain: cfg.StopTimeout * 4 / 5}, // what drains must still be stored
	})
	a.scheduler = scheduler.New(scheduler.Config{Ledger: a.ledger, Dispatcher: a.dispatcher, Logger: log, Now: drill.Now, Off: !cfg.Schedule})
	metrics.NewStanding(registry, metrics.Config{Ledger: a.ledger, Worker: a.worker, Facts: a.preflight.Facts, Now: drill.Now, Log: log})
	registry.MustRegister(scrape.Files{Dir: cfg.DataDir, Names: []string{ledger.FileName}})

	lis, err := a.listen("grpc", "grpc-addr", cfg.GRPCAddr)
	if err != nil {
		return nil, err
	}
	web, err := a.listen("http", "http-addr", cfg.HTTPAddr)
	if err != nil {
		return nil, errors.Join(err, lis.Close())
	}
	admission := api.NewAccess(a.keeper, a.ledger, sec.grpcKeys, log)
	limits := transport.NewLimits(transport.LimitConfig{
		Streams: cfg.Web.MaxStreams, StreamsPerCaller: cfg.Web.StreamsPerCaller, Calls: cfg.Web.MaxCalls, Rate: cfg.Web.MaxRate,
	})
	here := api.Here(web.Addr().String(), sec.tls != nil)
	a.notifier = notify.New(notify.Config{Ledger: a.ledger, Sender: counts.Sender(messenger.New(messenger.Config{})), Logger: log, Now: drill.Now, Say: here})
	a.grpc = transport.NewServer(transport.ServerConfig{
		Logger: log, Listener: lis, MaxRequest: cmp.Or(cfg.Web.MaxRequest, maxRequest),
		Limits: limits, Caller: func(ctx context.Context) string { return auth.CallerOf(ctx).Account() }, StopTimeout: cfg.StopTimeout, Say: here,
		Authorize: admission.Authorize, Credentials: sec.credentials(), Unary: admission.Unary, Stream: admission.Stream,
		CallTimeout: cfg.Web.CallTimeout, ReceiveTimeout: cfg.Web.BodyTimeout,
	})
	a.later("gRPC server", a.grpc.Close)
	source := &rows.Source{Worker: a.worker.Data(), NextRun: api.NextRun(a.dispatcher, a.scheduler), Blocked: api.Blocked(a.preflight), Held: api.Held(a.dispatcher, a.preflight)}
	api.Register(a.grpc, api.Config{
		Rows:   source,
		Ledger: a.ledger, Dispatcher: a.dispatcher, Preflight: a.preflight, Worker: a.worker, Scheduler: a.scheduler,
		Keys: a.keeper, KeysRequired: sec.grpcKeys || sec.httpKeys, Trail: a.ledger,
		Notices: a.ledger, Notifier: a.notifier,
		Info:   func() *marketv1.ServiceInfo { return transport.Info(started, cfg.DataDir, ledger.FileName) },
		Logger: log, Stopping: a.stopping, StallTime: cfg.Web.StallTimeout,
	})
	self, err := a.grpc.DialInside()
	if err != nil {
		return nil, errors.Join(err, web.Close())
	}
	a.later("gateway's connection", self.Close)
	if a.http, err = gateway.NewServer(ctx, gateway.Config{
		Logger: log, Listener: web, Conn: self, Ready: a.ready(), Rows: source, Say: here, Metrics: scrape.Handler(registry, log), TLS: sec.server(),
		Access: a.keeper, KeysRequired: sec.httpKeys, Loopback: transport.IsLoopback(cfg.HTTPAddr), CallerMetadata: api.CallerMetadata,
		PublicHosts: cfg.Web.PublicHosts, Origins: cfg.Web.Origins, Limits: limits, MaxBody: int64(cfg.Web.MaxRequest), BodyTime: cfg.Web.BodyTimeout, StallTime: cfg.Web.StallTimeout,
	}); err != nil {
		return nil, errors.Join(err, web.Close())
	}
	a.later("HTTP server", a.http.Close)
	return a, nil
}

func (a *App) listen(protocol, flag, addr string) (net.Listener, error) {
	return transport.ListenAnywhere(a.log, Service, protocol, flag, addr)
}

func (a *App) later(name string, do func() error) { a.undo = append(a.undo, cleanup{name, do}) }

// GRPCAddr is the gRPC address in use, "127.0.0.1:7700".
func (a *App) GRPCAddr() string { return a.grpc.Addr() }

// HTTPAddr is the REST address in use, "127.0.0.1:7780".
func (a *App) HTTPAddr() string { return a.http.Addr() }

// Run works until ctx ends or a part fails; then streams end, partitions in progress may
// finish within the stop timeout, and the rest is recorded. The error is nil after a
// requested stop.
func (a *App) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	parts := map[string]func(context.Context) error{
		"dispatcher":  a.dispatcher.Run,
		"gRPC server": a.afterRecovery(a.grpc.Run),
		"HTTP server": a.afterRecovery(a.http.Run),
		"notifier":    a.afterRecovery(a.notifier.Run),
		"pruner":      a.prune,
		"keys":        a.keeper.Run,
	}
	if a.cfg.Schedule {
		parts["scheduler"] = a.afterRecovery(a.scheduler.Run)
	} else {
		a.log.Warn("The schedule is disabled by --schedule=false: this process starts no scheduled run and no start-up run.")
	}
	for name, part := range parts {
		group.Go(func() error {
			if err := part(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		close(a.stopping)
		return nil
	})
	return group.Wait()
}

// afterRecovery delays a part until the runs of a crashed process have ended.
func (a *App) afterRecovery(part func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.dispatcher.Recovered():
			return part(ctx)
		}
	}
}

// prune removes runs past their retention, now and periodically. Errors are logged and
// retried; nothing depends on it.
func (a *App) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := a.pruneOnce(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("old runs could not be deleted", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *App) pruneOnce(ctx context.Context) error {
	set, err := a.ledger.Settings(ctx)
	if err != nil || set.RetentionDays == 0 {
		return err
	}
	// Notices of a few weeks say what was sent about the newest days.
	if err := a.ledger.PruneNotices(ctx, time.Now().AddDate(0, 0, -max(set.RetentionDays, keepNotices))); err != nil {
		return err
	}
	n, err := a.ledger.Prune(ctx, time.Now().AddDate(0, 0, -set.RetentionDays))
	if n > 0 {
		a.log.Info("old runs were deleted", "count", n, "retention_days", set.RetentionDays)
	}
	return err
}

// Close closes everything in reverse order. Each part has ten seconds and is named in its
// error. It is called once, after Run or without it.
func (a *App) Close() error {
	var all error
	for n := len(a.undo) - 1; n >= 0; n-- {
		if err := within(closeTime, a.undo[n].do); err != nil {
			all = errors.Join(all, fmt.Errorf("close %s: %w", a.undo[n].name, err))
		}
	}
	a.undo = nil
	return all
}

func within(d time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("did not finish within %s", d)
	}
}
