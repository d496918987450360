package slot

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
)

// ZoneOr is zone, or Shanghai if zone is nil.
func ZoneOr(zone *time.Location) *time.Location {
	if zone == nil {
		return market.Shanghai
	}
	return zone
}

// Moment formats a time for users: local date and time to the second, and the offset,
// because the zone is a setting.
func Moment(t time.Time, zone *time.Location) string {
	return t.In(ZoneOr(zone)).Format(market.Moment)
}

// Shanghai formats a future time, in a zone and in Shanghai.
func Shanghai(t time.Time, zone *time.Location) bilingual.Text {
	text, there := Moment(t, zone), Moment(t, market.Shanghai)
	if there != text {
		return bilingual.Say("%s (%s in Shanghai)", "%s（上海时间 %s）", text, there)
	}
	return bilingual.Say("%s (Shanghai)", "%s（上海时间）", text)
}

// Explain says in sentences when a slot was due and what happened to it.
func (s Slot) Explain(zone *time.Location) (sentences []bilingual.Text) {
	say := func(en, zh string, args ...any) { sentences = append(sentences, bilingual.Say(en, zh, args...)) }
	if s.State == Pending {
		say("The slot of %s for %s is due at %s.", "%[2]s %[1]s 的时段于 %[3]s到期。", s.Date, bilingual.Pool(s.Pool), Shanghai(s.DueAt, zone))
	} else {
		say("The slot of %s for %s was due at %s.", "%[2]s %[1]s 的时段于 %[3]s 到期。", s.Date, bilingual.Pool(s.Pool), Moment(s.DueAt, zone))
	}
	at := Moment(s.DecidedAt, zone)
	switch s.State {
	case Fired:
		if s.Late > 0 {
			say("It started at %s, %s late: %s", "它于 %s 开始，晚了 %s：%s。", at, bilingual.Took(s.Late), bilingual.Note(s.LateNote))
		} else {
			say("It started run %[2]s at %[1]s.", "它于 %s 开始了运行 %s。", at, s.RunID)
		}
	case Skipped:
		say("It was skipped at %s.", "它于 %s 被跳过。", at)
	case Missed:
		say("At %s it was recorded as missed.", "它于 %s 被记为错过。", at)
	case Covered:
		say("At %[2]s it was recorded as covered by run %[1]s.", "它于 %[2]s 被记为由运行 %[1]s 覆盖。", s.RunID, at)
	}
	for _, i := range s.Issues {
		say("%s: %s", "%s：%s", i.Reason, bilingual.Issue(i))
	}
	return sentences
}
