package evidence

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// Traded returns the symbols of a day whose row shows that they traded: all rows of daily,
// those of daily_basic with turnover, and those of moneyflow with orders. It returns nil for
// other datasets.
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

// Missing returns the symbols without a row on a day whose row in another dataset of the
// date shows that they traded. A symbol that the dataset has on neither neighbouring day is
// not counted: then the company is missing, not the day. A neighbouring day that is nil is
// unknown.
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

// Resumed returns the symbols that have a row on the day after, and none on day.
func Resumed(after, day *Day) []Symbol {
	return day.without(after.Symbols)
}

// without returns the symbols that have no row on the day. They must be ascending.
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

// covered returns the symbols that the day's dataset may have. It changes the slice.
func (d *Day) covered(symbols []Symbol) []Symbol {
	if ds := catalog.Lookup(d.Dataset); ds != nil && ds.WithoutBeijing {
		return slices.DeleteFunc(symbols, func(s Symbol) bool { return s%4 == 0 })
	}
	return symbols
}

// Skips reports whether a symbol traded between two days of quotes on which it has rows:
// its reference price on the later day is not its close on the earlier one, so the provider
// counts a day in between. A suspended symbol resumes at its last close. told is false if
// the earlier day has no row of it.
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

// Skipped is the finding that symbols have no row on a day although their next reference
// price shows that they traded.
func Skipped(day, after *Day, symbols []Symbol) Finding {
	return absent(len(symbols), len(day.Symbols), names(symbols), fmt.Sprintf("a pre_close on %s that differs from the last close", after.Date))
}

// SkippedToo is the same finding for a day of another dataset of the date, for those of the
// symbols without a row on it. day may be nil.
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

// mostMove is the widest daily price limit (30 % in Beijing, plus rounding): a larger step
// is a corporate action, not a day's move.
const mostMove = 0.305

func absent(n, of int, sample []string, proof string) Finding {
	what := fmt.Sprintf("has no %s for %s, although %s %s", fault.One(n, "row", "rows"), fault.Count(n, "symbol", "symbols"), fault.One(n, "it has", "they have"), proof)
	return Finding{Reason: fault.SymbolsMissing, Count: n, Of: of, Sample: sample, What: what, Meta: []string{"proof", proof}}
}

// Spread reports whether the symbols without a row are scattered among the listed ones, as
// suspended ones are. A truncated response lacks a contiguous range of codes. On recorded
// days with up to 0.13 of the stocks suspended, at most three consecutive codes are
// missing.
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
