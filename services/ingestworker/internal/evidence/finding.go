package evidence

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Finding is a contradiction in the values of a day.
type Finding struct {
	// Reason is VALUES_REPEATED, VALUES_MISSING, VALUES_CONFLICT, UNIT_SUSPECT or
	// SYMBOLS_MISSING.
	Reason fault.Reason
	// What describes it, in words that follow the name of dataset and date.
	What string
	// Count is the number of affected rows, Of the number of compared rows.
	Count, Of int
	// Sample names some of them.
	Sample []string
	// Meta has further values for the issue.
	Meta []string
}

// False reports whether the finding means that values are wrong, so that they must not be
// stored as the day's. Otherwise something is only not published yet.
func (f Finding) False() bool {
	switch f.Reason {
	case fault.ValuesRepeated, fault.ValuesConflict, fault.UnitSuspect:
		return true
	}
	return false
}

// About returns a value of Meta by its name; empty if there is none.
func (f Finding) About(name string) string {
	for i := 0; i+1 < len(f.Meta); i += 2 {
		if f.Meta[i] == name {
			return f.Meta[i+1]
		}
	}
	return ""
}

// Issue converts the finding to an issue of a dataset and date, which is NoDate for lists.
func (f Finding) Issue(dataset string, d market.Date) fault.Issue {
	text := fmt.Sprintf("%s of %s %s", dataset, d, f.What)
	if d == market.NoDate {
		text = dataset + " " + f.What
	}
	if len(f.Sample) > 0 {
		text += " (" + strings.Join(f.Sample, ", ")
		if f.Count > len(f.Sample) {
			text += ", …"
		}
		text += ")"
	}
	meta := append([]string{"dataset", dataset, "trade_date", d.String(), "count", fmt.Sprint(f.Count), "row_count", fmt.Sprint(f.Of)}, f.Meta...)
	if len(f.Sample) > 0 {
		meta = append(meta, "sample", strings.Join(f.Sample, ", "))
	}
	return fault.NewIssue(f.Reason, text+".", meta...)
}

// A few rows of every day are odd and prove nothing: a finding needs more than fewRows rows
// and more than a share of those compared.
const (
	fewRows     = 5
	fewShare    = 0.01 // of rows that contradict another dataset, lack a value or have a different unit
	gapShare    = 0.2  // of rows whose pre_close is not the last close; ex-dates peak near 0.05
	sampleNames = 5
	leastRows   = 20 // fewer rows are not compared with another day
)

// TooMany reports whether there are more odd rows than on a normal day.
func TooMany(odd, of int) bool { return odd > fewRows && float64(odd) > fewShare*float64(of) }

// tally counts rows per exchange, by the index of the exchange in a Symbol.
type tally [exchanges]int

func (t tally) all() (n int) {
	for _, x := range t {
		n += x
	}
	return n
}

func (t tally) plus(other tally) tally {
	for x := range t {
		t[x] += other[x]
	}
	return t
}

// within reports whether any rows are compared, and at most a third of each group of rows is
// counted.
func (t tally) within(of tally) bool {
	count, _ := t.exceeds(of, 1.0/3)
	return count == 0 && of.all() > 0
}

// exceeds returns the largest group, all rows or one exchange, of which more than a share is
// counted: the counted rows and the rows of the group. It returns 0 if there is none. It
// ignores groups of fewer than leastRows.
func (t tally) exceeds(of tally, share float64) (count, rows int) {
	over := func(n, of int) bool {
		return of >= leastRows && n > fewRows && float64(n) > share*float64(of)
	}
	if over(t.all(), of.all()) {
		return t.all(), of.all()
	}
	for x := range t {
		if over(t[x], of[x]) && t[x] > count {
			count, rows = t[x], of[x]
		}
	}
	return count, rows
}

// Repeated checks whether the rows of the pair's Day repeat those of Other, an earlier day:
// all of them, a part, or only some columns, of the market or of one exchange. Day is the
// wrong one: for a date that is not published yet, the provider returns the last one that
// was. A ratio counts if witness, a third day close to them, shows that it moves at this
// provider; with nil it does not count.
func (p *Pair) Repeated(witness *Day) (Finding, bool) {
	rows := len(p.i)
	if rows < leastRows {
		return Finding{}, false
	}
	alike, equal, compared := p.compare()
	for k, a := range alike {
		if a.repeats() {
			p.repeats = append(p.repeats, p.Day.Symbols[p.i[k]])
		}
	}
	whole := len(p.repeats)
	if TooMany(whole, rows) {
		return Finding{Reason: fault.ValuesRepeated, Count: whole, Of: rows, Meta: []string{"other_date", p.Other.Date.String()},
			What: fmt.Sprintf("repeats the values of %s in %s", p.Other.Date, fault.Of(whole, rows, "row", "rows"))}, true
	}
	var out suspects
	for n, c := range p.Day.columns {
		count, of := equal[n].exceeds(compared[n], c.repeats)
		habitual := c.ratio
		if count == 0 && c.followsClose() && equal[n].all() > fewRows {
			frozen, moved := p.frozen(n)
			count, of = frozen.exceeds(moved, fewShare)
			habitual = true
		}
		if count > 0 && (!habitual || p.movesBeside(witness, n)) {
			out.add(c.name, count, of)
		}
	}
	return out.finding(fault.ValuesRepeated, p.Other, "repeats the %s of %s in %s")
}

