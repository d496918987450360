package evidence

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

var monday = market.NewDate(2026, 3, 2)

// quotes returns rows of n stocks whose prices and volumes depend on step; change may change a row.
func quotes(n, step int, change func(r int, row map[string]float64)) *table.Batch {
	ds := catalog.Lookup(catalog.Daily)
	b := table.New(ds.Specs(), n)
	for r := range n {
		last := 10 + float64(r%7) + float64(step)*0.13
		row := map[string]float64{
			"open": last - 0.01, "high": last + 0.02, "low": last - 0.13, "close": last, "pre_close": last - 0.13, "change": 0.13 * float64(1+step),
			"pct_chg": 1 + float64(step)/10, "vol": float64(1000 + 17*r + 31*step), "amount": float64(1000+17*r+31*step) * last / 10,
		}
		if change != nil {
			change(r, row)
		}
		appendRow(b, fmt.Sprintf("%06d.SZ", r), step, row)
	}
	return b
}

func appendRow(b *table.Batch, symbol string, step int, row map[string]float64) {
	for i := range b.Columns {
		switch c := &b.Columns[i]; c.Name {
		case "ts_code":
			c.AppendText(symbol)
		case "trade_date":
			c.AppendDate(monday + market.Date(step))
		default:
			c.AppendNumber(row[c.Name])
		}
	}
	b.Len++
}

func day(step int, b *table.Batch) *Day {
	return NewDay(catalog.Lookup(catalog.Daily), monday+market.Date(step), b)
}

func TestSymbolsSortAndReadBack(t *testing.T) {
	last := Symbol(0)
	for _, s := range []string{"000001.SZ", "430017.BJ", "510300.SH", "600519.SH", "920992.BJ"} {
		x, ok := SymbolOf(s)
		if !ok || x <= last || x.String() != s {
			t.Errorf("%s is %d, %q, %v", s, x, x, ok)
		}
		last = x
	}
	for _, s := range []string{"", "600519", "1600519.SH", "60051x.SH", "600519.XX", "600519-SH"} {
		if _, ok := SymbolOf(s); ok {
			t.Errorf("%q was taken for a symbol", s)
		}
	}
}

func TestRepeatedTellsAShareAndColumns(t *testing.T) {
	before, after := quotes(600, 0, nil), quotes(600, 1, nil)
	if f, ok := PairOf(day(1, after), day(0, before)).Repeated(nil); ok {
		t.Errorf("days that move: %+v", f)
	}
	stale := func(share int, columns ...string) *table.Batch {
		b := quotes(600, 1, nil)
		for r := range 600 {
			if r%100 < share {
				for _, name := range columns {
					b.Column(name).Numbers[r] = before.Column(name).Numbers[r]
				}
			}
		}
		return b
	}
	all := []string{"open", "high", "low", "close", "pre_close", "change", "pct_chg", "vol", "amount"}
	for _, c := range []struct {
		name  string
		batch *table.Batch
		want  bool
	}{
		{"all", stale(100, all...), true}, {"two in a hundred", stale(2, all...), true}, {"volume alone", stale(100, "vol"), true},
		{"close alone, as on a calm day", stale(30, "close"), false}, {"close alone", stale(100, "close"), true},
	} {
		f, ok := PairOf(day(1, c.batch), day(0, before)).Repeated(nil)
		if ok != c.want || ok && (f.Reason != fault.ValuesRepeated || !f.False()) {
			t.Errorf("%s: %v %+v", c.name, ok, f)
		}
	}
	idle := func(r int, row map[string]float64) { row["vol"], row["amount"], row["change"] = 0, 0, 0 }
	same := quotes(600, 0, idle)
	if got := RepeatedSymbols(day(1, same), day(0, same)); len(got) != 0 {
		t.Errorf("%d idle symbols count as repeated", len(got))
	}
}

