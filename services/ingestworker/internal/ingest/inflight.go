package ingest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// flights knows which partitions are in progress and the highest epoch of each. The pools
// check epochs again when they commit, across restarts; this check avoids the calls of a
// dispatch that must not write.
type flights struct {
	mu     sync.Mutex
	seen   map[flightKey]int64
	active map[flightKey]*flight
	// planned are the partitions of `daily` in each pool's last plan that have not begun, and
	// begun is closed when one begins.
	planned map[market.Pool]map[string]coverage.Partition
	begun   chan struct{}
}

type flightKey struct {
	pool market.Pool
	id   string
}

type flight struct {
	work   Work
	since  time.Time
	cancel context.CancelCauseFunc
	// judged is closed when the verdict is known, done when the flight has ended.
	judged, done chan struct{}
	once         sync.Once
	// counts and whole are valid after judged is closed.
	counts coverage.ExchangeCounts
	whole  bool
	// turn is the order in which its day was remembered, among all; 0 before. remembered is
	// closed then, or when the flight has ended without it.
	turn       atomic.Int64
	remembered chan struct{}
	known      sync.Once
	// accused are the findings of others about its day while it is in progress; told is true
	// after it has read them for the last time.
	mu      sync.Mutex
	accused []accusation
	told    bool
}

// accuse hands a finding to a partition in progress, which charges itself once it has
// committed; false where it has already.
func (fl *flight) accuse(a accusation) bool {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if !fl.told {
		fl.accused = append(fl.accused, a)
	}
	return !fl.told
}

// accusations are those handed to it; later ones are refused.
func (fl *flight) accusations() []accusation {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.told = true
	return fl.accused
}

// remember tells waiters that the day is remembered, or never will be.
func (fl *flight) remember() { fl.known.Do(func() { close(fl.remembered) }) }

// mostSeen limits the memory of the epochs; ten years of the universe pool are about 10,000
// partitions.
const mostSeen = 50_000

func newFlights() *flights {
	return &flights{seen: map[flightKey]int64{}, active: map[flightKey]*flight{}, planned: map[market.Pool]map[string]coverage.Partition{}, begun: make(chan struct{})}
}

