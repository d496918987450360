// Package calendar has the exchange calendar of the synthetic market.
//
// Closures up to 2026 are the announced ones. Those of later years are estimated from the usual
// holidays (New Year, Spring Festival, Qingming, Labour Day, National Day), so that a clock can
// be set to the future; they are not announced. The package does no I/O and reads no clock.
package calendar

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// First and Last bound the calendar, as YYYYMMDD.
const (
	First = 19901219
	Last  = 20401231
)

// Day is one calendar day.
type Day struct {
	// Date is YYYYMMDD.
	Date int32
	// Open reports whether the exchanges trade.
	Open bool
	// Prev is the previous open day as YYYYMMDD; 0 on the first day.
	Prev int32
	// Index is the position among the open days; on a closed day, that of the previous open day.
	Index int32
}

// Calendar has all days from First to Last. It is immutable.
type Calendar struct {
	days []Day
	open []int32
	base int
}

// Standard returns the one calendar, built on first use.
var Standard = sync.OnceValue(build)

func build() *Calendar {
	c := &Calendar{base: civil(First)}
	closed := map[int32]bool{}
	for y := First / 10000; y <= Last/10000; y++ {
		for _, d := range closedDays(y) {
			closed[int32(y*10000+d)] = true
		}
	}
	t := Time(First)
	prev := int32(0)
	for {
		d := FromTime(t)
		if d > Last {
			return c
		}
		wd := t.Weekday()
		day := Day{Date: d, Prev: prev, Open: wd != time.Saturday && wd != time.Sunday && !closed[d]}
		if day.Open {
			c.open = append(c.open, d)
			prev = d
		}
		day.Index = int32(len(c.open) - 1)
		c.days = append(c.days, day)
		t = t.AddDate(0, 0, 1)
	}
}

// closedDays returns the closures of a year as MMDD numbers.
func closedDays(year int) []int {
	if s, ok := closures[year]; ok {
		var out []int
		for f := range strings.FieldsSeq(s) {
			n, _ := strconv.Atoi(f)
			out = append(out, n)
		}
		return out
	}
	if year <= 2026 {
		return nil
	}
	out := []int{101, 404, 405, 501, 502, 503, 1001, 1002, 1003, 1004, 1005, 1006, 1007}
	if sf, ok := springFestivals[year]; ok {
		eve := Time(int32(year*10000+sf)).AddDate(0, 0, -1)
		for i := range 8 {
			out = append(out, int(FromTime(eve.AddDate(0, 0, i)))%10000)
		}
	}
	return out
}

// All returns every day in order. The slice must not be changed.
func (c *Calendar) All() []Day { return c.days }

// Open returns every open day in order as YYYYMMDD. The slice must not be changed.
func (c *Calendar) Open() []int32 { return c.open }

// Lookup returns a day; false if it is outside the calendar or does not exist.
func (c *Calendar) Lookup(date int32) (Day, bool) {
	if date < First || date > Last || !Valid(date) {
		return Day{}, false
	}
	return c.days[civil(date)-c.base], true
}

// Between returns the open days from..to, both included. The bounds need not
// be open or even exist.
func (c *Calendar) Between(from, to int32) []int32 {
	lo, hi := search(c.open, from), search(c.open, to+1)
	if lo >= hi {
		return nil
	}
	return c.open[lo:hi]
}

func search(s []int32, d int32) int {
	lo, hi := 0, len(s)
	for lo < hi {
		m := (lo + hi) / 2
		if s[m] < d {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// Horizon returns the last day that the provider's calendar has on a day.
func Horizon(today int32) int32 {
	y := today / 10000
	if today/100%100 == 12 {
		y++
	}
	return y*10000 + 1231
}

// Valid reports whether a YYYYMMDD number is a day that exists.
func Valid(date int32) bool {
	y, m, d := int(date/10000), int(date/100%100), int(date%100)
	if y < 1 || m < 1 || m > 12 || d < 1 || d > 31 {
		return false
	}
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Day() == d
}

// Parse parses a date in the format YYYYMMDD; false if it is not one.
func Parse(s string) (int32, bool) {
	if len(s) != 8 {
		return 0, false
	}
	n := int32(0)
	for i := range 8 {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int32(s[i]-'0')
	}
	return n, Valid(n)
}

// Text formats a date as YYYYMMDD.
func Text(date int32) string { return strconv.Itoa(int(date)) }

// Time returns midnight UTC of a date.
func Time(date int32) time.Time {
	return time.Date(int(date/10000), time.Month(date/100%100), int(date%100), 0, 0, 0, 0, time.UTC)
}

// FromTime returns the date of t in its own zone.
func FromTime(t time.Time) int32 {
	y, m, d := t.Date()
	return int32(y*10000 + int(m)*100 + d)
}

// AddDays adds calendar days to a date.
func AddDays(date int32, n int) int32 { return FromTime(Time(date).AddDate(0, 0, n)) }

func civil(date int32) int { return int(Time(date).Unix() / 86400) }
