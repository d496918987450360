package coverage

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/realdatatest"
)

// TestRecordedCounts judges ten years of recorded counts by the neighbouring days: almost no day
// is incomplete, but a day with 3 % fewer rows is, if the neighbouring days are normal.
func TestRecordedCounts(t *testing.T) {
	rows := realdatatest.Rows(t, filepath.Join(realdatatest.Dir(t), "counts", "daily_counts_2009_2019.csv"))
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	held, listed := map[market.Date]Record{}, map[market.Date]ExchangeCounts{}
	var days []market.Date
	for _, r := range rows {
		d := date(r["trade_date"])
		by := ExchangeCounts{SH: number(r["rows_sh"]), SZ: number(r["rows_sz"])}
		held[d] = Record{Rows: by.Sum(), ByExchange: by, Verdict: Complete}
		listed[d] = ExchangeCounts{SH: number(r["listed_sh"]), SZ: number(r["listed_sz"])}
		days = append(days, d)
	}
	daily := catalog.Lookup(catalog.Daily)
	judge := func(d market.Date, share float64, since market.Date) (short bool, s Shares) {
		s = TradedShares(d, func(x market.Date) (Record, bool) { r, ok := held[x]; return r, ok && x >= since }, func(x market.Date) ExchangeCounts { return listed[x] })
		by := held[d].ByExchange
		by.SH, by.SZ = int64(float64(by.SH)*share), int64(float64(by.SZ)*share)
		return !Expect(daily, d, Facts{ListKnown: true, Stocks: listed[d], TradedShares: s}).Reaches(by.Sum(), by), s
	}
	short, backwards, quiet, found := 0, 0, 0, 0
	for _, d := range days {
		if s, _ := judge(d, 1, 0); s {
			short++
		}
		if s, _ := judge(d, 1, d); s { // as a backfill sees it, newest day first
			backwards++
		}
		lost, s := judge(d, 0.97, 0)
		if s.All > 0.985 {
			quiet++
			if lost {
				found++
			}
		}
	}
	n := len(days)
	t.Logf("of %d days %d are called short, %d by a backfill at first; 3 %% lost is seen on %d of %d quiet days", n, short, backwards, found, quiet)
	if n < 2400 || short*200 > n || backwards*100 > n || quiet < 200 || found < quiet {
		t.Errorf("of %d days %d are short, %d backwards; %d of %d losses are seen", n, short, backwards, found, quiet)
	}
}
