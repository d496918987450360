package ingest_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// TestFaultsOfOneDay injects one of many faults of the provider on each evening. A fault without a
// reason is harmless: the day must be complete. Each other fault must make the dataset incomplete
// with the reason, must blame no other dataset, and must leave no trace once it is corrected.
func TestFaultsOfOneDay(t *testing.T) {
	type faults []tusharesim.Fault
	scale := func(api string, factor float64, exchange string, columns ...string) faults {
		return faults{{Kind: tusharesim.ScaleColumn, API: api, Factor: factor, Exchange: exchange, Columns: columns}}
	}
	stale := func(api, exchange string, share float64, columns ...string) faults {
		return faults{{Kind: tusharesim.Stale, API: api, Exchange: exchange, Share: share, Columns: columns}}
	}
	set := func(api, text string, share float64, columns ...string) faults {
		return faults{{Kind: tusharesim.SetColumn, API: api, Text: text, Share: share, Columns: columns}}
	}
	drop := func(api, exchange string) faults {
		return faults{{Kind: tusharesim.DropRows, API: api, Exchange: exchange}}
	}
	shift := func(api string, columns ...string) faults {
		return faults{{Kind: tusharesim.ShiftColumn, API: api, Columns: columns}}
	}
	swap := func(api string, columns ...string) faults {
		return faults{{Kind: tusharesim.SwapColumns, API: api, Columns: columns}}
	}
	round := func(api string, to float64, columns ...string) faults {
		return faults{{Kind: tusharesim.RoundColumn, API: api, Factor: to, Columns: columns}}
	}
	null := func(api, exchange string, columns ...string) faults {
		return faults{{Kind: tusharesim.NullColumn, API: api, Exchange: exchange, Columns: columns}}
	}
	older := func(api string) faults { // SourceDate is filled in below
		return faults{{Kind: tusharesim.Stale, API: api, SourceDate: "20000101"}}
	}
	quotes := []string{"open", "high", "low", "close", "pre_close", "change"}
	cases := map[string]struct {
		faults  faults
		dataset string
		reason  fault.Reason
	}{
		"stale ratios of earnings":           {stale(catalog.DailyBasic, "", 0, "pe", "pe_ttm"), catalog.DailyBasic, fault.ValuesRepeated},
		"stale dividend yields of a third":   {stale(catalog.DailyBasic, "", 0.3, "dv_ratio", "dv_ttm"), catalog.DailyBasic, fault.ValuesRepeated},
		"stale price to sales of Beijing":    {stale(catalog.DailyBasic, "BJ", 0, "ps", "ps_ttm", "pb"), catalog.DailyBasic, fault.ValuesRepeated},
		"stale volume ratio of Shanghai":     {stale(catalog.DailyBasic, "SH", 0, "volume_ratio"), catalog.DailyBasic, fault.ValuesRepeated},
		"stale free turnover of Shenzhen":    {stale(catalog.DailyBasic, "SZ", 0, "turnover_rate_f"), catalog.DailyBasic, fault.ValuesRepeated},
		"stale daily_basic of Beijing":       {stale(catalog.DailyBasic, "BJ", 0), catalog.DailyBasic, fault.ValuesRepeated},
		"stale net flow of Shanghai":         {stale(catalog.Moneyflow, "SH", 0, "net_mf_vol", "net_mf_amount"), catalog.Moneyflow, fault.ValuesRepeated},
		"a fraction in place of per cent":    {scale(catalog.Daily, 0.01, "", "pct_chg"), catalog.Daily, fault.ValuesConflict},
		"per cent of funds × 100":            {scale(catalog.FundDaily, 100, "", "pct_chg"), catalog.FundDaily, fault.ValuesConflict},
		"shares in place of 万股":              {scale(catalog.DailyBasic, 1e4, "", "total_share", "total_mv"), catalog.DailyBasic, fault.UnitSuspect},
		"shares of Beijing in place of 万股":   {scale(catalog.DailyBasic, 1e4, "BJ", "total_share", "total_mv"), catalog.DailyBasic, fault.UnitSuspect},
		"free shares ÷ 10":                   {scale(catalog.DailyBasic, 0.1, "", "free_share"), catalog.DailyBasic, fault.ValuesConflict},
		"price to book × 100 of Shenzhen":    {scale(catalog.DailyBasic, 100, "SZ", "pb"), catalog.DailyBasic, fault.UnitSuspect},
		"net flow in 元":                      {scale(catalog.Moneyflow, 1e4, "", "net_mf_amount"), catalog.Moneyflow, fault.ValuesConflict},
		"net flow in 亿元":                     {scale(catalog.Moneyflow, 1e-4, "", "net_mf_amount"), catalog.Moneyflow, fault.ValuesConflict},
		"flow sold in 元":                     {scale(catalog.Moneyflow, 1e4, "", "sell_sm_amount", "sell_md_amount", "sell_lg_amount", "sell_elg_amount"), catalog.Moneyflow, fault.ValuesConflict},
		"turnover of Beijing in 元":           {scale(catalog.Daily, 1000, "BJ", "amount"), catalog.Daily, fault.UnitSuspect},
		"volume and turnover of funds × 10":  {scale(catalog.FundDaily, 10, "", "vol", "amount"), catalog.FundDaily, fault.UnitSuspect},
		"net flow of the other sign":         {scale(catalog.Moneyflow, -1, "", "net_mf_amount"), catalog.Moneyflow, fault.ValuesConflict},
		"price to book of the row before":    {shift(catalog.DailyBasic, "pb"), catalog.DailyBasic, fault.ValuesConflict},
		"volume ratio of the row before":     {shift(catalog.DailyBasic, "volume_ratio"), catalog.DailyBasic, fault.ValuesConflict},
		"volume of orders of the row before": {shift(catalog.Moneyflow, "buy_lg_vol", "sell_lg_vol"), catalog.Moneyflow, fault.ValuesConflict},
		"earnings of a year and of months":   {swap(catalog.DailyBasic, "pe", "pe_ttm"), catalog.DailyBasic, fault.ValuesConflict},
		"sales of a year and of months":      {swap(catalog.DailyBasic, "ps", "ps_ttm"), catalog.DailyBasic, fault.ValuesConflict},
		"small orders for the largest":       {swap(catalog.Moneyflow, "buy_sm_vol", "buy_elg_vol", "buy_sm_amount", "buy_elg_amount", "sell_sm_vol", "sell_elg_vol", "sell_sm_amount", "sell_elg_amount"), catalog.Moneyflow, fault.ValuesConflict},
		"ratios as whole numbers":            {round(catalog.DailyBasic, 1, "pe", "pe_ttm", "pb", "ps", "ps_ttm", "dv_ratio", "dv_ttm"), catalog.DailyBasic, fault.ValuesConflict},
		"flows with one decimal":             {round(catalog.Moneyflow, 0.1, "buy_sm_amount", "sell_sm_amount", "net_mf_amount"), catalog.Moneyflow, fault.ValuesConflict},
		"no price to book of Beijing":        {null(catalog.DailyBasic, "BJ", "pb"), catalog.DailyBasic, fault.ValuesMissing},
		"volume and turnover of funds × 100": {scale(catalog.FundDaily, 100, "", "vol", "amount"), catalog.FundDaily, fault.UnitSuspect},
		"adjusted prices":                    {scale(catalog.Daily, 3, "", quotes...), catalog.Daily, fault.UnitSuspect},
		"adjusted prices of one in ten":      {faults{{Kind: tusharesim.ScaleColumn, API: catalog.Daily, Factor: 1.5, Share: 0.1, Columns: quotes}}, catalog.Daily, fault.UnitSuspect},
		"no price":                           {set(catalog.Daily, "0", 0.05, append(quotes, "vol", "amount", "pct_chg")...), catalog.Daily, fault.Incomplete},
		"no open":                            {set(catalog.Daily, "0.0", 0.05, "open"), catalog.Daily, fault.ValuesConflict},
		"prices below nothing":               {scale(catalog.Daily, -1, "SH", quotes...), catalog.Daily, fault.Incomplete},
		"None for a number":                  {set(catalog.DailyBasic, `"None"`, 0.3, "pe"), catalog.DailyBasic, fault.Incomplete},
		"a dash for a number":                {set(catalog.Daily, `"-"`, 0.3, "amount"), catalog.Daily, fault.Incomplete},
		"no Beijing":                         {drop(catalog.Daily, "BJ"), catalog.Daily, fault.Incomplete},
		"no Beijing in daily_basic":          {drop(catalog.DailyBasic, "BJ"), catalog.DailyBasic, fault.SymbolsMissing},
		"no Shenzhen in moneyflow":           {drop(catalog.Moneyflow, "SZ"), catalog.Moneyflow, fault.Incomplete},
		"Shanghai alone":                     {drop(catalog.FundDaily, "SZ"), catalog.FundDaily, fault.Incomplete},
		"tomorrow's date":                    {set(catalog.Moneyflow, `"20991231"`, 0, "trade_date"), catalog.Moneyflow, fault.Incomplete},
		"half of another date":               {set(catalog.Daily, `"20200102"`, 0.5, "trade_date"), catalog.Daily, fault.Incomplete},
		"one page twice and another never":   {faults{{Kind: tusharesim.LatePage, API: catalog.Daily}}, catalog.Daily, fault.Incomplete},
		"cut at a round number":              {faults{{Kind: tusharesim.SilentTruncation, API: catalog.DailyBasic, N: 500}}, catalog.DailyBasic, fault.Incomplete},
		"daily of two days before":           {older(catalog.Daily), catalog.Daily, fault.ValuesConflict},
		"daily_basic of two days before":     {older(catalog.DailyBasic), catalog.DailyBasic, fault.ValuesConflict},
		"moneyflow of two days before":       {older(catalog.Moneyflow), catalog.Moneyflow, fault.ValuesConflict},
		"fund_daily of two days before":      {older(catalog.FundDaily), catalog.FundDaily, fault.ValuesConflict},
		"no volume of funds yet":             {set(catalog.FundDaily, "0", 0, "vol", "amount"), catalog.FundDaily, fault.ValuesMissing},
		"no volume yet":                      {set(catalog.Daily, "0", 0, "vol", "amount"), catalog.Daily, fault.ValuesMissing},
		"price to book as 0":                 {set(catalog.DailyBasic, "0", 0, "pb"), catalog.DailyBasic, fault.ValuesMissing},
		"no price to book of half":           {set(catalog.DailyBasic, "null", 0.5, "pb"), catalog.DailyBasic, fault.ValuesMissing},
		"dates with dashes":                  {faults{{Kind: tusharesim.DashedDates, API: catalog.Daily}}, catalog.Daily, ""},
		"dates as numbers":                   {faults{}, catalog.Moneyflow, ""},
		"a byte order mark":                  {faults{{Kind: tusharesim.BOM}}, catalog.Daily, ""},
		"numbers as texts":                   {faults{}, catalog.FundDaily, ""},
		"the body is cut once":               {faults{{Kind: tusharesim.TruncatedBody, API: catalog.Daily, Count: 1}}, catalog.Daily, ""},
	}
	r := newHarness(t, tusharesim.Options{Stocks: 700, Funds: 120}) // enough of Beijing to compare
	if err := r.sim.SetCap(catalog.Daily, 400); err != nil {
		t.Fatal(err)
	}
	w, days := r.evenings(market.Universe, len(cases)+2, nil)
	days = r.withoutReports(days)
	for n, name := range slices.Sorted(maps.Keys(cases)) {
		c, day := cases[name], days[n]
		r.upTo(&w, day)
		switch name {
		case "dates as numbers":
			c.faults = set(c.dataset, day.Compact(), 0, "trade_date")
		case "numbers as texts":
			c.faults = set(c.dataset, `"1.5"`, 0, "change") // the last digits differ, and 1.5 is a number
			c.reason = fault.ValuesConflict
		}
		t.Run(name, func(t *testing.T) {
			var ids []int
			for _, f := range c.faults {
				if f.Kind != tusharesim.BOM && f.Kind != tusharesim.TruncatedBody && f.Kind != tusharesim.LatePage {
					f.TradeDate = day.Compact()
				}
				if f.SourceDate != "" {
					open := r.sim.OpenDates((day - 30).Compact(), day.Compact())
					f.SourceDate = open[len(open)-3]
				}
				ids = append(ids, r.fail(f))
			}
			w.End = day
			if _, err := r.pass(w, 4, nil); err != nil {
				t.Fatal(err)
			}
			verdict, issues := r.standing(c.dataset, day)
			if c.reason == "" {
				if verdict != coverage.Complete {
					t.Errorf("%s is %s with %v", c.dataset, verdict, issues)
				}
			} else {
				faulttest.Produces(t, issues, c.reason)
				if verdict != coverage.Incomplete {
					t.Errorf("%s is %s with %v, want incomplete", c.dataset, verdict, issues)
				}
			}
			for _, ds := range everything {
				if v, issues := r.standing(ds.ID, day); !ds.Snapshot && ds.ID != c.dataset && v != coverage.Complete {
					t.Errorf("%s is blamed too: %s %v", ds.ID, v, issues)
				}
			}
			for _, id := range ids {
				r.sim.RemoveFault(id)
			}
			r.settle(w, 3)
		})
	}
	r.sameAsProvider(w.Start, w.End, everything)
}

