package main

import (
	"context"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// poolFaults are the drills of failures that must not affect the other pool.
func poolFaults() []drill {
	return []drill{
		{name: "targets-blocked", fault: "targets blocked while universe runs", expect: "targets blocked at analysis_init, universe succeeds", do: func(r *harness) {
			r.start("")
			r.must(os.Mkdir(r.targetsFile(), 0o755)) // a directory with the file's name
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
		{name: "universe-blocked", fault: "universe blocked while targets run", expect: "fund_daily denied: universe blocked PERMISSION_DENIED, targets of stocks succeeds", do: func(r *harness) {
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
			r.must(r.choose(5, 3))
			r.setUp()
		}},
		{name: "targets-paused", fault: "targets paused while universe runs, and the reverse", expect: "the other pool succeeds; the paused one goes on when resumed", do: func(r *harness) {
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
		{name: "targets-hang", fault: "targets hangs at the provider while universe waits its turn", expect: "universe starts after the order wait and succeeds while targets still hangs", do: targetsHang},
	}
}

// targetsHang lets the calls of the targets run hang, but not those of universe, which start later.
func targetsHang(r *harness) {
	r.addFlags("worker", "--call-timeout", "12s")
	r.start("")
	if r.err != nil {
		return
	}
	_, err := orchestratorv1.NewSettingsServiceClient(r.stack.Conn).UpdateSettings(r.ctx,
		&orchestratorv1.UpdateSettingsRequest{OrderWait: durationpb.New(4 * time.Second)})
	r.must(err)
	id, err := r.provider.AddFault(tusharesim.Fault{Kind: tusharesim.Hang, API: tusharesim.DailyBasic, Skip: 1})
	r.must(err)
	ids := r.create()
	ctx, cancel := context.WithTimeout(r.ctx, 30*time.Second)
	defer cancel()
	r.must(r.provider.WaitHanging(ctx, 1))
	r.provider.RemoveFault(id) // calls that hang continue to hang
	if len(ids) != 2 || r.err != nil {
		return
	}
	r.want(r.ended(ids[1]), succeeded)
	if run := r.get(ids[0]); r.err == nil && run.GetState() == finished {
		r.failf("targets had ended before universe, so nothing was shown")
	}
	r.provider.ReleaseHangs()
	r.free()
	r.ended(ids[0])
}
