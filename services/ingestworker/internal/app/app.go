// Package app wires the ingest worker: it builds every part by name, in order, runs
// them, and closes them in reverse.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/api"
	"github.com/afterbell/afterbell/services/ingestworker/internal/config"
	"github.com/afterbell/afterbell/services/ingestworker/internal/gate"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/metrics"
	"github.com/afterbell/afterbell/services/ingestworker/internal/probe"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/targets"
	"github.com/afterbell/afterbell/services/ingestworker/internal/tushare"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/ingestworker/internal/vault"
	"github.com/afterbell/afterbell/services/internal/lockfile"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/scrape"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/internal/volume"
)

// Service is the name the worker logs itself under.
const Service = "ingest-worker"

// Secrets come from the environment only.
type Secrets struct {
	// Token is the provider's token, TokenFile the name of a file with it. At most one is set;
	// with neither, every call fails with TOKEN_MISSING.
	Token     vault.Token
	TokenFile string
	// VaultKey decrypts the stored tokens, VaultKeyFile names a file with it. At most one is
	// set; with neither, the data directory has a key of its own.
	VaultKey     vault.Token
	VaultKeyFile string
}

// App is the worker with everything opened. Run it, then Close it.
type App struct {
	cfg    config.Config
	log    *slog.Logger
	server *transport.Server
	scrape *scrape.Server // nil if metrics are not served
	sinks  map[market.Pool]ingest.Sink
	stores map[market.Pool]*publish.Store
	undo   []cleanup // in the order of opening
}

type cleanup struct {
	name string
	do   func() error
}

// targetsMemory is DuckDB's memory_limit for the published copy of targets: with more,
// publishing takes more memory than filling the pool, and is no faster.
const targetsMemory = "48MB"

