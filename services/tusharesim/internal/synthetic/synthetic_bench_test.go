package synthetic

import (
	"testing"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
)

func BenchmarkRows(b *testing.B) {
	u, err := New(Options{Seed: 1, Stocks: 5400, Funds: 1900})
	if err != nil {
		b.Fatal(err)
	}
	days := u.cal.Between(20231101, 20261031)
	for _, api := range spec.All() {
		if !api.Dated {
			continue
		}
		b.Run(api.Name, func(b *testing.B) {
			var rows, bytes int
			buf := make([]byte, 0, 4<<20)
			for i := 0; b.Loop(); i++ {
				refs, err := u.Select(nil, api, days[i%len(days)], nil)
				if err != nil {
					b.Fatal(err)
				}
				a := u.Appender(api, api.Defaults())
				buf = buf[:0]
				for _, r := range refs {
					buf = a.AppendRow(buf, r)
				}
				rows += len(refs)
				bytes += len(buf)
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			b.ReportMetric(float64(bytes)/float64(rows), "B/row")
			b.ReportMetric(float64(rows)/float64(b.N), "rows/op")
		})
	}
}