// TestAPartOfAnOlderDay: a part of the market with the values of two days before breaks too
// few links of pre_close to show there.
func TestAPartOfAnOlderDay(t *testing.T) {
	r := newHarness(t, small())
	w, days := r.evenings(market.Universe, 3, nil)
	for n, f := range []tusharesim.Fault{
		{API: catalog.Daily, Share: 0.1},
		{API: catalog.Moneyflow, Share: 0.5},
		{API: catalog.DailyBasic, Share: 0.5, Columns: []string{"pe", "pb"}},
	} {
		open := r.sim.OpenDates((days[n] - 30).Compact(), days[n].Compact())
		f.Kind, f.TradeDate, f.SourceDate = tusharesim.Stale, days[n].Compact(), open[len(open)-3]
		id := r.fail(f)
		w.End = days[n]
		if _, err := r.pass(w, 4, nil); err != nil {
			t.Fatal(err)
		}
		for _, ds := range everything {
			if ds.Snapshot {
				continue
			}
			verdict, issues := r.standing(ds.ID, days[n])
			if ds.ID != f.API {
				if verdict != coverage.Complete {
					t.Errorf("%s is blamed for %s: %s %v", ds.ID, f.API, verdict, issues)
				}
				continue
			}
			faulttest.Produces(t, issues, fault.ValuesRepeated)
			if verdict != coverage.Incomplete {
				t.Errorf("%s is %s with %v", f.API, verdict, issues)
			}
		}
		r.sim.RemoveFault(id)
		r.settle(w, 3)
	}
	r.sameAsProvider(w.Start, w.End, everything)
}

