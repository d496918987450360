package quota

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Load is work to be estimated.
type Load struct {
	// Calls to make, per API.
	Calls map[string]int
	// Priority of the calls.
	Priority Priority
	// PerCall is how long a call takes by itself. 0 leaves it out.
	PerCall time.Duration
	// Parallel is how many calls run side by side; 0 means one.
	Parallel int
}

// Estimate is how long the load takes from now on under what is known of each
// API: the longest that one limit makes it, or the calls' own time if that is
// more. APIs wait for their limits side by side. state may answer nil for an API
// of which nothing is known.
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

// last is when the n-th call from now on may be made.
func (s *State) last(now time.Time, set Settings, api string, p Priority, n int) time.Time {
	end := now
	for w := Minute; w < windows; w++ {
		start := now
		if s.Closed[w].After(now) {
			start = s.Closed[w]
		}
		at := start
		if limit, _ := s.Limit(w, now, set, api); limit > 0 {
			allowed := set.Allowance(limit, p)
			if w == Day {
				at = s.lastDay(start, allowed, n)
			} else {
				at = s.lastRolling(start, w.Length()+margin, min(allowed, maxSpent), n)
			}
		}
		if at.After(end) {
			end = at
		}
	}
	return end
}

// lastRolling follows a rolling window: call j may be made a window after call
// j − allowed. After one round of allowed calls each repeats the round before.
func (s *State) lastRolling(start time.Time, length time.Duration, allowed, n int) time.Time {
	round := slices.Clone(s.Spent[max(0, len(s.Spent)-allowed):])
	held := len(round)
	for j := range min(n, allowed) {
		at := start
		if i := held + j - allowed; i >= 0 {
			if t := round[i].Add(length); t.After(at) {
				at = t
			}
		}
		round = append(round, at)
	}
	return round[held+(n-1)%allowed].Add(time.Duration((n-1)/allowed) * length)
}

func (s *State) lastDay(start time.Time, allowed, n int) time.Time {
	left := allowed
	if s.Day == market.DateOf(start) {
		left = max(0, allowed-s.SpentToday)
	}
	if n <= left {
		return start
	}
	return nextDay(start).Add(time.Duration((n-left-1)/allowed) * Day.Length())
}
