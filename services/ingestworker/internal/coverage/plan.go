package coverage

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// PlanRequest says what to make complete.
type PlanRequest struct {
	// Pool to complete.
	Pool market.Pool
	// Datasets of the selected modules.
	Datasets []*catalog.Dataset
	// Start and End are the first and last trade date. If Start is NoDate, the plan covers the
	// pool's window, and also repeats days that were last fetched before the next trading day
	// was due, such as the previous day; if End is NoDate, it ends today.
	Start, End market.Date
	// Refetch also plans settled records.
	Refetch bool
	// Recheck is how many settled old days are planned again after everything else; see
	// rechecks. It has no effect with dates or Refetch.
	Recheck int
	// Symbols of the targets pool; ignored for universe.
	Symbols []string
	// Estimate counts weekdays as trading days if there is no calendar, for a plan that is not
	// executed.
	Estimate bool
}

// PoolState is the input of a plan: the time, the calendar, the lists and the coverage.
type PoolState struct {
	// Now is the current time.
	Now time.Time
	// Calendar and Lists of the pool.
	Calendar Calendar
	Lists    *Lists
	// WindowDays is how many calendar days back the pool reaches.
	WindowDays int
	// PerCall is how many symbols one call of a dataset is known to accept; nil means as many
	// as in the catalog.
	PerCall func(ds *catalog.Dataset) int
	// Held returns the record of a key; ok is false if nothing was committed.
	Held func(Key) (r Record, ok bool)
}

// WindowStart is the first day of a run without dates.
func (s PoolState) WindowStart() market.Date {
	return market.DateOf(s.Now) - market.Date(s.WindowDays)
}

// Plan is what to fetch, in order.
type Plan struct {
	// Partitions in order.
	Partitions []Partition
	// Calls is the estimated number of calls per API.
	Calls map[string]int
	// AsOf is the newest trading day in the range whose data is due, over all datasets. NoDate
	// if there is none.
	AsOf market.Date
	// Issues are warnings, for example that the calendar has ended.
	Issues []fault.Issue
}

func (p *Plan) add(parts ...Partition) {
	for _, x := range parts {
		p.Partitions = append(p.Partitions, x)
		if p.Calls == nil {
			p.Calls = map[string]int{}
		}
		p.Calls[x.Dataset] += x.Calls
	}
}

// References plans the snapshots: each is due once per day in Shanghai. The calendar is
// always included; in targets the lists are those of the kinds of the symbols. In universe
// a list that was not requested is included while no complete one is stored: without it
// half a first day would count as complete.
func References(w PlanRequest, world PoolState) Plan {
	p := Plan{AsOf: market.NoDate}
	today := market.DateOf(world.Now)
	for _, ds := range catalog.Datasets() {
		if !ds.Snapshot {
			continue
		}
		r, ok := world.Held(Key{Dataset: ds.ID, Date: market.NoDate})
		behind := ok && w.Pool == market.Universe && listBehind(ds, r, world)
		if !needsReference(w, ds) && !(judges(w, ds) && (!ok || !r.Verdict.Settled() || behind)) {
			continue
		}
		if ok && !w.Refetch && !behind && r.Verdict.Settled() && market.DateOf(r.CommittedAt) >= today && !ahead(r, world.Now) {
			continue
		}
		calls := len(ds.Calls)
		if ok && len(ds.RowCaps) > 0 {
			calls = max(calls, pages(r.Rows, ds))
		}
		p.add(Partition{ID: ds.ID, Pool: w.Pool, Dataset: ds.ID, Start: market.NoDate, End: market.NoDate, Calls: calls, Repeat: w.Refetch || behind})
	}
	return p
}

// clockSlack is how far in the future a timestamp of the same machine may be.
const clockSlack = time.Minute

// aheadDays is how many trading days are fetched again because of a future timestamp.
const aheadDays = 10

// ahead reports whether a record has a future timestamp: the clock was wrong when it was
// written, so its age is unknown.
func ahead(r Record, now time.Time) bool { return r.CommittedAt.After(now.Add(clockSlack)) }

// A first list has nothing to compare with, so half of one would be accepted. The symbols
// that it does not have show it: then it is fetched again, bypassing the day's cached
// response.
const (
	behindDays  = 60   // calendar days in which the newest rows are searched
	behindShare = 0.02 // of rows of unknown symbols; a few new ones are normal
)

func listBehind(ds *catalog.Dataset, list Record, world PoolState) bool {
	rows := map[string]string{catalog.StockBasic: catalog.Daily, catalog.FundBasic: catalog.FundDaily}[ds.ID]
	if rows == "" {
		return false
	}
	today := market.DateOf(world.Now)
	for d := today; d > today-behindDays; d-- {
		if r, ok := world.Held(Key{Dataset: rows, Date: d}); ok && r.Rows > 0 {
			return r.CommittedAt.After(list.CommittedAt) && float64(r.Unknown) > behindShare*float64(r.Rows)
		}
	}
	return false
}