// New opens everything that the worker needs and listens; it serves only after Run is
// called. The orchestrator and the provider need not be running, and the pools' files may
// be in any state. If a step fails, everything is closed again.
func New(cfg config.Config, secrets Secrets, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	provider, err := tushare.ParseURL(cfg.TushareURL)
	if err != nil {
		return nil, err
	}
	// The source that is recorded in the pools' files has no port: a provider on another port
	// of the same host is the same one.
	host := strings.ToLower(provider.Hostname())
	lock, err := lockfile.Dir(cfg.DataDir, Service)
	if err != nil {
		return nil, err
	}
	a.later("data directory lock", lock.Release)

	tokens, err := vault.New(vault.Config{DataDir: cfg.DataDir, Token: secrets.Token, TokenFile: secrets.TokenFile, Key: secrets.VaultKey, KeyFile: secrets.VaultKeyFile, Log: log})
	if err != nil {
		return nil, err
	}
	limits, err := limiter.Open(limiter.Config{
		Path: filepath.Join(cfg.DataDir, "limits.json"), Settings: quota.DefaultSettings(cfg.RateLimit), Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("limiter: %w", err)
	}
	a.later("limiter", limits.Close)
	registry := scrape.New(Service)
	measured := metrics.New(registry)
	client, err := tushare.New(tushare.Config{
		URL: cfg.TushareURL, Tokens: tokens, Limiter: measured.Limiter(limits), Called: measured.Called, Timeout: cfg.CallTimeout, Log: log,
	})
	if err != nil {
		return nil, err
	}
	a.later("provider client", func() error { client.Close(); return nil })

	files := map[market.Pool]string{
		market.Targets:  filepath.Join(cfg.DataDir, "targets.sqlite"),
		market.Universe: filepath.Join(cfg.DataDir, "analysis.duckdb"),
	}
	whole := universe.New(universe.Config{
		Path: files[market.Universe], Source: host, AcceptSource: cfg.AcceptSource, Logger: log,
		Memory: cfg.DuckDBMemory, Threads: cfg.DuckDBThreads, GroupPartitions: cfg.CommitGroup,
		First: true,
	})
	// SQLite sorts large tables in a temporary file, which the system's directory may have no
	// room for. It is read when SQLite is first used.
	if _, set := os.LookupEnv("SQLITE_TMPDIR"); !set {
		if err := os.Setenv("SQLITE_TMPDIR", cfg.DataDir); err != nil {
			return nil, err
		}
	}
	short := targets.New(targets.Config{Path: files[market.Targets], Source: host, AcceptSource: cfg.AcceptSource, Logger: log})
	a.sinks = map[market.Pool]ingest.Sink{market.Universe: whole, market.Targets: short}
	for _, p := range market.Pools() {
		a.later(string(p)+" pool", a.sinks[p].Close)
	}
	answers := filepath.Join(cfg.DataDir, "answers")
	published := publish.Config{Host: host, Spill: answers, Compression: cfg.Parquet, Memory: cfg.PublishMemory(publish.LeastMemory(cfg.DuckDBThreads)), Threads: cfg.DuckDBThreads, Logger: log}
	a.stores = make(map[market.Pool]*publish.Store)
	for p, source := range map[market.Pool]publish.Source{
		market.Universe: whole, market.Targets: publish.FromRows(short, host, targetsMemory),
	} {
		c := published
		c.Pool, c.Source, c.Dir = p, source, filepath.Join(cfg.DataDir, "published")
		c.Mark = filepath.Join(cfg.DataDir, string(p)+".published")
		c.Done = func(r publish.Result, err error) { measured.Published(p, r, err) }
		if p == market.Universe {
			c.File = files[p]
		} else {
			c.Dir, c.Memory, c.ReadMemory = filepath.Join(c.Dir, string(p)), targetsMemory, targetsMemory
		}
		a.stores[p] = publish.New(c)
	}
	for p, st := range a.stores {
		a.later("published copy of "+string(p), st.Close)
	}
	admission := gate.New()
	measured.Readers(admission.Waiting)
	rows, err := reader.New(reader.Config{
		Stores: a.stores, Gate: admission, Dir: answers,
		WindowDays: map[market.Pool]int{market.Targets: cfg.TargetsDays, market.Universe: cfg.UniverseDays},
	})
	if err != nil {
		return nil, fmt.Errorf("folder of answers: %w", err)
	}
	provided := ingest.NewAnswers()
	ingester := ingest.New(ingest.Config{
		Provider: client, Sinks: a.sinks, Answers: provided, Depth: cfg.FetchDepth, Committed: measured.Committed, Logger: log,
		WindowDays: map[market.Pool]int{market.Targets: cfg.TargetsDays, market.Universe: cfg.UniverseDays},
	})
	creds, admit, err := security(cfg, log)
	if err != nil {
		return nil, err
	}
	lis, err := transport.ListenAnywhere(log, Service, "grpc", "grpc-addr", cfg.GRPCAddr)
	if err != nil {
		return nil, err
	}
	a.server = transport.NewServer(transport.ServerConfig{
		Logger: log, Listener: lis, StopTimeout: cfg.StopTimeout, Credentials: creds, Authorize: admit, ReceiveTimeout: receiveTimeout,
	})
	a.later("gRPC server", a.server.Close)
	ingestv1.RegisterIngestServiceServer(a.server, api.New(api.Config{
		Ingester: ingester, Prober: measured.Prober(probe.New(client, tokens, provided, limits)), Tokens: tokenSource{tokens}, Estimator: estimator{limits, cfg.FetchDepth}, Limits: lessons{limits},
		Started: time.Now(), Published: a.published,
		Files: files, FreeBytes: volume.FreeBytes, ProviderHost: host, ProviderURL: provider.String(), Gate: admission, Log: log,
	}))
	ingestv1.RegisterDataServiceServer(a.server, api.NewData(a.stores, rows, admission))
	if cfg.MetricsAddr == "" {
		return a, nil
	}
	registry.MustRegister(scrape.Files{Dir: cfg.DataDir, Names: []string{
		filepath.Base(files[market.Targets]), filepath.Base(files[market.Universe]),
		filepath.Join("published", string(market.Targets), a.stores[market.Targets].FileName()), filepath.Join("published", a.stores[market.Universe].FileName()),
	}})
	page, err := transport.Listen(log, Service, "http", "metrics-addr", cfg.MetricsAddr)
	if err != nil {
		return nil, err
	}
	a.scrape = scrape.NewServer(page, registry, log)
	a.later("HTTP server", a.scrape.Close)
	return a, nil
}

func (a *App) later(name string, do func() error) { a.undo = append(a.undo, cleanup{name, do}) }

// published returns the manifests of the published copies.
func (a *App) published() (all []*publish.Manifest) {
	for _, p := range market.Pools() {
		if m := a.stores[p].Current(); m != nil {
			all = append(all, m)
		}
	}
	return all
}

// Addr is the gRPC address in use, "127.0.0.1:7701".
func (a *App) Addr() string { return a.server.Addr() }

// receiveTimeout is how long a request may take to arrive. The orchestrator sets the
// deadline of each call.
const receiveTimeout = 20 * time.Second

// releaseEvery is how often the pools close idle files.
const releaseEvery = 5 * time.Second

// Run serves until ctx ends; then work in progress may finish within the stop timeout. What
// is left is cancelled and rolled back. The error is nil after a requested stop.
func (a *App) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	janitor := make(chan struct{})
	go func() {
		defer close(janitor)
		tick := time.NewTicker(releaseEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				for _, s := range a.sinks {
					s.Release()
				}
				for _, s := range a.stores {
					s.Release()
				}
			}
		}
	}()
	parts, serving := errgroup.WithContext(ctx)
	parts.Go(func() error {
		defer cancel() // the metrics page ends with the server
		return a.server.Run(serving)
	})
	if a.scrape != nil {
		parts.Go(func() error { return a.scrape.Run(serving) })
	}
	err := parts.Wait()
	cancel()
	<-janitor
	return err
}

