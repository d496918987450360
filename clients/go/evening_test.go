package afterbell

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// domains are a module with a dataset due at 17:00, one due at 19:00, and one that is
// switched off.
func domains() []*orchestratorv1.DomainSetting {
	module := func(id, dataset, due string, on bool) *orchestratorv1.ModuleSetting {
		return &orchestratorv1.ModuleSetting{Enabled: on, Module: &marketv1.Module{
			ModuleId: id, SyncCapable: true, Pools: []marketv1.Pool{marketv1.Pool_POOL_UNIVERSE},
			Datasets: []*marketv1.Dataset{{DatasetId: dataset, DueTime: due, Snapshot: due == ""}},
		}}
	}
	return []*orchestratorv1.DomainSetting{
		{Enabled: true, Modules: []*orchestratorv1.ModuleSetting{
			module("stock.market.daily", "daily", "17:00", true), module("stock.moneyflow", "moneyflow", "19:00", true),
		}},
		{Enabled: false, Modules: []*orchestratorv1.ModuleSetting{module("etf.daily_quote", "fund_daily", "18:00", true)}},
	}
}

const (
	complete = marketv1.Verdict_VERDICT_COMPLETE
	missing  = marketv1.Verdict_VERDICT_MISSING
	short    = marketv1.Verdict_VERDICT_ACCEPTED_SHORT
)

func day(date string, daily, moneyflow marketv1.Verdict) (rows []*marketv1.Coverage) {
	if daily != 0 {
		rows = append(rows, &marketv1.Coverage{DatasetId: "daily", TradeDate: date, Verdict: daily, FetchedAgain: !Settled(daily, false)})
	}
	if moneyflow != 0 {
		rows = append(rows, &marketv1.Coverage{DatasetId: "moneyflow", ModuleId: "stock.moneyflow", TradeDate: date, Verdict: moneyflow, FetchedAgain: !Settled(moneyflow, false)})
	}
	return append(rows, &marketv1.Coverage{DatasetId: "fund_daily", TradeDate: date, Verdict: missing}) // switched off
}

// reachless are coverages before the pool's window.
func reachless(rows []*marketv1.Coverage) (out []*marketv1.Coverage) {
	for _, v := range rows {
		out = append(out, &marketv1.Coverage{DatasetId: v.GetDatasetId(), ModuleId: v.GetModuleId(), TradeDate: v.GetTradeDate(), Verdict: v.GetVerdict()})
	}
	return out
}

