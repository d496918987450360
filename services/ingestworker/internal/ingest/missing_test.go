package ingest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/providertest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// verdict returns the verdict of the targets pool for a key; missing if there is none.
func (r *harness) verdict(dataset, symbol string, d market.Date) coverage.Verdict {
	held, ok := r.sinks[market.Targets].Held(coverage.Key{Dataset: dataset, Date: d, Symbol: symbol})
	if !ok {
		return coverage.Missing
	}
	return held.Verdict
}

// firstIssue returns the first issue of the outcomes with a reason.
func firstIssue(out []outcome, reason fault.Reason) (fault.Issue, bool) {
	for _, o := range out {
		for _, i := range o.result.Issues {
			if i.Reason == reason {
				return i, true
			}
		}
	}
	return fault.Issue{}, false
}

func codesOf(list []providertest.Instrument, n int) []string {
	var out []string
	for _, i := range list {
		if len(out) < n && (strings.HasPrefix(i.Code, "60") || strings.HasPrefix(i.Code, "00") || market.IsETF(i.Code)) {
			out = append(out, i.Code)
		}
	}
	return out
}

// TestClosedDayIsNoTradingDay answers spans, and nothing else, with rows of a Saturday
// and of a holiday as well.
func TestClosedDayIsNoTradingDay(t *testing.T) {
	p := oddProvider(200, 30)
	start, end := lastDays(p, 8)
	holiday := p.Open(start, end)[3]
	closed := p.Closed
	p.Closed = func(d market.Date) bool { return d == holiday || closed != nil && closed(d) }
	saturday := start
	for saturday.Time().Weekday() != 6 {
		saturday++
	}
	p.Also = func(api string, params map[string]string) (out []map[string]any) {
		if api != catalog.FundDaily || params["ts_code"] == "" {
			return nil
		}
		for _, d := range []market.Date{holiday, saturday} {
			row := map[string]any{"ts_code": params["ts_code"], "trade_date": d.Compact(), "vol": 1.0, "amount": 0.2}
			for _, c := range []string{"open", "high", "low", "close", "pre_close"} {
				row[c] = 2.0
			}
			row["change"], row["pct_chg"] = 0.0, 0.0
			out = append(out, row)
		}
		return out
	}
	r := newOddHarness(t, p)
	symbols := codesOf(p.Funds, 2)
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
	out, err := r.pass(w, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if i, ok := firstIssue(out, fault.RowsRejected); !ok || !strings.Contains(i.Message, "closed day") {
		t.Errorf("rows of a closed day are not reported: %v", i)
	}
	for _, o := range out {
		if !o.result.Held.Verdict.Settled() {
			t.Errorf("%s is %s: %v", o.part.ID, o.result.Held.Verdict, o.result.Issues)
		}
	}
	for _, s := range symbols {
		for _, d := range []market.Date{holiday, saturday} {
			if v := r.verdict(catalog.FundDaily, s, d); v != coverage.Missing {
				t.Errorf("%s has a record of the closed day %s: %s", s, d, v)
			}
		}
	}
	r.sameAs(p, market.Targets, start, end, symbols)
	r.close()
	for _, d := range []market.Date{holiday, saturday} {
		if n := len(r.stored(market.Targets, catalog.Lookup(catalog.FundDaily), "trade_date = '"+d.String()+"'")); n > 0 {
			t.Errorf("%d rows of the closed day %s are stored", n, d)
		}
	}
	r.open()
}

// TestWeekdayBeyondTheCalendarIsKept fetches a day that the calendar held does not
// reach: it is a guess that it is open, and no reason to reject its rows.
func TestWeekdayBeyondTheCalendarIsKept(t *testing.T) {
	p := oddProvider(200, 30)
	start, end := lastDays(p, 3)
	p.Change = func(api string, row map[string]any) bool {
		return api != catalog.TradeCal || row["cal_date"].(string) < end.Compact()
	}
	r := newOddHarness(t, p)
	symbols := codesOf(p.Stocks, 3)
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
	out, err := r.pass(w, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if i, ok := firstIssue(out, fault.RowsRejected); ok {
		t.Errorf("rejected: %v", i)
	}
	r.sameAs(p, market.Targets, start, end, symbols)
}

// TestLongLists refuses or cuts lists of symbols: every row comes all the same, in few
// calls, and the length that works is kept.
func TestLongLists(t *testing.T) {
	for _, most := range []int{90, 30, 7, 1} {
		for _, cut := range []bool{false, true} {
			p := oddProvider(400, 30)
			start, end := lastDays(p, 9)
			symbols := codesOf(p.Stocks, 240)
			p.MostCodes, p.CutCodes = most, cut
			for _, n := range []int{3, 77, 150} { // suspended for the whole span
				code := symbols[n]
				for i := range p.Stocks {
					if p.Stocks[i].Code == code {
						p.Stocks[i].Idle = func(d market.Date) bool { return d >= start-30 }
					}
				}
			}
			r := newOddHarness(t, p)
			w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
			refs, err := r.ing.References(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			r.all(refs.Partitions, 1)
			days := p.Open(start, end)
			var parts []coverage.Partition
			for chunk := range slices.Chunk(symbols, 100) {
				parts = append(parts, coverage.Partition{
					ID: coverage.PartitionID(catalog.Daily, start, end, chunk), Pool: market.Targets, Dataset: catalog.Daily, Start: start, End: end, Symbols: chunk,
				})
			}
			calls := 0
			for _, o := range r.all(parts, 1) {
				if o.err != nil || !o.result.Held.Verdict.Settled() {
					t.Errorf("at most %d, cut %v: %s is %s: %v %v", most, cut, o.part.ID, o.result.Held.Verdict, o.result.Issues, o.err)
				}
				calls += o.result.Calls
			}
			if bound := len(symbols)/most + 40 + 3*len(days); calls > bound {
				t.Errorf("at most %d, cut %v: %d calls, more than %d", most, cut, calls, bound)
			}
			for n, s := range symbols {
				want := coverage.Complete
				if n == 3 || n == 77 || n == 150 {
					want = coverage.ExpectedEmpty
				}
				for _, d := range days {
					if v := r.verdict(catalog.Daily, s, d); v != want {
						t.Fatalf("at most %d, cut %v: %s of %s is %s, want %s", most, cut, s, d, v, want)
					}
				}
			}
			plan, err := r.ing.Data(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			planned := 0
			for _, x := range plan.Partitions {
				if x.Dataset == catalog.Daily {
					planned += x.Calls
				}
			}
			// Days without proof are fetched again, and that is no list any more.
			if planned > len(days) {
				t.Errorf("at most %d, cut %v: %d calls of daily are planned again", most, cut, planned)
			}
		}
	}
}

// TestLongListsThatFail: a long list fails like a temporary error. Only a call with one symbol
// shows that the length is the cause. If that call fails, too, the list is not halved.
func TestLongListsThatFail(t *testing.T) {
	for _, down := range []bool{false, true} {
		p := oddProvider(200, 30)
		start, end := lastDays(p, 40)
		symbols := codesOf(p.Stocks, 80)
		p.Answer = func(c providertest.Call, _ int, w http.ResponseWriter) bool {
			fails := c.API == catalog.Daily && (down || strings.Count(c.Params["ts_code"], ",") >= 30)
			if fails {
				http.Error(w, "busy", http.StatusInternalServerError)
			}
			return fails
		}
		r := newOddHarness(t, p)
		w := coverage.PlanRequest{Pool: market.Targets, Datasets: datasets(catalog.TradeCal, catalog.StockBasic, catalog.Daily), Start: start, End: end, Symbols: symbols}
		out, err := r.pass(w, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out {
			if down && o.part.Dataset == catalog.Daily {
				if !fault.Is(o.err, fault.ProviderUnavailable) {
					t.Errorf("%s while the provider is down: %v", o.part.ID, o.err)
				}
			} else if o.err != nil {
				t.Errorf("%s: %v", o.part.ID, o.err)
			}
		}
		if most := 2 * 2 * len(out); down && p.Count(catalog.Daily) > most {
			t.Errorf("%d calls of a provider that is down for %d partitions", p.Count(catalog.Daily), len(out))
		}
	}
}

// TestAnotherDatasetProvesAMissingRow lets one dataset lack the row of one symbol that
// the others have, on the newest day and on an older one.
func TestAnotherDatasetProvesAMissingRow(t *testing.T) {
	for _, lacks := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
		for _, back := range []int{0, 4} {
			p := oddProvider(200, 30)
			start, end := lastDays(p, 8)
			days := p.Open(start, end)
			on := days[len(days)-1-back]
			symbols := codesOf(p.Stocks, 5)
			code := symbols[2]
			hides := true
			p.Change = func(api string, row map[string]any) bool {
				return !hides || api != lacks || row["ts_code"] != code || row["trade_date"] != on.Compact()
			}
			r := newOddHarness(t, p)
			w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
			out, err := r.pass(w, 2, nil)
			if err != nil {
				t.Fatal(err)
			}
			i, ok := firstIssue(out, fault.SymbolsMissing)
			if !ok || i.Meta["dataset"] != lacks || !strings.Contains(i.Meta["sample"], code) || i.Severity != fault.Retry {
				t.Errorf("%s lacks a row %d days back: %+v", lacks, back, i)
			}
			if v := r.verdict(lacks, code, on); v != coverage.Incomplete {
				t.Errorf("%s lacks a row %d days back: the key is %s", lacks, back, v)
			}
			if !slices.ContainsFunc(out, func(o outcome) bool { return !o.result.Held.Verdict.Settled() }) {
				t.Errorf("%s lacks a row %d days back: every partition is settled", lacks, back)
			}
			plan, err := r.ing.Data(t.Context(), w)
			if err != nil || len(plan.Partitions) == 0 {
				t.Fatal(plan, err)
			}
			for _, x := range plan.Partitions {
				if x.Dataset != lacks {
					t.Errorf("%s is planned though %s lacks a row", x.ID, lacks)
				}
			}
			p.Do(func() { hides = false })
			r.settle(w, 2)
			r.sameAs(p, market.Targets, start, end, symbols)
		}
	}
}

// TestPreCloseProvesAMissingRow omits a day in the middle of the rows of an ETF, which no other
// dataset has.
func TestPreCloseProvesAMissingRow(t *testing.T) {
	for name, evenings := range map[string]bool{"in one fill": false, "evening after evening": true} {
		t.Run(name, func(t *testing.T) {
			p := oddProvider(60, 60)
			start, end := lastDays(p, 9)
			days := p.Open(start, end)
			symbols := codesOf(p.Funds, 5)
			code, idle, on := symbols[2], symbols[3], days[4]
			for i := range p.Funds {
				if p.Funds[i].Code == idle {
					p.Funds[i].Idle = func(d market.Date) bool { return d == days[5] || d == days[6] }
				}
			}
			hides := true
			p.Change = func(api string, row map[string]any) bool {
				return !hides || api != catalog.FundDaily || row["ts_code"] != code || row["trade_date"] != on.Compact()
			}
			r := newOddHarness(t, p)
			w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
			var out []outcome
			if evenings {
				for _, d := range days {
					w.Start, w.End = d, d
					now, err := r.pass(w, 2, nil)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, now...)
				}
				w.Start = start
			} else {
				var err error
				if out, err = r.pass(w, 2, nil); err != nil {
					t.Fatal(err)
				}
			}
			i, ok := firstIssue(out, fault.SymbolsMissing)
			if !ok || !strings.Contains(i.Meta["sample"], code) || i.Meta["proof"] != coverage.PreClose || strings.Contains(i.Meta["sample"], idle) {
				t.Errorf("the missing row is not reported: %+v", i)
			}
			if v := r.verdict(catalog.FundDaily, code, on); v != coverage.Incomplete {
				t.Errorf("the missing row's key is %s", v)
			}
			if v := r.verdict(catalog.FundDaily, idle, days[5]); v != coverage.ExpectedEmpty {
				t.Errorf("an idle day is %s", v)
			}
			plan, err := r.ing.Data(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(plan.Partitions, func(x coverage.Partition) bool {
				return x.Start == on && x.End == on && slices.Contains(x.Symbols, code)
			}) {
				t.Errorf("the day is not asked for whole: %v", plan.Partitions)
			}
			p.Do(func() { hides = false })
			r.settle(w, 3)
			r.sameAs(p, market.Targets, start, end, symbols)
		})
	}
}

// TestMangledCode lets the row of one symbol come under a code with a digit too many,
// or written in another way.
func TestMangledCode(t *testing.T) {
	for _, code := range []string{"1600002.SH", "6000002.SH", "600002", "600002.SS", "60002.SH", "sh600002"} {
		p := oddProvider(200, 30)
		start, end := lastDays(p, 1)
		symbols := []string{"600000.SH", "600002.SH", "600004.SH"}
		mangles := true
		p.Change = func(api string, row map[string]any) bool {
			if mangles && row["ts_code"] == "600002.SH" && api != catalog.StockBasic {
				row["ts_code"] = code
			}
			return true
		}
		r := newOddHarness(t, p)
		w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
		out, err := r.pass(w, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i, ok := firstIssue(out, fault.RowsRejected); !ok || !strings.Contains(i.Message, code) || !strings.Contains(i.Message, "600002.SH") {
			t.Errorf("%s: not reported: %v", code, i)
		}
		for _, id := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
			if v := r.verdict(id, "600002.SH", end); v != coverage.Incomplete {
				t.Errorf("%s: %s is %s", code, id, v)
			}
		}
		p.Do(func() { mangles = false })
		r.settle(w, 2)
		r.sameAs(p, market.Targets, start, end, symbols)
	}
}

// TestUnlistedSymbolIsNotSettled asks for an old BJ code, which no list knows and of
// which no row comes.
func TestUnlistedSymbolIsNotSettled(t *testing.T) {
	p := oddProvider(200, 30)
	start, end := lastDays(p, 4)
	const old = "830799.BJ"
	r := newOddHarness(t, p)
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: []string{"600000.SH", old}}
	for range 2 {
		out, err := r.pass(w, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i, ok := firstIssue(out, fault.UnknownSymbols); !ok || !strings.Contains(i.Message, old) {
			t.Errorf("not reported: %v", i)
		}
		for _, d := range p.Open(start, end) {
			for _, id := range []string{catalog.Daily, catalog.DailyBasic} {
				if v := r.verdict(id, old, d); v.Settled() {
					t.Errorf("%s of %s is %s", id, d, v)
				}
			}
		}
	}
}

// TestSuspendedIsListed fetches a symbol that did not trade: nothing is missing, and its name is in
// the partition's issues and in the pool's coverage.
func TestSuspendedIsListed(t *testing.T) {
	p := oddProvider(200, 30)
	start, end := lastDays(p, 2)
	symbols := codesOf(p.Stocks, 4)
	for i := range p.Stocks {
		if p.Stocks[i].Code == symbols[1] {
			p.Stocks[i].Idle = func(d market.Date) bool { return d == end }
		}
	}
	r := newOddHarness(t, p)
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
	out, err := r.pass(w, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if i, ok := firstIssue(out, fault.SymbolsAbsent); !ok || !strings.Contains(i.Meta["sample"], symbols[1]) || i.Severity != fault.Warning {
		t.Errorf("not reported: %+v", i)
	}
	if i, ok := firstIssue(out, fault.SymbolsMissing); ok {
		t.Errorf("reported as missing: %v", i)
	}
	days, err := r.ing.Survey(t.Context(), market.Targets, everything, end, end, symbols)
	if err != nil {
		t.Fatal(err)
	}
	listed := false
	for _, d := range days {
		for _, i := range d.Issues {
			listed = listed || i.Reason == fault.SymbolsAbsent && d.Dataset == catalog.Daily && strings.Contains(i.Meta["sample"], symbols[1])
		}
	}
	if !listed {
		t.Errorf("coverage does not name it: %+v", days)
	}
	plan, err := r.ing.Data(t.Context(), w)
	if err != nil || len(plan.Partitions) > 0 {
		t.Errorf("planned again: %v %v", plan.Partitions, err)
	}
}

// TestALongSuspensionIsToldOnce: a target without a row is reported on the first evening, not on
// the following ones, and again after it has traded.
func TestALongSuspensionIsToldOnce(t *testing.T) {
	r := newHarness(t, tiny())
	_, end := r.span(1)
	halted, beside := r.traded(end), r.tradedBeside(end)
	symbols := []string{beside, halted}
	slices.Sort(symbols)
	w, days := r.evenings(market.Targets, 7, symbols)
	for n, d := range days {
		suspended := n < 4 || n == 6
		if suspended {
			if _, err := r.sim.Suspend(tusharesim.Suspension{TradeDate: d.Compact(), Codes: []string{halted}}); err != nil {
				t.Fatal(err)
			}
		}
		w.End = d
		reported := false
		for range 2 { // the previous day is checked again
			out, err := r.pass(w, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range out {
				reported = reported || slices.ContainsFunc(o.result.Issues, func(i fault.Issue) bool { return i.Reason == fault.SymbolsAbsent })
			}
		}
		if want := n == 0 || n == 6; reported != want {
			t.Errorf("evening %d: reported %v, want %v", n, reported, want)
		}
		if held, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: catalog.Daily, Date: d, Symbol: halted}); (held.Verdict == coverage.ExpectedEmpty) != suspended {
			t.Errorf("evening %d: %s", n, held.Verdict)
		}
	}
}
