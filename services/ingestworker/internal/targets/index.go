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
	// records counts those that refer to it; without any the row is dropped.
	records int
}

// series names the days of one symbol in one dataset; a snapshot is a series
// without a symbol and of one day, NoDate.
type series struct{ dataset, symbol string }

// day is one record in few bytes. What does not fit stands in extra.
type day struct {
	stamp *stamp
	extra *coverage.Record // nil for the usual record
	hash  uint64           // of its rows
	date  market.Date
	bits  uint16 // rows, expected, new, changed, gone, each 0 or 1; above them the verdict
}

const (
	bitRows = 1 << iota
	bitExpected
	bitNew
	bitChanged
	bitGone
	verdictShift = iota
)

var verdicts = []coverage.Verdict{
	coverage.Missing, coverage.Complete, coverage.ExpectedEmpty, coverage.NotPublished, coverage.Incomplete, coverage.Empty, coverage.AcceptedShort,
}

// index is the coverage in memory. Commits change it under the sink's turn;
// readers come at any time.
type index struct {
	mu     sync.RWMutex
	series map[series][]day
	rows   int64
	loaded bool
}

func newIndex() *index { return &index{series: make(map[series][]day)} }

func (x *index) ready() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.loaded
}

func (x *index) replace(other *index) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.series, x.rows, x.loaded = other.series, other.rows, true
}

// clear is for a file that is gone: nothing is held, and the next is read anew.
func (x *index) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.series, x.rows, x.loaded = make(map[series][]day), 0, false
}

func (x *index) holdsRows() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.rows > 0
}

func find(days []day, date market.Date) (int, bool) {
	return slices.BinarySearchFunc(days, date, func(d day, date market.Date) int { return int(int64(d.date) - int64(date)) })
}

func (x *index) get(k coverage.Key) (coverage.Record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := series{k.Dataset, k.Symbol}
	days := x.series[s]
	i, ok := find(days, k.Date)
	if !ok {
		return coverage.Record{}, false
	}
	return days[i].record(s), true
}

// span copies the days of a series between two dates, inclusive.
func (x *index) span(s series, start, end market.Date) []day {
	x.mu.RLock()
	defer x.mu.RUnlock()
	days := x.series[s]
	from, _ := find(days, start)
	to, found := find(days, end)
	if found {
		to++
	}
	return slices.Clone(days[from:to])
}

// names lists the series of the datasets, all when the list is empty.
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

// put sets a record and returns the stamp that it no longer refers to, or nil.
// The caller holds the lock, or is alone.
func (x *index) put(r coverage.Record, st *stamp) (released *stamp) {
	s := series{r.Dataset, r.Symbol}
	days, d := x.series[s], newDay(r, st)
	st.records++
	x.rows += r.Rows
	i, held := find(days, r.Date)
	if !held {
		x.series[s] = slices.Insert(days, i, d)
		return nil
	}
	released = days[i].stamp
	x.rows -= days[i].record(s).Rows
	days[i] = d
	return released
}

// drop takes a record away and returns its stamp, or nil.
func (x *index) drop(k coverage.Key) (released *stamp) {
	s := series{k.Dataset, k.Symbol}
	days := x.series[s]
	i, held := find(days, k.Date)
	if !held {
		return nil
	}
	released = days[i].stamp
	x.rows -= days[i].record(s).Rows
	x.series[s] = slices.Delete(days, i, i+1)
	return released
}

func newDay(r coverage.Record, st *stamp) day {
	d := day{stamp: st, hash: r.RowsHash, date: r.Date}
	for i, n := range []int64{r.Rows, r.Expected, r.New, r.Changed, r.Gone} {
		if n == 1 {
			d.bits |= 1 << i
		}
	}
	d.bits |= uint16(max(0, slices.Index(verdicts, r.Verdict))) << verdictShift
	if back := d.record(series{r.Dataset, r.Symbol}); !same(back, r) {
		r.Issues = st.issues
		d.extra = &r
	}
	return d
}

// same compares what a record does not share with its stamp.
func same(a, b coverage.Record) bool {
	a.Issues, b.Issues = nil, nil
	a.RunID, a.Epoch, a.CommittedAt = b.RunID, b.Epoch, b.CommittedAt
	return a.Key == b.Key && a.Rows == b.Rows && a.ByExchange == b.ByExchange && a.Expected == b.Expected && a.Verdict == b.Verdict &&
		a.AnswerHash == b.AnswerHash && a.SameSince == b.SameSince && a.SameDays == b.SameDays && a.LastSame == b.LastSame &&
		a.Filtered == b.Filtered && a.Rejected == b.Rejected && a.Unknown == b.Unknown &&
		a.New == b.New && a.Changed == b.Changed && a.Gone == b.Gone
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
		Verdict: verdicts[d.bits>>verdictShift], SameSince: market.NoDate, LastSame: market.NoDate,
		Epoch: d.stamp.epoch, RunID: d.stamp.runID, CommittedAt: d.stamp.committedAt, Issues: d.stamp.issues,
	}
	if r.Rows == 1 {
		r.ByExchange.Add(s.symbol)
	}
	return r
}