// TestConfirmedByDaily: a row of daily_basic that has the values of the day before is
// genuine where the date's daily gives the same close and turnover.
func TestConfirmedByDaily(t *testing.T) {
	daily := day(1, quotes(4, 1, func(r int, row map[string]float64) {
		row["close"], row["vol"] = 10, 1000
		switch r {
		case 1:
			row["vol"] = 1010
		case 2:
			row["close"] = 10.01
		}
	}))
	ds := catalog.Lookup(catalog.DailyBasic)
	b := table.New(ds.Specs(), 4)
	for r := range 4 {
		for i := range b.Columns {
			switch c := &b.Columns[i]; {
			case c.Name == "ts_code":
				c.AppendText(fmt.Sprintf("%06d.SZ", r))
			case c.Name == "trade_date":
				c.AppendDate(monday + 1)
			case c.Name == "close":
				c.AppendNumber(10)
			case c.Name == "float_share":
				c.AppendNumber(2000)
			case c.Name == "turnover_rate" && r < 3:
				c.AppendNumber(0.5) // 1000 手 of 2000 万股
			default:
				c.AppendNull()
			}
		}
		b.Len++
	}
	got := Confirmed(NewDay(ds, monday+1, b), daily)
	if want, _ := SymbolOf("000000.SZ"); len(got) != 1 || !got[want] {
		t.Errorf("confirmed are %v", got)
	}
}

// valuation returns n rows of daily_basic whose ratios follow the close; change may change a row.
func valuation(n, step int, change func(r int, row map[string]float64)) *Day {
	ds := catalog.Lookup(catalog.DailyBasic)
	b := table.New(ds.Specs(), n)
	for r := range n {
		last := 10 + float64(r%7) + float64(step)*0.13
		row := map[string]float64{"close": last, "total_share": 9000, "float_share": 6000, "free_share": 3000, "turnover_rate": float64(r+7*step) / 100,
			"turnover_rate_f": float64(r+7*step) / 50, "volume_ratio": 1 + float64(step+r%3)/10, "total_mv": 9000 * last, "circ_mv": 6000 * last}
		for _, ratio := range []string{"pe", "pe_ttm", "pb", "ps", "ps_ttm"} {
			row[ratio] = last * float64(1+r%5)
		}
		row["dv_ratio"], row["dv_ttm"] = 20/last, 21/last
		if change != nil {
			change(r, row)
		}
		exchange := []string{"SZ", "SH", "SZ", "SH", "BJ"}[r%5]
		appendRow(b, fmt.Sprintf("%06d.%s", r, exchange), step, row)
	}
	return NewDay(ds, monday+market.Date(step), b)
}

// TestStaleRatiosAreTold: a stale ratio in some rows is found because the close has moved, and a
// stale column of one exchange because of its share of equal values.
func TestStaleRatiosAreTold(t *testing.T) {
	before := valuation(600, 0, nil)
	old := map[string]float64{}
	valuation(600, 0, func(r int, row map[string]float64) {
		old[fmt.Sprint(r)], old[fmt.Sprint(r, "v")] = row["pe"], row["volume_ratio"]
	})
	for _, c := range []struct {
		name  string
		spoil func(r int, row map[string]float64)
		want  bool
	}{
		{"ratios that follow", nil, false},
		{"a tenth of the ratios", func(r int, row map[string]float64) {
			if r%10 == 0 {
				row["pe"] = old[fmt.Sprint(r)]
			}
		}, true},
		{"a few of the ratios", func(r int, row map[string]float64) {
			if r%150 == 0 {
				row["pe"] = old[fmt.Sprint(r)]
			}
		}, false},
		{"another column of Beijing", func(r int, row map[string]float64) {
			if r%5 == 4 {
				row["volume_ratio"] = old[fmt.Sprint(r, "v")]
			}
		}, true},
	} {
		if f, ok := PairOf(valuation(600, 1, c.spoil), before).Repeated(valuation(600, -1, nil)); ok != c.want {
			t.Errorf("%s: %v %+v", c.name, ok, f)
		}
	}
}

