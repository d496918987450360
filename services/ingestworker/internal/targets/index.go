package targets

import (
	"cmp"
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
	bitHeld      = 1 << 15 // in the index only: there is a record
)

// index is the coverage in memory. Commits change it while they have the sink's turn;
// readers may read at any time.
type index struct {
	mu       sync.RWMutex
	datasets map[string]*records
	// ids are the numbers of series in the file; they stay when a series has no days any more.
	ids  map[series]int64
	last int64 // the highest of ids
	// stamps are those to which records refer; an entry without a stamp is free.
	stamps []*stamp
	free   []int32
	rows   int64
	loaded bool // false until a file was read
}

// records are those of one dataset. There are millions, so they are in tables without
// pointers, one for each date, because nearly all symbols have a record on each.
type records struct {
	symbols []string
	places  map[string]int // their indexes
	dates   []*dated       // ascending
}

// dated are the records of one date, by the place of their symbols. Places before first and
// after the end have none: lists whose symbols come and go take little more than their records.
type dated struct {
	date   market.Date
	first  int
	hashes []uint64
	bits   []uint16
	stamp  int32   // place in index.stamps, of all records
	stamps []int32 // of each record, if they do not have the same
	n      int     // records
	rows   int     // stored rows
	extra  map[int]*coverage.Record
}

func (r *records) find(d market.Date) (int, bool) {
	return slices.BinarySearchFunc(r.dates, d, func(x *dated, d market.Date) int { return cmp.Compare(x.date, d) })
}

// at returns the records of a date, or nil.
func (r *records) at(d market.Date) *dated {
	if r == nil {
		return nil
	}
	if i, ok := r.find(d); ok {
		return r.dates[i]
	}
	return nil
}

func (t *dated) has(place int) bool {
	i := place - t.first
	return i >= 0 && i < len(t.bits) && t.bits[i] != 0
}

func (t *dated) stampOf(place int) int32 {
	if t.stamps != nil {
		return t.stamps[place-t.first]
	}
	return t.stamp
}

// reserve makes room for a place.
func (t *dated) reserve(place int) {
	if len(t.bits) == 0 {
		t.first = place
	}
	if before := t.first - place; before > 0 {
		t.first = place
		t.hashes, t.bits = slices.Insert(t.hashes, 0, make([]uint64, before)...), slices.Insert(t.bits, 0, make([]uint16, before)...)
		if t.stamps != nil {
			t.stamps = slices.Insert(t.stamps, 0, make([]int32, before)...)
		}
	}
	if after := place - t.first + 1 - len(t.bits); after > 0 {
		t.hashes, t.bits = append(t.hashes, make([]uint64, after)...), append(t.bits, make([]uint16, after)...)
		if t.stamps != nil {
			t.stamps = append(t.stamps, make([]int32, after)...)
		}
	}
}

func newIndex() *index {
	return &index{datasets: make(map[string]*records), ids: make(map[series]int64)}
}

func (x *index) ready() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.loaded
}

func (x *index) replace(other *index) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.datasets, x.ids, x.last, x.stamps, x.free, x.rows, x.loaded = other.datasets, other.ids, other.last, other.stamps, other.free, other.rows, other.loaded
}

// clear is for a file that was deleted: nothing is stored, and the next file is read.
func (x *index) clear() { x.replace(newIndex()) }

func (x *index) holdsRows() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.rows > 0
}

// day is the record of a place.
func (x *index) day(t *dated, place int) day {
	i := place - t.first
	return day{stamp: x.stamps[t.stampOf(place)], extra: t.extra[place], hash: t.hashes[i], date: t.date, bits: t.bits[i] &^ bitHeld}
}

// locate finds a record. The caller has the lock, or is the only one.
func (x *index) locate(k coverage.Key) (t *dated, place int, ok bool) {
	r := x.datasets[k.Dataset]
	if t = r.at(k.Date); t == nil {
		return nil, 0, false
	}
	place, ok = r.places[k.Symbol]
	return t, place, ok && t.has(place)
}

