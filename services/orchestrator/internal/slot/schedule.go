package slot

import (
	"fmt"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Validate names every field that is wrong, as the contract writes it; none when
// all hold.
func (s Schedule) Validate() []fault.Violation {
	var wrong []fault.Violation
	add := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Violation{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	if _, err := ParseClock(s.RunAt); err != nil {
		add("run_at", "%v", err)
	}
	if _, err := ParseZone(s.TimeZone); err != nil {
		add("time_zone", "%v", err)
	}
	if len(s.Pools) == 0 {
		add("pools", "name at least one of targets, universe")
	}
	for i, p := range s.Pools {
		if _, err := market.ParsePool(string(p)); err != nil {
			add(fmt.Sprintf("pools[%d]", i), "%v", err)
		} else if slices.Contains(s.Pools[:i], p) {
			add(fmt.Sprintf("pools[%d]", i), "%s is named twice", p)
		}
	}
	if !s.CatchUp.known() {
		add("catch_up", "%.40q is not allowed: write last, all or none", string(s.CatchUp))
	}
	return wrong
}

func (c CatchUp) known() bool { return c == CatchUpLast || c == CatchUpAll || c == CatchUpNone }

// ParseZone finds an IANA zone. The names that Go takes for the machine's own zone
// are refused: a wrong zone never silently becomes local time.
func ParseZone(name string) (*time.Location, error) {
	if name != "" && name != "Local" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, fmt.Errorf("%.60q is not an IANA time zone: write one such as Asia/Shanghai", name)
}

// timing is what a valid schedule's text fields mean.
func (s Schedule) timing() (Clock, *time.Location, error) {
	clock, err := ParseClock(s.RunAt)
	if err != nil {
		return 0, nil, fault.Invalid("run_at", "%v", err)
	}
	zone, err := ParseZone(s.TimeZone)
	if err != nil {
		return 0, nil, fault.Invalid("time_zone", "%v", err)
	}
	return clock, zone, nil
}

// DueAt is when the slots of a day come due, daylight saving included (Clock.On).
func (s Schedule) DueAt(d market.Date) (time.Time, error) {
	clock, zone, err := s.timing()
	if err != nil {
		return time.Time{}, err
	}
	return clock.On(d, zone), nil
}

// Today is the day it is at t in the schedule's zone.
func (s Schedule) Today(t time.Time) (market.Date, error) {
	_, zone, err := s.timing()
	if err != nil {
		return market.NoDate, err
	}
	return market.DateIn(t, zone), nil
}

// Due lists the days whose slots came due after since and not after until,
// ascending.
func (s Schedule) Due(since, until time.Time) ([]market.Date, error) {
	clock, zone, err := s.timing()
	if err != nil {
		return nil, err
	}
	var days []market.Date
	for d := market.DateIn(since, zone); d <= market.DateIn(until, zone); d++ {
		if at := clock.On(d, zone); at.After(since) && !at.After(until) {
			days = append(days, d)
		}
	}
	return days, nil
}

// Fires reports whether the schedule asks for runs of the pool at all.
func (s Schedule) Fires(pool market.Pool) bool { return slices.Contains(s.Pools, pool) }

// NextDue is the next slot after now that will fire; ok is false when none will,
// because the schedule is off or held, or no day of the next year is open.
func (s Schedule) NextDue(cal Calendar, now time.Time) (day market.Date, at time.Time, ok bool) {
	clock, zone, err := s.timing()
	if err != nil || !s.Enabled || s.Paused || len(s.Pools) == 0 {
		return market.NoDate, time.Time{}, false
	}
	today := market.DateIn(now, zone)
	for d := today; d < today+366; d++ {
		if at := clock.On(d, zone); at.After(now) && (!s.TradingDaysOnly || cal.IsOpen(d)) {
			return d, at, true
		}
	}
	return market.NoDate, time.Time{}, false
}
