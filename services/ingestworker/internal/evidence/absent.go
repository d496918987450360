package evidence

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// Traded are the symbols of a day of daily_basic or moneyflow whose row shows that
// they traded: with turnover, or with orders filled.
func (d *Day) Traded() []Symbol {
	var traded func(i int) bool
	switch d.Dataset {
	case catalog.Daily:
		return d.Symbols
	case catalog.DailyBasic:
		turnover := d.column("turnover_rate")
		traded = func(i int) bool { return turnover[i] > 0 }
	case catalog.Moneyflow:
		volumes := d.named("buy_", "_vol")
		traded = func(i int) bool { return sum(volumes, i) > 0 }
	default:
		return nil
	}
	out := make([]Symbol, 0, len(d.Symbols))
	for i, s := range d.Symbols {
		if traded(i) {
			out = append(out, s)
		}
	}
	return out
}

// Missing names the symbols without a row on a day whose row in another dataset of
// the date shows that they traded. One that the dataset has on neither day beside it
// is not counted: it lacks the company, not the day. A day beside it that is nil
// tells nothing.
func Missing(day, other *Day, beside ...*Day) (Finding, bool) {
	var missing []Symbol
	for _, s := range day.covered(day.without(other.Traded())) {
		if known(s, beside) {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return Finding{}, false
	}
	return absent(len(missing), len(day.Symbols), names(missing), "a row in "+other.Dataset+" of that date"), true
}

func known(s Symbol, beside []*Day) bool {
	told := false
	for _, d := range beside {
		if d != nil {
			if told = true; d.Has(s) {
				return true
			}
		}
	}
	return !told
}

// Resumed are the symbols with a row on a day of quotes and none on the open day
// before it.
func Resumed(after, day *Day) []Symbol {
	return day.without(after.Symbols)
}

// without are those of the symbols, which ascend, that have no row on the day.
func (d *Day) without(symbols []Symbol) (out []Symbol) {
	at := 0
	for _, s := range symbols {
		for at < len(d.Symbols) && d.Symbols[at] < s {
			at++
		}
		if at == len(d.Symbols) || d.Symbols[at] != s {
			out = append(out, s)
		}
	}
	return out
}

// covered are those of the symbols that the day's dataset may have rows of. It changes
// the list.
func (d *Day) covered(symbols []Symbol) []Symbol {
	if ds := catalog.Lookup(d.Dataset); ds != nil && ds.WithoutBeijing {
		return slices.DeleteFunc(symbols, func(s Symbol) bool { return s%4 == 0 })
	}
	return symbols
}

// Skips reports whether a symbol traded between two days of quotes on which it has
// rows: its reference price on the later is not its close on the earlier, so the
// provider's own arithmetic counts a day between them. A suspended symbol comes
// back at its last close. told is false where the earlier day has no row of it.
func Skips(s Symbol, after, before *Day) (skips, told bool) {
	i, has := slices.BinarySearch(after.Symbols, s)
	j, had := slices.BinarySearch(before.Symbols, s)
	if !has || !had {
		return false, false
	}
	x, y := after.column("pre_close")[i], before.column("close")[j]
	if x != x || y != y { // NaN is null
		return false, true
	}
	return !samePrice(x, y) && math.Abs(float64(x/y)-1) <= mostMove, true
}

// Skipped is the finding that symbols have no row on a day though their next
// reference price shows that they traded.
func Skipped(day, after *Day, symbols []Symbol) Finding {
	return absent(len(symbols), len(day.Symbols), names(symbols), fmt.Sprintf("a pre_close on %s that differs from the last close", after.Date))
}

// SkippedToo is the same finding of another dataset of the date, which may be nil: that of
// those symbols it has no row of either.
func SkippedToo(day, after *Day, symbols []Symbol) (Finding, bool) {
	if day == nil {
		return Finding{}, false
	}
	gone := day.covered(day.without(symbols))
	if len(gone) == 0 {
		return Finding{}, false
	}
	return Skipped(day, after, gone), true
}

// mostMove is the widest limit of a day's price (30 % in Beijing, with room for
// rounding): a larger step is a right, not a day.
const mostMove = 0.305

func absent(n, of int, sample []string, proof string) Finding {
	what := fmt.Sprintf("has no %s for %s, although %s %s", fault.One(n, "row", "rows"), fault.Count(n, "symbol", "symbols"), fault.One(n, "it has", "they have"), proof)
	return Finding{Reason: fault.SymbolsMissing, Count: n, Of: of, Sample: sample, What: what, Meta: []string{"proof", proof}}
}

// Spread reports whether the symbols without a row lie scattered among those
// listed, as suspended ones do. A reply that was cut lacks a stretch of codes.
// Recorded days of up to 0.13 of suspended stocks have runs of at most three.
func Spread(day *Day, listed []Symbol) bool {
	listed = slices.Clone(listed)
	slices.SortFunc(listed, func(a, b Symbol) int { return cmp.Or(cmp.Compare(a%4, b%4), cmp.Compare(a, b)) })
	run, longest, missing := 0, 0, 0
	exchange := Symbol(math.MaxUint32)
	for _, s := range listed {
		if e := s % 4; e != exchange {
			exchange, run = e, 0
		}
		if day.Has(s) {
			run = 0
			continue
		}
		missing++
		run++
		longest = max(longest, run)
	}
	if missing == 0 {
		return true
	}
	share := float64(missing) / float64(len(listed))
	if share > 0.6 {
		return false
	}
	return float64(longest) <= 4+2*math.Log(float64(len(listed)))/math.Log(1/share)
}
