package coverage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// weekdays is a calendar in which every weekday is open.
func weekdays(first, last market.Date) Calendar {
	c := Calendar{First: first, Last: last}
	for d := first; d <= last; d++ {
		if !d.Weekend() {
			c.Open = append(c.Open, d)
		}
	}
	return c
}

type book map[Key]Record

func (b book) held(k Key) (Record, bool) { r, ok := b[k]; return r, ok }

func (b book) put(dataset string, d market.Date, symbol string, v Verdict, at time.Time) {
	k := Key{Dataset: dataset, Date: d, Symbol: symbol}
	r := Record{Key: k, Verdict: v, CommittedAt: at}
	if v == Complete {
		r.Rows, r.ByExchange = 2000, counts(1000, 1000, 0)
	}
	b[k] = r
}

func world(now time.Time, b book, window int) PoolState {
	return PoolState{
		Now: now, Calendar: weekdays(market.NewDate(2020, 1, 1), market.NewDate(2026, 12, 31)),
		Lists: NewLists(nil), WindowDays: window, Held: b.held,
	}
}

func datasets(ids ...string) []*catalog.Dataset {
	var out []*catalog.Dataset
	for _, id := range ids {
		out = append(out, catalog.Lookup(id))
	}
	return out
}

func ids(p Plan) []string {
	out := make([]string, len(p.Partitions))
	for i, x := range p.Partitions {
		out[i] = x.ID
		if x.Repeat {
			out[i] += " again"
		}
	}
	return out
}

var allDaily = []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow, catalog.FundDaily}

// 2026-03-02 is a Monday.
func TestUniversePlanOfAnEvening(t *testing.T) {
	b := book{}
	lastEvening := evening.AddDate(0, 0, -3) // Friday
	for d := day - 10; d < day; d++ {
		for _, id := range allDaily {
			b.put(id, d, "", Complete, lastEvening)
		}
	}
	b.put(catalog.Moneyflow, day-4, "", Incomplete, lastEvening)
	b.put(catalog.FundDaily, day-5, "", AcceptedShort, lastEvening)
	p, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate}, world(evening, b, 9))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"daily/2026-03-02", "daily_basic/2026-03-02", "moneyflow/2026-03-02", "fund_daily/2026-03-02",
		"daily/2026-02-27 again", "daily_basic/2026-02-27 again", "moneyflow/2026-02-27 again", "fund_daily/2026-02-27 again",
		"moneyflow/2026-02-26",
	}
	if got := ids(p); !slices.Equal(got, want) {
		t.Errorf("plan\n%v\nwant\n%v", got, want)
	}
	if p.AsOf != day || p.Calls[catalog.Moneyflow] != 3 || len(p.Issues) != 0 {
		t.Errorf("as of %s, calls %v, issues %v", p.AsOf, p.Calls, p.Issues)
	}
	// the same evening again, all of it done
	for _, x := range p.Partitions {
		b.put(x.Dataset, x.Start, "", Complete, evening.Add(time.Minute))
	}
	p, err = Data(PlanRequest{Pool: market.Universe, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate}, world(evening.Add(time.Hour), b, 9))
	if err != nil || len(p.Partitions) != 0 {
		t.Errorf("an hour later: %v, %v", ids(p), err)
	}
	// and on the weekend after, when nothing new was due since the last look
	saturday := day.At(19, 30, market.Shanghai).AddDate(0, 0, -2)
	p, err = Data(PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.Daily), Start: market.NoDate, End: market.NoDate}, world(saturday, b, 5))
	if err != nil || len(p.Partitions) != 0 {
		t.Errorf("on Saturday: %v, %v", ids(p), err)
	}
}

