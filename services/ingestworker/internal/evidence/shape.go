package evidence

import (
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// ordered lists pairs of columns. In most rows the same column of a pair is the larger one
// on consecutive days. Recorded rows of an exchange in which that changed: 0.002 of
// daily_basic on days with reports; 0.16 of moneyflow, where small and medium orders are
// similar.
var ordered = map[string][][2]string{
	catalog.DailyBasic: {
		{"pe", "pe_ttm"}, {"ps", "ps_ttm"}, {"dv_ratio", "dv_ttm"}, {"pe", "pb"}, {"pe", "ps"}, {"pb", "ps"}, {"pb", "pe_ttm"}, {"pb", "ps_ttm"}, {"pe_ttm", "ps_ttm"},
	},
	catalog.Moneyflow: {
		{"buy_sm_vol", "buy_md_vol"}, {"buy_sm_vol", "buy_lg_vol"}, {"buy_sm_vol", "buy_elg_vol"}, {"buy_md_vol", "buy_lg_vol"}, {"buy_md_vol", "buy_elg_vol"}, {"buy_lg_vol", "buy_elg_vol"},
		{"sell_sm_vol", "sell_md_vol"}, {"sell_sm_vol", "sell_lg_vol"}, {"sell_sm_vol", "sell_elg_vol"}, {"sell_md_vol", "sell_lg_vol"}, {"sell_md_vol", "sell_elg_vol"}, {"sell_lg_vol", "sell_elg_vol"},
	},
}

// swappedShare is the share of rows in which the order of two columns must change for them
// to count as swapped.
const swappedShare = 0.75

// swapped checks whether two columns of a day have each other's values: in most rows of the
// market or of one exchange, the larger of the two is not the one that is larger on another
// day. It does not say which of the two days is wrong.
func (p *Pair) swapped() (Finding, bool) {
	var out suspects
	for _, b := range ordered[p.Day.Dataset] {
		x, y := p.Day.place(b[0]), p.Day.place(b[1])
		if len(p.i) > stride*manyRows {
			flipped, of := p.turnedOver(x, y, stride)
			if some, _ := flipped.exceeds(of, swappedShare-0.1); some == 0 {
				continue // almost always, so most rows are never read
			}
		}
		flipped, compared := p.turnedOver(x, y, 1)
		if count, of := flipped.exceeds(compared, swappedShare); count > 0 {
			out.add(b[0]+" and "+b[1], count, of)
		}
	}
	return out.finding(fault.ValuesConflict, p.Other, "has %s the other way round than on %s in %s, so the columns are probably swapped")
}

// turnedOver counts the rows in which the columns x and y differ on both days, and those
// of them in which their order changed. It looks at one row in step.
func (p *Pair) turnedOver(x, y, step int) (flipped, compared tally) {
	a, b, c, d := p.Day.values[x], p.Day.values[y], p.Other.values[x], p.Other.values[y]
	for k := 0; k < len(p.i); k += step {
		i, j := p.i[k], p.j[k]
		now, was := a[i]-b[i], c[j]-d[j]
		if !(now*was < 0 || now*was > 0) { // NaN is null
			continue
		}
		if compared[p.exchange[k]]++; now*was < 0 {
			flipped[p.exchange[k]]++
		}
	}
	return flipped, compared
}

// decimalCount counts the values of a column, per exchange, and those of them that are
// multiples of 0.1 and of 0.01.
type decimalCount struct {
	tenths, hundredths, values tally
	// low and high are the smallest and largest fractional part of ten times a value. If they
	// are almost equal, the values differ only by multiples of 0.1 and prove nothing.
	low, high float32
}

const (
	stride      = 4    // in a whole market, one row in stride is enough to judge a column
	mostDecimal = 1000 // the decimals of a larger float32 are too inexact
)

func countDecimals(values []float32, symbols []Symbol) (out decimalCount) {
	step := 1
	if len(values) > stride*manyRows {
		step = stride
	}
	for i := 0; i < len(values); i += step {
		tenth, hundredth, told := decimals(values[i])
		if !told {
			continue
		}
		rest := 10 * values[i]
		rest -= float32(int32(rest))
		if out.values.all() == 0 {
			out.low, out.high = rest, rest
		}
		out.low, out.high = min(out.low, rest), max(out.high, rest)
		x := symbols[i].exchange()
		out.values[x]++
		if tenth {
			out.tenths[x]++
		}
		if hundredth {
			out.hundredths[x]++
		}
	}
	return out
}

// decimals reports whether a value is a multiple of 0.1 and of 0.01. told is false if the
// value is null, 0 or too large.
func decimals(v float32) (tenth, hundredth, told bool) {
	if v < 0 {
		v = -v
	}
	if !(v > 0 && v < mostDecimal) { // NaN is null
		return false, false, false
	}
	off := func(x float32) float32 {
		x -= float32(int32(x + 0.5))
		return max(x, -x)
	}
	if hundredth = off(100*v) < 0.02; hundredth {
		tenth = off(10*v) < 0.002
	}
	return tenth, hundredth, true
}

// A column lost its decimals if more than coarseShare of its values are multiples of 0.1 or
// 0.01, and less than fineShare on the other day. A tenth of the values are by chance.
const (
	coarseShare = 0.6
	fineShare   = 0.3
)

// coarsened checks whether columns have fewer decimals on one of two days, in the market or
// on one exchange. It does not say which of the two days is wrong.
func (p *Pair) coarsened() (Finding, bool) {
	var out suspects
	for n, c := range p.Day.columns {
		now, was := p.Day.decimals[n], p.Other.decimals[n]
		count, of := now.coarserThan(was)
		if count == 0 {
			count, of = was.coarserThan(now)
		}
		if count > 0 {
			out.add(c.name, count, of)
		}
	}
	return out.finding(fault.ValuesConflict, p.Other, "has another number of decimals in %s than on %s in %s, so they were probably rounded")
}

// coarserThan returns the number of values, of all rows or of one exchange, that have fewer
// decimals than on the other day, and the number of counted values; 0 if there is no such
// group.
func (c decimalCount) coarserThan(other decimalCount) (count, of int) {
	if other.high-other.low < 0.5 {
		return 0, 0
	}
	by := func(coarse, fine tally) (int, int) {
		is := func(n, of, m, off int) bool {
			return min(of, off) >= leastRows && float64(n) > coarseShare*float64(of) && float64(m) < fineShare*float64(off)
		}
		if is(coarse.all(), c.values.all(), fine.all(), other.values.all()) {
			return coarse.all(), c.values.all()
		}
		for x := range coarse {
			if is(coarse[x], c.values[x], fine[x], other.values[x]) {
				return coarse[x], c.values[x]
			}
		}
		return 0, 0
	}
	if count, of = by(c.hundredths, other.hundredths); count > 0 {
		return count, of
	}
	return by(c.tenths, other.tenths)
}