func TestJumpedTellsAUnit(t *testing.T) {
	before := valuation(600, 0, nil)
	for _, c := range []struct {
		name   string
		column string
		factor float64
		where  func(r int) bool
		want   bool
	}{
		{"shares for 万股", "total_share", 1e4, func(int) bool { return true }, true},
		{"a tenth", "pb", 0.1, func(int) bool { return true }, true},
		{"twice", "pb", 2, func(int) bool { return true }, false},
		{"Beijing alone", "total_share", 1e4, func(r int) bool { return r%5 == 4 }, true},
		{"four times the turnover, as after a calm", "turnover_rate", 4, func(int) bool { return true }, false},
		{"ten times the turnover", "turnover_rate", 10, func(int) bool { return true }, true},
		{"a hundred times the turnover", "turnover_rate", 100, func(int) bool { return true }, true},
		{"a few", "total_share", 1e4, func(r int) bool { return r%50 == 0 }, false},
	} {
		day := valuation(600, 1, func(r int, row map[string]float64) {
			if c.where(r) {
				row[c.column] *= c.factor
			}
		})
		for _, f := range []func() (Finding, bool){func() (Finding, bool) { return PairOf(day, before).jumped() }, func() (Finding, bool) { return PairOf(before, day).jumped() }} {
			if f, ok := f(); ok != c.want || ok && (f.Reason != fault.UnitSuspect || !f.False()) {
				t.Errorf("%s: %v %+v", c.name, ok, f)
			}
		}
	}
}

// TestShuffledTellsTheValuesOfOtherRows, and not those of companies that all report, or a
// provider whose values mean nothing.
func TestShuffledTellsTheValuesOfOtherRows(t *testing.T) {
	before, beyond := valuation(600, 0, nil), valuation(600, -1, nil)
	other := func(r int) float64 { return float64(1 + r*7919%97) }
	for _, c := range []struct {
		name  string
		spoil func(r int, row map[string]float64)
		want  bool
	}{
		{"their own", nil, false},
		{"those of other rows", func(r int, row map[string]float64) { row["pe"] = other(r) }, true},
		{"shares of other rows", func(r int, row map[string]float64) { row["float_share"] = other(r) }, false}, // all shares are alike here
		{"those of other rows of Beijing", func(r int, row map[string]float64) {
			if r%5 == 4 {
				row["ps"] = other(r)
			}
		}, true},
		{"all reported", func(r int, row map[string]float64) { row["pe_ttm"] *= 1 + float64(r%3)/4 }, false},
		{"new reports", func(r int, row map[string]float64) {
			for n, ratio := range []string{"pe", "pe_ttm", "pb", "ps", "ps_ttm", "dv_ratio", "dv_ttm"} {
				row[ratio] = other(r + n)
			}
		}, false},
		{"another unit", func(_ int, row map[string]float64) { row["pb"] *= 100 }, false},
	} {
		day := valuation(600, 1, c.spoil)
		if f, ok := PairOf(day, before).Shuffled(beyond); ok != c.want || ok && (f.Reason != fault.ValuesConflict || !f.False()) {
			t.Errorf("%s: %v %+v", c.name, ok, f)
		}
	}
	odd := func(step int) *Day {
		return valuation(600, step, func(r int, row map[string]float64) { row["pb"] = other(r*31 + step*1017) })
	}
	if f, ok := PairOf(odd(1), odd(0)).Shuffled(odd(-1)); ok {
		t.Errorf("a provider whose ratios mean nothing is blamed: %+v", f)
	}
}

