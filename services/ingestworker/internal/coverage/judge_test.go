package coverage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

var (
	day     = market.NewDate(2026, 3, 2)
	evening = day.At(19, 30, market.Shanghai)
)

func counts(sh, sz, bj int64) ExchangeCounts { return ExchangeCounts{SH: sh, SZ: sz, BJ: bj} }

func TestExpect(t *testing.T) {
	before := market.NewDate(2020, 1, 2)
	for _, c := range []struct {
		name            string
		dataset         string
		date            market.Date
		facts           Facts
		expected, least int64
		by              ExchangeCounts
		known           bool
	}{
		{"daily per exchange", catalog.Daily, day, Facts{ListKnown: true, Stocks: counts(2000, 3000, 200)}, 5200, 4940, counts(1900, 2850, 190), true},
		{"before Beijing opened", catalog.Daily, before, Facts{ListKnown: true, Stocks: counts(2000, 3000, 200)}, 5000, 4750, counts(1900, 2850, 0), true},
		{"tiny exchange has slack", catalog.Daily, day, Facts{ListKnown: true, Stocks: counts(1000, 0, 5)}, 1005, 955, counts(950, 0, 3), true},
		{"no list", catalog.Daily, day, Facts{}, 0, 0, counts(0, 0, 0), false},
		{"no list, days nearby", catalog.Daily, day, Facts{Near: []int64{5400, 5410, 5390}}, 5400, 5130, counts(0, 0, 0), true},
		{"basic on daily", catalog.DailyBasic, day, Facts{ListKnown: true, Stocks: counts(9, 9, 9), DailyKnown: true, Daily: counts(2000, 3000, 200)}, 5200, 5148, counts(1980, 2970, 198), true},
		{"basic without daily", catalog.DailyBasic, day, Facts{ListKnown: true, Stocks: counts(2000, 3000, 200)}, 5200, 4940, counts(1900, 2850, 190), true},
		{"moneyflow leaves Beijing out", catalog.Moneyflow, day, Facts{DailyKnown: true, Daily: counts(2000, 3000, 200)}, 5000, 4900, counts(1960, 2940, 0), true},
		{"moneyflow without daily", catalog.Moneyflow, day, Facts{ListKnown: true, Stocks: counts(2000, 3000, 200)}, 5000, 4750, counts(1900, 2850, 0), true},
		{"funds by the days nearby", catalog.FundDaily, day, Facts{ListKnown: true, ETFs: 1500, Near: []int64{1300, 1301, 1299}}, 1300, 1235, counts(0, 0, 0), true},
		{"first day of funds", catalog.FundDaily, day, Facts{ListKnown: true, ETFs: 1000}, 1000, 850, counts(0, 0, 0), true},
		{"first snapshot", catalog.StockBasic, market.NoDate, Facts{}, 0, 0, counts(0, 0, 0), false},
		{"snapshot", catalog.StockBasic, market.NoDate, Facts{Held: 5000}, 5000, 4500, counts(0, 0, 0), true},
	} {
		e := Expect(catalog.Lookup(c.dataset), c.date, c.facts)
		if e.Known != c.known || e.Expected != c.expected || e.Least != c.least || e.LeastBy != c.by || e.Basis == "" {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

func TestJudge(t *testing.T) {
	ds := catalog.Lookup(catalog.Daily)
	e := Expect(ds, day, Facts{ListKnown: true, Stocks: counts(1000, 1000, 100)})
	none := Expect(ds, day, Facts{ListKnown: true})
	full := Answer{Rows: 2090, ByExchange: counts(995, 995, 100)}
	half := Answer{Rows: 1000, ByExchange: counts(1000, 0, 0)}
	held := func(v Verdict, rows int64) Situation {
		return Situation{HasHeld: true, Held: Record{Key: Key{Dataset: ds.ID, Date: day}, Verdict: v, Rows: rows, ByExchange: counts(rows/2-50, rows/2-50, 100)}}
	}
	for _, c := range []struct {
		name       string
		answer     Answer
		expect     Expectation
		situation  Situation
		publishing bool
		found      Verdict
		record     Verdict
		store      bool
		reason     fault.Reason
		severity   fault.Severity
	}{
		{"whole", full, e, Situation{}, true, Complete, Complete, true, "", 0},
		{"an exchange is missing", Answer{Rows: 2000, ByExchange: counts(1000, 1000, 0)}, e, Situation{}, false, Incomplete, Incomplete, true, fault.Incomplete, fault.Retry},
		{"half", half, e, Situation{}, true, Incomplete, Incomplete, true, fault.Incomplete, fault.Retry},
		{"too many rejected", Answer{Rows: 2070, ByExchange: counts(985, 985, 100), Rejected: 30}, e, Situation{}, false, Incomplete, Incomplete, true, fault.Incomplete, fault.Retry},
		{"all rejected", Answer{Rejected: 2100}, e, Situation{}, true, Incomplete, Incomplete, true, fault.Incomplete, fault.Retry},
		{"not yet", Answer{}, e, Situation{}, true, NotPublished, NotPublished, true, fault.NotPublished, fault.Retry},
		{"empty", Answer{}, e, Situation{}, false, Empty, Empty, true, fault.EmptyAnswer, fault.Retry},
		{"nothing listed", Answer{}, none, Situation{}, false, ExpectedEmpty, ExpectedEmpty, true, "", 0},
		{"worse than whole", half, e, held(Complete, 2090), false, Incomplete, Complete, false, fault.Incomplete, fault.Warning},
		{"empty over whole", Answer{}, e, held(Complete, 2090), false, Empty, Complete, false, fault.EmptyAnswer, fault.Warning},
		{"not yet over whole", Answer{}, e, held(Complete, 2090), true, NotPublished, Complete, false, fault.NotPublished, fault.Warning},
		{"more of a short day", half, e, held(Incomplete, 900), false, Incomplete, Incomplete, true, fault.Incomplete, fault.Retry},
		{"less of a short day", half, e, held(Incomplete, 1100), false, Incomplete, Incomplete, false, fault.Incomplete, fault.Retry},
		{"more of an accepted day", half, e, held(AcceptedShort, 900), false, Incomplete, Incomplete, true, fault.Incomplete, fault.Retry},
		{"less of an accepted day", half, e, held(AcceptedShort, 1100), false, Incomplete, AcceptedShort, false, fault.Incomplete, fault.Warning},
		{"empty over a short day", Answer{}, e, held(Incomplete, 1100), false, Empty, Incomplete, false, fault.EmptyAnswer, fault.Retry},
		{"whole over short", full, e, held(Incomplete, 1100), false, Complete, Complete, true, "", 0},
		{"a few revised away", full, e, held(Complete, 2095), false, Complete, Complete, true, "", 0},
		{"shrunk by percents", Answer{Rows: 2000, ByExchange: counts(950, 950, 100)}, e, held(Complete, 2090), false, Complete, Complete, false, fault.Incomplete, fault.Warning},
	} {
		s := c.situation
		s.Now, s.Publishing, s.Epoch, s.RunID = evening, c.publishing, 7, "r"
		c.answer.Hash = func() uint64 { return 42 }
		j := Judge(ds, day, c.answer, c.expect, s)
		if j.Found != c.found || j.Record.Verdict != c.record || j.Store != c.store || j.Record.Epoch != 7 || j.Record.RunID != "r" {
			t.Errorf("%s: found %s, record %s, store %v", c.name, j.Found, j.Record.Verdict, j.Store)
		}
		worst, found := fault.Worst(j.Record.Issues)
		if found != (c.reason != "") || worst.Reason != c.reason || worst.Severity != c.severity {
			t.Errorf("%s: issues %+v", c.name, j.Record.Issues)
		}
		if found {
			faulttest.Produces(t, worst, c.reason)
		}
		if found && (worst.Module != "stock.market.daily" || worst.Domain != "stock") {
			t.Errorf("%s: issue of %q %q", c.name, worst.Domain, worst.Module)
		}
	}
}

func TestShortAnswerIsAcceptedOnTheThirdDay(t *testing.T) {
	ds := catalog.Lookup(catalog.Moneyflow)
	e := Expect(ds, day, Facts{DailyKnown: true, Daily: counts(1000, 1000, 0)})
	for _, rows := range []int64{1500, 0} {
		var held Record
		has := false
		for n, step := range []struct {
			at   time.Time
			hash uint64
			days int
			want Verdict
		}{
			{evening, 5, 1, Incomplete},
			{evening.Add(2 * time.Hour), 5, 1, Incomplete}, // the same day counts once
			{evening.AddDate(0, 0, 1), 5, 2, Incomplete},
			{evening.AddDate(0, 0, 2), 6, 1, Incomplete}, // a different response starts the count again
			{evening.AddDate(0, 0, 3), 6, 2, Incomplete},
			{evening.AddDate(0, 0, 4), 6, 3, AcceptedShort},
			{evening.AddDate(0, 0, 9), 6, 4, AcceptedShort},
		} {
			if step.want == Incomplete && rows == 0 {
				step.want = Empty
			}
			j := Judge(ds, day, Answer{Rows: rows, ByExchange: counts(rows/2, rows/2, 0), Hash: func() uint64 { return step.hash }}, e,
				Situation{Now: step.at, Held: held, HasHeld: has})
			held, has = j.Record, true
			if held.Verdict != step.want || held.SameDays != step.days || held.Rows != rows {
				t.Fatalf("step %d of %d rows: %s on %d days with %d rows", n, rows, held.Verdict, held.SameDays, held.Rows)
			}
		}
		faulttest.Produces(t, held.Issues[0], fault.AcceptedShort)
		if held.SameSince != day+2 {
			t.Errorf("evidence %s, issues %v", held.SameSince, held.Issues)
		}
	}
}

// TestHolidayIsNoEvidence: the same incomplete response on several closed days counts as one day.
// It is accepted on the third day on which the provider could have corrected it.
func TestHolidayIsNoEvidence(t *testing.T) {
	ds := catalog.Lookup(catalog.Moneyflow)
	e := Expect(ds, day, Facts{DailyKnown: true, Daily: counts(1000, 1000, 0)})
	var held Record
	open := evening.AddDate(0, 0, 9)
	for n := range 12 {
		for _, hours := range []time.Duration{0, 13} { // in the evening and on the morning after
			now := evening.AddDate(0, 0, n).Add(hours * time.Hour)
			want, days := Incomplete, 1
			if !now.Before(open) {
				days = 2 + int(market.DateOf(now)-market.DateOf(open))
			}
			if days >= 3 {
				want = AcceptedShort
			}
			j := Judge(ds, day, Answer{Rows: 1500, ByExchange: counts(750, 750, 0), Hash: func() uint64 { return 5 }}, e,
				Situation{Now: now, Publishing: now.Before(open), Held: held, HasHeld: held.Rows > 0})
			if held = j.Record; held.Verdict != want || held.SameDays != days {
				t.Fatalf("%v: %s on %d days, want %s on %d", now, held.Verdict, held.SameDays, want, days)
			}
		}
	}
}

func TestHeldRowsThatBecameShortAreAcceptedInTheEnd(t *testing.T) {
	ds := catalog.Lookup(catalog.Daily)
	e := Expect(ds, day, Facts{ListKnown: true, Stocks: counts(1000, 1000, 0)}) // the list grew
	held := Record{Key: Key{Dataset: ds.ID, Date: day}, Verdict: Complete, Rows: 800, ByExchange: counts(400, 400, 0)}
	for n, want := range []Verdict{Incomplete, Incomplete, AcceptedShort} {
		a := Answer{Rows: 800, ByExchange: counts(400, 400, 0), Hash: func() uint64 { return 3 }}
		j := Judge(ds, day, a, e, Situation{Now: evening.AddDate(0, 0, n), Held: held, HasHeld: true})
		if held = j.Record; held.Verdict != want || held.Rows != 800 {
			t.Errorf("day %d: %s of %d rows, want %s", n+1, held.Verdict, held.Rows, want)
		}
	}
}

// Whole rows stay however often a short answer comes, and nothing says otherwise.
func TestShortAnswerIsNotAcceptedOverWholeRows(t *testing.T) {
	ds := catalog.Lookup(catalog.StockBasic)
	held := Record{Key: Key{Dataset: ds.ID, Date: market.NoDate}, Verdict: Complete, Rows: 5400}
	for n := range 5 {
		a := Answer{Rows: 2700, Hash: func() uint64 { return 3 }}
		j := Judge(ds, market.NoDate, a, Expect(ds, market.NoDate, Facts{Held: held.Rows}), Situation{Now: evening.AddDate(0, 0, n), Held: held, HasHeld: true})
		held = j.Record
		if j.Store || held.Verdict != Complete || held.Rows != 5400 || j.Found != Incomplete {
			t.Fatalf("day %d: store %v, found %s, %s of %d rows", n+1, j.Store, j.Found, held.Verdict, held.Rows)
		}
		if i := held.Issues[0]; i.Reason != fault.Incomplete || i.Severity != fault.Warning || !strings.Contains(i.Message, "The 5400 stored rows are kept.") {
			t.Errorf("day %d: %+v", n+1, i)
		}
	}
}

func TestUnsureRecordsAreAskedForAgain(t *testing.T) {
	ds := catalog.Lookup(catalog.Daily)
	e := Expect(ds, day, Facts{ListKnown: true, Stocks: counts(1000, 1000, 0)})
	a := Answer{Rows: 1999, ByExchange: counts(1000, 999, 0), Rejected: 1, Hash: func() uint64 { return 3 }}
	j := Judge(ds, day, a, e, Situation{Now: evening})
	if j.Record.Verdict != Complete || !j.Record.Unsure() {
		t.Errorf("with a rejected row: %s, unsure %v", j.Record.Verdict, j.Record.Unsure())
	}
	for n := range 3 {
		j = Judge(ds, day, a, e, Situation{Now: evening.AddDate(0, 0, n), Held: j.Record, HasHeld: true})
	}
	if j.Record.Unsure() {
		t.Error("the same rejected row on three days is what the provider has")
	}
	a = Answer{Rows: 2000, ByExchange: counts(1000, 1000, 0), Doubtful: 1, Hash: func() uint64 { return 3 }}
	j = Judge(ds, day, a, e, Situation{Now: evening})
	if j.Record.Verdict != Complete || !j.Record.Unsure() {
		t.Error("a doubtful row deserves a second look")
	}
	j = Judge(ds, day, a, e, Situation{Now: evening.Add(time.Minute), Held: j.Record, HasHeld: true})
	if j.Record.Unsure() {
		t.Error("the same twice needs no third look")
	}
	hash := uint64(3)
	a.Hash = func() uint64 { hash++; return hash }
	j = Judgement{}
	for n := range acceptDays {
		j = Judge(ds, day, a, e, Situation{Now: evening.AddDate(0, 0, n), Held: j.Record, HasHeld: n > 0})
		if n < acceptDays-1 && !j.Record.Unsure() {
			t.Errorf("other values on day %d deserve another look", n+1)
		}
	}
	if j.Record.Unsure() {
		t.Error("a doubtful row is fetched forever, because other values change each day")
	}
}

func TestStandingFollowsDaily(t *testing.T) {
	ds := catalog.Lookup(catalog.DailyBasic)
	r := Record{Key: Key{Dataset: ds.ID, Date: day}, Verdict: Complete, Rows: 1000, ByExchange: counts(500, 500, 0)}
	daily := Record{Verdict: Complete, Rows: 2000, ByExchange: counts(1000, 1000, 0)}
	with := func(daily Record) func(Key) (Record, bool) {
		return book{Key{Dataset: catalog.Daily, Date: day}: daily}.held
	}
	if got := Standing(ds, r, NewLists(nil), with(daily)); got != Incomplete {
		t.Errorf("half of a daily that came later is %s", got)
	}
	if got := Standing(ds, r, NewLists(nil), book{}.held); got != Complete {
		t.Errorf("without daily: %s", got)
	}
	daily.Verdict = Incomplete
	if got := Standing(ds, r, NewLists(nil), with(daily)); got != Complete {
		t.Errorf("a daily that is not settled proves nothing: %s", got)
	}
	var all []Instrument
	for n := range 40 {
		all = append(all, Instrument{Symbol: fmt.Sprintf("6%05d.SH", n), Kind: market.Stock, Status: "L", Listed: day - 9, Delisted: market.NoDate})
	}
	r = Record{Key: Key{Dataset: catalog.Daily, Date: day}, Verdict: Complete, Rows: 20, ByExchange: counts(20, 0, 0)}
	for n, want := range map[int]Verdict{20: Complete, 40: Incomplete} {
		if got := Standing(catalog.Lookup(catalog.Daily), r, NewLists(all[:n]), book{}.held); got != want {
			t.Errorf("20 rows of %d listed are %s", n, got)
		}
	}
}

// Whether a dataset depends on daily is decided by the catalog, not by its name.
func TestAnyDatasetMayRestOnDaily(t *testing.T) {
	daily := Record{Verdict: Complete, Rows: 1010, ByExchange: counts(1000, 0, 10)}
	held := book{Key{Dataset: catalog.Daily, Date: day}: daily}.held
	for _, c := range []struct {
		rests, without bool
		by             ExchangeCounts
		want           Verdict
	}{
		{true, false, counts(949, 0, 10), Incomplete},
		{true, false, counts(950, 0, 10), Complete},
		{true, false, counts(1000, 0, 0), Incomplete},
		{true, true, counts(950, 0, 0), Complete},
		{false, false, counts(1, 0, 0), Complete},
	} {
		ds := &catalog.Dataset{ID: "toy_rank", Kind: market.Stock, Floor: 0.95, RestsOnDaily: c.rests, WithoutBeijing: c.without}
		r := Record{Key: Key{Dataset: ds.ID, Date: day}, Verdict: Complete, Rows: c.by.Sum(), ByExchange: c.by}
		if got := Standing(ds, r, NewLists(nil), held); got != c.want {
			t.Errorf("%+v is %s", c, got)
		}
		bj := JudgeKey(ds, Key{Dataset: ds.ID, Date: day, Symbol: "920001.BJ"}, KeyFacts{Daily: DailyHeld, Evidence: WholeDate}, Situation{Now: evening}).Record.Verdict
		if lacks := c.rests && !c.without; lacks != (bj == Incomplete) {
			t.Errorf("%+v: a symbol of Beijing without a row, though daily has one, is %s", c, bj)
		}
	}
}

func TestJudgeKey(t *testing.T) {
	stock, bj, etf := "600519.SH", "920001.BJ", "510300.SH"
	for _, c := range []struct {
		name       string
		dataset    string
		symbol     string
		facts      KeyFacts
		publishing bool
		want       Verdict
	}{
		{"a row", catalog.Daily, stock, KeyFacts{Row: true}, false, Complete},
		{"a bad row", catalog.Daily, stock, KeyFacts{RejectedRow: true, Evidence: WholeDate}, false, Incomplete},
		{"not listed", catalog.Daily, stock, KeyFacts{ListKnown: true}, true, ExpectedEmpty},
		{"suspended, day out", catalog.Daily, stock, KeyFacts{ListKnown: true, Listed: true, Evidence: WholeDate}, true, ExpectedEmpty},
		{"day half out", catalog.Daily, stock, KeyFacts{Evidence: ShortDate}, true, Incomplete},
		{"day not out", catalog.Daily, stock, KeyFacts{Evidence: EmptyDate}, true, NotPublished},
		{"old day without rows", catalog.Daily, stock, KeyFacts{Evidence: EmptyDate}, false, Empty},
		{"others traded", catalog.Daily, stock, KeyFacts{Evidence: OthersTraded}, false, ExpectedEmpty},
		{"others are out already", catalog.Daily, stock, KeyFacts{Evidence: OthersTraded}, true, Incomplete},
		{"traded later", catalog.Daily, stock, KeyFacts{Evidence: TradedLater}, false, ExpectedEmpty},
		{"nothing tells, newest", catalog.Daily, stock, KeyFacts{}, true, NotPublished},
		{"nothing tells, old", catalog.Daily, stock, KeyFacts{}, false, Empty},
		{"basic of a traded day", catalog.DailyBasic, stock, KeyFacts{Daily: DailyHeld, Evidence: WholeDate}, false, Incomplete},
		{"basic of a traded day, not out", catalog.DailyBasic, stock, KeyFacts{Daily: DailyHeld, Evidence: EmptyDate}, true, NotPublished},
		{"basic of an idle day", catalog.DailyBasic, stock, KeyFacts{Daily: DailyNone}, false, ExpectedEmpty},
		{"basic while daily is open", catalog.DailyBasic, stock, KeyFacts{Daily: DailyPending, Evidence: OthersTraded}, false, Incomplete},
		{"basic with daily off", catalog.DailyBasic, stock, KeyFacts{Evidence: WholeDate}, false, ExpectedEmpty},
		{"moneyflow never has Beijing", catalog.Moneyflow, bj, KeyFacts{Daily: DailyHeld}, true, ExpectedEmpty},
		{"idle fund", catalog.FundDaily, etf, KeyFacts{Evidence: WholeDate}, true, ExpectedEmpty},
	} {
		ds := catalog.Lookup(c.dataset)
		j := JudgeKey(ds, Key{Dataset: ds.ID, Date: day, Symbol: c.symbol}, c.facts, Situation{Now: evening, Publishing: c.publishing})
		if j.Record.Verdict != c.want || j.Lost {
			t.Errorf("%s: %s, lost %v; want %s", c.name, j.Record.Verdict, j.Lost, c.want)
		}
		if rows := j.Record.Rows == 1; rows != c.facts.Row {
			t.Errorf("%s: %d rows", c.name, j.Record.Rows)
		}
	}
}

// TestARefutedRowOfTargets is fetched again, and stored once it came the same on three days,
// unless a row that was whole is held. One that only strays from the day before takes its place.
func TestARefutedRowOfTargets(t *testing.T) {
	ds, k := catalog.Lookup(catalog.Daily), Key{Dataset: catalog.Daily, Date: day, Symbol: "600519.SH"}
	var held Record
	judge := func(n int, hash uint64) KeyJudgement {
		j := JudgeKey(ds, k, KeyFacts{Refuted: hash, Evidence: WholeDate}, Situation{Now: evening.AddDate(0, 0, n), Held: held, HasHeld: held.Verdict != Missing})
		held = j.Record
		return j
	}
	for n, hash := range []uint64{7, 7, 8, 8, 8, 8} {
		j := judge(n, hash)
		if accepted := n >= 4; accepted != j.Take || accepted != (j.Record.Verdict == AcceptedShort) || accepted != (j.Record.Rows == 1) || !accepted && j.Record.Verdict != Incomplete {
			t.Errorf("on day %d it is %s with %d rows, taken %v", n, j.Record.Verdict, j.Record.Rows, j.Take)
		}
	}
	held = Record{Key: k, Verdict: Complete, Rows: 1}
	for n := range 5 {
		if j := judge(n, 7); !j.Lost || j.Take || j.Record.Verdict != Complete || j.Record.Rows != 1 {
			t.Errorf("a whole row gives way: %+v", j)
		}
	}
	// The row held is the refuted one: it came when nothing contradicted it yet.
	held = Record{Key: k, Verdict: Complete, Rows: 1, RowsHash: 7}
	for n, want := range []Verdict{Incomplete, Incomplete, AcceptedShort} {
		if j := judge(n, 7); j.Record.Verdict != want || j.Record.Rows != 1 || j.Take != (want == AcceptedShort) || j.Lost == j.Take {
			t.Errorf("the same row on day %d: %+v", n, j)
		}
	}
	if j := JudgeKey(ds, k, KeyFacts{Refuted: 7, Strays: true}, Situation{Now: evening, Held: Record{Key: k, Verdict: Complete, Rows: 1, RowsHash: 7}, HasHeld: true}); j.Record.Verdict != Complete {
		t.Errorf("the row of the day before may be the wrong one: %+v", j)
	}
	held = Record{Key: k, Verdict: Complete, Rows: 1}
	for n, hash := range []uint64{7, 8, 8, 8} {
		j := JudgeKey(ds, k, KeyFacts{Refuted: hash, Strays: true, Evidence: WholeDate}, Situation{Now: evening.AddDate(0, 0, n), Held: held, HasHeld: true})
		held = j.Record
		switch {
		case held.Rows != 1, j.Take != (n == 3), j.Lost == j.Take:
			t.Errorf("on day %d: %+v", n, j)
		case n < 3 && (held.Verdict != Complete || !held.Unsure()):
			t.Errorf("on day %d it is not fetched again: %+v", n, held)
		case n == 3 && held.Verdict != AcceptedShort:
			t.Errorf("at last it is %s", held.Verdict)
		}
	}
}

func TestHeldRowOfTargetsIsNotLost(t *testing.T) {
	ds := catalog.Lookup(catalog.Daily)
	k := Key{Dataset: ds.ID, Date: day, Symbol: "600519.SH"}
	held := Record{Key: k, Rows: 1, Verdict: Complete}
	for n := range 3 {
		j := JudgeKey(ds, k, KeyFacts{Evidence: WholeDate}, Situation{Now: evening.AddDate(0, 0, n), Held: held, HasHeld: true})
		if want := n < 2; j.Lost != want {
			t.Fatalf("day %d: lost %v", n+1, j.Lost)
		}
		if j.Lost && (j.Record.Rows != 1 || j.Record.Verdict != Complete) {
			t.Fatalf("day %d: %+v", n+1, j.Record)
		}
		held = j.Record
	}
	if held.Verdict != ExpectedEmpty || held.Rows != 0 {
		t.Errorf("after three days: %+v", held)
	}
	// the only symbol is suspended for months: unknown until three days have the same response
	held = Record{}
	for n, want := range []Verdict{NotPublished, Empty, Empty, AcceptedShort} {
		j := JudgeKey(ds, k, KeyFacts{}, Situation{Now: evening.AddDate(0, 0, n), Publishing: n == 0, Held: held, HasHeld: n > 0})
		if held = j.Record; held.Verdict != want {
			t.Errorf("day %d: %s, want %s", n+1, held.Verdict, want)
		}
	}
}

func TestLists(t *testing.T) {
	d := func(y, m, dd int) market.Date { return market.NewDate(y, time.Month(m), dd) }
	l := NewLists([]Instrument{
		{Symbol: "600000.SH", Kind: market.Stock, Status: "L", Listed: d(2020, 1, 2), Delisted: market.NoDate},
		{Symbol: "600001.SH", Kind: market.Stock, Status: "D", Listed: d(2020, 1, 2), Delisted: d(2021, 1, 4)},
		{Symbol: "600002.SH", Kind: market.Stock, Status: "D", Listed: d(2020, 1, 2), Delisted: market.NoDate},
		{Symbol: "600003.SH", Kind: market.Stock, Status: "L", Listed: market.NoDate, Delisted: market.NoDate},
		{Symbol: "000001.SZ", Kind: market.Stock, Status: "P", Listed: d(2020, 1, 3), Delisted: market.NoDate},
		{Symbol: "920001.BJ", Kind: market.Stock, Status: "L", Listed: d(2015, 5, 5), Delisted: market.NoDate},
		{Symbol: "510300.SH", Kind: market.ETF, Status: "L", Listed: d(2020, 1, 2), Delisted: market.NoDate},
	})
	for _, c := range []struct {
		on   market.Date
		want ExchangeCounts
		etfs int64
	}{
		{d(2020, 1, 1), counts(0, 0, 0), 0}, {d(2020, 1, 2), counts(2, 0, 0), 1}, {d(2020, 1, 3), counts(2, 1, 0), 1},
		{d(2021, 1, 3), counts(2, 1, 0), 1}, {d(2021, 1, 4), counts(1, 1, 0), 1}, {d(2021, 11, 14), counts(1, 1, 0), 1}, {d(2021, 11, 15), counts(1, 1, 1), 1},
	} {
		if got := l.Stocks(c.on); got != c.want || l.ETFs(c.on) != c.etfs {
			t.Errorf("%s: %+v and %d ETFs, want %+v and %d", c.on, got, l.ETFs(c.on), c.want, c.etfs)
		}
	}
	if listed, known := l.Listed("600003.SH", d(2022, 1, 1)); listed || known {
		t.Error("a symbol without a listing date cannot be identified")
	}
	if listed, known := l.Listed("920001.BJ", d(2020, 1, 1)); listed || !known {
		t.Error("no Beijing rows before the exchange opened")
	}
	if _, known := l.Listed("999999.SH", day); known {
		t.Error("an unknown symbol is not known")
	}
	if to, ok := NewLists([]Instrument{{Symbol: "920799.BJ"}}).Renamed("830799.BJ"); to != "920799.BJ" || !ok {
		t.Errorf("a code of Beijing from before the lists began is %q now, %v", to, ok)
	}
	if to, ok := l.Renamed("830799.BJ"); ok {
		t.Errorf("a code that the lists do not have came: %s", to)
	}
}

func TestWorst(t *testing.T) {
	if Worst() != ExpectedEmpty || Worst(ExpectedEmpty, Complete) != Complete || Worst(Complete, NotPublished, AcceptedShort) != NotPublished {
		t.Error("the worst verdict is the one with most left to do")
	}
}
