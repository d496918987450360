package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/truth"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// compact is the drills' day in the provider's format.
const compact = "20260318"

const (
	complete    = marketv1.Verdict_VERDICT_COMPLETE
	incomplete  = marketv1.Verdict_VERDICT_INCOMPLETE
	emptyDay    = marketv1.Verdict_VERDICT_EMPTY
	notThereYet = marketv1.Verdict_VERDICT_NOT_PUBLISHED
)

// wrong is a drill in which the provider returns wrong data for the newest day to a pair that has
// all earlier days.
type wrong struct {
	name, fault string
	// answers are the provider's faults. A fault without a date affects the newest day. A fault that
	// needs codes or a share and has none affects one stock of the target list.
	answers []tusharesim.Fault
	// dataset is the one that universe must not accept, and reason the expected reason; reasons are
	// further accepted ones.
	dataset string
	reasons []string
	// targets is true if symbols of the target list are affected, so that targets must not accept
	// the day either.
	targets bool
	// told is true if too few rows are affected to reject the day: it is complete with the reason
	// as a warning, and the next evening corrects it.
	told bool
}

func wrongAnswers() []drill {
	const (
		stale = tusharesim.Stale
		scale = tusharesim.ScaleColumn
		null  = tusharesim.NullColumn
	)
	var all []drill
	for _, w := range []wrong{
		{name: "stale-day", fault: "yesterday's rows of all four datasets under today's date", dataset: "daily", reasons: []string{"VALUES_REPEATED"}, targets: true,
			answers: []tusharesim.Fault{{Kind: stale, API: "daily"}, {Kind: stale, API: "daily_basic"}, {Kind: stale, API: "moneyflow"}, {Kind: stale, API: "fund_daily"}}},
		{name: "stale-share", fault: "yesterday's values in 30 % of the rows of moneyflow", dataset: "moneyflow", reasons: []string{"VALUES_REPEATED"},
			answers: []tusharesim.Fault{{Kind: stale, API: "moneyflow", Share: 0.3}}},
		{name: "stale-columns", fault: "close, total_mv and circ_mv of daily_basic are yesterday's", dataset: "daily_basic", reasons: []string{"VALUES_REPEATED"}, targets: true,
			answers: []tusharesim.Fault{{Kind: stale, API: "daily_basic", Columns: []string{"close", "total_mv", "circ_mv"}}}},
		{name: "null-column", fault: "pb of daily_basic is null in all rows", dataset: "daily_basic", reasons: []string{"VALUES_MISSING"}, targets: true,
			answers: []tusharesim.Fault{{Kind: null, API: "daily_basic", Column: "pb"}}},
		{name: "null-probed-column", fault: "close of daily, which the probe wants, is null in all rows", dataset: "daily", reasons: []string{"VALUES_MISSING", "INCOMPLETE", "EMPTY_ANSWER", "NOT_PUBLISHED"}, targets: true,
			answers: []tusharesim.Fault{{Kind: null, API: "daily", Column: "close"}}},
		{name: "null-flow", fault: "every value of moneyflow is null", dataset: "moneyflow", reasons: []string{"VALUES_MISSING", "INCOMPLETE", "EMPTY_ANSWER", "NOT_PUBLISHED"}, targets: true,
			answers: []tusharesim.Fault{{Kind: null, API: "moneyflow", Columns: []string{tusharesim.EveryColumn}}}},
		{name: "unit-volume", fault: "vol of daily times 100", dataset: "daily", reasons: []string{"UNIT_SUSPECT"}, targets: true,
			answers: []tusharesim.Fault{{Kind: scale, API: "daily", Column: "vol", Factor: 100}}},
		{name: "unit-amount", fault: "amount of fund_daily times 0.001", dataset: "fund_daily", reasons: []string{"UNIT_SUSPECT"}, targets: true,
			answers: []tusharesim.Fault{{Kind: scale, API: "fund_daily", Column: "amount", Factor: 0.001}}},
		{name: "unit-one-stock", fault: "vol of one stock times 100", dataset: "daily", reasons: []string{"ROWS_INCONSISTENT", "UNIT_SUSPECT"}, told: true,
			answers: []tusharesim.Fault{{Kind: scale, API: "daily", Column: "vol", Factor: 100, N: 1}}},
		{name: "symbol-missing", fault: "a followed stock is missing in daily", dataset: "daily", reasons: []string{"SYMBOLS_MISSING"}, targets: true,
			answers: []tusharesim.Fault{{Kind: tusharesim.DropRows, API: "daily"}}},
		{name: "symbol-missing-basic", fault: "a followed stock is missing in daily_basic", dataset: "daily_basic", reasons: []string{"SYMBOLS_MISSING"}, targets: true,
			answers: []tusharesim.Fault{{Kind: tusharesim.DropRows, API: "daily_basic"}}},
		{name: "symbol-mangled", fault: "a followed stock of daily comes under a code with a digit in front", dataset: "daily", reasons: []string{"SYMBOLS_MISSING"}, targets: true,
			answers: []tusharesim.Fault{{Kind: tusharesim.MangledCode, API: "daily"}}},
		{name: "rows-missing", fault: "6 % of the rows of daily are missing", dataset: "daily", reasons: []string{"INCOMPLETE", "SYMBOLS_MISSING"},
			answers: []tusharesim.Fault{{Kind: tusharesim.DropRows, API: "daily", Share: 0.06}}},
	} {
		expect := "universe holds " + w.dataset + " back with " + strings.Join(w.reasons, " or ") + "; the follow-up heals it"
		if w.told {
			expect = w.dataset + " is complete with the warning " + strings.Join(w.reasons, " or ") + "; the next evening heals it"
		}
		all = append(all, drill{name: w.name, fault: w.fault, expect: expect, do: w.do})
	}
	return all
}

