package targets

import (
	"slices"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// stamp is what the records of one commit have in common: a row of commits.
type stamp struct {
	id          int64
	runID       string
	epoch       int64
	committedAt time.Time
	issues      []fault.Issue
	// records is the number of records that refer to it; without any, the row is deleted.
	records int
	at      int32 // its index in the cache while records refer to it
	// again is true if the row of commits stays and is changed.
	again bool
}

// series identifies the days of one symbol in one dataset; a snapshot is a series without a
// symbol and with one day, NoDate.
type series struct{ dataset, symbol string }

// day is one record as it is read from the index. What does not fit is in extra.
type day struct {
	stamp *stamp
	extra *coverage.Record // nil for a normal record
	hash  uint64           // of its rows
	date  market.Date
	bits  uint16 // rows, expected, new, changed, gone, each 0 or 1; above them the verdict; coverage_days has them as state
}

const (
	bitRows = 1 << iota
	bitExpected
	bitNew
	bitChanged
	bitGone
	verdictShift = iota
)

// column has the days of one series, ascending by date, without a pointer per day, because
// there are millions.
type column struct {
	dates  []market.Date
	hashes []uint64
	bits   []uint16
	stamps []int32 // places in index.stamps
	extra  map[market.Date]*coverage.Record
}

func (c *column) find(d market.Date) (int, bool) {
	if c == nil {
		return 0, false
	}
	return slices.BinarySearch(c.dates, d)
}

// index is the coverage in memory. Commits change it while they have the sink's turn;
// readers may read at any time.
type index struct {
	mu     sync.RWMutex
	series map[series]*column
	// ids are the numbers of series in the file; they stay when a series has no days any more.
	ids  map[series]int64
	last int64 // the highest of ids
	// stamps are those to which records refer; an entry without a stamp is free.
	stamps []*stamp
	free   []int32
	rows   int64
	// perDate is the number of rows of each date; a date without rows has no entry.
	perDate map[date]int
	loaded  bool
}

func newIndex() *index {
	return &index{series: make(map[series]*column), ids: make(map[series]int64), perDate: make(map[date]int)}
}

func (x *index) ready() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.loaded
}

func (x *index) replace(other *index) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.series, x.ids, x.last, x.stamps, x.free, x.rows, x.perDate, x.loaded = other.series, other.ids, other.last, other.stamps, other.free, other.rows, other.perDate, true
}

// clear is for a file that was deleted: nothing is stored, and the next file is read.
func (x *index) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.series, x.ids, x.last, x.stamps, x.free, x.rows, x.perDate, x.loaded = make(map[series]*column), make(map[series]int64), 0, nil, nil, 0, make(map[date]int), false
}

func (x *index) holdsRows() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.rows > 0
}

// day is the i-th of a column.
func (x *index) day(c *column, i int) day {
	return day{stamp: x.stamps[c.stamps[i]], extra: c.extra[c.dates[i]], hash: c.hashes[i], date: c.dates[i], bits: c.bits[i]}
}

func (x *index) get(k coverage.Key) (coverage.Record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := series{k.Dataset, k.Symbol}
	c := x.series[s]
	i, ok := c.find(k.Date)
	if !ok {
		return coverage.Record{}, false
	}
	return x.day(c, i).record(s), true
}

// span copies the days of a series between two dates, inclusive.
func (x *index) span(s series, start, end market.Date) []day {
	x.mu.RLock()
	defer x.mu.RUnlock()
	c := x.series[s]
	from, _ := c.find(start)
	to, found := c.find(end)
	if found {
		to++
	}
	if from >= to {
		return nil
	}
	out := make([]day, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, x.day(c, i))
	}
	return out
}

// names lists the series of the datasets, all if the list is empty.
func (x *index) names(datasets []string) []series {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []series
	for s := range x.series {
		if len(datasets) == 0 || slices.Contains(datasets, s.dataset) {
			out = append(out, s)
		}
	}
	return out
}

// name stores the numbers of series after they were written to the file.
func (x *index) name(ids map[series]int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for s, id := range ids {
		x.ids[s], x.last = id, max(x.last, id)
	}
}

// place is the index of a stamp.
func (x *index) place(st *stamp) int32 {
	if st.records > 0 {
		return st.at
	}
	if n := len(x.free); n > 0 {
		st.at, x.free = x.free[n-1], x.free[:n-1]
		x.stamps[st.at] = st
	} else {
		st.at = int32(len(x.stamps))
		x.stamps = append(x.stamps, st)
	}
	return st.at
}