// 2026-11-26 is a Thursday, the 28th a Saturday.
func TestJudge(t *testing.T) {
	const thursday, friday, saturday = "2026-11-26", "2026-11-27", "2026-11-28"
	whole := slices.Concat(day(thursday, complete, complete), day(friday, complete, complete))
	lacking := slices.Concat(day(thursday, complete, complete), day(friday, complete, missing))
	blocked := &orchestratorv1.PoolStatus{LastRun: &orchestratorv1.Run{
		Outcome: orchestratorv1.Run_OUTCOME_BLOCKED, Issues: []*faultv1.Issue{{Reason: faultv1.Reason_REASON_TOKEN_INVALID}},
	}}
	followUp := &orchestratorv1.PoolStatus{QueuedRuns: []*orchestratorv1.Run{{
		RunId: "f", State: orchestratorv1.Run_STATE_QUEUED, NotBeforeTime: timestamppb.New(at(friday, "20:15", Shanghai)),
	}}}
	running := &orchestratorv1.PoolStatus{CurrentRun: &orchestratorv1.Run{State: orchestratorv1.Run_STATE_RUNNING}, LastRun: blocked.GetLastRun()}
	for _, c := range []struct {
		name        string
		now, clock  string
		date, from  string
		strict, off bool
		coverage    []*marketv1.Coverage
		pool        *orchestratorv1.PoolStatus
		slot        string // date of the next slot
		want        Verdict
		wantDate    string
		wantClosed  string
		wantNext    string
		wantLack    int
	}{
		{name: "the evening after", now: friday, clock: "21:00", coverage: whole, want: Whole, wantDate: friday},
		{name: "one dataset lacks", now: friday, clock: "21:00", coverage: lacking, want: NotWhole, wantDate: friday, wantLack: 1},
		{name: "at noon it is still about yesterday", now: friday, clock: "12:00", coverage: day(thursday, complete, complete), want: Whole, wantDate: thursday},
		{name: "today at noon", now: friday, clock: "12:00", date: friday, coverage: day(thursday, complete, complete), want: NotDue, wantDate: friday},
		{name: "today, part of it due", now: friday, clock: "18:00", date: friday, coverage: slices.Concat(day(thursday, complete, complete), day(friday, missing, 0)), want: NotDue, wantDate: friday, wantLack: 1},
		{name: "all due and the run to come", now: friday, clock: "19:10", date: friday, coverage: lacking, want: NotDue, wantDate: friday, wantLack: 1},
		{name: "all due and the schedule off", now: friday, clock: "19:10", date: friday, off: true, coverage: lacking, want: NotWhole, wantDate: friday, wantLack: 1},
		{name: "whole before the evening", now: friday, clock: "19:10", date: friday, coverage: whole, want: Whole, wantDate: friday},
		{name: "a Saturday is judged by the Friday", now: saturday, clock: "12:00", date: saturday, coverage: whole, want: Whole, wantDate: friday, wantClosed: saturday},
		{name: "a Saturday without a date", now: saturday, clock: "12:00", coverage: lacking, want: NotWhole, wantDate: friday, wantLack: 1},
		{name: "tomorrow", now: friday, clock: "21:00", date: "2026-11-30", slot: "2026-11-30", coverage: whole, want: NotDue, wantDate: "2026-11-30", wantNext: "19:30"},
		{name: "tomorrow without a schedule", now: friday, clock: "21:00", date: "2026-11-30", off: true, coverage: whole, want: NotDue, wantDate: "2026-11-30"},
		{name: "blocked", now: friday, clock: "21:00", coverage: lacking, pool: blocked, want: Blocked, wantDate: friday, wantLack: 1},
		{name: "blocked and yet whole", now: friday, clock: "21:00", coverage: whole, pool: blocked, want: Whole, wantDate: friday},
		{name: "under way after a block", now: friday, clock: "21:00", coverage: lacking, pool: running, want: NotWhole, wantDate: friday, wantLack: 1},
		{name: "a follow-up waits", now: friday, clock: "20:00", coverage: lacking, pool: followUp, want: NotWhole, wantDate: friday, wantLack: 1, wantNext: "20:15"},
		{name: "accepted short", now: friday, clock: "21:00", coverage: day(friday, complete, short), want: Whole, wantDate: friday},
		{name: "accepted short is not complete", now: friday, clock: "21:00", strict: true, coverage: day(friday, complete, short), want: NotWhole, wantDate: friday, wantLack: 1},
		{name: "an old hole does not count", now: friday, clock: "21:00", coverage: slices.Concat(day(thursday, missing, complete), day(friday, complete, complete)), want: Whole, wantDate: friday},
		{name: "an old hole counts from there", now: friday, clock: "21:00", from: thursday, coverage: slices.Concat(day(thursday, missing, complete), day(friday, complete, complete)), want: NotWhole, wantDate: friday, wantLack: 1},
		{name: "an old hole is not excused by an evening to come", now: friday, clock: "12:00", date: friday, from: thursday, coverage: day(thursday, missing, complete), want: NotWhole, wantDate: friday, wantLack: 1},
		{name: "nothing is known of the date", now: friday, clock: "21:00", date: "1999-01-04", want: NotWhole, wantDate: "1999-01-04"},
		{name: "a follow-up does not reach before the window", now: friday, clock: "20:00", coverage: reachless(lacking), pool: followUp, want: NotWhole, wantDate: friday, wantLack: 1},
		{name: "a Saturday ahead", now: friday, clock: "20:00", date: saturday, coverage: whole, pool: followUp, want: NotDue, wantDate: saturday},
		{name: "a year ahead", now: friday, clock: "20:00", date: "2027-11-26", slot: "2026-11-30", coverage: whole, pool: followUp, want: NotDue, wantDate: "2027-11-26", wantNext: "19:30"},
		{name: "ahead, and no slot is to come", now: friday, clock: "20:00", date: "2026-11-30", coverage: whole, want: NotDue, wantDate: "2026-11-30"},
		{name: "a holiday ahead", now: friday, clock: "20:00", date: "2026-11-30", slot: "2026-12-07", coverage: whole, want: NotDue, wantDate: "2026-11-30"},
		{name: "a holiday in the morning", now: friday, clock: "09:00", date: friday, slot: "2026-12-07", coverage: day(thursday, complete, complete), want: Whole, wantDate: thursday, wantClosed: friday},
		{name: "a pool that the schedule does not run", now: friday, clock: "20:00", coverage: lacking, pool: &orchestratorv1.PoolStatus{}, slot: "targets", want: NotWhole, wantDate: friday, wantLack: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts{
				now: at(c.now, c.clock, Shanghai), today: c.now, domains: domains(), coverages: c.coverage, pool: c.pool,
				req:      EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE, Date: c.date, From: c.from, Strict: c.strict},
				schedule: &orchestratorv1.Schedule{Enabled: !c.off, RunAt: "19:30", TimeZone: "Asia/Shanghai", TradingDaysOnly: true},
			}
			switch c.slot {
			case "":
			case "targets":
				f.schedule.NextTime, f.schedule.Pools = timestamppb.New(f.now.Add(time.Hour)), []marketv1.Pool{marketv1.Pool_POOL_TARGETS}
			default:
				f.schedule.NextTime = timestamppb.New(at(c.slot, "19:30", Shanghai))
			}
			e := f.judge()
			if e.Verdict != c.want || e.Date != c.wantDate || e.ClosedDate != c.wantClosed || len(e.Lacking) != c.wantLack {
				t.Errorf("%s of %q (closed %q), %d lacking; want %s of %q (closed %q), %d lacking",
					e.Verdict, e.Date, e.ClosedDate, len(e.Lacking), c.want, c.wantDate, c.wantClosed, c.wantLack)
			}
			next := ""
			if !e.NextTime.IsZero() {
				next = e.NextTime.In(Shanghai).Format("15:04")
			}
			if next != c.wantNext {
				t.Errorf("asked for next at %q, want %q", next, c.wantNext)
			}
			if !slices.Equal(e.DisabledModuleIDs, []string{"etf.daily_quote"}) {
				t.Errorf("switched off: %v", e.DisabledModuleIDs)
			}
		})
	}
}

