package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// view shows runs as they go on: in place on a terminal, as lines elsewhere.
type view struct {
	out      io.Writer
	terminal bool
	done     chan struct{}

	mu    sync.Mutex
	runs  []*runView
	lines int
}

type runView struct {
	id, pool, state, note string
	partitions            map[string]*orchestratorv1.Partition
	checked               []string
	planned, calls        int
	finished              *orchestratorv1.Run
	said                  string
}

func newView(out io.Writer, runs []*orchestratorv1.Run) *view {
	v := &view{out: out, done: make(chan struct{})}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			v.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	for _, r := range runs {
		v.runs = append(v.runs, &runView{
			id: r.GetRunId(), pool: word(r.GetPool().String(), "POOL_"), state: word(r.GetState().String(), "STATE_"),
			partitions: map[string]*orchestratorv1.Partition{},
		})
	}
	return v
}

func word(s, prefix string) string { return strings.ToLower(strings.TrimPrefix(s, prefix)) }

func (v *view) apply(e *orchestratorv1.RunEvent) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := slices.IndexFunc(v.runs, func(r *runView) bool { return r.id == e.GetRunId() })
	if i < 0 {
		return
	}
	r := v.runs[i]
	switch {
	case e.GetStateChanged() != nil:
		r.state, r.note = word(e.GetStateChanged().GetToState().String(), "STATE_"), e.GetStateChanged().GetNote()
	case e.GetPreflight() != nil:
		r.note = e.GetPreflight().GetMessage()
		r.checked = append(r.checked, r.note)
		if !v.terminal {
			fmt.Fprintf(v.out, "%-8s  check  %s\n", r.pool, r.note)
		}
	case e.GetPlanned() != nil:
		r.planned += int(e.GetPlanned().GetPartitionCount())
		r.calls += int(e.GetPlanned().GetEstimatedCallCount())
	case e.GetPartitionChanged() != nil:
		p := e.GetPartitionChanged().GetPartition()
		r.partitions[p.GetPartitionId()] = p
	case e.GetFinished() != nil:
		r.finished, r.state = e.GetFinished(), "finished"
	}
}

// know takes in partitions that were planned, so that the bars show how much there
// is before it has begun.
func (v *view) know(runID string, partitions []*orchestratorv1.Partition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.runs {
		for _, p := range partitions {
			if r.id == runID && r.partitions[p.GetPartitionId()] == nil {
				r.partitions[p.GetPartitionId()] = p
			}
		}
	}
}

// paint redraws until finish is called or ctx ends.
func (v *view) paint(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-v.done:
			v.draw(true)
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			if v.terminal || n%4 == 0 {
				v.draw(false)
			}
		}
	}
}

func (v *view) finish() { close(v.done) }

func (v *view) draw(last bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var lines []string
	for _, r := range v.runs {
		lines = append(lines, r.lines()...)
	}
	if !v.terminal {
		for _, r := range v.runs {
			text := strings.Join(r.lines(), "\n")
			if text != r.said {
				r.said = text
				fmt.Fprintln(v.out, text)
			}
		}
		return
	}
	if !last { // a line that wraps would be two, and the next drawing land beside this one
		fmt.Fprint(v.out, "\x1b[?7l")
		defer fmt.Fprint(v.out, "\x1b[?7h")
	}
	if v.lines > 0 {
		fmt.Fprintf(v.out, "\x1b[%dA", v.lines)
	}
	for _, line := range lines {
		fmt.Fprintf(v.out, "\x1b[2K%s\n", line)
	}
	for range v.lines - len(lines) {
		fmt.Fprint(v.out, "\x1b[2K\n")
	}
	v.lines = max(v.lines, len(lines))
	if last {
		v.lines = 0
	}
}

// lines are a head line and one line per dataset.
func (r *runView) lines() []string {
	type sum struct {
		dataset, module, now       string
		done, all, failed, waiting int
		rows                       int64
	}
	var sums []*sum
	for _, p := range sortedPartitions(r.partitions) {
		i := slices.IndexFunc(sums, func(s *sum) bool { return s.dataset == p.GetDatasetId() })
		if i < 0 {
			i = len(sums)
			sums = append(sums, &sum{dataset: p.GetDatasetId(), module: p.GetModuleId()})
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
			s.waiting++
			if at := p.GetRetryTime(); at != nil {
				s.now = "waits until " + at.AsTime().Local().Format("15:04:05")
			}
		case orchestratorv1.Partition_STATE_RUNNING:
			if s.now == "" {
				s.now = p.GetPartitionId()
			}
		}
	}
	head := fmt.Sprintf("%-8s  %-9s", r.pool, r.state)
	switch {
	case r.finished != nil:
		f := r.finished
		head = fmt.Sprintf("%-8s  %-9s  %d of %d partitions, %d rows new, %d calls, as of %s", r.pool,
			word(f.GetOutcome().String(), "OUTCOME_"), f.GetCompletedPartitionCount(), f.GetPartitionCount(), f.GetNewCount(), f.GetCallCount(), orDash(f.GetAsOfTradeDate()))
		for i, issue := range f.GetIssues() {
			if i == 3 {
				break
			}
			head += fmt.Sprintf("\n            %s: %s %s", strings.TrimPrefix(issue.GetReason().String(), "REASON_"), issue.GetMessage(), issue.GetRemedy())
		}
	case len(sums) == 0 && r.note != "":
		head += "  " + r.note
	case r.planned > 0:
		head += fmt.Sprintf("  %d partitions planned", r.planned)
	}
	lines := strings.Split(strings.TrimRight(head, " "), "\n")
	for _, s := range sums {
		line := fmt.Sprintf("  %-12s %s %5d/%-5d %10d rows", s.dataset, bar(s.done+s.failed, s.all), s.done, s.all, s.rows)
		if s.failed > 0 {
			line += fmt.Sprintf("  %d not complete", s.failed)
		}
		if s.now != "" {
			line += "  " + s.now
		}
		lines = append(lines, line)
	}
	return lines
}

func sortedPartitions(all map[string]*orchestratorv1.Partition) []*orchestratorv1.Partition {
	out := make([]*orchestratorv1.Partition, 0, len(all))
	for _, p := range all {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *orchestratorv1.Partition) int {
		if c := strings.Compare(a.GetModuleId()+a.GetDatasetId(), b.GetModuleId()+b.GetDatasetId()); c != 0 {
			return c
		}
		return strings.Compare(b.GetStartDate(), a.GetStartDate())
	})
	return out
}

const barWidth = 24

func bar(done, all int) string {
	if all == 0 {
		return strings.Repeat("·", barWidth)
	}
	full := barWidth * done / all
	return strings.Repeat("█", full) + strings.Repeat("·", barWidth-full)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
