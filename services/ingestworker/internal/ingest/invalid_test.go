package ingest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/providertest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// TestInvalidCells puts one invalid or extreme value into one row: that row is rejected or
// stored, and all other rows are stored as the provider has them.
func TestInvalidCells(t *testing.T) {
	p := oddProvider(300, 30)
	const code = "600008.SH"
	for name, c := range map[string]struct {
		api, column string
		value       any
		kept        bool // it is a value like any other
	}{
		"NaN text":          {catalog.Daily, "amount", "NaN", false},
		"Infinity text":     {catalog.Daily, "amount", "Infinity", false},
		"too large":         {catalog.Daily, "amount", "1e400", false},
		"huge int":          {catalog.Daily, "vol", "123456789012345678901234567890", false},
		"list":              {catalog.Daily, "vol", []int{1, 2}, false},
		"object":            {catalog.Daily, "open", map[string]any{"a": 1}, false},
		"bool":              {catalog.Daily, "open", true, false},
		"empty text":        {catalog.Daily, "amount", "", false},
		"no date":           {catalog.Daily, "trade_date", nil, false},
		"no such date":      {catalog.Daily, "trade_date", "20260230", false},
		"no code":           {catalog.Daily, "ts_code", nil, false},
		"long code":         {catalog.Daily, "ts_code", strings.Repeat("6", 10<<20), false},
		"long number":       {catalog.Daily, "open", strings.Repeat("9", 10<<20), false},
		"zero bytes":        {catalog.Daily, "ts_code", "6000\x00.SH", false},
		"long name":         {catalog.StockBasic, "name", strings.Repeat("名", 3<<20), true},
		"name with nul":     {catalog.StockBasic, "name", "a\x00b", true},
		"list date garbage": {catalog.StockBasic, "list_date", "00000000", false},
		"list date far":     {catalog.StockBasic, "list_date", "99991231", false},
		"open 2":            {catalog.TradeCal, "is_open", 2, false},
		"open huge":         {catalog.TradeCal, "is_open", 1e15, false},
		"open half":         {catalog.TradeCal, "is_open", 0.5, false},
		"open minus":        {catalog.TradeCal, "is_open", -1, false},
		"calendar garbage":  {catalog.TradeCal, "cal_date", "9999", false},
		"fee huge":          {catalog.FundBasic, "m_fee", 1e300, true},
	} {
		t.Run(name, func(t *testing.T) {
			start, end := lastDays(p, 1)
			p := oddProvider(300, 30)
			p.Change = func(api string, row map[string]any) bool {
				if api == "trade_cal" && c.api == api && row["cal_date"] == (end-1).Compact() || api == c.api && (row["ts_code"] == code || row["ts_code"] == "510000.SH") {
					row[c.column] = c.value
				}
				return true
			}
			r := newOddHarness(t, p)
			for _, pool := range market.Pools() {
				w := coverage.PlanRequest{Pool: pool, Datasets: everything, Start: start, End: end, Symbols: []string{code, "600000.SH", "510005.SH", "510000.SH"}}
				out, err := r.pass(w, 2, nil)
				if err != nil {
					t.Fatal(pool, err)
				}
				reported := false
				for _, o := range out {
					if o.err != nil {
						t.Errorf("%s %s: %v", pool, o.part.ID, cutText(o.err.Error()))
					}
					for _, i := range o.result.Issues {
						reported = reported || o.part.Dataset == c.api && (i.Reason == fault.RowsRejected || i.Reason == fault.RowsInconsistent || i.Reason == fault.Incomplete)
						if n := len(i.Message) + len(fmt.Sprint(i.Meta)); n > 4000 {
							t.Errorf("an issue of %d bytes", n)
						}
					}
				}
				if _, err := r.ing.Data(t.Context(), w); err != nil {
					t.Errorf("%s: no plan any more: %v", pool, err)
				}
				if concerned := pool == market.Universe || c.column != "ts_code" && c.column != "trade_date"; reported == c.kept && concerned {
					t.Errorf("%s: reported %v", pool, reported)
				}
			}
		})
	}
}

func cutText(s string) string { return s[:min(len(s), 300)] }

// TestCalendarWithAHole: days that no calendar names are never planned, so a
// calendar with a hole is not whole.
func TestCalendarWithAHole(t *testing.T) {
	for name, hole := range map[string]func(d market.Date) bool{
		"a week":    func(d market.Date) bool { return d >= market.NewDate(2025, 3, 3) && d <= market.NewDate(2025, 3, 9) },
		"two years": func(d market.Date) bool { return d.Time().Year() == 2022 || d.Time().Year() == 2023 },
	} {
		t.Run(name, func(t *testing.T) {
			p := oddProvider(50, 10)
			p.Change = func(api string, row map[string]any) bool {
				if api != "trade_cal" {
					return true
				}
				d, _ := market.ParseCompact(row["cal_date"].(string))
				return !hole(d)
			}
			r := newOddHarness(t, p)
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: market.NewDate(2025, 2, 27), End: market.NewDate(2025, 3, 12)}
			out, err := r.pass(w, 2, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range out {
				if o.part.Dataset == catalog.TradeCal && o.result.Held.Verdict == coverage.Complete {
					t.Errorf("%s", outcomes([]outcome{o}))
				}
			}
		})
	}
}