// A date that was fetched on its own evening is fetched again, even if the next evening was
// missed. A date that was fetched later is not.
func TestMissedEveningIsLookedAtLater(t *testing.T) {
	at := func(d market.Date) time.Time { return d.At(19, 30, market.Shanghai) }
	symbols := []string{"000001.SZ", "600519.SH"}
	for _, pool := range market.Pools() {
		b := book{}
		put := func(d market.Date, when time.Time) {
			if pool == market.Universe {
				b.put(catalog.Daily, d, "", Complete, when)
				return
			}
			for _, s := range symbols {
				b.put(catalog.Daily, d, s, Complete, when)
			}
		}
		for d := day - 14; d < day-4; d++ {
			put(d, at(day-5))
		}
		put(day-5, at(day-5)) // Wednesday's evening was the last for long
		plan := func(now market.Date) []string {
			t.Helper()
			p, err := Data(PlanRequest{Pool: pool, Datasets: datasets(catalog.Daily), Start: market.NoDate, End: market.NoDate, Symbols: symbols}, world(at(now), b, 14))
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, x := range p.Partitions {
				out = append(out, fmt.Sprint(x.Start, "..", x.End, " ", x.Repeat))
				for d := x.Start; d <= x.End; d++ {
					put(d, at(now))
				}
			}
			slices.Sort(out)
			return out
		}
		want := []string{"2026-02-25..2026-02-25 true", "2026-02-26..2026-02-26 false", "2026-02-27..2026-02-27 false", "2026-03-02..2026-03-02 false"}
		if pool == market.Targets {
			want = slices.Replace(want, 1, 3, "2026-02-26..2026-02-27 false")
		}
		if got := plan(day); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", pool, got, want)
		}
		want = []string{"2026-03-02..2026-03-02 true", "2026-03-03..2026-03-03 false"}
		if got := plan(day + 1); !slices.Equal(got, want) {
			t.Errorf("%s, the evening after: %v, want %v", pool, got, want)
		}
	}
}

func TestNothingIsPlannedBeforeItIsDue(t *testing.T) {
	p, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(allDaily...), Start: day, End: day + 5}, world(day.At(17, 59, market.Shanghai), book{}, 9))
	if err != nil || !slices.Equal(ids(p), []string{"daily/2026-03-02"}) || p.AsOf != day {
		t.Errorf("at 17:59: %v, %v", ids(p), err)
	}
	p, err = Data(PlanRequest{Pool: market.Universe, Datasets: datasets(allDaily...), Start: day, End: day + 5}, world(day.At(16, 59, market.Shanghai), book{}, 9))
	if err != nil || len(p.Partitions) != 0 {
		t.Errorf("at 16:59: %v, %v", ids(p), err)
	}
}

func TestDatesThatAreNotPlannedAreWarnedAbout(t *testing.T) {
	at := func(hour, minute int) time.Time { return day.At(hour, minute, market.Shanghai) }
	for _, c := range []struct {
		name       string
		start, end market.Date
		now        time.Time
		asOf       market.Date
		reason     fault.Reason
		says       string
	}{
		{"undated", market.NoDate, market.NoDate, at(10, 0), day - 3, "", ""},
		{"the past", day - 7, day - 3, at(10, 0), day - 3, "", ""},
		{"today, in the morning", day, day, at(10, 0), market.NoDate, fault.NotPublished, "daily, daily_basic, moneyflow, fund_daily of 2026-03-02 is not fetched yet: the last dataset is due at 19:00"},
		{"today, at 18:30", day, day, at(18, 30), day, fault.NotPublished, "moneyflow of 2026-03-02 is not fetched yet"},
		{"from today", day, market.NoDate, at(10, 0), market.NoDate, fault.NotPublished, "2026-03-02"},
		{"up to today", market.NoDate, day, at(10, 0), day - 3, fault.NotPublished, "2026-03-02"},
		{"today, in the evening", day, day, at(19, 30), day, "", ""},
		{"a weekend", day - 2, day - 1, at(10, 0), market.NoDate, fault.NotTradingDay, "closed from 2026-02-28 to 2026-03-01"},
		{"a Sunday", day - 1, day - 1, at(10, 0), market.NoDate, fault.NotTradingDay, "closed on 2026-03-01"},
		{"up to a Sunday", day - 7, day - 1, at(10, 0), day - 3, "", ""},
	} {
		p, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(allDaily...), Start: c.start, End: c.end}, world(c.now, book{}, 9))
		if err != nil {
			t.Fatal(err)
		}
		if p.AsOf != c.asOf {
			t.Errorf("%s: as of %s, want %s", c.name, p.AsOf, c.asOf)
		}
		if c.reason == "" {
			if len(p.Issues) != 0 {
				t.Errorf("%s: %+v", c.name, p.Issues)
			}
			continue
		}
		if len(p.Issues) != 1 || p.Issues[0].Severity != fault.Warning || !strings.Contains(p.Issues[0].Message, c.says) {
			t.Errorf("%s: %+v", c.name, p.Issues)
			continue
		}
		faulttest.Produces(t, p.Issues[0], c.reason)
	}
}

