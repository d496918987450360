package ingest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// BenchmarkManyTargets fills the targets pool with many symbols over many days, from
// empty, and fetches all of it again.
func BenchmarkManyTargets(b *testing.B) {
	const stocks, days = 2000, 60
	for b.Loop() {
		r := newHarness(b, tusharesim.Options{Stocks: 2600, Funds: 30})
		end := market.DateOf(time.Now()) - 14
		open := r.sim.OpenDates((end - 2*days).Compact(), end.Compact())
		start, err := market.ParseCompact(open[len(open)-days])
		if err != nil {
			b.Fatal(err)
		}
		var symbols []string
		for s := range r.truth(everything[3], map[string]string{"trade_date": start.Compact()}, func(s string) bool { return !strings.HasSuffix(s, "BJ") }) {
			if len(symbols) < stocks {
				symbols = append(symbols, s)
			}
		}
		w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: symbols}
		refs, err := r.ing.References(b.Context(), w)
		if err != nil {
			b.Fatal(err)
		}
		r.all(refs.Partitions, 4)
		for _, name := range []string{"fill", "refetch"} {
			w.Refetch = name == "refetch"
			began := time.Now()
			plan, err := r.ing.Data(b.Context(), w)
			if err != nil {
				b.Fatal(err)
			}
			planned := time.Since(began)
			rows := int64(0)
			for _, o := range r.all(plan.Partitions, 24) {
				if o.err != nil {
					b.Fatal(o.err)
				}
				rows += o.result.Held.Rows
			}
			b.ReportMetric(float64(rows)/time.Since(began).Seconds(), name+"-rows/s")
			b.ReportMetric(planned.Seconds(), name+"-plan-s")
		}
	}
}
