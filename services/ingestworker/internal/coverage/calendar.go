package coverage

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Calendar is the stored trading calendar of a pool.
type Calendar struct {
	// Open are the trading days in ascending order.
	Open []market.Date
	// First and Last known day, open or not; both NoDate if there is no calendar.
	First, Last market.Date
}

// Known reports whether there is a calendar.
func (c Calendar) Known() bool { return c.Last != market.NoDate && c.Last != 0 }

// ExchangesOpen is the day on which the exchanges opened; the days between it and the
// beginning of a calendar are not hidden.
var ExchangesOpen = market.NewDate(1990, 12, 19)

// IsOpen reports whether the exchange trades on d. Outside the calendar, weekdays count as
// trading days.
func (c Calendar) IsOpen(d market.Date) bool {
	if c.beyond(d) {
		return !d.Weekend()
	}
	_, found := slices.BinarySearch(c.Open, d)
	return found
}

func (c Calendar) beyond(d market.Date) bool {
	return !c.Known() || d > c.Last || d < c.First && d >= ExchangesOpen
}

// Days lists the trading days of a date range, inclusive, in ascending order. guessed is
// true if weekdays outside the calendar are among them.
func (c Calendar) Days(start, end market.Date) (days []market.Date, guessed bool) {
	if start == market.NoDate || end == market.NoDate || start > end {
		return nil, false
	}
	if c.Known() {
		for d := max(start, ExchangesOpen); d <= min(end, c.First-1); d++ {
			if !d.Weekend() {
				days, guessed = append(days, d), true
			}
		}
	}
	from, _ := slices.BinarySearch(c.Open, start)
	to, _ := slices.BinarySearch(c.Open, end+1)
	days = append(days, c.Open[from:to]...)
	d := start
	if c.Known() {
		d = max(start, c.Last+1)
	}
	for ; d <= end; d++ {
		if !d.Weekend() {
			days, guessed = append(days, d), true
		}
	}
	return days, guessed
}

// The longest close of the exchange is about twelve days; a year is enough for any gap in a
// damaged calendar.
const lookDays = 366

// Next is the first trading day after d.
func (c Calendar) Next(d market.Date) market.Date {
	for i := market.Date(1); i <= lookDays; i++ {
		if c.IsOpen(d + i) {
			return d + i
		}
	}
	return d + 1
}

// Before is the last trading day before d, or NoDate if the calendar has none.
func (c Calendar) Before(d market.Date) market.Date {
	for i := market.Date(1); i <= lookDays; i++ {
		if c.IsOpen(d - i) {
			return d - i
		}
	}
	return market.NoDate
}

// DueAt is the time from which the provider is expected to have published a trade date of
// the dataset.
func DueAt(ds *catalog.Dataset, d market.Date) time.Time {
	return d.At(0, 0, market.Shanghai).Add(ds.Due) // Shanghai has no daylight saving time
}

// Newest is the last trading day up to end whose data is due by now, or NoDate.
func Newest(ds *catalog.Dataset, c Calendar, now time.Time, end market.Date) market.Date {
	d := market.DateOf(now)
	if end != market.NoDate {
		d = min(d, end)
	}
	for range lookDays {
		if c.IsOpen(d) && !now.Before(DueAt(ds, d)) {
			return d
		}
		d--
	}
	return market.NoDate
}

// Publishing reports whether the provider may still publish the date: until the next
// trading day's data is due.
func Publishing(ds *catalog.Dataset, c Calendar, d market.Date, now time.Time) bool {
	return !ds.Snapshot && now.Before(DueAt(ds, c.Next(d)))
}
