package tushare

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// A refusal that blames the request is believed if it was the result of this many
// consecutive fetches, the first of them at least so long ago.
const (
	believedAfter = 3
	believedOver  = time.Hour
)

// apiFacts is what the client learns about one API while it runs.
type apiFacts struct {
	mu     sync.Mutex
	caps   []int            // numbers of rows in responses that announced more
	rows   int              // of the last fetch, for sizing the next
	had    map[string]bool  // columns that responses with rows had
	shapes map[string]shape // by the names of the parameters
	none   bool             // a null or a code means no rows, as was seen twice in a row

	batches table.Pool // of fetches of all symbols
}

// shape is the history of calls with the same parameter names.
type shape struct {
	worked bool
	said   string // the refusal of the last fetch
	times  int    // consecutive fetches that it refused
	since  time.Time
}

func (f *apiFacts) isCap(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.caps, n)
}

// learnCap remembers a number of rows at which a response was truncated. The last eight are
// kept.
func (f *apiFacts) learnCap(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.caps, n) {
		f.caps = append(f.caps, n)
		f.caps = f.caps[max(0, len(f.caps)-8):]
	}
}

func (f *apiFacts) size(set int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.rows
	if set > 0 {
		f.rows = set
	}
	return last
}

// saysNone reports whether the API is known to return "no rows" without a list. seen
// records that it does.
func (f *apiFacts) saysNone(seen bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.none = f.none || seen
	return f.none
}

// worked records a response to a shape of call.
func (f *apiFacts) worked(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.shapes[name]; !s.worked || s.times > 0 {
		if f.shapes == nil {
			f.shapes = map[string]shape{}
		}
		f.shapes[name] = shape{worked: true}
	}
}

// refused records that a fetch ended with a refusal. It returns whether the refusal is
// believed: the shape never worked, and the same text came again and again.
func (f *apiFacts) refused(name, said string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.shapes[name]
	if s.said != said || now.Before(s.since) {
		s.said, s.times, s.since = said, 0, now
	}
	s.times++
	if f.shapes == nil {
		f.shapes = map[string]shape{}
	}
	f.shapes[name] = s
	return s.believed(now)
}

// believes reports whether a refusal with this text is believed already, so that it needs
// no second attempt.
func (f *apiFacts) believes(name, said string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.shapes[name]
	return s.said == said && s.believed(now)
}

func (s shape) believed(now time.Time) bool {
	return !s.worked && s.times >= believedAfter && now.Sub(s.since) >= believedOver
}

// hadBefore reports whether an earlier response had the column.
func (f *apiFacts) hadBefore(column string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.had[column]
}

// has records the columns of a response with rows.
func (f *apiFacts) has(columns []catalog.Column, filled []bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.had == nil {
		f.had = map[string]bool{}
	}
	for i := range columns {
		if filled[i] && !f.had[columns[i].Provider] {
			f.had[columns[i].Provider] = true
		}
	}
}

// shapeOf is the names of the parameters of a query; a list of symbols differs from a
// single one.
func shapeOf(params map[string]string) string {
	names := slices.Sorted(maps.Keys(params))
	for i, n := range names {
		if n == "ts_code" && strings.Contains(params[n], ",") {
			names[i] = "ts_code list"
		}
	}
	return strings.Join(names, ",")
}

// mayBeEmpty reports whether no rows is a normal response to a snapshot's call.
func mayBeEmpty(ds *catalog.Dataset, params map[string]string) bool {
	return slices.ContainsFunc(ds.Calls, func(c catalog.Call) bool { return c.MayBeEmpty && maps.Equal(c.Params, params) })
}

// documented reports whether the provider documents calls of this shape, so that a refusal
// is not the fault of the request: a snapshot's calls, a trade date, one symbol over a date
// range.
func documented(ds *catalog.Dataset, params map[string]string) bool {
	if ds.Snapshot {
		return slices.ContainsFunc(ds.Calls, func(c catalog.Call) bool { return maps.Equal(c.Params, params) })
	}
	switch shapeOf(params) {
	case "trade_date", "end_date,start_date,ts_code":
		return true
	}
	return false
}
