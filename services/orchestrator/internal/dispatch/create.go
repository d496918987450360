package dispatch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// maxModules is how many modules a request may name.
const maxModules = 64

// Create queues one run per pool, targets before universe, and returns them in that order.
// If a queued or active run of a pool covers the request, that run is returned instead.
// Errors: INVALID_ARGUMENT names an invalid field, MODULE_NOT_SYNC_CAPABLE a module that is
// not implemented, REQUEST_ID_REUSED a RequestID that was used for a different request.
func (d *Dispatcher) Create(ctx context.Context, req CreateRequest) ([]run.Run, error) {
	defer d.OneTrigger()()
	hash := hashOf(req)
	if req.RequestID != "" {
		before, runs, err := d.cfg.Ledger.RunsByRequestID(ctx, req.RequestID)
		if err != nil {
			return nil, err
		}
		if before == hash {
			return runs, nil
		}
		if before != "" {
			return nil, fault.New(fault.RequestIDReused,
				fmt.Sprintf("The request_id %.80q was already used by a different request.", req.RequestID), "request_id", fault.Clip(req.RequestID, fault.MaxMeta))
		}
	}
	facts, err := d.cfg.Preflight.Facts(ctx, nil)
	if err != nil {
		return nil, err
	}
	wanted, err := runsOf(req, facts.Catalog, now())
	if err != nil {
		return nil, err
	}
	var known catalog.Catalog
	if facts.Catalog != nil {
		known = *facts.Catalog
	}
	lastDue := run.LastDue(known, now())
	answer := make([]run.Run, 0, len(wanted))
	var fresh []run.Run
	var record *run.CreateRecord
	if req.RequestID != "" {
		record = &run.CreateRecord{RequestID: req.RequestID, Hash: hash}
	}
	for _, w := range wanted {
		existing, ok, err := d.covering(ctx, w, lastDue, readiness.Select(w.Pool, facts).Modules)
		if err != nil {
			return nil, err
		}
		if ok {
			w = existing
		} else {
			w.ID = uuid.Must(uuid.NewV7()).String()
			fresh = append(fresh, w)
		}
		answer = append(answer, w)
		if record != nil {
			record.RunIDs = append(record.RunIDs, w.ID)
		}
	}
	if len(fresh) > 0 || record != nil {
		if err := d.cfg.Ledger.Enqueue(ctx, fresh, record); err != nil {
			return nil, err
		}
		d.Wake()
	}
	return answer, nil
}

// covering finds the run of the pool that covers the request of w. A run of all modules
// covers only the enabled ones, not others that w may name.
func (d *Dispatcher) covering(ctx context.Context, w run.Run, lastDue time.Time, enabled []string) (run.Run, bool, error) {
	off := slices.ContainsFunc(w.Request.Modules, func(m string) bool { return !slices.Contains(enabled, m) })
	existing, err := d.cfg.Ledger.Unfinished(ctx)
	if err != nil {
		return run.Run{}, false, err
	}
	queued, err := d.cfg.Ledger.Queue(ctx, w.Pool)
	if err != nil {
		return run.Run{}, false, err
	}
	for _, r := range slices.Concat(existing, queued) {
		if r.Pool == w.Pool && (!off || len(r.Request.Modules) > 0) && !d.Outdated(r) && run.Covers(r, w.Request, now(), lastDue) {
			return r, true, nil
		}
	}
	return run.Run{}, false, nil
}

// runsOf checks a request and turns it into queued runs without IDs.
func runsOf(req CreateRequest, cat *catalog.Catalog, at time.Time) ([]run.Run, error) {
	ask := req.Request
	today := market.DateOf(at)
	if ask.Start <= 0 { // the zero Date of a request in which the field was not set
		ask.Start = market.NoDate
	}
	if ask.End <= 0 {
		ask.End = market.NoDate
	}
	switch {
	case ask.End != market.NoDate && ask.End > today:
		return nil, fault.Invalid("end_date", "%s is after today, %s", ask.End, today)
	case ask.Start != market.NoDate && ask.Start > today:
		return nil, fault.Invalid("start_date", "%s is after today, %s", ask.Start, today)
	case ask.Start != market.NoDate && ask.End != market.NoDate && ask.Start > ask.End:
		return nil, fault.Invalid("start_date", "%s is after end_date, %s", ask.Start, ask.End)
	case len(ask.Modules) > maxModules:
		return nil, fault.Invalid("module_ids", "%d modules; at most %d are allowed", len(ask.Modules), maxModules)
	}
	if err := checkModules(ask.Modules, cat); err != nil {
		return nil, err
	}
	pools, err := poolsOf(req.Pools)
	if err != nil {
		return nil, err
	}
	var runs []run.Run
	trigger := uuid.Must(uuid.NewV7()).String()
	for _, pool := range pools {
		mine := ask
		if len(ask.Modules) > 0 {
			mine.Modules = readiness.Narrow(pool, cat, ask.Modules)
			if len(mine.Modules) == 0 {
				if len(req.Pools) == 0 {
					continue
				}
				return nil, fault.Invalid("module_ids", "the pool %s has none of the requested modules", pool)
			}
			slices.Sort(mine.Modules)
			mine.Modules = slices.Compact(mine.Modules)
		}
		r := run.Run{
			Pool: pool, Mode: req.Mode, Source: req.Source, TriggerID: trigger, Request: mine, State: run.Queued,
			AsOf: market.NoDate, CreatedAt: at.Truncate(time.Millisecond), // in the ledger's precision
		}
		if r.Source == "" {
			r.Source = run.SourceManual
		}
		if r.Mode == "" {
			r.Mode = run.Manual
			if ask.Start != market.NoDate || ask.End != market.NoDate || len(ask.Modules) > 0 {
				r.Mode = run.OnDemand
			}
		}
		runs = append(runs, r)
	}
	return runs, nil
}