// movesBeside reports whether most values of a column differ between a third day and the
// nearer one of the pair.
func (p *Pair) movesBeside(witness *Day, n int) bool {
	if witness == nil {
		return false
	}
	nearer := p.Other
	if witness.Date > p.Day.Date {
		nearer = p.Day
	}
	same, rows := 0, 0
	each(nearer, witness, func(i, j int) {
		if x, y := nearer.values[n][i], witness.values[n][j]; x == x && y == y && (x != 0 || y != 0) { // NaN is null
			if rows++; x == y {
				same++
			}
		}
	})
	return rows >= leastRows && 2*same < rows
}

// frozen counts the rows whose close moved, and those of them whose ratio did not.
func (p *Pair) frozen(n int) (frozen, moved tally) {
	before, after := p.Other.column("close"), p.Day.column("close")
	now, then := p.Day.values[n], p.Other.values[n]
	for k, i := range p.i {
		j := p.j[k]
		if x, y := now[i], then[j]; x == x && y == y && moves(x, y, before[j], after[i]) { // NaN is null
			if moved[p.exchange[k]]++; x == y {
				frozen[p.exchange[k]]++
			}
		}
	}
	return frozen, moved
}

// followsClose reports whether a column is a ratio that is computed from the close.
func (c column) followsClose() bool {
	switch c.name {
	case "pe", "pe_ttm", "pb", "ps", "ps_ttm", "total_mv", "circ_mv", "dv_ratio", "dv_ttm":
		return true
	}
	return false
}

// reported reports whether a column depends on financial reports.
func (c column) reported() bool {
	return c.followsClose() && c.name != "total_mv" && c.name != "circ_mv"
}

// moves reports whether a ratio computed from the close must differ between two days,
// because the close differs by more than the rounding of the ratio. Of 46,000 recorded
// ratios whose close differed so much, one was equal.
func moves(later, earlier, before, after float32) bool {
	if later == 0 || !(before > 0 && after > 0) {
		return false
	}
	step := math.Abs(float64(after/before)-1) * math.Abs(float64(earlier))
	return step > max(3e-4, 1e-3*math.Abs(float64(earlier)))
}

// A column has a different unit if more than half of its values are at least this many times
// larger or smaller than on the neighbouring day. Volumes move more than prices, shares and
// ratios: at most a quarter of the recorded ETFs of an exchange, and two in a hundred stocks,
// traded more than five times as much as on the previous day.
const (
	unitJump  = 5
	tradeJump = 6
)

func (c column) jump() float64 {
	if c.repeats > 0 && c.repeats <= 0.3 {
		return tradeJump
	}
	return unitJump
}

// Differs checks whether columns of the pair's Day have a different unit, number of decimals
// or position than on Other. It does not say which of the two days is wrong.
func (p *Pair) Differs() (Finding, bool) {
	if f, ok := p.jumped(); ok {
		return f, true
	}
	if f, ok := p.swapped(); ok {
		return f, true
	}
	return p.coarsened()
}

// jumped checks whether columns of a day are several times larger or smaller than on
// another day, in the market or on one exchange.
func (p *Pair) jumped() (Finding, bool) {
	var out suspects
	for n, c := range p.Day.columns {
		if c.name == "change" || c.name == "pct_chg" { // a calm day and a crash differ that much
			continue
		}
		larger, smaller, compared := p.jumps(n, c.jump())
		count, of := larger.exceeds(compared, 0.5)
		if count == 0 {
			count, of = smaller.exceeds(compared, 0.5)
		}
		if count > 0 {
			out.add(c.name, count, of)
		}
	}
	return out.finding(fault.UnitSuspect, p.Other, "has a %s many times as large or as small as on %s in %s, so it probably has a different unit")
}

