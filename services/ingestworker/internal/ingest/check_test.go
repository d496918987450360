package ingest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

var checkDay = market.NewDate(2026, 3, 2)

// prices returns a batch of valid daily rows; change may change one.
func prices(n int, change func(b *table.Batch, r int)) *table.Batch {
	ds := catalog.Lookup(catalog.Daily)
	b := table.New(ds.Specs(), n)
	for r := range n {
		for i := range b.Columns {
			c := &b.Columns[i]
			switch c.Name {
			case "ts_code":
				c.AppendText(fmt.Sprintf("6%05d.SH", r))
			case "trade_date":
				c.AppendDate(checkDay)
			default:
				c.AppendNumber(map[string]float64{"open": 10, "high": 11, "low": 9, "close": 10.5, "pre_close": 10, "change": 0.5, "pct_chg": 5, "vol": 100, "amount": 100}[c.Name])
			}
		}
		b.Len++
	}
	if change != nil {
		change(b, n/2)
	}
	return b
}

func setNumber(name string, v float64) func(*table.Batch, int) {
	return func(b *table.Batch, r int) { b.Column(name).Numbers[r] = v }
}

func setNull(name string) func(*table.Batch, int) {
	return func(b *table.Batch, r int) {
		c := b.Column(name)
		c.Null[r] = true
		switch c.Type {
		case table.Text:
			c.Texts[r] = ""
		case table.Date:
			c.Dates[r] = market.NoDate
		default:
			c.Numbers[r] = 0
		}
	}
}

func setSymbol(s string) func(*table.Batch, int) {
	return func(b *table.Batch, r int) { b.Column("ts_code").Texts[r] = s }
}

func TestRowChecks(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*table.Batch, int)
		rejected string
		doubtful string
		filtered int64
	}{
		{"right", nil, "", "", 0},
		{"high < low", func(b *table.Batch, r int) { b.Column("high").Numbers[r] = 8 }, "high < low", "", 0},
		{"high null", setNull("high"), "", "high is missing", 0},
		{"negative volume", setNumber("vol", -1), "vol < 0", "", 0},
		{"negative amount", setNumber("amount", -1), "amount < 0", "", 0},
		{"no close", setNull("close"), "close is missing", "", 0},
		{"no symbol", setNull("ts_code"), "ts_code is missing", "", 0},
		{"no date", setNull("trade_date"), "trade_date is missing", "", 0},
		{"another date", func(b *table.Batch, r int) { b.Column("trade_date").Dates[r] = checkDay - 1 }, "not a requested date", "", 0},
		{"no symbol at all", setSymbol("hello"), "ts_code is not a symbol", "", 0},
		{"an ETF among stocks", setSymbol("510300.SH"), "ts_code is a different kind of instrument", "", 0},
		{"a retired code", setSymbol("T00018.SH"), "", "", 1},
		{"another row of the key", setSymbol("600000.SH"), "", "", 0},
		{"same key, other values", func(b *table.Batch, r int) { setSymbol("600000.SH")(b, r); setNumber("vol", 7)(b, r) }, "duplicate of a previous row with the same key", "", 0},
		{"close outside", setNumber("close", 12), "", "close is outside the range from low to high", 0},
		{"open outside", setNumber("open", 8), "", "open is outside the range from low to high", 0},
		{"change wrong", setNumber("change", 0.6), "", "change is not close − pre_close", 0},
		{"volume × 100", setNumber("vol", 10_000), "", unitOff, 0},
		{"turnover ÷ 1000", setNumber("amount", 0.1), "", unitOff, 0},
	} {
		out := check(scope{ds: catalog.Lookup(catalog.Daily), start: checkDay, end: checkDay}, prices(9, c.change), nil)
		reason := ""
		if len(out.rejects) == 1 {
			reason = out.rejects[0].reason
			if !json.Valid([]byte(out.rejects[0].row)) || out.rejects[0].date != checkDay {
				t.Errorf("%s: kept as %+v", c.name, out.rejects[0])
			}
		}
		if reason != c.rejected || len(out.rejects) > 1 || out.filtered != c.filtered {
			t.Errorf("%s: rejected %+v, filtered %d", c.name, out.rejects, out.filtered)
		}
		doubt := strings.Join(out.samples, "")
		if (c.doubtful == "") != (doubt == "") || !strings.HasSuffix(doubt, c.doubtful) || len(out.doubtful) != len(out.samples) {
			t.Errorf("%s: doubtful %q, want %q", c.name, doubt, c.doubtful)
		}
		want := 9
		if c.rejected != "" || c.filtered > 0 || c.name == "another row of the key" {
			want = 8
		}
		if out.batch.Len != want {
			t.Errorf("%s: %d rows kept", c.name, out.batch.Len)
		}
	}
}