func (w wrong) do(r *harness) {
	r.dayBefore()
	followed := r.traded(1)
	var answers []tusharesim.Fault
	for _, f := range w.answers {
		if f.TradeDate == "" {
			f.TradeDate = compact
		}
		if (f.Kind == tusharesim.DropRows || f.Kind == tusharesim.MangledCode) && f.Share == 0 {
			f.Codes = followed
		}
		answers = append(answers, f)
	}
	mend := r.errs(answers...)
	runs := r.tonight()
	if w.told {
		r.wantTold(inUniverse, w.dataset, today, complete, w.reasons...)
	} else {
		r.wantReason(runs[inUniverse], partial, w.reasons...)
		r.wantTold(inUniverse, w.dataset, today, incomplete, w.reasons...)
	}
	if w.targets {
		r.held(runs[inTargets], w.dataset)
	}
	mend()
	r.free()
	r.heal()
	if w.told {
		r.nextEvening()
	}
}

// errs enables faults of the provider, and returns a function that disables them.
func (r *harness) errs(faults ...tusharesim.Fault) (mend func()) {
	var ids []int
	for _, f := range faults {
		if r.err != nil {
			break
		}
		id, err := r.provider.AddFault(f)
		r.must(err)
		ids = append(ids, id)
	}
	return func() {
		for _, id := range ids {
			r.provider.RemoveFault(id)
		}
	}
}

// dayBefore starts the pair on the evening before the drills' day, fills it, and sets the clock to
// just after the slot of the drills' day.
func (r *harness) dayBefore() {
	r.must(r.clock.Set(evening(19, 5, 0).AddDate(0, 0, -1)))
	r.start("")
	r.both()
	r.moveTo(evening(19, 31, 0))
}

// nextEvening runs both pools on the open day after the drills' day.
func (r *harness) nextEvening() {
	r.moveTo(evening(19, 31, 0).AddDate(0, 0, 1))
	r.tonight()
}

// tonight runs both pools and waits until the runs end.
func (r *harness) tonight() map[marketv1.Pool]*orchestratorv1.Run {
	out := map[marketv1.Pool]*orchestratorv1.Run{}
	for _, id := range r.create() {
		if run := r.ended(id); run != nil {
			out[run.GetPool()] = run
		}
	}
	return out
}

// traded returns stocks of the target list, of Shanghai or Shenzhen, that trade on the drills' day
// and on the previous one.
func (r *harness) traded(n int) []string {
	var out []string
	for _, s := range r.watch {
		if truth.IsETF(s) || strings.HasSuffix(s, ".BJ") || len(out) == n {
			continue
		}
		rows, err := r.provider.Rows("daily", map[string]string{"ts_code": s, "start_date": "20260317", "end_date": compact}, "trade_date")
		r.must(err)
		if err == nil && len(rows.Rows) == 2 {
			out = append(out, s)
		}
	}
	if len(out) < n && r.err == nil {
		r.must(fmt.Errorf("of the followed stocks only %v trade on both days", out))
	}
	return out
}

// coverage returns a pool's coverage of a dataset and day.
func (r *harness) coverage(p marketv1.Pool, dataset, day string) *marketv1.Coverage {
	for _, c := range r.coverages(p, day, day) {
		if c.GetDatasetId() == dataset && c.GetTradeDate() == day {
			return c
		}
	}
	return nil
}

func (r *harness) coverages(p marketv1.Pool, start, end string) []*marketv1.Coverage {
	if r.err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	answer, err := r.pools().ListCoverage(ctx, &orchestratorv1.ListCoverageRequest{Pool: poolName(p), StartDate: start, EndDate: end})
	r.must(err)
	return answer.GetCoverages()
}

// wantTold checks that the coverage of a day has the verdict and one of the reasons.
func (r *harness) wantTold(p marketv1.Pool, dataset, day string, verdict marketv1.Verdict, reasons ...string) {
	c := r.coverage(p, dataset, day)
	if r.err != nil {
		return
	}
	var told []string
	for _, i := range c.GetIssues() {
		told = append(told, reasonName(i.GetReason().String()))
	}
	if c.GetVerdict() != verdict {
		r.failf("%s %s %s is %s %v, expected %s", poolName(p), dataset, day, verdictName(c.GetVerdict()), told, verdictName(verdict))
		return
	}
	if len(reasons) > 0 && !slices.ContainsFunc(told, func(s string) bool { return slices.Contains(reasons, s) }) {
		r.failf("%s %s %s tells %v, expected %s", poolName(p), dataset, day, told, strings.Join(reasons, " or "))
	}
}

// held checks that a run did not accept a wrong day: it ends partial with a reason, and the day is
// not complete in the coverage.
func (r *harness) held(run *orchestratorv1.Run, dataset string) {
	c := r.coverage(run.GetPool(), dataset, today)
	if r.err != nil {
		return
	}
	if run.GetOutcome() == succeeded || run.GetOutcome() == unchanged {
		r.failf("%s %s although %s is wrong: %s", poolName(run.GetPool()), outcomeName(run.GetOutcome()), dataset, worst(run))
	}
	switch c.GetVerdict() {
	case incomplete, emptyDay, notThereYet:
	default:
		r.failf("%s %s %s is %s although it is wrong", poolName(run.GetPool()), dataset, today, verdictName(c.GetVerdict()))
	}
}

func verdictName(v marketv1.Verdict) string {
	return strings.ToLower(strings.TrimPrefix(v.String(), "VERDICT_"))
}
