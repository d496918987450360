package sinktest

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// MarketDay returns the commits of one trade date of the whole market in four datasets,
// about 17,500 rows with all columns. For targets it has 500 symbols.
func MarketDay(p market.Pool, date market.Date, epoch int64) []ingest.Commit {
	stocks, etfs := Stocks(5400), ETFs(1300)
	if p == market.Targets {
		stocks, etfs = stocks[:400], etfs[:100]
	}
	var out []ingest.Commit
	for _, dataset := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow, catalog.FundDaily} {
		symbols := stocks
		if dataset == catalog.FundDaily {
			symbols = etfs
		}
		out = append(out, Commit(p, dataset, date, symbols, Rows(dataset, date, symbols, 1), epoch))
	}
	return out
}

// Bench commits dates of the whole market from eight goroutines to an empty file, then closes
// the file, and reports rows per second and bytes per row.
func Bench(b *testing.B, h Harness, dates int) {
	var days [][]ingest.Commit
	for i := range 8 {
		days = append(days, MarketDay(h.Pool, Day0+market.Date(i), 1))
	}
	var rows, size int64
	var took time.Duration
	for b.Loop() {
		path := h.path(b)
		s := h.make(Options{Path: path})
		began := time.Now()
		var group errgroup.Group
		group.SetLimit(8)
		for i := range dates {
			for _, c := range days[i%len(days)] {
				c = redate(c, Day0+market.Date(i))
				rows += int64(c.Batch.Len)
				group.Go(func() error {
					_, err := s.Commit(b.Context(), c)
					return err
				})
			}
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		closeSink(b, s)
		took += time.Since(began)
		st, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		size += st.Size()
	}
	b.ReportMetric(float64(rows)/took.Seconds(), "rows/s")
	b.ReportMetric(float64(size)/float64(rows), "B/row")
}

// redate returns a commit with the same values on another date.
func redate(c ingest.Commit, date market.Date) ingest.Commit {
	b := *c.Batch
	b.Columns = append(b.Columns[:0:0], b.Columns...)
	dates := b.Column("trade_date")
	dates.Dates = make([]market.Date, b.Len)
	for i := range dates.Dates {
		dates.Dates[i] = date
	}
	c.Batch = &b
	records := c.Records
	c.Records = append(records[:0:0], records...)
	for i := range c.Records {
		c.Records[i].Date = date
	}
	c.Partition.Start, c.Partition.End = date, date
	c.Partition.ID = c.Partition.Dataset + "/" + date.String()
	return c
}
