package slot

import (
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Grace is how late a slot may fire and still count as on time: the loop checks at least
// every 30 s.
const Grace = 90 * time.Second

// Action is what happens to a slot that was due.
type Action string

// The actions.
const (
	// Fire queues a run for it.
	Fire Action = "fire"
	// Cover assigns it the run of the last slot that fires.
	Cover Action = "cover"
	// Skip skips it on purpose.
	Skip Action = "skip"
	// Miss marks it as missed because it is too late.
	Miss Action = "miss"
)

// Due is a day of the schedule, and when its slots are due.
type Due struct {
	// Date in the schedule's zone.
	Date market.Date
	// At is the time.
	At time.Time
	// Lapsed says that a run covered the slot and was cancelled. Empty if none did.
	Lapsed string
}

// Decision is what happens to one slot that was due.
type Decision struct {
	Due
	// TradeDay whose data it is for.
	TradeDay market.Date
	// Action for the slot.
	Action Action
	// Late is how long ago it was due, if that is more than Grace or if a run covered it until
	// then.
	Late time.Duration
	// LateNote says why it is late. Empty if it is not, or if it does not matter.
	LateNote string
	// Issues say why it does not fire, or warn.
	Issues []fault.Issue
	// Newest is true for the last slot that fires: its run has no end date. The run of an
	// earlier one ends with its day.
	Newest bool
}

// Passed decides the undecided slots of one pool that were due on the given days,
// ascending. A slot that is not late fires; late ones are caught up by the policy. why
// returns why nothing fired at a given time. Slots of closed days, and of days on which the
// schedule is disabled, paused, or does not include the pool, are skipped.
func (s Schedule) Passed(pool market.Pool, days []Due, cal Calendar, now time.Time, policy CatchUp, why func(due time.Time) string) []Decision {
	all := make([]Decision, 0, len(days))
	newest := -1
	for _, due := range days {
		d := Decision{Due: due, TradeDay: TradeDay(due.Date, due.At)}
		if late := now.Sub(d.At); late > Grace || due.Lapsed != "" && late > 0 {
			d.Late = late
		}
		if s.TradingDaysOnly {
			if warning, ok := cal.Warning(d.TradeDay); ok {
				d.Issues = append(d.Issues, warning)
			}
		}
		if reason, skip := s.skips(pool, due, cal); skip {
			d.Action, d.Issues = Skip, append([]fault.Issue{reason}, d.Issues...)
		} else {
			d.Action, newest = Fire, len(all)
			switch {
			case due.Lapsed != "":
				d.LateNote = due.Lapsed
			case d.Late > 0:
				d.LateNote = why(d.At)
			}
		}
		all = append(all, d)
	}
	for i := range all {
		d := &all[i]
		if d.Action != Fire {
			continue
		}
		d.Newest = i == newest
		switch {
		case d.Newest && d.Late == 0:
		case policy == CatchUpNone:
			d.Action, d.Newest = Miss, false
			d.Issues = append([]fault.Issue{missed(ID(d.Date, pool), d.Late, d.LateNote)}, d.Issues...)
		case policy == CatchUpLast && !d.Newest:
			d.Action = Cover
		}
	}
	return all
}

func missed(id string, late time.Duration, why string) fault.Issue {
	return fault.NewIssue(fault.SlotMissed,
		fmt.Sprintf("The slot was noticed %s late, and the catch-up policy is none: %s", late.Round(time.Second), why),
		"slot_id", id, "late_seconds", fmt.Sprint(int64(late.Seconds())))
}

// skips says why a slot is skipped on purpose. A closed day comes first, because no setting
// changes it.
func (s Schedule) skips(pool market.Pool, due Due, cal Calendar) (fault.Issue, bool) {
	d, trade := due.Date, TradeDay(due.Date, due.At)
	then := "when the slot was due"
	if due.Lapsed != "" {
		then = "when the run that covered the slot was cancelled"
	}
	switch {
	case s.TradingDaysOnly && !cal.IsOpen(trade):
		what := "is a holiday"
		if trade.Weekend() {
			what = "is a weekend"
		}
		if trade != d {
			what += " and is the date in Shanghai when the slot is due"
		}
		return fault.NewIssue(fault.NotTradingDay, fmt.Sprintf("The exchange is closed on %s, which %s.", trade, what), "trade_date", trade.String()), true
	case !s.Fires(pool):
		return fault.NewIssue(fault.ScheduleDisabled, fmt.Sprintf("The schedule does not include the pool %s.", pool), "slot_id", ID(d, pool)), true
	case !s.Enabled:
		return fault.NewIssue(fault.ScheduleDisabled, "The schedule was disabled "+then+".", "slot_id", ID(d, pool)), true
	case s.Paused:
		text := "The schedule was paused " + then
		if s.Note != "" {
			text += " (" + s.Note + ")"
		}
		return fault.NewIssue(fault.SchedulePaused, text+".", "note", s.Note), true
	}
	return fault.Issue{}, false
}