func TestBackfillGoesBackwardsWithDailyFirst(t *testing.T) {
	p, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.DailyBasic, catalog.Daily), Start: day - 5, End: day - 3}, world(evening, book{}, 9))
	want := []string{"daily/2026-02-27", "daily_basic/2026-02-27", "daily/2026-02-26", "daily_basic/2026-02-26", "daily/2026-02-25", "daily_basic/2026-02-25"}
	if err != nil || !slices.Equal(ids(p), want) {
		t.Errorf("%v, %v", ids(p), err)
	}
}

func TestRefetchPlansWhatIsSettled(t *testing.T) {
	b := book{}
	b.put(catalog.Daily, day, "", Complete, evening)
	for refetch, want := range map[bool]int{false: 0, true: 1} {
		p, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.Daily), Start: day, End: day, Refetch: refetch}, world(evening, b, 9))
		if err != nil || len(p.Partitions) != want {
			t.Errorf("refetch %v: %v, %v", refetch, ids(p), err)
		}
	}
}

func TestCalendarThatEnded(t *testing.T) {
	w := world(evening, book{}, 9)
	w.Calendar = weekdays(day-30, day-4)
	p, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.Daily), Start: market.NoDate, End: market.NoDate}, w)
	if err != nil || len(p.Partitions) != 6 || len(p.Issues) != 1 || p.Issues[0].Reason != fault.CalendarEnded {
		t.Errorf("%v, %v, %v", ids(p), p.Issues, err)
	}
	w.Calendar = Calendar{First: market.NoDate, Last: market.NoDate}
	if _, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.Daily), Start: day, End: day}, w); !fault.Is(err, fault.CalendarUnavailable) {
		t.Errorf("without a calendar: %v", err)
	}
	p, err = Data(PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.Daily), Start: market.NoDate, End: market.NoDate, Estimate: true}, w)
	if err != nil || len(p.Partitions) == 0 || p.AsOf != day || len(p.Issues) != 1 || p.Issues[0].Reason != fault.CalendarEnded {
		t.Errorf("an estimate without a calendar: %v, as of %s, %v, %v", ids(p), p.AsOf, p.Issues, err)
	}
}

func TestReferencesAreDueOncePerShanghaiDay(t *testing.T) {
	all := datasets(catalog.TradeCal, catalog.StockBasic, catalog.FundBasic, catalog.Daily, catalog.FundDaily)
	b := book{}
	for _, c := range []struct {
		name string
		wish PlanRequest
		want []string
	}{
		{"universe", PlanRequest{Pool: market.Universe, Datasets: all}, []string{"trade_cal", "stock_basic", "fund_basic"}},
		{"universe without funds", PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.StockBasic, catalog.Daily)}, []string{"trade_cal", "stock_basic"}},
		{"targets with stocks only", PlanRequest{Pool: market.Targets, Datasets: datasets(catalog.Daily, catalog.FundDaily), Symbols: []string{"600519.SH"}}, []string{"trade_cal", "stock_basic"}},
		{"targets with a fund only", PlanRequest{Pool: market.Targets, Datasets: datasets(catalog.Daily, catalog.FundDaily), Symbols: []string{"510300.SH"}}, []string{"trade_cal", "fund_basic"}},
	} {
		if got := ids(References(c.wish, world(evening, b, 9))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for _, id := range []string{catalog.TradeCal, catalog.StockBasic, catalog.FundBasic} {
		b.put(id, market.NoDate, "", Complete, day.At(0, 5, market.Shanghai))
	}
	if got := ids(References(PlanRequest{Pool: market.Universe, Datasets: all}, world(evening, b, 9))); len(got) != 0 {
		t.Errorf("fetched today already: %v", got)
	}
	if got := ids(References(PlanRequest{Pool: market.Universe, Datasets: all}, world(evening.AddDate(0, 0, 1), b, 9))); len(got) != 3 {
		t.Errorf("the next day: %v", got)
	}
}

// TestStampsAfterNowAreStale: what a clock that was ahead wrote is fetched again, lists,
// calendar and the last days; the rest of the window is not.
func TestStampsAfterNowAreStale(t *testing.T) {
	for days, again := range map[int]bool{0: false, 1: true, 400: true} {
		b := book{}
		stamp := evening.Add(-time.Minute).AddDate(0, 0, days)
		for _, id := range []string{catalog.TradeCal, catalog.StockBasic, catalog.FundBasic} {
			b.put(id, market.NoDate, "", Complete, stamp)
		}
		for d := day - 60; d <= day; d++ {
			b.put(catalog.Daily, d, "", Complete, stamp)
		}
		w := PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.TradeCal, catalog.StockBasic, catalog.FundBasic, catalog.Daily), Start: market.NoDate, End: market.NoDate}
		if got := len(References(w, world(evening, b, 60)).Partitions); (got == 3) != again || (got == 0) == again {
			t.Errorf("stamped %d days ahead: %d lists are fetched", days, got)
		}
		p, err := Data(w, world(evening, b, 60))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(p.Partitions); !again && got != 0 || again && got != aheadDays {
			t.Errorf("stamped %d days ahead: %d days are fetched again: %v", days, got, ids(p))
		}
	}
}

