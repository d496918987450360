package targets

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
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

// A backfill needs the days of a dataset one after another, from the newest back. They are
// then read together: each search for a symbol finds its rows of all of them.
const (
	mostAhead     = 32                 // dates that are read together
	mostAheadRows = mostRemembered / 3 // and their rows
	aheadWithin   = 45                 // calendar days between two dates of a series of reads
)

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
	// reads are the last series of reads by dataset.
	reads map[string]reads
	// changed are the commits since the present read has begun; nil without one.
	changed []change
}

// change is a commit of a dataset, or of all if it is empty.
type change struct {
	dataset    string
	start, end market.Date
}

// reads is a series of reads of dates that are near each other, none newer than the first.
type reads struct {
	first, last market.Date
	ahead       int // how many dates the last one read
}

// ahead is how many dates to read together with a date that is not cached, including it: one
// for a single read, and twice as many each time that the series goes on.
func (d *days) ahead(k date) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.reads[k.dataset]
	if ok && k.date <= r.first && max(k.date-r.last, r.last-k.date) <= aheadWithin {
		r.ahead = min(2*r.ahead, mostAhead)
	} else {
		r = reads{first: k.date, ahead: 1}
	}
	r.last = k.date
	if d.reads == nil {
		d.reads = map[string]reads{}
	}
	d.reads[k.dataset] = r
	return r.ahead
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
	d.held, d.rows, d.reads = nil, 0, nil
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
	var from market.Date
	var symbols []string
	var rows int
	err := s.beside(ctx, func() {
		s.days.begin()
		from = s.index.back(k, s.days.ahead(k), func(at market.Date) bool { return s.days.get(date{dataset, at}) != nil })
		symbols, rows = s.index.rowsWithin(dataset, from, d)
	}, func(db *sql.DB) (err error) {
		day, err = s.readDays(ctx, db, ds, from, d, symbols, rows)
		return err
	})
	if err == nil && day == nil { // the file was deleted
		day = evidence.NewDay(ds, d, b)
	}
	return day, err
}

// readDays reads the rows of some symbols from a date to another one into the cache, and
// returns the last day. size is about how many rows there are.
func (s *Sink) readDays(ctx context.Context, db *sql.DB, ds *catalog.Dataset, from, to market.Date, symbols []string, size int) (*evidence.Day, error) {
	list, err := json.Marshal(symbols)
	if err != nil {
		return nil, err
	}
	b, names := pool.Held(ds, size)
	err = readBatch(ctx, reading(db), b, "SELECT "+names+" FROM json_each(?) CROSS JOIN "+ds.Table+" ON symbol = json_each.value AND trade_date BETWEEN ? AND ?",
		string(list), from.String(), to.String())
	if err != nil {
		return nil, err
	}
	rows := map[market.Date][]int{to: {}}
	_, dates := pool.KeyColumns(ds, b)
	for r, at := range dates.Dates {
		if at != market.NoDate { // a text that is not a date
			rows[at] = append(rows[at], r)
		}
	}
	var day *evidence.Day
	for _, at := range slices.Sorted(maps.Keys(rows)) {
		day = evidence.NewDayOf(ds, at, b, rows[at])
		s.days.found(day)
	}
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
	return x.perDate[k]
}

// back is the oldest of up to n dates with rows, counted back from a date to the next one that
// is cached, that together have at most mostAheadRows; the date itself where there is no other.
func (x *index) back(k date, n int, cached func(market.Date) bool) market.Date {
	if n == 1 {
		return k.date
	}
	held := x.daysWithRows(k.dataset, k.date-aheadWithin)
	slices.Sort(held)
	x.mu.RLock()
	defer x.mu.RUnlock()
	rows, from := x.perDate[k], k.date
	for _, d := range slices.Backward(held) {
		if d >= k.date {
			continue
		}
		if n--; n == 0 || cached(d) {
			break
		}
		if rows += x.perDate[date{k.dataset, d}]; rows > mostAheadRows {
			break
		}
		from = d
	}
	return from
}

// rowsWithin lists the symbols of a dataset with a stored row from start to end, in order, and
// counts their rows.
func (x *index) rowsWithin(dataset string, start, end market.Date) (symbols []string, rows int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	symbols = make([]string, 0, x.perDate[date{dataset, end}])
	for s, c := range x.series {
		if s.dataset != dataset {
			continue
		}
		n := 0
		for i, _ := c.find(start); i < len(c.dates) && c.dates[i] <= end; i++ {
			n += int(x.day(c, i).rows())
		}
		if n > 0 {
			symbols, rows = append(symbols, s.symbol), rows+n
		}
	}
	slices.Sort(symbols)
	return symbols, rows
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
