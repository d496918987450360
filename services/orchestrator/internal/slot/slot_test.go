package slot

import (
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
)

var (
	monday = market.NewDate(2026, 3, 2)
	cal    = Calendar{Open: []market.Date{monday, monday + 1, monday + 3, monday + 4}, First: monday - 2, Last: monday + 6} // Wednesday is a holiday
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := ParseZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestClockAcrossDaylightSaving(t *testing.T) {
	for _, c := range []struct{ zone, day, clock, want string }{
		{"Asia/Shanghai", "2026-03-02", "19:30", "2026-03-02T11:30:00Z"},
		{"America/New_York", "2026-03-07", "02:30", "2026-03-07T07:30:00Z"},
		{"America/New_York", "2026-03-08", "02:30", "2026-03-08T07:00:00Z"},    // does not exist: the first moment after the gap
		{"America/New_York", "2026-03-08", "03:00", "2026-03-08T07:00:00Z"},    // exists
		{"America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30:00Z"},    // exists twice: the first
		{"America/New_York", "2026-11-01", "02:00", "2026-11-01T07:00:00Z"},    // once
		{"Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:30:00Z"}, // a gap of half an hour
		{"Australia/Lord_Howe", "2026-04-05", "01:45", "2026-04-04T14:45:00Z"}, // twice, half an hour apart
		{"Africa/Casablanca", "2026-02-15", "02:30", "2026-02-15T01:30:00Z"},   // negative daylight saving: twice
		{"America/Santiago", "2026-09-06", "00:00", "2026-09-06T04:00:00Z"},    // the gap is at midnight
		{"Pacific/Apia", "2011-12-30", "19:30", "2011-12-30T10:00:00Z"},        // a day that was left out
		{"UTC", "2026-03-02", "00:00", "2026-03-02T00:00:00Z"},
	} {
		d, err := market.ParseDate(c.day)
		if err != nil {
			t.Fatal(err)
		}
		clock, err := ParseClock(c.clock)
		if err != nil {
			t.Fatal(err)
		}
		if got := clock.On(d, zone(t, c.zone)).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s %s in %s: %s, want %s", c.day, c.clock, c.zone, got, c.want)
		}
	}
}

// Over years of days in zones of every kind, slots come in order, and each shows
// its own time unless the day skips it.
func TestClockIsMonotonic(t *testing.T) {
	for _, name := range []string{"Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns"} {
		z := zone(t, name)
		for _, clock := range []Clock{0, 90, 150, 1170, 1439} {
			last := clock.On(market.NewDate(2024, 1, 1), z)
			for d := market.NewDate(2024, 1, 2); d < market.NewDate(2027, 1, 1); d++ {
				at := clock.On(d, z)
				if gap := at.Sub(last); gap < 22*time.Hour || gap > 26*time.Hour {
					t.Fatalf("%s %s: %v after %v", name, clock, at, last)
				}
				local := at.In(z)
				if got := Clock(local.Hour()*60 + local.Minute()); got != clock {
					start, _ := local.ZoneBounds()
					if !start.Equal(at) {
						t.Fatalf("%s %s on %s shows %s", name, clock, d, got)
					}
				}
				if next := clock.NextAfter(last, z); !next.Equal(at) {
					t.Fatalf("%s: after %v comes %v, not %v", name, last, at, next)
				}
				last = at
			}
		}
	}
}

