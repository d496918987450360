package preflight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

// Defaults of Config.
const (
	// DefaultWorkerWait is how long an unreachable worker is retried.
	DefaultWorkerWait = 30 * time.Second
	// DefaultProbeTimeout is the timeout of one probe.
	DefaultProbeTimeout = 30 * time.Second
)

const (
	retryPause  = 500 * time.Millisecond // between two attempts to reach the worker
	maxRestarts = 3                      // of a stream of probes that failed
	saveTimeout = 5 * time.Second        // for the last write of a preflight whose caller has disconnected
)

// Config is the configuration of a Runner.
type Config struct {
	// Ledger that stores results and copies. Required.
	Ledger Ledger
	// Worker that probes. Required.
	Worker Worker
	// Logger gets one line per preflight. Required.
	Logger *slog.Logger
	// WorkerWait is how long an unreachable worker is retried. 0 means 30 s.
	WorkerWait time.Duration
	// ProbeTimeout is the timeout of one probe. 0 means 30 s.
	ProbeTimeout time.Duration
}

// Runner runs preflights. Safe for concurrent use.
type Runner struct{ cfg Config }

// New returns a Runner.
func New(cfg Config) *Runner {
	if cfg.WorkerWait == 0 {
		cfg.WorkerWait = DefaultWorkerWait
	}
	if cfg.ProbeTimeout == 0 {
		cfg.ProbeTimeout = DefaultProbeTimeout
	}
	return &Runner{cfg}
}

// Recover ends preflights that a crash left running. They become cancelled.
func (r *Runner) Recover(ctx context.Context) error {
	records, err := r.cfg.Ledger.Preflights(ctx, 100, "")
	if err != nil {
		return err
	}
	for _, p := range records {
		if p.State != readiness.PreflightRunning {
			continue
		}
		p.State, p.EndedAt = readiness.PreflightCancelled, now()
		if err := r.cfg.Ledger.SavePreflight(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// Refresh copies catalog, tokens and calendar from the worker. It retries an unreachable
// worker for WorkerWait and then returns WORKER_UNREACHABLE.
func (r *Runner) Refresh(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, r.cfg.WorkerWait)
	defer cancel()
	for {
		err := r.refresh(wait)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !fault.Is(err, fault.WorkerUnreachable):
			return err
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		case <-time.After(retryPause):
		}
	}
}

func (r *Runner) refresh(ctx context.Context) error {
	cat, err := r.cfg.Worker.Catalog(ctx)
	if err != nil {
		return err
	}
	tokens, host, err := r.cfg.Worker.Tokens(ctx)
	if err != nil {
		return err
	}
	calendar, err := r.cfg.Worker.Calendar(ctx)
	if err != nil {
		return err
	}
	if err := r.cfg.Ledger.SaveCatalog(ctx, cat); err != nil {
		return err
	}
	if err := r.cfg.Ledger.SaveTokens(ctx, tokens, host, time.Now()); err != nil {
		return err
	}
	return r.cfg.Ledger.SaveCalendar(ctx, calendar)
}

// Facts are the inputs of verdicts, from the ledger's copies; see LoadFacts.
func (r *Runner) Facts(ctx context.Context, requested []string) (readiness.Facts, error) {
	return LoadFacts(ctx, r.cfg.Ledger, requested)
}

// Run probes, decides, and passes each step to emit, which may be nil; the last one is
// Completed. It returns WORKER_UNREACHABLE if the worker stays unreachable, the error of
// emit or ctx if the caller disconnects, and PREFLIGHT_FAILED for any other error. In every
// case the returned record is in the ledger.
func (r *Runner) Run(ctx context.Context, opt Options, emit func(Event) error) (readiness.Preflight, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return readiness.Preflight{}, fmt.Errorf("make an id: %w", err)
	}
	pass := &pass{Runner: r, opt: opt, emit: emit, record: readiness.Preflight{
		ID: id.String(), RunID: opt.RunID, State: readiness.PreflightRunning, StartedAt: now(),
	}}
	if err := r.cfg.Ledger.SavePreflight(ctx, pass.record); err != nil {
		return pass.record, broken(ctx, err)
	}
	if err := pass.run(ctx); err != nil {
		err = broken(ctx, err)
		pass.record.State, pass.record.EndedAt = readiness.PreflightCancelled, now()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		if saveErr := r.cfg.Ledger.SavePreflight(late, pass.record); saveErr != nil {
			r.cfg.Logger.Error("a preflight's end was not recorded", "preflight_id", pass.record.ID, "error", saveErr)
		}
		r.cfg.Logger.Info("preflight stopped", "preflight_id", pass.record.ID, "run_id", opt.RunID, "reason", fault.ReasonOf(err))
		return pass.record, err
	}
	r.cfg.Logger.Info("preflight completed", "preflight_id", pass.record.ID, "run_id", opt.RunID, "calls", pass.record.Calls,
		"took", pass.record.EndedAt.Sub(pass.record.StartedAt))
	return pass.record, nil
}