func TestListThatKnowsTooFewIsAskedForAgain(t *testing.T) {
	b := book{}
	for _, id := range []string{catalog.TradeCal, catalog.StockBasic} {
		b.put(id, market.NoDate, "", Complete, evening)
	}
	wish := PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.StockBasic, catalog.Daily)}
	for unknown, want := range map[int64]int{3: 0, 900: 1} {
		k := Key{Dataset: catalog.Daily, Date: day}
		b[k] = Record{Key: k, Rows: 2000, Unknown: unknown, Verdict: Complete, CommittedAt: evening.Add(time.Second)}
		p := References(wish, world(evening.Add(time.Minute), b, 9))
		if len(p.Partitions) != want || want == 1 && !p.Partitions[0].Repeat {
			t.Errorf("%d unknown: %v", unknown, ids(p))
		}
	}
	b.put(catalog.StockBasic, market.NoDate, "", Complete, evening.Add(2*time.Second))
	if p := References(wish, world(evening.Add(time.Minute), b, 9)); len(p.Partitions) != 0 {
		t.Errorf("asked again already: %v", ids(p))
	}
}

func symbolsOf(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("6%05d.SH", i)
	}
	return out
}

func TestTargetsCostATenthOfTheLoop(t *testing.T) {
	stocks := symbolsOf(500)
	p, err := Data(PlanRequest{Pool: market.Targets, Datasets: datasets(catalog.Daily, catalog.DailyBasic, catalog.Moneyflow), Start: day - 30, End: day, Symbols: stocks},
		world(evening, book{}, 1095))
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, n := range p.Calls {
		calls += n
	}
	if calls > 150 || calls == 0 {
		t.Errorf("500 symbols × 30 days: %d calls %v, a loop makes 1500", calls, p.Calls)
	}
	t.Logf("calls %v", p.Calls)
}

// covered returns the symbols and days that a plan fetches, with the number of times.
func covered(p Plan) map[Key]int {
	out := map[Key]int{}
	for _, x := range p.Partitions {
		for d := x.Start; d <= x.End; d++ {
			for _, s := range x.Symbols {
				out[Key{x.Dataset, d, s}]++
			}
		}
	}
	return out
}