// jumps counts the rows whose value in a column is so many times larger or smaller than on
// the other day.
func (p *Pair) jumps(n int, times float64) (larger, smaller, compared tally) {
	values, others := p.Day.values[n], p.Other.values[n]
	for k, i := range p.i {
		x, y := math.Abs(float64(values[i])), math.Abs(float64(others[p.j[k]]))
		if !(x > 0 && y > 0) { // NaN is null
			continue
		}
		compared[p.exchange[k]]++
		switch {
		case x > times*y:
			larger[p.exchange[k]]++
		case y > times*x:
			smaller[p.exchange[k]]++
		}
	}
	return larger, smaller, compared
}

// The ratios of daily_basic and the numbers of shares of consecutive days correlate, even if
// all companies report at once. If two days correlate and a third does not, the rows of the
// third have the values of other rows.
const (
	likeSelf  = 0.9 // least correlation of two normal days
	likeOther = 0.3 // greatest correlation with the values of other rows
	mostDrift = 1.3 // factor by which a value may change in a day; half of the values of other rows exceed it
)

// Shuffled checks whether columns of the pair's Day have the values of other rows, in the
// market or on one exchange: they do not correlate with those of Other, a neighbouring day,
// which correlate with those of beyond, the day on its other side. It does not say whether
// Day or Other is wrong. If all columns that depend on reports change at once, it assumes
// new reports.
func (p *Pair) Shuffled(beyond *Day) (Finding, bool) {
	out := suspects{of: len(p.i)}
	steady := false
	var then *Pair
	for n, c := range p.Day.columns {
		if c.name == "volume_ratio" {
			if rows := p.strays(beyond); rows > 0 {
				out.add(c.name, rows, out.of)
			}
			continue
		}
		if !c.followsClose() && c.name != "total_share" && c.name != "float_share" {
			continue
		}
		if larger, smaller, compared := p.jumps(n, mostDrift); larger.plus(smaller).within(compared) {
			steady = steady || c.reported()
			continue // most values are close, so it need not compute the correlation
		}
		if then == nil {
			then = PairOf(p.Other, beyond)
		}
		rows, told := 0, false
		was, few := then.alike(n), then.fewAlike(n)
		for x, is := range p.alike(n) {
			if is.told && (was[x].told && was[x].r > likeSelf || few && x == exchanges) {
				told = true
				if is.r < likeOther {
					rows = max(rows, is.rows)
				}
			}
		}
		if rows > 0 {
			out.add(c.name, rows, out.of)
		} else if told && c.reported() {
			steady = true
		}
	}
	if !steady { // all columns that depend on reports are new
		out.names = slices.DeleteFunc(out.names, func(name string) bool { return column{name: name}.reported() })
	}
	return out.finding(fault.ValuesConflict, p.Other, "has a %s that has nothing in common with that of %s in %s")
}

// The volume ratio of a symbol changes by about the same factor as its turnover. In 2019, the
// two factors differed by more than strayTimes in at most 0.042 of the rows of an exchange;
// in rows with the ratio of another row, they do so in at least 0.38.
const (
	strayTimes  = 1.5
	strayShare  = 0.25 // share of such rows that is too large
	strayHabits = 0.1  // share on normal days from which the rule does not apply
)

// strays returns the number of compared rows, of the market or of an exchange, if too many
// of their volume ratios do not fit the turnover of another day. It returns 0 if they are
// few, or if they do not fit between that day and a third either.
func (p *Pair) strays(beyond *Day) int {
	count, rows := p.strayed(strayShare)
	if count == 0 {
		return 0
	}
	then := PairOf(p.Other, beyond)
	if len(then.i) < leastRows {
		n := p.Day.place("volume_ratio")
		if !then.steady(n, p.Day.columns[n].stray(p.Day.Dataset)) {
			return 0
		}
		return rows
	}
	if usual, _ := then.strayed(strayHabits); usual > 0 {
		return 0
	}
	return rows
}

// fewAlike reports whether the values of a column are close on two days of a watch list, which
// has too few rows for a correlation.
func (p *Pair) fewAlike(n int) bool {
	if len(p.i) < fewestOdd || len(p.i) >= leastRows {
		return false
	}
	larger, smaller, compared := p.jumps(n, mostDrift)
	return compared.all() >= fewestOdd && 5*larger.plus(smaller).all() <= compared.all()
}