// TestADailyThatTwoContradict: a daily that nothing else shows to be wrong is fetched again
// when both daily_basic and moneyflow contradict it, and not blamed for one of them.
func TestADailyThatTwoContradict(t *testing.T) {
	r := newHarness(t, small())
	w, days := r.evenings(market.Universe, 2, nil)
	for n, f := range []tusharesim.Fault{
		{API: catalog.Daily, Factor: 4, Columns: []string{"vol", "amount"}},
		{API: catalog.DailyBasic, Factor: 1.05, Columns: []string{"close", "total_mv", "circ_mv"}},
	} {
		f.Kind, f.TradeDate = tusharesim.ScaleColumn, days[n].Compact()
		id := r.fail(f)
		w.End = days[n]
		for range 2 {
			if _, err := r.pass(w, 4, nil); err != nil {
				t.Fatal(err)
			}
		}
		verdict, issues := r.standing(catalog.Daily, days[n])
		if wrong := f.API == catalog.Daily; wrong != (verdict == coverage.Incomplete) {
			t.Errorf("%s errs: daily is %s %v", f.API, verdict, issues)
		} else if wrong {
			faulttest.Produces(t, issues, fault.ValuesConflict)
		}
		r.sim.RemoveFault(id)
		r.settle(w, 3)
	}
	r.sameAsProvider(w.Start, w.End, everything)
}

