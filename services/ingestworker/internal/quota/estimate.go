package quota

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Load is the work to estimate.
type Load struct {
	// Calls to make, per API.
	Calls map[string]int
	// Priority of the calls.
	Priority Priority
	// PerCall is the duration of a call. 0 ignores it.
	PerCall time.Duration
	// Parallel is the number of concurrent calls; 0 means one.
	Parallel int
}

// Estimate is how long the load takes from now under the known state of each API: the
// longest wait for a limit, or the calls' own time if that is longer. APIs wait for their
// limits concurrently. state may return nil for an API of which nothing is known.
func Estimate(now time.Time, set Settings, state func(api string) *State, load Load) time.Duration {
	var longest time.Duration
	total := 0
	for api, n := range load.Calls {
		if n <= 0 {
			continue
		}
		total += n
		s := state(api)
		if s == nil {
			s = &State{}
		}
		longest = max(longest, s.last(now, set, api, load.Priority, n).Sub(now))
	}
	return max(longest, time.Duration(total)*load.PerCall/time.Duration(max(1, load.Parallel)))
}

// maxFollowed is the number of calls that an estimate simulates; the pace of the last ones
// is extrapolated.
const maxFollowed = 50_000

// last is when the n-th call from now may be made. It simulates the calls, each as early as
// every window allows.
func (s *State) last(now time.Time, set Settings, api string, p Priority, n int) time.Time {
	var allowed [windows]int
	limited := false
	at := now
	for w := Minute; w < windows; w++ {
		limit, _ := s.Limit(w, now, set, api)
		if allowed[w] = set.Allowance(limit, p); w != Day {
			allowed[w] = min(allowed[w], maxSpent)
		}
		limited = limited || limit > 0
		if s.Closed[w].After(at) {
			at = s.Closed[w]
		}
	}
	if !limited {
		return at
	}
	calls := slices.Clone(s.Spent)
	day, today := s.Day, s.SpentToday
	followed := min(n, maxFollowed)
	for range followed {
		for w := Minute; w < Day; w++ {
			if i := len(calls) - allowed[w]; allowed[w] > 0 && i >= 0 {
				if t := calls[i].Add(w.Length() + margin); t.After(at) {
					at = t
				}
			}
		}
		if d := market.DateOf(at); d != day {
			day, today = d, 0
		}
		if allowed[Day] > 0 && today >= allowed[Day] {
			at = nextDay(at)
			day, today = day+1, 0
		}
		today++
		calls = append(calls, at)
	}
	return at.Add(at.Sub(now) / time.Duration(followed) * time.Duration(n-followed))
}
