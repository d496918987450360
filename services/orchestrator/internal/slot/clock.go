package slot

import (
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Clock is a local time of day in minutes since midnight, 0 to 1439.
type Clock int

// ParseClock reads "HH:MM" strictly: two digits each, 00:00 to 23:59.
func ParseClock(s string) (Clock, error) {
	digit := func(i int) bool { return s[i] >= '0' && s[i] <= '9' }
	if len(s) == 5 && s[2] == ':' && digit(0) && digit(1) && digit(3) && digit(4) {
		h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
		if h < 24 && m < 60 {
			return Clock(h*60 + m), nil
		}
	}
	return 0, fmt.Errorf("%.16q is not a time of day: write HH:MM, 00:00 to 23:59", s)
}

// String is "HH:MM".
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// On is the time at which the clock in zone shows c on the day. A time that the day skips
// (daylight saving begins) is the first moment after the gap; one that occurs twice
// (daylight saving ends) is the first of both.
func (c Clock) On(d market.Date, zone *time.Location) time.Time {
	wall := int64(d)*86400 + int64(c)*60
	// At most one change of offset is within a day of it, so these are the offsets before and
	// after it.
	before, after := offset(wall-86400, zone), offset(wall+86400, zone)
	first, second := wall-max(before, after), wall-min(before, after)
	for _, u := range [2]int64{first, second} {
		if u+offset(u, zone) == wall {
			return time.Unix(u, 0).In(zone)
		}
	}
	gapEnds, _ := time.Unix(second, 0).In(zone).ZoneBounds()
	return gapEnds
}

func offset(unix int64, zone *time.Location) int64 {
	_, seconds := time.Unix(unix, 0).In(zone).Zone()
	return int64(seconds)
}

// NextAfter is the first time after t at which the clock in zone shows c.
func (c Clock) NextAfter(t time.Time, zone *time.Location) time.Time {
	for d := market.DateIn(t, zone); ; d++ {
		if at := c.On(d, zone); at.After(t) {
			return at
		}
	}
}