func TestTargetsPlanCoversEveryGapAndNothingTwice(t *testing.T) {
	symbols := append(symbolsOf(7), "920001.BJ", "510300.SH")
	for seed := range 40 {
		b := book{}
		w := world(evening, b, 60)
		open, _ := w.Calendar.Days(day-60, day)
		missing := map[Key]bool{}
		x := uint32(seed*7919 + 1)
		for _, s := range symbols {
			for _, d := range open {
				for _, id := range allDaily {
					ds := catalog.Lookup(id)
					if market.KindOf(s) != ds.Kind || id == catalog.Moneyflow && market.Exchange(s) == "BJ" {
						continue
					}
					x = x*1664525 + 1013904223
					if x>>16%uint32(1+seed%9) == 0 {
						missing[Key{id, d, s}] = true
						continue
					}
					b.put(id, d, s, ExpectedEmpty, evening.Add(-time.Minute))
				}
			}
		}
		wish := PlanRequest{Pool: market.Targets, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate, Symbols: symbols}
		p, err := Data(wish, w)
		if err != nil {
			t.Fatal(err)
		}
		got := covered(p)
		for k := range missing {
			if got[k] == 0 {
				t.Fatalf("seed %d: %v is missing and not planned", seed, k)
			}
		}
		for k := range got {
			if k.Dataset == catalog.Moneyflow && market.Exchange(k.Symbol) == "BJ" {
				t.Fatalf("moneyflow of Beijing is planned")
			}
		}
		loop := 0
		per := map[string]bool{}
		for k := range missing {
			if id := k.Dataset + k.Symbol; !per[id] {
				per[id], loop = true, loop+1
			}
		}
		if calls := len(p.Partitions); calls > loop+len(allDaily) {
			t.Errorf("seed %d: %d calls, a loop over symbols makes %d", seed, calls, loop)
		}
	}
}

func TestNewSymbolJoinsAFilledList(t *testing.T) {
	b := book{}
	w := world(evening, b, 1095)
	open, _ := w.Calendar.Days(day-1095, day)
	old := symbolsOf(500)
	for _, s := range old {
		for _, d := range open[:len(open)-1] {
			for _, id := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
				b.put(id, d, s, Complete, evening.Add(-time.Minute))
			}
		}
	}
	p, err := Data(PlanRequest{Pool: market.Targets, Datasets: datasets(catalog.Daily, catalog.DailyBasic, catalog.Moneyflow), Start: market.NoDate, End: market.NoDate,
		Symbols: append(slices.Clone(old), "000001.SZ")}, w)
	if err != nil || len(p.Partitions) != 6 {
		t.Errorf("%d partitions, want the newest day and one symbol per dataset: %.300v, %v", len(p.Partitions), ids(p), err)
	}
	for _, x := range p.Partitions[:3] {
		if x.Start != day || x.End != day || len(x.Symbols) != 501 {
			t.Errorf("first comes the newest day for all: %s", x.ID)
		}
	}
}

// TestDaysOfATargetBeforeItsListing that were fetched when no list had it are fetched once more, so
// that they are settled.
func TestDaysOfATargetBeforeItsListing(t *testing.T) {
	b := book{}
	w := world(evening, b, 9)
	w.Lists = NewLists([]Instrument{
		{Symbol: "600519.SH", Kind: market.Stock, Listed: day - 100, Delisted: market.NoDate},
		{Symbol: "603999.SH", Kind: market.Stock, Listed: day, Delisted: market.NoDate},
	})
	open, _ := w.Calendar.Days(day-9, day)
	for n, d := range open {
		b.put(catalog.Daily, d, "600519.SH", Complete, evening.Add(-time.Minute))
		b.put(catalog.Daily, d, "603999.SH", []Verdict{Empty, Incomplete, NotPublished, ExpectedEmpty}[min(n, 3)], evening.Add(-time.Minute))
	}
	b.put(catalog.Daily, day, "603999.SH", Complete, evening.Add(-time.Minute))
	p, err := Data(PlanRequest{Pool: market.Targets, Datasets: datasets(catalog.Daily), Start: market.NoDate, End: market.NoDate, Symbols: []string{"600519.SH", "603999.SH"}}, w)
	if err != nil || len(p.Partitions) != 1 || p.Partitions[0].Start != open[0] || p.Partitions[0].End != open[2] || !slices.Equal(p.Partitions[0].Symbols, []string{"603999.SH"}) {
		t.Errorf("%v, %v", ids(p), err)
	}
}

