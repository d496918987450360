package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

const (
	slotFired   = orchestratorv1.Slot_STATE_FIRED
	slotCovered = orchestratorv1.Slot_STATE_COVERED
)

// clockFaults are the drills of the clock and the schedule.
func clockFaults() []drill {
	const once = "each slot fires or is covered exactly once, and is explained"
	startAt := func(h, m, s int) func(r *harness) {
		return func(r *harness) {
			r.installed(true)
			r.must(r.clock.Set(evening(h, m, s)))
			r.free()
			r.startOrchestrator("")
			r.slotsOf(today)
			r.settled(4 * time.Minute)
			r.once(today, h > 19 || m > 30)
		}
	}
	return []drill{
		{name: "start-19:29:59", fault: "start at 19:29:59", expect: once, do: startAt(19, 29, 59)},
		{name: "start-19:30:00", fault: "start at 19:30:00", expect: once, do: startAt(19, 30, 0)},
		{name: "start-19:30:59", fault: "start at 19:30:59", expect: once, do: startAt(19, 30, 59)},
		{name: "start-23:00", fault: "start at 23:00, down since noon", expect: "the evening is caught up once, late, and says why", do: startAt(23, 0, 0)},
		{name: "restarts-in-19:30", fault: "20 restarts in a row inside 19:30", expect: once, do: restarts},
		{name: "orchestrator-kill-firing", fault: "kill -9 of the orchestrator before the slot's COMMIT", expect: once, do: func(r *harness) { diesFiring(r, "slot.firing") }},
		{name: "orchestrator-kill-fired", fault: "kill -9 of the orchestrator after the slot's COMMIT", expect: once, do: func(r *harness) { diesFiring(r, "slot.fired") }},
		{name: "clock-jump", fault: "clock 2 h forward over the slot, then 2 h back", expect: "fires once, late, and not again", do: clockJump},
		{name: "clock-jump-running", fault: "clock 2 h forward and back while a run is under way", expect: "the run is not disturbed; epochs still rise", do: func(r *harness) {
			r.start("")
			r.slowly()
			ids := r.create()
			r.untilCalls(20)
			r.must(r.clock.Jump(2 * time.Hour))
			r.sleep(2 * time.Second)
			r.must(r.clock.Jump(-2 * time.Hour))
			for _, id := range ids {
				r.want(r.ended(id), succeeded)
			}
			r.free()
			for _, id := range r.create() {
				run := r.ended(id)
				r.want(run, unchangedOr(run))
			}
		}},
		{name: "clock-back-restart", fault: "clock 2 h back between a crash of both and their restart", expect: "epochs still rise, the follow-up is not refused", do: func(r *harness) {
			r.start("")
			r.slowly()
			r.must(r.clock.Set(evening(21, 5, 0)))
			r.create()
			r.untilCalls(25)
			if r.err != nil {
				return
			}
			r.stack.Worker.Kill()
			r.stack.Orchestrator.Kill()
			r.must(r.clock.Jump(-2 * time.Hour))
			r.free()
			r.startWorker("")
			r.startOrchestrator("")
		}},
		{name: "host-asleep", fault: "host suspended from 19:20 to 22:20", expect: "the evening fires once, late, and says how late", do: func(r *harness) {
			r.installed(false)
			r.must(r.clock.Set(evening(19, 20, 0)))
			r.startOrchestrator("")
			r.sleep(2 * time.Second)
			r.signal(r.stack.Worker, syscall.SIGSTOP)
			r.signal(r.stack.Orchestrator, syscall.SIGSTOP)
			r.sleep(2 * time.Second)
			r.must(r.clock.Jump(3 * time.Hour))
			r.free()
			r.signal(r.stack.Worker, syscall.SIGCONT)
			r.signal(r.stack.Orchestrator, syscall.SIGCONT)
			r.slotsOf(today)
			r.settled(4 * time.Minute)
			r.once(today, true)
		}},
		{name: "moneyflow-late", fault: "moneyflow published only at 20:10", expect: "partial NOT_PUBLISHED at 19:30, followed up until it is there", do: moneyflowLate},
	}
}

// installed prepares the pair as of noon: filled up to the previous day, with the default schedule
// but without start-up runs, and with the orchestrator stopped.
func (r *harness) installed(runOnStartup bool) {
	r.must(r.clock.Set(evening(12, 0, 0)))
	r.startWorker("")
	r.startOrchestrator("")
	r.setUp()
	r.settled(3 * time.Minute)
	for _, id := range r.create() {
		r.ended(id)
	}
	if r.err != nil {
		return
	}
	_, err := r.schedule().UpdateSchedule(r.ctx, &orchestratorv1.UpdateScheduleRequest{RunOnStartup: &runOnStartup})
	r.must(err)
	r.term(r.stack.Orchestrator, stopGrace)
}

// slotsOf waits until both slots of a day have been decided.
func (r *harness) slotsOf(day string) map[marketv1.Pool]*orchestratorv1.Slot {
	out := map[marketv1.Pool]*orchestratorv1.Slot{}
	r.until("the slots of "+day+" are not decided", 90*time.Second, func() bool {
		clear(out)
		ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
		defer cancel()
		answer, err := r.schedule().ListSlots(ctx, &orchestratorv1.ListSlotsRequest{PageSize: 20})
		if err != nil {
			return false
		}
		for _, s := range answer.GetSlots() {
			if s.GetDate() == day && s.GetState() != orchestratorv1.Slot_STATE_PENDING {
				out[s.GetPool()] = s
			}
		}
		return len(out) == 2
	})
	return out
}

