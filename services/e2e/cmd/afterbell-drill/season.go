package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/truth"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// length is the length of a season.
type length struct {
	// evenings is the number of evenings with an error of the provider.
	evenings int
	// calm is the number of evenings without a new error at the end, so that incomplete data is
	// accepted after three days and all old days are checked again.
	calm int
	// window of the pools in calendar days.
	window int
}

// seasonStart is noon of the first day of a season: three weeks before National Day.
var seasonStart = time.Date(2026, 9, 10, 12, 0, 0, 0, tusharesim.Beijing)

// season is a number of consecutive evenings, with nights, weekends and holidays. On each evening the
// provider makes one error, chosen by the seed. Some are corrected the same evening, some after days,
// and some never.
type season struct {
	*harness
	length
	random *rand.Rand
	kinds  []*kind
	active []*trouble
	counts map[string]int // number of errors by kind
	never  int            // number of errors that are never corrected
	// stocks and funds of the market, and the stocks of Beijing that still have their first code.
	stocks, funds, beijing []string
	log                    []string
}

// kind is a kind of error.
type kind struct {
	name string
	// begin makes the provider err, and returns a function that corrects the error; nil if the error
	// ends by itself, or if the provider keeps the data.
	begin func(s *season) (what string, mend func())
	// passes is true if the error never lasts forever.
	passes bool
}

// trouble is an error in effect, until a time or forever.
type trouble struct {
	until time.Time
	mend  func()
}

func seasonDrill(name string, l length, seed uint64) drill {
	return drill{
		name: name, fault: fmt.Sprintf("%d evenings with a random error of the provider each, nights, weekends and a holiday week, seed %d", l.evenings, seed),
		expect: "the stores hold what the provider has, or an issue names what differs",
		do:     func(r *harness) { newSeason(r, l, seed).run() },
	}
}

// eight is a season that is short enough for the tests.
func eight(seed uint64) drill {
	return seasonDrill("eight", length{evenings: 8, calm: 5, window: 14}, seed)
}

func newSeason(r *harness, l length, seed uint64) *season {
	return &season{harness: r, length: l, random: rand.New(rand.NewPCG(seed, 0x5ea5)), kinds: seasonKinds(), counts: map[string]int{}}
}

func (s *season) run() {
	s.must(s.clock.Set(seasonStart))
	s.reach(s.length.window)
	s.listed()
	s.scheduled()
	s.recheck(10)
	s.check = s.named()
	for left := s.evenings + s.calm; left > 0 && s.err == nil; {
		day := s.clock.Now().In(tusharesim.Beijing)
		open := len(s.provider.OpenDates(day.Format("20060102"), day.Format("20060102"))) > 0
		at := func(hour int) time.Time {
			return time.Date(day.Year(), day.Month(), day.Day(), hour, 0, 0, 0, tusharesim.Beijing)
		}
		if open {
			s.pass(at(15), s.mends)
			if left > s.calm {
				s.erring()
			}
			left--
		}
		s.pass(at(36), s.mends) // noon of the next day
	}
	if s.err != nil {
		return
	}
	s.tell("%d evenings, %d kinds of errors, %d never mended", s.evenings, len(s.counts), s.never)
	s.reports()
}

// listed reads the instrument lists.
func (s *season) listed() {
	for _, l := range []struct {
		api, parameter string
		into           *[]string
	}{{"stock_basic", "list_status", &s.stocks}, {"fund_basic", "status", &s.funds}} {
		table, err := s.provider.Rows(l.api, map[string]string{l.parameter: "L"}, "ts_code", "list_date")
		if s.must(err); err != nil {
			return
		}
		for _, row := range table.Rows {
			code, _ := row[0].(string)
			since, _ := row[1].(string)
			if since > seasonStart.AddDate(0, 0, -60).Format("20060102") || l.api == "fund_basic" && !truth.IsETF(code) {
				continue
			}
			*l.into = append(*l.into, code)
			if strings.HasSuffix(code, ".BJ") && !slices.Contains(s.watch, code) {
				s.beijing = append(s.beijing, code)
			}
		}
	}
}