// strayed counts the rows whose volume ratio does not fit the turnover of another day, as
// tally.exceeds does.
func (p *Pair) strayed(share float64) (count, rows int) {
	var odd, compared tally
	ratio, was := p.Day.column("volume_ratio"), p.Other.column("volume_ratio")
	turnover, before := p.Day.column("turnover_rate"), p.Other.column("turnover_rate")
	for k, i := range p.i {
		j := p.j[k]
		x, y := ratio[i]*before[j], was[j]*turnover[i]
		if !(x > 0 && y > 0) { // NaN is null
			continue
		}
		if compared[p.exchange[k]]++; x > strayTimes*y || y > strayTimes*x {
			odd[p.exchange[k]]++
		}
	}
	return odd.exceeds(compared, share)
}

// correlation is the correlation of the logarithms of a column on two days.
type correlation struct {
	rows int
	r    float64
	told bool
}

// alike correlates a column of two days, per exchange and, at the last index, for all rows.
func (p *Pair) alike(n int) (out [exchanges + 1]correlation) {
	var sums [exchanges + 1]struct{ x, y, xx, yy, xy float64 }
	for k, i := range p.i {
		x, y := float64(p.Day.values[n][i]), float64(p.Other.values[n][p.j[k]])
		if !(x > 0 && y > 0) { // NaN is null
			continue
		}
		x, y = math.Log(x), math.Log(y)
		for _, at := range []int{int(p.exchange[k]), exchanges} {
			s := &sums[at]
			s.x, s.y, s.xx, s.yy, s.xy = s.x+x, s.y+y, s.xx+x*x, s.yy+y*y, s.xy+x*y
			out[at].rows++
		}
	}
	for at, s := range sums {
		rows := float64(out[at].rows)
		spread := (s.xx - s.x*s.x/rows) * (s.yy - s.y*s.y/rows)
		if out[at].rows >= leastRows && spread > 1e-6 {
			out[at].r, out[at].told = (s.xy-s.x*s.y/rows)/math.Sqrt(spread), true
		}
	}
	return out
}

// likeness counts the values of a symbol's rows on two days.
type likeness struct {
	same    uint8 // equal
	exact   uint8 // equal, in columns that rarely repeat
	traded  uint8 // equal volume or turnover
	differs uint8
}

// repeats reports whether the rows have the same values, including a volume or turnover: an
// idle symbol keeps its price. Equal volume and turnover are enough.
func (l likeness) repeats() bool {
	return l.same >= 4 && l.exact > 0 && l.differs == 0 || l.traded == 2
}

func (l *likeness) count(c column, value float64) {
	l.same++
	if c.repeats <= 0.1 {
		l.exact++
	}
	if c.name == "vol" && value >= leastVolume || c.name == "amount" {
		l.traded++
	}
}

// compare compares the rows, and counts the equal and the compared values of each column,
// column by column, as they are stored.
func (p *Pair) compare() (alike []likeness, equal, compared []tally) {
	columns := p.Day.columns
	alike, equal, compared = make([]likeness, len(p.i)), make([]tally, len(columns)), make([]tally, len(columns))
	for n, c := range columns {
		if c.repeats == 0 {
			continue
		}
		now, then := p.Day.values[n], p.Other.values[n]
		for k, i := range p.i {
			x, y := now[i], then[p.j[k]]
			if x != x || y != y || x == 0 && y == 0 { // NaN is null
				continue
			}
			compared[n][p.exchange[k]]++
			if x != y {
				alike[k].differs++
				continue
			}
			equal[n][p.exchange[k]]++
			alike[k].count(c, float64(x))
		}
	}
	return alike, equal, compared
}

// leastVolume is the least volume, in 手, for which an equal volume and turnover on two days
// prove a repetition: none of 235,000 recorded pairs has both. An ETF with one trade a day may
// repeat a smaller one.
const leastVolume = 100

// FrozenSymbols returns the symbols of a day of daily_basic that have two or more ratios of an
// earlier day although the close has moved since.
func FrozenSymbols(later, earlier *Day) map[Symbol]bool {
	out := map[Symbol]bool{}
	if later.Dataset != catalog.DailyBasic {
		return out
	}
	before, after := earlier.column("close"), later.column("close")
	each(later, earlier, func(i, j int) {
		frozen := 0
		for n, c := range later.columns {
			if x, y := later.values[n][i], earlier.values[n][j]; x == y && c.followsClose() && moves(x, y, before[j], after[i]) {
				frozen++
			}
		}
		if frozen >= 2 {
			out[later.Symbols[i]] = true
		}
	})
	return out
}

// JumpedSymbols returns the symbols whose number of shares is many times larger or smaller
// than on the previous day. Ratios are not compared, because a report may change them by as
// much.
func JumpedSymbols(day, before *Day) map[Symbol]bool {
	out := map[Symbol]bool{}
	now, then := day.column("total_share"), before.column("total_share")
	if now == nil || then == nil {
		return out
	}
	each(day, before, func(i, j int) {
		if x, y := now[i], then[j]; x > 0 && y > 0 && (x > rowJump*y || y > rowJump*x) {
			out[day.Symbols[i]] = true
		}
	})
	return out
}