// A holiday is known by its slot before anything of the day is due.
func TestHolidayIsJudgedByTheDayBefore(t *testing.T) {
	f := facts{
		now: at("2026-10-01", "09:00", Shanghai), today: "2026-10-01", domains: domains(),
		coverages: day("2026-09-30", complete, complete), req: EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE, Date: "2026-10-01"},
		schedule: &orchestratorv1.Schedule{Enabled: true, RunAt: "19:30", TimeZone: "Asia/Shanghai"},
		slots: []*orchestratorv1.Slot{{Date: "2026-10-01", DueTime: timestamppb.New(at("2026-10-01", "19:30", Shanghai)),
			Issues: []*faultv1.Issue{{Reason: faultv1.Reason_REASON_NOT_TRADING_DAY}}}},
	}
	if e := f.judge(); e.Verdict != Whole || e.Date != "2026-09-30" || e.ClosedDate != "2026-10-01" {
		t.Errorf("%s of %q, closed %q", e.Verdict, e.Date, e.ClosedDate)
	}
}

// With a schedule in the morning the evening has come when the next slot has.
func TestMorningSchedule(t *testing.T) {
	slot := &orchestratorv1.Slot{Date: "2026-11-27", DueTime: timestamppb.New(at("2026-11-27", "08:00", Shanghai))}
	f := facts{
		today: "2026-11-27", domains: domains(), coverages: day("2026-11-26", missing, missing), slots: []*orchestratorv1.Slot{slot},
		req:      EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE, Date: "2026-11-26"},
		schedule: &orchestratorv1.Schedule{Enabled: true, RunAt: "08:00", TimeZone: "Asia/Shanghai"},
	}
	for now, want := range map[time.Time]Verdict{
		at("2026-11-27", "07:00", Shanghai): NotDue, at("2026-11-27", "09:00", Shanghai): NotWhole,
	} {
		f.now = now
		if e := f.judge(); e.Verdict != want {
			t.Errorf("at %s: %s, want %s", now, e.Verdict, want)
		}
	}
}

func TestTargetsWithoutSymbols(t *testing.T) {
	f := facts{
		now: at("2026-11-27", "21:00", Shanghai), today: "2026-11-27", domains: domains(), emptyTargets: true,
		req: EveningRequest{Pool: marketv1.Pool_POOL_TARGETS},
	}
	if e := f.judge(); e.Verdict != Empty {
		t.Errorf("%s, want %s", e.Verdict, Empty)
	}
}

