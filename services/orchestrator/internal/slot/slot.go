// Package slot computes when the schedule is due and what happens to a slot. It
// does no I/O and reads no clock.
package slot

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// CatchUp is the policy for missed slots.
type CatchUp string

// The policies.
const (
	// CatchUpLast fires the last one, whose run covers the earlier ones.
	CatchUpLast CatchUp = "last"
	// CatchUpAll fires all, oldest first.
	CatchUpAll CatchUp = "all"
	// CatchUpNone fires none.
	CatchUpNone CatchUp = "none"
)

// Schedule says when the pools are ingested automatically. Its JSON form is stored in the
// ledger.
type Schedule struct {
	// Enabled is whether it fires at all.
	Enabled bool `json:"enabled"`
	// RunAt is the local time of day, "HH:MM".
	RunAt string `json:"runAt"`
	// TimeZone is the IANA zone of RunAt.
	TimeZone string `json:"timeZone"`
	// Pools that it fires, targets before universe.
	Pools []market.Pool `json:"pools"`
	// RunOnStartup is whether the start of the orchestrator requests a run.
	RunOnStartup bool `json:"runOnStartup"`
	// CatchUp is the policy for missed slots.
	CatchUp CatchUp `json:"catchUp"`
	// TradingDaysOnly is whether only trading days have slots.
	TradingDaysOnly bool `json:"tradingDaysOnly"`
	// Paused is whether it is paused.
	Paused bool `json:"paused"`
	// Note says who paused or resumed it last, and why.
	Note string `json:"note,omitempty"`
	// NotedAt is when it was paused or resumed last. Zero if nobody did.
	NotedAt time.Time `json:"notedAt,omitzero"`
}

// Default is the schedule until a user changes it.
func Default() Schedule {
	return Schedule{
		Enabled: true, RunAt: "19:30", TimeZone: "Asia/Shanghai", Pools: market.Pools(),
		RunOnStartup: true, CatchUp: CatchUpLast, TradingDaysOnly: true,
	}
}

// State is what happened to a slot.
type State string

// The states.
const (
	// Pending: not due yet.
	Pending State = "pending"
	// Fired: it has a run of its own.
	Fired State = "fired"
	// Skipped on purpose.
	Skipped State = "skipped"
	// Missed: it was due while the process was not running.
	Missed State = "missed"
	// Covered by another run. If a user cancels that run, the slot is decided again.
	Covered State = "covered"
)

// States lists every state.
func States() []State { return []State{Pending, Fired, Skipped, Missed, Covered} }

// Slot is one expected start: one day, one pool.
type Slot struct {
	// ID is "YYYY-MM-DD.pool" and unique.
	ID string
	// Pool of the slot.
	Pool market.Pool
	// Date in the schedule's zone.
	Date market.Date
	// DueAt is when it was or is due.
	DueAt time.Time
	// State is what happened to it.
	State State
	// DecidedAt is when it was decided; zero while pending.
	DecidedAt time.Time
	// RunID of its run. Empty if it has none.
	RunID string
	// Issues say why it did not fire, or warn.
	Issues []fault.Issue
	// Late is how long after DueAt it fired, and LateNote why.
	Late time.Duration
	// LateNote says why it fired late. Empty if it did not.
	LateNote string
}

// ID names the slot of a day and pool.
func ID(date market.Date, pool market.Pool) string { return date.String() + "." + string(pool) }

// DecidedAhead reports whether a clock that was ahead decided a slot of today or later, after the
// end of today. When the slot's day comes, it is decided again.
func (s Slot) DecidedAhead(today market.Date, ends time.Time) bool {
	return s.Date >= today && !s.DecidedAt.Before(ends)
}

// Held reports whether the slot was skipped only because the schedule was paused; a resume
// of the schedule may still fire it.
func (s Slot) Held() bool {
	return s.State == Skipped && slices.ContainsFunc(s.Issues, func(i fault.Issue) bool { return i.Reason == fault.SchedulePaused })
}
