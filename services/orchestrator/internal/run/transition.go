package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Status is the text of ingest_runs.status for a state, or for the outcome of a finished
// run.
func (s State) Status(o Outcome) string {
	if s != Finished {
		return "running"
	}
	switch o {
	case Succeeded, Unchanged:
		return "success"
	case Partial:
		return "partial"
	case Cancelled:
		return "canceled"
	}
	return "failed"
}

// States lists every state in the order of a run's life.
func States() []State { return []State{Queued, Checking, Running, Paused, Cancelling, Finished} }

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{Succeeded, Partial, Blocked, Failed, Cancelled, Unchanged}
}

// Take moves a run out of the queue: QUEUED to CHECKING.
func Take(r Run, at time.Time) (Run, Event, error) {
	next, e, err := r.move("taken", at, Checking, "", Queued)
	if err != nil {
		return r, e, err
	}
	next.StartedAt = at
	return next, e, nil
}

// Begin moves a run whose checks all passed from CHECKING to RUNNING.
func Begin(r Run, at time.Time) (Run, Event, error) {
	return r.move("begun", at, Running, "", Checking)
}

// Pause moves a run of a paused pool that has nothing left at the worker from CHECKING or
// RUNNING to PAUSED.
func Pause(r Run, at time.Time, note string) (Run, Event, error) {
	return r.noted("paused", at, Paused, note, Checking, Running)
}

// Resume moves a paused run to CHECKING.
func Resume(r Run, at time.Time, note string) (Run, Event, error) {
	return r.noted("resumed", at, Checking, note, Paused)
}

// AskCancel moves a run from CHECKING, RUNNING or PAUSED to CANCELLING, until the worker
// has confirmed that it no longer writes. A queued run is ended by Finish instead. A run
// that is CANCELLING does not change. In other states the error lists the states in which a
// run can be cancelled.
func AskCancel(r Run, at time.Time, note string) (Run, Event, error) {
	if r.State == Finished {
		return r, Event{}, r.wrongState("cancelled", Queued, Checking, Running, Paused, Cancelling)
	}
	return r.noted("cancelled", at, Cancelling, note, Checking, Running, Paused)
}

// End is how a run ends.
type End struct {
	// Outcome it ends with.
	Outcome Outcome
	// Stage that stopped it. Set for BLOCKED only.
	Stage Stage
	// Issues to add to the run's; they are sorted, worst first.
	Issues []fault.Issue
	// Note says who ended it and why. If empty, the run's note stays.
	Note string
}

// Finish ends a run. The allowed outcomes depend on its state: QUEUED: CANCELLED; CHECKING:
// BLOCKED, FAILED or UNCHANGED; RUNNING: SUCCEEDED, PARTIAL, FAILED or UNCHANGED;
// CANCELLING: CANCELLED, or FAILED if the process was killed. A paused run cannot be
// finished directly.
func Finish(r Run, at time.Time, end End) (Run, Event, error) {
	var from []State
	for s, outcomes := range endings {
		if slices.Contains(outcomes, end.Outcome) {
			from = append(from, s)
		}
	}
	slices.SortFunc(from, func(a, b State) int { return slices.Index(States(), a) - slices.Index(States(), b) })
	next, e, err := r.noted("finished as "+string(end.Outcome), at, Finished, end.Note, from...)
	if err != nil {
		return r, e, err
	}
	if (end.Outcome == Blocked) != (end.Stage != "") {
		return r, Event{}, fault.New(fault.Internal, "A blocked run must name the stage that stopped it, and other runs must not.")
	}
	next.Outcome, next.Stage, next.FinishedAt = end.Outcome, end.Stage, at
	next.Issues = slices.Concat(r.Issues, end.Issues)
	if end.Outcome == Cancelled && !has(next.Issues, fault.Cancelled) {
		text := "A user cancelled the run."
		if next.Note != "" {
			text = "A user cancelled the run: " + strings.TrimSuffix(next.Note, ".") + "."
		}
		next.Issues = append(next.Issues, fault.NewIssue(fault.Cancelled, text, "run_id", r.ID, "note", next.Note))
	}
	fault.SortIssues(next.Issues)
	return next, e, nil
}

var endings = map[State][]Outcome{
	Queued:     {Cancelled},
	Checking:   {Blocked, Failed, Unchanged},
	Running:    {Succeeded, Partial, Failed, Unchanged},
	Cancelling: {Cancelled, Failed},
}

func has(issues []fault.Issue, r fault.Reason) bool {
	return slices.ContainsFunc(issues, func(i fault.Issue) bool { return i.Reason == r })
}

func (r Run) noted(done string, at time.Time, to State, note string, from ...State) (Run, Event, error) {
	next, e, err := r.move(done, at, to, note, from...)
	if err == nil && note != "" {
		next.Note = note
	}
	return next, e, err
}

// move makes a transition. It returns an error if the state is not one of from.
func (r Run) move(done string, at time.Time, to State, note string, from ...State) (Run, Event, error) {
	if !slices.Contains(from, r.State) {
		return r, Event{}, r.wrongState(done, from...)
	}
	next := r
	next.State = to
	return next, Event{RunID: r.ID, Time: at, StateChanged: &StateChanged{From: r.State, To: to, Note: note}}, nil
}

func (r Run) wrongState(done string, allowed ...State) error {
	names := make([]string, len(allowed))
	for i, s := range allowed {
		names[i] = string(s)
	}
	list := strings.Join(names, ", ")
	return fault.New(fault.WrongState, fmt.Sprintf("Run %s is %s and cannot be %s; that is allowed in: %s.", r.ID, r.State, done, list),
		"run_id", r.ID, "pool", string(r.Pool), "state", string(r.State), "allowed_states", list)
}
