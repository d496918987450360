package slot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Earlier is the decision about a slot before the schedule was changed.
type Earlier struct {
	// Slot as it was decided.
	Slot Slot
	// AllDue is when the last dataset of a trade day is due.
	AllDue func(trade market.Date) time.Time
	// Idle is the outcome of the slot's run if it is BLOCKED or FAILED. Empty otherwise.
	Idle string
}

// Again decides about a decided slot whose new time, by the changed schedule, is in the
// future. again is true if the slot fires once more: nothing ran, or the run started before
// all data of the trade date were due, or it did nothing. Then issue is SLOT_REOPENED.
// Otherwise issue is SLOT_COVERED: the slot has its run. ok is false if the time of the
// slot is past, or the schedule would not fire it.
func (s Schedule) Again(e Earlier, cal Calendar, now time.Time) (issue fault.Issue, again, ok bool) {
	v := e.Slot
	due, ok := s.ToCome(v, now)
	if !ok {
		return fault.Issue{}, false, false
	}
	if _, skip := s.skips(v.Pool, Due{Date: v.Date, At: due}, cal); skip {
		return fault.Issue{}, false, false
	}
	trade := TradeDay(v.Date, due)
	what, why := "", ""
	switch ran := v.State == Fired || v.State == Covered; {
	case !ran:
		what = fmt.Sprintf("was %s at %s", v.State, Moment(v.DecidedAt, nil))
		if len(v.Issues) > 0 {
			what += " (" + strings.TrimSuffix(v.Issues[0].Message, ".") + ")"
		}
		why = "Its new time is still to come"
	case v.State == Fired:
		what = fmt.Sprintf("started run %s at %s", v.RunID, Moment(v.DecidedAt, nil))
	default:
		what = fmt.Sprintf("was covered by run %s at %s", v.RunID, Moment(v.DecidedAt, nil))
	}
	switch {
	case why != "":
	case e.Idle != "":
		why = "That run ended as " + e.Idle
	case cal.IsOpen(trade) && v.DecidedAt.Before(e.AllDue(trade)):
		why = fmt.Sprintf("Not all data of %s were due then", trade)
	default:
		return CoveredBy(v.ID, v.RunID, fmt.Sprintf("The slot of %s for %s %s, when all data of the day were due, so it does not start again at %s.",
			v.Date, v.Pool, what, Moment(due, nil))), false, true
	}
	return fault.NewIssue(fault.SlotReopened, fmt.Sprintf("The slot %s. Then the schedule was changed. %s, so the slot is due once more.", what, why),
		"slot_id", v.ID, "run_id", v.RunID), true, true
}

// ToCome is the time of a decided slot by the current schedule; ok is false if it is past,
// or there is none.
func (s Schedule) ToCome(v Slot, now time.Time) (due time.Time, ok bool) {
	due, err := s.DueAt(v.Date)
	return due, err == nil && v.State != Pending && due.After(now)
}

// Only returns the issues of one reason.
func Only(issues []fault.Issue, r fault.Reason) []fault.Issue {
	return slices.DeleteFunc(slices.Clone(issues), func(i fault.Issue) bool { return i.Reason != r })
}

// CoveredBy is the issue of a slot that another run covers, with the command that shows
// that run.
func CoveredBy(slotID, runID, message string) fault.Issue {
	i := fault.NewIssue(fault.SlotCovered, message, "slot_id", slotID, "run_id", runID)
	if runID != "" {
		i.Remedy = strings.ReplaceAll(i.Remedy, "RUN_ID", runID)
	}
	return i
}
