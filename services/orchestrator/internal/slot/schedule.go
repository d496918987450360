package slot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Validate returns every invalid field by its name in the contract; none if all are valid.
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
		add("pools", "must name at least one of targets, universe")
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

// ParseZone finds an IANA time zone. Names that Go or the zone files of the machine resolve
// to the machine's own zone are rejected, as are other files in that directory, so that a
// wrong name never silently becomes local time.
func ParseZone(name string) (*time.Location, error) {
	top, _, _ := strings.Cut(name, "/")
	switch strings.ToLower(top) {
	case "", "local", "localtime", "posixrules", "posix", "right", "factory":
	default:
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, fmt.Errorf("%.60q is not an IANA time zone: write one such as Asia/Shanghai", name)
}

// timing has the parsed text fields of a valid schedule.
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

// DueAt is when the slots of a day are due, daylight saving included (Clock.On).
func (s Schedule) DueAt(d market.Date) (time.Time, error) {
	clock, zone, err := s.timing()
	if err != nil {
		return time.Time{}, err
	}
	return clock.On(d, zone), nil
}

// Today is the date at t in the schedule's zone, and when that day ends.
func (s Schedule) Today(t time.Time) (day market.Date, ends time.Time, err error) {
	_, zone, err := s.timing()
	if err != nil {
		return market.NoDate, time.Time{}, err
	}
	day = market.DateIn(t, zone)
	return day, Clock(0).On(day+1, zone), nil
}

// TradeDay is the day whose data a slot is for: its own date, or the date in Shanghai when
// it is due, if that is still the previous day, as in zones east of it.
func TradeDay(day market.Date, due time.Time) market.Date { return min(day, market.DateOf(due)) }

// Fires reports whether the schedule starts runs of the pool at all.
func (s Schedule) Fires(pool market.Pool) bool { return slices.Contains(s.Pools, pool) }

// NextDue is the next slot after now that will fire, on a day after the given one; ok is
// false if none will, because the schedule is disabled or paused, or no day of the next
// year is open.
func (s Schedule) NextDue(cal Calendar, now time.Time, after market.Date) (next Due, ok bool) {
	clock, zone, err := s.timing()
	if err != nil || !s.Enabled || s.Paused || len(s.Pools) == 0 {
		return Due{}, false
	}
	from := max(market.DateIn(now, zone), after+1)
	for d := from; d < from+366; d++ {
		if at := clock.On(d, zone); at.After(now) && (!s.TradingDaysOnly || cal.IsOpen(TradeDay(d, at))) {
			return Due{Date: d, At: at}, true
		}
	}
	return Due{}, false
}
