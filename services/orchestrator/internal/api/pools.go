package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

const (
	// datesTime is the timeout for the dates that are shown with a pool's state; if they are
	// missing, the state is shown without them.
	datesTime = 2 * time.Second
	// datesKept is how long the worker's dates are reused.
	datesKept = 5 * time.Second
)

type poolService struct {
	orchestratorv1.UnimplementedPoolServiceServer
	*base
}

func (s *poolService) status(ctx context.Context, st dispatch.PoolStatus) (*orchestratorv1.PoolStatus, error) {
	out := poolStatusOf(st, s.moduleDates(ctx, st.Pool))
	var next slot.Slot
	fires := false
	if !st.Paused {
		var err error
		if next, fires, err = s.Scheduler.NextSlot(ctx, st.Pool); err != nil {
			return nil, err
		}
	}
	said, at := nextAsk(st, next, fires, drill.Now())
	out.NextAsk, out.NextAskTime = said, transport.TimeToProto(at)
	return out, nil
}

// nextAsk says what fetches a pool next, and when; zero for a run that is next in the
// queue.
func nextAsk(st dispatch.PoolStatus, next slot.Slot, fires bool, now time.Time) (said string, at time.Time) {
	if st.Paused {
		return "", time.Time{}
	}
	first := (*run.Run)(nil)
	for i := range st.Queued {
		if q := &st.Queued[i]; first == nil || q.NotBefore.Before(first.NotBefore) {
			first = q
		}
	}
	switch {
	case first != nil && !first.NotBefore.After(now):
		return fmt.Sprintf("Run %s is in the queue and starts next.%s", first.ID, noted(first.Note)), time.Time{}
	case first != nil && (!fires || first.NotBefore.Before(next.DueAt)):
		return fmt.Sprintf("Run %s fetches again at %s.%s", first.ID, slot.Shanghai(first.NotBefore, nil).En, noted(first.Note)), first.NotBefore
	case fires:
		return fmt.Sprintf("The slot of %s runs at %s.", next.Date, slot.Shanghai(next.DueAt, nil).En), next.DueAt
	}
	return "", time.Time{}
}

func noted(note string) string {
	if note == "" {
		return ""
	}
	return " " + note
}