// TestDiffersTellsColumnsThatChangedPlacesOrDecimals, and whose volume ratio is that of
// another row, in the market or on an exchange.
func TestDiffersTellsColumnsThatChangedPlacesOrDecimals(t *testing.T) {
	vary := func(spoil func(r int, row map[string]float64)) func(r int, row map[string]float64) {
		return func(r int, row map[string]float64) {
			row["pe_ttm"] *= 0.9 + 0.0037*float64(r%7)
			for _, ratio := range []string{"pe", "pe_ttm", "pb", "ps", "ps_ttm", "dv_ratio", "dv_ttm"} {
				row[ratio] = math.Round(1e4*row[ratio]*1.0123) / 1e4
			}
			if spoil != nil {
				spoil(r, row)
			}
		}
	}
	swap := func(row map[string]float64) { row["pe"], row["pe_ttm"] = row["pe_ttm"], row["pe"] }
	whole := func(row map[string]float64) { row["pb"] = math.Round(row["pb"]) }
	before := valuation(600, 0, vary(nil))
	for _, c := range []struct {
		name, column string
		spoil        func(r int, row map[string]float64)
	}{
		{"nothing", "", nil},
		{"swapped", "pe and pe_ttm", func(_ int, row map[string]float64) { swap(row) }},
		{"swapped in Beijing", "pe and pe_ttm", func(r int, row map[string]float64) {
			if r%5 == 4 {
				swap(row)
			}
		}},
		{"swapped in one row of three", "", func(r int, row map[string]float64) {
			if r%3 == 0 {
				swap(row)
			}
		}},
		{"rounded", "pb", func(_ int, row map[string]float64) { whole(row) }},
		{"rounded in Shanghai", "pb", func(r int, row map[string]float64) {
			if r%5 == 1 || r%5 == 3 {
				whole(row)
			}
		}},
		{"rounded in one row of five", "", func(r int, row map[string]float64) {
			if r%7 == 0 {
				whole(row)
			}
		}},
	} {
		day := valuation(600, 1, vary(c.spoil))
		for _, both := range [][2]*Day{{day, before}, {before, day}} {
			f, ok := PairOf(both[0], both[1]).Differs()
			if ok != (c.column != "") || ok && (f.Reason != fault.ValuesConflict || !slices.Contains(f.Meta, c.column)) {
				t.Errorf("%s: %v %+v", c.name, ok, f)
			}
		}
	}
	follows := func(row func(r int) int) func(r int, values map[string]float64) {
		return func(r int, values map[string]float64) { values["volume_ratio"] = float64(1+row(r)*37%91) / 20 }
	}
	own := func(step int) *Day {
		return valuation(600, step, func(r int, row map[string]float64) {
			follows(func(r int) int { return r })(r, row)
			row["turnover_rate"] = row["volume_ratio"]
		})
	}
	other := valuation(600, 1, func(r int, row map[string]float64) {
		follows(func(r int) int { return r })(r, row)
		row["turnover_rate"] = row["volume_ratio"]
		follows(func(r int) int { return r + 1 })(r, row)
	})
	if f, ok := PairOf(own(1), own(0)).Shuffled(own(-1)); ok {
		t.Errorf("volume ratios that follow the turnover: %+v", f)
	}
	if f, ok := PairOf(other, own(0)).Shuffled(own(-1)); !ok || !slices.Contains(f.Meta, "volume_ratio") {
		t.Errorf("volume ratios of other rows: %v %+v", ok, f)
	}
	if f, ok := PairOf(own(1), own(0)).Shuffled(other); ok {
		t.Errorf("a provider whose volume ratio does not follow the turnover is blamed: %+v", f)
	}
}