// TestDaysBeforeTheCalendar: a calendar that begins late hides no days.
func TestDaysBeforeTheCalendar(t *testing.T) {
	p := oddProvider(50, 10)
	p.Change = func(api string, row map[string]any) bool {
		return api != "trade_cal" || row["cal_date"].(string) >= "20260101"
	}
	r := newOddHarness(t, p)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: market.NewDate(2025, 3, 3), End: market.NewDate(2025, 3, 7)}
	out, err := r.pass(w, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 3+5*4 {
		t.Errorf("only %d partitions:%s", len(out), outcomes(out))
	}
}

// TestListsDenied: a list that no module needs and that the token may not fetch is reported, and is
// not a failure.
func TestListsDenied(t *testing.T) {
	p := oddProvider(100, 10)
	p.Answer = func(c providertest.Call, _ int, w http.ResponseWriter) bool {
		if c.API != catalog.StockBasic {
			return false
		}
		providertest.Send(w, providertest.Habits{}, `{"code":40203,"msg":"抱歉，您没有接口(stock_basic)访问权限，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。","data":null}`)
		return true
	}
	r := newOddHarness(t, p)
	start, end := lastDays(p, 2)
	for _, pool := range market.Pools() {
		w := coverage.PlanRequest{Pool: pool, Datasets: datasets(catalog.Daily), Start: start, End: end, Symbols: []string{"600000.SH"}}
		out, err := r.pass(w, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		reported := false
		for _, o := range out {
			if o.err != nil || !o.result.Held.Verdict.Settled() {
				t.Errorf("%s%s", pool, outcomes([]outcome{o}))
			}
			for _, i := range o.result.Issues {
				reported = reported || i.Reason == fault.PermissionDenied && i.Severity == fault.Warning
			}
		}
		if !reported {
			t.Errorf("%s: nothing is reported", pool)
		}
	}
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.StockBasic, catalog.Daily), Start: start, End: end}
	out, err := r.pass(w, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := false
	for _, o := range out {
		failed = failed || o.part.Dataset == catalog.StockBasic && fault.Is(o.err, fault.PermissionDenied)
	}
	if !failed {
		t.Errorf("a selected list that is denied must fail:%s", outcomes(out))
	}
}

// TestReferencesOncePerDay counts the calls of both pools, at once and again.
func TestReferencesOncePerDay(t *testing.T) {
	p := oddProvider(100, 10)
	p.Stocks = append(p.Stocks, p.Stocks[3]) // twice in the list
	odd := p.Stocks[5]
	odd.Status = "D" // and in another status too
	p.Stocks = append(p.Stocks, odd, providertest.Instrument{Code: "X123.SH", Status: "L", Listed: market.NewDate(2020, 1, 2), Delisted: market.NoDate})
	r := newOddHarness(t, p)
	start, end := lastDays(p, 1)
	for range 2 {
		done := make(chan error)
		for _, pool := range market.Pools() {
			go func() {
				_, err := r.pass(coverage.PlanRequest{Pool: pool, Datasets: everything, Start: start, End: end, Symbols: []string{"600000.SH", "510000.SH"}}, 2, nil)
				done <- err
			}()
		}
		for range market.Pools() {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	for k, n := range p.Calls {
		if (strings.HasPrefix(k, "stock_basic") || strings.HasPrefix(k, "fund_basic")) && n != 1 {
			t.Errorf("%s was asked %d times", k, n)
		}
	}
}

// TestMissingFieldKeepsWhatIsHeld: a reply that lacks a field must not wipe out the
// values held.
func TestMissingFieldKeepsWhatIsHeld(t *testing.T) {
	p := oddProvider(100, 10)
	r := newOddHarness(t, p)
	start, end := lastDays(p, 1)
	symbols := []string{"600000.SH", "000001.SZ"}
	for _, pool := range market.Pools() {
		r.settle(coverage.PlanRequest{Pool: pool, Datasets: everything, Start: start, End: end, Symbols: symbols}, 3)
	}
	p.Do(func() {
		p.Change = func(api string, row map[string]any) bool {
			if api == catalog.Daily || api == catalog.Moneyflow {
				delete(row, "amount")
				delete(row, "net_mf_amount")
			}
			return true
		}
	})
	for _, pool := range market.Pools() {
		w := coverage.PlanRequest{Pool: pool, Datasets: everything, Start: start, End: end, Symbols: symbols, Refetch: true}
		if _, err := r.pass(w, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.Do(func() { p.Change = nil })
	r.sameAs(p, market.Universe, start, end, nil)
	r.sameAs(p, market.Targets, start, end, symbols)
}
