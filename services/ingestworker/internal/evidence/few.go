package evidence

import (
	"math"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
)

// A watch list has too few rows for the thresholds of a market. Some faults show in a single
// row. Others show if most of several rows deviate in the same way, which never happened on
// recorded days.

const (
	fewestOdd = 3   // least number of rows that deviate in the same way
	mostlyOdd = 0.5 // and their least share of the compared rows
	// leastLink and mostLink bound close ÷ pre_close of the next day. All of 235,000 recorded
	// pairs of 2019 are within; dividends and rights issues lower pre_close.
	leastLink, mostLink = 0.998, 3.3
)

// Mostly reports whether n of so many rows of a watch list are enough of them, and most of them.
func Mostly(n, of int) bool { return n >= fewestOdd && float64(n) > mostlyOdd*float64(of) }

// Contradicted returns the symbols whose row on a day contradicts their row on the previous
// trading day, each with the column or relation that does.
func Contradicted(day, before *Day) map[Symbol]string {
	out := map[Symbol]string{}
	p := PairOf(day, before)
	for k, i := range p.i {
		if what := p.alone(int(i), int(p.j[k])); what != "" {
			out[day.Symbols[i]] = what
		}
	}
	kept := before.habits()
	for n, h := range day.habits() {
		for k, i := range p.i {
			if odd, told := h.odd(int(i)); told && odd && out[day.Symbols[i]] == "" {
				if was, known := kept[n].odd(int(p.j[k])); known && !was {
					out[day.Symbols[i]] = h.name
				}
			}
		}
	}
	return out
}

// Strayed returns the symbols whose row on a day deviates from their row on another day in a
// column in which most of the compared symbols deviate, each with the name of the column. It
// does not say which of the two days is wrong. A column counts only if it was steady between
// two further consecutive days, later and earlier. If all columns that depend on reports
// deviate at once, it assumes new reports.
func Strayed(day, before, later, earlier *Day) map[Symbol]string {
	out := map[Symbol]string{}
	p, usual := PairOf(day, before), PairOf(later, earlier)
	if len(p.i) < fewestOdd {
		return out
	}
	blame := func(pairs []int, what string) {
		for _, k := range pairs {
			if s := day.Symbols[p.i[k]]; out[s] == "" {
				out[s] = what
			}
		}
	}
	reported, kept := map[string][]int{}, false
	for n, column := range day.columns {
		if column.reported() || column.name == "volume_ratio" || strings.HasSuffix(column.name, "_amount") {
			blame(p.coarse(n), column.name)
		}
		stray := column.stray(day.Dataset)
		if stray == nil || column.name != "pre_close" && !usual.steady(n, stray) {
			continue
		}
		odd := p.mostly(n, stray)
		switch {
		case !column.reported():
			blame(odd, column.name)
		case len(odd) > 0:
			reported[column.name] = odd
		default:
			kept = kept || p.steady(n, stray)
		}
	}
	if day.Dataset == catalog.DailyBasic {
		for _, both := range ordered[day.Dataset] {
			if odd := p.flipped(day.place(both[0]), day.place(both[1])); len(odd) >= fewestOdd {
				blame(odd, both[0]+" and "+both[1])
			}
		}
	}
	if kept {
		for _, column := range day.columns {
			blame(reported[column.name], column.name)
		}
	}
	return out
}

// flipped returns the rows of a pair in which the order of two columns changed; nil unless it
// changed in nine of ten rows in which the columns differ.
func (p *Pair) flipped(x, y int) []int {
	var odd []int
	flipped, compared := p.turnedOver(x, y, 1)
	if n, of := flipped.all(), compared.all(); n < fewestOdd || 10*n < 9*of {
		return nil
	}
	for k, i := range p.i {
		j := p.j[k]
		if (p.Day.values[x][i]-p.Day.values[y][i])*(p.Other.values[x][j]-p.Other.values[y][j]) < 0 {
			odd = append(odd, k)
		}
	}
	return odd
}

