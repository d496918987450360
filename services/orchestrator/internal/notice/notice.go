package notice

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Verdict is how a pool stands for one trade day.
type Verdict string

// The verdicts.
const (
	// Pending is not known yet: a run is to come or under way.
	Pending Verdict = "pending"
	// Whole holds everything that was due.
	Whole Verdict = "whole"
	// Lacking holds a part; Lacks says what is not there.
	Lacking Verdict = "lacking"
	// Failed got nothing; it is tried again by itself.
	Failed Verdict = "failed"
	// Blocked got nothing, and a person must change something.
	Blocked Verdict = "blocked"
	// Absent did not run, or was stopped by a person.
	Absent Verdict = "absent"
)

// Lack is a dataset of the day that is not complete.
type Lack struct {
	// Dataset is its name, as in "moneyflow". Empty where a whole module was held back.
	Dataset string `json:"dataset,omitempty"`
	// Module it belongs to, as in "stock.moneyflow".
	Module string `json:"module,omitempty"`
	// Reason it is not complete. Empty when not known.
	Reason fault.Reason `json:"reason,omitempty"`
}

// Name is how people call what lacks.
func (l Lack) Name() string {
	if l.Dataset != "" {
		return l.Dataset
	}
	return l.Module
}

// Gap is a dataset that lacks an earlier day.
type Gap struct {
	// Dataset is its name.
	Dataset string `json:"dataset"`
	// Date is the newest day that it lacks, "YYYY-MM-DD".
	Date string `json:"date"`
}

// PoolState is how one pool stands for the day. Its JSON form is what the ledger keeps
// with a notice, and what a webhook gets.
type PoolState struct {
	// Pool it is of.
	Pool market.Pool `json:"pool"`
	// Verdict sums it up.
	Verdict Verdict `json:"verdict"`
	// Lacks are the datasets of the day that are not complete, by name.
	Lacks []Lack `json:"lacking,omitempty"`
	// Older are gaps of earlier days, at most three. They make no day worse.
	Older []Gap `json:"older,omitempty"`
	// Reason of what went wrong most. Empty when nothing did, or none fits.
	Reason fault.Reason `json:"reason,omitempty"`
	// Message is the sentence of that issue, in English.
	Message string `json:"message,omitempty"`
	// Remedy is what to do about it, in English.
	Remedy string `json:"remedy,omitempty"`
	// RunID is the run that decided it. Empty when none did.
	RunID string `json:"runId,omitempty"`
	// NextAt is when the pool is asked for next. Zero when it is not.
	NextAt time.Time `json:"nextTime,omitzero"`
	// NextIsSlot is true where that is the next evening of the schedule.
	NextIsSlot bool `json:"nextIsSlot,omitempty"`
	// NoSymbols is true where the list of targets is empty.
	NoSymbols bool `json:"noSymbols,omitempty"`
	// Chosen is true where a person decided it: a pause, a schedule that is off, a run
	// that was cancelled.
	Chosen bool `json:"chosen,omitempty"`
	// Note says who decided that, and why.
	Note string `json:"note,omitempty"`
}

// permanent reports whether a person must act before it can become better.
func (p PoolState) permanent() bool {
	if p.Verdict == Lacking { // the reason may be of an earlier day
		return slices.ContainsFunc(p.Lacks, func(l Lack) bool { return isPermanent(l.Reason) })
	}
	return p.Verdict == Blocked || isPermanent(p.Reason)
}

func isPermanent(r fault.Reason) bool {
	return r.Class() == fault.Permanent
}

// rank orders states: the higher, the worse.
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

// Kind is what a notice is about.
type Kind string

// The kinds.
const (
	// Evening is the one sentence of an evening.
	Evening Kind = "evening"
	// Better and Worse tell that the day has changed since.
	Better Kind = "better"
	// Worse is the other direction.
	Worse Kind = "worse"
	// Late tells that a day is not complete by the hour set.
	Late Kind = "late"
	// Started tells a heartbeat that an evening has begun. People do not get it.
	Started Kind = "started"
	// Test is sent when a person asks for it.
	Test Kind = "test"
)

// Notice is one thing to tell.
type Notice struct {
	// ID is the ledger's, and sorts by time.
	ID string
	// Key names what it tells, so that it is told once: "evening/2026-11-27".
	Key string
	// Kind of it.
	Kind Kind
	// Date is the trade day; NoDate for a test.
	Date market.Date
	// CreatedAt is when it was decided.
	CreatedAt time.Time
	// Whole is true where every pool of the day is whole.
	Whole bool
	// Pools are all pools of the day as they stood then, targets first.
	Pools []PoolState
	// Changed are the pools that are otherwise than told before, or late; all for an
	// evening.
	Changed []market.Pool
	// LateAt is the hour set, of a late one.
	LateAt string
}

// whole reports whether every pool is.
func whole(pools []PoolState) bool {
	return len(pools) > 0 && !slices.ContainsFunc(pools, func(p PoolState) bool { return p.Verdict != Whole })
}

// Direction says whether now is better (-1) or worse (1) than before for a person, or
// tells nothing new (0).
func Direction(before, now PoolState) int {
	if now.Verdict == Pending {
		return 0
	}
	was, is := before.rank(), now.rank()
	if is != was {
		return sign(is - was)
	}
	if missing(before, now) { // something else lacks, whatever came meanwhile
		return 1
	}
	if missing(now, before) {
		return -1
	}
	if now.permanent() && now.worst() != before.worst() {
		return 1 // a person must do something else
	}
	return 0
}

// missing reports whether now lacks something that before did not.
func missing(before, now PoolState) bool {
	if before.Verdict != Lacking || now.Verdict != Lacking {
		return false
	}
	return slices.ContainsFunc(now.Lacks, func(l Lack) bool {
		return !slices.ContainsFunc(before.Lacks, func(b Lack) bool { return b.Name() == l.Name() })
	})
}

// worst is the reason that a person must act on.
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
