package notice

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Verdict is the state of a pool for one trade date.
type Verdict string

// The verdicts.
const (
	// Pending: not known yet, because a run is queued or in progress.
	Pending Verdict = "pending"
	// Whole: everything that was due is stored.
	Whole Verdict = "whole"
	// Lacking: a part is stored; Lacks lists what is missing.
	Lacking Verdict = "lacking"
	// Failed: nothing was fetched; it is retried automatically.
	Failed Verdict = "failed"
	// Blocked: nothing was fetched, and a user must act.
	Blocked Verdict = "blocked"
	// Absent: no run started, or a user stopped it.
	Absent Verdict = "absent"
)

// Lack is a dataset of the day that is not complete.
type Lack struct {
	// Dataset is its name, for example "moneyflow". Empty if a whole module was blocked.
	Dataset string `json:"dataset,omitempty"`
	// Module it belongs to, for example "stock.moneyflow".
	Module string `json:"module,omitempty"`
	// Reason why it is not complete. Empty if unknown.
	Reason fault.Reason `json:"reason,omitempty"`
}

// Name is the display name of what is missing.
func (l Lack) Name() string {
	if l.Dataset != "" {
		return l.Dataset
	}
	return l.Module
}

// Gap is a dataset that is incomplete on an earlier day.
type Gap struct {
	// Dataset is its name.
	Dataset string `json:"dataset"`
	// Date is the newest such day, "YYYY-MM-DD".
	Date string `json:"date"`
}

// PoolState is the state of one pool for the day. Its JSON form is stored with a notice and
// sent in a webhook.
type PoolState struct {
	// Pool of the state.
	Pool market.Pool `json:"pool"`
	// Verdict is the summary.
	Verdict Verdict `json:"verdict"`
	// Lacks are the incomplete datasets of the day, by name.
	Lacks []Lack `json:"lacking,omitempty"`
	// Older are gaps of earlier days, at most three. They do not affect the verdict.
	Older []Gap `json:"older,omitempty"`
	// Reason of the worst issue. Empty if there is none.
	Reason fault.Reason `json:"reason,omitempty"`
	// Message of that issue, in English.
	Message string `json:"message,omitempty"`
	// Remedy of that issue, in English.
	Remedy string `json:"remedy,omitempty"`
	// RunID is the run that decided it. Empty if none did.
	RunID string `json:"runId,omitempty"`
	// NextAt is when the pool is fetched next. Zero if nothing is scheduled.
	NextAt time.Time `json:"nextTime,omitzero"`
	// NextIsSlot is true if that is the next evening of the schedule.
	NextIsSlot bool `json:"nextIsSlot,omitempty"`
	// NoSymbols is true if the target list is empty.
	NoSymbols bool `json:"noSymbols,omitempty"`
	// Chosen is true if a user caused it: a pause, a disabled schedule, a cancelled run.
	Chosen bool `json:"chosen,omitempty"`
	// Note says who caused that, and why.
	Note string `json:"note,omitempty"`
}

// permanent reports whether it cannot improve until a user acts.
func (p PoolState) permanent() bool {
	if p.Verdict == Lacking { // the reason may be from an earlier day
		return slices.ContainsFunc(p.Lacks, func(l Lack) bool { return isPermanent(l.Reason) })
	}
	return p.Verdict == Blocked || isPermanent(p.Reason)
}

func isPermanent(r fault.Reason) bool {
	return r.Class() == fault.Permanent
}

// rank orders states from good to bad.
func (p PoolState) rank() int {
	switch {
	case p.Verdict == Whole:
		return 0
	case p.Verdict == Pending:
		return 1
	case p.permanent():
		return 4
	case p.Verdict == Lacking:
		return 2
	}
	return 3 // failed, absent
}

// Kind is the kind of a notice.
type Kind string

// The kinds.
const (
	// Evening is the one notice of every evening.
	Evening Kind = "evening"
	// Better: the day has improved since.
	Better Kind = "better"
	// Worse: the day has become worse since.
	Worse Kind = "worse"
	// Late: a day is not complete at late_at.
	Late Kind = "late"
	// Started: an evening has begun. Only heartbeats get it.
	Started Kind = "started"
	// Test: a user requested it.
	Test Kind = "test"
)

// Notice is one message.
type Notice struct {
	// ID is assigned by the ledger and sorts by time.
	ID string
	// Key is unique, so that the same notice is sent once, for example "evening/2026-11-27".
	Key string
	// Kind of the notice.
	Kind Kind
	// Date is the trade day; NoDate for a test.
	Date market.Date
	// CreatedAt is when it was decided.
	CreatedAt time.Time
	// Whole is true if every pool is complete for the day.
	Whole bool
	// Pools are the states of all pools at that time, targets first.
	Pools []PoolState
	// Changed are the pools whose state differs from the last notice, or that are late; all
	// for an evening.
	Changed []market.Pool
	// LateAt is the setting late_at, for kind Late.
	LateAt string
}

// whole reports whether every pool is complete.
func whole(pools []PoolState) bool {
	return len(pools) > 0 && !slices.ContainsFunc(pools, func(p PoolState) bool { return p.Verdict != Whole })
}

// Direction compares two states: -1 if now is better, 1 if it is worse, 0 if there is no
// news.
func Direction(before, now PoolState) int {
	if now.Verdict == Pending {
		return 0
	}
	was, is := before.rank(), now.rank()
	if is != was {
		return sign(is - was)
	}
	if missing(before, now) { // another dataset is missing, even if others were completed
		return 1
	}
	if missing(now, before) {
		return -1
	}
	if now.permanent() && now.worst() != before.worst() {
		return 1 // a user must do something else
	}
	return 0
}

// missing reports whether something is missing now that was not missing before.
func missing(before, now PoolState) bool {
	if before.Verdict != Lacking || now.Verdict != Lacking {
		return false
	}
	return slices.ContainsFunc(now.Lacks, func(l Lack) bool {
		return !slices.ContainsFunc(before.Lacks, func(b Lack) bool { return b.Name() == l.Name() })
	})
}

// worst is the reason for which a user must act.
func (p PoolState) worst() fault.Reason {
	if p.Verdict != Lacking {
		return p.Reason
	}
	for _, l := range p.Lacks {
		if isPermanent(l.Reason) {
			return l.Reason
		}
	}
	return ""
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
