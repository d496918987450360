package reader_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
)

// BenchmarkReading measures publishing and reading a pool of AFTERBELL_BENCH_DAYS trade dates of the
// whole market (750 are three years; the default is 20), compared with DuckDB alone.
func BenchmarkReading(b *testing.B) {
	days := 20
	if n, err := strconv.Atoi(os.Getenv("AFTERBELL_BENCH_DAYS")); err == nil {
		days = n
	}
	dir := b.TempDir()
	sink := universe.New(universe.Config{Path: filepath.Join(dir, "analysis.duckdb"), Source: "test"})
	defer sink.Close()
	commit := func(date market.Date, seed uint64, epoch int64) {
		var group errgroup.Group
		for _, c := range sinktest.MarketDay(market.Universe, date, epoch) {
			c.Batch = sinktest.Rows(c.Partition.Dataset, date, c.Batch.Column("ts_code").Texts, seed)
			group.Go(func() error { _, err := sink.Commit(b.Context(), c); return err })
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	last := sinktest.Day0
	for n := 0; n < days; last++ {
		if !last.Weekend() {
			commit(last, 1, 1)
			n++
		}
	}
	last--
	config := publish.Config{Pool: market.Universe, Dir: filepath.Join(dir, "published"), Mark: filepath.Join(dir, "mark"), Source: sink, Host: "test"}
	store := publish.New(config)
	defer store.Close()
	service, err := reader.New(reader.Config{Stores: map[market.Pool]*publish.Store{market.Universe: store}, Dir: filepath.Join(dir, "answers")})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := store.Publish(b.Context(), "run"); err != nil {
		b.Fatal(err)
	}
	b.Run("publish/whole", func(b *testing.B) {
		for b.Loop() {
			c := config
			c.Dir, c.Mark = filepath.Join(b.TempDir(), "published"), filepath.Join(b.TempDir(), "mark")
			if _, err := publish.New(c).Publish(b.Context(), "run"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("publish/evening", func(b *testing.B) {
		seed := uint64(1)
		var took time.Duration
		for b.Loop() {
			seed++
			commit(last, seed, time.Now().UnixMilli())
			res, err := store.Publish(b.Context(), "run")
			if err != nil || res.Written != 3 {
				b.Fatalf("%+v, %v", res, err)
			}
			took += res.Took
		}
		b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms/publication")
	})
	v, release, err := store.Acquire(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	duckdb := func(sql string) func(b *testing.B) {
		return func(b *testing.B) {
			rows := 0
			for b.Loop() {
				if err := v.Reader.Query(b.Context(), sql, func(c universe.Chunk) error { rows += c.Len(); return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		}
	}
	answer := func(q reader.Query, f reader.Format) func(b *testing.B) {
		return func(b *testing.B) {
			var n int64
			for b.Loop() {
				a, err := service.Open(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				_, err = a.Write(b.Context(), f, func(data []byte, done func()) error {
					n += int64(len(data))
					if done != nil {
						done()
					}
					return nil
				})
				a.Close()
				if err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(n / int64(b.N))
		}
	}
	all := query(catalog.TablePrices)
	b.Run("all/duckdb", duckdb("SELECT * FROM daily_prices"))
	b.Run("all/duckdb-sorted", duckdb("SELECT * FROM daily_prices ORDER BY trade_date, symbol"))
	b.Run("all/arrow", answer(all, reader.Arrow))
	b.Run("all/csv", answer(all, reader.CSV))
	b.Run("all/ndjson", answer(all, reader.NDJSON))
	one := all
	one.Symbols = []string{sinktest.Stocks(2)[1]}
	b.Run("symbol/duckdb", duckdb("SELECT * FROM daily_prices WHERE symbol = '"+one.Symbols[0]+"' ORDER BY trade_date"))
	b.Run("symbol/arrow", answer(one, reader.Arrow))
	one.Adjust = reader.Forward
	b.Run("symbol/adjusted", answer(one, reader.Arrow))
	day := all
	day.Start, day.End = last, last
	b.Run("day/duckdb", duckdb("SELECT * FROM daily_prices WHERE trade_date = DATE '"+last.String()+"'"))
	b.Run("day/arrow", answer(day, reader.Arrow))
}
