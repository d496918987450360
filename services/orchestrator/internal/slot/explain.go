package slot

import (
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// ZoneOr is zone, or Shanghai for nil.
func ZoneOr(zone *time.Location) *time.Location {
	if zone == nil {
		return market.Shanghai
	}
	return zone
}

// Moment writes a time for a user: local date and time to the second, and the
// offset, because the zone that people see is a setting.
func Moment(t time.Time, zone *time.Location) string {
	return t.In(ZoneOr(zone)).Format("2006-01-02 15:04:05 -07:00")
}

// Explain tells in sentences when a slot was due and what happened to it.
func (s Slot) Explain(zone *time.Location) (sentences []string) {
	say := func(format string, args ...any) { sentences = append(sentences, fmt.Sprintf(format, args...)) }
	if s.State == Pending {
		say("The slot of %s for %s is due at %s.", s.Date, s.Pool, Moment(s.DueAt, zone))
	} else {
		say("The slot of %s for %s was due at %s.", s.Date, s.Pool, Moment(s.DueAt, zone))
	}
	at := Moment(s.DecidedAt, zone)
	switch s.State {
	case Fired:
		if s.Late > 0 {
			say("It started at %s, %s late: %s", at, s.Late.Round(time.Second), s.LateNote)
		} else {
			say("It started run %[2]s at %[1]s.", at, s.RunID)
		}
	case Skipped:
		say("It was skipped at %s.", at)
	case Missed:
		say("At %s it was recorded as missed.", at)
	case Covered:
		say("At %[2]s it was recorded as covered by run %[1]s.", s.RunID, at)
	}
	for _, i := range s.Issues {
		say("%s: %s", i.Reason, i.Message)
	}
	return sentences
}
