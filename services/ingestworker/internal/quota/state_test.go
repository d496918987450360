package quota

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

var noon = market.NewDate(2026, 3, 2).At(12, 0, market.Shanghai)

const api = "daily"

// drain makes calls as early as they are allowed and returns their moments.
func drain(t *testing.T, s *State, set Settings, p Priority, from time.Time, n int) []time.Time {
	t.Helper()
	var at []time.Time
	for now := from; len(at) < n; {
		d := s.Decide(now, set, api, p, 0)
		if d.Go {
			s.Spend(now)
			at = append(at, now)
			continue
		}
		if !d.Until.After(now) {
			t.Fatalf("reported at %v to wait until %v", now, d.Until)
		}
		now = d.Until
	}
	return at
}

func TestAWholeMinuteGoesAtOnce(t *testing.T) {
	var s State
	at := drain(t, &s, DefaultSettings(200), Probe, noon, 201)
	if !at[199].Equal(noon) {
		t.Errorf("call 200 at +%v, want at once", at[199].Sub(noon))
	}
	if wait := at[200].Sub(noon); wait < time.Minute || wait > time.Minute+time.Second {
		t.Errorf("call 201 at +%v, want when the minute is over", wait)
	}
}

func TestZeroIsNoLimit(t *testing.T) {
	var s State
	at := drain(t, &s, DefaultSettings(0), Backfill, noon, 50_000)
	if !at[len(at)-1].Equal(noon) {
		t.Error("something waited without a limit")
	}
	if len(s.Spent) > 2*maxSpent {
		t.Errorf("%d calls remembered", len(s.Spent))
	}
}

func TestStockBasicIsTighter(t *testing.T) {
	for perMinute, want := range map[int]int{200: 50, 20: 20, 0: 0} {
		if got := DefaultSettings(perMinute).Limit("stock_basic"); got != want {
			t.Errorf("%d a minute: stock_basic %d, want %d", perMinute, got, want)
		}
	}
}

func TestReserveIsKeptFromBackfill(t *testing.T) {
	set := DefaultSettings(200)
	var s State
	drain(t, &s, set, Backfill, noon, 192)
	if s.Decide(noon, set, api, Backfill, 0).Go {
		t.Error("a backfill used the reserve")
	}
	drain(t, &s, set, Normal, noon, 7)
	if s.Decide(noon, set, api, Normal, 0).Go {
		t.Error("a normal call used the probe's call")
	}
	if !s.Decide(noon, set, api, Probe, 0).Go {
		t.Error("a probe was starved")
	}
}

func TestAllowanceNeverEmpty(t *testing.T) {
	for _, reserve := range []float64{0, DefaultReserve, 0.1, 0.9} {
		set := Settings{Reserve: reserve}
		for n := 1; n < 3000; n++ {
			b, m, p := set.Allowance(n, Backfill), set.Allowance(n, Normal), set.Allowance(n, Probe)
			if b < 1 || b > m && n >= 10 || m > p || p != n {
				t.Fatalf("%d with reserve %v: %d, %d, %d", n, reserve, b, m, p)
			}
			if n >= 5 && b == n {
				t.Fatalf("%d leaves no reserve", n)
			}
		}
	}
}

// A backfill under the default reserve stays within 5 % of calls ÷ limit.
func TestBackfillWithinFivePercentOfTheBound(t *testing.T) {
	set := DefaultSettings(500)
	for _, n := range []int{501, 730, 961, 2190, 5000, 20_000} {
		var s State
		at := drain(t, &s, set, Backfill, noon, n)
		took, bound := at[n-1].Sub(noon), time.Duration(n)*time.Minute/500
		if float64(took) > 1.05*float64(bound) {
			t.Errorf("%d calls took %v, bound %v", n, took, bound)
		}
	}
}

func TestMinuteRefusalTeachesAndWaitsExactly(t *testing.T) {
	var s State
	set := Settings{}
	for i := range 51 { // the 51st, at +5 s, is refused
		s.Spend(noon.Add(time.Duration(i) * 100 * time.Millisecond))
	}
	sent := noon.Add(5 * time.Second)
	now := sent.Add(50 * time.Millisecond)
	until := s.Refuse(sent, now, Minute, 50)
	d := s.Decide(now, set, api, Probe, 0)
	// The refused call counts, so the second call must leave the window.
	if want := noon.Add(100*time.Millisecond + time.Minute + margin); d.Go || !d.Until.Equal(want) || !until.Equal(want) || d.Limit != 50 {
		t.Errorf("wait until %v (%+v), want %v", until, d, want)
	}
}

