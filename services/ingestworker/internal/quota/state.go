package quota

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

const (
	// margin is added to a window, because a call counts at the provider when it
	// arrives and not when it is sent.
	margin = 250 * time.Millisecond
	// maxSpent bounds the calls remembered; a larger limit is kept as if it were
	// this one.
	maxSpent = 8192
	// trusted is how long a learned limit per minute is believed: a token's tier may
	// change, and trying again costs one refusal and a minute.
	trusted = 24 * time.Hour
	// remembered is how long it is known that a limit was learned.
	remembered = 7 * 24 * time.Hour
	// scarce is the size below which each call of an hour or day counts.
	scarce = 10
	// dayGrace is how soon after an opening a new refusal shows that the
	// provider's day does not begin at midnight.
	dayGrace = 2 * time.Hour
)

// Learnt is a limit that the provider stated in a refusal.
type Learnt struct {
	// Calls allowed in the window; 0 when nothing is learned.
	Calls int
	// At is when.
	At time.Time
}

// State is what is known of one Key. The zero value knows nothing. It is not safe
// for concurrent use.
type State struct {
	// Learnt limits by Window. They win over the settings, lower or higher.
	Learnt [windows]Learnt
	// Closed is until when the provider is taken to refuse, by Window, where the
	// calls remembered do not explain it.
	Closed [windows]time.Time
	// Held is until when the provider asked to be left alone without naming a limit.
	Held time.Time
	// Spent are the moments of the calls made, refused ones included, oldest first.
	Spent []time.Time
	// Day and SpentToday count the calls of a day in Beijing.
	Day        market.Date
	SpentToday int
}

// Decision says whether a call may be made now.
type Decision struct {
	// Go is true when it may.
	Go bool
	// Until is the moment to ask again. Zero when Go.
	Until time.Time
	// Window is the limit that holds it back, and Limit its size; 0 when unknown.
	Window Window
	Limit  int
	// Asked is true where it is not a limit but the provider's word that it waits for.
	Asked bool
}

// Decide says whether a call of priority p may be made at now, when ahead others
// of the same key go first.
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

// opens is when a window has room for one more call beside ahead others.
func (s *State) opens(w Window, now time.Time, allowed, ahead int) time.Time {
	if allowed == 0 {
		return time.Time{}
	}
	if w == Day { // the refusal that taught it closed the day
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

// Limit is the size of a window in force, 0 for none, and whether the provider
// stated it. A limit per hour or day is in force until the window in which it was
// learned has passed: then it is tried again, so that a raised tier shows by itself, and
// a refusal teaches it again where it is real.
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

// Scarce reports whether a limit per hour or day was learned within a week that allows
// so few calls that each counts, in force or not. It tells the smallest.
func (s *State) Scarce(now time.Time) (calls int, w Window, ok bool) {
	for _, x := range []Window{Hour, Day} {
		if l := s.Learnt[x]; l.Calls > 0 && l.Calls < scarce && now.Sub(l.At) < remembered && (!ok || l.Calls < calls) {
			calls, w, ok = l.Calls, x, true
		}
	}
	return calls, w, ok
}

// LearnedLimit is what a refusal taught.
type LearnedLimit struct {
	// Window of the limit, and Calls allowed in it; 0 where the refusal did not say.
	Window Window
	Calls  int
	// At is when it was learned; zero where only its end is known.
	At time.Time
	// Opens is from when a call may be made again; zero where one may be made now.
	Opens time.Time
	// Doubted is true where the limit is not in force any more: the next calls try.
	Doubted bool
}

// LearnedLimits lists what refusals taught within a week, by window.
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

// Forget drops what was learned from refusals; the calls made stay counted.
func (s *State) Forget() {
	s.Learnt, s.Closed, s.Held = [windows]Learnt{}, [windows]time.Time{}, time.Time{}
}

// Count is how many calls were made in the last minute and today in Beijing.
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

// forget drops the calls that no window can count any more.
func (s *State) forget(now time.Time) {
	from := max(0, len(s.Spent)-maxSpent)
	old := now.Add(-Hour.Length() - margin)
	for from < len(s.Spent) && s.Spent[from].Before(old) {
		from++
	}
	s.Spent = slices.Delete(s.Spent, 0, from)
}

// Refuse records that the call sent at sent was refused at now because n calls
// are allowed in the window w (0 where the refusal does not say). It returns the
// moment from which the window is taken to be open.
func (s *State) Refuse(sent, now time.Time, w Window, n int) time.Time {
	if n > 0 {
		s.Learnt[w] = Learnt{Calls: n, At: now}
	}
	if w == Day {
		return s.refuseDay(now)
	}
	// The provider counted n calls before the refused one. Where they are all ours,
	// the window opens when the oldest of the last n leaves it. Where not, somebody
	// else spends the same allowance, and only a whole window is sure to be enough.
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

// refuseDay closes the day: until midnight in Beijing, or, where that was tried
// and was not the hour, for an hour at a time. Wall time is meant, so that a host
// that slept does not wait longer.
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

// Hold records that the provider asked for no call before a moment, and returns when
// calls are made again.
func (s *State) Hold(until time.Time) time.Time {
	if until.After(s.Held) {
		s.Held = until
	}
	return s.Held
}

// Clamp shortens closures that reach further than their window, and forgets calls of
// the future, which only a clock that was set back can have made.
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
