package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// view caches the calendar and the lists of a pool, so that judging and reading coverage
// need not open its file.
type view struct {
	mu       sync.Mutex
	loaded   bool
	calendar Calendar
	lists    *coverage.Lists
}

func (i *Ingester) world(ctx context.Context, p market.Pool) (coverage.PoolState, error) {
	sink, err := i.sink(p)
	if err != nil {
		return coverage.PoolState{}, err
	}
	v := i.views[p]
	v.mu.Lock()
	defer v.mu.Unlock()
	if sink.Refresh(ctx) || !v.loaded {
		cal, err := sink.Calendar(ctx)
		if err != nil {
			return coverage.PoolState{}, err
		}
		instruments, err := sink.Instruments(ctx)
		if err != nil {
			return coverage.PoolState{}, err
		}
		v.calendar, v.lists, v.loaded = cal, coverage.NewLists(instruments), true
	}
	return coverage.PoolState{
		Now: time.Now(), Calendar: v.calendar, Lists: v.lists, WindowDays: i.windows[p], Held: sink.Held,
		PerCall: i.lists.of,
	}, nil
}

func (i *Ingester) forget(p market.Pool) {
	v := i.views[p]
	v.mu.Lock()
	v.loaded = false
	v.mu.Unlock()
}

func (i *Ingester) sink(p market.Pool) (Sink, error) {
	if s, ok := i.sinks[p]; ok {
		return s, nil
	}
	return nil, fault.Invalid("pool", "%q is not a pool of this worker", p)
}

// References plans the snapshots that are due.
func (i *Ingester) References(ctx context.Context, w coverage.PlanRequest) (coverage.Plan, error) {
	sink, err := i.sink(w.Pool)
	if err != nil {
		return coverage.Plan{}, err
	}
	sink.Refresh(ctx)
	plan := coverage.References(w, coverage.PoolState{Now: time.Now(), Held: sink.Held, Lists: coverage.NewLists(nil)})
	i.unselected.note(w, plan)
	return plan, nil
}

// Data plans the datasets by trade date from what the pool has stored.
func (i *Ingester) Data(ctx context.Context, w coverage.PlanRequest) (coverage.Plan, error) {
	world, err := i.world(ctx, w.Pool)
	if err != nil {
		return coverage.Plan{}, err
	}
	plan, err := coverage.Data(w, world)
	if err == nil && !w.Estimate {
		i.flights.plan(w.Pool, plan.Partitions)
	}
	return plan, err
}

// Survey is the coverage of a pool per dataset and date. It reads from memory if possible;
// if a file cannot be opened, only the expectations are missing.
func (i *Ingester) Survey(ctx context.Context, p market.Pool, datasets []*catalog.Dataset, start, end market.Date, symbols []string) ([]coverage.Day, error) {
	sink, err := i.sink(p)
	if err != nil {
		return nil, err
	}
	world, err := i.world(ctx, p)
	if err != nil {
		i.log.Warn("coverage is reported without the pool's instrument lists", "pool", p, "error", err)
		world = coverage.PoolState{Now: time.Now(), Lists: coverage.NewLists(nil), WindowDays: i.windows[p], Held: sink.Held}
		world.Calendar, _ = i.Calendar(ctx) // with an empty calendar, weekdays count as trading days
	}
	ids := make([]string, 0, len(datasets))
	for _, d := range datasets {
		if !d.Snapshot {
			ids = append(ids, d.ID)
		}
	}
	return coverage.Survey(datasets, start, end, world, p, symbols, func(yield func(coverage.Record) bool) error {
		if len(ids) == 0 {
			return nil
		}
		return sink.Coverage(ctx, ids, start, end, yield)
	})
}

// Calendar is the longest calendar of the pools.
func (i *Ingester) Calendar(ctx context.Context) (Calendar, error) {
	best := Calendar{First: market.NoDate, Last: market.NoDate}
	for _, p := range market.Pools() {
		if _, ok := i.sinks[p]; !ok {
			continue
		}
		world, err := i.world(ctx, p)
		if err != nil {
			continue // CheckStore reports what is wrong with the file, for its pool only
		}
		if world.Calendar.Known() && (!best.Known() || world.Calendar.Last > best.Last) {
			best = world.Calendar
		}
	}
	return best, ctx.Err()
}

