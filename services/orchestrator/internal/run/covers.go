package run

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalogue"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Covers reports whether a run that is queued or under way answers a request for
// the same pool, so that no other need be queued: its dates and modules include
// those wanted, it starts by now, and where the newest data is wanted, it did not
// start before the last of it came due.
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

// Lapses reports whether a run covers a slot no more, because a person stopped it. One
// that was the run of a later slot still answers: that evening was called off with it.
func Lapses(r Run, v slot.Slot) bool {
	stopped := r.Outcome == Cancelled || r.Outcome == Failed && slices.ContainsFunc(r.Issues, func(i fault.Issue) bool {
		return i.Reason == fault.Interrupted && i.Meta["state"] == string(Cancelling)
	})
	return stopped && r.SlotID < v.ID // both of one pool, so by their dates
}

// LastDue is the last moment up to now at which a dataset came due, by the hours
// of the catalogue, or by 17:00, 18:00 and 19:00 in Shanghai when it names none.
func LastDue(c catalogue.Catalogue, now time.Time) time.Time {
	hours := map[string]bool{}
	for _, m := range c.Modules {
		for _, d := range m.Datasets {
			if d.DueTime != "" && m.SyncCapable {
				hours[d.DueTime] = true
			}
		}
	}
	if len(hours) == 0 {
		hours = map[string]bool{"17:00": true, "18:00": true, "19:00": true}
	}
	var last time.Time
	for text := range hours {
		clock, err := time.Parse("15:04", text)
		if err != nil {
			continue // the catalogue's own tests refuse such an hour
		}
		today := market.DateOf(now)
		at := today.At(clock.Hour(), clock.Minute(), market.Shanghai)
		if at.After(now) {
			at = (today - 1).At(clock.Hour(), clock.Minute(), market.Shanghai)
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// noDate takes the zero Date, 1970-01-01, for absent as well: it is that of a
// request which nobody filled.
func noDate(d market.Date) bool { return d <= 0 }
