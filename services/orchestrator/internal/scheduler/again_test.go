package scheduler

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// TestEveningSurvivesChangesOfTheSchedule changes the schedule before and after the slot of
// a trading day was decided. Whatever the change, one run starts when all data of Monday
// are due, and the slot says what became of it.
func TestEveningSurvivesChangesOfTheSchedule(t *testing.T) {
	type change struct {
		day          market.Date
		hour, minute int
		edit         func(*slot.Schedule)
	}
	at := func(runAt string) func(*slot.Schedule) { return func(s *slot.Schedule) { s.RunAt = runAt } }
	in := func(zone, runAt string, tradingDays bool) func(*slot.Schedule) {
		return func(s *slot.Schedule) { s.TimeZone, s.RunAt, s.TradingDaysOnly = zone, runAt, tradingDays }
	}
	sunday, tuesday := monday-1, monday+1
	for name, c := range map[string]struct {
		changes []change
		fails   bool      // the runs of the schedule end as FAILED
		starts  string    // when the slot of Monday starts for good, in Shanghai
		early   int       // how many runs the slot had before
		next    time.Time // after the last change
		says    string    // of the slot
	}{
		"later, before it fires":         {changes: []change{{monday, 12, 0, at("21:00")}}, starts: "03 21:00", next: monday.At(21, 0, market.Shanghai), says: "was due at 2000-01-03 21:00:00"},
		"later, after it fired early":    {changes: []change{{monday, 8, 0, at("09:00")}, {monday, 10, 0, at("19:30")}}, starts: "03 19:30", early: 1, next: monday.At(19, 30, market.Shanghai), says: "SLOT_REOPENED: The slot started run "},
		"later, twice":                   {changes: []change{{monday, 8, 0, at("09:00")}, {monday, 10, 0, at("11:00")}, {monday, 12, 0, at("19:30")}}, starts: "03 19:30", early: 2, next: monday.At(19, 30, market.Shanghai), says: "Not all data of 2000-01-03 were due then"},
		"later and back":                 {changes: []change{{monday, 8, 0, at("09:00")}, {monday, 10, 0, at("20:00")}, {monday, 12, 0, at("19:30")}}, starts: "03 19:30", early: 1, next: monday.At(19, 30, market.Shanghai), says: "SLOT_REOPENED"},
		"later, after the evening fired": {changes: []change{{monday, 20, 0, at("22:00")}}, starts: "03 19:30", next: tuesday.At(22, 0, market.Shanghai), says: "It started run"},
		"later, after the run failed":    {changes: []change{{monday, 20, 0, at("22:00")}}, fails: true, starts: "03 22:00", early: 1, next: monday.At(22, 0, market.Shanghai), says: "That run ended as FAILED, so the slot is due once more"},
		"earlier, before it fires":       {changes: []change{{monday, 12, 0, at("19:10")}}, starts: "03 19:10", next: monday.At(19, 10, market.Shanghai), says: "was due at 2000-01-03 19:10:00"},
		"earlier, after it fired":        {changes: []change{{monday, 20, 0, at("18:00")}}, starts: "03 19:30", next: tuesday.At(18, 0, market.Shanghai), says: "It started run"},
		"to a past hour, then later":     {changes: []change{{monday, 12, 0, at("11:00")}, {monday, 13, 0, at("19:30")}}, starts: "03 19:30", early: 1, next: monday.At(19, 30, market.Shanghai), says: "SLOT_REOPENED"},
		"from a zone where it was Monday on Sunday": {changes: []change{{sunday, 18, 0, in("Pacific/Kiritimati", "01:00", false)}, {monday, 12, 0, in("Asia/Shanghai", "19:30", true)}},
			starts: "03 19:30", early: 1, next: monday.At(19, 30, market.Shanghai), says: "SLOT_REOPENED"},
		"from a zone where the slot of Monday was skipped": {changes: []change{{sunday, 18, 0, in("Pacific/Kiritimati", "01:00", true)}, {monday, 12, 0, in("Asia/Shanghai", "19:30", true)}},
			starts: "03 19:30", next: monday.At(19, 30, market.Shanghai), says: "was skipped at 2000-01-02 19:00:00 +08:00 (The exchange is closed on 2000-01-02"},
		"to a zone in the west": {changes: []change{{monday, 8, 0, at("09:00")}, {monday, 17, 0, in("America/Los_Angeles", "03:30", true)}},
			starts: "03 19:30", early: 1, next: monday.At(19, 30, market.Shanghai), says: "SLOT_REOPENED"},
		"to a zone in the east": {changes: []change{{monday, 12, 0, in("Pacific/Auckland", "00:45", true)}},
			starts: "03 19:45", next: monday.At(19, 45, market.Shanghai), says: "The slot of 2000-01-04"},
		"enabled after it was skipped": {changes: []change{{monday, 8, 0, func(s *slot.Schedule) { s.RunAt, s.Enabled = "09:00", false }}, {monday, 10, 0, func(s *slot.Schedule) { s.RunAt, s.Enabled = "19:30", true }}},
			starts: "03 19:30", next: monday.At(19, 30, market.Shanghai), says: "The schedule was disabled when the slot was due"},
		"a pool added after it was skipped": {changes: []change{{monday, 8, 0, func(s *slot.Schedule) { s.RunAt, s.Pools = "09:00", []market.Pool{market.Targets} }}, {monday, 10, 0, func(s *slot.Schedule) { s.RunAt, s.Pools = "19:30", market.Pools() }}},
			starts: "03 19:30", next: monday.At(19, 30, market.Shanghai), says: "does not include the pool universe"},
	} {
		t.Run(name, func(t *testing.T) {
			onMachine(t, always, func(t *testing.T, w *machine) {
				finish := func() {
					for _, pool := range market.Pools() {
						for _, r := range got(w, func(ctx context.Context) ([]run.Run, error) { return w.store.Queue(ctx, pool) }) {
							end := run.End{Outcome: run.Succeeded}
							if c.fails && r.Source == run.SourceSchedule {
								end = run.End{Outcome: run.Failed, Issues: []fault.Issue{fault.NewIssue(fault.TokenInvalid, "It is refused.")}}
							}
							w.finish(w.take(r), nil, end)
						}
					}
				}
				w.start()
				finish()
				for _, change := range c.changes {
					w.until(change.day, change.hour, change.minute, 0)
					finish()
					w.change(change.edit)
					finish()
					w.restart()
					finish()
				}
				if next := w.next(); !next.Equal(c.next) {
					t.Errorf("next at %v, want %v", next, c.next)
				}
				w.until(monday, 23, 0, 0)
				var evening, before []string
				id := slot.ID(monday, market.Universe)
				for _, r := range w.runs() {
					switch {
					case r.Source != run.SourceSchedule || r.Pool != market.Universe:
					case !r.CreatedAt.Before(monday.At(19, 0, market.Shanghai)):
						evening = append(evening, r.CreatedAt.In(market.Shanghai).Format("02 15:04"))
						id = r.SlotID
					case r.SlotID == id:
						before = append(before, r.ID)
					}
				}
				if c.fails { // the first start of the evening did nothing
					before, evening = evening[:1], evening[1:]
				}
				if strings.Join(evening, ", ") != c.starts || len(before) != c.early {
					t.Errorf("started at %q after %d runs, want %q after %d", evening, len(before), c.starts, c.early)
				}
				e := got(w, func(ctx context.Context) (Explanation, error) { return w.scheduler.ExplainSlot(ctx, id) })
				text := strings.Join(bilingual.In(e.Sentences, false), "\n")
				if !strings.Contains(text, c.says) {
					t.Errorf("the slot does not say %q:\n%s", c.says, text)
				}
				for _, i := range e.Slot.Issues {
					if i.Reason == fault.SlotReopened {
						faulttest.Produces(t, i, fault.SlotReopened)
					}
				}
			})
		})
	}
}

// TestScheduleSaysWhyTodayDoesNotStartAgain: the day has run, and its new hour is to come.
func TestScheduleSaysWhyTodayDoesNotStartAgain(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		w.until(monday, 20, 0, 0)
		w.drain()
		w.change(func(s *slot.Schedule) { s.RunAt = "22:00" })
		const says = "when all data of the day were due, so it does not start again at 2000-01-03 22:00:00"
		v := got(w, w.scheduler.Get)
		if len(v.Issues) != 2 || v.Issues[0].Reason != fault.SlotCovered || !strings.Contains(v.Issues[1].Message, says) {
			t.Errorf("%+v", v.Issues)
		}
		if text, _ := w.explain(monday, market.Universe); !strings.Contains(text, says) {
			t.Errorf("%s", text)
		}
		w.until(monday, 22, 30, 0)
		if v := got(w, w.scheduler.Get); len(v.Issues) != 0 {
			t.Errorf("%+v", v.Issues)
		}
	})
}