// emitError is an error of the caller's own function. It is returned unchanged.
type emitError struct{ error }

// broken is the error that Run returns: WORKER_UNREACHABLE and the caller's own errors
// unchanged, anything else as PREFLIGHT_FAILED.
func broken(ctx context.Context, err error) error {
	var own emitError
	switch {
	case errors.As(err, &own):
		return own.error
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case fault.Is(err, fault.WorkerUnreachable), fault.Is(err, fault.PreflightFailed):
		return err
	}
	cause := "the log has the details"
	if f, ok := fault.As(err); ok {
		cause = f.Message
	}
	return fault.Wrap(err, fault.PreflightFailed, "The preflight failed before it reached a verdict: "+cause, "cause", cause)
}

// pass is one preflight in progress.
type pass struct {
	*Runner
	opt      Options
	emit     func(Event) error
	record   readiness.Preflight
	sequence int64
	facts    readiness.Facts
}

// now is in whole milliseconds, as the ledger stores it, so that a streamed time equals the
// stored one.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

func (p *pass) send(e Event) error {
	p.sequence++
	e.PreflightID, e.Sequence, e.Time = p.record.ID, p.sequence, now()
	if p.emit == nil {
		return nil
	}
	if err := p.emit(e); err != nil {
		return emitError{err}
	}
	return nil
}

func (p *pass) run(ctx context.Context) error {
	if !p.opt.Refreshed {
		if err := p.Refresh(ctx); err != nil {
			return err
		}
	}
	facts, err := p.Facts(ctx, nil)
	if err != nil {
		return err
	}
	if p.opt.Policy != "" {
		facts.Preflight = p.opt.Policy
	}
	p.facts = facts
	pools, requested := p.scope()
	modules := p.modules(pools, requested)
	calendar, err := p.cfg.Ledger.Calendar(ctx)
	if err != nil {
		return err
	}
	date := lastTradeDate(calendar, facts.Now)
	if err := p.send(Event{Started: &Started{Pools: pools, Modules: modules, TradeDate: date}}); err != nil {
		return err
	}
	if err := p.check(ctx, modules, date); err != nil {
		return err
	}
	p.facts.Now = time.Now()
	for _, pool := range pools {
		f := p.facts
		f.Requested = requested[pool]
		v := readiness.Judge(pool, f)
		p.record.Verdicts = append(p.record.Verdicts, v)
		if err := p.send(Event{PoolDecided: &v}); err != nil {
			return err
		}
	}
	p.record.State, p.record.EndedAt = readiness.PreflightCompleted, now()
	if err := p.cfg.Ledger.SavePreflight(ctx, p.record); err != nil {
		return err
	}
	done := p.record
	return p.send(Event{Completed: &done})
}

// scope returns the pools to decide about, and the requested modules of each. If no pools
// are named, those that store none of the requested modules are left out.
func (p *pass) scope() ([]market.Pool, map[market.Pool][]string) {
	pools := p.opt.Pools
	if len(pools) == 0 {
		pools = market.Pools()
	}
	var kept []market.Pool
	requested := map[market.Pool][]string{}
	for _, pool := range market.Pools() {
		if !slices.Contains(pools, pool) {
			continue
		}
		if len(p.opt.Modules) > 0 {
			requested[pool] = readiness.Narrow(pool, p.facts.Catalog, p.opt.Modules)
			if len(requested[pool]) == 0 {
				if len(p.opt.Pools) == 0 {
					continue
				}
				requested[pool] = p.opt.Modules // the verdict says why none of them can run
			}
		}
		kept = append(kept, pool)
	}
	return kept, requested
}