// erring starts an error this evening.
func (s *season) erring() {
	if s.err != nil {
		return
	}
	k := s.kinds[s.random.IntN(len(s.kinds))]
	what, mend := k.begin(s)
	s.counts[k.name]++
	t := &trouble{mend: mend}
	now := s.clock.Now().In(tusharesim.Beijing)
	evening := time.Date(now.Year(), now.Month(), now.Day(), 19, 33, 0, 0, tusharesim.Beijing)
	when := "for good"
	if mend != nil {
		switch draw := s.random.IntN(10); {
		case draw < 4 || k.passes && draw < 7:
			t.until = evening.Add(time.Duration(s.random.IntN(150)) * time.Minute)
			when = "until " + t.until.Format("15:04")
		case draw < 8 || k.passes:
			t.until = evening.AddDate(0, 0, 1+s.random.IntN(4)).Add(-time.Duration(s.random.IntN(600)) * time.Minute)
			when = "until " + t.until.Format("Mon 2 Jan 15:04")
		default:
			s.never++
			when = "never mended"
		}
		s.active = append(s.active, t)
	}
	s.log = append(s.log, fmt.Sprintf("%s %s: %s, %s", now.Format("Mon 2006-01-02"), k.name, what, when))
}

// mends ends the errors whose time has come, and returns when the next one ends.
func (s *season) mends(now time.Time) (next time.Time) {
	s.active = slices.DeleteFunc(s.active, func(t *trouble) bool {
		over := !t.until.IsZero() && !t.until.After(now)
		if over {
			t.mend()
		}
		return over
	})
	for _, t := range s.active {
		if !t.until.IsZero() && (next.IsZero() || t.until.Before(next)) {
			next = t.until
		}
	}
	return next
}

// reports reads the pair's coverage of all days.
func (s *season) reports() {
	start := seasonStart.AddDate(0, 0, 1-s.length.window).Format("2006-01-02")
	said := map[string]string{}
	note := func(pool marketv1.Pool, dataset, day, how string) {
		said[poolName(pool)+" "+dataset+" "+day] = how
	}
	s.each(func(run *orchestratorv1.Run) {
		for _, i := range run.GetIssues() {
			if m := i.GetMetadata(); m["dataset"] != "" {
				note(run.GetPool(), m["dataset"], m["trade_date"], "a run: "+i.GetMessage())
			}
		}
	})
	for _, p := range bothPools() {
		for _, c := range s.coverages(p, start, "") {
			if v := c.GetVerdict(); v != complete && v != marketv1.Verdict_VERDICT_EXPECTED_EMPTY {
				note(p, c.GetDatasetId(), c.GetTradeDate(), "coverage: "+verdictName(v))
			}
			for _, i := range c.GetIssues() {
				note(p, c.GetDatasetId(), c.GetTradeDate(), "coverage: "+i.GetMessage())
			}
		}
	}
	s.said = said
}

// named checks the differences at the end: the pair must report each of them.
func (s *season) named() func(truth.Report) {
	return func(report truth.Report) {
		silent := map[string][]truth.Difference{}
		told := map[string]string{}
		for _, d := range report.Differences {
			key := strings.TrimRight(d.Pool+" "+d.Dataset+" "+d.Day, " ")
			how, ok := s.said[key]
			switch {
			case d.What == "doubled" || d.What == "miscounted":
				s.failf("%s", d)
			case ok:
				told[key] = how
			default:
				silent[key] = append(silent[key], d)
			}
		}
		for key, of := range silent {
			s.failf("%s: %d silent differences, such as %s (%s)", key, len(of), of[0], clip(strings.Join(report.Examples, "; "), 300))
		}
		for key, how := range told {
			s.log = append(s.log, "differs and is named: "+key+": "+clip(how, 160))
		}
		if report.Rows == 0 {
			s.failf("nothing was compared")
		}
		if len(report.Differences) > 0 {
			s.tell("%d rows differ and are named, on %d days", len(report.Differences), len(told))
		}
		if len(s.failures) > 0 {
			s.failures = append(s.failures, s.log...)
		}
	}
}

