package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/truth"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// habits are the drills of the provider's behaviour other than wrong values: temporary refusals,
// late data, long lists, changed old days, and limits that appear and disappear.
func habits() []drill {
	const general = "查询数据失败，请确认参数！可以反馈管理员协助您排查问题"
	refusal := func(name, fault string, f tusharesim.Fault) drill {
		return drill{name: name, fault: fault, expect: "transient: retried or followed up, no pool stays blocked, nothing missing in the end", do: func(r *harness) {
			r.fault(f)
			r.start("")
			for _, run := range r.tonight() {
				r.passes(run)
			}
			r.provider.ClearFaults()
			r.free()
			r.tonight() // the next run fetches gaps in older dates
		}}
	}
	return []drill{
		refusal("refusal-probe", "one 50101 with the parameter text, met by a probe",
			tusharesim.Fault{Kind: tusharesim.AnyCode, API: "daily", Code: 50101, Text: general, Count: 1}),
		refusal("refusal-fill", "one 50101 with the parameter text at the fourth call of daily",
			tusharesim.Fault{Kind: tusharesim.AnyCode, API: "daily", Code: 50101, Text: general, Skip: 3, Count: 1}),
		refusal("refusal-database", "three 50101 that speak of the database, met by probes and run",
			tusharesim.Fault{Kind: tusharesim.AnyCode, API: "daily_basic", Code: 50101, Text: "系统内部错误 (MySQL server has gone away)", Count: 3}),
		refusal("refusal-unknown", "two answers with the code −1000", tusharesim.Fault{Kind: tusharesim.AnyCode, API: "moneyflow", Code: -1000, Text: "unknown error", Skip: 1, Count: 2}),
		refusal("data-null", "five answers of code 0 with data null", tusharesim.Fault{Kind: tusharesim.DataNull, API: "daily", Skip: 2, Count: 5}),
		refusal("no-rows-2001", "four answers of −2001 with the text empty", tusharesim.Fault{Kind: tusharesim.AnyCode, API: "moneyflow", Code: -2001, Text: "empty", Skip: 2, Count: 4}),
		refusal("too-many-requests", "five answers of HTTP 429 with Retry-After 2", tusharesim.Fault{Kind: tusharesim.HTTP429, RetryAfter: 2, Skip: 5, Count: 5}),
		{name: "suspensions", fault: "40 % of the stocks are suspended from one day to the next", expect: "complete with SUSPENSIONS_CONFIRMED, succeeds", do: func(r *harness) {
			r.dayBefore()
			_, err := r.provider.Suspend(tusharesim.Suspension{TradeDate: compact, Share: 0.4})
			r.must(err)
			r.want(r.tonight()[inUniverse], succeeded)
			r.wantTold(inUniverse, "daily", today, complete, "SUSPENSIONS_CONFIRMED")
		}},
		{name: "suspended-years", fault: "15 % of the stocks are suspended on every day of the window, first fill", expect: "every day is complete", do: func(r *harness) {
			_, err := r.provider.Suspend(tusharesim.Suspension{TradeDate: "20260227", EndDate: compact, Share: 0.15})
			r.must(err)
			r.start("")
			r.tonight()
			r.free()
		}},
		{name: "dataset-begins", fault: "moneyflow begins within the window, first fill", expect: "the days before are expected empty and not asked for again", do: datasetBegins},
		{name: "late-over-weekend", fault: "moneyflow of a Friday comes on Saturday at 10:00", expect: "asked for on the closed day, whole before Saturday noon", do: func(r *harness) {
			late(r, time.Date(2026, 3, 20, 0, 0, 0, 0, tusharesim.Beijing), time.Date(2026, 3, 21, 10, 0, 0, 0, tusharesim.Beijing), time.Date(2026, 3, 21, 12, 0, 0, 0, tusharesim.Beijing))
		}},
		{name: "late-over-holiday", fault: "daily_basic and moneyflow of the last day before Labour Day come on the third closed day", expect: "asked for on closed days, whole within half a day", do: func(r *harness) {
			late(r, time.Date(2026, 4, 30, 0, 0, 0, 0, tusharesim.Beijing), time.Date(2026, 5, 3, 9, 0, 0, 0, tusharesim.Beijing), time.Date(2026, 5, 3, 21, 0, 0, 0, tusharesim.Beijing), "daily_basic")
		}},
		{name: "closed-days", fault: "closed days are answered with the rows of the open day before, also within spans", expect: "rejected with that reason; no pool holds a row of a closed day", do: func(r *harness) {
			mend := r.errs(tusharesim.Fault{Kind: tusharesim.ClosedDays})
			r.start("")
			runs := r.tonight()
			r.wantReason(runs[inTargets], runs[inTargets].GetOutcome(), "ROWS_REJECTED")
			mend()
		}},
		{name: "long-list-refused", fault: "ts_code lists of more than 3 are refused", expect: "halved until they pass; nothing missing", do: func(r *harness) {
			r.fault(tusharesim.Fault{Kind: tusharesim.LongList, N: 3})
			r.start("")
			r.tonight()
			r.free()
			r.heal()
			r.provider.ClearFaults()
		}},
		{name: "long-list-cut", fault: "ts_code lists of more than 3 are answered for the first 3", expect: "absence from a list that was cut proves nothing; nothing missing", do: func(r *harness) {
			r.fault(tusharesim.Fault{Kind: tusharesim.LongList, N: 3, Mode: tusharesim.ModeCut})
			r.start("")
			r.tonight()
			r.free()
			r.heal()
			r.provider.ClearFaults()
		}},
		{name: "old-days-rewritten", fault: "share counts of three stocks are rewritten in the whole window", expect: "the rolling re-check takes the new values within two weeks of evenings and tells it", do: oldDays},
		{name: "re-keyed", fault: "a stock of Beijing gets another code, its history too", expect: "universe has its rows under the new code alone; in targets the old rows stay, because the list names the code; SYMBOL_RENAMED tells it", do: rekeyed},
		{name: "clock-ahead", fault: "the clock is 400 days ahead for one run", expect: "CLOCK_WRONG once; lists and calendar are fetched again, no follow-up of days to come stays", do: clockAhead},
		{name: "limit-lifted", fault: "a day limit of 8 calls of daily, lifted the next day", expect: "tried again once its day has passed: the next evening is whole without a wait", do: limitLifted},
		{name: "hour-limit-list", fault: "stock_basic may be called twice an hour", expect: "a probe's answer serves the run; whole in the end", do: func(r *harness) {
			r.must(r.provider.SetLimits(tusharesim.Limit{API: "stock_basic", N: 2, Per: tusharesim.PerHour, Text: tusharesim.TextNew}))
			r.must(r.clock.Set(evening(12, 0, 0)))
			r.scheduled()
			r.free()
			r.pass(evening(23, 30, 0), nil)
			if n := r.count("select count(*) from run_details"); n > 12 {
				r.failf("%d runs for an hour limit", n)
			}
		}},
	}
}