// rowJump is the factor from which the value of a single row has a different unit.
const rowJump = 20

// RepeatedSymbols returns the symbols whose row on a day has all values of an earlier row, or
// its volume and turnover. No recorded symbol has two such days in a row.
func RepeatedSymbols(later, earlier *Day) map[Symbol]bool {
	out := map[Symbol]bool{}
	p := PairOf(later, earlier)
	alike, _, _ := p.compare()
	for k, a := range alike {
		if a.repeats() {
			out[later.Symbols[p.i[k]]] = true
		}
	}
	return out
}

// Rows compares the rows of one batch, for example of a symbol over a date range.
type Rows struct {
	columns []*table.Column
	defined []column
	// closing and reference are the columns of closes and, of quotes, of pre_close; bought are
	// those of bought volumes, and turnover those of impliedVolumes. Nil if the dataset has none.
	closing, reference *table.Column
	bought, turnover   []*table.Column
}

// RowsOf prepares the rows of a batch for comparison.
func RowsOf(ds *catalog.Dataset, b *table.Batch) Rows {
	var out Rows
	for _, c := range remembered[ds.ID] {
		if col := b.Column(c.name); col != nil && c.repeats > 0 {
			out.columns, out.defined = append(out.columns, col), append(out.defined, c)
		}
	}
	switch ds.ID {
	case catalog.Daily, catalog.FundDaily:
		out.closing, out.reference = b.Column("close"), b.Column("pre_close")
	case catalog.DailyBasic:
		out.closing = b.Column("close")
		for _, name := range impliedVolumes {
			if c := b.Column(name); c != nil {
				out.turnover = append(out.turnover, c)
			}
		}
	case catalog.Moneyflow:
		for i := range b.Columns {
			if name := b.Columns[i].Name; strings.HasPrefix(name, "buy_") && strings.HasSuffix(name, "_vol") {
				out.bought = append(out.bought, &b.Columns[i])
			}
		}
	}
	return out
}

// Unlinked reports whether pre_close of row i, of quotes, cannot follow from the close of row j,
// which is of the previous trading day, like Contradicted.
func (x Rows) Unlinked(i, j int) bool {
	if x.reference == nil || x.closing == nil || x.reference.Null[i] || x.closing.Null[j] {
		return false
	}
	pre, last := float32(x.reference.Numbers[i]), float32(x.closing.Numbers[j])
	return unlinked(pre, last)
}

// unlinked reports whether a reference price cannot follow from the last close, not even on an
// ex-date.
func unlinked(pre, last float32) bool {
	r, told := ratioOf(last, pre)
	return told && !samePrice(pre, last) && (r < leastLink || r > mostLink)
}

// Differs returns what of a row cannot be of the same date as close and volume of its symbol
// in daily, like Disagreeing; empty if nothing.
func (x Rows) Differs(r int, price, volume float64) string {
	if x.closing != nil && !x.closing.Null[r] && price == price && !samePrice(float32(x.closing.Numbers[r]), float32(price)) { // NaN is null
		return "close"
	}
	null := func(c *table.Column) bool { return c.Null[r] }
	if len(x.bought) > 0 && !slices.ContainsFunc(x.bought, null) {
		total := 0.0
		for _, c := range x.bought {
			total += c.Numbers[r]
		}
		if manyTimes(total, volume, 10_000) {
			return "volume"
		}
	}
	if t := x.turnover; len(t) == len(impliedVolumes) && !slices.ContainsFunc(t, null) &&
		otherVolume(t[0].Numbers[r]*t[1].Numbers[r], t[2].Numbers[r]*t[3].Numbers[r], volume) {
		return "turnover_rate"
	}
	return ""
}

