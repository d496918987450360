package scheduler

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// lapseWithin is the greatest age of a slot that is decided again. Later slots cover an
// older one.
const lapseWithin = 10 * 24 * time.Hour

// decideLapsed decides again the slots whose covering run a user stopped: cancelling
// another run does not cancel the evening. The last such slot fires as the current schedule
// would catch it up. If a later slot has a run, that run covers it. The explanation keeps
// the earlier cover.
func (s *Scheduler) decideLapsed(ctx context.Context, now time.Time) error {
	lapsed, err := s.ledger.UncoveredSlots(ctx, now.Add(-lapseWithin))
	if err != nil || len(lapsed) == 0 {
		return err
	}
	sched, err := s.ledger.Schedule(ctx)
	if err != nil {
		return err
	}
	b := batch{days: map[market.Pool][]slot.Due{}, policy: sched.CatchUp, told: map[string][]fault.Issue{}}
	var covered []slot.Slot
	for _, pool := range market.Pools() {
		mine := slices.DeleteFunc(slices.Clone(lapsed), func(v slot.Slot) bool { return v.Pool != pool })
		later, err := s.answered(ctx, pool, mine)
		if err != nil {
			return err
		}
		for _, v := range mine {
			by, err := s.ledger.Run(ctx, v.RunID)
			if err != nil {
				return err
			}
			told := lapse(v, by)
			if v.Date < later.Date {
				v.Issues, v.DecidedAt, v.LateNote = told, now, ""
				cover(&v, later.RunID, "the run of a later slot")
				covered = append(covered, v)
				continue
			}
			b.days[pool] = append(b.days[pool], slot.Due{Date: v.Date, At: v.DueAt, Lapsed: "run " + by.ID + ", which covered it, was cancelled " + ended(by)})
			b.told[v.ID] = told
		}
	}
	if len(covered) > 0 {
		if err := s.ledger.Settle(ctx, covered, nil); err != nil {
			return err
		}
	}
	if len(b.days) == 0 {
		return nil
	}
	return s.settle(ctx, sched, now, b)
}

// answered is the newest slot of a pool that is later than the first lapsed one and has a
// run; a slot without a date if there is none.
func (s *Scheduler) answered(ctx context.Context, pool market.Pool, lapsed []slot.Slot) (slot.Slot, error) {
	for before := ""; len(lapsed) > 0; {
		page, err := s.ledger.Slots(ctx, pool, 50, before)
		if err != nil || len(page) == 0 {
			return slot.Slot{Date: market.NoDate}, err
		}
		for _, v := range page {
			switch is := func(l slot.Slot) bool { return l.ID == v.ID }; {
			case v.ID <= lapsed[0].ID:
				return slot.Slot{Date: market.NoDate}, nil
			case v.RunID != "" && !slices.ContainsFunc(lapsed, is):
				return v, nil
			}
			before = v.ID
		}
	}
	return slot.Slot{Date: market.NoDate}, nil
}

// covers are the earlier covers that the explanation of a slot names.
func covers(v slot.Slot) []fault.Issue {
	return slot.Only(v.Issues, fault.SlotCovered)
}

// lapse adds what happened to the last of them.
func lapse(v slot.Slot, by run.Run) []fault.Issue {
	told := covers(v)
	for i := range told {
		if is := &told[i]; is.Meta["run_id"] == by.ID {
			is.Message = strings.Replace(is.Message, "slot is covered", "slot was covered", 1) + " That run was cancelled " + ended(by)
		}
	}
	return told
}

func ended(r run.Run) string {
	text := "at " + slot.Moment(r.FinishedAt, nil)
	if r.Note != "" {
		text += " (" + r.Note + ")"
	}
	return text + "."
}