// Both the last run's issues and the current readiness explain why data is missing. Only the
// readiness says whether the next run is blocked.
func TestWhyNotWhole(t *testing.T) {
	denied := &faultv1.Issue{Reason: faultv1.Reason_REASON_PERMISSION_DENIED, Severity: faultv1.Severity_SEVERITY_BLOCKING, ModuleId: "stock.moneyflow"}
	other := &faultv1.Issue{Reason: faultv1.Reason_REASON_PROVIDER_UNAVAILABLE, Severity: faultv1.Severity_SEVERITY_BLOCKING, ModuleId: "etf.daily_quote"}
	token := &faultv1.Issue{Reason: faultv1.Reason_REASON_TOKEN_INVALID, Severity: faultv1.Severity_SEVERITY_BLOCKING}
	rejected := &faultv1.Issue{Reason: faultv1.Reason_REASON_TOKEN_INVALID, Severity: faultv1.Severity_SEVERITY_BLOCKING, ModuleId: "stock.moneyflow"}
	stale := &faultv1.Issue{Reason: faultv1.Reason_REASON_MODULE_TEST_STALE, Severity: faultv1.Severity_SEVERITY_WARNING, ModuleId: "stock.moneyflow"}
	full := &faultv1.Issue{Reason: faultv1.Reason_REASON_DISK_FULL, Severity: faultv1.Severity_SEVERITY_BLOCKING}
	locked := &faultv1.Issue{Reason: faultv1.Reason_REASON_ANALYSIS_DB_LOCKED, Severity: faultv1.Severity_SEVERITY_RETRY}
	calendar := &faultv1.Issue{Reason: faultv1.Reason_REASON_CALENDAR_UNAVAILABLE, Severity: faultv1.Severity_SEVERITY_RETRY}
	unpublished := &faultv1.Issue{Reason: faultv1.Reason_REASON_PUBLICATION_FAILED, Severity: faultv1.Severity_SEVERITY_WARNING}
	fileCheck := func(issue *faultv1.Issue) *orchestratorv1.Run {
		return &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_BLOCKED, BlockedStage: orchestratorv1.Run_BLOCKED_STAGE_ANALYSIS_INIT, Issues: []*faultv1.Issue{issue}}
	}
	for _, c := range []struct {
		name     string
		last     *orchestratorv1.Run
		decision orchestratorv1.PoolVerdict_Decision
		want     Verdict
		reasons  []faultv1.Reason
		now      []*faultv1.Issue
	}{
		{"a module is denied", &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_PARTIAL, Issues: []*faultv1.Issue{denied, other}},
			orchestratorv1.PoolVerdict_DECISION_DEGRADED, NotWhole, []faultv1.Reason{denied.GetReason()}, nil},
		{"the token was mended", &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_BLOCKED, Issues: []*faultv1.Issue{token}},
			orchestratorv1.PoolVerdict_DECISION_READY, NotWhole, nil, nil},
		{"another token was stored", &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_BLOCKED, BlockedStage: orchestratorv1.Run_BLOCKED_STAGE_READINESS, Issues: []*faultv1.Issue{rejected}},
			orchestratorv1.PoolVerdict_DECISION_READY, NotWhole, []faultv1.Reason{stale.GetReason()}, []*faultv1.Issue{stale}},
		{"the module was denied, and now the token is wrong", &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_BLOCKED, BlockedStage: orchestratorv1.Run_BLOCKED_STAGE_READINESS, Issues: []*faultv1.Issue{denied}},
			orchestratorv1.PoolVerdict_DECISION_BLOCKED, Blocked, []faultv1.Reason{token.GetReason()}, []*faultv1.Issue{token}},
		{"the provider is away", &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_BLOCKED, Issues: []*faultv1.Issue{denied}},
			orchestratorv1.PoolVerdict_DECISION_RETRY, NotWhole, []faultv1.Reason{denied.GetReason()}, nil},
		{"the token is wrong", &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_BLOCKED, Issues: []*faultv1.Issue{token}},
			orchestratorv1.PoolVerdict_DECISION_BLOCKED, Blocked, []faultv1.Reason{token.GetReason()}, nil},
		{"the disk is full", fileCheck(full), orchestratorv1.PoolVerdict_DECISION_READY, Blocked, []faultv1.Reason{full.GetReason()}, nil},
		{"the disk is full, and a probe is old", fileCheck(full), orchestratorv1.PoolVerdict_DECISION_READY, Blocked,
			[]faultv1.Reason{full.GetReason(), stale.GetReason()}, []*faultv1.Issue{stale}},
		{"the file is locked, and the run is retried", fileCheck(locked), orchestratorv1.PoolVerdict_DECISION_READY, NotWhole,
			[]faultv1.Reason{locked.GetReason()}, nil},
		{"there is no calendar", &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_FAILED, Issues: []*faultv1.Issue{calendar, unpublished}},
			orchestratorv1.PoolVerdict_DECISION_READY, NotWhole, []faultv1.Reason{calendar.GetReason()}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts{
				now: at("2026-11-27", "21:00", Shanghai), today: "2026-11-27", domains: domains(),
				coverages: day("2026-11-27", complete, missing), pool: &orchestratorv1.PoolStatus{LastRun: c.last},
				req: EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE}, readiness: &orchestratorv1.PoolVerdict{Decision: c.decision, Issues: c.now},
				schedule: &orchestratorv1.Schedule{Enabled: true, RunAt: "19:30", TimeZone: "Asia/Shanghai"},
			}
			e := f.judge()
			var reasons []faultv1.Reason
			for _, i := range e.Issues {
				reasons = append(reasons, i.GetReason())
			}
			if e.Verdict != c.want || !slices.Equal(reasons, c.reasons) {
				t.Errorf("%s because of %v, want %s because of %v", e.Verdict, reasons, c.want, c.reasons)
			}
		})
	}
}
