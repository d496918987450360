package reader

import (
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

// Rows are sorted by date and text whatever they are: before 1970, texts that are empty,
// short, or differ beyond their first eight bytes, in order and in none.
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
