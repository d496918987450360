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

// ClockSlack is how far in the future a timestamp may be. One further ahead was written
// while the clock was wrong.
const ClockSlack = time.Minute

// Covers reports whether a run that is queued or in progress also does what a request for
// the same pool asks for, so that no other run need be queued: it includes the dates and
// modules of the request, it may start by now, and if the request wants the newest data,
// the run did not start before the last dataset was due.
func Covers(existing Run, want Request, now, lastDue time.Time) bool {
	switch existing.State {
	case Queued:
		if existing.NotBefore.After(now) {
			return false // a follow-up that waits for its time
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
		return false // from the first gap in the window: the request may want older dates
	}
	return noDate(have.End) || !noDate(want.End) && want.End <= have.End
}

// Uncovers reports whether a run no longer covers a slot because a user stopped it. If the
// run belongs to a later slot, the slot stays covered: the user cancelled that evening,
// too.
func Uncovers(r Run, v slot.Slot) bool {
	stopped := r.Outcome == Cancelled || r.Outcome == Failed && slices.ContainsFunc(r.Issues, func(i fault.Issue) bool {
		return i.Reason == fault.Interrupted && i.Meta["state"] == string(Cancelling)
	})
	return stopped && r.SlotID < v.ID // both of one pool, so by their dates
}

// LastDue is the latest time up to now at which a dataset was due, by the catalog, or at
// 17:00, 18:00 or 19:00 in Shanghai if the catalog has none.
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

// DueLater is the first time after since at which a dataset of the modules is due on the
// same trading day. Zero when there is none, or when that day was over by now.
func DueLater(c catalog.Catalog, modules []string, cal slot.Calendar, since, now time.Time) time.Time {
	day := market.DateOf(since)
	if !cal.IsOpen(day) || market.DateOf(now) != day || len(modules) == 0 {
		return time.Time{}
	}
	for _, clock := range dueHours(c, modules) {
		if at := clock.On(day, market.Shanghai); at.After(since) {
			return latest(at, now.Add(time.Second)) // it became due while the run was in progress
		}
	}
	return time.Time{}
}

// DueOn is the time at which the last dataset of the modules is due on a day; nil means all
// modules.
func DueOn(c catalog.Catalog, modules []string, d market.Date) time.Time {
	hours := dueHours(c, modules)
	if len(hours) == 0 {
		return d.At(0, 0, market.Shanghai)
	}
	return hours[len(hours)-1].On(d, market.Shanghai)
}

// Early returns a warning if a slot is before datasets of its trading day are due. ok is
// false if all are due by then.
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

// dueHours are the times of day at which datasets of the modules are due, ascending; nil
// means all modules. If the catalog has none, they are the usual ones.
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

// noDate treats the zero Date, 1970-01-01, as absent, too: it is the date of a request in
// which the field was not set.
func noDate(d market.Date) bool { return d <= 0 }