func TestValidateNamesTheField(t *testing.T) {
	if wrong := Default().Validate(); len(wrong) != 0 {
		t.Fatalf("the default is refused: %v", wrong)
	}
	for name, c := range map[string]struct {
		field  string
		change func(*Schedule)
	}{
		"one digit":     {"run_at", func(s *Schedule) { s.RunAt = "9:30" }},
		"24:00":         {"run_at", func(s *Schedule) { s.RunAt = "24:00" }},
		"19:60":         {"run_at", func(s *Schedule) { s.RunAt = "19:60" }},
		"seconds":       {"run_at", func(s *Schedule) { s.RunAt = "19:30:00" }},
		"full width":    {"run_at", func(s *Schedule) { s.RunAt = "１9:30" }},
		"no time":       {"run_at", func(s *Schedule) { s.RunAt = "" }},
		"no zone":       {"time_zone", func(s *Schedule) { s.TimeZone = "" }},
		"local":         {"time_zone", func(s *Schedule) { s.TimeZone = "Local" }},
		"no such zone":  {"time_zone", func(s *Schedule) { s.TimeZone = "Asia/Shangai" }},
		"offset":        {"time_zone", func(s *Schedule) { s.TimeZone = "+08:00" }},
		"zone of host":  {"time_zone", func(s *Schedule) { s.TimeZone = "localtime" }},
		"any case":      {"time_zone", func(s *Schedule) { s.TimeZone = "LOCAL" }},
		"rules of host": {"time_zone", func(s *Schedule) { s.TimeZone = "posixrules" }},
		"leap seconds":  {"time_zone", func(s *Schedule) { s.TimeZone = "right/Asia/Shanghai" }},
		"path":          {"time_zone", func(s *Schedule) { s.TimeZone = "../etc/passwd" }},
		"no pool":       {"pools", func(s *Schedule) { s.Pools = nil }},
		"unknown pool":  {"pools[1]", func(s *Schedule) { s.Pools = []market.Pool{market.Targets, "both"} }},
		"twice":         {"pools[1]", func(s *Schedule) { s.Pools = []market.Pool{market.Targets, market.Targets} }},
		"no catch-up":   {"catch_up", func(s *Schedule) { s.CatchUp = "" }},
		"some catch-up": {"catch_up", func(s *Schedule) { s.CatchUp = "some" }},
	} {
		s := Default()
		c.change(&s)
		wrong := s.Validate()
		if len(wrong) != 1 || wrong[0].Field != c.field || wrong[0].Problem == "" {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	bad := Default()
	bad.TimeZone = "Nowhere"
	if _, err := bad.DueAt(monday); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("a wrong zone must not become another: %v", err)
	}
}

func TestCalendar(t *testing.T) {
	for _, c := range []struct {
		cal        Calendar
		d          market.Date
		open, warn bool
	}{
		{cal, monday, true, false}, {cal, monday + 2, false, false}, {cal, monday - 1, false, false},
		{cal, monday + 7, true, true}, {cal, monday + 12, false, true}, {cal, monday - 3, true, true},
		{Calendar{}, monday, true, true}, {Calendar{}, monday + 5, false, true},
	} {
		issue, warn := c.cal.Warning(c.d)
		if december := strings.Contains(issue.Remedy, "December"); warn && december != (len(c.cal.Open) > 0) {
			t.Errorf("%s: %s", c.d, issue.Remedy)
		}
		if got := c.cal.IsOpen(c.d); got != c.open || warn != c.warn {
			t.Errorf("%s: open %v, warned %v", c.d, got, warn)
		}
	}
}

func TestNextDue(t *testing.T) {
	s := Default()
	due := func(d market.Date) time.Time { return d.At(19, 30, market.Shanghai) }
	for _, c := range []struct {
		now   time.Time
		after market.Date
		want  market.Date
	}{
		{due(monday).Add(-time.Second), market.NoDate, monday}, {due(monday), market.NoDate, monday + 1}, {due(monday + 1), market.NoDate, monday + 3},
		{due(monday).Add(-time.Hour), monday, monday + 1}, {due(monday), monday + 3, monday + 4}, // decided before
		{due(monday + 4), market.NoDate, monday + 7}, // past the calendar's end: the next weekday
	} {
		if next, ok := s.NextDue(cal, c.now, c.after); !ok || next != (Due{Date: c.want, At: next.At}) || !next.At.Equal(due(c.want)) {
			t.Errorf("after %v and %s: %v %v", c.now, c.after, next, ok)
		}
	}
	every := s
	every.TradingDaysOnly = false
	if next, ok := every.NextDue(cal, due(monday+1), market.NoDate); !ok || !next.At.Equal(due(monday+2)) {
		t.Errorf("every day: %v", next)
	}
	for _, off := range []func(*Schedule){func(s *Schedule) { s.Enabled = false }, func(s *Schedule) { s.Paused = true }, func(s *Schedule) { s.TimeZone = "x" }} {
		s := Default()
		off(&s)
		if _, ok := s.NextDue(cal, due(monday), market.NoDate); ok {
			t.Errorf("fires though %+v", s)
		}
	}
}

func TestPassed(t *testing.T) {
	week := []market.Date{monday, monday + 1, monday + 2, monday + 3}
	thursday := (monday + 3).At(19, 30, market.Shanghai)
	change := func(f func(*Schedule)) Schedule { s := Default(); f(&s); return s }
	only := change(func(s *Schedule) { s.Pools = []market.Pool{market.Universe} })
	for name, c := range map[string]struct {
		s      Schedule
		days   []market.Date
		cal    Calendar
		now    time.Time
		policy CatchUp
		want   string
	}{
		"on time":                {Default(), week[:1], cal, monday.At(19, 30, market.Shanghai), CatchUpNone, "fire!"},
		"within grace":           {Default(), week[:1], cal, monday.At(19, 31, market.Shanghai), CatchUpNone, "fire!"},
		"late, last":             {Default(), week[:1], cal, monday.At(23, 0, market.Shanghai), CatchUpLast, "fire! late"},
		"late, none":             {Default(), week[:1], cal, monday.At(23, 0, market.Shanghai), CatchUpNone, "miss SLOT_MISSED late"},
		"week, last":             {Default(), week, cal, thursday.Add(time.Hour), CatchUpLast, "cover late, cover late, skip NOT_TRADING_DAY late, fire! late"},
		"week, all":              {Default(), week, cal, thursday.Add(time.Hour), CatchUpAll, "fire late, fire late, skip NOT_TRADING_DAY late, fire! late"},
		"week, none":             {Default(), week, cal, thursday.Add(time.Hour), CatchUpNone, "miss SLOT_MISSED late, miss SLOT_MISSED late, skip NOT_TRADING_DAY late, miss SLOT_MISSED late"},
		"week, none, on time":    {Default(), week, cal, thursday, CatchUpNone, "miss SLOT_MISSED late, miss SLOT_MISSED late, skip NOT_TRADING_DAY late, fire!"},
		"ends on a closed day":   {Default(), week[:3], cal, thursday.Add(-time.Hour), CatchUpLast, "cover late, fire! late, skip NOT_TRADING_DAY late"},
		"paused":                 {change(func(s *Schedule) { s.Paused = true; s.Note = "bo" }), week[1:3], cal, thursday, CatchUpLast, "skip SCHEDULE_PAUSED late, skip NOT_TRADING_DAY late"},
		"disabled":               {change(func(s *Schedule) { s.Enabled = false }), week[:1], cal, thursday, CatchUpLast, "skip SCHEDULE_DISABLED late"},
		"another pool only":      {only, week[:1], cal, thursday, CatchUpLast, "skip SCHEDULE_DISABLED late"},
		"weekends too":           {change(func(s *Schedule) { s.TradingDaysOnly = false }), week[2:3], cal, (monday + 2).At(19, 30, market.Shanghai), CatchUpLast, "fire!"},
		"calendar ended":         {Default(), []market.Date{monday + 7}, cal, (monday + 7).At(19, 30, market.Shanghai), CatchUpLast, "fire! CALENDAR_ENDED"},
		"calendar ended, Sunday": {Default(), []market.Date{monday + 13}, cal, (monday + 13).At(19, 30, market.Shanghai), CatchUpLast, "skip NOT_TRADING_DAY CALENDAR_ENDED"},
	} {
		var days []Due
		for _, d := range c.days {
			days = append(days, Due{Date: d, At: d.At(19, 30, market.Shanghai)})
		}
		decided := c.s.Passed(market.Targets, days, c.cal, c.now, c.policy, func(time.Time) string { return "the host slept." })
		var words []string
		for i, d := range decided {
			w := string(d.Action)
			if d.Newest {
				w += "!"
			}
			for _, issue := range d.Issues {
				w += " " + string(issue.Reason)
			}
			if d.Late > 0 {
				w += " late"
			}
			if d.Action != Skip && (d.Late > 0) != (d.LateNote != "") || d.Action == Miss && !strings.Contains(d.Issues[0].Message, d.LateNote) {
				t.Errorf("%s does not say why it is late: %+v", name, d)
			}
			if d.Due != days[i] || d.TradeDay != d.Date {
				t.Errorf("%s: %+v", name, d)
			}
			words = append(words, w)
		}
		if got := strings.Join(words, ", "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// Away from Shanghai a slot is for the day whose data can be there: a Friday's evening
// in New York for the Friday that has ended in Shanghai, and one past midnight in
// Auckland for the day that is not over there.
func TestTradeDayInOtherZones(t *testing.T) {
	full := Calendar{First: monday - 30, Last: monday + 30}
	for d := full.First; d <= full.Last; d++ {
		if !d.Weekend() {
			full.Open = append(full.Open, d)
		}
	}
	for _, c := range []struct {
		zone, runAt string
		day         market.Date
		trade       market.Date
		fires       bool
	}{
		{"Asia/Shanghai", "19:30", monday, monday, true},
		{"America/New_York", "19:30", monday + 4, monday + 4, true},  // Saturday 08:30 in Shanghai
		{"America/New_York", "19:30", monday + 6, monday + 6, false}, // Sunday; Monday 08:30 in Shanghai
		{"America/New_York", "07:30", monday, monday, true},          // 20:30 in Shanghai
		{"Europe/London", "12:00", monday, monday, true},             // 20:00 in Shanghai
		{"Pacific/Auckland", "01:00", monday + 5, monday + 4, true},  // Saturday; Friday 20:00 in Shanghai
		{"Pacific/Auckland", "01:00", monday, monday - 1, false},     // Monday; Sunday 20:00 in Shanghai
		{"Pacific/Kiritimati", "02:30", monday + 1, monday, true},    // Tuesday; Monday 20:30 in Shanghai
		{"Australia/Lord_Howe", "22:30", monday, monday, true},       // 19:30 in Shanghai
		{"Asia/Tokyo", "00:30", monday + 5, monday + 4, true},        // Saturday; Friday 23:30 in Shanghai
	} {
		s := Default()
		s.TimeZone, s.RunAt = c.zone, c.runAt
		due, err := s.DueAt(c.day)
		if err != nil {
			t.Fatal(err)
		}
		d := s.Passed(market.Universe, []Due{{Date: c.day, At: due}}, full, due, CatchUpLast, nil)[0]
		if d.TradeDay != c.trade || (d.Action == Fire) != c.fires {
			t.Errorf("%s %s on %s: %+v", c.zone, c.runAt, c.day, d)
		}
		if next, ok := s.NextDue(full, due.Add(-time.Second), c.day-1); !ok || (next.Date == c.day) != c.fires {
			t.Errorf("%s %s on %s: the next one is %v", c.zone, c.runAt, c.day, next)
		}
	}
}

func TestExplainSaysWhatBecameOfIt(t *testing.T) {
	base := Slot{ID: ID(monday, market.Targets), Pool: market.Targets, Date: monday, DueAt: monday.At(19, 30, market.Shanghai), DecidedAt: monday.At(19, 40, market.Shanghai)}
	for state, want := range map[State]string{Pending: "is due", Fired: "started run R", Skipped: "skipped", Missed: "missed", Covered: "covered by run R"} {
		s := base
		s.State, s.RunID = state, "R"
		s.Issues = []fault.Issue{fault.NewIssue(fault.CalendarEnded, "It ended.")}
		if got := strings.Join(bilingual.In(s.Explain(nil), false), " "); !strings.Contains(got, want) || !strings.Contains(got, "CALENDAR_ENDED: It ended.") {
			t.Errorf("%s: %s", state, got)
		}
	}
	held := base
	held.State, held.Issues = Skipped, []fault.Issue{fault.NewIssue(fault.SchedulePaused, "Paused.")}
	if !held.Held() || base.Held() {
		t.Error("a slot skipped by a pause is held, another is not")
	}
}
