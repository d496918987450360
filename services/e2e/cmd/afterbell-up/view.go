package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// view shows the progress of runs: in place on a terminal, otherwise line by line.
type view struct {
	screen *screen
	done   chan struct{}

	mu   sync.Mutex
	runs []*runView
}

type runView struct {
	id, pool, state, note string
	partitions            map[string]*orchestratorv1.Partition
	planned               int
	notBefore             time.Time
	finished              *orchestratorv1.Run
	said                  string
}

func newView(s *screen, runs []*orchestratorv1.Run) *view {
	v := &view{screen: s, done: make(chan struct{})}
	for _, r := range runs {
		v.runs = append(v.runs, newRunView(r))
	}
	return v
}

func newRunView(r *orchestratorv1.Run) *runView {
	v := &runView{
		id: r.GetRunId(), pool: word(r.GetPool().String(), "POOL_"), state: word(r.GetState().String(), "STATE_"),
		note: r.GetNote(), partitions: map[string]*orchestratorv1.Partition{},
	}
	if at := r.GetNotBeforeTime(); at != nil {
		v.notBefore = at.AsTime()
	}
	return v
}

func word(s, prefix string) string { return strings.ToLower(strings.TrimPrefix(s, prefix)) }

// run returns what is shown of a run. The caller holds mu.
func (v *view) run(id string) *runView {
	if i := slices.IndexFunc(v.runs, func(r *runView) bool { return r.id == id }); i >= 0 {
		return v.runs[i]
	}
	return nil
}

// follow shows a follow-up run after its run.
func (v *view) follow(r *orchestratorv1.Run) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.run(r.GetRunId()) == nil {
		v.runs = append(v.runs, newRunView(r))
	}
}

func (v *view) apply(e *orchestratorv1.RunEvent) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.run(e.GetRunId())
	if r == nil {
		return
	}
	switch {
	case e.GetStateChanged() != nil:
		r.state, r.note = word(e.GetStateChanged().GetToState().String(), "STATE_"), e.GetStateChanged().GetNote()
	case e.GetPreflight() != nil:
		r.note = e.GetPreflight().GetMessage()
		if !v.screen.terminal {
			fmt.Fprintf(v.screen, "%-8s  check  %s\n", r.pool, r.note)
		}
	case e.GetPlanned() != nil:
		r.planned += int(e.GetPlanned().GetPartitionCount())
	case e.GetPartitionChanged() != nil:
		p := e.GetPartitionChanged().GetPartition()
		r.partitions[p.GetPartitionId()] = p
	case e.GetFinished() != nil:
		r.finished, r.state = e.GetFinished(), "finished"
	}
}

// know adds planned partitions, so that the bars show the total before the run begins.
func (v *view) know(runID string, partitions []*orchestratorv1.Partition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.run(runID)
	if r == nil {
		return
	}
	for _, p := range partitions {
		if r.partitions[p.GetPartitionId()] == nil {
			r.partitions[p.GetPartitionId()] = p
		}
	}
}

// A terminal is redrawn often; a log gets the changes from time to time.
const (
	drawEvery = 250 * time.Millisecond
	sayEvery  = 5 * time.Second
)

// paint redraws until finish is called or ctx ends.
func (v *view) paint(ctx context.Context) {
	every := sayEvery
	if v.screen.terminal {
		every = drawEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-v.done:
			v.draw(true)
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			v.draw(false)
		}
	}
}

func (v *view) finish() { close(v.done) }

func (v *view) draw(last bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []string
	for _, r := range v.runs {
		lines := r.lines(v.screen.terminal)
		all = append(all, lines...)
		if text := strings.Join(lines, "\n"); !v.screen.terminal && text != r.said {
			r.said = text
			fmt.Fprintln(v.screen, text)
		}
	}
	if v.screen.terminal {
		v.screen.draw(all, last)
	}
}

// lines returns a header, the reasons why the run did not succeed, and one line per dataset.
func (r *runView) lines(bars bool) []string {
	sums := r.sums()
	var lines []string
	head := fmt.Sprintf("%-8s  %-9s  ", r.pool, r.state)
	switch {
	case r.finished != nil:
		lines = finished(r.pool, r.finished)
	case r.state == "queued" && time.Until(r.notBefore) > 0:
		lines = append(lines, head+"starts at "+clock(r.notBefore))
	case r.note != "" && (len(sums) == 0 || r.state == "paused"):
		lines = append(lines, head+r.note)
	case r.planned > 0:
		lines = append(lines, head+fmt.Sprintf("%d partitions planned", r.planned))
	default:
		lines = append(lines, strings.TrimRight(head, " "))
	}
	for _, s := range sums {
		lines = append(lines, s.line(bars))
	}
	return lines
}