// passes checks that a temporary refusal was not treated as permanent.
func (r *harness) passes(run *orchestratorv1.Run) {
	if r.err != nil || run.GetOutcome() == succeeded {
		return
	}
	if run.GetRetryTime() == nil {
		r.failf("%s ended %s and nothing follows: %s", poolName(run.GetPool()), outcomeName(run.GetOutcome()), worst(run))
	}
}

func datasetBegins(r *harness) {
	before := r.provider.OpenDates("20260301", compact)
	first := before[len(before)-5]
	r.fault(tusharesim.Fault{Kind: tusharesim.Empty, API: "moneyflow", TradeDate: "20100101", EndDate: before[len(before)-6]})
	r.start("")
	r.want(r.tonight()[inUniverse], succeeded)
	for _, c := range r.coverages(inUniverse, "", "") {
		if c.GetDatasetId() != "moneyflow" {
			continue
		}
		want := complete
		if strings.ReplaceAll(c.GetTradeDate(), "-", "") < first {
			want = marketv1.Verdict_VERDICT_EXPECTED_EMPTY
		}
		if c.GetVerdict() != want {
			r.failf("moneyflow of %s is %s, expected %s", c.GetTradeDate(), verdictName(c.GetVerdict()), verdictName(want))
		}
	}
	r.want(r.tonight()[inUniverse], unchanged)
	r.provider.ClearFaults()
	// Now the provider has them, and a user fetches everything again.
	for _, id := range r.request(&orchestratorv1.CreateRunRequest{Refetch: true}) {
		r.want(r.ended(id), succeeded)
	}
}

