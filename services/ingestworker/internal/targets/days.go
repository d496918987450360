package targets

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"sync"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// The tables are sorted by symbol, so reading a date of all symbols takes one search per
// symbol. The days that were committed or read last are cached.

// mostRemembered is how many rows of days are cached; one takes at most 76 bytes.
const mostRemembered = 150_000

// date identifies all rows of a dataset on one trade date.
type date struct {
	dataset string
	date    market.Date
}

// days caches the values of whole dates in the file. Committers change it while they have
// the sink's turn.
type days struct {
	mu   sync.Mutex
	held []*evidence.Day // least recently used first
	rows int
}

func (d *days) get(k date) *evidence.Day {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.find(k)
	if i < 0 {
		return nil
	}
	day := d.held[i]
	d.held = append(slices.Delete(d.held, i, i+1), day)
	return day
}

func (d *days) find(k date) int {
	return slices.IndexFunc(d.held, func(x *evidence.Day) bool { return x.Date == k.date && x.Dataset == k.dataset })
}

func (d *days) put(day *evidence.Day) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := d.find(date{day.Dataset, day.Date}); i >= 0 {
		d.rows -= len(d.held[i].Symbols)
		d.held = slices.Delete(d.held, i, i+1)
	}
	d.held, d.rows = append(d.held, day), d.rows+len(day.Symbols)
	for d.rows > mostRemembered {
		d.rows -= len(d.held[0].Symbols)
		d.held = slices.Delete(d.held, 0, 1)
	}
}

// forget removes the days of a dataset from start to end.
func (d *days) forget(dataset string, start, end market.Date) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = slices.DeleteFunc(d.held, func(x *evidence.Day) bool {
		gone := x.Dataset == dataset && x.Date >= start && x.Date <= end
		if gone {
			d.rows -= len(x.Symbols)
		}
		return gone
	})
}

func (d *days) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held, d.rows = nil, 0
}

// remember caches what a commit has written of a date if that is all that the pool has of
// it, and removes what it has made outdated.
func (w *work) remember() {
	part := w.commit.Partition
	if w.commit.Batch == nil || w.dataset.Snapshot {
		return
	}
	d, x := &w.sink.days, w.sink.index
	if part.Start == part.End && x.rowsOn(date{w.dataset.ID, part.Start}) == w.commit.Batch.Len {
		if day := evidence.NewDay(w.dataset, part.Start, w.commit.Batch); day != nil && len(day.Symbols) == w.commit.Batch.Len {
			d.put(day)
			return
		}
	}
	d.forget(w.dataset.ID, part.Start, part.End)
}

// Day implements ingest.DayReader.
func (s *Sink) Day(ctx context.Context, dataset string, d market.Date) (*evidence.Day, error) {
	ds, k := catalog.Lookup(dataset), date{dataset, d}
	if ds == nil || ds.Snapshot {
		return nil, fault.Invalid("dataset", "%.40q has no trade dates", dataset)
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	if day := s.days.get(k); day != nil {
		return day, nil
	}
	b, names := pool.Held(ds, 0)
	if s.index.rowsOn(k) == 0 {
		return evidence.NewDay(ds, d, b), nil
	}
	var day *evidence.Day
	err := s.use(ctx, func(db *sql.DB) error {
		symbols, err := json.Marshal(s.index.symbolsOn(k))
		if err != nil {
			return err
		}
		err = readBatch(ctx, db, b, "SELECT "+names+" FROM json_each(?) CROSS JOIN "+ds.Table+" ON symbol = json_each.value AND trade_date = ?",
			string(symbols), d.String())
		if err != nil {
			return err
		}
		day = evidence.NewDay(ds, d, b)
		s.days.put(day) // while nobody commits
		return nil
	})
	if err == nil && day == nil { // the file was deleted
		day = evidence.NewDay(ds, d, b)
	}
	return day, err
}

// Traded implements ingest.DayReader.
func (s *Sink) Traded(ctx context.Context, dataset string, start market.Date) ([]market.Date, error) {
	s.Refresh(ctx)
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	return s.index.daysWithRows(dataset, start), nil
}

// rowsOn is the number of stored rows of a date.
func (x *index) rowsOn(k date) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.perDate[k]
}

// symbolsOn lists the symbols with a stored row on a date, in order.
func (x *index) symbolsOn(k date) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]string, 0, x.perDate[k])
	for s, c := range x.series {
		if s.dataset != k.dataset {
			continue
		}
		if i, held := c.find(k.date); held && x.day(c, i).rows() > 0 {
			out = append(out, s.symbol)
		}
	}
	slices.Sort(out)
	return out
}

func (x *index) daysWithRows(dataset string, start market.Date) []market.Date {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []market.Date
	for k := range x.perDate {
		if k.dataset == dataset && k.date >= start {
			out = append(out, k.date)
		}
	}
	return out
}

// count adds to the number of rows of a date. The caller has the lock, or is the only one.
func (x *index) count(k date, rows int64) {
	x.rows += rows
	if n := x.perDate[k] + int(rows); n == 0 {
		delete(x.perDate, k)
	} else {
		x.perDate[k] = n
	}
}