func TestStatedLimitWinsOverTheSettingBothWays(t *testing.T) {
	for _, stated := range []int{50, 500} {
		var s State
		set := DefaultSettings(200)
		s.Refuse(noon, noon, Minute, stated)
		at := drain(t, &s, set, Probe, noon.Add(2*time.Minute), stated+1)
		if !at[stated-1].Equal(at[0]) || at[stated].Equal(at[0]) {
			t.Errorf("stated %d, and another number went at once", stated)
		}
	}
}

// A limit is tried again when its own window has passed: the tier may be another.
func TestALearntLimitIsTriedAgain(t *testing.T) {
	for w, until := range map[Window]time.Time{Hour: noon.Add(time.Hour + margin), Day: market.NewDate(2026, 3, 3).At(0, 0, market.Shanghai)} {
		var s State
		s.Refuse(noon, noon, w, 3)
		if n, learnt := s.Limit(w, until.Add(-time.Second), Settings{}, api); n != 3 || !learnt {
			t.Errorf("%v: limit %d, learnt %v", w, n, learnt)
		}
		if n, learnt := s.Limit(w, until, Settings{}, api); n != 0 || learnt {
			t.Errorf("%v: limit %d, learnt %v", w, n, learnt)
		}
		if at := drain(t, &s, Settings{}, Backfill, until, 100); !at[99].Equal(until) {
			t.Errorf("%v: the tier was raised, and call 100 went %v later", w, at[99].Sub(until))
		}
		if n, of, ok := s.Scarce(until.AddDate(0, 0, 6)); n != 3 || of != w || !ok {
			t.Errorf("%v: scarce %d per %v, %v", w, n, of, ok)
		}
		if _, _, ok := s.Scarce(until.AddDate(0, 0, 7)); ok {
			t.Errorf("%v: scarce forever", w)
		}
		s.Refuse(until, until, w, scarce)
		if _, _, ok := s.Scarce(until); ok {
			t.Errorf("%v: %d are not scarce", w, scarce)
		}
	}
}

func TestForgetDropsWhatWasLearnt(t *testing.T) {
	var s State
	s.Spend(noon)
	for w := range windows {
		s.Refuse(noon, noon, w, 1)
	}
	s.Hold(noon.Add(time.Hour))
	s.Forget()
	if d := s.Decide(noon, Settings{}, api, Backfill, 0); !d.Go || len(s.Spent) != 1 {
		t.Errorf("%+v, %d calls known", d, len(s.Spent))
	}
}

// The provider's own word is obeyed, however long, and no clock makes it longer.
func TestHeldUntilTheProviderSays(t *testing.T) {
	for wait, w := range map[time.Duration]Window{time.Second: Minute, 2 * time.Minute: Minute, 50 * time.Minute: Hour, 5 * time.Hour: Day} {
		var s State
		until := s.Hold(noon.Add(wait))
		s.Hold(noon) // a shorter one does not shorten it
		if d := s.Decide(noon, Settings{}, api, Probe, 0); d.Go || !d.Asked || d.Window != w || !d.Until.Equal(until) {
			t.Errorf("%v: %+v", wait, d)
		}
		if d := s.Decide(until, Settings{}, api, Probe, 0); !d.Go {
			t.Errorf("%v: after it %+v", wait, d)
		}
	}
	var s State
	s.Hold(noon.AddDate(1, 0, 0))
	if s.Clamp(noon); s.Held.Sub(noon) > 25*time.Hour {
		t.Errorf("held until %v", s.Held)
	}
}

