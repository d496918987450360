package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// History is what the explanation of a run is made from. Only Run is needed.
type History struct {
	// Run to explain.
	Run Run
	// Slot it answers, or nil.
	Slot *slot.Slot
	// Events of the run in order; those of single partitions are not needed.
	Events []Event
	// Partitions of the run.
	Partitions []Partition
	// Ahead are the runs of its pool that start before it while it is queued.
	Ahead []Run
	// First is the targets run of its trigger that a queued universe run waits for,
	// or nil.
	First *Run
	// PauseState of its pool.
	PauseState PauseState
	// FollowUps of the run, oldest first.
	FollowUps []Run
	// Next is the queued follow-up of its pool that starts first, whichever run it
	// follows; nil when none is queued.
	Next *Run
	// Later is a run of its pool that started after it ended, asked for as much, and did
	// not meet its worst issue; nil when there is none.
	Later *Run
	// Check is how its worst issue stands by the probes of now.
	Check readiness.Standing
	// Zone to tell times in. Nil means Shanghai.
	Zone *time.Location
}

// Explain tells the whole chain of a run in order, one sentence each, and ends
// with the next command to type.
func Explain(s History) (sentences []string, next string) {
	zone := slot.ZoneOr(s.Zone)
	say := func(format string, args ...any) { sentences = append(sentences, fmt.Sprintf(format, args...)) }
	when := func(t time.Time) string { return slot.Moment(t, zone) }
	ask := func(t time.Time) string { return moments(t, zone) }
	r := s.Run
	if s.Slot != nil {
		sentences = append(sentences, s.Slot.Explain(zone)...)
	}
	say("Run %s of %s was requested at %s %s.", r.ID, r.Pool, when(r.CreatedAt), r.askedBy())
	if w := r.Request.words(); w != "" {
		say("It was requested for %s.", w)
	}
	if r.State == Queued {
		said, next := explainQueued(s, when, ask)
		return append(sentences, said...), next
	}
	if slices.ContainsFunc(s.Events, func(e Event) bool {
		return e.StateChanged != nil && e.StateChanged.From == Queued && e.StateChanged.To == Finished
	}) {
		say("It was cancelled at %s in the queue%s, before it started.", when(r.FinishedAt), because(r.Note))
		return sentences, Again(r.Pool, r.Request)
	}
	waited := r.StartedAt.Sub(latest(r.CreatedAt, r.NotBefore))
	switch {
	case waited >= time.Second:
		say("It started at %s, after %s in the queue.", when(r.StartedAt), round(waited))
	case !r.StartedAt.IsZero():
		say("It started at %s.", when(r.StartedAt))
	}
	for _, e := range s.Events {
		switch {
		case e.StateChanged != nil:
			c := e.StateChanged
			switch {
			case c.To == Running && len(r.Meta.BlockedModules) > 0:
				say("At %s the checks passed, except for the blocked modules %s.", when(e.Time), strings.Join(r.Meta.BlockedModules, ", "))
			case c.To == Running:
				say("At %s all checks passed.", when(e.Time))
			case c.To == Paused:
				say("At %s it was paused%s.", when(e.Time), because(c.Note))
			case c.From == Paused && c.To == Checking:
				say("At %s it was resumed%s, and the checks ran again.", when(e.Time), because(c.Note))
			case c.To == Cancelling:
				say("At %s a user cancelled it%s.", when(e.Time), because(c.Note))
			}
		case e.Preflight != nil && e.Preflight.Module == "" && e.Preflight.Message != "":
			say("Preflight: %s", sentence(e.Preflight.Message))
		case e.Preflight != nil:
			for _, i := range e.Preflight.Issues {
				if i.Severity > fault.Warning {
					say("Preflight of %s: %s", e.Preflight.Module, sentence(i.Message))
				}
			}
		case e.Planned != nil && e.Planned.Partitions == 0:
			say("At %s the plan found nothing missing%s.", when(e.Time), upTo(e.Planned))
		case e.Planned != nil:
			say("At %s the plan has %s, about %s%s.", when(e.Time), count(e.Planned.Partitions, "partition"), count(e.Planned.Calls, "call"), upTo(e.Planned))
		}
	}
	sentences = append(sentences, partitionsSay(r, s.Partitions)...)
	if r.State != Finished {
		say("It is now %s.", r.State)
		switch r.State {
		case Paused:
			return sentences, resume(r.Pool)
		case Cancelling:
			say("It ends when the ingest-worker confirms that it has stopped writing.")
		}
		return sentences, watch(r.ID)
	}
	end, next := explainEnd(s, when, ask)
	return append(sentences, end...), next
}

