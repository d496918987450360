package universe

import (
	"slices"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Many partitions are read in one pass, and each must come out as it does alone, also
// where others have written to the file.
func TestManyPartitionsAreReadAsEachAlone(t *testing.T) {
	s := newSink(t, Config{})
	stocks, etfs := sinktest.Stocks(300), sinktest.ETFs(40)
	var keys []coverage.Key
	for i := range 12 {
		date := sinktest.Day0 + market.Date(i)
		for _, dataset := range []string{catalog.Daily, catalog.FundDaily, catalog.DailyBasic, catalog.Moneyflow} {
			symbols := stocks
			if dataset == catalog.FundDaily {
				symbols = etfs
			}
			if i%3 == 1 {
				symbols = slices.Clone(symbols)
				slices.Reverse(symbols)
			}
			b := sinktest.Rows(dataset, date, symbols, uint64(i))
			b.Columns[3].Null[i], b.Columns[3].Numbers[i] = true, 0
			if _, err := s.Commit(t.Context(), sinktest.Commit(market.Universe, dataset, date, symbols, b, 1)); err != nil {
				t.Fatal(err)
			}
			keys = append(keys, coverage.Key{Dataset: dataset, Date: date})
		}
	}
	keys = append(keys, coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0 + 100}, coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0}) // without a row, and twice
	check := func(what string) (all []ingest.Contents) {
		t.Helper()
		all, err := s.Contents(t.Context(), keys...)
		if err != nil {
			t.Fatal(err)
		}
		for n, k := range keys {
			alone, err := s.contents(t.Context(), catalog.Lookup(k.Dataset), k)
			if err != nil || all[n] != alone {
				t.Errorf("%s: %v is %+v among others and %+v, %v alone", what, k, all[n], alone, err)
			}
		}
		return all
	}
	before := check("as committed")
	for n, k := range keys[:48] {
		if r, _ := s.Held(k); before[n].Hash != r.RowsHash || before[n].Rows != r.Rows {
			t.Errorf("%v is %+v, its record says %d rows of hash %d", k, before[n], r.Rows, r.RowsHash)
		}
	}
	day := func(i int) string { return literal(sinktest.Day0 + market.Date(i)) }
	for _, sql := range []string{
		"INSERT INTO daily_prices SELECT * FROM daily_prices WHERE trade_date = " + day(2) + " AND symbol = " + quote(etfs[1]),
		"INSERT INTO daily_prices SELECT * FROM daily_prices WHERE trade_date = " + day(2) + " AND symbol < " + quote(stocks[9]),
		"INSERT INTO daily_prices (symbol, trade_date, close) VALUES ('510300000000000000000.SH', " + day(3) + ", 1), ('a symbol of others, and long', " + day(3) + ", 1)," +
			" ('a symbol of others, and long', " + day(3) + ", 2), (NULL, " + day(3) + ", 3), ('', " + day(3) + ", 4), ('600000.SH', NULL, 5)",
		"INSERT INTO daily_basics (symbol, trade_date, pe) VALUES (NULL, " + day(4) + ", 1), ('', " + day(4) + ", 1), ('a symbol of others, and long', " + day(4) + ", '-0')",
		"UPDATE daily_moneyflows SET buy_sm_vol = NULL WHERE trade_date = " + day(5),
		"UPDATE daily_basics SET close = close + 1 WHERE symbol = " + quote(stocks[17]),
		"DELETE FROM daily_prices WHERE trade_date = " + day(6),
		"DELETE FROM daily_moneyflows WHERE trade_date = " + day(7) + " AND symbol > " + quote(stocks[100]),
	} {
		if err := s.do(t.Context(), func(w *writer) error { return w.use(func(d *duck) error { return d.exec(sql) }) }); err != nil {
			t.Fatal(err)
		}
	}
	altered := 0
	for n, c := range check("as others left it") {
		if c != before[n] {
			altered++
		}
	}
	// Two days by each kind, the other values: 2, 1, 1 and 12 of daily_basic.
	if altered < 18 {
		t.Errorf("only %d partitions differ from before", altered)
	}
}

func TestETFsAreToldInGoAsInSQL(t *testing.T) {
	s := newSink(t, Config{})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	symbols := []string{"", "510300.SH", "510300.SZ", "159915.SZ", "159915.SH", "15991.SZ", "51.SH", "5", ".SH", "540001.SH", "510300", "51é.SH", "600519.SH", "1590000000000.SZ"}
	for _, symbol := range symbols {
		var told bool
		err := s.do(t.Context(), func(w *writer) error {
			return w.use(func(d *duck) error {
				return d.query("SELECT "+etfPredicate+"::BIGINT FROM (SELECT "+quote(symbol)+" AS symbol)", func(c rows) error {
					told = value[int64](c.columns[0], 0) == 1
					return nil
				})
			})
		})
		if err != nil || told != etfRow(symbol) {
			t.Errorf("%q: SQL says %v, %v, Go %v", symbol, told, err, etfRow(symbol))
		}
	}
}

func BenchmarkContents(b *testing.B) {
	s := New(Config{Path: b.TempDir() + "/analysis.duckdb", Source: sinktest.Source})
	defer s.Close()
	var keys []coverage.Key
	rows := 0
	for i := range 60 {
		for _, c := range sinktest.MarketDay(market.Universe, sinktest.Day0+market.Date(i), 1) {
			if _, err := s.Commit(b.Context(), c); err != nil {
				b.Fatal(err)
			}
			keys = append(keys, c.Records[0].Key)
			rows += c.Batch.Len
		}
	}
	if err := s.do(b.Context(), func(w *writer) error { w.checkpoint(); return nil }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Contents(b.Context(), keys...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}
