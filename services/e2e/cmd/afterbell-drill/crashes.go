package main

import (
	"syscall"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// crashes are the drills that kill either process with SIGKILL at all relevant points.
func crashes() []drill {
	worker := func(name, what, point string) drill {
		return drill{
			name: "worker-kill-" + name, fault: "kill -9 of the worker " + what,
			expect: "the run goes on once the worker is back, or a follow-up completes it",
			do:     func(r *harness) { workerDies(r, point) },
		}
	}
	orchestrator := func(name, what, point, expect string, do func(r *harness, point string)) drill {
		return drill{
			name: "orchestrator-kill-" + name, fault: "kill -9 of the orchestrator, run " + what, expect: expect,
			do: func(r *harness) { do(r, point) },
		}
	}
	const followed = "the run ends INTERRUPTED, one follow-up completes it"
	return []drill{
		worker("fetching", "while fetching", "tushare.fetch:20"),
		worker("commit", "before COMMIT of universe", "universe.commit:2"),
		worker("committed", "after COMMIT, before it answers", "universe.committed:2"),
		worker("targets-commit", "before COMMIT of targets", "targets.commit:3"),
		worker("references-commit", "before the first COMMIT", "universe.commit"),
		{
			name: "worker-kill-checkpoint", fault: "kill -9 of the worker before CHECKPOINT",
			expect: "the log is replayed, nothing is fetched again", do: func(r *harness) { diesCheckpointing(r, "universe.checkpoint", false) },
		},
		{
			name: "worker-kill-in-checkpoint", fault: "kill -9 of the worker 1 ms into CHECKPOINT",
			expect: "the log is replayed, nothing is fetched again", do: func(r *harness) { diesCheckpointing(r, "universe.checkpoint:1:1ms", false) },
		},
		{
			name: "worker-kill-stop-checkpoint", fault: "kill -9 of the worker in the CHECKPOINT of its stop",
			expect: "the log is replayed, nothing is fetched again", do: func(r *harness) { diesCheckpointing(r, "universe.checkpoint:1:3ms", true) },
		},
		{
			name: "worker-kill-random", fault: "kill -9 of the worker five times, anywhere in a run",
			expect: "the run goes on each time, or a follow-up completes it", do: killedAtRandom,
		},
		orchestrator("queued", "QUEUED", "run.queued", "the run stays queued and starts after the restart", orchestratorDies(0)),
		orchestrator("checking", "CHECKING", "run.checking", followed, orchestratorDies(1)),
		orchestrator("running", "RUNNING", "run.running", followed, orchestratorDies(1)),
		orchestrator("running-midway", "RUNNING, partitions in hand", "run.running:12", followed, func(r *harness, point string) {
			r.start(point)
			r.slowly()
			r.dies(1)
		}),
		orchestrator("paused", "PAUSED", "run.paused", "the run stays paused until it is resumed", diesPaused),
		orchestrator("cancelling", "CANCELLING", "run.cancelling", "the run ends, nothing writes any more", diesCancelling),
		orchestrator("finishing", "about to be FINISHED", "run.finishing", followed, orchestratorDies(1)),
		orchestrator("finished", "FINISHED, nobody told yet", "run.finished", "the run stays as it ended", orchestratorDies(0)),
		{
			name: "both-killed", fault: "kill -9 of both processes mid-run", expect: followed,
			do: func(r *harness) {
				r.start("")
				r.slowly()
				r.create()
				r.untilCalls(25)
				if r.err == nil {
					r.stack.Worker.Kill()
					r.stack.Orchestrator.Kill()
				}
				r.free()
				r.startOrchestrator("")
				r.startWorker("")
			},
		},
	}
}

// workerDies fills both pools while the worker is killed at a point and restarted.
func workerDies(r *harness, point string) {
	r.start(point)
	ids := r.create()
	r.died(r.stack.Worker, time.Minute)
	r.free()
	r.startWorker("")
	for _, id := range ids {
		r.ended(id)
	}
}

func killedAtRandom(r *harness) {
	r.start("")
	r.slowly()
	r.create()
	for _, after := range []int64{9, 17, 28, 41, 55} {
		r.untilCalls(after)
		if r.err != nil {
			return
		}
		r.stack.Worker.Kill()
		r.free()
		r.startWorker("")
	}
}

// diesCheckpointing fills both pools and kills the worker when it checkpoints: when it closes the
// idle file, or when it stops.
func diesCheckpointing(r *harness, point string, stopping bool) {
	r.start(point)
	r.both()
	if stopping {
		r.signal(r.stack.Worker, syscall.SIGTERM)
	}
	r.died(r.stack.Worker, 40*time.Second)
	r.free()
	r.startWorker("")
	if r.err != nil {
		return
	}
	calls := r.provider.Stats().ByAPI
	for _, id := range r.create() {
		r.want(r.ended(id), unchangedOr(r.ended(id)))
	}
	for _, api := range []string{"daily_basic", "moneyflow", "fund_daily"} {
		// Each pool checks its previous open day again and probes.
		if more := r.provider.Stats().ByAPI[api] - calls[api]; more > 6 {
			r.failf("%s was called %d times again although all of it had been committed", api, more)
		}
	}
}

// unchangedOr also accepts a run that had nothing to do.
func unchangedOr(run *orchestratorv1.Run) runOutcome {
	if run.GetOutcome() == unchanged {
		return unchanged
	}
	return succeeded
}

// orchestratorDies fills the pools while the orchestrator is killed at a point and restarted, which
// must interrupt so many runs.
func orchestratorDies(interrupted int) func(r *harness, point string) {
	return func(r *harness, point string) {
		r.start(point)
		r.dies(interrupted)
	}
}

func (r *harness) dies(interrupted int) {
	r.create(inUniverse)
	r.died(r.stack.Orchestrator, time.Minute)
	r.free()
	r.startOrchestrator("")
	r.settled(3 * time.Minute)
	if n := r.count("select count(*) from ingest_runs where status = 'failed' and json_extract(meta_json, '$.errorCode') = 'INTERRUPTED'"); n != interrupted {
		r.failf("%d runs are INTERRUPTED, expected %d", n, interrupted)
	}
	if n := r.count("select count(*) from run_details where source = 'auto'"); n != interrupted {
		r.failf("%d follow-ups, expected %d", n, interrupted)
	}
	if n := r.count("select count(*) from run_details where pool = 'universe' and outcome in ('succeeded', 'unchanged')"); n != 1 {
		r.failf("%d runs found everything complete, expected 1", n)
	}
}

// diesPaused kills the orchestrator after it has paused a run, checks that the run is still paused
// after the restart, and resumes it.
func diesPaused(r *harness, point string) {
	r.start(point)
	r.slowly()
	ids := r.create(inUniverse)
	r.untilCalls(20)
	r.pause(inUniverse, "drill")
	r.died(r.stack.Orchestrator, time.Minute)
	r.startOrchestrator("")
	if r.err != nil || len(ids) == 0 {
		return
	}
	run := r.reaches(ids[0], paused)
	calls := r.provider.Stats().Total
	r.sleep(2 * time.Second)
	if again := r.get(ids[0]); again.GetState() != paused || run.GetState() != paused {
		r.failf("the paused run is %s after the restart", again.GetState())
	}
	if now := r.provider.Stats().Total; now != calls {
		r.failf("%d calls were made while the pool was paused", now-calls)
	}
	if n := r.count("select count(*) from ingest_runs where status = 'running'"); n != 1 {
		r.failf("%d rows are running while one run is paused", n)
	}
	r.free()
	r.resume(inUniverse)
	r.want(r.ended(ids[0]), succeeded)
}

// diesCancelling kills the orchestrator after a request to cancel.
func diesCancelling(r *harness, point string) {
	r.start(point)
	r.slowly()
	ids := r.create(inUniverse)
	r.untilCalls(20)
	r.cancel(ids)
	r.died(r.stack.Orchestrator, time.Minute)
	r.startOrchestrator("")
	if r.err != nil || len(ids) == 0 {
		return
	}
	run := r.reaches(ids[0], finished)
	if o := run.GetOutcome(); r.err == nil && o != cancelled && o != failed {
		r.failf("the cancelled run ended %s", outcomeName(o))
	}
	if n := r.count("select count(*) from run_queue where follows = ?", ids[0]); n != 0 {
		r.failf("a run that a person cancelled has %d follow-ups", n)
	}
	r.free()
}

func (r *harness) pause(p marketv1.Pool, note string) {
	if r.err != nil {
		return
	}
	// The orchestrator may be killed before it responds.
	if _, err := r.pools().PausePool(r.ctx, &orchestratorv1.PausePoolRequest{Pool: poolName(p), Note: note}); err != nil {
		r.tell("pausing answered: %v", clip(err.Error(), 60))
	}
}

func (r *harness) resume(p marketv1.Pool) {
	if r.err != nil {
		return
	}
	_, err := r.pools().ResumePool(r.ctx, &orchestratorv1.ResumePoolRequest{Pool: poolName(p), Note: "drill"})
	r.must(err)
}

func (r *harness) cancel(ids []string) {
	for _, id := range ids {
		if r.err != nil {
			return
		}
		if _, err := r.runs().CancelRun(r.ctx, &orchestratorv1.CancelRunRequest{RunId: id, Note: "drill"}); err != nil {
			r.tell("cancelling answered: %v", clip(err.Error(), 60))
		}
	}
}

// stops are the drills that stop either process with SIGTERM during a run.
func stops() []drill {
	return []drill{
		{
			name: "worker-term", fault: "SIGTERM of the worker mid-run", expect: "it drains, ends with code 0 in time; the run is completed",
			do: func(r *harness) {
				r.start("")
				r.slowly()
				r.create()
				r.untilCalls(25)
				took := r.term(r.stack.Worker, stopGrace)
				r.tell("stopped in %.1f s", took.Seconds())
				r.free()
				r.startWorker("")
			},
		},
		{
			name: "orchestrator-term", fault: "SIGTERM of the orchestrator mid-run", expect: "it drains, ends with code 0 in time; one follow-up completes the run",
			do: func(r *harness) {
				r.start("")
				r.slowly()
				r.create()
				r.untilCalls(25)
				took := r.term(r.stack.Orchestrator, stopGrace)
				r.tell("stopped in %.1f s", took.Seconds())
				if n := r.count("select count(*) from ingest_runs where status = 'running'"); n != 0 {
					r.failf("%d rows are left running by an orderly stop", n)
				}
				r.free()
				r.startOrchestrator("")
			},
		},
		{
			name: "worker-term-hanging", fault: "SIGTERM of the worker while the provider hangs", expect: "the calls are cut off at the deadline; the run is completed",
			do: func(r *harness) {
				r.start("")
				r.slowly()
				r.hang()
				r.create()
				r.until("no call hangs", time.Minute, func() bool { return r.provider.Stats().Total > 14 })
				took := r.term(r.stack.Worker, stopGrace)
				r.tell("stopped in %.1f s", took.Seconds())
				r.provider.ClearFaults()
				r.free()
				r.startWorker("")
			},
		},
	}
}
