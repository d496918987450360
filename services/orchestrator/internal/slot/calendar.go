package slot

import (
	"slices"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Calendar is the last copy of the exchange's calendar. The zero value is unknown: weekdays
// count as open.
type Calendar struct {
	// Open are the open days, ascending.
	Open []market.Date
	// First and Last are the limits of the known days, inclusive. Undefined while Open is
	// empty.
	First, Last market.Date
}

// Known reports whether the calendar includes the day.
func (c Calendar) Known(d market.Date) bool {
	return len(c.Open) > 0 && d >= c.First && d <= c.Last
}

// IsOpen reports whether the exchange is open on the day. Outside the calendar, weekdays
// are open.
func (c Calendar) IsOpen(d market.Date) bool {
	if !c.Known(d) {
		return !d.Weekend()
	}
	_, found := slices.BinarySearch(c.Open, d)
	return found
}

// NextOpen is the first open day after d.
func (c Calendar) NextOpen(d market.Date) market.Date {
	const lookDays = 60 // the longest close is about twelve days
	for i := market.Date(1); i <= lookDays; i++ {
		if c.IsOpen(d + i) {
			return d + i
		}
	}
	return d + 1
}

// Warning is an issue if the calendar does not include the day; ok is false if it does.
func (c Calendar) Warning(d market.Date) (issue fault.Issue, ok bool) {
	switch {
	case c.Known(d):
		return fault.Issue{}, false
	case len(c.Open) == 0:
		none := fault.NewIssue(fault.CalendarEnded, "The trading calendar has not been fetched yet, so weekdays count as trading days.")
		none.Remedy = "No action is needed: the first run that reaches the ingest-worker fetches it."
		return none, true
	case d < c.First:
		return fault.NewIssue(fault.CalendarEnded, "The trading calendar begins on "+c.First.String()+", after "+d.String()+
			", so weekdays count as trading days.", "calendar_end_date", c.Last.String()), true
	}
	return fault.NewIssue(fault.CalendarEnded, "The trading calendar ends on "+c.Last.String()+", before "+d.String()+
		", so weekdays count as trading days.", "calendar_end_date", c.Last.String()), true
}
