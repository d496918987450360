package coverage

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/realdatatest"
)

func date(s string) market.Date {
	d, err := market.ParseCompact(s)
	if err != nil {
		return market.NoDate
	}
	return d
}

func lists(t *testing.T, dir, vintage string) *Lists {
	t.Helper()
	var all []Instrument
	for _, r := range realdatatest.Rows(t, filepath.Join(dir, "stock_basic", vintage)) {
		all = append(all, Instrument{Symbol: r["ts_code"], Kind: market.Stock, Status: "L", Listed: date(r["list_date"]), Delisted: date(r["delist_date"])})
	}
	for _, r := range realdatatest.Rows(t, filepath.Join(dir, "fund_basic", "fund_basic_E_202003.csv")) {
		if market.IsETF(r["ts_code"]) {
			all = append(all, Instrument{Symbol: r["ts_code"], Kind: market.ETF, Status: r["status"], Listed: date(r["list_date"]), Delisted: date(r["delist_date"])})
		}
	}
	return NewLists(all)
}

func answerOf(t *testing.T, path string) Answer {
	a := Answer{Hash: func() uint64 { return 1 }}
	for _, r := range realdatatest.Rows(t, path) {
		if strings.Contains(path, "fund_daily") && !market.IsETF(r["ts_code"]) {
			a.Filtered++
			continue
		}
		a.Rows++
		a.ByExchange.Add(r["ts_code"])
	}
	return a
}

func TestRecordedDaysAreComplete(t *testing.T) {
	dir := realdatatest.Dir(t)
	checked := 0
	for _, c := range []struct{ vintage, glob string }{
		{"stock_basic_L_201911.csv", "2019*.csv"}, {"stock_basic_L_20250403.csv", "20250403.csv"}, {"stock_basic_L_202601_6cols.csv", "20260401.csv"},
	} {
		l := lists(t, dir, c.vintage)
		funds := book{}
		for _, id := range allDaily {
			files, err := filepath.Glob(filepath.Join(dir, id, c.glob))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range files {
				d, ds := date(strings.TrimSuffix(filepath.Base(path), ".csv")), catalog.Lookup(id)
				f := FactsOf(ds, d, l)
				if id == catalog.DailyBasic || id == catalog.Moneyflow {
					f.DailyKnown = true
					f.Daily = answerOf(t, filepath.Join(dir, catalog.Daily, filepath.Base(path))).ByExchange
				}
				if id == catalog.FundDaily {
					f.Near = Near(d, func(x market.Date) (Record, bool) { return funds.held(Key{Dataset: id, Date: x}) }, l.ETFs)
				}
				a := answerOf(t, path)
				j := Judge(ds, d, a, Expect(ds, d, f), Situation{Now: evening})
				if j.Record.Verdict != Complete {
					t.Errorf("%s of %s with %s is %s: %v", id, d, c.vintage, j.Record.Verdict, j.Record.Issues)
				}
				if id == catalog.FundDaily {
					funds[Key{Dataset: id, Date: d}] = j.Record
					// from the first day on, and with days on one side only
					first := Judge(ds, d, a, Expect(ds, d, FactsOf(ds, d, l)), Situation{Now: evening})
					if first.Record.Verdict != Complete {
						t.Errorf("fund_daily of %s as the first day: %v", d, first.Record.Issues)
					}
				}
				half := a
				half.Rows, half.ByExchange = a.Rows/2, ExchangeCounts{SH: a.ByExchange.SH / 2, SZ: a.ByExchange.SZ / 2, BJ: a.ByExchange.BJ / 2}
				if j := Judge(ds, d, half, Expect(ds, d, f), Situation{Now: evening}); j.Record.Verdict != Incomplete {
					t.Errorf("half of %s of %s is %s", id, d, j.Record.Verdict)
				}
				checked++
			}
		}
	}
	// a backfill goes backwards, so that all neighbours lie later
	l, funds := lists(t, dir, "stock_basic_L_201911.csv"), book{}
	files, err := filepath.Glob(filepath.Join(dir, catalog.FundDaily, "2019*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	ds := catalog.Lookup(catalog.FundDaily)
	for _, path := range slices.Backward(files) {
		d := date(strings.TrimSuffix(filepath.Base(path), ".csv"))
		f := FactsOf(ds, d, l)
		f.Near = Near(d, func(x market.Date) (Record, bool) { return funds.held(Key{Dataset: ds.ID, Date: x}) }, l.ETFs)
		j := Judge(ds, d, answerOf(t, path), Expect(ds, d, f), Situation{Now: evening})
		if funds[Key{Dataset: ds.ID, Date: d}] = j.Record; j.Record.Verdict != Complete {
			t.Errorf("backwards, fund_daily of %s: %v", d, j.Record.Issues)
		}
	}
	if checked < 61*2+2+2+3 {
		t.Errorf("only %d recorded days were found", checked)
	}
}