func TestBadCellsAreKeptAsTheyCame(t *testing.T) {
	out := check(scope{ds: catalog.Lookup(catalog.Daily), start: checkDay, end: checkDay}, prices(3, setNull("close")),
		[]table.BadCell{{Row: 1, Column: "close", Raw: `"n/a"`}})
	if len(out.rejects) != 1 || out.rejects[0].reason != "close cannot be read" || !strings.Contains(out.rejects[0].row, `n/a`) || !json.Valid([]byte(out.rejects[0].row)) {
		t.Errorf("%+v", out.rejects)
	}
}

func TestCrossFieldChecksOfBasicsAndFlows(t *testing.T) {
	for id, spoil := range map[string]string{catalog.DailyBasic: "total_share", catalog.Moneyflow: "buy_lg_vol"} {
		ds := catalog.Lookup(id)
		for _, wrong := range []bool{false, true} {
			b := table.New(ds.Specs(), 1)
			for i := range b.Columns {
				c := &b.Columns[i]
				switch c.Name {
				case "ts_code":
					c.AppendText("600519.SH")
				case "trade_date":
					c.AppendDate(checkDay)
				case "total_mv", "circ_mv":
					c.AppendNumber(100)
				default:
					c.AppendNumber(10)
				}
			}
			b.Len = 1
			if wrong {
				b.Column(spoil).Numbers[0] = 100
			}
			out := check(scope{ds: ds, start: checkDay, end: checkDay}, b, nil)
			if got := len(out.doubtful) == 1; got != wrong || out.batch.Len != 1 {
				t.Errorf("%s, spoilt %v: doubtful %v %v", id, wrong, out.doubtful, out.samples)
			}
		}
	}
}

func TestFundsThatAreNoETFsAreFilteredNotRejected(t *testing.T) {
	ds := catalog.Lookup(catalog.FundDaily)
	for symbol, want := range map[string][3]int{ // kept, filtered, rejected
		"510300.SH": {1, 0, 0}, "159915.SZ": {1, 0, 0}, "501018.SH": {0, 1, 0}, "160105.SZ": {0, 1, 0}, "1604221.SZ": {0, 1, 0},
		"009020.OF": {0, 1, 0}, "oops": {0, 0, 1}, "": {0, 0, 1},
	} {
		b := prices(1, setSymbol(symbol))
		out := check(scope{ds: ds, start: checkDay, end: checkDay}, b, nil)
		if got := [3]int{out.batch.Len, int(out.filtered), len(out.rejects)}; got != want {
			t.Errorf("%q: kept, filtered, rejected %v, want %v", symbol, got, want)
		}
	}
}

func TestHashTellsValuesAndNotTheirOrder(t *testing.T) {
	a, b := prices(5, nil), prices(5, nil).Select([]int{4, 2, 0, 1, 3})
	if hashAnswer(a, nil) != hashAnswer(b, nil) {
		t.Error("order changes the hash")
	}
	for _, change := range []func(*table.Batch, int){setNumber("vol", 101), setNull("amount"), setSymbol("600999.SH")} {
		if hashAnswer(prices(5, change), nil) == hashAnswer(a, nil) {
			t.Error("another value has the same hash")
		}
	}
}

func BenchmarkCheckDaily(b *testing.B) {
	batch := prices(5500, nil)
	sc := scope{ds: catalog.Lookup(catalog.Daily), start: checkDay, end: checkDay}
	b.ReportAllocs()
	for b.Loop() {
		check(sc, batch, nil)
	}
}