// begin registers a dispatch. STALE_EPOCH for an epoch lower than a previous one, or equal
// to that of one in progress; a newer one than that in progress cancels it and begins when
// it has ended.
func (f *flights) begin(ctx context.Context, w Work) (context.Context, *flight, error) {
	k := flightKey{w.Partition.Pool, w.Partition.ID}
	for {
		f.mu.Lock()
		before := f.active[k]
		if newest := f.seen[k]; w.Epoch < newest || before != nil && w.Epoch == before.work.Epoch {
			f.mu.Unlock()
			return nil, nil, stale(w, newest)
		}
		f.seen[k] = w.Epoch
		if before == nil {
			f.prune()
			ctx, cancel := context.WithCancelCause(ctx)
			fl := &flight{work: w, since: time.Now(), cancel: cancel, judged: make(chan struct{}), done: make(chan struct{}), remembered: make(chan struct{})}
			f.active[k] = fl
			if _, planned := f.planned[k.pool][k.id]; planned {
				delete(f.planned[k.pool], k.id)
				close(f.begun)
				f.begun = make(chan struct{})
			}
			f.mu.Unlock()
			return ctx, fl, nil
		}
		f.mu.Unlock()
		before.cancel(stale(before.work, w.Epoch))
		select {
		case <-before.done:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

func stale(w Work, newest int64) error {
	return fault.New(fault.StaleEpoch,
		fmt.Sprintf("%s was dispatched again with epoch %d, so epoch %d must not write.", w.Partition.ID, newest, w.Epoch),
		"partition_id", w.Partition.ID, "epoch", fmt.Sprint(w.Epoch), "newest_epoch", fmt.Sprint(newest))
}

func (f *flights) prune() {
	if len(f.seen) <= mostSeen {
		return
	}
	for k := range f.seen {
		if f.active[k] == nil {
			delete(f.seen, k)
		}
	}
}

func (f *flights) end(fl *flight) {
	fl.judge(coverage.ExchangeCounts{}, false)
	fl.accusations()
	fl.remember()
	fl.cancel(nil)
	f.mu.Lock()
	delete(f.active, flightKey{fl.work.Partition.Pool, fl.work.Partition.ID})
	f.mu.Unlock()
	close(fl.done)
}

// judge tells waiters the verdict of a daily partition.
func (fl *flight) judge(c coverage.ExchangeCounts, whole bool) {
	fl.once.Do(func() {
		fl.counts, fl.whole = c, whole
		close(fl.judged)
	})
}

// plan records which partitions will be dispatched for a pool.
func (f *flights) plan(p market.Pool, parts []coverage.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planned[p] = map[string]coverage.Partition{}
	for _, part := range parts {
		if part.Dataset == catalog.Daily && f.active[flightKey{p, part.ID}] == nil {
			f.planned[p][part.ID] = part
		}
	}
}

// patience is how long a planned partition of `daily` that has not begun is waited for. It
// is dispatched before those that depend on it, so the wait is short unless its dispatch
// failed.
const patience = 500 * time.Millisecond

// daily is restedOn after the planned ones have begun.
func (f *flights) daily(ctx context.Context, p coverage.Partition) ([]*flight, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		f.mu.Lock()
		begun, due := f.begun, false
		for _, q := range f.planned[p.Pool] {
			due = due || restsOn(p, q)
		}
		f.mu.Unlock()
		if !due {
			return f.restedOn(p), nil
		}
		select {
		case <-begun:
		case <-late.C:
			return f.restedOn(p), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// restedOn lists the partitions of `daily` in progress on which a partition depends.
func (f *flights) restedOn(p coverage.Partition) []*flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*flight
	for _, fl := range f.active {
		if restsOn(p, fl.work.Partition) {
			out = append(out, fl)
		}
	}
	return out
}

// restsOn reports whether a partition is judged against another one, which is of `daily`.
func restsOn(p, daily coverage.Partition) bool {
	if daily.Pool != p.Pool || daily.Dataset != catalog.Daily || daily.Start > p.End || daily.End < p.Start {
		return false
	}
	return len(p.Symbols) == 0 || slices.ContainsFunc(p.Symbols, func(s string) bool { return slices.Contains(daily.Symbols, s) })
}

// beside is another flight of a whole trade date in the same pool, or nil. In targets the
// date may be fetched for several lists of symbols; then it is the one that was remembered
// first.
func (f *flights) beside(mine *flight, k coverage.Key) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	pool := mine.work.Partition.Pool
	if pool != market.Targets {
		if other := f.active[flightKey{pool, coverage.PartitionID(k.Dataset, k.Date, k.Date, nil)}]; other != mine {
			return other
		}
		return nil
	}
	var first *flight
	for _, fl := range f.active {
		q := fl.work.Partition
		if fl == mine || q.Pool != pool || q.Dataset != k.Dataset || q.Start != k.Date || q.End != k.Date || fl.turn.Load() == 0 {
			continue
		}
		if first == nil || fl.turn.Load() < first.turn.Load() {
			first = fl
		}
	}
	return first
}

// earlier is the flight of a whole trade date whose day was remembered before that of mine;
// nil if there is none. One with a later turn sees mine and judges for itself, so there is
// no deadlock.
func (f *flights) earlier(mine *flight, k coverage.Key) *flight {
	other := f.beside(mine, k)
	if other == nil {
		return nil
	}
	if turn := other.turn.Load(); turn == 0 || turn > mine.turn.Load() {
		return nil
	}
	return other
}

// remembered waits until the day of a whole trade date in progress is remembered. That
// waits for no other day of its dataset, so there is no deadlock.
func (f *flights) remembered(ctx context.Context, mine *flight, k coverage.Key) error {
	if other := f.beside(mine, k); other != nil {
		return wait(ctx, other.remembered)
	}
	return nil
}

// settled waits until an earlier flight has ended.
func (f *flights) settled(ctx context.Context, mine *flight, k coverage.Key) error {
	if other := f.earlier(mine, k); other != nil {
		return wait(ctx, other.done)
	}
	return nil
}

// verdict waits until an earlier flight is judged.
func (f *flights) verdict(ctx context.Context, mine *flight, k coverage.Key) error {
	if other := f.earlier(mine, k); other != nil {
		return wait(ctx, other.judged)
	}
	return nil
}

// dates lists the whole trade dates in progress of a partition's own dataset that are later
// than its date range. They wait for no date range, so there is no deadlock.
func (f *flights) dates(p coverage.Partition) []*flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*flight
	for _, fl := range f.active {
		q := fl.work.Partition
		if q.Pool == p.Pool && q.Dataset == p.Dataset && q.Start == q.End && q.Start > p.End {
			out = append(out, fl)
		}
	}
	return out
}

func (f *flights) list(runID string) []Active {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Active, 0, len(f.active))
	for _, fl := range f.active {
		if runID == "" || fl.work.RunID == runID {
			out = append(out, Active{fl.work, fl.since})
		}
	}
	slices.SortFunc(out, func(a, b Active) int { return a.Since.Compare(b.Since) })
	return out
}

func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