// OtherTurnover returns those of the rows of a symbol, of daily_basic over a range of dates, whose
// turnover rate is not that of daily, although that of most others is. volumes are those of daily by
// row. A row with other shares than the nearest of the others is left out: it may be the shares that
// are wrong.
func (x Rows) OtherTurnover(rows []int, volumes map[int]float64) []int {
	if len(x.turnover) < len(impliedVolumes) {
		return nil
	}
	rate, shares := x.turnover[0], x.turnover[1]
	var odd, same []int // their places in rows
	for n, r := range rows {
		volume := volumes[r]
		if rate.Null[r] || shares.Null[r] || !(volume > 0 && shares.Numbers[r] > 0) { // NaN is null
			continue
		}
		if fits, _ := near(rate.Numbers[r], volume/shares.Numbers[r], turnoverShare, turnoverSlack); fits {
			same = append(same, n)
		} else {
			odd = append(odd, n)
		}
	}
	if !Mostly(len(same), len(same)+len(odd)) {
		return nil
	}
	var out []int
	for _, n := range odd {
		nearest := slices.MinFunc(same, func(a, b int) int { return cmp.Compare(max(a-n, n-a), max(b-n, n-b)) })
		if ratio := shares.Numbers[rows[n]] / shares.Numbers[rows[nearest]]; ratio < mostDrift && ratio > 1/mostDrift {
			out = append(out, rows[n])
		}
	}
	return out
}

// impliedVolumes are two rates of turnover in %, each with the shares that it is of, in 万股: their
// products are volumes in 手.
var impliedVolumes = []string{"turnover_rate", "float_share", "turnover_rate_f", "free_share"}

// otherVolume reports whether both turnover rates of a row imply one volume, and it is not that
// of daily. It ignores a volume many times that of daily: the number of shares of single companies
// is known to be wrong, and the turnover rate may be right.
func otherVolume(told, again, daily float64) bool {
	return math.Abs(told-again) <= 0.03*told && math.Abs(told-daily) > 0.05*daily+100 && told < unitJump*daily && daily < unitJump*told
}

// Same reports whether two rows of a symbol have the same values, like RepeatedSymbols for
// days.
func (x Rows) Same(i, j int) bool {
	var alike likeness
	for n, c := range x.columns {
		switch {
		case c.Null[i] || c.Null[j] || c.Numbers[i] == 0 && c.Numbers[j] == 0:
		case c.Numbers[i] != c.Numbers[j]:
			alike.differs++
		default:
			alike.count(x.defined[n], c.Numbers[i])
		}
	}
	return alike.repeats()
}

// Follows compares the reference prices of a day of quotes with the closes of the previous
// trading day. pre_close is that close, except on ex-dates.
func Follows(day, before *Day) (Finding, bool) {
	odd, rows := references(day, before)
	if !broken(len(odd), rows) {
		return Finding{}, false
	}
	return Finding{Reason: fault.ValuesConflict, Count: len(odd), Of: rows, Sample: names(odd),
		What: fmt.Sprintf("has a pre_close that differs from the close of %s in %s", before.Date, fault.Of(len(odd), rows, "row", "rows")),
		Meta: []string{"check", "pre_close", "other_dataset", before.Dataset}}, true
}

// references returns the symbols whose pre_close on a day of quotes is not their close on the
// previous trading day, and how many were compared.
func references(day, before *Day) (odd []Symbol, rows int) {
	pre, last := day.column("pre_close"), before.column("close")
	if pre == nil || last == nil {
		return nil, 0
	}
	return agreement{"pre_close", day, before, func(i, j int) (bool, bool) {
		return samePrice(pre[i], last[j]), pre[i] == pre[i] && last[j] == last[j] // NaN is null
	}}.against()
}

// Confirms reports whether a day of quotes follows from the previous trading day: enough rows can
// be compared, and Follows finds nothing.
func Confirms(day, before *Day) bool {
	odd, rows := references(day, before)
	return rows >= leastRows && !broken(len(odd), rows)
}

// broken reports whether so many odd references of all show that a day does not follow from another.
func broken(odd, rows int) bool {
	return rows >= leastRows && odd > fewRows && float64(odd) > gapShare*float64(rows)
}

// Linked reports whether pre_close of a symbol on a day of quotes is its close on the previous
// trading day; false if one is missing.
func Linked(s Symbol, day, before *Day) bool {
	i, has := slices.BinarySearch(day.Symbols, s)
	j, had := slices.BinarySearch(before.Symbols, s)
	return has && had && samePrice(day.column("pre_close")[i], before.column("close")[j])
}

// samePrice allows for rounding to 0.01 元, and to float32.
func samePrice(x, y float32) bool {
	d := math.Abs(float64(x) - float64(y))
	return d <= 0.0051 || d <= 1e-6*math.Abs(float64(x))
}

// Agrees compares a day of daily_basic or moneyflow with the date's daily: close and
// turnover of the former, the sums by order size of the latter. All 29,000 recorded pairs
// agree within the tolerances.
func Agrees(day, daily *Day) (Finding, bool) {
	for _, c := range agreements(day, daily) {
		odd, rows := c.against()
		if TooMany(len(odd), rows) {
			return Finding{Reason: fault.ValuesConflict, Count: len(odd), Of: rows, Sample: names(odd),
				What: fmt.Sprintf("has a different %s than daily of that date in %s", c.name, fault.Of(len(odd), rows, "row", "rows")),
				Meta: []string{"check", c.name, "other_dataset", daily.Dataset}}, true
		}
	}
	return Finding{}, false
}