// explainQueued tells what a run waits for.
func explainQueued(s History, when, ask func(time.Time) string) (said []string, next string) {
	r := s.Run
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	switch {
	case len(s.Ahead) > 0:
		say("It is waiting in the queue behind %s.", ids(s.Ahead))
	case s.First != nil && r.NotBefore.IsZero():
		say("It is waiting for the targets run of the same trigger, %s, to end, or until order_wait in the settings has elapsed.", ids([]Run{*s.First}))
	case !r.NotBefore.IsZero():
		say("It is waiting in the queue and starts at %s.", ask(r.NotBefore))
	default:
		say("It is waiting in the queue and starts next.")
	}
	if s.PauseState.Paused {
		say("The pool %s was paused at %s%s; no run of the pool starts until it is resumed.", r.Pool, when(s.PauseState.At), because(s.PauseState.Note))
		return said, resume(r.Pool)
	}
	return said, watch(r.ID)
}

func explainEnd(s History, when, ask func(time.Time) string) (said []string, next string) {
	r := s.Run
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	took := ""
	if d := r.FinishedAt.Sub(r.StartedAt); d >= time.Second && !r.StartedAt.IsZero() {
		took = " after " + round(d)
	}
	say("It finished at %s%s as %s: %s", when(r.FinishedAt), took, strings.ToUpper(string(r.Outcome)), r.ended())
	for _, e := range s.Events {
		if c := e.StateChanged; r.Outcome == Unchanged && c != nil && c.To == Finished && c.Note != "" {
			say("%s", sentence(c.Note))
		}
	}
	told := map[string]bool{} // six modules that one token keeps back are one sentence
	for _, i := range r.Issues {
		if text := fmt.Sprintf("%s: %s", i.Reason, sentence(i.Message)); !told[text] {
			told[text] = true
			said = append(said, text)
		}
	}
	worst, bad := fault.Worst(r.Issues)
	bad = bad && worst.Severity > fault.Warning
	switch {
	case s.Later != nil:
		say("Run %s, which started later, ended as %s.", s.Later.ID, strings.ToUpper(string(s.Later.Outcome)))
	case bad && s.Check == readiness.Changed:
		say("The token or the configuration has changed since; check it: %s", preflightNow)
	case bad && s.Check == readiness.Passed:
		say("The checks have passed since. Start a run: %s", Again(r.Pool, r.Request))
	case bad && worst.Remedy != "" && (len(s.FollowUps) == 0 || worst.Command() != ""):
		say("What to do: %s", sentence(worst.Remedy))
	}
	for _, f := range s.FollowUps {
		switch {
		case f.State == Queued:
			say("The follow-up run %s starts at %s%s.", f.ID, ask(latest(f.NotBefore, f.CreatedAt)), because(strings.TrimSuffix(f.Note, ".")))
		case f.State == Finished:
			say("The follow-up run %s ended as %s.", f.ID, strings.ToUpper(string(f.Outcome)))
		default:
			say("The follow-up run %s is %s.", f.ID, f.State)
		}
	}
	if len(s.FollowUps) == 0 {
		switch d, _ := fault.Describe(worst.Reason); {
		case !r.RetryAt.IsZero() && s.Next != nil:
			say("Run %s, which is already in the queue, is its follow-up and starts at %s.", s.Next.ID, ask(latest(s.Next.NotBefore, s.Next.CreatedAt)))
		case !r.RetryAt.IsZero():
			say("A run that was already in the queue was its follow-up; it was due at %s.", ask(r.RetryAt))
		case !bad || s.Later != nil:
		case d.Class == fault.Permanent && s.Check == readiness.Holds:
			say("No follow-up run is queued, because this needs your action. Once you have done it, start a run: %s", Again(r.Pool, r.Request))
		case d.Class == fault.Permanent:
		case (d.Class == fault.Transient || d.Class == fault.Quota) && r.Attempt > 0:
			say("It was attempt %d in a row; no further attempt is made before the next scheduled run.", r.Attempt+1)
		case d.Class == fault.Transient || d.Class == fault.Quota:
			say("No follow-up run is queued; the next scheduled run tries again.")
		case d.Class == fault.Later:
			say("No follow-up run is queued; the next scheduled run fetches what is missing.")
		}
	}
	return said, nextAfter(s, worst, bad)
}