func poolsOf(asked []market.Pool) ([]market.Pool, error) {
	for i, p := range asked {
		if _, err := market.ParsePool(string(p)); err != nil {
			return nil, fault.Invalid(fmt.Sprintf("pools[%d]", i), "%v", err)
		}
	}
	if len(asked) == 0 {
		return market.Pools(), nil
	}
	return slices.DeleteFunc(market.Pools(), func(p market.Pool) bool { return !slices.Contains(asked, p) }), nil
}

// checkModules returns an error for the first module that does not exist or is not
// implemented. Before the worker has sent its catalog, every name is accepted; the run's
// own check rejects it later.
func checkModules(modules []string, cat *catalog.Catalog) error {
	if cat == nil {
		return nil
	}
	for i, id := range modules {
		switch m := cat.Module(id); {
		case m == nil:
			return fault.Invalid(fmt.Sprintf("module_ids[%d]", i), "there is no module %.80q; curl localhost:7780/v1/domains lists them", id)
		case !m.SyncCapable:
			return fault.New(fault.ModuleNotSyncCapable, fmt.Sprintf("%s is in the catalog but not implemented yet.", id), "module", id)
		}
	}
	return nil
}

// hashOf digests a request without its ID.
func hashOf(req CreateRequest) string {
	req.RequestID = ""
	text, err := json.Marshal(req)
	if err != nil {
		panic(err) // plain values always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Plan returns what Create would do, and stores nothing. It calls the worker and returns
// its errors, such as WORKER_UNREACHABLE.
func (d *Dispatcher) Plan(ctx context.Context, req CreateRequest) ([]Plan, error) {
	if err := d.cfg.Preflight.Refresh(ctx); err != nil {
		return nil, err
	}
	facts, err := d.cfg.Preflight.Facts(ctx, nil)
	if err != nil {
		return nil, err
	}
	wanted, err := runsOf(req, facts.Catalog, now())
	if err != nil {
		return nil, err
	}
	plans := make([]Plan, 0, len(wanted))
	for _, r := range wanted {
		p, err := d.plan(ctx, r, facts)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func (d *Dispatcher) plan(ctx context.Context, r run.Run, facts readiness.Facts) (Plan, error) {
	plan := Plan{Run: r, LastTradeDate: market.NoDate}
	facts.Requested = r.Request.Modules
	sel := readiness.Select(r.Pool, facts)
	plan.Issues = sel.Issues
	symbols, err := d.symbols(ctx, r.Pool)
	if err != nil {
		return plan, err
	}
	if len(sel.Modules) == 0 || r.Pool == market.Targets && len(symbols) == 0 {
		return plan, nil
	}
	for _, references := range []bool{true, false} {
		req := planRequest(r, sel.Modules, symbols, references)
		req.Estimate = true
		w, err := d.cfg.Worker.PlanPartitions(ctx, req)
		if err != nil {
			return plan, err
		}
		for _, p := range w.Partitions {
			p.Ordinal = len(plan.Partitions)
			plan.Partitions = append(plan.Partitions, p)
			plan.Calls += p.Calls
		}
		plan.Duration += w.Duration
		plan.Issues = append(plan.Issues, w.Issues...)
		plan.LastTradeDate = w.LastTradeDate
	}
	plan.Run.Partitions, plan.Run.AsOf = len(plan.Partitions), plan.LastTradeDate
	return plan, nil
}

func planRequest(r run.Run, modules, symbols []string, references bool) PlanRequest {
	return PlanRequest{
		Pool: r.Pool, References: references, Modules: modules, Start: r.Request.Start, End: r.Request.End,
		Symbols: symbols, Refetch: r.Request.Refetch,
	}
}

// symbols is the target list, or nil for universe.
func (d *Dispatcher) symbols(ctx context.Context, pool market.Pool) ([]string, error) {
	if pool != market.Targets {
		return nil, nil
	}
	return d.cfg.Ledger.Targets(ctx)
}