// Disagreeing returns the symbols whose row on a day cannot be of the same date as their row
// in daily, each with what differs: the close, or the volume that both turnover rates imply.
// Single rows of moneyflow are known to deviate by thousands of 手, so only a volume several
// times as large counts. None of 36,000 recorded rows disagrees.
func Disagreeing(day, daily *Day) map[Symbol]string {
	out := map[Symbol]string{}
	vol := daily.column("vol")
	switch day.Dataset {
	case catalog.Moneyflow:
		volumes := day.named("buy_", "_vol")
		each(day, daily, func(i, j int) {
			if manyTimes(sum(volumes, i), float64(vol[j]), 10_000) {
				out[day.Symbols[i]] = "volume"
			}
		})
	case catalog.DailyBasic:
		ours, theirs := day.column("close"), daily.column("close")
		turnover, shares := day.column(impliedVolumes[0]), day.column(impliedVolumes[1])
		freely, free := day.column(impliedVolumes[2]), day.column(impliedVolumes[3])
		each(day, daily, func(i, j int) {
			switch {
			case ours[i] == ours[i] && theirs[j] == theirs[j] && !samePrice(ours[i], theirs[j]): // NaN is null
				out[day.Symbols[i]] = "close"
			case otherVolume(float64(turnover[i]*shares[i]), float64(freely[i]*free[i]), float64(vol[j])):
				out[day.Symbols[i]] = "turnover_rate"
			}
		})
	}
	return out
}

// manyTimes reports whether two numbers differ by several times and by more than single
// rows are known to.
func manyTimes(x, y, slack float64) bool {
	return math.Abs(x-y) > slack && (x > 3*y || y > 3*x) // NaN is null, and compares false
}

// Confirmed returns the symbols of a day of daily_basic whose close and turnover follow from
// the date's daily. If such a row repeats the previous day, it is right: two quiet days of a
// stock can be equal.
func Confirmed(day, daily *Day) map[Symbol]bool {
	out := map[Symbol]bool{}
	ours, theirs := day.column("close"), daily.column("close")
	turnover, shares, vol := day.column("turnover_rate"), day.column("float_share"), daily.column("vol")
	each(day, daily, func(i, j int) {
		got, want := float64(turnover[i]), float64(vol[j])/float64(shares[i]) // NaN is null, and compares false
		if samePrice(ours[i], theirs[j]) && math.Abs(got-want) <= 0.002*want+0.0002 {
			out[day.Symbols[i]] = true
		}
	})
	return out
}

func names(symbols []Symbol) []string {
	var out []string
	for _, s := range symbols[:min(len(symbols), sampleNames)] {
		out = append(out, s.String())
	}
	return out
}

// agreement is one relation between a dataset and the date's daily.
type agreement struct {
	name       string
	day, daily *Day
	ok         func(i, j int) (same, compared bool)
}

func (a agreement) against() (odd []Symbol, rows int) {
	each(a.day, a.daily, func(i, j int) {
		same, compared := a.ok(i, j)
		if !compared {
			return
		}
		if rows++; !same {
			odd = append(odd, a.day.Symbols[i])
		}
	})
	return odd, rows
}

// near reports whether a value is about that which follows from daily, and whether it can be
// compared.
func near(got, want, share, slack float64) (same, compared bool) {
	if math.IsNaN(got) || math.IsNaN(want) || want == 0 { // 0 is a value of daily that is not published
		return false, false
	}
	return math.Abs(got-want) <= share*math.Abs(want)+slack, true
}

// How far a turnover rate may be from that which daily implies: a share of it, and percentage points.
const turnoverShare, turnoverSlack = 0.03, 0.01

func agreements(day, daily *Day) []agreement {
	vol, amount := daily.column("vol"), daily.column("amount")
	switch day.Dataset {
	case catalog.DailyBasic:
		clos, theirs := day.column("close"), daily.column("close")
		turnover, shares := day.column("turnover_rate"), day.column("float_share")
		return []agreement{
			{"close", day, daily, func(i, j int) (bool, bool) {
				return samePrice(clos[i], theirs[j]), clos[i] == clos[i] && theirs[j] == theirs[j]
			}},
			// 手 ÷ 万股 is a percentage: 1 手 is 100 shares, 1 万股 is 10,000 shares
			{"turnover_rate", day, daily, func(i, j int) (bool, bool) {
				return near(float64(turnover[i]), float64(vol[j])/float64(shares[i]), turnoverShare, turnoverSlack)
			}},
		}
	case catalog.Moneyflow:
		volumes, amounts := day.named("buy_", "_vol"), day.named("buy_", "_amount")
		return []agreement{
			{"volume", day, daily, func(i, j int) (bool, bool) { return near(sum(volumes, i), float64(vol[j]), 0.05, 20) }},
			// 万元 and 千元
			{"amount", day, daily, func(i, j int) (bool, bool) { return near(10*sum(amounts, i), float64(amount[j]), 0.05, 20) }},
		}
	}
	return nil
}