// TestADayWithoutAnyTarget: if no symbol of the list has a row on a day, daily_basic does not prove
// that daily has none: the responses for both date ranges may have begun too late.
func TestADayWithoutAnyTarget(t *testing.T) {
	symbols := symbolsOf(8)
	for _, traded := range []bool{true, false} {
		b := book{}
		w := world(evening, b, 9)
		open, _ := w.Calendar.Days(day-9, day)
		for _, d := range open {
			for n, s := range symbols {
				verdict := Complete
				if d == open[0] && (n < 4 || !traded) {
					verdict = ExpectedEmpty
				}
				for _, id := range []string{catalog.Daily, catalog.DailyBasic} {
					b.put(id, d, s, verdict, evening.Add(-time.Minute))
				}
				if k := (Key{Dataset: catalog.Daily, Date: d, Symbol: s}); verdict == ExpectedEmpty {
					r := b[k]
					r.AnswerHash = noRow // seen once, in the response to a list
					b[k] = r
				}
			}
		}
		p, err := Data(PlanRequest{Pool: market.Targets, Datasets: datasets(catalog.Daily, catalog.DailyBasic), Start: market.NoDate, End: market.NoDate, Symbols: symbols}, w)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case traded && len(p.Partitions) == 0:
		case !traded && len(p.Partitions) == 1 && p.Partitions[0].Dataset == catalog.Daily && p.Partitions[0].Start == open[0] && p.Partitions[0].End == open[0]:
		default:
			t.Errorf("others traded %v: %v", traded, ids(p))
		}
	}
}

func TestSymbolsOnNoListAreWarnedAbout(t *testing.T) {
	w := world(evening, book{}, 9)
	wish := PlanRequest{Pool: market.Targets, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate,
		Symbols: []string{"999998.SH", "600519.SH", "999998.SH", "430001.BJ", "512999.SH"}}
	for _, c := range []struct {
		name  string
		lists *Lists
		count string
	}{
		{"no list is held", NewLists(nil), ""},
		{"the list of stocks is held", NewLists([]Instrument{{Symbol: "600519.SH", Kind: market.Stock, Listed: day - 100, Delisted: market.NoDate}}), "2"},
	} {
		w.Lists = c.lists
		p, err := Data(wish, w)
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, i := range p.Issues {
			if i.Reason == fault.UnknownSymbols {
				found = i.Meta["count"]
				if i.Severity != fault.Warning || i.Meta["sample"] != "430001.BJ, 999998.SH" || !strings.Contains(i.Message, "999998.SH") {
					t.Errorf("%s: %+v", c.name, i)
				}
			}
		}
		if found != c.count {
			t.Errorf("%s: count %q, want %q (%v)", c.name, found, c.count, p.Issues)
		}
	}
}