// mostIssues is the largest number of kinds of issues that are shown; the run has all of them.
const mostIssues = 3

// finished returns how a run ended.
func finished(pool string, f *orchestratorv1.Run) []string {
	head := fmt.Sprintf("%-8s  %-9s  ", pool, word(f.GetOutcome().String(), "OUTCOME_"))
	switch {
	case f.GetOutcome() == orchestratorv1.Run_OUTCOME_BLOCKED:
		head += "at the stage " + word(f.GetBlockedStage().String(), "BLOCKED_STAGE_")
	case f.GetPartitionCount() == 0 && f.GetOutcome() == orchestratorv1.Run_OUTCOME_UNCHANGED:
		head += "nothing to do, as of " + orDash(f.GetAsOfTradeDate())
	default:
		head += fmt.Sprintf("%d/%d partitions, %d new rows, as of %s",
			f.GetCompletedPartitionCount(), f.GetPartitionCount(), f.GetNewCount(), orDash(f.GetAsOfTradeDate()))
	}
	lines := []string{head}
	counts := map[string]int{}
	for _, issue := range f.GetIssues() {
		counts[issue.GetReason().String()]++
	}
	told := 0
	for _, issue := range f.GetIssues() {
		reason := issue.GetReason().String()
		n := counts[reason]
		if n == 0 || told == mostIssues {
			continue
		}
		told, counts[reason] = told+1, 0
		text := strings.TrimPrefix(reason, "REASON_") + ": " + issue.GetMessage()
		if n > 1 {
			text += fmt.Sprintf(" (and %d more)", n-1)
		}
		lines = append(lines, wrap(text, "  ")...)
		lines = append(lines, wrap(issue.GetRemedy(), "    ")...)
	}
	if at := f.GetRetryTime(); at != nil {
		lines = append(lines, "  A follow-up run starts at "+clock(at.AsTime())+".")
	}
	return lines
}

// clock formats a time in the local time zone.
func clock(at time.Time) string {
	at = at.Local()
	if at.Format(time.DateOnly) != time.Now().Format(time.DateOnly) {
		return at.Format("01-02 15:04")
	}
	return at.Format(time.TimeOnly)
}

// sum has the totals of a dataset in a run.
type sum struct {
	module, dataset, inHand string
	waits                   time.Time
	done, all, failed       int
	rows                    int64
}

func (r *runView) sums() (sums []*sum) {
	for _, p := range sortedPartitions(r.partitions) {
		i := slices.IndexFunc(sums, func(s *sum) bool { return s.dataset == p.GetDatasetId() })
		if i < 0 {
			i = len(sums)
			sums = append(sums, &sum{module: p.GetModuleId(), dataset: p.GetDatasetId()})
		}
		s := sums[i]
		s.all++
		s.rows += p.GetRowCount()
		switch p.GetState() {
		case orchestratorv1.Partition_STATE_COMPLETED:
			s.done++
		case orchestratorv1.Partition_STATE_FAILED:
			s.failed++
		case orchestratorv1.Partition_STATE_WAITING:
			if at := p.GetRetryTime(); at != nil && (s.waits.IsZero() || at.AsTime().Before(s.waits)) {
				s.waits = at.AsTime()
			}
		case orchestratorv1.Partition_STATE_RUNNING:
			s.inHand = cmp.Or(s.inHand, p.GetStartDate())
		}
	}
	return sums
}

func (s *sum) line(bars bool) string {
	graph := ""
	if bars {
		graph = " " + bar(s.done+s.failed, s.all)
	}
	line := fmt.Sprintf("  %-18s %-11s%s %4d/%-4d %7d rows", s.module, s.dataset, graph, s.done, s.all, s.rows)
	switch {
	case !s.waits.IsZero():
		line += "  waits " + clock(s.waits)
	case s.failed > 0:
		line += fmt.Sprintf("  %d incomplete", s.failed)
	case s.inHand != "":
		line += "  " + s.inHand
	}
	return line
}

func sortedPartitions(all map[string]*orchestratorv1.Partition) []*orchestratorv1.Partition {
	out := make([]*orchestratorv1.Partition, 0, len(all))
	for _, p := range all {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *orchestratorv1.Partition) int {
		return cmp.Or(
			cmp.Compare(a.GetModuleId(), b.GetModuleId()), cmp.Compare(a.GetDatasetId(), b.GetDatasetId()),
			cmp.Compare(b.GetStartDate(), a.GetStartDate()), cmp.Compare(a.GetPartitionId(), b.GetPartitionId()))
	})
	return out
}

const barWidth = 8

func bar(done, all int) string {
	full := barWidth * done / max(all, 1)
	return strings.Repeat("█", full) + strings.Repeat("·", barWidth-full)
}

func orDash(s string) string { return cmp.Or(s, "-") }
