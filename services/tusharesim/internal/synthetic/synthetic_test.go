package synthetic

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
)

func market(t testing.TB, stocks, funds int) *Universe {
	t.Helper()
	u, err := New(Options{Seed: 1, Stocks: stocks, Funds: funds})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// rowsOf returns one date's rows by ts_code with all columns as numbers; null is
// NaN.
func rowsOf(t *testing.T, u *Universe, id spec.ID, day int32) map[string]map[string]float64 {
	t.Helper()
	api := spec.Get(id)
	refs, err := u.Select(nil, api, day, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]int, len(api.Columns))
	for i := range all {
		all[i] = i
	}
	a := u.Appender(api, all)
	out := map[string]map[string]float64{}
	for _, r := range refs {
		cells := a.Cells(r)
		m := map[string]float64{}
		for i, c := range cells[2:] {
			v, err := strconv.ParseFloat(c, 64)
			if err != nil {
				if c != "null" {
					t.Fatalf("%s: %q", api.Columns[i+2].Name, c)
				}
				v = math.NaN()
			}
			m[api.Columns[i+2].Name] = v
		}
		code := strings.Trim(cells[0], `"`)
		if out[code] != nil {
			t.Fatalf("%s twice", code)
		}
		out[code] = m
	}
	return out
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func TestInvariants(t *testing.T) {
	u := market(t, 5400, 1900)
	for _, day := range []int32{20150105, 20191231, 20240206, 20250403, 20260401, 20261123, 20270111} {
		daily, basic, flow, funds := rowsOf(t, u, spec.Daily, day), rowsOf(t, u, spec.DailyBasic, day), rowsOf(t, u, spec.Moneyflow, day), rowsOf(t, u, spec.FundDaily, day)
		quotes := func(rows map[string]map[string]float64, unit float64) {
			for c, r := range rows {
				if r["high"] < max(r["open"], r["close"]) || r["low"] > min(r["open"], r["close"]) || r["low"] <= 0 || r["pre_close"] <= 0 {
					t.Fatalf("%s %d: %v", c, day, r)
				}
				if !near(r["change"], r["close"]-r["pre_close"], 1e-6) || !near(r["pct_chg"], r["change"]/r["pre_close"]*100, 6e-5) {
					t.Fatalf("%s %d: change %v, pct_chg %v of %v", c, day, r["change"], r["pct_chg"], r)
				}
				if math.Abs(r["pct_chg"]) > 30 && r["pct_chg"] < 0 {
					t.Fatalf("%s %d fell by %v %%", c, day, r["pct_chg"])
				}
				// amount is vol at a price between low and high.
				price := r["amount"] * 1000 / (r["vol"] * 100)
				if r["vol"] <= 0 || price < r["low"]-unit || price > r["high"]+unit {
					t.Fatalf("%s %d: average price %v of %v", c, day, price, r)
				}
			}
		}
		quotes(daily, 0.01)
		quotes(funds, 0.01)
		if len(basic) != len(daily) {
			t.Errorf("%d: %d daily, %d daily_basic", day, len(daily), len(basic))
		}
		for c, b := range basic {
			d := daily[c]
			if d == nil || b["close"] != d["close"] {
				t.Fatalf("%s %d: close %v and %v", c, day, b["close"], d["close"])
			}
			if !near(b["total_mv"], b["total_share"]*b["close"], 6e-5+1e-15*b["total_mv"]) || !near(b["circ_mv"], b["float_share"]*b["close"], 6e-5+1e-15*b["circ_mv"]) {
				t.Fatalf("%s %d: %v", c, day, b)
			}
			if !(b["free_share"] <= b["float_share"] && b["float_share"] <= b["total_share"]) || !near(b["turnover_rate"], d["vol"]/b["float_share"], 6e-5) {
				t.Fatalf("%s %d: %v against vol %v", c, day, b, d["vol"])
			}
			if b["pe"] <= 0 || b["pb"] <= 0 || b["dv_ratio"] < 0 {
				t.Fatalf("%s %d: %v", c, day, b)
			}
		}
		bj := 0
		for c, d := range daily {
			f := flow[c]
			if strings.HasSuffix(c, ".BJ") {
				bj++
				if f != nil {
					t.Fatalf("%s is in moneyflow", c)
				}
				continue
			}
			sum := func(side, what string) float64 {
				return f[side+"_sm_"+what] + f[side+"_md_"+what] + f[side+"_lg_"+what] + f[side+"_elg_"+what]
			}
			if sum("buy", "vol") != sum("sell", "vol") || !near(sum("buy", "vol"), d["vol"], 0.51) ||
				!near(sum("buy", "amount"), sum("sell", "amount"), 1e-6) || !near(sum("buy", "amount")*10, d["amount"], 0.051) {
				t.Fatalf("%s %d: %v against %v", c, day, f, d)
			}
			for k, v := range f {
				if v < 0 && !strings.HasPrefix(k, "net_") {
					t.Fatalf("%s %d: %s is %v", c, day, k, v)
				}
			}
		}
		if len(flow) != len(daily)-bj {
			t.Errorf("%d: %d moneyflow for %d daily without %d BJ", day, len(flow), len(daily), bj)
		}
		t.Logf("%d: daily %d (BJ %d), daily_basic %d, moneyflow %d, fund_daily %d", day, len(daily), bj, len(basic), len(flow), len(funds))
	}
}

// A close is the next day's reference, save on an ex-rights day.
func TestReferencePrice(t *testing.T) {
	u := market(t, 600, 100)
	days := u.cal.Between(20250601, 20260601)
	last := map[string]float64{}
	same, other := 0, 0
	for _, d := range days {
		for c, r := range rowsOf(t, u, spec.Daily, d) {
			if prev, ok := last[c]; ok {
				if prev == r["pre_close"] {
					same++
				} else if other++; r["pre_close"] > prev {
					t.Fatalf("%s %d: reference %v above the last close %v", c, d, r["pre_close"], prev)
				}
			}
			last[c] = r["close"]
		}
	}
	if share := float64(other) / float64(same+other); share < 0.002 || share > 0.006 {
		t.Errorf("%d of %d reference prices differ from the last close", other, same+other)
	}
}

func TestPopulation(t *testing.T) {
	u := market(t, 5400, 1900)
	const today = 20261123
	stocks, err := u.Snapshot(spec.Get(spec.StockBasic), "", today)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	newest := int32(0)
	for _, m := range stocks.Meta {
		count[m.Status]++
		count[m.Exchange]++
		count[m.Market]++
		newest = max(newest, m.Date)
	}
	if count["L"] < 5250 || count["L"]+count["D"] > 5400 || count["D"] < 80 || count["BSE"] < 250 || count["科创板"] < 550 || count["创业板"] < 1300 || newest < 20261101 {
		t.Errorf("stocks %v, newest %d", count, newest)
	}
	funds, err := u.Snapshot(spec.Get(spec.FundBasic), "E", today)
	if err != nil {
		t.Fatal(err)
	}
	etf, word := 0, 0
	for i, m := range funds.Meta {
		count["fund "+m.Status]++
		if isETF(m.Code) {
			etf++
		}
		for j, c := range spec.Get(spec.FundBasic).Columns {
			if slices.Contains([]string{"fund_type", "invest_type", "type"}, c.Name) && strings.Contains(funds.Rows[i][j], "ETF") {
				word++
			}
		}
	}
	if etf < 1260 || etf > 1330 || len(funds.Rows) < 1850 || len(funds.Rows) > 1900 || word != 0 || count["fund D"] < 50 {
		t.Errorf("funds %d, of which %d ETFs, %d named so; %v", len(funds.Rows), etf, word, count)
	}
	for code := range map[string]bool{"600519.SH": true, "000001.SZ": true, "300750.SZ": true, "688981.SH": true, "920992.BJ": true} {
		if _, ok := u.stocks.index[code]; !ok {
			t.Errorf("%s is not there", code)
		}
	}
	for _, code := range []string{"510300.SH", "159915.SZ", "588000.SH"} {
		if _, ok := u.funds.index[code]; !ok {
			t.Errorf("%s is not there", code)
		}
	}
	// On each day nearly all that is listed trades, and never what is not.
	api, fapi := spec.Get(spec.Daily), spec.Get(spec.FundDaily)
	var halted, listed, prevFunds int
	for _, d := range u.cal.Between(20260901, today) {
		day, _ := u.cal.Lookup(d)
		refs, _ := u.Select(nil, api, d, nil)
		alive := 0
		for i := range u.stocks.syms {
			if u.stocks.syms[i].alive(day.Index) {
				alive++
			}
		}
		for _, r := range refs {
			if !u.stocks.syms[r.Row].alive(day.Index) {
				t.Fatalf("%s trades on %d", u.stocks.syms[r.Row].code, d)
			}
		}
		halted, listed = halted+alive-len(refs), listed+alive
		frefs, _ := u.Select(nil, fapi, d, nil)
		etfs, there := 0, 0
		for i := range u.funds.syms {
			if u.funds.syms[i].alive(day.Index) && isETF(u.funds.syms[i].code) {
				there++
			}
		}
		for _, r := range frefs {
			if isETF(u.funds.syms[r.Row].code) {
				etfs++
			}
		}
		if share := float64(etfs) / float64(there); share < 0.95 || share == 1 {
			t.Errorf("%d: %d of %d ETFs trade", d, etfs, there)
		}
		if prevFunds > 0 && math.Abs(float64(len(frefs)-prevFunds)) > 0.03*float64(prevFunds) {
			t.Errorf("%d: %d funds after %d", d, len(frefs), prevFunds)
		}
		prevFunds = len(frefs)
	}
	if share := float64(halted) / float64(listed); share < 0.0015 || share > 0.0045 {
		t.Errorf("%.2f %% of listed stocks do not trade", share*100)
	}
	t.Logf("stocks %v; funds %d, ETFs %d; %.3f %% halted", count, len(funds.Rows), etf, 100*float64(halted)/float64(listed))
}

func isETF(code string) bool {
	if strings.HasSuffix(code, ".SZ") {
		return strings.HasPrefix(code, "159")
	}
	return slices.Contains([]string{"51", "52", "53", "55", "56", "58"}, code[:2])
}

// Any order of calls gives the same rows, and so does another Universe of the
// same seed; another seed gives others.
func TestRandomAccess(t *testing.T) {
	a, b := market(t, 800, 300), market(t, 800, 300)
	c, err := New(Options{Seed: 2, Stocks: 800, Funds: 300})
	if err != nil {
		t.Fatal(err)
	}
	write := func(u *Universe, api *spec.API, refs []table.Ref) map[table.Ref]string {
		out := map[table.Ref]string{}
		w := u.Appender(api, api.Defaults())
		for _, r := range refs {
			out[r] = string(w.AppendRow(nil, r))
		}
		return out
	}
	for _, api := range spec.All() {
		if !api.Dated {
			continue
		}
		var refs []table.Ref
		for _, d := range []int32{20240206, 20260401, 20230705} {
			refs, _ = a.Select(refs, api, d, nil)
		}
		first := write(a, api, refs)
		slices.Reverse(refs)
		second := write(b, api, refs)
		other := write(c, api, refs[:1])
		for r, row := range first {
			if second[r] != row {
				t.Fatalf("%s %v: %s and %s", api.Name, r, row, second[r])
			}
			// Cells are the same texts as the row.
			if cells := a.Appender(api, api.Defaults()).Cells(r); "["+strings.Join(cells, ",")+"]" != row {
				t.Fatalf("%s %v: cells %v, row %s", api.Name, r, cells, row)
			}
		}
		if api.ID == spec.SuspendD {
			// The row number of suspend_d says all; which rows there are differs.
			mine, _ := a.Select(nil, api, 20260401, nil)
			if theirs, _ := c.Select(nil, api, 20260401, nil); slices.Equal(mine, theirs) {
				t.Errorf("%s: seed 2 gives the same rows", api.Name)
			}
			continue
		}
		if other[refs[0]] == first[refs[0]] {
			t.Errorf("%s: seed 2 gives the same row", api.Name)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, n := range []int{0, 1, 5, 30, MaxStocks} {
		u := market(t, n, min(n, MaxFunds))
		seen := map[string]bool{}
		for _, s := range slices.Concat(u.stocks.syms, u.funds.syms) {
			if seen[s.code] || len(s.code) != 9 {
				t.Fatalf("size %d: code %q", n, s.code)
			}
			seen[s.code] = true
		}
	}
	for _, o := range []Options{{Stocks: -1}, {Stocks: MaxStocks + 1}, {Funds: MaxFunds + 1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
