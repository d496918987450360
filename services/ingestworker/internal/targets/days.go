package targets

import (
	"context"
	"database/sql"
	"slices"
	"sync"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// The days that were committed or read last are cached.

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
	reading sync.Mutex // held by the goroutine that reads days from the file

	mu   sync.Mutex
	held []*evidence.Day // least recently used first
	rows int
	// changed are the commits since the present read has begun; nil without one.
	changed []change
}

// change is a commit of a dataset, or of all if it is empty.
type change struct {
	dataset    string
	start, end market.Date
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

// put caches a day as it was committed.
func (d *days) put(day *evidence.Day) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(change{day.Dataset, day.Date, day.Date})
	d.add(day)
}

// begin is called before days are read, and end when they have been read.
func (d *days) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = []change{}
}

func (d *days) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = nil
}

// note remembers a commit during a read. The caller has the lock.
func (d *days) note(c change) {
	if d.changed != nil {
		d.changed = append(d.changed, c)
	}
}

// found caches a day that was read, unless a part of it was committed meanwhile.
func (d *days) found(day *evidence.Day) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.ContainsFunc(d.changed, func(c change) bool {
		return c.dataset == "" || c.dataset == day.Dataset && c.start <= day.Date && day.Date <= c.end
	}) {
		d.add(day)
	}
}

// add caches a day. The caller has the lock.
func (d *days) add(day *evidence.Day) {
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
	d.note(change{dataset, start, end})
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
	d.note(change{})
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
	b, _ := pool.Held(ds, 0)
	if s.index.rowsOn(k) == 0 {
		return evidence.NewDay(ds, d, b), nil
	}
	var day *evidence.Day
	// Those that need a day which is being read wait here, and not for the turn.
	s.days.reading.Lock()
	defer s.days.reading.Unlock()
	if day = s.days.get(k); day != nil {
		return day, nil
	}
	defer s.days.end()
	err := s.beside(ctx, s.days.begin, func(db *sql.DB) (err error) {
		day, err = s.readDay(ctx, db, ds, d)
		return err
	})
	if err == nil && day == nil { // the file was deleted
		day = evidence.NewDay(ds, d, b)
	}
	return day, err
}

// readDay reads a date of a dataset, and caches it.
func (s *Sink) readDay(ctx context.Context, db *sql.DB, ds *catalog.Dataset, d market.Date) (*evidence.Day, error) {
	b, names := pool.Held(ds, s.index.rowsOn(date{ds.ID, d}))
	if err := readBatch(ctx, reading(db), b, "SELECT "+names+" FROM "+ds.Table+" WHERE trade_date = ? AND "+ofKind(ds), d.String()); err != nil {
		return nil, err
	}
	day := evidence.NewDay(ds, d, b)
	s.days.found(day)
	return day, nil
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
	if t := x.datasets[k.dataset].at(k.date); t != nil {
		return t.rows
	}
	return 0
}

func (x *index) daysWithRows(dataset string, start market.Date) []market.Date {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r := x.datasets[dataset]
	if r == nil {
		return nil
	}
	var out []market.Date
	from, _ := r.find(start)
	for _, t := range r.dates[from:] {
		if t.rows > 0 {
			out = append(out, t.date)
		}
	}
	return out
}
