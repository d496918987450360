package coverage

import (
	"cmp"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

const (
	// recheckPause is how long a day is not checked again.
	recheckPause = 7 * 24 * time.Hour
	// For so many calendar days, a day that was accepted short is checked each evening,
	// because the provider may only have been late. After that it is checked like any other,
	// unless it has no rows.
	shortDays, shortPause = 30, 12 * time.Hour
	// recheckSample is the number of targets from which the time of a day's last check is
	// read: a check covers all of them, except new ones on the list.
	recheckSample = 8
)

// rechecks plans the old days whose last check is longest ago, because the provider changes
// old days without notice. A day is included with the datasets that have settled rows or
// were accepted short, unless any of it is planned already. Days before the window that are
// stored are included as well, also with what is still missing of them: nothing else plans them.
// The records say when a day was last checked, because each check commits them, even if nothing
// changes. Days that were accepted short, or left the window incomplete, take up to half of the
// checks, so that neither they nor the others wait forever.
func rechecks(w PlanRequest, world PoolState, todo []duty, planned []Partition) []Partition {
	if w.Recheck <= 0 || w.Refetch || w.Start != market.NoDate || w.End != market.NoDate {
		return nil
	}
	symbols := slices.Compact(slices.Sorted(slices.Values(w.Symbols)))
	start, before := world.WindowStart(), world.beforeWindow()
	looked, short := map[market.Date]time.Time{}, map[market.Date]time.Time{}
	note := func(in map[market.Date]time.Time, d market.Date, at time.Time) {
		if noted, seen := in[d]; !seen || at.Before(noted) {
			in[d] = at
		}
	}
	for _, t := range todo {
		for d, at := range t.short {
			note(short, d, at)
		}
		sample := []string{""}
		if w.Pool == market.Targets {
			sample = spread(concernedBy(t.ds, symbols), recheckSample)
		}
		for _, d := range slices.Concat(before, t.days) {
			if d == t.newest || d == t.before {
				continue
			}
			for _, s := range sample {
				r, ok := world.Held(Key{Dataset: t.ds.ID, Date: d, Symbol: s})
				switch {
				case !ok:
				case d < start && (!r.Verdict.Settled() || r.Verdict == AcceptedShort):
					note(short, d, r.CommittedAt)
				case r.Rows > 0 && r.Verdict.Settled():
					note(looked, d, r.CommittedAt)
				}
			}
		}
	}
	for _, p := range planned {
		for d := p.Start; d <= p.End; d++ {
			delete(looked, d)
			delete(short, d)
		}
	}
	today := market.DateOf(world.Now)
	due := func(from map[market.Date]time.Time, pause func(market.Date) time.Duration) []market.Date {
		var days []market.Date
		for d, at := range from {
			if world.Now.Sub(at) >= pause(d) {
				days = append(days, d)
			}
		}
		slices.SortFunc(days, func(a, b market.Date) int {
			return cmp.Or(from[a].Compare(from[b]), cmp.Compare(b, a))
		})
		return days
	}
	days := due(short, func(d market.Date) time.Duration {
		if d >= today-shortDays {
			return shortPause
		}
		return recheckPause
	})
	half := min((w.Recheck+1)/2, len(days))
	rest := due(looked, func(market.Date) time.Duration { return recheckPause })
	rest = slices.DeleteFunc(rest, func(d market.Date) bool { return slices.Contains(days, d) })
	days = slices.Insert(days, half, rest...) // the others get the rest
	var out []Partition
	for _, d := range days[:min(w.Recheck, len(days))] {
		for _, t := range todo {
			if p, ok := recheck(w, world, t, d, symbols); ok {
				out = append(out, p)
			}
		}
	}
	return out
}

// beforeWindow lists the trading days of the calendar before the pool's window.
func (s PoolState) beforeWindow() []market.Date {
	to, _ := slices.BinarySearch(s.Calendar.Open, s.WindowStart())
	return s.Calendar.Open[:to]
}

// recheck plans one dataset of a day again; ok is false if the pool has no settled rows of
// it, and it was neither accepted short nor left the window incomplete.
func recheck(w PlanRequest, world PoolState, t duty, d market.Date, symbols []string) (p Partition, ok bool) {
	left := d < world.WindowStart()
	doubtful := func(r Record) bool { return r.Verdict == AcceptedShort || left && !r.Verdict.Settled() }
	p = Partition{Pool: w.Pool, Dataset: t.ds.ID, Start: d, End: d, Calls: 1, Repeat: true, Recheck: true}
	if w.Pool == market.Universe {
		r, held := world.Held(Key{Dataset: t.ds.ID, Date: d})
		ok = held && (r.Rows > 0 && r.Verdict.Settled() || doubtful(r))
		p.Calls = pages(r.Rows, t.ds)
	}
	for _, s := range concernedBy(t.ds, symbols) {
		// Also those that had no row: one may exist now.
		if r, held := world.Held(Key{Dataset: t.ds.ID, Date: d, Symbol: s}); held && w.Pool == market.Targets && (r.Verdict.Settled() || doubtful(r)) {
			p.Symbols, ok = append(p.Symbols, s), ok || r.Rows > 0 || doubtful(r)
		}
	}
	p.ID = PartitionID(p.Dataset, d, d, p.Symbols)
	return p, ok
}

// spread picks n elements of a list, evenly.
func spread(list []string, n int) []string {
	if len(list) <= n {
		return list
	}
	out := make([]string, n)
	for i := range out {
		out[i] = list[i*len(list)/n]
	}
	return out
}