// late withholds moneyflow and other datasets of a day until a time, lets time pass, and expects a
// complete day at the end.
func late(r *harness, day, until, whole time.Time, others ...string) {
	r.must(r.clock.Set(day.Add(12 * time.Hour)))
	for _, api := range append(others, "moneyflow") {
		r.must(r.provider.WithholdUntil(api, day.Format("20060102"), until))
	}
	r.scheduled()
	r.pass(until.Add(-time.Minute), nil)
	for _, api := range append(others, "moneyflow") {
		if c := r.coverage(inUniverse, api, day.Format("2006-01-02")); r.err == nil && c.GetVerdict() == complete {
			r.failf("%s is complete before it is out", api)
		}
	}
	r.waited = until
	r.pass(whole, nil)
	for _, p := range bothPools() {
		if r.err == nil && !r.complete(p) {
			r.failf("%s is not whole at %s; the next follow-up is at %s", poolName(p), whole.Format("Monday 15:04"), r.nextFollowUp().In(tusharesim.Beijing).Format("Monday 15:04"))
		}
	}
}

// scheduled starts the pair with the schedule, fills it, and then allows only slots and their
// follow-up runs.
func (r *harness) scheduled() {
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
	never := false
	_, err := r.schedule().UpdateSchedule(r.ctx, &orchestratorv1.UpdateScheduleRequest{RunOnStartup: &never})
	r.must(err)
}

// pass lets time pass until a time: it sets the clock to each slot and follow-up run in turn, and
// waits until the pair is idle. Of many consecutive follow-up runs some start late, as on a busy
// machine. at, if not nil, returns an additional time before the given one, and is called when that
// time is reached.
func (r *harness) pass(to time.Time, at func(now time.Time) (next time.Time)) {
	var gap time.Duration
	for r.err == nil {
		r.settled(5 * time.Minute)
		now := r.clock.Now()
		next := to
		earlier := func(t time.Time) {
			if t.After(now) && t.Before(next) {
				next = t
			}
		}
		slot := now.In(tusharesim.Beijing)
		slot = time.Date(slot.Year(), slot.Month(), slot.Day(), 19, 30, 0, 0, tusharesim.Beijing)
		if !slot.After(now) {
			slot = slot.AddDate(0, 0, 1)
		}
		if t := r.nextFollowUp(); !t.IsZero() {
			if now.Add(gap).After(t) {
				t = now.Add(gap)
			}
			earlier(t.Add(time.Second))
		}
		gap = min(2*gap+15*time.Minute, 4*time.Hour)
		earlier(slot)
		if at != nil {
			earlier(at(now))
		}
		if !next.After(now) {
			return
		}
		r.moveTo(next)
		if next.Equal(slot) {
			gap = 0
			r.slotsOf(slot.Format("2006-01-02"))
		}
		if next.Equal(to) {
			r.settled(5 * time.Minute)
			return
		}
	}
}

func oldDays(r *harness) {
	r.must(r.clock.Set(evening(12, 0, 0)))
	r.reach(30) // a checked day is not checked again for a week
	r.scheduled()
	r.recheck(10)
	_, err := r.provider.Revise(tusharesim.Revision{API: "daily_basic", TradeDate: "20260313", EndDate: "20260317", Codes: r.traded(3), Columns: []string{"total_share", "total_mv"}, Factor: 10})
	r.must(err)
	r.pass(evening(12, 0, 0).AddDate(0, 0, 13), nil) // those days are still within the window
	told := false
	r.each(func(run *orchestratorv1.Run) {
		told = told || slices.ContainsFunc(run.GetIssues(), func(i *issue) bool { return reasonName(i.GetReason().String()) == "VALUES_REVISED" })
	})
	if !told && r.err == nil {
		r.failf("no run says that old days were rewritten")
	}
	r.free()
}

// recheck sets how many old days each evening checks again, so that a drill covers the whole window.
func (r *harness) recheck(days int32) {
	if r.err != nil {
		return
	}
	_, err := orchestratorv1.NewSettingsServiceClient(r.stack.Conn).UpdateSettings(r.ctx, &orchestratorv1.UpdateSettingsRequest{RecheckDays: &days})
	r.must(err)
}

// each calls f with every run of the ledger.
func (r *harness) each(f func(run *orchestratorv1.Run)) {
	if r.err != nil {
		return
	}
	for token := ""; ; {
		answer, err := r.runs().ListRuns(r.ctx, &orchestratorv1.ListRunsRequest{PageSize: 200, PageToken: token})
		if r.must(err); err != nil {
			return
		}
		for _, run := range answer.GetRuns() {
			f(run)
		}
		if token = answer.GetNextPageToken(); token == "" {
			return
		}
	}
}

