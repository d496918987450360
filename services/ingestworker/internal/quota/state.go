package quota

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

const (
	// margin is added to a window, because a call counts when it arrives at the provider, not
	// when it is sent.
	margin = 250 * time.Millisecond
	// maxSpent is the number of remembered calls; a larger limit is treated as this one.
	maxSpent = 8192
	// trusted is how long a learned limit per minute applies: a token's tier may change, and
	// trying again costs one refusal and a minute.
	trusted = 24 * time.Hour
	// remembered is how long a learned limit is kept.
	remembered = 7 * 24 * time.Hour
	// scarce is the size below which a limit per hour or day allows very few calls.
	scarce = 10
	// dayGrace: a refusal so soon after a window opened shows that the provider's day does not
	// begin at midnight.
	dayGrace = 2 * time.Hour
)

// Learnt is a limit from a refusal.
type Learnt struct {
	// Calls allowed in the window; 0 if nothing is learned.
	Calls int
	// At is when it was learned.
	At time.Time
}

// State is what is known about one Key. The zero value knows nothing. It is not safe for
// concurrent use.
type State struct {
	// Learnt limits by Window. They take precedence over the settings.
	Learnt [windows]Learnt
	// Closed is until when the provider is expected to refuse, by Window, if the remembered
	// calls do not explain it.
	Closed [windows]time.Time
	// Held is until when the provider asked for no calls without naming a limit.
	Held time.Time
	// Spent are the times of the calls made, including refused ones, oldest first.
	Spent []time.Time
	// Day and SpentToday count the calls of a day in Beijing.
	Day        market.Date
	SpentToday int
}

// Decision says whether a call may be made now.
type Decision struct {
	// Go is true if it may.
	Go bool
	// Until is when to decide again. Zero if Go.
	Until time.Time
	// Window of the limit that delays it, and Limit its size; 0 if unknown.
	Window Window
	Limit  int
	// Asked is true if the provider asked for the wait without naming a limit.
	Asked bool
}

// Decide says whether a call of priority p may be made at now, if ahead other calls of the
// same key go first.
func (s *State) Decide(now time.Time, set Settings, api string, p Priority, ahead int) Decision {
	worst := Decision{Go: true}
	for w := Minute; w < windows; w++ {
		n, _ := s.Limit(w, now, set, api)
		until := s.Closed[w]
		if t := s.opens(w, now, set.Allowance(n, p), ahead); t.After(until) {
			until = t
		}
		if until.After(now) && (worst.Go || until.After(worst.Until)) {
			worst = Decision{Until: until, Window: w, Limit: n}
		}
	}
	if s.Held.After(now) && (worst.Go || s.Held.After(worst.Until)) {
		worst = Decision{Until: s.Held, Window: WindowOf(s.Held.Sub(now)), Asked: true}
	}
	return worst
}

// opens is when a window allows one more call after ahead others.
func (s *State) opens(w Window, now time.Time, allowed, ahead int) time.Time {
	if allowed == 0 {
		return time.Time{}
	}
	if w == Day { // the refusal from which it was learned closed the day
		return time.Time{}
	}
	allowed = min(allowed, maxSpent)
	rounds := ahead / allowed
	i := len(s.Spent) - allowed + ahead%allowed
	if i < 0 {
		return time.Time{}
	}
	return s.Spent[i].Add(time.Duration(1+rounds) * (w.Length() + margin))
}

// Limit is the size of the limit of a window, 0 for none, and whether it was learned. A
// limit per hour or day applies until the window in which it was learned has passed. Then
// it is tried again, so that an upgraded tier is noticed; if it still applies, a refusal
// sets it again.
func (s *State) Limit(w Window, now time.Time, set Settings, api string) (calls int, learnt bool) {
	if l := s.Learnt[w]; l.Calls > 0 && now.Before(l.doubted(w)) {
		return l.Calls, true
	}
	if w == Minute {
		return set.Limit(api), false
	}
	return 0, false
}

// doubted is when a learned limit is tried again.
func (l Learnt) doubted(w Window) time.Time {
	switch w {
	case Hour:
		return l.At.Add(w.Length() + margin)
	case Day:
		return nextDay(l.At)
	}
	return l.At.Add(trusted)
}

// Scarce reports whether a limit per hour or day that allows very few calls was learned
// within a week, in force or not, and returns the smallest.
func (s *State) Scarce(now time.Time) (calls int, w Window, ok bool) {
	for _, x := range []Window{Hour, Day} {
		if l := s.Learnt[x]; l.Calls > 0 && l.Calls < scarce && now.Sub(l.At) < remembered && (!ok || l.Calls < calls) {
			calls, w, ok = l.Calls, x, true
		}
	}
	return calls, w, ok
}

// LearnedLimit is a limit from a refusal.
type LearnedLimit struct {
	// Window of the limit, and Calls allowed in it; 0 if the refusal did not say.
	Window Window
	Calls  int
	// At is when it was learned; zero if only its end is known.
	At time.Time
	// Opens is from when a call may be made again; zero if one may be made now.
	Opens time.Time
	// Doubted is true if the limit is no longer in force: the next call tries.
	Doubted bool
}