// nextAfter is the command to type about a run that finished.
func nextAfter(s History, worst fault.Issue, bad bool) string {
	r, command := s.Run, ""
	if bad {
		command = worst.Command()
	}
	switch {
	case s.Later != nil:
		return "curl localhost:7780/v1/runs/" + s.Later.ID
	case bad && s.Check == readiness.Changed:
		return preflightNow
	case bad && s.Check == readiness.Passed:
		return Again(r.Pool, r.Request)
	}
	if n := len(s.FollowUps); n > 0 {
		switch last := s.FollowUps[n-1]; {
		case last.State == Finished:
			return "curl localhost:7780/v1/runs/" + last.ID
		case last.State == Queued && command != "": // it ends alike unless a person helps
			return command
		default:
			return watch(last.ID)
		}
	}
	switch {
	case r.Outcome == Unchanged && r.Pool == market.Targets && r.Symbols == 0:
		return `curl -X PUT localhost:7780/v1/targets -d '{"targets":{"symbols":["600519.SH"]}}'`
	case r.Outcome == Succeeded || r.Outcome == Unchanged:
		return fmt.Sprintf("curl localhost:7780/v1/pools/%s/coverage", r.Pool)
	case command != "":
		return command
	case !r.RetryAt.IsZero():
		return "curl localhost:7780/v1/pools/" + string(r.Pool)
	case r.Outcome != Cancelled && len(s.Partitions) > 0:
		return fmt.Sprintf("curl localhost:7780/v1/runs/%s/partitions", r.ID)
	}
	return Again(r.Pool, r.Request)
}

// moments writes a time in the zone, and in Shanghai beside it where that differs.
func moments(t time.Time, zone *time.Location) string {
	text := slot.Moment(t, zone)
	if there := slot.Moment(t, market.Shanghai); there != text {
		text += " (" + there + " in Shanghai)"
	}
	return text
}

// preflightNow is the command that checks token and modules.
const preflightNow = "curl -N -X POST localhost:7780/v1/preflights:run -d '{}'"

// Outlives reports whether a run that ended tells more than an earlier one that met an
// issue: it started later, asked for as much, and did not meet the issue.
func Outlives(later, earlier Run, met fault.Issue) bool {
	switch later.Outcome {
	case Succeeded, Unchanged, Partial:
	default:
		return false
	}
	if later.Pool != earlier.Pool || !later.StartedAt.After(earlier.FinishedAt) || !covers(later.Request.Modules, earlier.Request.Modules) {
		return false
	}
	whole := noDate(later.Request.Start) && noDate(later.Request.End)
	if !whole && (later.Request.Start != earlier.Request.Start || later.Request.End != earlier.Request.End) {
		return false
	}
	return !slices.ContainsFunc(later.Issues, func(i fault.Issue) bool { return i.Reason == met.Reason && i.Severity > fault.Warning })
}

// Again is the command that asks for what a request of a pool asked for.
func Again(pool market.Pool, q Request) string {
	body := fmt.Sprintf(`"pools":["POOL_%s"]`, strings.ToUpper(string(pool)))
	if q.Start > 0 {
		body += fmt.Sprintf(`,"start_date":%q`, q.Start)
	}
	if q.End > 0 {
		body += fmt.Sprintf(`,"end_date":%q`, q.End)
	}
	if m := q.Modules; len(m) > 0 {
		body += fmt.Sprintf(`,"module_ids":["%s"]`, strings.Join(m, `","`))
	}
	if q.Refetch {
		body += `,"refetch":true`
	}
	return "curl -X POST localhost:7780/v1/runs -d '{" + body + "}'"
}

func resume(pool market.Pool) string {
	return fmt.Sprintf("curl -X POST localhost:7780/v1/pools/%s:resume -d '{}'", pool)
}

func (r Run) askedBy() string {
	switch r.Source {
	case SourceSchedule:
		return "by the schedule"
	case SourceStartup:
		return "because the orchestrator started"
	case SourceAuto:
		return "to follow up run " + r.Follows + because(strings.TrimSuffix(r.Note, "."))
	}
	return "manually"
}

func (r Run) ended() string {
	if r.Meta.Revised == nil {
		return r.end()
	}
	return r.end() + " " + r.Meta.Revised.sentence()
}