func (x *index) get(k coverage.Key) (coverage.Record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	t, place, ok := x.locate(k)
	if !ok {
		return coverage.Record{}, false
	}
	return x.day(t, place).record(series{k.Dataset, k.Symbol}), true
}

// span copies the days of a series between two dates, inclusive.
func (x *index) span(s series, start, end market.Date) (out []day) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r := x.datasets[s.dataset]
	if r == nil {
		return nil
	}
	place, known := r.places[s.symbol]
	if !known {
		return nil
	}
	from, _ := r.find(start)
	to, found := r.find(end)
	if found {
		to++
	}
	if from >= to {
		return nil
	}
	out = make([]day, 0, to-from)
	for _, t := range r.dates[from:to] {
		if t.has(place) {
			out = append(out, x.day(t, place))
		}
	}
	return out
}

// names lists the series of the datasets, all if the list is empty.
func (x *index) names(datasets []string) []series {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []series
	for dataset, r := range x.datasets {
		if len(datasets) > 0 && !slices.Contains(datasets, dataset) {
			continue
		}
		for _, symbol := range r.symbols {
			out = append(out, series{dataset, symbol})
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

// keep returns the index of a stamp.
func (x *index) keep(st *stamp) int32 {
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
	r := x.datasets[s.dataset]
	if r == nil {
		r = &records{places: make(map[string]int)}
		x.datasets[s.dataset] = r
	}
	place, known := r.places[s.symbol]
	if !known {
		place = len(r.symbols)
		r.symbols, r.places[s.symbol] = append(r.symbols, s.symbol), place
	}
	i, held := r.find(d.date)
	if !held {
		r.dates = slices.Insert(r.dates, i, &dated{date: d.date})
	}
	t := r.dates[i]
	t.reserve(place)
	at := x.keep(d.stamp)
	d.stamp.records++
	rows := d.rows()
	if t.has(place) {
		rows -= x.day(t, place).rows()
		x.release(t.stampOf(place))
	} else {
		t.n++
	}
	t.rows, x.rows = t.rows+int(rows), x.rows+rows
	t.setStamp(place, at)
	t.hashes[place-t.first], t.bits[place-t.first] = d.hash, d.bits|bitHeld
	if d.extra == nil {
		delete(t.extra, place)
		return
	}
	if t.extra == nil {
		t.extra = make(map[int]*coverage.Record)
	}
	t.extra[place] = d.extra
}

// setStamp sets the stamp of one record, which is already counted.
func (t *dated) setStamp(place int, at int32) {
	switch {
	case t.stamps != nil:
		t.stamps[place-t.first] = at
	case t.n == 1:
		t.stamp = at
	case t.stamp != at:
		t.stamps = slices.Repeat([]int32{t.stamp}, len(t.bits))
		t.stamps[place-t.first] = at
	}
}

// tidy frees what the records of a date do not need: the stamp of each if all have the same,
// and room for more.
func (t *dated) tidy() {
	if t.stamps != nil {
		same, last := true, int32(-1)
		for i, at := range t.stamps {
			if t.bits[i] != 0 {
				same = same && (last < 0 || at == last)
				last = at
			}
		}
		if same {
			t.stamp, t.stamps = max(last, 0), nil
		}
	}
	if n := len(t.bits); cap(t.bits) > n+n/16 {
		t.hashes, t.bits, t.stamps = slices.Clone(t.hashes), slices.Clone(t.bits), slices.Clone(t.stamps)
	}
}

// drop removes a record.
func (x *index) drop(k coverage.Key) {
	t, place, ok := x.locate(k)
	if !ok {
		return
	}
	rows := x.day(t, place).rows()
	t.rows, x.rows, t.n = t.rows-int(rows), x.rows-rows, t.n-1
	x.release(t.stampOf(place))
	t.hashes[place-t.first], t.bits[place-t.first] = 0, 0
	delete(t.extra, place)
	if t.n == 0 {
		r := x.datasets[k.Dataset]
		i, _ := r.find(k.Date)
		r.dates = slices.Delete(r.dates, i, i+1)
	}
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
