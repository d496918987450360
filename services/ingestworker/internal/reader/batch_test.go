package reader

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// Rows are sorted by date and text: dates before 1970, texts that are empty or short or differ after
// their first eight bytes, sorted and unsorted input.
func TestSortedIsByDateAndText(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		b := newBatch([]catalog.Column{{Stored: "symbol", Type: table.Text}, {Stored: "trade_date", Type: table.Date}})
		b.rows = rng.IntN(400)
		for i := range b.rows {
			text := fmt.Sprintf("%06d.%s", rng.IntN(50), []string{"SH", "SZ", "BJ"}[rng.IntN(3)])
			if n%3 == 1 {
				text = strings.Repeat("x", rng.IntN(12)) + []string{"", "é", "\xff", "a"}[rng.IntN(4)]
			}
			day := int32(rng.IntN(7)*1000 - 3000)
			if n%3 == 2 {
				text, day = fmt.Sprintf("%06d.SH", i), int32(n)
			}
			if n%4 == 3 { // runs, as those of stocks and ETFs of some days
				text, day = fmt.Sprintf("%06d.SH", i%90), int32(8-i/90)
			}
			v := &b.columns[0]
			v.text = append(v.text, text...)
			v.offsets = append(v.offsets, int32(len(v.text)))
			b.columns[1].fixed = append(b.columns[1].fixed, arrow.Int32Traits.CastToBytes([]int32{day})...)
		}
		for _, date := range []int{1, -1} {
			want := make([]int32, b.rows)
			for i := range want {
				want[i] = int32(i)
			}
			slices.SortStableFunc(want, func(x, y int32) int {
				if date >= 0 && b.columns[1].int(int(x)) != b.columns[1].int(int(y)) {
					return cmp.Compare(b.columns[1].int(int(x)), b.columns[1].int(int(y)))
				}
				return cmp.Compare(string(b.columns[0].bytes(int(x))), string(b.columns[0].bytes(int(y))))
			})
			if got := b.sorted(date, 0); !slices.Equal(got, want) {
				t.Fatalf("batch %d, date %d: %v, want %v", n, date, got, want)
			}
		}
	}
}

// A message that is put together in place is byte for byte the one that Arrow writes.
func TestGatheredMessageIsArrows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	columns := []catalog.Column{{Stored: "symbol", Type: table.Text}, {Stored: "trade_date", Type: table.Date}, {Stored: "close", Type: table.Number}, {Stored: "n", Type: table.Int}}
	for n := range 200 {
		src := newBatch(columns)
		src.rows = 1 + rng.IntN(300)
		for c := range src.columns {
			v, share := &src.columns[c], []float64{0, 0.3, 1}[rng.IntN(3)]
			for row := range src.rows {
				there := rng.Float64() >= share
				switch v.typ {
				case table.Text:
					if there {
						v.text = append(v.text, strings.Repeat("x", rng.IntN(12))...)
					}
					v.offsets = append(v.offsets, int32(len(v.text)))
				case table.Number:
					v.fixed = append(v.fixed, arrow.Float64Traits.CastToBytes([]float64{rng.Float64()})...)
				default:
					v.fixed = append(v.fixed, arrow.Int32Traits.CastToBytes([]int32{rng.Int32()})...)
				}
				v.mark(row, there)
			}
		}
		var order []int32
		for _, row := range rng.Perm(src.rows)[:1+rng.IntN(src.rows)] {
			order = append(order, int32(row))
		}
		source := []int{2, 0, 1, 3}[:1+rng.IntN(4)]
		var chosen []catalog.Column
		for _, from := range source {
			chosen = append(chosen, columns[from])
		}
		w := newArrowWriter(chosen, nil)
		got, done, err := w.gather(src, source, order)
		if err != nil || done == nil {
			t.Fatalf("batch %d: done is there: %v, %v", n, done != nil, err)
		}
		want, err := w.rows(src.gather(chosen, source, order))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("batch %d of %d rows: %d bytes, want %d, %v", n, len(order), len(got), len(want), err)
		}
		done()
	}
}