func (r Run) end() string {
	switch r.Outcome {
	case Succeeded:
		if left := r.Partitions - r.Completed; left > 0 {
			return fmt.Sprintf("%s complete, %d rows (%d new, %d changed, %d gone), %s. %s of old dates failed and will be repeated on a later evening.",
				count(r.Completed, "partition"), r.Rows, r.New, r.Changed, r.Gone, count(r.Calls, "call"), count(left, "re-check"))
		}
		return fmt.Sprintf("all of %s complete, %d rows (%d new, %d changed, %d gone), %s.",
			count(r.Partitions, "partition"), r.Rows, r.New, r.Changed, r.Gone, count(r.Calls, "call"))
	case Unchanged:
		return "there was nothing to do."
	case Blocked:
		if r.Completed > 0 { // before a pause
			return fmt.Sprintf("%s failed; %d of %s had been completed and are kept.", r.Stage.words(), r.Completed, count(r.Partitions, "partition"))
		}
		return r.Stage.words() + " failed, and nothing was written."
	case Cancelled:
		return fmt.Sprintf("%d of %s had been completed and are kept.", r.Completed, count(r.Partitions, "partition"))
	}
	text := fmt.Sprintf("%d of %s complete, %d rows (%d new, %d changed, %d gone), %s.",
		r.Completed, count(r.Partitions, "partition"), r.Rows, r.New, r.Changed, r.Gone, count(r.Calls, "call"))
	if len(r.Meta.BlockedModules) > 0 {
		text += " Blocked: " + strings.Join(r.Meta.BlockedModules, ", ") + "."
	}
	return text
}

// words is what is checked at a stage.
func (s Stage) words() string {
	switch s {
	case StageToken:
		return "the check of the token"
	case StageReadiness:
		return "the check of token and modules"
	case StageAnalysisInit:
		return "the check of the pool's file"
	}
	return "the check of the ingest-worker"
}

// partitionsSay has a sentence for each dataset that is not complete.
func partitionsSay(r Run, partitions []Partition) (sentences []string) {
	type tally struct {
		states map[PartitionState]int
		sample *Partition
	}
	var datasets []string
	by := map[string]*tally{}
	for i := range partitions {
		p := &partitions[i]
		t := by[p.Dataset]
		if t == nil {
			t = &tally{states: map[PartitionState]int{}}
			by[p.Dataset], datasets = t, append(datasets, p.Dataset)
		}
		t.states[p.State]++
		if p.State != PartitionCompleted && (t.sample == nil || len(p.Issues) > 0) {
			t.sample = p
		}
	}
	for _, name := range datasets {
		t := by[name]
		if t.sample == nil {
			continue
		}
		var parts []string
		for _, state := range []PartitionState{PartitionCompleted, PartitionFailed, PartitionWaiting, PartitionRunning, PartitionPending, PartitionCancelled} {
			if n := t.states[state]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, state))
			}
		}
		text := name + ": " + strings.Join(parts, ", ") + "."
		if worst, ok := fault.Worst(t.sample.Issues); ok && r.State != Finished {
			text += " " + sentence(worst.Message)
		}
		sentences = append(sentences, text)
	}
	return sentences
}

func (q Request) words() string {
	var parts []string
	switch {
	case !noDate(q.Start) && !noDate(q.End):
		parts = append(parts, "the dates "+q.Start.String()+" to "+q.End.String())
	case !noDate(q.Start):
		parts = append(parts, "the dates from "+q.Start.String())
	case !noDate(q.End):
		parts = append(parts, "the dates up to "+q.End.String())
	}
	if len(q.Modules) > 0 {
		parts = append(parts, "the modules "+strings.Join(q.Modules, ", "))
	}
	if q.Refetch {
		parts = append(parts, "complete dates as well (refetch)")
	}
	return strings.Join(parts, ", ")
}

func watch(id string) string { return "curl -N localhost:7780/v1/runs/" + id + ":watch" }

func upTo(p *Planned) string {
	if noDate(p.LastTradeDate) {
		return ""
	}
	return ", up to " + p.LastTradeDate.String()
}

func because(note string) string {
	if note == "" {
		return ""
	}
	return " (" + note + ")"
}

// sentence makes text end like one, unless it ends with a command line.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") || strings.HasSuffix(text, "'") || fault.CommandIn(text) != "" {
		return text
	}
	return text + "."
}

func ids(runs []Run) string {
	names := make([]string, len(runs))
	for i, r := range runs {
		names[i] = "run " + r.ID + " (" + string(r.State) + ")"
	}
	return strings.Join(names, ", ")
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func round(d time.Duration) string {
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