func TestLearntMinuteIsForgottenAfterADay(t *testing.T) {
	var s State
	s.Refuse(noon, noon, Minute, 50)
	if n, learnt := s.Limit(Minute, noon.Add(trusted-time.Second), DefaultSettings(200), api); n != 50 || !learnt {
		t.Errorf("limit %d, learnt %v", n, learnt)
	}
	if n, learnt := s.Limit(Minute, noon.Add(trusted), DefaultSettings(200), api); n != 200 || learnt {
		t.Errorf("limit %d, learnt %v", n, learnt)
	}
}

// Somebody else spends the same allowance: only a whole window is enough.
func TestUnexplainedRefusalWaitsAWholeWindow(t *testing.T) {
	var s State
	s.Spend(noon)
	for _, w := range []Window{Minute, Hour} {
		if until := s.Refuse(noon, noon, w, 50); !until.Equal(noon.Add(w.Length() + margin)) {
			t.Errorf("%v: until %v", w, until)
		}
	}
	if d := s.Decide(noon, Settings{}, api, Probe, 0); d.Go || d.Window != Hour {
		t.Errorf("decision %+v, want the longest wait", d)
	}
}

func TestHourOfOneCall(t *testing.T) {
	var s State
	drain(t, &s, Settings{}, Normal, noon, 2)
	until := s.Refuse(noon, noon, Hour, 1)
	if want := noon.Add(time.Hour + margin); !until.Equal(want) {
		t.Errorf("until %v, want %v", until, want)
	}
	if d := s.Decide(until, Settings{}, api, Normal, 0); !d.Go {
		t.Errorf("the hour is over: %+v", d)
	}
}

func TestDayEndsAtMidnightInBeijing(t *testing.T) {
	var s State
	until := s.Refuse(noon, noon, Day, 8000)
	if want := market.NewDate(2026, 3, 3).At(0, 0, market.Shanghai); !until.Equal(want) {
		t.Errorf("until %v, want %v", until, want)
	}
	if d := s.Decide(until.Add(-time.Second), Settings{}, api, Probe, 0); d.Go || d.Window != Day {
		t.Errorf("before midnight: %+v", d)
	}
	if d := s.Decide(until, Settings{}, api, Probe, 0); !d.Go {
		t.Errorf("at midnight: %+v", d)
	}
}

func TestDayThatDoesNotBeginAtMidnightIsTriedByTheHour(t *testing.T) {
	var s State
	now := s.Refuse(noon, noon, Day, 8000)
	for range 5 {
		next := s.Refuse(now, now, Day, 8000)
		if got := next.Sub(now); got != time.Hour {
			t.Fatalf("tried again after %v, want an hour", got)
		}
		now = next
	}
}

// The calls since midnight say nothing where the provider's day begins at another hour.
func TestASmallDayIsTriedByTheHourToo(t *testing.T) {
	var s State
	now := s.Refuse(noon, noon, Day, 1)
	for range 5 {
		if d := s.Decide(now, Settings{}, api, Probe, 0); !d.Go {
			t.Fatalf("at %v: %+v", now, d)
		}
		s.Spend(now)
		now = s.Refuse(now, now, Day, 1)
	}
}

func TestThoseAheadCount(t *testing.T) {
	var s State
	set := Settings{PerMinute: 3}
	if !s.Decide(noon, set, api, Probe, 2).Go {
		t.Error("two ahead of three leave room")
	}
	for ahead, minutes := range map[int]int{0: 1, 2: 1, 3: 2, 7: 3} {
		var s State
		drain(t, &s, set, Probe, noon, 3)
		if d := s.Decide(noon, set, api, Probe, ahead); !d.Until.Equal(noon.Add(time.Duration(minutes) * (time.Minute + margin))) {
			t.Errorf("%d ahead: until +%v", ahead, d.Until.Sub(noon))
		}
	}
}

func TestClampAfterTheClockWasSetBack(t *testing.T) {
	s := State{Spent: []time.Time{noon.Add(-time.Second), noon.Add(2 * time.Hour)}}
	for w := range windows {
		s.Closed[w] = noon.AddDate(0, 1, 0)
	}
	s.Clamp(noon)
	if len(s.Spent) != 1 || s.Closed[Minute].Sub(noon) > 2*time.Minute || s.Closed[Day].Sub(noon) > 25*time.Hour {
		t.Errorf("state %+v", s)
	}
}