func TestPartitionIDsAreEqualForEqualWork(t *testing.T) {
	for want, got := range map[string]string{
		"stock_basic":                            PartitionID("stock_basic", market.NoDate, market.NoDate, nil),
		"daily/2026-03-02":                       PartitionID("daily", day, day, nil),
		"daily/2026-03-02..2026-03-04/600519.SH": PartitionID("daily", day, day+2, []string{"600519.SH"}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	a, b := PartitionID("daily", day, day, []string{"1", "2"}), PartitionID("daily", day, day, []string{"1", "3"})
	if a == b || a != PartitionID("daily", day, day, []string{"1", "2"}) {
		t.Errorf("%q, %q", a, b)
	}
}

func TestSurvey(t *testing.T) {
	b := book{}
	for d := day - 7; d <= day-3; d++ {
		b.put(catalog.Daily, d, "", Complete, evening)
	}
	b.put(catalog.Daily, day-1, "", Complete, evening)     // a Sunday that traded, so it seems
	b.put(catalog.Daily, day-2, "", NotPublished, evening) // a Saturday that was assumed to be open
	b.put(catalog.TradeCal, market.NoDate, "", Complete, evening)
	each := func(yield func(Record) bool) error {
		for _, r := range b {
			yield(r)
		}
		return nil
	}
	days, err := Survey(datasets(catalog.TradeCal, catalog.Daily, catalog.Moneyflow), day-7, day, world(day.At(18, 30, market.Shanghai), b, 30), market.Universe, nil, each)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range days {
		got = append(got, fmt.Sprint(d.Dataset, " ", d.Date, " ", d.Verdict))
	}
	want := []string{
		"trade_cal  complete",
		"daily 2026-02-23 complete", "daily 2026-02-24 complete", "daily 2026-02-25 complete", "daily 2026-02-26 complete", "daily 2026-02-27 complete",
		"daily 2026-03-01 complete", "daily 2026-03-02 missing",
		"moneyflow 2026-02-23 missing", "moneyflow 2026-02-24 missing", "moneyflow 2026-02-25 missing", "moneyflow 2026-02-26 missing", "moneyflow 2026-02-27 missing",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
}

// Data before the window is fetched only if its dates are requested.
func TestSurveyTellsWhatIsFetchedAgain(t *testing.T) {
	b := book{}
	none := func(func(Record) bool) error { return nil }
	days, err := Survey(datasets(catalog.Daily), day-30, day, world(evening, b, 10), market.Universe, nil, none)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range days {
		if d.FetchedAgain != (d.Date >= day-10) {
			t.Errorf("%s of %s, with a window of ten days before %s: fetched again %v", d.Dataset, d.Date, day, d.FetchedAgain)
		}
	}
	if len(days) < 15 {
		t.Errorf("%d days", len(days))
	}
}

func TestSurveyOfTargetsSumsSymbols(t *testing.T) {
	b := book{}
	b[Key{catalog.Daily, day, "600519.SH"}] = Record{Key: Key{catalog.Daily, day, "600519.SH"}, Rows: 1, Expected: 1, Verdict: Complete, CommittedAt: evening}
	each := func(yield func(Record) bool) error {
		for _, r := range b {
			yield(r)
		}
		return nil
	}
	days, err := Survey(datasets(catalog.Daily, catalog.FundDaily), day, day, world(evening, b, 30), market.Targets, []string{"600519.SH", "000001.SZ"}, each)
	if err != nil || len(days) != 1 || days[0].Rows != 1 || days[0].Expected != 2 || days[0].Verdict != Incomplete {
		t.Errorf("%+v, %v", days, err)
	}
}

func threeYears(b *testing.B, pool market.Pool, symbols []string) (PoolState, book) {
	bk := book{}
	w := world(evening, bk, 1095)
	open, _ := w.Calendar.Days(day-1095, day)
	for _, d := range open {
		for _, id := range allDaily {
			if pool == market.Universe {
				bk.put(id, d, "", Complete, evening)
				continue
			}
			for _, s := range symbols {
				bk.put(id, d, s, Complete, evening)
			}
		}
	}
	b.ResetTimer()
	return w, bk
}

func BenchmarkPlanUniverse(b *testing.B) {
	w, _ := threeYears(b, market.Universe, nil)
	for b.Loop() {
		if _, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate}, w); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlanTargetsFromEmpty(b *testing.B) {
	symbols := symbolsOf(500)
	w := world(evening, book{}, 1095)
	for b.Loop() {
		if _, err := Data(PlanRequest{Pool: market.Targets, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate, Symbols: symbols}, w); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSurveyUniverse(b *testing.B) {
	w, bk := threeYears(b, market.Universe, nil)
	each := func(yield func(Record) bool) error {
		for _, r := range bk {
			yield(r)
		}
		return nil
	}
	for b.Loop() {
		if _, err := Survey(datasets(allDaily...), day-1095, day, w, market.Universe, nil, each); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	ds := catalog.Lookup(catalog.Daily)
	e := Expect(ds, day, Facts{ListKnown: true, Stocks: counts(2300, 2900, 290)})
	a := Answer{Rows: 5480, ByExchange: counts(2299, 2890, 290)}
	for b.Loop() {
		Judge(ds, day, a, e, Situation{Now: evening})
	}
}

func BenchmarkSurveyTargets(b *testing.B) {
	symbols := symbolsOf(100)
	w, bk := threeYears(b, market.Targets, symbols)
	each := func(yield func(Record) bool) error {
		for _, r := range bk {
			yield(r)
		}
		return nil
	}
	for b.Loop() {
		if _, err := Survey(datasets(allDaily...), day-1095, day, w, market.Targets, symbols, each); err != nil {
			b.Fatal(err)
		}
	}
}
