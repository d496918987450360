package main

import (
	"os"
	"time"
)

// poolFaults are those that must not spread from one pool to the other.
func poolFaults() []drill {
	return []drill{
		{name: "targets-blocked", fault: "targets blocked while universe runs", expect: "targets blocked at analysis_init, universe succeeds", do: func(r *rig) {
			r.start("")
			r.must(os.Mkdir(r.targetsFile(), 0o755)) // a folder is in its place
			for i, id := range r.create() {
				run := r.ended(id)
				if bothPools()[i] == inTargets {
					r.want(run, blocked)
				} else {
					r.want(run, succeeded)
				}
			}
			r.must(os.Remove(r.targetsFile()))
			r.free()
		}},
		{name: "universe-blocked", fault: "universe blocked while targets run", expect: "fund_daily denied: universe blocked PERMISSION_DENIED, targets of stocks succeeds", do: func(r *rig) {
			r.must(r.choose(5, 0))
			r.must(r.provider.Deny("fund_daily"))
			r.start("")
			for i, id := range r.create() {
				run := r.ended(id)
				if bothPools()[i] == inUniverse {
					r.wantReason(run, blocked, "PERMISSION_DENIED")
				} else {
					r.want(run, succeeded)
				}
			}
			r.must(r.provider.Allow())
			r.free()
		}},
		{name: "targets-paused", fault: "targets paused while universe runs, and the reverse", expect: "the other pool succeeds; the paused one goes on when resumed", do: func(r *rig) {
			r.start("")
			r.pause(inTargets, "drill")
			ids := r.create()
			if r.err != nil || len(ids) != 2 {
				return
			}
			r.want(r.ended(ids[1]), succeeded)
			if run := r.get(ids[0]); run.GetState() == finished {
				r.failf("the run of the paused pool ended %s", outcomeName(run.GetOutcome()))
			}
			r.pause(inUniverse, "drill")
			r.resume(inTargets)
			r.want(r.ended(ids[0]), succeeded)
			r.resume(inUniverse)
			r.free()
		}},
		{name: "targets-hang", fault: "targets hangs at the provider while universe waits its turn", expect: "universe starts after the order wait and succeeds", do: func(r *rig) {
			r.start("")
			r.slowly() // sets the order wait to nothing
			r.sleep(100 * time.Millisecond)
			for _, id := range r.create() {
				r.want(r.ended(id), succeeded)
			}
			r.free()
		}},
	}
}