// No minute ever has more calls than the limit, whatever the priorities, pauses and refusals.
func TestNoMinuteHoldsMoreThanTheLimit(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit := 1 + r.IntN(60)
		set := Settings{PerMinute: limit, Reserve: DefaultReserve}
		var s State
		var granted []time.Time
		now := noon
		for range 2000 {
			p := Priority(r.IntN(3))
			if d := s.Decide(now, set, api, p, 0); d.Go {
				s.Spend(now)
				granted = append(granted, now)
			} else if r.IntN(3) == 0 {
				now = d.Until
			}
			if r.IntN(50) == 0 {
				s.Refuse(now, now, Minute, 0)
			}
			if r.IntN(4) == 0 {
				now = now.Add(time.Duration(r.IntN(5000)) * time.Millisecond)
			}
		}
		for i := limit; i < len(granted); i++ {
			if gap := granted[i].Sub(granted[i-limit]); gap < time.Minute {
				t.Fatalf("seed %d: %d calls within %v, limit %d", seed, limit+1, gap, limit)
			}
		}
	}
}

// The estimate is what happens.
func TestEstimateAgreesWithTheDecision(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		set := Settings{PerMinute: 1 + r.IntN(40), Reserve: DefaultReserve}
		var s State
		now := noon
		for range r.IntN(100) {
			if s.Decide(now, set, api, Probe, 0).Go {
				s.Spend(now)
			}
			now = now.Add(time.Duration(r.IntN(1500)) * time.Millisecond)
		}
		switch r.IntN(4) {
		case 0:
			s.Refuse(now, now, Minute, 5+r.IntN(10))
		case 1:
			s.Refuse(now, now, Hour, 10+r.IntN(100))
		case 2:
			s.Refuse(now, now, Day, 50+r.IntN(100))
		}
		n := 1 + r.IntN(300)
		known := s
		known.Spent = append([]time.Time(nil), s.Spent...)
		got := Estimate(now, set, func(string) *State { return &known }, Load{Calls: map[string]int{api: n}, Priority: Normal})
		// The provider continues to refuse, so that the learned limit stays in force.
		at := now
		for made := 0; made < n; {
			for w := Hour; w < windows; w++ {
				s.Learnt[w].At = at
			}
			day := set.Allowance(s.Learnt[Day].Calls, Normal)
			if d := s.Decide(at, set, api, Normal, 0); !d.Go {
				at = d.Until
			} else if day > 0 && s.Day == market.DateOf(at) && s.SpentToday >= day {
				at = nextDay(at)
			} else {
				s.Spend(at)
				made++
			}
		}
		want := at.Sub(now)
		if got != want {
			t.Errorf("seed %d: %d calls estimated %v, took %v", seed, n, got, want)
		}
	}
}

func TestEstimateOfTheCallsThemselves(t *testing.T) {
	got := Estimate(noon, Settings{}, func(string) *State { return nil },
		Load{Calls: map[string]int{"daily": 100, "moneyflow": 100, "none": 0}, PerCall: 100 * time.Millisecond, Parallel: 4})
	if got != 5*time.Second {
		t.Errorf("estimate %v, want 5 s", got)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, s := range []Settings{{PerMinute: -1}, {Reserve: -0.1}, {Reserve: 1}} {
		if s.Check() == nil {
			t.Errorf("%+v passed", s)
		}
	}
	if err := DefaultSettings(200).Check(); err != nil {
		t.Error(err)
	}
}

func BenchmarkDecide(b *testing.B) {
	set := DefaultSettings(500)
	var s State
	s.Refuse(noon, noon, Hour, 100_000)
	now := noon.Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if s.Decide(now, set, api, Backfill, 3).Go {
			s.Spend(now)
		}
		now = now.Add(100 * time.Millisecond)
	}
}

func BenchmarkEstimate(b *testing.B) {
	set := DefaultSettings(500)
	var s State
	for i := range 500 {
		s.Spend(noon.Add(time.Duration(i) * time.Millisecond))
	}
	load := Load{Calls: map[string]int{"daily": 730, "daily_basic": 730, "moneyflow": 730, "fund_daily": 730}}
	b.ReportAllocs()
	for b.Loop() {
		Estimate(noon, set, func(string) *State { return &s }, load)
	}
}