// TestFewRowsAreJudgedByThemselves: which faults of a watch list show in a single row, which only
// in several, and which rows are right.
func TestFewRowsAreJudgedByThemselves(t *testing.T) {
	own := func(spoil func(r int, row map[string]float64)) func(r int, row map[string]float64) {
		return func(r int, row map[string]float64) {
			row["pe_ttm"], row["ps_ttm"] = row["pe"]*1.217, row["ps"]*0.883
			for _, ratio := range []string{"pe", "pe_ttm", "pb", "ps", "ps_ttm"} {
				row[ratio] *= 1 + 0.0123*float64(1+r%5) // four decimals that differ
			}
			row["volume_ratio"] = row["turnover_rate"] * 3
			if spoil != nil {
				spoil(r, row)
			}
		}
	}
	names := []string{"pe", "pe_ttm", "pb", "ps", "ps_ttm"}
	before, beyond := valuation(8, 0, own(nil)), valuation(8, -1, own(nil))
	for _, c := range []struct {
		name  string
		rows  int
		spoil func(r int, row map[string]float64)
		alone int // rows that prove themselves wrong
		most  int // rows that are wrong with others
	}{
		{"as ever", 8, nil, 0, 0},
		{"one report", 8, func(r int, row map[string]float64) {
			if r == 1 {
				row["pe_ttm"], row["ps_ttm"], row["pb"] = row["pe_ttm"]*2, row["ps_ttm"]*0.8, row["pb"]*1.1
			}
		}, 0, 0},
		{"all report", 8, func(r int, row map[string]float64) {
			for n, ratio := range names {
				row[ratio] *= 1.5 + float64(n)/10
			}
			row["dv_ratio"], row["dv_ttm"] = row["dv_ratio"]*2, row["dv_ttm"]*2
		}, 0, 0},
		{"another turnover", 1, func(_ int, row map[string]float64) { row["turnover_rate_f"] *= 3 }, 1, 0},
		{"two ratios exchanged", 1, func(_ int, row map[string]float64) { row["pe"], row["pe_ttm"] = row["pe_ttm"], row["pe"] }, 1, 0},
		{"whole ratios", 1, func(_ int, row map[string]float64) {
			for _, ratio := range names {
				row[ratio] = math.Round(row[ratio])
			}
		}, 1, 0},
		{"book value of another in one", 8, func(r int, row map[string]float64) {
			if r == 1 {
				row["pb"] *= 3
			}
		}, 0, 0},
		{"book value of another in two", 2, func(_ int, row map[string]float64) { row["pb"] *= 3 }, 0, 0},
		{"book values of others", 8, func(r int, row map[string]float64) {
			if r != 1 {
				row["pb"] *= 3
			}
		}, 0, 8},
		{"volume ratios of others", 8, func(r int, row map[string]float64) { row["volume_ratio"] = float64(r*r + 20) }, 0, 8},
		{"whole book values", 8, func(_ int, row map[string]float64) { row["pb"] = math.Round(row["pb"]) }, 0, 8},
	} {
		day := valuation(c.rows, 1, own(c.spoil))
		alone, most := Contradicted(day, before), Strayed(day, before, before, beyond)
		for s := range alone {
			delete(most, s)
		}
		if len(alone) != c.alone || len(most) != c.most {
			t.Errorf("%s: alone %v, want %d, and with others %v, want %d", c.name, alone, c.alone, most, c.most)
		}
	}
	// Orders of a stock at its limit price of 10 元 all day, and of one whose amounts were rounded.
	orders := func(step int, price func(n int) float64, unit float64) *Day {
		ds := catalog.Lookup(catalog.Moneyflow)
		b, row := table.New(ds.Specs(), 1), map[string]float64{}
		for n, name := range []string{"buy_sm", "sell_sm", "buy_md", "sell_md", "buy_lg", "sell_lg", "buy_elg", "sell_elg"} {
			lots := float64(3217 + 731*n + 97*step)
			row[name+"_vol"], row[name+"_amount"] = lots, math.Round(lots*price(n)/100/unit)*unit
		}
		appendRow(b, "000868.SZ", step, row)
		return NewDay(ds, monday+market.Date(step), b)
	}
	differ := func(n int) float64 { return 9.87 + 0.031*float64(n) }
	usual, limit, rounded := orders(0, differ, 0.01), orders(1, func(int) float64 { return 10 }, 0.01), orders(1, differ, 0.1)
	if got := Contradicted(limit, usual); len(got) != 0 {
		t.Errorf("orders at one price are blamed: %v", got)
	}
	if got := Contradicted(rounded, usual); len(got) != 1 {
		t.Errorf("rounded amounts: %v, want one row", got)
	}

	odd := func(step int) *Day {
		return valuation(8, step, own(func(r int, row map[string]float64) { row["pb"] = float64(1 + (r*31+step*17+34)%23) }))
	}
	if got := Strayed(odd(1), odd(0), odd(0), odd(-1)); len(got) != 0 {
		t.Errorf("a provider whose ratios mean nothing is blamed: %v", got)
	}

	pre := func(factor ...float64) *Day {
		return day(1, quotes(len(factor), 1, func(r int, row map[string]float64) { row["pre_close"] = (row["close"] - 0.13) * factor[r] }))
	}
	last := day(0, quotes(6, 0, nil))
	for _, c := range []struct {
		name        string
		day         *Day
		alone, most int
	}{
		{"linked", pre(1, 1, 1), 0, 0}, {"an ex-date", pre(0.9, 1, 1, 1), 0, 0}, {"above the last close", pre(1.05, 1, 1), 1, 0},
		{"a tenth of it", pre(0.1, 1, 1), 1, 0}, {"most below", pre(0.9, 0.8, 0.7, 1), 0, 4},
	} {
		alone, most := Contradicted(c.day, last), Strayed(c.day, last, last, last)
		for s := range alone {
			delete(most, s)
		}
		if len(alone) != c.alone || len(most) != c.most {
			t.Errorf("%s: alone %v, want %d, and with others %v, want %d", c.name, alone, c.alone, most, c.most)
		}
	}
}