// alone returns the column in which a single row contradicts that of the previous day; empty
// if there is none.
func (p *Pair) alone(i, j int) string {
	switch p.Day.Dataset {
	case catalog.Daily, catalog.FundDaily:
		if unlinked(p.Day.column("pre_close")[i], p.Other.column("close")[j]) {
			return "pre_close"
		}
	case catalog.DailyBasic:
		for _, both := range [][2]string{{"pe", "pe_ttm"}, {"ps", "ps_ttm"}} {
			if p.exchanged(i, j, both) {
				return both[0] + " and " + both[1]
			}
		}
	}
	if p.coarseRow(i, j) {
		return "its decimals"
	}
	return ""
}

// exchanged reports whether two ratios of a row differ and have each other's values, by those
// of the previous day and the move of the close.
func (p *Pair) exchanged(i, j int, columns [2]string) bool {
	moved, told := ratioOf(p.Day.column("close")[i], p.Other.column("close")[j])
	x, y := p.Day.column(columns[0])[i], p.Day.column(columns[1])[i]
	was, were := p.Other.column(columns[0])[j], p.Other.column(columns[1])[j]
	apart, differ := ratioOf(x, y)
	one, has := ratioOf(x, were)
	other, had := ratioOf(y, was)
	near := func(r float64) bool { return math.Abs(r/moved-1) < 0.004 }
	return told && differ && has && had && math.Abs(apart-1) > 0.03 && near(one) && near(other)
}

// stray reports whether column n of row i deviates from what row j of the other day implies.
// told is false if row j implies nothing.
type stray func(p *Pair, n int, i, j int32) (odd, told bool)

// stray returns the rule of a column; nil if the column may have any value.
func (c column) stray(dataset string) stray {
	switch {
	case c.name == "pre_close":
		return func(p *Pair, n int, i, j int32) (odd, told bool) {
			x, y := p.Day.values[n][i], p.Other.column("close")[j]
			return !samePrice(x, y), x == x && y == y // NaN is null
		}
	case dataset == catalog.Daily && (c.name == "vol" || c.name == "amount"):
		return func(p *Pair, n int, i, j int32) (odd, told bool) {
			r, told := ratioOf(p.Day.values[n][i], p.Other.values[n][j])
			return r > tradeJump || r < 1.0/tradeJump, told
		}
	case c.name == "volume_ratio":
		return func(p *Pair, n int, i, j int32) (odd, told bool) {
			r, told := ratioOf(p.Day.values[n][i]*p.Other.column("turnover_rate")[j], p.Other.values[n][j]*p.Day.column("turnover_rate")[i])
			return r > strayTimes || r < 1.0/strayTimes, told
		}
	case c.followsClose(), c.name == "total_share", c.name == "float_share", c.name == "free_share":
		follows, inverse := c.followsClose(), c.name == "dv_ratio" || c.name == "dv_ttm"
		return func(p *Pair, n int, i, j int32) (odd, told bool) {
			r, told := ratioOf(p.Day.values[n][i], p.Other.values[n][j])
			moved, known := ratioOf(p.Day.column("close")[i], p.Other.column("close")[j])
			switch {
			case inverse:
				r *= moved
			case follows:
				r /= moved
			}
			return r > mostDrift || r < 1.0/mostDrift, told && (known || !follows)
		}
	}
	return nil
}

// steady reports whether at most one row in five deviates in a column.
func (p *Pair) steady(n int, s stray) bool {
	odd, rows := 0, 0
	for k, i := range p.i {
		if o, told := s(p, n, i, p.j[k]); told {
			if rows++; o {
				odd++
			}
		}
	}
	return rows >= fewestOdd && 5*odd <= rows
}