// modules is the union of the pools' selections, in the order of the catalog.
func (p *pass) modules(pools []market.Pool, requested map[market.Pool][]string) []string {
	chosen := map[string]bool{}
	for _, pool := range pools {
		f := p.facts
		f.Requested = requested[pool]
		for _, id := range readiness.Select(pool, f).Modules {
			chosen[id] = true
		}
	}
	var ordered []string
	for _, m := range p.facts.Catalog.Modules {
		if chosen[m.ID] {
			ordered = append(ordered, m.ID)
		}
	}
	return ordered
}

// check checks the modules in order and probes those that need it. Consecutive ones share
// one stream.
func (p *pass) check(ctx context.Context, modules []string, date market.Date) error {
	for len(modules) > 0 {
		n := 0
		for n < len(modules) && p.needsProbe(modules[n]) {
			n++
		}
		if n > 0 {
			if err := p.probe(ctx, modules[:n], date); err != nil {
				return err
			}
			modules = modules[n:]
			continue
		}
		if m := p.facts.Catalog.Module(modules[0]); p.possible(modules[0]) || readiness.ProbeOf(p.facts, m).Status != readiness.Untested {
			probe := readiness.ProbeOf(p.facts, m)
			if err := p.send(Event{ModuleChecked: &ModuleChecked{Probe: probe, Reused: true}}); err != nil {
				return err
			}
		}
		modules = modules[1:]
	}
	return nil
}

// possible reports whether a probe of the module can succeed at all: its provider is
// implemented and it has a token. Otherwise the verdict says so without a call.
func (p *pass) possible(id string) bool {
	m := p.facts.Catalog.Module(id)
	provider := p.facts.Catalog.Provider(p.facts.Domain(m.Domain).Provider)
	return provider != nil && provider.Active && p.facts.Tokens[m.Domain].Source != ""
}

func (p *pass) needsProbe(id string) bool {
	if !p.possible(id) {
		return false
	}
	m := p.facts.Catalog.Module(id)
	if p.opt.MaxAge != nil {
		return readiness.NeedsProbeWithin(p.facts, m, *p.opt.MaxAge)
	}
	return readiness.NeedsProbe(p.facts, m, p.opt.Since)
}

// probe probes modules in order. If the stream fails because the worker became unreachable,
// it continues with the remaining modules.
func (p *pass) probe(ctx context.Context, modules []string, date market.Date) error {
	for restarts := 0; ; restarts++ {
		left, err := p.stream(ctx, modules, date)
		switch {
		case err == nil && len(left) == 0:
			return nil
		case err == nil:
			return fault.New(fault.PreflightFailed, "The ingest-worker ended the probe stream before all modules were probed.", "cause", "stream ended early")
		case !fault.Is(err, fault.WorkerUnreachable) || restarts == maxRestarts:
			return err
		}
		modules = left
		if err := p.Refresh(ctx); err != nil {
			return err
		}
	}
}

func (p *pass) stream(ctx context.Context, modules []string, date market.Date) (left []string, err error) {
	left = slices.Clone(modules)
	err = p.cfg.Worker.ProbeModules(ctx, ProbeRequest{Modules: modules, TradeDate: date, Timeout: p.cfg.ProbeTimeout},
		func(s ModuleStarted) error { return p.send(Event{ModuleStarted: &s}) },
		func(found readiness.Probe) error {
			at := slices.Index(left, found.Module)
			if at < 0 {
				return fault.New(fault.PreflightFailed, fmt.Sprintf("The ingest-worker probed %.80q, which was not requested.", found.Module),
					"cause", "unknown module")
			}
			left = slices.Delete(left, at, at+1)
			found.ConfigHash = readiness.ConfigHash(p.facts, p.facts.Catalog.Module(found.Module))
			if found.At.IsZero() {
				found.At = now()
			}
			found.At = found.At.Truncate(time.Millisecond)
			p.facts.Probes[found.Module] = found
			p.record.Calls += found.Calls
			if err := p.cfg.Ledger.SaveProbe(ctx, found); err != nil {
				return err
			}
			return p.send(Event{ModuleChecked: &ModuleChecked{Probe: found}})
		})
	return left, err
}
