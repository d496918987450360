package sinktest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
)

// alterations are statements that another program executes; they leave coverage unchanged.
// Day0 is 2026-03-02, and the file has no row of the next day.
var alterations = []struct{ name, statement string }{
	{"another value", "UPDATE daily_prices SET close = close + 0.01 WHERE symbol = '600001.SH' AND close IS NOT NULL"},
	{"null for a value", "UPDATE daily_prices SET open = NULL"},
	{"a value for null", "UPDATE daily_moneyflows SET net_mf_vol = 77 WHERE symbol = '600001.SH'"},
	{"values exchanged", "UPDATE daily_moneyflows SET buy_sm_vol = sell_sm_vol, sell_sm_vol = buy_sm_vol"},
	{"rows exchanged", "UPDATE daily_basics SET total_mv = (SELECT max(total_mv) + min(total_mv) FROM daily_basics) - total_mv"},
	{"a deleted row", "DELETE FROM daily_basics WHERE symbol = '600001.SH'"},
	{"an added row", "INSERT INTO daily_prices (symbol, trade_date, close) VALUES ('600001.SH', '2026-03-03', 1)"},
	{"an open day closed", "UPDATE trade_calendar SET is_open = 1 - is_open WHERE cal_date = '2026-03-04'"},
	{"another name", "UPDATE instrument_meta SET name = 'x' WHERE symbol = '600001.SH'"},
	{"another kind", "UPDATE instrument_meta SET kind = 'etf' WHERE symbol = '600001.SH'"},
	{"a column that only the other list fills", "UPDATE instrument_meta SET management = 'x' WHERE symbol = '600001.SH'"},
}

// alteredRowsAreSeen checks that each change by another program is detected, and that
// committing the same rows again repairs it.
func alteredRowsAreSeen(t *testing.T, h Harness) {
	stocks := Stocks(9)
	var commits []ingest.Commit
	for _, dataset := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
		b := Rows(dataset, Day0, stocks, 1)
		for i := range b.Columns { // every statement below must change something
			if c := &b.Columns[i]; c.Numbers != nil {
				clear(c.Null)
			}
		}
		if dataset == catalog.Moneyflow {
			c := b.Column("net_mf_vol")
			c.Numbers[1], c.Null[1] = 0, true
		}
		commits = append(commits, Commit(h.Pool, dataset, Day0, stocks, b, 1))
	}
	commits = append(commits,
		Commit(h.Pool, catalog.Daily, Day0+1, stocks, Rows(catalog.Daily, Day0+1, nil, 1), 1),
		Snapshot(h.Pool, catalog.TradeCal, CalendarDays(14), 1),
		Snapshot(h.Pool, catalog.StockBasic, List(catalog.StockBasic, stocks), 1),
		Snapshot(h.Pool, catalog.FundBasic, List(catalog.FundBasic, ETFs(4)), 1))
	path := h.path(t)
	s := h.open(t, path)
	for _, c := range commits {
		commit(t, s, c)
	}
	whole := contents(t, s)
	for _, a := range alterations {
		closeSink(t, s)
		h.Exec(t, path, a.statement)
		s = h.open(t, path)
		altered := 0
		for k, r := range records(t, s) {
			held, err := Contents(t.Context(), s, k)
			if err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
			if held.Hash != r.RowsHash {
				altered++
			}
		}
		if altered == 0 {
			t.Errorf("%s is not detected", a.name)
		}
		for _, c := range commits {
			commit(t, s, c)
		}
		agree(t, s)
		if diff := cmp.Diff(whole, contents(t, s)); diff != "" {
			t.Errorf("%s is not repaired: %s", a.name, diff)
		}
	}
}

func contents(t *testing.T, s ingest.Sink) map[coverage.Key]ingest.Contents {
	t.Helper()
	out := make(map[coverage.Key]ingest.Contents)
	for k := range records(t, s) {
		held, err := Contents(t.Context(), s, k)
		if err != nil {
			t.Fatal(err)
		}
		out[k] = held
	}
	return out
}
