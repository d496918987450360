package main

import (
	"math/rand/v2"
	"syscall"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// chaos injects random failures, chosen by the seed, one after the other into a working pair, and
// then lets it recover.
func chaos(seed uint64, rounds int) func(r *harness) {
	return func(r *harness) {
		random := rand.New(rand.NewPCG(seed, 0xd511))
		r.addFlags("worker", "--call-timeout", "3s")
		r.start("")
		r.slowly()
		for range rounds {
			if r.err != nil {
				return
			}
			r.request(&orchestratorv1.CreateRunRequest{Refetch: true}) // so that there is work for each failure
			r.sleep(time.Duration(200+random.IntN(2500)) * time.Millisecond)
			r.disturb(random)
		}
		r.provider.ClearFaults()
		r.provider.ReleaseHangs()
		r.provider.SetLatency(0, 0)
		r.free()
	}
}

// disturb injects one failure and undoes it. Faults of the provider accumulate until a later step
// removes all of them.
func (r *harness) disturb(random *rand.Rand) {
	if r.err != nil {
		return
	}
	pause := time.Duration(random.IntN(1500)) * time.Millisecond
	switch random.IntN(9) {
	case 0:
		r.stack.Worker.Kill()
		r.sleep(pause)
		r.startWorker("")
	case 1:
		r.stack.Orchestrator.Kill()
		r.sleep(pause)
		r.startOrchestrator("")
	case 2:
		r.stack.Worker.Kill()
		r.stack.Orchestrator.Kill()
		r.startOrchestrator("")
		r.sleep(pause)
		r.startWorker("")
	case 3:
		r.term(r.stack.Worker, stopGrace)
		r.startWorker("")
	case 4:
		r.term(r.stack.Orchestrator, stopGrace)
		r.startOrchestrator("")
	case 5:
		r.signal(r.stack.Worker, syscall.SIGSTOP)
		r.sleep(pause)
		r.signal(r.stack.Worker, syscall.SIGCONT)
	case 6:
		r.must(r.provider.down())
		r.sleep(pause)
		r.must(r.provider.up())
	case 7:
		kinds := []tusharesim.FaultKind{
			tusharesim.HTTP500, tusharesim.Reset, tusharesim.TruncatedBody, tusharesim.MalformedJSON, tusharesim.HTMLPage,
			tusharesim.Hang, tusharesim.Empty, tusharesim.HalfDay, tusharesim.DuplicateRows, tusharesim.OtherDate,
		}
		r.fault(tusharesim.Fault{Kind: kinds[random.IntN(len(kinds))], Probability: 0.05 + 0.15*random.Float64()})
	case 8:
		r.provider.ClearFaults()
		r.must(r.clock.Jump(time.Duration(random.IntN(240)-120) * time.Second))
	}
}