func rekeyed(r *harness) {
	beijing, err := r.provider.Rows("stock_basic", map[string]string{"list_status": "L", "exchange": "BSE"}, "ts_code")
	r.must(err)
	if r.err != nil {
		return
	}
	var old string
	for _, row := range beijing.Rows {
		old, _ = row[0].(string)
	}
	if old == "" {
		r.must(errors.New("the market has no stock of Beijing"))
		return
	}
	r.watch = append(r.watch, old)
	r.must(r.clock.Set(evening(12, 0, 0)))
	r.scheduled()
	next := renewed(old)
	r.must(r.provider.Rekey(map[string]string{old: next}))
	r.pass(evening(12, 0, 0).AddDate(0, 0, 2), nil)
	r.watch[len(r.watch)-1] = next // the drill has read it
	r.setUp()
	r.pass(evening(12, 0, 0).AddDate(0, 0, 7), nil)
	told := map[marketv1.Pool]bool{}
	r.each(func(run *orchestratorv1.Run) {
		told[run.GetPool()] = told[run.GetPool()] || slices.ContainsFunc(run.GetIssues(), func(i *issue) bool { return reasonName(i.GetReason().String()) == "SYMBOL_RENAMED" })
	})
	if r.err == nil && !told[inUniverse] {
		r.failf("no run of universe says that %s is now %s", old, next)
	}
	r.free()
	r.check = func(report truth.Report) {
		stays := map[string]bool{} // by dataset and day
		for _, d := range report.Differences {
			if d.Pool == "targets" && d.What == "alien" && d.Key == old {
				stays[d.Dataset+d.Day] = true
			}
		}
		for _, d := range report.Differences {
			switch {
			case d.Pool == "targets" && d.What == "alien" && d.Key == old:
			case d.Pool == "targets" && d.What == "lost" && d.Key == next && stays[d.Dataset+d.Day]: // before the window, when the list had the new code
			default:
				r.failf("%s", d)
			}
		}
		if report.Rows == 0 {
			r.failf("nothing was compared")
		}
	}
}

// renewed returns another code of Beijing for a stock.
func renewed(old string) string { return "9299" + old[4:] }

func clockAhead(r *harness) {
	r.start("")
	r.both()
	const ahead = 400 * 24 * time.Hour
	r.must(r.clock.Jump(ahead))
	r.provider.SetClockOffset(-ahead) // the provider's clock is right
	r.tonight()
	r.settled(time.Minute)
	r.must(r.clock.Jump(-ahead))
	r.provider.SetClockOffset(0)
	r.moveTo(evening(19, 31, 0).AddDate(0, 0, 1))
	lists := r.provider.Stats().ByAPI["stock_basic"]
	told := 0
	for range 2 {
		for _, run := range r.tonight() {
			for _, i := range run.GetIssues() {
				if reasonName(i.GetReason().String()) == "CLOCK_WRONG" {
					told++
				}
			}
		}
	}
	if r.err == nil && told == 0 {
		r.failf("no run says that the clock was wrong")
	}
	if n := r.provider.Stats().ByAPI["stock_basic"]; n == lists && r.err == nil {
		r.failf("the lists were not fetched again")
	}
	for _, p := range bothPools() {
		for _, q := range r.pool(p).GetQueuedRuns() {
			if at := q.GetNotBeforeTime().AsTime(); at.After(r.clock.Now().Add(10 * 24 * time.Hour)) {
				r.failf("a follow-up of %s stays queued for %s", poolName(p), at.Format("2006-01-02"))
			}
		}
	}
	r.free()
}

func limitLifted(r *harness) {
	r.start("")
	r.must(r.provider.SetLimits(tusharesim.Limit{API: "daily", N: 8, Per: tusharesim.PerDay, Text: tusharesim.TextNew}))
	r.tonight()
	r.must(r.provider.SetLimits())
	r.moveTo(evening(19, 31, 0).AddDate(0, 0, 1))
	r.settled(3 * time.Minute)
	runs := r.tonight()
	for _, p := range bothPools() {
		if run := runs[p]; r.err == nil && run.GetOutcome() != succeeded && run.GetOutcome() != unchanged {
			r.failf("%s ended %s on the evening after: %s", poolName(p), outcomeName(run.GetOutcome()), worst(run))
		}
	}
	r.free()
}
