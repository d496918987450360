package market

import (
	"fmt"
	"time"
	_ "time/tzdata" // the zone must resolve on machines without zone files
)

// Date is a calendar day without a time zone, as days since 1970-01-01, like DuckDB's DATE.
// NoDate marks absence.
type Date int32

// NoDate is the absent date; its text is empty.
const NoDate Date = -1 << 31

// Shanghai is the time zone of every trade date and due time.
var Shanghai = mustZone("Asia/Shanghai")

// Moment is the layout in which messages write a time: local date and time to the second, and the
// offset.
const Moment = "2006-01-02 15:04:05 -07:00"

// LastDue is the time of day in Shanghai at which the last dataset of a trade date is due:
// no dataset of the worker's catalog is later.
const LastDue = 19 * time.Hour

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err) // the zone database is linked in, so this is a build error
	}
	return zone
}

// DateOf is the date of t in Shanghai.
func DateOf(t time.Time) Date { return DateIn(t, Shanghai) }

// DateIn is the date of t in zone.
func DateIn(t time.Time, zone *time.Location) Date {
	y, m, d := t.In(zone).Date()
	return NewDate(y, m, d)
}

// NewDate is the day of a year, month and day; out of range values roll over as
// in time.Date.
func NewDate(year int, month time.Month, day int) Date {
	return Date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// ParseDate parses "YYYY-MM-DD", the form of the API and of SQLite.
func ParseDate(s string) (Date, error) { return parse(time.DateOnly, "YYYY-MM-DD", s) }

// ParseCompact parses "YYYYMMDD", the provider's form.
func ParseCompact(s string) (Date, error) { return parse("20060102", "YYYYMMDD", s) }

func parse(layout, form, s string) (Date, error) {
	t, err := time.Parse(layout, s)
	if err != nil {
		return NoDate, fmt.Errorf("%.20q is not a date in the format %s", s, form)
	}
	if y := t.Year(); y < 1990 || y > 2100 {
		return NoDate, fmt.Errorf("%s is outside 1990 to 2100", s)
	}
	return Date(t.Unix() / 86400), nil
}

// Time is midnight UTC of the day.
func (d Date) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// At is the time at which the clock in zone shows hour:minute on the day.
func (d Date) At(hour, minute int, zone *time.Location) time.Time {
	y, m, day := d.Time().Date()
	return time.Date(y, m, day, hour, minute, 0, 0, zone)
}

// Weekend reports whether it is a Saturday or Sunday.
func (d Date) Weekend() bool {
	w := d.Time().Weekday()
	return w == time.Saturday || w == time.Sunday
}

// String is "YYYY-MM-DD", or empty for NoDate.
func (d Date) String() string {
	if d == NoDate {
		return ""
	}
	return d.Time().Format(time.DateOnly)
}

// Compact is "YYYYMMDD", the provider's form, or empty for NoDate.
func (d Date) Compact() string {
	if d == NoDate {
		return ""
	}
	return d.Time().Format("20060102")
}
