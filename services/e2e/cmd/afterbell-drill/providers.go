package main

import (
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// fault enables a fault of the provider.
func (r *harness) fault(f tusharesim.Fault) {
	if r.err != nil {
		return
	}
	_, err := r.provider.AddFault(f)
	r.must(err)
}

// hang lets all calls after the probes hang until they time out.
func (r *harness) hang() { r.fault(tusharesim.Fault{Kind: tusharesim.Hang, Skip: 12}) }

// providerFaults are the drills of failures of the provider and of the network to it.
func providerFaults() []drill {
	const passes = "transient: retried in the run or followed up, nothing missing in the end"
	return []drill{
		{name: "provider-down", fault: "provider refuses connections for 3 minutes mid-run", expect: passes, do: func(r *harness) {
			r.start("")
			r.slowly()
			r.create()
			r.untilCalls(20)
			if r.err != nil {
				return
			}
			r.must(r.provider.down())
			r.sleep(3 * time.Minute)
			r.must(r.provider.up())
			r.free()
		}},
		{name: "provider-502", fault: "HTTP 502 to every call mid-run", expect: passes, do: func(r *harness) {
			r.start("")
			r.slowly()
			r.create()
			r.untilCalls(20)
			r.fault(tusharesim.Fault{Kind: tusharesim.HTTP502})
			r.sleep(8 * time.Second)
			r.provider.ClearFaults()
			r.free()
		}},
		{name: "provider-hangs", fault: "four calls hang until their timeout", expect: passes, do: func(r *harness) {
			r.addFlags("worker", "--call-timeout", "3s")
			r.start("")
			r.fault(tusharesim.Fault{Kind: tusharesim.Hang, Skip: 14, Count: 4})
			r.free()
			for _, id := range r.create() {
				r.ended(id)
			}
		}},
		{name: "provider-garbage", fault: "garbage instead of a reply for 10 % of calls", expect: "never stored; " + passes, do: func(r *harness) {
			r.start("")
			// Four kinds of malformed responses in equal parts. A fault is tried only if the
			// previous ones did not apply, so the later ones have larger probabilities.
			for i, kind := range []tusharesim.FaultKind{tusharesim.MalformedJSON, tusharesim.HTMLPage, tusharesim.TruncatedBody, tusharesim.Reset} {
				r.fault(tusharesim.Fault{Kind: kind, Probability: 0.025 / (1 - 0.025*float64(i))})
			}
			r.free()
			for range 3 {
				for _, id := range r.create() {
					r.ended(id)
				}
			}
			r.provider.ClearFaults()
		}},
		{name: "provider-half-day", fault: "half of the newest day's rows at first", expect: "INCOMPLETE, partial, never success; the follow-up completes it", do: func(r *harness) {
			r.start("")
			r.fault(tusharesim.Fault{Kind: tusharesim.HalfDay, API: "daily", TradeDate: "20260318"})
			for i, id := range r.create() {
				run := r.ended(id)
				if bothPools()[i] == inUniverse {
					r.wantReason(run, partial, "INCOMPLETE")
				}
			}
			r.provider.ClearFaults()
			r.free()
		}},
		{name: "rate-limit", fault: "10 calls a minute per API, old text", expect: "waits until the minute is over; succeeds", do: func(r *harness) {
			r.start("")
			r.must(r.provider.SetLimits(tusharesim.Limit{N: 10, Per: tusharesim.PerMinute}))
			r.free()
			for _, id := range r.create() {
				r.want(r.ended(id), succeeded)
			}
		}},
		{name: "day-quota", fault: "8 calls a day of daily, new text", expect: "QUOTA_EXHAUSTED, partial; followed up when the day is over", do: func(r *harness) {
			r.start("")
			r.must(r.provider.SetLimits(tusharesim.Limit{API: "daily", N: 8, Per: tusharesim.PerDay, Text: tusharesim.TextNew}))
			r.free()
			for i, id := range r.create() {
				run := r.ended(id)
				if bothPools()[i] == inUniverse {
					r.wantReason(run, partial, "QUOTA_EXHAUSTED")
				}
			}
			calls := r.provider.Stats().ByAPI["daily"]
			r.sleep(5 * time.Second)
			if more := r.provider.Stats().ByAPI["daily"] - calls; more > 0 {
				r.failf("%d more calls although the day's quota is spent", more)
			}
		}},
		{name: "token-revoked", fault: "token revoked mid-run", expect: "TOKEN_INVALID, no follow-up; a person restores it and runs again", do: func(r *harness) {
			r.start("")
			r.slowly()
			ids := r.create(inUniverse)
			r.untilCalls(25)
			r.provider.RevokeToken("")
			if len(ids) == 0 {
				return
			}
			run := r.ended(ids[0])
			if run.GetOutcome() == failed {
				r.wantReason(run, failed, "TOKEN_INVALID")
			} else {
				r.wantReason(run, partial, "TOKEN_INVALID")
			}
			if n := r.count("select count(*) from run_queue"); n != 0 {
				r.failf("%d follow-ups of a reason that no follow-up can mend", n)
			}
			calls := r.provider.Stats().Total
			for _, id := range r.create(inUniverse) {
				// The probes of the same day let it start, and it fails at once.
				run := r.ended(id)
				if run.GetOutcome() == failed {
					r.wantReason(run, failed, "TOKEN_INVALID")
				} else {
					r.wantReason(run, blocked, "TOKEN_INVALID")
				}
			}
			if more := r.provider.Stats().Total - calls; more > 20 {
				r.failf("%d calls were made with a token that is refused", more)
			}
			r.provider.RestoreTokens()
			r.free()
		}},
	}
}
