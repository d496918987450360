// Package slot computes when the schedule is due and what happens to a slot. It
// does no I/O and reads no clock.
package slot

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// CatchUp is what to do with slots passed over.
type CatchUp string

// The policies.
const (
	// CatchUpLast fires the last one; the earlier ones are covered by it.
	CatchUpLast CatchUp = "last"
	// CatchUpAll fires all, oldest first.
	CatchUpAll CatchUp = "all"
	// CatchUpNone fires none.
	CatchUpNone CatchUp = "none"
)

// Schedule is when the pools are ingested without anyone asking. Its JSON form is
// what the ledger keeps.
type Schedule struct {
	// Enabled says whether it fires at all.
	Enabled bool `json:"enabled"`
	// RunAt is the local time of day, "HH:MM".
	RunAt string `json:"runAt"`
	// TimeZone is the IANA zone of RunAt.
	TimeZone string `json:"timeZone"`
	// Pools it fires, targets before universe.
	Pools []market.Pool `json:"pools"`
	// RunOnStartup says whether the start of the orchestrator asks for a run.
	RunOnStartup bool `json:"runOnStartup"`
	// CatchUp is what to do with slots passed over.
	CatchUp CatchUp `json:"catchUp"`
	// TradingDaysOnly says whether slots exist on trading days only.
	TradingDaysOnly bool `json:"tradingDaysOnly"`
	// Paused says whether it is held.
	Paused bool `json:"paused"`
	// Note says who held or released it last, and why; NotedAt when.
	Note string `json:"note,omitempty"`
	// NotedAt is when it was held or released last. Zero when nobody did.
	NotedAt time.Time `json:"notedAt,omitzero"`
}

// Default is the schedule before anyone changed it.
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
	// Pending is not due yet.
	Pending State = "pending"
	// Fired has a run of its own.
	Fired State = "fired"
	// Skipped was passed over on purpose.
	Skipped State = "skipped"
	// Missed was due while nothing was there to fire it.
	Missed State = "missed"
	// Covered is answered by another run. Where a user cancels that run it is
	// decided again.
	Covered State = "covered"
)

// States lists every state.
func States() []State { return []State{Pending, Fired, Skipped, Missed, Covered} }

// Slot is one expected firing: one day, one pool.
type Slot struct {
	// ID is "YYYY-MM-DD.pool" and unique.
	ID string
	// Pool it fires.
	Pool market.Pool
	// Date in the schedule's zone.
	Date market.Date
	// DueAt is when it came or is due.
	DueAt time.Time
	// State is what happened to it.
	State State
	// DecidedAt is when; zero while pending.
	DecidedAt time.Time
	// RunID that answers it. Empty when none.
	RunID string
	// Issues say why it was passed over, or warn about the firing.
	Issues []fault.Issue
	// Late is how long after DueAt it fired, and LateNote why.
	Late time.Duration
	// LateNote says why it fired late. Empty when it did not.
	LateNote string
}

// ID names the slot of a day and pool.
func ID(date market.Date, pool market.Pool) string { return date.String() + "." + string(pool) }

// Held reports whether the slot was skipped only because the schedule was paused;
// resuming the schedule may still fire it.
func (s Slot) Held() bool {
	return s.State == Skipped && slices.ContainsFunc(s.Issues, func(i fault.Issue) bool { return i.Reason == fault.SchedulePaused })
}
