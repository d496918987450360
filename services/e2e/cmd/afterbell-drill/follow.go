package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/truth"
)

type (
	runState   = orchestratorv1.Run_State
	runOutcome = orchestratorv1.Run_Outcome
	issue      = faultv1.Issue
)

const (
	queued     = orchestratorv1.Run_STATE_QUEUED
	checking   = orchestratorv1.Run_STATE_CHECKING
	running    = orchestratorv1.Run_STATE_RUNNING
	paused     = orchestratorv1.Run_STATE_PAUSED
	cancelling = orchestratorv1.Run_STATE_CANCELLING
	finished   = orchestratorv1.Run_STATE_FINISHED

	succeeded = orchestratorv1.Run_OUTCOME_SUCCEEDED
	partial   = orchestratorv1.Run_OUTCOME_PARTIAL
	blocked   = orchestratorv1.Run_OUTCOME_BLOCKED
	failed    = orchestratorv1.Run_OUTCOME_FAILED
	cancelled = orchestratorv1.Run_OUTCOME_CANCELLED
	unchanged = orchestratorv1.Run_OUTCOME_UNCHANGED
)

// create creates runs, of both pools if none is named, and returns their IDs. It is not a failure if
// the orchestrator is killed before it responds.
func (r *harness) create(pools ...marketv1.Pool) (ids []string) {
	return r.request(&orchestratorv1.CreateRunRequest{Pools: pools})
}

func (r *harness) request(req *orchestratorv1.CreateRunRequest) (ids []string) {
	if r.err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	created, err := r.runs().CreateRun(ctx, req)
	if status.Code(err) == codes.Unavailable {
		return nil
	}
	r.must(err)
	for _, run := range created.GetRuns() {
		ids = append(ids, run.GetRunId())
	}
	return ids
}

// get returns a run; nil while the orchestrator does not respond.
func (r *harness) get(id string) *orchestratorv1.Run {
	if r.err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	answer, err := r.runs().GetRun(ctx, &orchestratorv1.GetRunRequest{RunId: id})
	switch status.Code(err) {
	case codes.OK:
		return answer.GetRun()
	case codes.Unavailable, codes.DeadlineExceeded:
		return nil
	}
	r.must(err)
	return nil
}

// reaches waits until a run is in a state.
func (r *harness) reaches(id string, want runState) *orchestratorv1.Run {
	var last *orchestratorv1.Run
	r.until("the run does not become "+want.String(), 3*time.Minute, func() bool {
		if run := r.get(id); run != nil {
			last = run
		}
		return last.GetState() == want || last.GetState() == finished && want != finished
	})
	if r.err == nil && last.GetState() != want {
		r.failf("run of %s ended %s before it was %s", poolName(last.GetPool()), outcomeName(last.GetOutcome()), want)
	}
	return last
}

// ended follows the events of a run, resumes the stream if it is interrupted, and returns the
// finished run.
func (r *harness) ended(id string) *orchestratorv1.Run {
	var last int64
	deadline := time.Now().Add(5 * time.Minute)
	for r.err == nil {
		run := r.events(id, &last, deadline)
		if run != nil {
			return run
		}
		if time.Now().After(deadline) {
			r.must(fmt.Errorf("run %s did not end within 5 minutes", id))
		}
		r.sleep(100 * time.Millisecond)
	}
	return nil
}

func (r *harness) events(id string, last *int64, deadline time.Time) *orchestratorv1.Run {
	ctx, cancel := context.WithDeadline(r.ctx, deadline)
	defer cancel()
	stream, err := r.runs().WatchRun(ctx, &orchestratorv1.WatchRunRequest{RunId: id, AfterSequence: *last})
	if err != nil {
		return nil
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return nil
		}
		event := message.GetEvent()
		if event == nil {
			continue
		}
		if event.GetSequence() != *last+1 {
			r.failf("run %s: event %d follows event %d", id, event.GetSequence(), *last)
		}
		*last = event.GetSequence()
		if event.GetFinished() != nil {
			return event.GetFinished()
		}
	}
}

// both fills both pools and expects success.
func (r *harness) both() {
	for _, id := range r.create() {
		r.want(r.ended(id), succeeded)
	}
}

// want checks the outcome of a run.
func (r *harness) want(run *orchestratorv1.Run, outcome runOutcome) {
	if r.err == nil && run.GetOutcome() != outcome {
		r.failf("%s ended %s, expected %s: %s", poolName(run.GetPool()), outcomeName(run.GetOutcome()), outcomeName(outcome), worst(run))
	}
}

// wantReason checks the outcome of a run, its reason and that it has a remedy.
func (r *harness) wantReason(run *orchestratorv1.Run, outcome runOutcome, reasons ...string) {
	r.want(run, outcome)
	if r.err != nil {
		return
	}
	for _, issue := range run.GetIssues() {
		for _, reason := range reasons {
			if reasonName(issue.GetReason().String()) == reason {
				if issue.GetRemedy() == "" || issue.GetMessage() == "" {
					r.failf("%s says %s without a message and a remedy", poolName(run.GetPool()), reason)
				}
				return
			}
		}
	}
	r.failf("%s ended without the reason %s: %s", poolName(run.GetPool()), strings.Join(reasons, " or "), worst(run))
}