// TestAListOfSuspensionsThatNamesEverybody explains nothing.
func TestAListOfSuspensionsThatNamesEverybody(t *testing.T) {
	r := newHarness(t, small())
	w, days := r.evenings(market.Universe, 1, nil)
	w.End = days[0]
	r.fail(tusharesim.Fault{Kind: tusharesim.AllSuspended})
	r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, API: catalog.Daily, Share: 0.3, TradeDate: days[0].Compact()})
	if _, err := r.pass(w, 1, nil); err != nil {
		t.Fatal(err)
	}
	if v, issues := r.standing(catalog.Daily, days[0]); v != coverage.Incomplete {
		t.Errorf("a day that lost three rows in ten is %s %v", v, issues)
	}
	targets := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: days[0], End: days[0], Symbols: r.allTraded(days[0])[:40]}
	if _, err := r.pass(targets, 1, nil); err != nil {
		t.Fatal(err)
	}
	lost, silent := 0, 0
	for _, s := range targets.Symbols {
		if held, _ := r.sinks[market.Targets].Held(coverage.Key{Dataset: catalog.Daily, Date: days[0], Symbol: s}); held.Rows == 0 {
			if lost++; held.Verdict.Settled() {
				silent++
			}
		}
	}
	if lost == 0 || silent > 0 {
		t.Errorf("%d targets have no row, and %d of them are settled", lost, silent)
	}
}

