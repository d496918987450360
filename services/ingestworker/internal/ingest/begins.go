package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/market"
)

// beginnings records where the provider's datasets begin: moneyflow has nothing before 2007
// or 2010, whatever the lists say.
type beginnings struct {
	mu sync.Mutex
	// none is, per dataset, the newest date up to which there are known to be no rows.
	none map[string]market.Date
}

func (b *beginnings) known(dataset string, d market.Date) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	none, ok := b.none[dataset]
	return ok && d <= none
}

func (b *beginnings) learn(dataset string, d market.Date) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.none == nil {
		b.none = map[string]market.Date{}
	}
	b.none[dataset] = max(d, b.none[dataset])
}

// older is how many trading days before an empty date are checked, too: a gap is shorter
// than a year.
var older = []int{1, 3, 10, 40, 120, 240}

// beforeFirst determines whether a date without rows is before the dataset's first: no row
// of it or of an older date is stored, several older dates are empty, too, and the provider
// does return rows for the oldest stored date, or if none is stored yet, for the last
// trading day before today. empty is true if the whole date was fetched.
func (j *job) beforeFirst(ctx context.Context, cal Calendar, d market.Date, empty bool) (bool, error) {
	next, held := market.NoDate, false
	err := j.sink.Coverage(ctx, []string{j.ds.ID}, market.NoDate, market.NoDate, func(r coverage.Record) bool {
		if r.Rows > 0 && r.Date <= d {
			held = true
			return false
		}
		if r.Rows > 0 && (next == market.NoDate || r.Date < next) {
			next = r.Date
		}
		return true
	})
	if err != nil || held {
		return false, err
	}
	if next == market.NoDate { // a first fill, whose partitions come in any order
		next = cal.Before(market.DateOf(time.Now()))
	}
	if next <= d {
		return false, nil
	}
	if j.i.begins.known(j.ds.ID, d) {
		return true, nil
	}
	has := func(d market.Date) (bool, error) {
		ans, err := j.ask(ctx, map[string]string{"trade_date": d.Compact()})
		return ans.Batch != nil && ans.Batch.Len > 0, err
	}
	if !empty {
		if some, err := has(d); err != nil || some {
			return false, err
		}
	}
	at, back := d, 0
	for _, n := range older {
		for ; back < n && at != market.NoDate; back++ {
			at = cal.Before(at)
		}
		if at == market.NoDate || at < coverage.ExchangesOpen {
			break // there is nothing before
		}
		if some, err := has(at); err != nil || some {
			return false, err
		}
	}
	if some, err := has(next); err != nil || !some {
		return false, err // it returns rows for nothing, which proves nothing
	}
	j.i.begins.learn(j.ds.ID, d)
	return true, nil
}