// mostly returns the rows of a pair, of all or of some exchanges, if most comparable rows
// deviate. It includes the rows of these exchanges that do not, because their values come
// from the same wrong response.
func (p *Pair) mostly(n int, s stray) []int {
	var all []int
	var count, of tally
	for k, i := range p.i {
		o, told := s(p, n, i, p.j[k])
		if x, y := p.Day.values[n][i], p.Other.values[n][p.j[k]]; x == x || y == y { // NaN is null
			all = append(all, k)
		}
		if told {
			of[p.exchange[k]]++
		}
		if told && o {
			count[p.exchange[k]]++
		}
	}
	if Mostly(count.all(), of.all()) {
		return all
	}
	return slices.DeleteFunc(all, func(k int) bool { return !Mostly(count[p.exchange[k]], of[p.exchange[k]]) })
}

// Lost returns the symbols that have null or 0 in one of the columns on a day, and had a
// value on another day or have no row there.
func Lost(day, other *Day, columns []string) map[Symbol]bool {
	out := map[Symbol]bool{}
	for _, name := range columns {
		n := day.place(name)
		if n < 0 {
			continue
		}
		had := map[Symbol]bool{}
		for j, s := range other.Symbols {
			y := other.values[n][j]
			had[s] = y == y && y != 0 // NaN is null
		}
		for i, s := range day.Symbols {
			x := day.values[n][i]
			if has, held := had[s]; (x != x || x == 0) && (has || !held) {
				out[s] = true
			}
		}
	}
	return out
}

// coarseRow reports whether a row lost its decimals: three ratios that had four decimals on
// another day are multiples of 0.1, or five order amounts that had two. Amounts at one price
// prove nothing: at 10 元 each is a multiple of 0.1 万元.
func (p *Pair) coarseRow(i, j int) bool {
	values, least := 0, 3
	if p.Day.Dataset == catalog.Moneyflow {
		least = 5
	}
	for n, column := range p.Day.columns {
		if !column.reported() && !strings.HasSuffix(column.name, "_amount") {
			continue
		}
		now, _, told := decimals(p.Day.values[n][i])
		tenth, hundredth, known := decimals(p.Other.values[n][j])
		if !told || !known || tenth || least == 3 && hundredth {
			continue
		}
		if !now {
			return false
		}
		values++
	}
	return values >= least && (p.Day.Dataset != catalog.Moneyflow || !p.Day.onePrice(i))
}

// onePrice reports whether all orders of a row in moneyflow had about the same mean price.
// Amounts below 10 万元, which two decimals make inexact, are not compared.
func (d *Day) onePrice(i int) bool {
	const least, most = 10, 1.0005
	low, high := math.Inf(1), 0.0
	for _, side := range []string{"buy_", "sell_"} {
		volumes := d.named(side, "_vol")
		for n, amounts := range d.named(side, "_amount") {
			if amount := float64(amounts[i]); amount >= least { // NaN is null
				mean := amount / float64(volumes[n][i])
				low, high = min(low, mean), max(high, mean)
			}
		}
	}
	return !(high > low*most)
}

// coarse returns the rows of a pair whose column lost its decimals: on one day each value is a
// multiple of 0.1, and on the other at most one in four is. One in ten values with two
// decimals is by chance.
func (p *Pair) coarse(n int) []int {
	var told []int
	least, before := fewestOdd, 0
	for k, i := range p.i {
		now, _, has := decimals(p.Day.values[n][i])
		tenth, hundredth, had := decimals(p.Other.values[n][p.j[k]])
		switch {
		case !has || !had:
			continue
		case !now:
			return nil
		case tenth:
			before++
		}
		if hundredth {
			least = 2 * fewestOdd
		}
		told = append(told, k)
	}
	if len(told) < least || 4*before > len(told) {
		return nil
	}
	return told
}

// ratioOf returns |x ÷ y|; false if one is null or 0.
func ratioOf(x, y float32) (float64, bool) {
	r := math.Abs(float64(x) / float64(y))
	return r, r > 0 && !math.IsInf(r, 0) // NaN is null
}