// judges reports whether the requested rows are judged against a list.
func judges(w PlanRequest, ds *catalog.Dataset) bool {
	return w.Pool == market.Universe && ds.Kind != "" && slices.ContainsFunc(w.Datasets, func(d *catalog.Dataset) bool {
		return !d.Snapshot && d.Kind == ds.Kind
	})
}

func needsReference(w PlanRequest, ds *catalog.Dataset) bool {
	if ds.ID == catalog.TradeCal {
		return len(w.Datasets) > 0
	}
	if w.Pool == market.Universe {
		return slices.Contains(w.Datasets, ds)
	}
	wanted := slices.ContainsFunc(w.Datasets, func(d *catalog.Dataset) bool { return d.Kind == ds.Kind })
	return wanted && slices.ContainsFunc(w.Symbols, func(s string) bool { return market.KindOf(s) == ds.Kind })
}

// Data plans the datasets by trade date. The newest day is first, because the evening is
// about it; then the previous day once more; then what is missing, from the newest day
// back, so that an interrupted backfill leaves the most recent days complete; then the old
// days of PlanRequest.Recheck. Within a date `daily` is first, because others are judged
// against it.
//
// It returns CALENDAR_UNAVAILABLE if the pool has no calendar, unless the plan is only an
// estimate.
func Data(w PlanRequest, world PoolState) (Plan, error) {
	p := Plan{AsOf: market.NoDate}
	datasets := slices.DeleteFunc(slices.Clone(w.Datasets), func(d *catalog.Dataset) bool { return d.Snapshot })
	slices.SortStableFunc(datasets, func(a, b *catalog.Dataset) int { return cmp.Compare(a.Order(), b.Order()) })
	if len(datasets) == 0 || w.Pool == market.Targets && len(w.Symbols) == 0 {
		return p, nil
	}
	if !world.Calendar.Known() && !w.Estimate {
		return p, fault.New(fault.CalendarUnavailable, "The pool has no trading calendar yet, so no dates can be planned.",
			"start_date", w.Start.String(), "end_date", w.End.String(), "calendar_end_date", "")
	}
	todo := make([]duty, 0, len(datasets))
	guessed := false
	for _, ds := range datasets {
		d := duty{ds: ds, newest: Newest(ds, world.Calendar, world.Now, w.End), before: market.NoDate, short: map[market.Date]time.Time{}}
		if d.newest == market.NoDate {
			continue
		}
		start := w.Start
		if start == market.NoDate {
			start = world.WindowStart()
			if b := world.Calendar.Before(d.newest); b != market.NoDate && b >= start {
				d.before = b
			}
		}
		var g bool
		d.days, g = world.Calendar.Days(start, d.newest)
		guessed = guessed || g
		if len(d.days) == 0 {
			continue
		}
		if w.Start == market.NoDate {
			for _, next := range d.days[1:] {
				d.again = append(d.again, DueAt(ds, next))
			}
		}
		todo = append(todo, d)
		p.AsOf = max(p.AsOf, d.newest)
	}
	if i, ok := tooEarly(w, datasets, world); ok {
		p.Issues = append(p.Issues, i)
	}
	switch {
	case guessed && !world.Calendar.Known():
		p.Issues = append(p.Issues, fault.NewIssue(fault.CalendarEnded,
			"The pool has no trading calendar yet, so weekdays count as trading days, including holidays.", "calendar_end_date", ""))
	case guessed:
		p.Issues = append(p.Issues, fault.NewIssue(fault.CalendarEnded,
			fmt.Sprintf("The trading calendar covers %s to %s; weekdays outside it count as trading days.", world.Calendar.First, world.Calendar.Last),
			"calendar_end_date", world.Calendar.Last.String()))
	}
	var parts []Partition
	if w.Pool == market.Targets {
		if i, ok := unlisted(datasets, w.Symbols, world.Lists); ok {
			p.Issues = append(p.Issues, i)
		}
		parts = targets(w, world, todo)
	} else {
		parts = universe(w, world, todo)
	}
	class := func(x Partition) int {
		switch {
		case x.End == p.AsOf && x.Start == x.End:
			return 0
		case x.Repeat:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(parts, func(a, b Partition) int {
		ca, cb := class(a), class(b)
		order := cmp.Compare(catalog.Lookup(a.Dataset).Order(), catalog.Lookup(b.Dataset).Order())
		if ca != cb {
			return cmp.Compare(ca, cb)
		}
		if w.Pool == market.Targets {
			return cmp.Or(order, cmp.Compare(b.End, a.End))
		}
		return cmp.Or(cmp.Compare(b.End, a.End), order)
	})
	p.add(parts...)
	p.add(rechecks(w, world, todo, parts)...)
	return p, nil
}

// tooEarly warns about requested dates that are not planned, because nothing is due on
// them, or not yet: a run for only these dates would have nothing to do, and that would
// look like a success.
func tooEarly(w PlanRequest, datasets []*catalog.Dataset, world PoolState) (fault.Issue, bool) {
	last := w.End
	if last == market.NoDate {
		last = w.Start
	}
	if last == market.NoDate {
		return fault.Issue{}, false
	}
	asked := last
	for !world.Calendar.IsOpen(last) {
		if last--; last < w.Start || last < asked-lookDays {
			break
		}
	}
	if !world.Calendar.IsOpen(last) || last < w.Start {
		span := "on " + asked.String()
		if w.Start < asked && w.Start != market.NoDate {
			span = fmt.Sprintf("from %s to %s", w.Start, asked)
		}
		i := fault.NewIssue(fault.NotTradingDay, fmt.Sprintf("The exchange is closed %s, so there is nothing to fetch.", span), "trade_date", asked.String())
		i.Severity = fault.Warning
		return i, true
	}
	var names []string
	due := ""
	for _, ds := range datasets {
		if at := DueAt(ds, last); world.Now.Before(at) {
			names = append(names, ds.ID)
			due = max(due, at.Format("15:04"))
		}
	}
	if len(names) == 0 {
		return fault.Issue{}, false
	}
	i := fault.NewIssue(fault.NotPublished, fmt.Sprintf("%s of %s is not fetched yet: the last dataset is due at %s in Shanghai.", strings.Join(names, ", "), last, due),
		"dataset", strings.Join(names, ","), "trade_date", last.String(), "due_time", due)
	i.Severity, i.Remedy = fault.Warning, "Start the run again after that time, or wait for the scheduled run."
	return i, true
}

// duty is what is due for one dataset.
type duty struct {
	ds *catalog.Dataset
	// days that are due, ascending, and newest, the last of them.
	days   []market.Date
	newest market.Date
	// before is the previous trading day in the window, or NoDate.
	before market.Date
	// again is, for each day except the newest, when the next trading day was due.
	again []time.Time
	// short are the days that were accepted short, with the time of the least recent check of
	// their records.
	short map[market.Date]time.Time
}

// accepted records a day that is settled only because its response was the same for days.
func (t duty) accepted(r Record) {
	if at, noted := t.short[r.Date]; r.Verdict == AcceptedShort && (!noted || r.CommittedAt.Before(at)) {
		t.short[r.Date] = r.CommittedAt
	}
}

func universe(w PlanRequest, world PoolState, todo []duty) []Partition {
	var out []Partition
	for _, t := range todo {
		for i, d := range t.days {
			r, ok := world.Held(Key{Dataset: t.ds.ID, Date: d})
			repeat := false
			if ok && !w.Refetch {
				if Standing(t.ds, r, world.Lists, world.Held).Settled() && !r.Unsure() {
					if repeat = r.Verdict != ExpectedEmpty && t.unseen(i, r, world.Now); !repeat {
						t.accepted(r)
						continue
					}
				}
			}
			expected := r.Rows
			if !ok {
				expected = Expect(t.ds, d, FactsOf(t.ds, d, world.Lists)).Expected
			}
			out = append(out, Partition{
				ID: t.ds.ID + "/" + d.String(), Pool: w.Pool, Dataset: t.ds.ID, Start: d, End: d,
				Calls: pages(expected, t.ds), Repeat: repeat,
			})
		}
	}
	return out
}

// unseen reports whether the i-th day, which is settled, was last fetched before the next
// trading day was due. So a day is fetched again on the next evening, however many runs
// there are, or later if that evening was missed. A future timestamp has the same effect
// for the last few days only, because the current clock may be the wrong one.
func (t duty) unseen(i int, r Record, now time.Time) bool {
	return i < len(t.again) && (r.CommittedAt.Before(t.again[i]) || i >= len(t.again)-aheadDays && ahead(r, now))
}

func pages(rows int64, ds *catalog.Dataset) int {
	most := int64(slices.Max(ds.RowCaps))
	return int(max(1, (rows+most-1)/most))
}

// PartitionID names a partition by its content; equal work has an equal name.
func PartitionID(dataset string, start, end market.Date, symbols []string) string {
	var b strings.Builder
	b.WriteString(dataset)
	if start != market.NoDate {
		b.WriteString("/" + start.String())
		if end != start {
			b.WriteString(".." + end.String())
		}
	}
	switch {
	case len(symbols) == 1:
		b.WriteString("/" + symbols[0])
	case len(symbols) > 1:
		h := fnv.New64a()
		for _, s := range symbols {
			h.Write([]byte(s)) // a hash never fails
		}
		fmt.Fprintf(&b, "/%d-symbols-%016x", len(symbols), h.Sum64())
	}
	return b.String()
}
