package main

import (
	"database/sql"
	"os"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// fileFaults are the drills of files and disks.
func fileFaults() []drill {
	return []drill{
		{name: "disk-full-universe", fault: "volume full under analysis.duckdb mid-run", expect: "DISK_FULL, nothing half written; goes on with room",
			do: func(r *harness) { volumeFull(r, "universe") }},
		{name: "disk-full-targets", fault: "volume full under targets.sqlite mid-run", expect: "DISK_FULL, nothing half written; goes on with room",
			do: func(r *harness) { volumeFull(r, "targets") }},
		{name: "disk-full-ledger", fault: "volume full under market-cache.sqlite mid-run", expect: "retried until it can be recorded; nothing lost once there is room",
			do: ledgerVolumeFull},
		{name: "duckdb-locked", fault: "analysis.duckdb held by another process", expect: "universe blocked ANALYSIS_DB_LOCKED after 60 s, targets succeeds", do: duckLocked},
		{name: "duckdb-missing", fault: "analysis.duckdb deleted", expect: "made anew and filled anew, targets unaffected", do: func(r *harness) {
			r.start("")
			r.both()
			r.sleep(12 * time.Second) // the idle file is closed within this time
			r.must(os.Remove(r.universeFile()))
			r.free()
			for _, id := range r.create() {
				run := r.ended(id)
				r.want(run, unchangedOr(run))
			}
		}},
		{name: "duckdb-missing-open", fault: "analysis.duckdb deleted while the worker has it open", expect: "noticed, made anew and filled anew", do: func(r *harness) {
			r.start("")
			r.both()
			r.must(os.Remove(r.universeFile()))
			r.free()
			for _, id := range r.create(inUniverse) {
				r.ended(id)
			}
			r.sleep(12 * time.Second)
			if r.err == nil {
				for _, id := range r.create(inUniverse) {
					r.ended(id)
				}
			}
		}},
		{name: "duckdb-read-only", fault: "analysis.duckdb mounted read-only", expect: "universe blocked at analysis_init, targets succeeds", do: func(r *harness) {
			r.start("")
			r.both()
			r.term(r.stack.Worker, stopGrace)
			lift, ok := r.readOnlyFile(r.universeFile())
			if !ok {
				return
			}
			r.startWorker("")
			r.blockedUniverse("ANALYSIS_DB_NOT_INITIALIZED", "STORE_FAILED")
			r.term(r.stack.Worker, stopGrace)
			lift()
			r.free()
			r.startWorker("")
		}},
		{name: "duckdb-corrupt", fault: "analysis.duckdb overwritten at its start", expect: "universe blocked at analysis_init, targets succeeds; filled anew once moved away", do: func(r *harness) {
			r.start("")
			r.both()
			r.term(r.stack.Worker, stopGrace)
			r.spoil(r.universeFile(), 0, 16<<10)
			r.startWorker("")
			r.blockedUniverse("ANALYSIS_DB_NOT_INITIALIZED")
			r.aside(r.universeFile())
			r.free()
		}},
		{name: "duckdb-corrupt-block", fault: "a block in the middle of analysis.duckdb overwritten", expect: "never taken for data; filled anew once moved away", do: func(r *harness) {
			r.start("")
			r.both()
			r.term(r.stack.Worker, stopGrace)
			info, err := os.Stat(r.universeFile())
			if r.must(err); err != nil {
				return
			}
			r.spoil(r.universeFile(), 12<<10, info.Size()-12<<10)
			r.startWorker("")
			r.blockedUniverse("ANALYSIS_DB_NOT_INITIALIZED", "STORE_FAILED")
			r.aside(r.universeFile())
			r.free()
		}},
		{name: "targets-corrupt", fault: "targets.sqlite overwritten", expect: "targets blocked at analysis_init, universe succeeds; filled anew once moved away", do: func(r *harness) {
			r.start("")
			r.both()
			r.term(r.stack.Worker, stopGrace)
			r.spoil(r.targetsFile(), 0, 8<<10)
			r.startWorker("")
			for i, id := range r.create() {
				run := r.ended(id)
				if bothPools()[i] == inTargets {
					r.wantReason(run, blocked, "TARGETS_DB_NOT_INITIALIZED")
				} else {
					r.want(run, unchangedOr(run))
				}
			}
			r.aside(r.targetsFile())
			r.free()
		}},
		{name: "ledger-corrupt", fault: "market-cache.sqlite overwritten", expect: "the orchestrator does not start and says which file; starts anew once it is moved away", do: func(r *harness) {
			r.start("")
			r.both()
			r.term(r.stack.Orchestrator, stopGrace)
			r.spoil(r.ledgerFile(), 0, 8<<10)
			if r.err != nil {
				return
			}
			r.refusesToStart("market-cache.sqlite")
			r.aside(r.ledgerFile())
			r.free()
			r.startOrchestrator("")
			r.setUp()
			for _, id := range r.create() {
				run := r.ended(id)
				r.want(run, unchangedOr(run)) // the pools are unchanged
			}
		}},
	}
}

// blockedUniverse runs both pools and expects that only universe is blocked.
func (r *harness) blockedUniverse(reasons ...string) {
	for i, id := range r.create() {
		run := r.ended(id)
		if bothPools()[i] == inUniverse {
			r.wantReason(run, blocked, reasons...)
		} else {
			r.want(run, unchangedOr(run))
		}
	}
}

// refusesToStart starts the orchestrator and expects that it exits with a line that contains all of
// the words.
func (r *harness) refusesToStart(words ...string) {
	if r.err != nil {
		return
	}
	c := r.stack.Config
	second, err := stack.Start(r.ctx, c.Bin, "orchestrator", r.dir+"/logs/second.log",
		[]string{"--data-dir", r.ledgerDir(), "--worker-addr", c.WorkerAddr, "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"}, r.env(""), "grpc")
	if err == nil {
		second.Kill()
		r.failf("the orchestrator starts although it must not")
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			r.failf("the refusal does not say %q: %s", word, clip(err.Error(), 300))
		}
	}
}