// release removes one record from a stamp, and the stamp with its last record.
func (x *index) release(at int32) {
	st := x.stamps[at]
	if st.records--; st.records == 0 {
		x.stamps[at] = nil
		x.free = append(x.free, at)
	}
}

// put sets a record. The caller has the lock, or is the only one.
func (x *index) put(r coverage.Record, st *stamp) {
	x.putDay(series{r.Dataset, r.Symbol}, newDay(&r, st))
}

// putDay sets the record of a day. The caller has the lock, or is the only one.
func (x *index) putDay(s series, d day) {
	c := x.series[s]
	if c == nil {
		c = &column{}
		x.series[s] = c
	}
	at := x.place(d.stamp)
	d.stamp.records++
	i, held := c.find(d.date)
	rows, before := d.rows(), int64(0)
	if held {
		before = x.day(c, i).rows()
		x.release(c.stamps[i])
		c.hashes[i], c.bits[i], c.stamps[i] = d.hash, d.bits, at
	} else {
		c.dates, c.hashes = slices.Insert(c.dates, i, d.date), slices.Insert(c.hashes, i, d.hash)
		c.bits, c.stamps = slices.Insert(c.bits, i, d.bits), slices.Insert(c.stamps, i, at)
	}
	if rows != before {
		x.count(date{s.dataset, d.date}, rows-before)
	}
	switch {
	case d.extra != nil:
		if c.extra == nil {
			c.extra = make(map[market.Date]*coverage.Record)
		}
		c.extra[d.date] = d.extra
	case c.extra != nil:
		delete(c.extra, d.date)
	}
}

// drop removes a record.
func (x *index) drop(k coverage.Key) {
	s := series{k.Dataset, k.Symbol}
	c := x.series[s]
	i, held := c.find(k.Date)
	if !held {
		return
	}
	if rows := x.day(c, i).rows(); rows != 0 {
		x.count(date{k.Dataset, k.Date}, -rows)
	}
	x.release(c.stamps[i])
	c.dates, c.hashes = slices.Delete(c.dates, i, i+1), slices.Delete(c.hashes, i, i+1)
	c.bits, c.stamps = slices.Delete(c.bits, i, i+1), slices.Delete(c.stamps, i, i+1)
	delete(c.extra, k.Date)
}

func newDay(r *coverage.Record, st *stamp) day {
	d := day{stamp: st, hash: r.RowsHash, date: r.Date}
	for i, n := range []int64{r.Rows, r.Expected, r.New, r.Changed, r.Gone} {
		if n == 1 {
			d.bits |= 1 << i
		}
	}
	d.bits |= uint16(max(0, slices.Index(coverage.Verdicts, r.Verdict))) << verdictShift
	if back := d.record(series{r.Dataset, r.Symbol}); r.Symbol == "" || r.Date == market.NoDate || !same(&back, r) {
		extra := *r
		extra.Issues = st.issues
		d.extra = &extra
	}
	return d
}

// same compares what a record does not share with its stamp.
func same(a, b *coverage.Record) bool {
	return a.Key == b.Key && a.Rows == b.Rows && a.ByExchange == b.ByExchange && a.Expected == b.Expected && a.Verdict == b.Verdict &&
		a.AnswerHash == b.AnswerHash && a.SameSince == b.SameSince && a.SameDays == b.SameDays && a.LastSame == b.LastSame &&
		a.Filtered == b.Filtered && a.Rejected == b.Rejected && a.Unknown == b.Unknown &&
		a.New == b.New && a.Changed == b.Changed && a.Gone == b.Gone
}

// rows is the number of stored rows of a day.
func (d day) rows() int64 {
	if d.extra != nil {
		return d.extra.Rows
	}
	return int64(d.bits & bitRows)
}

func (d day) record(s series) coverage.Record {
	if d.extra != nil {
		return *d.extra
	}
	bit := func(b uint16) int64 {
		if d.bits&b != 0 {
			return 1
		}
		return 0
	}
	r := coverage.Record{
		Key:  coverage.Key{Dataset: s.dataset, Date: d.date, Symbol: s.symbol},
		Rows: bit(bitRows), RowsHash: d.hash, Expected: bit(bitExpected), New: bit(bitNew), Changed: bit(bitChanged), Gone: bit(bitGone),
		Verdict: coverage.Verdicts[d.bits>>verdictShift], SameSince: market.NoDate, LastSame: market.NoDate,
		Epoch: d.stamp.epoch, RunID: d.stamp.runID, CommittedAt: d.stamp.committedAt, Issues: d.stamp.issues,
	}
	if r.Rows == 1 {
		r.ByExchange.Add(s.symbol)
	}
	return r
}