// today returns the current day in the provider's format; earlier returns an open day up to n days
// before it, or that day.
func (s *season) today() string { return s.provider.Today() }

func (s *season) earlier(least, most int) string {
	open := s.provider.OpenDates(seasonStart.AddDate(0, 0, -14).Format("20060102"), s.today())
	return open[max(0, len(open)-1-least-s.random.IntN(most-least+1))]
}

// day returns today in most cases, sometimes the previous open day, and sometimes an older one.
func (s *season) day() string {
	switch draw := s.random.IntN(10); {
	case draw < 7:
		return s.today()
	case draw < 9:
		return s.earlier(1, 1)
	}
	return s.earlier(2, 10)
}

func one[T any](s *season, of ...T) T { return of[s.random.IntN(len(of))] }

// code returns a stock, half of the time one of the target list.
func (s *season) code() string {
	if s.random.IntN(2) == 0 {
		return s.watch[s.random.IntN(5)]
	}
	return one(s, s.stocks...)
}

// begin enables faults of the provider and records them.
func (s *season) begin(faults ...tusharesim.Fault) (string, func()) {
	f := faults[0]
	var parts []string
	for _, p := range []string{f.API, f.TradeDate, f.EndDate, strings.Join(f.Columns, "+"), f.Column, f.Mode, strings.Join(f.Codes, "+")} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	for _, n := range []struct {
		name  string
		value float64
	}{{"share", f.Share}, {"factor", f.Factor}, {"n", float64(f.N)}, {"code", float64(f.Code)}, {"count", float64(f.Count)}, {"probability", f.Probability}} {
		if n.value != 0 {
			parts = append(parts, fmt.Sprintf("%s %v", n.name, n.value))
		}
	}
	if len(faults) > 1 {
		parts = append(parts, fmt.Sprintf("and %d more", len(faults)-1))
	}
	return string(f.Kind) + " " + strings.Join(parts, " "), s.errs(faults...)
}

// byDate are the datasets by trade date.
func (s *season) byDate() string { return one(s, "daily", "daily_basic", "moneyflow", "fund_daily") }
func (s *season) ofStocks() string {
	return one(s, "daily", "daily_basic", "moneyflow")
}

