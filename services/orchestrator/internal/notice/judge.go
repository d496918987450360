package notice

import (
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// SoonRetry is how close the next attempt must be for a failure to send no notice yet: it may
// succeed within minutes.
const SoonRetry = 5 * time.Minute

// JoinWindow is how long the change of one pool waits for the run of the other, so that one
// notice has both.
const JoinWindow = 15 * time.Minute

// Ended is a finished run with its results for the day.
type Ended struct {
	// Run as it ended.
	Run run.Run
	// Day are its data partitions that include the day, without re-checks.
	Day []run.Partition
	// Older are the datasets of earlier days that it left incomplete, with the newest such day
	// of each.
	Older []Gap
}

// Facts are the inputs of a pool's state for one day. All of them are in the ledger.
type Facts struct {
	// Pool to judge.
	Pool market.Pool
	// Day is a trading day.
	Day market.Date
	// Due is when the last dataset of the day is due.
	Due time.Time
	// Slot of the day, or nil.
	Slot *slot.Slot
	// Runs that finished since the day began, in the order of their ends.
	Runs []Ended
	// Waiting are the pool's queued runs and the active one.
	Waiting []run.Run
	// PauseState of the pool.
	PauseState run.PauseState
	// NextSlot is when the pool's next slot fires. Zero if none will.
	NextSlot time.Time
	// NoSymbols is true for targets with an empty target list.
	NoSymbols bool
}

// Judged is a pool's state, and whether it is about to change.
type Judged struct {
	PoolState
	// Settled is false while a run is about to change it.
	Settled bool
	// Busy is true while a run for the day is in progress or starts soon.
	Busy bool
	// At is the end of the run that decided it. Zero if none did.
	At time.Time
}

// Judge returns the state of a pool for a day, from the runs of the ledger. A run without
// modules or dates sets the state of the whole day; one with modules updates these modules
// only. What an earlier run completed stays complete if a later run fails before it fetches
// the day.
func Judge(f Facts) Judged {
	s := PoolState{Pool: f.Pool, Verdict: Pending, NoSymbols: f.NoSymbols}
	var last time.Time
	early := false
	for _, e := range f.Runs {
		if !holds(e.Run.Request, f.Day) {
			continue
		}
		before := s.Verdict
		isEarly := e.Run.StartedAt.Before(f.Due)
		s = fold(s, e, isEarly)
		if s.Verdict != before || e.Run.Outcome != run.Cancelled {
			last, early = e.Run.FinishedAt, isEarly
		}
	}
	j := Judged{PoolState: s, At: last, Settled: s.Verdict != Pending}
	held := f.PauseState.Paused || slices.ContainsFunc(f.Waiting, func(r run.Run) bool { return r.State == run.Paused })
	coming := false
	for _, r := range f.Waiting {
		if !holds(r.Request, f.Day) {
			continue
		}
		start := r.CreatedAt
		if r.NotBefore.After(start) {
			start = r.NotBefore
		}
		coming = true
		if !held && (s.Verdict == Pending || early || !start.After(last.Add(SoonRetry))) {
			j.Busy = true
		}
		if at := r.NotBefore; r.State == run.Queued && (j.NextAt.IsZero() || at.Before(j.NextAt)) {
			j.NextAt = start
		}
	}
	if s.Verdict != Whole && j.Busy {
		j.Settled = false
	}
	if s.Verdict == Pending {
		j = unrun(j, f, held, coming)
	}
	if j.Verdict == Whole {
		j.NextAt = time.Time{}
	}
	if j.NextAt.IsZero() && j.Verdict != Whole && !held {
		j.NextAt, j.NextIsSlot = f.NextSlot, !f.NextSlot.IsZero()
	}
	j.NextAt = j.NextAt.UTC() // the slot has it in the schedule's time zone
	return j
}

// poolPaused is the message about a paused pool; there is no reason for it.
const poolPaused = "The pool is paused."

// unrun is the state of a pool about which no run says anything.
func unrun(j Judged, f Facts, held, coming bool) Judged {
	switch {
	case held:
		j.Verdict, j.Settled, j.Chosen, j.NextAt, j.Note = Absent, true, true, time.Time{}, f.PauseState.Note
		j.Message = poolPaused
		j.Reason = fault.SchedulePaused
	case coming || f.Slot == nil:
	case f.Slot.State == slot.Skipped || f.Slot.State == slot.Missed:
		j.Verdict, j.Settled = Absent, true
		if len(f.Slot.Issues) > 0 {
			i := f.Slot.Issues[0]
			j.Reason, j.Message, j.Remedy, j.Note = i.Reason, i.Message, i.Remedy, i.Meta["note"]
		}
		j.Chosen = j.Reason == fault.SchedulePaused || j.Reason == fault.ScheduleDisabled
	}
	return j
}

// holds reports whether a run was for the day.
func holds(q run.Request, d market.Date) bool {
	return (q.Start <= 0 || q.Start <= d) && (q.End <= 0 || q.End >= d)
}

// fold adds the results of a run. early is true if it started before all data of the day
// were due.
func fold(s PoolState, e Ended, early bool) PoolState {
	r := e.Run
	all := len(r.Request.Modules) == 0
	next := s
	switch r.Outcome {
	case run.Cancelled:
		if s.Verdict == Pending {
			next = PoolState{Pool: s.Pool, NoSymbols: s.NoSymbols, Verdict: Absent, Reason: fault.Cancelled, Message: "A user cancelled the run.", Chosen: true, Note: r.Note, RunID: r.ID}
		}
		return next
	case run.Succeeded, run.Unchanged:
		switch {
		case all && !early:
			next = PoolState{Pool: s.Pool, NoSymbols: s.NoSymbols, Verdict: Whole, RunID: r.ID}
		case all: // what became due later is still to be fetched
		default:
			next.Lacks = slices.DeleteFunc(slices.Clone(s.Lacks), func(l Lack) bool { return slices.Contains(r.Request.Modules, l.Module) })
			if s.Verdict == Lacking && len(next.Lacks) == 0 {
				next = PoolState{Pool: s.Pool, NoSymbols: s.NoSymbols, Verdict: Whole, Older: s.Older, RunID: r.ID}
			}
		}
		return next
	}
	lacks, came := e.lacks(s.Verdict == Whole)
	worst, bad := fault.Worst(r.Issues)
	bad = bad && worst.Severity > fault.Warning
	unplanned := len(e.Day) == 0 && (r.Outcome == run.Blocked || r.AsOf <= 0 || r.Outcome == run.Failed)
	switch {
	case !all:
		for _, l := range lacks {
			next.Lacks = append(slices.DeleteFunc(slices.Clone(next.Lacks), func(o Lack) bool { return o.Name() == l.Name() }), l)
		}
		next.Lacks = slices.DeleteFunc(slices.Clone(next.Lacks), func(l Lack) bool { return slices.Contains(came, l.Dataset) })
		if s.Verdict == Whole && len(next.Lacks) > 0 {
			next.Verdict = Lacking
		}
		if s.Verdict == Lacking && len(next.Lacks) == 0 {
			next = PoolState{Pool: s.Pool, NoSymbols: s.NoSymbols, Verdict: Whole, Older: s.Older}
		}
		if s.Verdict == Pending {
			return s // some modules do not decide about the whole day
		}
	case unplanned && s.Verdict == Whole:
		return s // the stored data stays
	case unplanned && (s.Verdict == Lacking || s.Verdict == Blocked) && !isPermanent(worst.Reason):
		return s // it will be fetched again, and the reason for the day is known already
	case unplanned:
		next.Verdict = Failed
		if r.Outcome == run.Blocked && isPermanent(worst.Reason) && r.RetryAt.IsZero() {
			next.Verdict = Blocked
		}
	case len(lacks) == 0 && len(r.Meta.BlockedModules) == 0 && early:
		return s
	case len(lacks) == 0 && len(r.Meta.BlockedModules) == 0:
		return PoolState{Pool: s.Pool, NoSymbols: s.NoSymbols, Verdict: Whole, Older: e.Older, RunID: r.ID}
	default:
		next = PoolState{Pool: s.Pool, NoSymbols: s.NoSymbols, Verdict: Lacking, Lacks: lacks, Older: e.Older}
		if len(came) == 0 && r.Outcome == run.Failed {
			next.Verdict = Failed
		}
	}
	next.RunID, next.Chosen, next.Note = r.ID, false, ""
	next.Reason, next.Message, next.Remedy = "", "", ""
	if bad {
		next.Reason, next.Message, next.Remedy = worst.Reason, worst.Message, worst.Remedy
	}
	if next.Verdict == Whole {
		next.Reason, next.Message, next.Remedy = "", "", ""
	}
	slices.SortFunc(next.Lacks, func(a, b Lack) int { return strings.Compare(a.Name(), b.Name()) })
	return next
}

// lacks returns the datasets of the day that a run left incomplete, and those that it
// completed (came). heldWhole is true if the day was complete before: a re-check without a
// result makes nothing worse.
func (e Ended) lacks(heldWhole bool) (lacks []Lack, came []string) {
	for _, p := range e.Day {
		if p.State == run.PartitionCompleted || heldWhole && p.Repeat && p.Verdict == "" {
			continue
		}
		l := Lack{Dataset: p.Dataset, Module: p.Module, Reason: reasonOf(p)}
		i := slices.IndexFunc(lacks, func(o Lack) bool { return o.Dataset == l.Dataset })
		switch {
		case i < 0:
			lacks = append(lacks, l)
		case isPermanent(l.Reason) && !isPermanent(lacks[i].Reason):
			lacks[i] = l
		}
	}
	for _, m := range e.Run.Meta.BlockedModules {
		l := Lack{Module: m}
		for _, i := range e.Run.Issues {
			if i.Module == m && i.Severity > fault.Warning {
				l.Reason = i.Reason
				break
			}
		}
		lacks = append(lacks, l)
	}
	for _, p := range e.Day {
		if !slices.ContainsFunc(lacks, func(l Lack) bool { return l.Dataset == p.Dataset }) && !slices.Contains(came, p.Dataset) {
			came = append(came, p.Dataset)
		}
	}
	slices.SortFunc(lacks, func(a, b Lack) int { return strings.Compare(a.Name(), b.Name()) })
	return lacks, came
}

// reasonOf is the reason why a partition is not complete.
func reasonOf(p run.Partition) fault.Reason {
	if worst, ok := fault.Worst(p.Issues); ok && worst.Severity > fault.Warning {
		return worst.Reason
	}
	return run.ReasonOf(p.Verdict)
}