// TestLostValues are those that a symbol had on the other day, or may have had.
func TestLostValues(t *testing.T) {
	without := func(row int) func(r int, values map[string]float64) {
		return func(r int, values map[string]float64) {
			if r >= row {
				values["pb"] = 0
			}
		}
	}
	day, other := valuation(5, 1, without(2)), valuation(4, 0, without(3))
	got := Lost(day, other, []string{"pb", "no such column"})
	if len(got) != 2 || !got[day.Symbols[2]] || !got[day.Symbols[4]] {
		t.Errorf("lost are %v", got)
	}
}

// TestVolumeAndTurnoverOfTheDayBefore: equal volume and turnover prove that a row is stale,
// whatever its prices are.
func TestVolumeAndTurnoverOfTheDayBefore(t *testing.T) {
	before := quotes(60, 0, nil)
	b := quotes(60, 1, func(r int, row map[string]float64) {
		if r < 3 {
			row["vol"], row["amount"] = before.Column("vol").Numbers[r], before.Column("amount").Numbers[r]
		}
		if r == 0 { // so little that it may be the same by chance
			row["vol"], row["amount"] = 1, 1
		}
	})
	before.Column("vol").Numbers[0], before.Column("amount").Numbers[0] = 1, 1
	if got := RepeatedSymbols(day(1, b), day(0, before)); len(got) != 2 {
		t.Errorf("repeated are %v", got)
	}
}

// TestBreaksIsAboutAHabit: a relation that a day breaks and its neighbour keeps is reported, and
// one that the provider never keeps is not.
func TestBreaksIsAboutAHabit(t *testing.T) {
	free := func(factor float64) func(r int, row map[string]float64) {
		return func(r int, row map[string]float64) { row["turnover_rate_f"] *= factor }
	}
	kept, broken, never := valuation(60, 0, nil), valuation(60, 1, free(5)), valuation(60, 0, free(3))
	if f, ok := Breaks(broken, kept); !ok || f.Reason != fault.ValuesConflict || f.Count < 50 {
		t.Errorf("%v %+v", ok, f)
	}
	if f, ok := Breaks(broken, valuation(2, 0, nil)); !ok {
		t.Errorf("two rows of the day before do not show the habit: %+v", f)
	}
	if f, ok := Breaks(kept, broken); ok {
		t.Errorf("the day that keeps it is blamed: %+v", f)
	}
	if f, ok := Breaks(broken, never); ok {
		t.Errorf("a provider that never kept it is blamed: %+v", f)
	}
	still := func(step int) *Day {
		return valuation(600, step, func(r int, row map[string]float64) {
			for _, ratio := range []string{"pe", "pe_ttm", "ps", "ps_ttm", "dv_ratio", "dv_ttm"} {
				row[ratio] = float64(7 + r)
			}
		})
	}
	if f, ok := PairOf(still(1), still(0)).Repeated(still(-1)); ok {
		t.Errorf("ratios that never move are blamed: %+v", f)
	}
}

// TestASingleRowDiffersFromDaily: a row is refuted by its close, or by the volume that both
// turnover rates imply, but not by a number of shares that is ten times too small.
func TestASingleRowDiffersFromDaily(t *testing.T) {
	daily := day(1, quotes(5, 1, func(r int, row map[string]float64) { row["close"], row["vol"] = 10, 20_000 }))
	ds := catalog.Lookup(catalog.DailyBasic)
	b := table.New(ds.Specs(), 5)
	for r := range 5 {
		row := map[string]float64{"close": 10, "float_share": 10_000, "free_share": 5_000, "turnover_rate": 2, "turnover_rate_f": 4}
		switch r {
		case 1:
			row["close"] = 10.02
		case 2:
			row["turnover_rate"], row["turnover_rate_f"] = 2.5, 5 // a volume of 25,000
		case 3:
			row["float_share"], row["free_share"] = 1_000, 500
		case 4:
			row["turnover_rate_f"] = 5 // the two rates imply different volumes
		}
		for i := range b.Columns {
			switch c := &b.Columns[i]; c.Name {
			case "ts_code":
				c.AppendText(fmt.Sprintf("%06d.SZ", r))
			case "trade_date":
				c.AppendDate(monday + 1)
			default:
				c.AppendNumber(row[c.Name])
			}
		}
		b.Len++
	}
	got := map[string]string{}
	for s, what := range Disagreeing(NewDay(ds, monday+1, b), daily) {
		got[s.String()] = what
	}
	if fmt.Sprint(got) != "map[000001.SZ:close 000002.SZ:turnover_rate]" {
		t.Errorf("%v", got)
	}
}

