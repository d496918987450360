package coverage

import (
	"cmp"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

const (
	// recheckPause is for how long a day is left alone after it was looked at.
	recheckPause = 7 * 24 * time.Hour
	// A day that was accepted short is looked at each evening for so many calendar days: the
	// provider may only have been late. After that it is looked at like any other, which a
	// day without rows would not be.
	shortDays, shortPause = 30, 12 * time.Hour
	// recheckSample is of how many targets the last look at a day is read: a look at a
	// day is one at all of them, apart from those that are new on the list.
	recheckSample = 8
)

// rechecks plans the old days that were looked at longest ago once more, because the
// provider rewrites old days without a word. A day takes part with the datasets of which
// it holds settled rows, or which were accepted short, unless anything of it is planned
// already. When a day was last looked at is what its records tell: each look commits them
// again, also one that changes nothing. Days that were accepted short take up to half of
// the looks, so that neither they nor the others wait forever.
func rechecks(w PlanRequest, world PoolState, todo []duty, planned []Partition) []Partition {
	if w.Recheck <= 0 || w.Refetch || w.Start != market.NoDate || w.End != market.NoDate {
		return nil
	}
	symbols := slices.Compact(slices.Sorted(slices.Values(w.Symbols)))
	looked, short := map[market.Date]time.Time{}, map[market.Date]time.Time{}
	for _, t := range todo {
		for d, at := range t.short {
			if before, seen := short[d]; !seen || at.Before(before) {
				short[d] = at
			}
		}
		sample := []string{""}
		if w.Pool == market.Targets {
			sample = spread(concernedBy(t.ds, symbols), recheckSample)
		}
		for _, d := range t.days {
			if d == t.newest || d == t.before {
				continue
			}
			for _, s := range sample {
				r, ok := world.Held(Key{Dataset: t.ds.ID, Date: d, Symbol: s})
				if !ok || r.Rows == 0 || !r.Verdict.Settled() {
					continue
				}
				if at, seen := looked[d]; !seen || r.CommittedAt.Before(at) {
					looked[d] = r.CommittedAt
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
	days = slices.Insert(days, half, rest...) // what the others leave goes to the rest
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

// recheck is one dataset of a day that is fetched again; ok is false where the
// pool holds no settled rows of it, and it was not accepted short.
func recheck(w PlanRequest, world PoolState, t duty, d market.Date, symbols []string) (p Partition, ok bool) {
	p = Partition{Pool: w.Pool, Dataset: t.ds.ID, Start: d, End: d, Calls: 1, Repeat: true, Recheck: true}
	if w.Pool == market.Universe {
		r, held := world.Held(Key{Dataset: t.ds.ID, Date: d})
		ok = held && (r.Rows > 0 && r.Verdict.Settled() || r.Verdict == AcceptedShort)
		p.Calls = pages(r.Rows, t.ds)
	}
	for _, s := range concernedBy(t.ds, symbols) {
		// Also those that were found to have no row: one may have come since.
		if r, held := world.Held(Key{Dataset: t.ds.ID, Date: d, Symbol: s}); held && w.Pool == market.Targets && r.Verdict.Settled() {
			p.Symbols, ok = append(p.Symbols, s), ok || r.Rows > 0 || r.Verdict == AcceptedShort
		}
	}
	p.ID = PartitionID(p.Dataset, d, d, p.Symbols)
	return p, ok
}

// spread picks n of a list, evenly.
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