// LearnedLimits lists the limits learned within a week, by window.
func (s *State) LearnedLimits(now time.Time, set Settings, api string) []LearnedLimit {
	var out []LearnedLimit
	for w := Minute; w < windows; w++ {
		n, inForce := s.Limit(w, now, set, api)
		x := LearnedLimit{Window: w, Opens: s.Closed[w]}
		if l := s.Learnt[w]; l.Calls > 0 && now.Sub(l.At) < remembered {
			x.Calls, x.At, x.Doubted = l.Calls, l.At, !inForce
			if t := s.opens(w, now, n, 0); inForce && t.After(x.Opens) {
				x.Opens = t
			}
		}
		if !x.Opens.After(now) {
			x.Opens = time.Time{}
		}
		if x.Calls > 0 || !x.Opens.IsZero() {
			out = append(out, x)
		}
	}
	if s.Held.After(now) {
		out = append(out, LearnedLimit{Window: WindowOf(s.Held.Sub(now)), Opens: s.Held})
	}
	return out
}

// Forget discards the learned limits; the calls made still count.
func (s *State) Forget() {
	s.Learnt, s.Closed, s.Held = [windows]Learnt{}, [windows]time.Time{}, time.Time{}
}

// Count is the number of calls in the last minute and today in Beijing.
func (s *State) Count(now time.Time) (lastMinute, today int) {
	for i := len(s.Spent) - 1; i >= 0 && now.Sub(s.Spent[i]) < Minute.Length(); i-- {
		lastMinute++
	}
	if s.Day == market.DateOf(now) {
		today = s.SpentToday
	}
	return lastMinute, today
}

// Spend records a call made at now.
func (s *State) Spend(now time.Time) {
	if len(s.Spent) >= 2*maxSpent || len(s.Spent) > 0 && len(s.Spent) == cap(s.Spent) {
		s.forget(now)
	}
	s.Spent = append(s.Spent, now)
	if d := market.DateOf(now); d != s.Day {
		s.Day, s.SpentToday = d, 0
	}
	s.SpentToday++
}

// forget removes calls that no window counts any more.
func (s *State) forget(now time.Time) {
	from := max(0, len(s.Spent)-maxSpent)
	old := now.Add(-Hour.Length() - margin)
	for from < len(s.Spent) && s.Spent[from].Before(old) {
		from++
	}
	s.Spent = slices.Delete(s.Spent, 0, from)
}

// Refuse records that the call sent at sent was refused at now because n calls are allowed
// in the window w (0 if unknown). It returns when calls are expected to be allowed again.
func (s *State) Refuse(sent, now time.Time, w Window, n int) time.Time {
	if n > 0 {
		s.Learnt[w] = Learnt{Calls: n, At: now}
	}
	if w == Day {
		return s.refuseDay(now)
	}
	// The provider counted n calls before the refused one. If all of them are ours, calls are
	// allowed again when the oldest of the last n leaves the window. Otherwise another program
	// uses the same token, and only a whole window is safe.
	ours := 0
	for i := len(s.Spent) - 1; i >= 0 && s.Spent[i].After(sent.Add(-w.Length())); i-- {
		ours++
	}
	if n > 0 && ours > n && n <= maxSpent {
		opens := s.Spent[len(s.Spent)-n].Add(w.Length() + margin)
		if opens.After(s.Closed[w]) {
			return opens
		}
		return s.Closed[w]
	}
	s.Closed[w] = now.Add(w.Length() + margin)
	return s.Closed[w]
}

// refuseDay closes the day: until midnight in Beijing, or, if that was tried and did not
// help, for an hour at a time. It uses wall time, so that a host that was asleep does not
// wait longer.
func (s *State) refuseDay(now time.Time) time.Time {
	last := s.Closed[Day]
	until := nextDay(now)
	if !last.IsZero() && !now.Before(last) && now.Sub(last) < dayGrace {
		until = now.Round(0).Add(time.Hour)
	}
	if until.After(last) {
		s.Closed[Day] = until
	}
	return s.Closed[Day]
}

// Hold records that the provider asked for no call before a time, and returns when calls
// are made again.
func (s *State) Hold(until time.Time) time.Time {
	if until.After(s.Held) {
		s.Held = until
	}
	return s.Held
}

// Clamp shortens waits that exceed their window, and removes future calls, which exist only
// after a clock was set back.
func (s *State) Clamp(now time.Time) {
	for w := range windows {
		if longest := now.Add(w.Length() + margin); s.Closed[w].After(longest) {
			s.Closed[w] = longest
		}
	}
	if longest := now.Add(Day.Length() + margin); s.Held.After(longest) {
		s.Held = longest
	}
	if n := len(s.Spent); n > 0 && (s.Spent[0].After(now) || s.Spent[n-1].After(now)) {
		s.Spent = slices.DeleteFunc(s.Spent, func(t time.Time) bool { return t.After(now) })
	}
}

func nextDay(now time.Time) time.Time {
	return (market.DateOf(now) + 1).At(0, 0, market.Shanghai)
}