// seasonKinds returns the kinds of errors.
func seasonKinds() []*kind {
	type fault = tusharesim.Fault
	columns := func(s *season, of map[string][]string) (string, []string) {
		api := one(s, "daily", "daily_basic", "moneyflow")
		return api, of[api]
	}
	simple := func(name string, passes bool, f func(s *season) []fault) *kind {
		return &kind{name: name, passes: passes, begin: func(s *season) (string, func()) { return s.begin(f(s)...) }}
	}
	return []*kind{
		simple("stale day", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.Stale, API: s.byDate(), TradeDate: s.day()}}
		}),
		simple("stale day, all datasets", false, func(s *season) (out []fault) {
			for _, api := range []string{"daily", "daily_basic", "moneyflow", "fund_daily"} {
				out = append(out, fault{Kind: tusharesim.Stale, API: api, TradeDate: s.today()})
			}
			return out
		}),
		simple("stale rows", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.Stale, API: s.byDate(), TradeDate: s.day(), Share: 0.2 + 0.5*s.random.Float64()}}
		}),
		simple("stale columns", false, func(s *season) []fault {
			api, cols := columns(s, map[string][]string{"daily": {"vol", "amount"}, "daily_basic": {"close", "total_mv", "circ_mv"}, "moneyflow": {"net_mf_vol", "net_mf_amount"}})
			return []fault{{Kind: tusharesim.Stale, API: api, TradeDate: s.day(), Columns: cols}}
		}),
		simple("unit", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.ScaleColumn, API: one(s, "daily", "fund_daily"), TradeDate: s.day(), Column: one(s, "vol", "amount"), Factor: one(s, 100, 0.001, 1000)}}
		}),
		simple("unit of some stocks", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.ScaleColumn, API: "daily", TradeDate: s.day(), Column: "vol", Factor: 100, Codes: []string{s.code(), s.code(), s.code()}}}
		}),
		simple("values of the row before", false, func(s *season) []fault {
			api, cols := columns(s, map[string][]string{"daily": nil, "daily_basic": {one(s, "pb", "volume_ratio", "turnover_rate_f")}, "moneyflow": {"net_mf_vol", "net_mf_amount"}})
			return []fault{{Kind: tusharesim.ShiftColumn, API: api, TradeDate: s.today(), Columns: cols}}
		}),
		simple("columns exchanged", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.SwapColumns, API: "daily_basic", TradeDate: s.today(), Columns: one(s, []string{"pe", "pe_ttm"}, []string{"ps", "ps_ttm"})}}
		}),
		simple("columns rounded", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.RoundColumn, API: "daily_basic", TradeDate: s.today(), Factor: 1, Columns: []string{"pe", "pe_ttm", "pb", "ps", "ps_ttm"}}}
		}),
		simple("no values", false, func(s *season) []fault {
			api, cols := columns(s, map[string][]string{"daily": {"amount"}, "daily_basic": {"pb"}, "moneyflow": {"net_mf_amount"}})
			if s.random.IntN(3) == 0 {
				cols = []string{tusharesim.EveryColumn}
			}
			return []fault{{Kind: tusharesim.NullColumn, API: api, TradeDate: s.day(), Columns: cols}}
		}),
		simple("a symbol missing", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.DropRows, API: s.ofStocks(), TradeDate: s.day(), Codes: []string{s.code()}}}
		}),
		simple("a symbol missing everywhere", false, func(s *season) (out []fault) {
			code, day := s.code(), s.day()
			for _, api := range []string{"daily", "daily_basic", "moneyflow"} {
				out = append(out, fault{Kind: tusharesim.DropRows, API: api, TradeDate: day, Codes: []string{code}})
			}
			return out
		}),
		simple("rows missing", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.DropRows, API: s.byDate(), TradeDate: s.day(), Share: 0.03 + 0.2*s.random.Float64()}}
		}),
		simple("a code mangled", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.MangledCode, API: s.ofStocks(), TradeDate: s.day(), Codes: []string{s.code()}}}
		}),
		simple("closed days", true, func(s *season) []fault {
			now := s.clock.Now().In(tusharesim.Beijing)
			return []fault{{Kind: tusharesim.ClosedDays, API: s.byDate(), TradeDate: now.AddDate(0, 0, -9).Format("20060102"), EndDate: now.AddDate(0, 0, 9).Format("20060102")}}
		}),
		simple("half a day", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.HalfDay, API: s.byDate(), TradeDate: s.day(), N: 30 + s.random.IntN(60)}}
		}),
		simple("empty", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.Empty, API: s.byDate(), TradeDate: s.day()}}
		}),
		simple("another date", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.OtherDate, API: s.byDate(), TradeDate: s.day()}}
		}),
		simple("rows twice", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.DuplicateRows, API: s.byDate(), TradeDate: s.day()}}
		}),
		simple("a wrong value", false, func(s *season) []fault {
			return []fault{{Kind: tusharesim.WrongValue, API: s.byDate(), TradeDate: s.day(), Mode: one(s, "negative", "text"), N: 1 + s.random.IntN(3)}}
		}),
		simple("refusals", true, func(s *season) []fault {
			code := one(s, 50101, 50101, -1000, -2001)
			text := map[int]string{50101: one(s, "查询数据失败，请确认参数！可以反馈管理员协助您排查问题", "系统内部错误 (MySQL server has gone away)"), -1000: "unknown error", -2001: "empty"}[code]
			return []fault{{Kind: tusharesim.AnyCode, API: s.byDate(), Code: code, Text: text, Count: 1 + s.random.IntN(6), Skip: s.random.IntN(3)}}
		}),
		simple("no data", true, func(s *season) []fault {
			return []fault{{Kind: tusharesim.DataNull, API: s.byDate(), Count: 1 + s.random.IntN(6)}}
		}),
		simple("bad transport", true, func(s *season) []fault {
			k := one(s, tusharesim.HTTP500, tusharesim.HTTP429, tusharesim.Reset, tusharesim.TruncatedBody, tusharesim.MalformedJSON, tusharesim.HTMLPage)
			return []fault{{Kind: k, Probability: 0.1 + 0.4*s.random.Float64(), RetryAfter: 1}} // otherwise a 429 costs a minute of real time
		}),
		simple("long lists", true, func(s *season) []fault {
			return []fault{{Kind: tusharesim.LongList, N: 3, Mode: one(s, "", tusharesim.ModeCut)}}
		}),
		{name: "late", begin: func(s *season) (string, func()) {
			api, day := s.byDate(), s.today()
			s.must(s.provider.Withhold(api, day))
			return api + " " + day + " withheld", func() { s.must(s.provider.Release(api, day)) }
		}},
		{name: "rows changed and dropped", begin: func(s *season) (string, func()) {
			r := tusharesim.Revision{API: s.byDate(), TradeDate: s.earlier(0, 8), Change: 1 + s.random.IntN(40), Drop: s.random.IntN(3)}
			_, err := s.provider.Revise(r)
			s.must(err)
			return fmt.Sprintf("%s %s, %d changed, %d dropped", r.API, r.TradeDate, r.Change, r.Drop), nil
		}},
		{name: "columns rewritten", begin: func(s *season) (string, func()) {
			r := tusharesim.Revision{API: "daily_basic", TradeDate: s.earlier(1, 8), Columns: []string{"total_share", "total_mv"}, Factor: 1.5}
			r.EndDate = r.TradeDate
			r.Codes = []string{s.code(), s.code()}
			_, err := s.provider.Revise(r)
			if err != nil { // none of the two traded that day
				return "nothing", nil
			}
			return fmt.Sprintf("total_share of %v on %s", r.Codes, r.TradeDate), nil
		}},
		{name: "a stock re-keyed", begin: func(s *season) (string, func()) {
			if len(s.beijing) == 0 {
				return "nothing", nil
			}
			old := s.beijing[0]
			s.beijing = s.beijing[1:]
			next := renewed(old)
			s.must(s.provider.Rekey(map[string]string{old: next}))
			if i := slices.Index(s.stocks, old); i >= 0 {
				s.stocks[i] = next
			}
			return old + " is " + next, nil
		}},
		{name: "suspensions", begin: func(s *season) (string, func()) {
			x := tusharesim.Suspension{TradeDate: s.today(), Share: 0.05 + 0.4*s.random.Float64()}
			x.EndDate = s.clock.Now().In(tusharesim.Beijing).AddDate(0, 0, s.random.IntN(4)).Format("20060102")
			_, err := s.provider.Suspend(x)
			s.must(err)
			return fmt.Sprintf("%.2f of the stocks to %s", x.Share, x.EndDate), nil
		}},
		{name: "a limit", passes: true, begin: func(s *season) (string, func()) {
			l := one(s, tusharesim.Limit{API: "stock_basic", N: 2, Per: tusharesim.PerHour}, tusharesim.Limit{API: "daily", N: 6, Per: tusharesim.PerDay, Text: tusharesim.TextNew},
				tusharesim.Limit{API: "moneyflow", N: 3, Per: tusharesim.PerHour, Text: tusharesim.TextNew})
			s.must(s.provider.SetLimits(l))
			return fmt.Sprintf("%s %d a %s", l.API, l.N, l.Per), func() { s.must(s.provider.SetLimits()) }
		}},
	}
}
