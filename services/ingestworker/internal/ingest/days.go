package ingest

import (
	"slices"
	"sync"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/internal/market"
)

// mostDays is how many days of each dataset are remembered of universe: more than a backfill
// has in progress at once, so that neighbours meet in memory. Of targets those of the last
// evenings are, which are whole though the pool holds few symbols of them.
const (
	mostDays  = 14
	fewerDays = 4
)

// days remembers the values of the last judged days, so that a day is compared with its
// neighbours without reading them from the file.
type days struct {
	most  int // of each dataset
	mu    sync.Mutex
	held  map[string][]*evidence.Day // by dataset, oldest first
	turns int64
}

// put remembers a day and returns which others are remembered at that time, by key: of two
// that are judged at once, exactly one sees the other, the one whose flight has the later
// turn.
func (d *days) put(fl *flight, day *evidence.Day) map[coverage.Key]*evidence.Day {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		d.held = map[string][]*evidence.Day{}
	}
	d.turns++
	fl.turn.Store(d.turns)
	defer fl.remember()
	kept := slices.DeleteFunc(slices.Clone(d.held[day.Dataset]), func(x *evidence.Day) bool { return x.Date == day.Date })
	d.held[day.Dataset] = append(kept[max(0, len(kept)+1-d.most):], day)
	seen := map[coverage.Key]*evidence.Day{}
	for _, list := range d.held {
		for _, x := range list {
			if x != day {
				seen[coverage.Key{Dataset: x.Dataset, Date: x.Date}] = x
			}
		}
	}
	return seen
}

// drop removes a day whose rows were not stored.
func (d *days) drop(day *evidence.Day) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[day.Dataset] = slices.DeleteFunc(slices.Clone(d.held[day.Dataset]), func(x *evidence.Day) bool { return x == day })
}

// get is a remembered day, or nil.
func (d *days) get(k coverage.Key) *evidence.Day {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.IndexFunc(d.held[k.Dataset], func(x *evidence.Day) bool { return x.Date == k.Date }); i >= 0 {
		return d.held[k.Dataset][i]
	}
	return nil
}

// holds reports whether a day is remembered still.
func (d *days) holds(day *evidence.Day) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.held[day.Dataset], day)
}

// nearest is the remembered day of a dataset that is nearest to a date, or nil.
func (d *days) nearest(dataset string, date market.Date) *evidence.Day {
	d.mu.Lock()
	defer d.mu.Unlock()
	var best *evidence.Day
	distance := func(x *evidence.Day) market.Date { return max(x.Date-date, date-x.Date) }
	for _, x := range d.held[dataset] {
		if x.Date != date && (best == nil || distance(x) < distance(best)) {
			best = x
		}
	}
	return best
}