// ListPools implements orchestratorv1.PoolServiceServer.
func (s *poolService) ListPools(ctx context.Context, _ *orchestratorv1.ListPoolsRequest) (*orchestratorv1.ListPoolsResponse, error) {
	pools := market.Pools()
	resp := &orchestratorv1.ListPoolsResponse{Pools: make([]*orchestratorv1.PoolStatus, len(pools))}
	asking, ctx := errgroup.WithContext(ctx) // each may have to wait for the worker
	for i, pool := range pools {
		asking.Go(func() (err error) {
			resp.Pools[i], err = s.statusOf(ctx, pool)
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	return resp, nil
}

func (s *poolService) statusOf(ctx context.Context, pool market.Pool) (*orchestratorv1.PoolStatus, error) {
	st, err := s.Dispatcher.PoolStatus(ctx, pool)
	if err != nil {
		return nil, err
	}
	return s.status(ctx, st)
}

// GetPool implements orchestratorv1.PoolServiceServer.
func (s *poolService) GetPool(ctx context.Context, req *orchestratorv1.GetPoolRequest) (*orchestratorv1.GetPoolResponse, error) {
	pool, err := poolNamed(req.GetPool())
	if err != nil {
		return nil, err
	}
	shown, err := s.statusOf(ctx, pool)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.GetPoolResponse{Pool: shown}, nil
}

// pauseRequest validates a request that pauses or resumes a pool, and returns the pool.
func pauseRequest(name, note string) (market.Pool, error) {
	pool, err := poolNamed(name)
	if err != nil {
		return "", err
	}
	var p problems
	p.note("note", note)
	return pool, p.err()
}

// PausePool implements orchestratorv1.PoolServiceServer.
func (s *poolService) PausePool(ctx context.Context, req *orchestratorv1.PausePoolRequest) (*orchestratorv1.PausePoolResponse, error) {
	pool, err := pauseRequest(req.GetPool(), req.GetNote())
	if err != nil {
		return nil, err
	}
	st, err := s.Dispatcher.Pause(ctx, pool, req.GetNote())
	if err != nil {
		return nil, err
	}
	shown, err := s.status(ctx, st)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.PausePoolResponse{Pool: shown}, nil
}

// ResumePool implements orchestratorv1.PoolServiceServer.
func (s *poolService) ResumePool(ctx context.Context, req *orchestratorv1.ResumePoolRequest) (*orchestratorv1.ResumePoolResponse, error) {
	pool, err := pauseRequest(req.GetPool(), req.GetNote())
	if err != nil {
		return nil, err
	}
	st, err := s.Dispatcher.Resume(ctx, pool, req.GetNote())
	if err != nil {
		return nil, err
	}
	shown, err := s.status(ctx, st)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ResumePoolResponse{Pool: shown}, nil
}

// ListCoverage implements orchestratorv1.PoolServiceServer.
func (s *poolService) ListCoverage(ctx context.Context, req *orchestratorv1.ListCoverageRequest) (*orchestratorv1.ListCoverageResponse, error) {
	pool, err := poolNamed(req.GetPool())
	if err != nil {
		return nil, err
	}
	f, err := s.Preflight.Facts(ctx, nil)
	if err != nil {
		return nil, err
	}
	var p problems
	q := worker.CoverageQuery{Pool: pool, Modules: p.modules("module_ids", req.GetModuleIds(), f.Catalog)}
	q.Start, q.End = p.dates(req.GetStartDate(), req.GetEndDate(), drill.Now())
	if err := p.err(); err != nil {
		return nil, err
	}
	coverages, err := s.coverage(ctx, q)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ListCoverageResponse{Coverages: each(coverages, coverageOf)}, nil
}

// ListAbsentSymbols implements orchestratorv1.PoolServiceServer.
func (s *poolService) ListAbsentSymbols(ctx context.Context, req *orchestratorv1.ListAbsentSymbolsRequest) (*orchestratorv1.ListAbsentSymbolsResponse, error) {
	pool, err := poolNamed(req.GetPool())
	if err != nil {
		return nil, err
	}
	f, err := s.facts(ctx)
	if err != nil {
		return nil, err
	}
	var p problems
	if dated := f.Catalog.Dated(); !slices.Contains(dated, req.GetDatasetId()) {
		p.add("dataset_id", "%.40q is not a dataset with one row per symbol and trade date; allowed are %s", req.GetDatasetId(), strings.Join(dated, ", "))
	}
	d := p.date("trade_date", req.GetTradeDate())
	if today := market.DateOf(drill.Now()); req.GetTradeDate() == "" {
		p.add("trade_date", "must be set, as in %s", today)
	} else if d > today {
		p.add("trade_date", "%s is after today, %s in Shanghai", d, today)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	var symbols []string
	if pool == market.Targets {
		if symbols, err = s.Ledger.Targets(ctx); err != nil {
			return nil, err
		}
	}
	absent, err := s.Worker.AbsentSymbols(ctx, pool, req.GetDatasetId(), d, symbols)
	if fault.Is(err, fault.NotFound) {
		if cal, calErr := s.Ledger.Calendar(ctx); calErr == nil && !cal.IsOpen(d) {
			return nil, fault.New(fault.NotFound, fmt.Sprintf("The exchange is closed on %s, so no data of %s exists.", d, req.GetDatasetId()), "kind", "partition", "id", req.GetDatasetId()+"/"+d.String())
		}
	}
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ListAbsentSymbolsResponse{AbsentSymbols: each(absent, func(a worker.AbsentSymbol) *marketv1.AbsentSymbol {
		return &marketv1.AbsentSymbol{Symbol: a.Symbol, Name: a.Name, TradedBefore: a.TradedBefore}
	})}, nil
}

func (b *base) coverage(ctx context.Context, q worker.CoverageQuery) ([]worker.Coverage, error) {
	if q.Pool == market.Targets {
		symbols, err := b.Ledger.Targets(ctx)
		if err != nil {
			return nil, err
		}
		q.Symbols = symbols
	}
	return b.Worker.Coverage(ctx, q)
}

// dateCache caches the dates for a moment, so that a screen that polls does not make the
// worker survey a pool each time.
type dateCache struct {
	mu   sync.Mutex
	told map[market.Pool]*toldDates
}

// toldDates are the dates of one pool. mu is held while they are requested from the worker; callers
// for the other pool are not blocked.
type toldDates struct {
	mu    sync.Mutex
	at    time.Time
	dates []*orchestratorv1.ModuleDate
}

func (c *dateCache) of(pool market.Pool) *toldDates {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told == nil {
		c.told = map[market.Pool]*toldDates{}
	}
	if c.told[pool] == nil {
		c.told[pool] = &toldDates{}
	}
	return c.told[pool]
}

// moduleDates are the last complete date of each module; none if the worker does not
// respond.
func (b *base) moduleDates(ctx context.Context, pool market.Pool) []*orchestratorv1.ModuleDate {
	t := b.dates.of(pool)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.at.IsZero() && time.Since(t.at) < datesKept {
		return t.dates
	}
	asking, cancel := context.WithTimeout(ctx, datesTime)
	defer cancel()
	coverages, err := b.coverage(asking, worker.CoverageQuery{Pool: pool, Start: market.NoDate, End: market.NoDate})
	if err != nil {
		b.Logger.Debug("a pool is shown without its dates", "pool", string(pool), "error", err.Error())
		coverages = nil
	}
	dates := lastComplete(coverages)
	if ctx.Err() == nil { // a caller that has disconnected must not affect the next ones
		t.at, t.dates = time.Now(), dates
	}
	return dates
}

// lastComplete finds, per module, the newest date on which every dataset of it is settled.
// Snapshots have no date and do not count.
func lastComplete(coverages []worker.Coverage) []*orchestratorv1.ModuleDate {
	type day struct {
		module string
		date   market.Date
	}
	whole := map[day]bool{} // false after a dataset that is not settled
	last := map[string]market.Date{}
	for _, c := range coverages {
		if c.Date == market.NoDate {
			continue
		}
		last[c.Module] = market.NoDate
		k := day{c.Module, c.Date}
		before, known := whole[k]
		whole[k] = c.Settled() && (before || !known)
	}
	for k, complete := range whole {
		if complete && k.date > last[k.module] {
			last[k.module] = k.date
		}
	}
	return each(slices.Sorted(maps.Keys(last)), func(m string) *orchestratorv1.ModuleDate {
		return &orchestratorv1.ModuleDate{ModuleId: m, TradeDate: last[m].String()}
	})
}
