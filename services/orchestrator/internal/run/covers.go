package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// ClockSlack is how far a stamp may lie after now; one further ahead was written while the
// clock was wrong.
const ClockSlack = time.Minute

// Covers reports whether a run that is queued or in progress answers a request for
// the same pool, so that no other need be queued: its dates and modules include
// those wanted, it starts by now, and where the newest data is wanted, it did not
// start before the last of it was due.
func Covers(existing Run, want Request, now, lastDue time.Time) bool {
	switch existing.State {
	case Queued:
		if existing.NotBefore.After(now) {
			return false // a follow-up that waits for its hour
		}
	case Checking, Running, Paused:
		// It planned when it started, or will plan later.
		if existing.StartedAt.Before(lastDue) && (noDate(want.End) || want.End >= market.DateOf(lastDue)) {
			return false
		}
	default:
		return false
	}
	have := existing.Request
	if want.Refetch && !have.Refetch || !covers(have.Modules, want.Modules) {
		return false
	}
	if !noDate(have.Start) && (noDate(want.Start) || want.Start < have.Start) {
		return false
	}
	if noDate(have.Start) && !noDate(want.Start) {
		return false // from the first gap in the window: older dates may be wanted
	}
	return noDate(have.End) || !noDate(want.End) && want.End <= have.End
}

// Uncovers reports whether a run covers a slot no more, because a user stopped it. One
// that was the run of a later slot still answers: that evening was called off with it.
func Uncovers(r Run, v slot.Slot) bool {
	stopped := r.Outcome == Cancelled || r.Outcome == Failed && slices.ContainsFunc(r.Issues, func(i fault.Issue) bool {
		return i.Reason == fault.Interrupted && i.Meta["state"] == string(Cancelling)
	})
	return stopped && r.SlotID < v.ID // both of one pool, so by their dates
}

// LastDue is the last moment up to now at which a dataset was due, by the hours
// of the catalog, or by 17:00, 18:00 and 19:00 in Shanghai when it names none.
func LastDue(c catalog.Catalog, now time.Time) time.Time {
	var last time.Time
	for _, clock := range dueHours(c, nil) {
		today := market.DateOf(now)
		at := clock.On(today, market.Shanghai)
		if at.After(now) {
			at = clock.On(today-1, market.Shanghai)
		}
		last = latest(last, at)
	}
	return last
}

// DueLater is the first moment after since at which a dataset of the modules is due
// on the day of since, where the exchange is open on it. Zero when there is none, or
// when the day was over by now.
func DueLater(c catalog.Catalog, modules []string, cal slot.Calendar, since, now time.Time) time.Time {
	day := market.DateOf(since)
	if !cal.IsOpen(day) || market.DateOf(now) != day || len(modules) == 0 {
		return time.Time{}
	}
	for _, clock := range dueHours(c, modules) {
		if at := clock.On(day, market.Shanghai); at.After(since) {
			return latest(at, now.Add(time.Second)) // it came due while the run was under way
		}
	}
	return time.Time{}
}

// DueOn is when the last dataset of the modules is due on a day, by the hours of the
// catalog; nil means all modules.
func DueOn(c catalog.Catalog, modules []string, d market.Date) time.Time {
	hours := dueHours(c, modules)
	if len(hours) == 0 {
		return d.At(0, 0, market.Shanghai)
	}
	return hours[len(hours)-1].On(d, market.Shanghai)
}

// Early warns that a slot comes before datasets of its trade day are due. ok is false
// when all are due by then.
func Early(c catalog.Catalog, modules []string, trade market.Date, due time.Time, runAt string) (issue fault.Issue, ok bool) {
	var names []string
	var last slot.Clock
	for _, m := range c.Modules {
		if !m.SyncCapable || !slices.Contains(modules, m.ID) {
			continue
		}
		for _, d := range m.Datasets {
			clock, err := slot.ParseClock(d.DueTime)
			if err != nil || !clock.On(trade, market.Shanghai).After(due) {
				continue
			}
			names = append(names, d.ID)
			last = max(last, clock)
		}
	}
	if len(names) == 0 {
		return fault.Issue{}, false
	}
	return fault.NewIssue(fault.RunAtEarly, fmt.Sprintf(
		"The slot starts at %s, before the day's data is due (%s; last: %s, Shanghai); a follow-up run fetches the rest unless the run is blocked.",
		slot.Moment(due, nil), strings.Join(names, ", "), last),
		"dataset", strings.Join(names, ","), "run_at", runAt, "due_time", last.String()), true
}

// dueHours are the hours at which datasets of the modules are due, ascending; nil
// means all modules, with usual hours where the catalog names none.
func dueHours(c catalog.Catalog, modules []string) []slot.Clock {
	var hours []slot.Clock
	for _, m := range c.Modules {
		if !m.SyncCapable || modules != nil && !slices.Contains(modules, m.ID) {
			continue
		}
		for _, d := range m.Datasets {
			if clock, err := slot.ParseClock(d.DueTime); err == nil { // empty for snapshots
				hours = append(hours, clock)
			}
		}
	}
	if len(hours) == 0 && modules == nil {
		hours = clocks(17*60, 18*60, lastDue)
	}
	slices.Sort(hours)
	return slices.Compact(hours)
}

// noDate takes the zero Date, 1970-01-01, for absent as well: it is that of a
// request which nobody filled.
func noDate(d market.Date) bool { return d <= 0 }