// TestTheCalendarIsTurnedOver: a trading day that the calendar calls closed would never
// be planned, and a weekend that it opens would be asked for in vain.
func TestTheCalendarIsTurnedOver(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(3)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
	r.settle(w, 3)
	before, err := r.ing.Calendar(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := before.Last
	for !before.IsOpen(next) { // the last trading day known, which is to come
		next--
	}
	saturday := end
	for saturday.Time().Weekday() != 6 {
		saturday--
	}
	type flip struct {
		name   string
		day    market.Date
		reason fault.Reason
		kept   bool
	}
	flips := []flip{
		{"a day with rows", end, fault.ValuesConflict, true},
		{"a day that no pool has yet", before.Before(market.DateOf(time.Now())), fault.ValuesConflict, true},
		{"a weekend", saturday, fault.ValuesConflict, true},
		{"a day to come", next, fault.ValuesRevised, false},
	}
	if today := market.DateOf(time.Now()); before.IsOpen(today) {
		if err := r.sim.Withhold(catalog.Daily, today.Compact()); err != nil {
			t.Fatal(err)
		}
		flips = append(flips, flip{"today, without rows yet", today, fault.ValuesConflict, true})
	}
	for _, c := range flips {
		for _, pool := range market.Pools() {
			t.Run(c.name+" in "+string(pool), func(t *testing.T) {
				if pool == market.Targets {
					r.settle(coverage.PlanRequest{Pool: pool, Datasets: everything, Start: start, End: end, Symbols: r.allTraded(end)[:2]}, 3)
				}
				id := r.fail(tusharesim.Fault{Kind: tusharesim.FlippedDay, TradeDate: c.day.Compact()})
				defer r.sim.RemoveFault(id)
				o := r.calendar(t, pool)
				faulttest.Produces(t, o.result.Issues, c.reason)
				cal, err := r.sinks[pool].Calendar(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				if kept := cal.IsOpen(c.day) == before.IsOpen(c.day); kept != c.kept {
					t.Errorf("the calendar held is kept: %v, want %v", kept, c.kept)
				}
				r.sim.RemoveFault(id)
				r.calendar(t, pool)
			})
		}
	}
}

// TestListsThatErr: a list that is incomplete, empty, or has the same companies for each status
// does not replace the stored one.
func TestListsThatErr(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(2)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
	r.settle(w, 3)
	before, err := r.sinks[market.Universe].Instruments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]tusharesim.Fault{
		"three in five stocks":  {Kind: tusharesim.HalfDay, API: catalog.StockBasic, N: 60},
		"no stocks":             {Kind: tusharesim.Empty, API: catalog.StockBasic},
		"every status is L":     {Kind: tusharesim.SetColumn, API: catalog.StockBasic, Columns: []string{"list_status"}, Text: `"L"`},
		"three in five funds":   {Kind: tusharesim.HalfDay, API: catalog.FundBasic, N: 60},
		"no funds":              {Kind: tusharesim.Empty, API: catalog.FundBasic},
		"codes of another form": {Kind: tusharesim.MangledCode, API: catalog.StockBasic, Share: 1},
		"stocks without dates":  {Kind: tusharesim.NullColumn, API: catalog.StockBasic, Columns: []string{"list_date"}},
		"funds without dates":   {Kind: tusharesim.NullColumn, API: catalog.FundBasic, Columns: []string{"list_date"}},
		"listed in the future":  {Kind: tusharesim.SetColumn, API: catalog.StockBasic, Columns: []string{"list_date"}, Text: `"20991231"`},
		"all are delisted":      {Kind: tusharesim.SetColumn, API: catalog.StockBasic, Columns: []string{"delist_date"}, Text: `"19950101"`},
		"one exchange undated":  {Kind: tusharesim.NullColumn, API: catalog.StockBasic, Columns: []string{"list_date"}, Exchange: "SZ"},
	} {
		t.Run(name, func(t *testing.T) {
			id := r.fail(f)
			defer r.sim.RemoveFault(id)
			r.close()
			r.open() // without an answer remembered
			o := r.one(t.Context(), coverage.Partition{ID: f.API, Pool: market.Universe, Dataset: f.API, Start: market.NoDate, End: market.NoDate, Repeat: true})
			if o.err != nil {
				t.Fatal(o.err)
			}
			if o.result.Found == coverage.Complete || len(o.result.Issues) == 0 {
				t.Errorf("it is %s %v", o.result.Found, o.result.Issues)
			}
			after, err := r.sinks[market.Universe].Instruments(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(after) != len(before) {
				t.Errorf("%d instruments are held, %d were", len(after), len(before))
			}
		})
	}
	r.sameAsProvider(start, end, everything)
}

// TestAPageWithoutEnd: an answer that announces more rows forever is no whole day, and
// says so.
func TestAPageWithoutEnd(t *testing.T) {
	r := newHarness(t, small())
	w, days := r.evenings(market.Universe, 1, nil)
	w.End = days[0]
	id := r.fail(tusharesim.Fault{Kind: tusharesim.Endless, API: catalog.Daily})
	out, err := r.pass(w, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		if o.part.Dataset == catalog.Daily && !fault.Is(o.err, fault.ProviderUnavailable) {
			t.Errorf("%s: %s, %v", o.part.ID, o.result.Held.Verdict, o.err)
		}
	}
	r.sim.RemoveFault(id)
	r.settle(w, 3)
	r.sameAsProvider(w.Start, w.End, everything)
}

// TestARedirectIsNotFollowed: a redirect is not followed, so that the token is not sent to another
// host, and it is reported.
func TestARedirectIsNotFollowed(t *testing.T) {
	r := newHarness(t, small())
	w, days := r.evenings(market.Universe, 1, nil)
	w.End = days[0]
	id := r.fail(tusharesim.Fault{Kind: tusharesim.Redirect})
	out, err := r.pass(w, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		if !fault.Is(o.err, fault.ProviderUnavailable) || !strings.Contains(o.err.Error(), "redirect") {
			t.Errorf("%s: %v", o.part.ID, o.err)
		}
	}
	r.sim.RemoveFault(id)
	r.settle(w, 3)
}
