package coverage

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/afterbell/afterbell/services/internal/market"
)

// TestCoverIsComplete compares the cover of random gaps with the smallest of all sets of
// symbols and dates that cover them.
func TestCoverIsComplete(t *testing.T) {
	const symbols, days = 6, 6
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range 500 {
		var history []gap
		var missing [symbols]uint // bits are days
		for s := range symbols {
			g := gap{symbol: fmt.Sprint(s)}
			for d := range market.Date(days) {
				if rng.IntN(6) < round%6 {
					g.days = append(g.days, d)
					missing[s] |= 1 << d
				}
			}
			if len(g.days) > 0 {
				history = append(history, g)
			}
		}
		rows, columns := cover(history)
		covered := [symbols]uint{}
		for _, c := range columns {
			for _, s := range c.symbols {
				covered[s[0]-'0'] |= 1 << c.day
			}
		}
		for _, r := range rows {
			for _, d := range r[0].days {
				covered[r[0].symbol[0]-'0'] |= 1 << d
			}
		}
		if covered != missing {
			t.Fatalf("%v is covered as %v", missing, covered)
		}
		least := symbols + days
		for dates := range uint(1) << days {
			n := bits.OnesCount(dates)
			for _, m := range missing {
				if m&^dates != 0 {
					n++
				}
			}
			least = min(least, n)
		}
		if len(rows)+len(columns) != least {
			t.Fatalf("%v is covered by %d symbols and %d dates; %d of both are enough", missing, len(rows), len(columns), least)
		}
	}
}

// BenchmarkCover covers the gaps of a first fill of many symbols over three years.
func BenchmarkCover(b *testing.B) {
	var history []gap
	for s := range 2000 {
		g := gap{symbol: fmt.Sprint(s)}
		for d := range market.Date(730) {
			if (int(d)+s)%97 > 0 {
				g.days = append(g.days, d)
			}
		}
		history = append(history, g)
	}
	for b.Loop() {
		cover(history)
	}
}
