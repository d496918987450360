package universe

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// BenchmarkBareWriter is the floor that the sink is measured against: the same
// rows and columns into the same tables, 20 dates a transaction, and nothing
// else: no checks, no coverage, no queue.
func BenchmarkBareWriter(b *testing.B) {
	const dates = 120
	var days [8][]ingest.Commit
	for i := range days {
		days[i] = sinktest.MarketDay(market.Universe, sinktest.Day0+market.Date(i), 1)
	}
	var rows, size int64
	var took time.Duration
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "bare.duckdb")
		began := time.Now()
		d, err := openDuck(path, map[string]string{"memory_limit": "256MB", "threads": "2", "checkpoint_threshold": "1GB"})
		if err != nil {
			b.Fatal(err)
		}
		must := func(err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		must(d.exec(createSQL()))
		for from := 0; from < dates; from += 20 {
			must(d.exec("BEGIN"))
			appenders := map[string]*appender{}
			for i := range 20 {
				for _, c := range days[i%len(days)] {
					ds := catalog.Lookup(c.Partition.Dataset)
					if appenders[ds.Table] == nil {
						appenders[ds.Table], err = newAppender(d, ds.Table)
						must(err)
					}
					for n := range c.Batch.Column("trade_date").Dates {
						c.Batch.Column("trade_date").Dates[n] = sinktest.Day0 + market.Date(from+i)
					}
					must(appenders[ds.Table].appendBatch(sources(ds, c.Batch), c.Batch.Len))
					rows += int64(c.Batch.Len)
				}
			}
			for _, a := range appenders {
				must(a.flush())
				a.destroy()
			}
			must(d.exec("COMMIT"))
		}
		must(d.exec("CHECKPOINT"))
		d.close()
		took += time.Since(began)
		st, err := os.Stat(path)
		must(err)
		size += st.Size()
	}
	b.ReportMetric(float64(rows)/took.Seconds(), "rows/s")
	b.ReportMetric(float64(size)/float64(rows), "B/row")
}