// TestOtherTurnoverOfARange: over a range of dates, most turnover rates of a symbol are those of
// daily, and one that is not is wrong, however far it is off, unless it is the shares that are.
func TestOtherTurnoverOfARange(t *testing.T) {
	ds := catalog.Lookup(catalog.DailyBasic)
	for name, c := range map[string]struct {
		odd   map[int]float64 // the rate in place of 2
		fewer bool            // shares of row 3
		want  string
	}{
		"none":                     {nil, false, "[]"},
		"two, one in another unit": {map[int]float64{1: 0.02, 5: 2.3}, false, "[1 5]"},
		"most":                     {map[int]float64{1: 0.02, 2: 0.02, 3: 0.02, 4: 0.02, 5: 0.02}, false, "[]"},
		"the shares are wrong":     {nil, true, "[]"},
	} {
		b, volumes, rows := table.New(ds.Specs(), 8), map[int]float64{}, []int{}
		for r := range 8 {
			row := map[string]float64{"close": 10, "float_share": 10_000, "free_share": 5_000, "turnover_rate": 2, "turnover_rate_f": 4}
			if rate, ok := c.odd[r]; ok {
				row["turnover_rate"] = rate
			}
			if r == 3 && c.fewer {
				row["float_share"] = 1_000
			}
			appendRow(b, "600000.SH", r, row)
			rows, volumes[r] = append(rows, r), 20_000
		}
		if got := fmt.Sprint(RowsOf(ds, b).OtherTurnover(rows, volumes)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestFollowsAllowsExDates(t *testing.T) {
	before := day(0, quotes(600, 0, nil))
	for odd, want := range map[int]bool{0: false, 60: false, 200: true} {
		b := quotes(600, 1, func(r int, row map[string]float64) {
			if r < odd {
				row["pre_close"] *= 0.9
			}
		})
		if f, ok := Follows(day(1, b), before); ok != want {
			t.Errorf("%d of 600 ex-dates: %v %+v", odd, ok, f)
		}
	}
}

func TestSkippedSymbols(t *testing.T) {
	friday, wednesday := day(0, quotes(60, 0, nil)), quotes(60, 2, nil)
	pre := wednesday.Column("pre_close").Numbers
	pre[1], pre[2] = friday.columnOf(t, "close", 1), friday.columnOf(t, "close", 2)*0.5
	after := day(2, wednesday)
	for s, want := range map[Symbol]bool{friday.Symbols[0]: true, friday.Symbols[1]: false, friday.Symbols[2]: false} {
		if got, told := Skips(s, after, friday); got != want || !told {
			t.Errorf("%s: %v, %v", s, got, told)
		}
	}
	if _, told := Skips(99, after, friday); told {
		t.Error("a symbol without rows proves nothing")
	}
}

func (d *Day) columnOf(t *testing.T, name string, i int) float64 {
	t.Helper()
	return float64(d.column(name)[i])
}

func TestSpreadTellsACutFromSuspensions(t *testing.T) {
	var listed []Symbol
	all := day(0, quotes(1000, 0, nil))
	listed = append(listed, all.Symbols...)
	without := func(gone func(r int) bool) *Day {
		b := quotes(1000, 0, nil)
		var keep []int
		for r := range 1000 {
			if !gone(r) {
				keep = append(keep, r)
			}
		}
		return day(0, b.Select(keep))
	}
	for _, c := range []struct {
		name string
		gone func(r int) bool
		want bool
	}{
		{"none", func(int) bool { return false }, true},
		{"one in eight", func(r int) bool { return r%8 == 0 }, true},
		{"half", func(r int) bool { return r*7919%2 == 0 }, true},
		{"the last twentieth", func(r int) bool { return r >= 950 }, false},
		{"a stretch", func(r int) bool { return r >= 300 && r < 400 }, false},
		{"nearly all", func(r int) bool { return r%5 != 0 }, false},
	} {
		if got := Spread(without(c.gone), listed); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func FuzzSymbolOf(f *testing.F) {
	f.Add("600519.SH")
	f.Fuzz(func(t *testing.T, s string) {
		if x, ok := SymbolOf(s); ok && x.String() != s {
			t.Errorf("%q reads back as %q", s, x)
		}
	})
}