// Close closes everything in reverse, each named in its error. It is safe to call
// once, after Run or without it.
func (a *App) Close() error {
	var all error
	for n := len(a.undo) - 1; n >= 0; n-- {
		if err := a.undo[n].do(); err != nil {
			all = errors.Join(all, fmt.Errorf("close %s: %w", a.undo[n].name, err))
		}
	}
	a.undo = nil
	return all
}

type tokenSource struct{ v *vault.Vault }

// Source implements api.Tokens.
func (t tokenSource) Source(domain string) (source, fingerprint string) {
	_, from, ok := t.v.Resolve(domain)
	if !ok {
		return "", ""
	}
	return string(from), t.v.Fingerprint(domain)
}

// Stored implements api.Tokens.
func (t tokenSource) Stored() []string { return t.v.Stored() }

// Set implements api.Tokens.
func (t tokenSource) Set(domain, token string) error { return t.v.Set(domain, vault.NewToken(token)) }

// Clear implements api.Tokens.
func (t tokenSource) Clear(domain string) error { return t.v.Clear(domain) }

// lessons implements api.Limits.
type lessons struct{ l *limiter.Limiter }

// Learnt implements api.Limits.
func (s lessons) Learnt(fingerprints []string) []api.Limit {
	return limitsOf(s.l.LearnedLimits(func(k quota.Key) bool { return slices.Contains(fingerprints, k.Token) }))
}

// OwnWaits implements api.Limits.
func (s lessons) OwnWaits(fingerprints []string) (out []api.OwnWait) {
	for _, x := range s.l.Snapshot() {
		if x.Own && x.Waiting > 0 && slices.Contains(fingerprints, x.Token) {
			out = append(out, api.OwnWait{API: x.API, PerMinute: x.PerMinute, Waiting: x.Waiting, Opens: x.Until})
		}
	}
	return out
}

// Forget implements api.Limits.
func (s lessons) Forget(fingerprints, apis []string) []api.Limit {
	return limitsOf(s.l.Forget(func(k quota.Key) bool {
		return slices.Contains(fingerprints, k.Token) && (len(apis) == 0 || slices.Contains(apis, k.API))
	}))
}

func limitsOf(learnt []limiter.LearnedLimit) []api.Limit {
	out := make([]api.Limit, len(learnt))
	for i, x := range learnt {
		out[i] = api.Limit{API: x.API, LearnedLimit: x.LearnedLimit}
	}
	return out
}

type estimator struct {
	l     *limiter.Limiter
	depth int
}

// usualCall is how long a call to the real provider usually takes.
const usualCall = 200 * time.Millisecond

// Estimate implements api.Estimator.
func (e estimator) Estimate(fingerprint string, calls map[string]int) time.Duration {
	return e.l.Estimate(fingerprint, quota.Load{Calls: calls, Priority: quota.Backfill, PerCall: usualCall, Parallel: min(e.depth, 4)})
}