// named returns the columns whose name has this prefix and suffix.
func (d *Day) named(prefix, suffix string) (out [][]float32) {
	for n, c := range d.columns {
		if strings.HasPrefix(c.name, prefix) && strings.HasSuffix(c.name, suffix) {
			out = append(out, d.values[n])
		}
	}
	return out
}

// sum adds the values of a row; NaN if one is null.
func sum(columns [][]float32, i int) float64 {
	total := 0.0
	for _, v := range columns {
		total += float64(v[i])
	}
	return total
}

// In a whole market, the share of rows with a value in a column is almost the same as on
// the neighbouring day.
const (
	manyRows   = 200 // rows; with fewer, the share varies by chance
	keptValues = 0.7
)

// MissingValues returns the columns that have no value, or only 0, in any row of the market
// or of one exchange although a neighbouring day has many values there, and in a whole
// market those that lost many of them: the rows were published before their values.
func MissingValues(day, beside *Day) (Finding, bool) {
	if len(day.Symbols) < leastRows {
		return Finding{}, false
	}
	var names []string
	rows, most := len(day.Symbols), 0
	for name, now := range day.filled {
		lost := now.lost(day.rows, beside.filled[name], beside.rows)
		had, has := share(beside.filled[name].values, beside.rows), share(now.values, day.rows)
		if lost == 0 && min(rows, len(beside.Symbols)) >= manyRows && had > 0.2 && has < keptValues*had {
			lost = int(math.Round((1 - has) * float64(rows)))
		}
		if lost > 0 {
			names, most = append(names, name), max(most, lost)
		}
	}
	if len(names) == 0 {
		return Finding{}, false
	}
	slices.Sort(names)
	return lacking(names, most, rows), true
}

// lost returns the number of rows, of all or of one exchange, if none of them has a value
// other than 0 although many have one on the neighbouring day.
func (f fill) lost(rows tally, beside fill, of tally) int {
	const many = 0.2
	if f.nonzero.all() == 0 && share(beside.nonzero, of) > many {
		return rows.all()
	}
	n := 0
	for x := range rows {
		if rows[x] >= leastRows && f.nonzero[x] == 0 && float64(beside.nonzero[x]) > many*float64(of[x]) {
			n = max(n, rows[x])
		}
	}
	return n
}

func share(n, of tally) float64 {
	if of.all() == 0 {
		return 0
	}
	return float64(n.all()) / float64(of.all())
}

// Lacking is the finding that columns have no value in a number of rows.
func Lacking(names []string, count, of int) Finding { return lacking(names, count, of) }

func lacking(names []string, count, of int) Finding {
	list := strings.Join(names, ", ")
	return Finding{Reason: fault.ValuesMissing, Count: count, Of: of, Meta: []string{"column", list},
		What: fmt.Sprintf("has %s without a value in %s", fault.Of(count, of, "row", "rows"), list)}
}

// Unit is the finding that turnover ÷ volume is outside low and high.
func Unit(count, of int, sample []string) Finding {
	return Finding{Reason: fault.UnitSuspect, Count: count, Of: of, Sample: sample,
		What: fmt.Sprintf("has an amount ÷ volume outside the range from low to high in %s, so a column probably has a different unit", fault.Of(count, of, "row", "rows"))}
}

// Failed is the finding that too many rows failed a check.
func Failed(count, of int) Finding {
	return Finding{Reason: fault.ValuesConflict, Count: count, Of: of, Meta: []string{"check", "rows"},
		What: fmt.Sprintf("failed a check in %s", fault.Of(count, of, "row", "rows"))}
}

// Contradiction is the finding that too many rows contradict themselves.
func Contradiction(check string, count, of int, sample []string) Finding {
	return Finding{Reason: fault.ValuesConflict, Count: count, Of: of, Sample: sample,
		What: fmt.Sprintf("contradicts itself in %s", fault.Of(count, of, "row", "rows")), Meta: []string{"check", check}}
}
