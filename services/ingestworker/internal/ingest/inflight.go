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

// flights knows which partitions are in progress and the highest epoch seen of each.
// The pools check epochs again when they commit, across restarts; this fence
// spares the provider the calls of a dispatch that must not write.
type flights struct {
	mu     sync.Mutex
	seen   map[flightKey]int64
	active map[flightKey]*flight
}

type flightKey struct {
	pool market.Pool
	id   string
}

type flight struct {
	work   Work
	since  time.Time
	cancel context.CancelCauseFunc
	// judged closes when the verdict is known, done when the flight has ended.
	judged, done chan struct{}
	once         sync.Once
	// counts and whole are valid once judged is closed.
	counts coverage.ExchangeCounts
	whole  bool
	// turn is when its day was remembered, in the order of all; 0 before.
	turn atomic.Int64
}

// mostSeen bounds the memory of the fence; ten years of the universe pool are
// some 10,000 partitions.
const mostSeen = 50_000

func newFlights() *flights {
	return &flights{seen: map[flightKey]int64{}, active: map[flightKey]*flight{}}
}

// begin registers a dispatch. One with a lower epoch than any seen, or with the
// epoch of one in progress, is STALE_EPOCH; one that is newer than the one in progress
// ends that and begins when it has ended.
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
			fl := &flight{work: w, since: time.Now(), cancel: cancel, judged: make(chan struct{}), done: make(chan struct{})}
			f.active[k] = fl
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
	fl.cancel(nil)
	f.mu.Lock()
	delete(f.active, flightKey{fl.work.Partition.Pool, fl.work.Partition.ID})
	f.mu.Unlock()
	close(fl.done)
}

// judge tells those who wait what a daily partition was found to be.
func (fl *flight) judge(c coverage.ExchangeCounts, whole bool) {
	fl.once.Do(func() {
		fl.counts, fl.whole = c, whole
		close(fl.judged)
	})
}

// daily lists the partitions of `daily` in progress that a partition rests on.
func (f *flights) daily(p coverage.Partition) []*flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*flight
	for _, fl := range f.active {
		q := fl.work.Partition
		if q.Pool != p.Pool || q.Dataset != catalog.Daily || q.Start > p.End || q.End < p.Start {
			continue
		}
		if len(p.Symbols) == 0 || slices.ContainsFunc(p.Symbols, func(s string) bool { return slices.Contains(q.Symbols, s) }) {
			out = append(out, fl)
		}
	}
	return out
}

// settled waits until the flight of a whole trade date has ended, where its day was
// remembered before that of mine. One with a later turn sees mine and judges for
// itself, so nobody waits in a circle.
func (f *flights) settled(ctx context.Context, mine *flight, k coverage.Key) error {
	f.mu.Lock()
	other := f.active[flightKey{mine.work.Partition.Pool, coverage.PartitionID(k.Dataset, k.Date, k.Date, nil)}]
	f.mu.Unlock()
	if other == nil || other == mine {
		return nil
	}
	if turn := other.turn.Load(); turn == 0 || turn > mine.turn.Load() {
		return nil
	}
	return wait(ctx, other.done)
}

// dates lists the whole trade dates in progress of a partition's own dataset, later
// than its span. They wait for no span, so nobody waits in a circle.
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