// volumeFull fills up the volume of the pools' files during a run.
func volumeFull(r *harness, pool string) {
	if !r.volume(r.workerDir(), 256) {
		return
	}
	r.start("")
	r.slowly()
	p := inUniverse
	if pool == "targets" {
		p = inTargets
		r.must(r.choose(40, 20)) // more calls, so that the run takes longer
		r.setUp()
	}
	ids := r.create(p)
	r.untilCalls(16)
	ballast := r.fill(r.workerDir())
	if len(ids) == 0 || r.err != nil {
		return
	}
	run := r.ended(ids[0])
	switch run.GetOutcome() {
	case failed, partial, blocked:
		r.wantReason(run, run.GetOutcome(), "DISK_FULL")
	default:
		r.failf("%s ended %s on a full volume", pool, outcomeName(run.GetOutcome()))
	}
	again := r.create(p)
	if len(again) > 0 {
		r.wantReason(r.ended(again[0]), blocked, "DISK_FULL")
	}
	r.must(os.Remove(ballast))
	r.free()
}

// ledgerVolumeFull fills up the volume of the ledger during runs of both pools.
func ledgerVolumeFull(r *harness) {
	if !r.volume(r.ledgerDir(), 64) {
		return
	}
	r.start("")
	r.slowly()
	r.create()
	r.untilCalls(25)
	ballast := r.fill(r.ledgerDir())
	r.sleep(10 * time.Second)
	if r.err != nil {
		return
	}
	r.must(os.Remove(ballast))
	r.free()
	select {
	case <-r.stack.Orchestrator.Done():
		r.tell("the orchestrator ended with code %d", r.stack.Orchestrator.ExitCode())
		r.startOrchestrator("")
	default:
		r.tell("the orchestrator went on")
	}
}

// duckLocked opens the file for writing, as a notebook may.
func duckLocked(r *harness) {
	r.start("")
	r.both()
	r.term(r.stack.Worker, stopGrace)
	if r.err != nil {
		return
	}
	holder, err := sql.Open("duckdb", r.universeFile())
	if r.must(err); err != nil {
		return
	}
	r.must(holder.Ping())
	r.startWorker("")
	r.blockedUniverse("ANALYSIS_DB_LOCKED")
	r.must(holder.Close())
	r.free()
}