// Instruments are those in the lists of any pool, by symbol. A code that one list has and
// another has replaced is omitted.
func (i *Ingester) Instruments(ctx context.Context) ([]coverage.Instrument, error) {
	found, former := map[string]coverage.Instrument{}, map[string]bool{}
	var failed error
	for _, p := range []market.Pool{market.Universe, market.Targets} {
		if _, ok := i.sinks[p]; !ok {
			continue
		}
		world, err := i.world(ctx, p)
		if err != nil {
			failed = err // the other pool's list is enough
			continue
		}
		for x := range world.Lists.All() {
			if _, known := found[x.Symbol]; !known {
				found[x.Symbol] = x
			}
			for _, old := range x.Former {
				former[old] = true
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(found) == 0 && failed != nil {
		return nil, failed
	}
	maps.DeleteFunc(found, func(symbol string, _ coverage.Instrument) bool { return former[symbol] })
	return slices.SortedFunc(maps.Values(found), func(a, b coverage.Instrument) int { return strings.Compare(a.Symbol, b.Symbol) }), nil
}

// Revisions lists the changed and removed values of a pool, newest first.
func (i *Ingester) Revisions(ctx context.Context, p market.Pool, q RevisionQuery) ([]Revision, error) {
	sink, err := i.sink(p)
	if err != nil {
		return nil, err
	}
	return sink.Revisions(ctx, q)
}

// Active lists the partitions in progress, of one run or of all when runID is empty.
func (i *Ingester) Active(runID string) []Active { return i.flights.list(runID) }

// CheckStore opens a pool's file for writing and reports what is wrong with it.
func (i *Ingester) CheckStore(ctx context.Context, p market.Pool) error {
	sink, err := i.sink(p)
	if err != nil {
		return err
	}
	if err := sink.Open(ctx); err != nil {
		return err
	}
	i.forget(p) // a user may have replaced the file
	return nil
}

// Verify reads the rows of partitions from the pool's file and compares their number and
// values with the coverage.
func (i *Ingester) Verify(ctx context.Context, p market.Pool, parts []coverage.Partition) ([]Check, error) {
	sink, err := i.sink(p)
	if err != nil {
		return nil, err
	}
	sink.Refresh(ctx)
	out := make([]Check, len(parts))
	left := make([]int, len(parts))
	for n := range left {
		left[n] = n
	}
	// A partition that was committed during the read is read again.
	for range verifyTries {
		if left, err = verify(ctx, sink, parts, left, out); err != nil {
			return nil, fmt.Errorf("read %s: %w", fault.Count(len(parts), "partition", "partitions"), err)
		}
		if len(left) == 0 {
			break
		}
	}
	return out, nil
}

const verifyTries = 5

// verify sets the checks of some partitions and returns those of them that a commit changed
// meanwhile.
func verify(ctx context.Context, sink Sink, parts []coverage.Partition, which []int, out []Check) (changed []int, err error) {
	var keys []coverage.Key
	var of []int // the partition of each key
	var claims []coverage.Record
	for _, n := range which {
		c := &out[n]
		*c = Check{PartitionID: parts[n].ID, Verdict: coverage.Missing}
		var last time.Time
		held := 0
		for _, k := range keysOf(parts[n]) {
			r, ok := sink.Held(k)
			if ok {
				if held++; held == 1 {
					c.Verdict = r.Verdict
				}
				c.Claimed += r.Rows
				c.Verdict = coverage.Worst(c.Verdict, r.Verdict)
				if !r.CommittedAt.Before(last) {
					last, c.RunID = r.CommittedAt, r.RunID
				}
			}
			// A symbol's day without a record has no row either, unless another program has written
			// to the file: both are read for universe, and for targets if the coverage has the key.
			if !ok && k.Symbol != "" {
				continue
			}
			keys, of, claims = append(keys, k), append(of, n), append(claims, r)
		}
	}
	found, err := sink.Contents(ctx, keys...)
	if err != nil {
		return nil, err
	}
	for i, f := range found {
		n := of[i]
		c := &out[n]
		c.Rows, c.Duplicates = c.Rows+f.Rows, c.Duplicates+f.Duplicates
		c.Altered = c.Altered || f.Hash != claims[i].RowsHash
		if now, _ := sink.Held(keys[i]); now.Epoch != claims[i].Epoch && (len(changed) == 0 || changed[len(changed)-1] != n) {
			changed = append(changed, n)
		}
	}
	return changed, nil
}

func keysOf(p coverage.Partition) []coverage.Key {
	if p.Start == market.NoDate {
		return []coverage.Key{{Dataset: p.Dataset, Date: market.NoDate}}
	}
	var out []coverage.Key
	for d := p.Start; d <= p.End; d++ {
		if len(p.Symbols) == 0 {
			out = append(out, coverage.Key{Dataset: p.Dataset, Date: d})
		}
		for _, s := range p.Symbols {
			out = append(out, coverage.Key{Dataset: p.Dataset, Date: d, Symbol: s})
		}
	}
	return out
}

// Select returns the datasets of the requested modules. INVALID_ARGUMENT for a module that
// does not exist or that the pool does not store, and MODULE_NOT_SYNC_CAPABLE for one that
// is not implemented.
func Select(pool market.Pool, modules []string) ([]*catalog.Dataset, error) {
	for n, id := range modules {
		m := catalog.LookupModule(id)
		if m == nil {
			return nil, fault.Invalid(fmt.Sprintf("module_ids[%d]", n), "there is no module %.60q", id)
		}
		if !m.Built {
			return nil, fault.New(fault.ModuleNotSyncCapable, fmt.Sprintf("%s (%s) is in the catalog but not implemented.", m.ID, m.Title), "module", m.ID)
		}
	}
	var out []*catalog.Dataset
	for _, d := range catalog.Datasets() {
		if slices.Contains(modules, d.Module) {
			out = append(out, d)
		}
	}
	return out, nil
}