func worst(run *orchestratorv1.Run) string {
	var out []string
	for _, issue := range run.GetIssues() {
		out = append(out, reasonName(issue.GetReason().String())+" "+issue.GetMessage())
	}
	return clip(strings.Join(out, " / "), 400)
}

func reasonName(s string) string { return strings.TrimPrefix(s, "REASON_") }
func poolName(p marketv1.Pool) string {
	return strings.ToLower(strings.TrimPrefix(p.String(), "POOL_"))
}
func outcomeName(o runOutcome) string {
	return strings.ToLower(strings.TrimPrefix(o.String(), "OUTCOME_"))
}
func poolOf(p *orchestratorv1.Run) string { return poolName(p.GetPool()) }
func bothPools() []marketv1.Pool          { return []marketv1.Pool{inTargets, inUniverse} }

// settled waits until no run is active and no queued run could start.
func (r *harness) settled(limit time.Duration) {
	r.until("the pair does not come to rest", limit, func() bool {
		for _, pool := range bothPools() {
			s := r.pool(pool)
			if s == nil {
				return false
			}
			if s.GetCurrentRun() != nil && s.GetCurrentRun().GetState() != paused {
				return false
			}
			if s.GetPaused() {
				continue
			}
			for _, q := range s.GetQueuedRuns() {
				if q.GetNotBeforeTime() == nil || !q.GetNotBeforeTime().AsTime().After(r.clock.Now()) {
					return false
				}
			}
		}
		return true
	})
}

func (r *harness) pool(p marketv1.Pool) *orchestratorv1.PoolStatus {
	if r.err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	answer, err := r.pools().GetPool(ctx, &orchestratorv1.GetPoolRequest{Pool: poolName(p)})
	if err != nil {
		return nil
	}
	return answer.GetPool()
}

// complete reports whether a pool is complete by its coverage.
func (r *harness) complete(p marketv1.Pool) bool {
	if r.err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(r.ctx, 10*time.Second)
	defer cancel()
	answer, err := r.pools().ListCoverage(ctx, &orchestratorv1.ListCoverageRequest{Pool: poolName(p)})
	if err != nil {
		return false
	}
	done := map[string]bool{}
	for _, c := range answer.GetCoverages() {
		switch c.GetVerdict() {
		case marketv1.Verdict_VERDICT_COMPLETE, marketv1.Verdict_VERDICT_EXPECTED_EMPTY:
			done[c.GetDatasetId()+c.GetTradeDate()] = true
		}
	}
	for _, d := range truth.Datasets() {
		for _, day := range d.Required(r.provider.Sim, r.clock.Now(), r.window) {
			if !done[d.API+day] {
				return false
			}
		}
	}
	return true
}

// heal lets the pair recover: it waits for due follow-up runs, sets the clock to the start of later
// ones, and if there are none creates a run, as a user would.
func (r *harness) heal() {
	if r.waited.IsZero() {
		r.free()
	}
	asked := map[marketv1.Pool]int{}
	for range 20 {
		r.settled(5 * time.Minute)
		var todo []marketv1.Pool
		for _, p := range bothPools() {
			if !r.complete(p) {
				todo = append(todo, p)
			}
		}
		if len(todo) == 0 || r.err != nil {
			r.recovery = r.clock.Now().Sub(r.waited)
			return
		}
		if at := r.nextFollowUp(); !at.IsZero() {
			r.tell("clock moved to the follow-up at %s", at.In(evening(0, 0, 0).Location()).Format("15:04:05"))
			r.moveTo(at.Add(time.Second))
			continue
		}
		for _, p := range todo {
			if asked[p]++; asked[p] > 2 {
				r.failf("%s is not complete after %d more runs", poolName(p), asked[p]-1)
				r.recovery = r.clock.Now().Sub(r.waited)
				return
			}
			r.tell("%s asked again", poolName(p))
		}
		r.create(todo...)
	}
	r.failf("the pools are not complete after twenty follow-ups")
}

// moveTo sets the clock of all processes and wakes the schedule and the queues, which otherwise
// takes up to 30 s.
func (r *harness) moveTo(at time.Time) {
	if r.err != nil {
		return
	}
	r.must(r.clock.Set(at))
	ctx, cancel := context.WithTimeout(r.ctx, 10*time.Second)
	defer cancel()
	// An orchestrator that is not running does so at its start.
	if now, err := r.schedule().GetSchedule(ctx, &orchestratorv1.GetScheduleRequest{}); err == nil {
		_, err = r.schedule().UpdateSchedule(ctx, &orchestratorv1.UpdateScheduleRequest{RunAt: &now.GetSchedule().RunAt})
		r.must(err)
	}
	for _, p := range bothPools() {
		if s := r.pool(p); s != nil && !s.GetPaused() {
			_, _ = r.pools().ResumePool(ctx, &orchestratorv1.ResumePoolRequest{Pool: poolName(p)})
		}
	}
}

// nextFollowUp returns when the first delayed run may start.
func (r *harness) nextFollowUp() (first time.Time) {
	for _, p := range bothPools() {
		for _, q := range r.pool(p).GetQueuedRuns() {
			at := q.GetNotBeforeTime().AsTime()
			if at.After(r.clock.Now()) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first
}