// once checks that both slots of a day have exactly one effective run, and that late slots say so.
func (r *harness) once(day string, late bool) {
	for pool, s := range r.slotsOf(day) {
		if r.err != nil {
			return
		}
		if s.GetState() != slotFired && s.GetState() != slotCovered || s.GetRunId() == "" {
			r.failf("slot %s is %s: %v", s.GetSlotId(), s.GetState(), s.GetIssues())
			continue
		}
		if late && s.GetState() == slotFired && (s.GetLateSeconds() == 0 || s.GetLateNote() == "") {
			r.failf("slot %s fired late without saying how late and why", s.GetSlotId())
		}
		// The effective run is the one that stored the day's rows: the slot's run, its follow-up
		// run, or the run that covers the slot.
		n := r.count(`select count(distinct p.run_id) from run_partitions p join run_details d on d.id = p.run_id
		    where d.pool = ? and p.dataset = 'daily' and p.start_date <= ?2 and p.end_date >= ?2 and p.state = 'completed' and p.new_rows > 0 and p.end_date = ?2`,
			poolName(pool), day)
		if n == 0 { // the run was interrupted before it recorded them; ask the pool
			n = r.count("select count(*) from run_details where pool = ? and id = ?", poolName(pool), r.storedBy(pool, day))
		}
		if n != 1 && r.err == nil {
			r.failf("%d runs of %s stored the day's prices", n, poolName(pool))
		}
		if n := r.count("select count(*) from run_details where slot_id = ? and source = 'schedule'", s.GetSlotId()); n > 1 {
			r.failf("slot %s fired %d times", s.GetSlotId(), n)
		}
		r.tell("%s %s", s.GetSlotId(), slotName(s))
	}
}

// storedBy returns the run that last committed a day's prices to a pool.
func (r *harness) storedBy(p marketv1.Pool, day string) (run string) {
	if r.err != nil {
		return ""
	}
	answer, err := r.pools().ListCoverage(r.ctx, &orchestratorv1.ListCoverageRequest{Pool: poolName(p), StartDate: day, EndDate: day})
	r.must(err)
	for _, c := range answer.GetCoverages() {
		if c.GetDatasetId() == "daily" && c.GetVerdict() == marketv1.Verdict_VERDICT_COMPLETE {
			run = c.GetRunId()
		}
	}
	return run
}

func slotName(s *orchestratorv1.Slot) string {
	switch {
	case s.GetState() == slotCovered:
		return "covered"
	case s.GetLateSeconds() > 0:
		return fmt.Sprintf("fired %d s late", s.GetLateSeconds())
	}
	return "fired"
}

// restarts starts and stops the orchestrator twenty times within the minute of the slot, alternately
// gracefully and by SIGKILL.
func restarts(r *harness) {
	r.installed(true)
	r.must(r.clock.Set(evening(19, 29, 59)))
	for i := range 20 {
		r.startOrchestrator("")
		r.sleep(time.Duration(100+i*37) * time.Millisecond)
		if r.err != nil {
			return
		}
		if i%2 == 0 {
			r.stack.Orchestrator.Kill()
		} else {
			r.term(r.stack.Orchestrator, stopGrace)
		}
		if now := r.clock.Now(); now.After(evening(19, 30, 55)) {
			r.must(r.clock.Set(evening(19, 30, 5))) // all twenty must be within one minute
		}
	}
	r.free()
	r.startOrchestrator("")
	r.slotsOf(today)
	r.settled(4 * time.Minute)
	r.once(today, false)
}

// diesFiring kills the orchestrator while it fires the slot.
func diesFiring(r *harness, point string) {
	r.installed(false)
	r.must(r.clock.Set(evening(19, 29, 57)))
	r.startOrchestrator(point)
	r.died(r.stack.Orchestrator, 40*time.Second)
	r.free()
	r.startOrchestrator("")
	r.slotsOf(today)
	r.settled(4 * time.Minute)
	r.once(today, false)
}

func clockJump(r *harness) {
	r.installed(false)
	r.must(r.clock.Set(evening(19, 20, 0)))
	r.startOrchestrator("")
	r.sleep(2 * time.Second)
	r.must(r.clock.Jump(2 * time.Hour))
	r.free()
	r.slotsOf(today)
	r.settled(4 * time.Minute)
	r.once(today, true)
	r.must(r.clock.Jump(-2 * time.Hour))
	r.sleep(35 * time.Second) // the loop reads the clock within this time
	r.must(r.clock.Set(evening(19, 30, 1)))
	r.sleep(35 * time.Second)
	r.settled(2 * time.Minute)
	r.once(today, true)
	r.must(r.clock.Set(evening(21, 40, 0)))
	r.free()
}

func moneyflowLate(r *harness) {
	r.installed(false)
	r.must(r.provider.SetPublish("moneyflow", "20:10"))
	r.must(r.clock.Set(evening(19, 29, 55)))
	r.startOrchestrator("")
	slots := r.slotsOf(today)
	r.settled(4 * time.Minute)
	for _, s := range slots {
		if r.err != nil {
			return
		}
		r.wantReason(r.get(s.GetRunId()), partial, "NOT_PUBLISHED")
	}
	r.free()
	r.heal()
	if now := r.clock.Now(); r.err == nil && now.Before(evening(20, 10, 0)) {
		r.failf("complete at %s although moneyflow was published at 20:10", now.Format("15:04"))
	}
	r.once(today, false)
}
