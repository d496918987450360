package evidence

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// BenchmarkDay measures the comparison of a whole day of the market with the previous day.
func BenchmarkDay(b *testing.B) {
	for _, id := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
		ds := catalog.Lookup(id)
		one, other := wholeMarket(ds, 1), wholeMarket(ds, 2)
		before := NewDay(ds, monday, one)
		day := NewDay(ds, monday+1, other)
		p := PairOf(day, before)
		b.Run("remember/"+id, func(b *testing.B) {
			for b.Loop() {
				NewDay(ds, monday+1, other)
			}
		})
		b.Run("pair/"+id, func(b *testing.B) {
			for b.Loop() {
				PairOf(day, before)
			}
		})
		b.Run("repeated/"+id, func(b *testing.B) {
			for b.Loop() {
				if f, ok := p.Repeated(nil); ok {
					b.Fatal(f)
				}
			}
		})
		b.Run("shuffled/"+id, func(b *testing.B) {
			for b.Loop() {
				if f, ok := p.Shuffled(before); ok {
					b.Fatal(f)
				}
			}
		})
		b.Run("differs/"+id, func(b *testing.B) {
			for b.Loop() {
				if f, ok := p.Differs(); ok {
					b.Fatal(f)
				}
			}
		})
	}
}

// wholeMarket returns a day of 5,400 stocks with values from 95 to 105.
func wholeMarket(ds *catalog.Dataset, seed uint64) *table.Batch {
	random := rand.New(rand.NewPCG(seed, 0))
	b := table.New(ds.Specs(), 5400)
	for b.Len = range 5400 {
		for i := range b.Columns {
			switch c := &b.Columns[i]; c.Name {
			case "ts_code":
				c.AppendText(fmt.Sprintf("%06d.SZ", b.Len))
			case "trade_date":
				c.AppendDate(monday)
			default:
				c.AppendNumber(95 + 10*random.Float64())
			}
		}
	}
	b.Len = 5400
	return b
}
