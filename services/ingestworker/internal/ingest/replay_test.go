package ingest_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/realdatatest"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// TestRecordedDaysAreStoredAsRecorded replays the recorded days of 2019 and one of 2026 over HTTP,
// and compares universe with the recording.
func TestRecordedDaysAreStoredAsRecorded(t *testing.T) {
	dir := realdatatest.Dir(t)
	for _, c := range []struct {
		vintage    string
		datasets   []*catalog.Dataset
		start, end market.Date
		days       int
	}{
		{"201911", datasets(catalog.TradeCal, catalog.StockBasic, catalog.FundBasic, catalog.Daily, catalog.FundDaily), market.NewDate(2019, 10, 8), market.NewDate(2019, 12, 31), 61},
		{"202601", datasets(catalog.TradeCal, catalog.StockBasic, catalog.Daily, catalog.DailyBasic, catalog.Moneyflow), market.NewDate(2026, 4, 1), market.NewDate(2026, 4, 1), 1},
	} {
		t.Run(c.vintage, func(t *testing.T) {
			r := newHarness(t, tusharesim.Options{ReplayDir: dir, StockBasicVintage: c.vintage})
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: c.datasets, Start: c.start, End: c.end}
			out, err := r.pass(w, 4, nil)
			if err != nil {
				t.Fatal(err)
			}
			dated, alarms := 0, map[fault.Reason]int{}
			for _, o := range out {
				// The recorded calendar ends with 2026.
				o.result.Issues = slices.DeleteFunc(o.result.Issues, func(i fault.Issue) bool { return i.Reason == fault.CalendarEnded })
				for _, i := range o.result.Issues {
					alarms[i.Reason]++
				}
				if o.err != nil || o.result.Held.Verdict != coverage.Complete {
					t.Errorf("%s: %s %v, %v", o.part.ID, o.result.Held.Verdict, o.result.Issues, o.err)
				}
				for _, i := range o.result.Issues {
					// The list of November 2019 does not know the companies of December, and
					// 601258.SH and 600815.SH had an ex-date while they were suspended.
					if strings.Contains(i.Message, "pre_close") {
						faulttest.Produces(t, i, fault.SymbolsAbsent)
						if want := "universe/absent-symbols?dataset_id=" + i.Meta["dataset"] + "&trade_date=" + i.Meta["trade_date"]; !strings.Contains(i.Remedy, want) {
							t.Errorf("%q does not ask for %s", i.Remedy, want)
						}
						continue
					}
					faulttest.Produces(t, i, fault.UnknownSymbols)
				}
				if o.part.Start != market.NoDate {
					dated++
				}
			}
			t.Logf("warnings over %d partitions of recorded data: %v", len(out), alarms)
			perDay := 0
			for _, ds := range c.datasets {
				if !ds.Snapshot {
					perDay++
				}
			}
			if dated != c.days*perDay {
				t.Errorf("%d dated partitions, want %d", dated, c.days*perDay)
			}
			if out, err := r.pass(w, 4, nil); err != nil || len(out) != 0 {
				t.Errorf("a second run planned %d, %v", len(out), err)
			}
			r.sameAsProvider(c.start, c.end, c.datasets)
		})
	}
}

// TestRecordedDaysWithManySuspensions loads each recorded day on which up to one stock in eight was
// suspended, without any neighbouring day.
func TestRecordedDaysWithManySuspensions(t *testing.T) {
	dir := realdatatest.Dir(t)
	for _, span := range [][2]string{
		{"20100518"}, {"20120420"}, {"20131128"}, {"20141201"}, {"20160408", "20160412"}, {"20170605"}, {"20180208"},
	} {
		t.Run(span[0], func(t *testing.T) {
			start, err := market.ParseCompact(span[0])
			if err != nil {
				t.Fatal(err)
			}
			end := start
			if span[1] != "" {
				if end, err = market.ParseCompact(span[1]); err != nil {
					t.Fatal(err)
				}
			}
			r := newHarness(t, tusharesim.Options{ReplayDir: dir, StockBasicVintage: "201911"})
			of := datasets(catalog.TradeCal, catalog.StockBasic, catalog.Daily)
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: of, Start: start, End: end}
			out, err := r.pass(w, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range out {
				if o.err != nil || o.result.Held.Verdict != coverage.Complete {
					t.Errorf("%s: %s %v, %v", o.part.ID, o.result.Held.Verdict, o.result.Issues, o.err)
				}
			}
			r.settle(w, 2) // a day that stands alone is looked at twice
			r.sameAsProvider(start, end, of)
		})
	}
}

// TestETFsAreToldByTheirCodes loads the recorded list of exchange-traded funds.
func TestETFsAreToldByTheirCodes(t *testing.T) {
	r := newHarness(t, tusharesim.Options{ReplayDir: realdatatest.Dir(t), StockBasicVintage: "201911"})
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.FundBasic)}
	out, err := r.pass(w, 1, nil)
	if err != nil && !fault.Is(err, fault.CalendarUnavailable) {
		t.Fatal(err)
	}
	for _, o := range out {
		if o.part.Dataset == catalog.FundBasic && (o.err != nil || o.result.Held.Rows != 317 || o.result.Held.Filtered != 1094-317 || o.result.Held.Rejected != 0) {
			t.Errorf("%+v, %v", o.result.Held, o.err)
		}
	}
	instruments, err := r.sinks[market.Universe].Instruments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	for _, i := range instruments {
		if i.Kind == market.ETF && i.Status == "L" {
			listed++
		}
	}
	if listed != 293 {
		t.Errorf("%d ETFs are listed, want 293", listed)
	}
}

// TestRecordedDaysOfAWatchList replays recorded days into targets evening by evening, each as a
// whole date, and at once, by symbol: no row of them is refuted.
func TestRecordedDaysOfAWatchList(t *testing.T) {
	r := newHarness(t, tusharesim.Options{ReplayDir: realdatatest.Dir(t), StockBasicVintage: "201911"})
	start, end := market.NewDate(2019, 12, 2), market.NewDate(2019, 12, 31)
	var symbols []string
	for _, ds := range datasets(catalog.Daily, catalog.FundDaily) {
		all := slices.Sorted(maps.Keys(r.truth(ds, map[string]string{"trade_date": end.Compact()}, func(s string) bool { return market.IsETF(s) == (ds.Kind == market.ETF) })))
		for n := 0; n < len(all); n += len(all) / 40 {
			symbols = append(symbols, all[n])
		}
	}
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: datasets(catalog.TradeCal, catalog.StockBasic, catalog.FundBasic, catalog.Daily, catalog.FundDaily), Start: start, Symbols: symbols}
	fill := func(r *harness) {
		t.Helper()
		out, err := r.pass(w, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out {
			for _, i := range o.result.Issues {
				if i.Reason != fault.UnknownSymbols && i.Reason != fault.SymbolsAbsent && i.Reason != fault.CalendarEnded {
					t.Errorf("%s: %s %s", o.part.ID, i.Reason, i.Message)
				}
			}
		}
	}
	for _, text := range r.sim.OpenDates(start.Compact(), end.Compact()) {
		var err error
		if w.End, err = market.ParseCompact(text); err != nil {
			t.Fatal(err)
		}
		fill(r)
	}
	w.Start = market.NewDate(2019, 10, 8)
	fill(harnessAt(t, r.sim.URL))
}
