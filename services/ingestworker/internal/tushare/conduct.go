package tushare

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
)

// A refusal that blames the request is believed when it was the last word of this
// many fetches in a row, the first of them at least so long ago.
const (
	believedAfter = 3
	believedOver  = time.Hour
)

// apiFacts is what the client learns of one API while it runs.
type apiFacts struct {
	mu     sync.Mutex
	caps   []int            // lengths of replies that announced more
	rows   int              // of the last fetch, for sizing the next
	had    map[string]bool  // columns that replies with rows had
	shapes map[string]shape // by the names of the parameters
	none   bool             // no rows are said by null or a code, as was seen twice in a row
}

// shape is how calls with the same parameter names were answered.
type shape struct {
	worked bool
	said   string // what refused the last fetch
	times  int    // fetches in a row that it refused
	since  time.Time
}

func (f *apiFacts) isCap(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.caps, n)
}

// learnCap remembers a length at which a reply was cut. The latest eight count.
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

// saysNone reports whether the API is known to say "no rows" without a list. seen
// records that it does.
func (f *apiFacts) saysNone(seen bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.none = f.none || seen
	return f.none
}

// worked records an answer to a shape of call.
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

// refused records that a fetch ended with a refusal. It reports whether the refusal is
// to be believed: the shape never worked, and the same words came again and again.
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

// believes reports whether a refusal in these words is believed already, so that it
// needs no second attempt.
func (f *apiFacts) believes(name, said string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.shapes[name]
	return s.said == said && s.believed(now)
}

func (s shape) believed(now time.Time) bool {
	return !s.worked && s.times >= believedAfter && now.Sub(s.since) >= believedOver
}

// hadBefore reports whether an earlier reply had the column.
func (f *apiFacts) hadBefore(column string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.had[column]
}

// has records the columns of a reply with rows.
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

// shapeOf names the parameters of a query, and tells a list of symbols from one.
func shapeOf(params map[string]string) string {
	names := slices.Sorted(maps.Keys(params))
	for i, n := range names {
		if n == "ts_code" && strings.Contains(params[n], ",") {
			names[i] = "ts_code list"
		}
	}
	return strings.Join(names, ",")
}

// mayBeEmpty reports that no rows is a usual answer to a snapshot's call.
func mayBeEmpty(ds *catalog.Dataset, params map[string]string) bool {
	return slices.ContainsFunc(ds.Calls, func(c catalog.Call) bool { return c.MayBeEmpty && maps.Equal(c.Params, params) })
}

// documented reports that the provider documents calls of this shape, so that a refusal
// cannot mean what it says: a snapshot's calls, a trade date, one symbol over a span.
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
