package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// scope is the request; every row must be within it.
type scope struct {
	ds         *catalog.Dataset
	start, end market.Date
	// symbols of the request; nil means all.
	symbols map[string]bool
	// pick is true if more was fetched than requested on purpose: rows of other symbols are
	// ignored.
	pick bool
	// closed reports the days on which the exchange does not trade; nil reports none.
	closed func(market.Date) bool
	// today is the day on which a list of instruments came; zero if that does not matter.
	today market.Date
}

// checked is the result of the checks of a response.
type checked struct {
	batch   *table.Batch
	rejects []rejected
	// filtered rows are left out by rule, without a reject.
	filtered int64
	// doubtful are rows that are kept although they contradict themselves; indexes in batch.
	doubtful []int
	samples  []string
	// hollow are those of them without a value that rows almost always have.
	hollow []int
	// all counts every good row per exchange, including ignored ones.
	all coverage.ExchangeCounts
	// strays are the symbols of a date range whose rows were rejected because one of them had
	// another date.
	strays map[string]bool
	// lacking counts the rows without a value, including rejected ones, per column that almost
	// always has one.
	lacking map[string]int
	// odd counts the kept rows by contradiction, with examples.
	odd map[string]*oddRows
	// empty are the columns without a value other than 0 in any row of a response that is long
	// enough.
	empty []string
	// good are the rows of a whole date that passed, also those passed over; by index in the
	// answer.
	good []int
	// refuted are rows whose values cannot be those of their day.
	refuted refuted
	// rows is the number of rows in the response, without those of other kinds and symbols.
	rows int
}

type oddRows struct {
	count  int
	sample []string
}

// findings are what the rows show about the whole response: too many lack a value, have a
// different unit, or contradict themselves in the same way.
func (c *checked) findings() []evidence.Finding {
	var out []evidence.Finding
	names, most := []string(nil), 0
	for name, n := range c.lacking {
		if evidence.TooMany(n, c.rows) {
			names, most = append(names, name), max(most, n)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		out = append(out, evidence.Lacking(names, most, c.rows))
	}
	for _, check := range slices.Sorted(maps.Keys(c.odd)) {
		switch o := c.odd[check]; {
		case !evidence.TooMany(o.count, c.rows):
		case check == unitOff:
			out = append(out, evidence.Unit(o.count, c.rows, o.sample))
		default:
			out = append(out, evidence.Contradiction(check, o.count, c.rows, o.sample))
		}
	}
	return out
}

type rejected struct {
	symbol, reason, row string
	date                market.Date
	// closed marks a row of a closed day, which says nothing about its symbol's days.
	closed bool
}

const noSymbol = "ts_code is not a symbol"

// onClosedDay is the reason for rejecting a row with the date of a day without trading. The
// provider is known to return the rows of the previous day for such days.
const onClosedDay = "closed day: the exchange did not trade on this date"

// check divides the rows of a response into those to keep, those to reject with a reason,
// and those that the pool leaves out by rule.
func check(sc scope, b *table.Batch, bad []table.BadCell) checked {
	c := checker{scope: sc, b: b, bad: bad}
	c.prepare()
	c.strays()
	var odd []int // rows with an invalid code
	seen := table.NewKeys(cmp.Or(c.symbol, c.exchange), c.date, b.Len)
	defer seen.Release()
	keep := make([]int, 0, b.Len)
	for r := range b.Len {
		reason, drop := c.row(r)
		if !drop {
			c.out.rows++
		}
		switch {
		case drop:
			if c.mangled(r) {
				odd = append(odd, r)
			}
			continue
		case reason == noSymbol && sc.symbols != nil:
			odd = append(odd, r)
			continue
		case reason != "":
			if !sc.pick || c.asked(r) {
				c.reject(r, reason)
			}
			continue
		}
		if first, added := seen.Add(r); !added {
			if !sameRow(b, first, r) && (!sc.pick || c.asked(r)) {
				c.reject(r, "duplicate of a previous row with the same key")
			}
			continue
		}
		text := ""
		if c.symbol != nil {
			text = c.symbol.Texts[r]
			c.out.all.Add(text)
		}
		why, hollow := c.disagrees(r)
		if why != "" && !hollow {
			c.count(why, text)
		}
		if sc.pick {
			if c.out.good == nil {
				c.out.good = make([]int, 0, b.Len)
			}
			c.out.good = append(c.out.good, r)
			if c.symbol != nil && !sc.symbols[text] {
				continue
			}
		}
		if hollow {
			c.out.hollow = append(c.out.hollow, len(keep))
		}
		if why != "" {
			c.out.doubtful = append(c.out.doubtful, len(keep))
			if len(c.out.samples) < sampleSize {
				c.out.samples = append(c.out.samples, text+": "+why)
			}
		}
		keep = append(keep, r)
	}
	for _, r := range odd {
		c.rejectOdd(r, seen)
	}
	if b.Len >= leastToTell && !sc.ds.Snapshot {
		for i := range b.Columns {
			if blank(&b.Columns[i]) {
				c.out.empty = append(c.out.empty, b.Columns[i].Name)
			}
		}
	}
	c.out.batch = b
	if len(keep) != b.Len {
		c.out.batch = b.Select(keep)
	}
	return c.out
}

// blank reports whether a column has no value other than 0.
func blank(c *table.Column) bool {
	for r, null := range c.Null {
		if !null && (c.Numbers == nil || c.Numbers[r] != 0) {
			return false
		}
	}
	return true
}

// leastToTell is the least number of rows for a column without values to be reported.
const leastToTell = 20

// sampleSize is how many examples an issue names.
const sampleSize = 5

type checker struct {
	scope
	b   *table.Batch
	bad []table.BadCell
	out checked

	symbol, date, exchange *table.Column
	required               []*table.Column
	present                []*table.Column // almost never null at the provider
	sign                   []*table.Column // must not be negative
	high, low, open, clos  *table.Column
	pre, change, percent   *table.Column
	shares, value          *table.Column
	floating, circulating  *table.Column
	volume, amount         *table.Column
	isOpen                 *table.Column
	listed, delisted       *table.Column // of a list of instruments, as status
	status                 *table.Column
	buys, sells            []*table.Column
}

// strays finds the symbols whose rows do not match the request: if one row is outside the
// date range, the dates of the others cannot be trusted either.
func (c *checker) strays() {
	if c.ds.Snapshot || c.start == c.end || c.symbol == nil || c.date == nil {
		return
	}
	for r := range c.b.Len {
		if d := c.date.Dates[r]; !c.date.Null[r] && (d < c.start || d > c.end) {
			if c.out.strays == nil {
				c.out.strays = map[string]bool{}
			}
			c.out.strays[c.symbol.Texts[r]] = true
		}
	}
}

func (c *checker) prepare() {
	for i := range c.ds.Columns {
		col := c.b.Column(c.ds.Columns[i].Provider)
		if col == nil {
			continue
		}
		if c.ds.Columns[i].Required {
			c.required = append(c.required, col)
		}
		name := col.Name
		if !c.ds.Snapshot && (c.ds.Table != catalog.TableBasics || hardlyNull[name]) {
			c.present = append(c.present, col)
		}
		if !c.ds.Snapshot && neverNegative[name] {
			c.sign = append(c.sign, col)
		}
		switch {
		case strings.HasPrefix(name, "buy_") && strings.HasSuffix(name, "_vol"):
			c.buys, c.sign = append(c.buys, col), append(c.sign, col)
		case strings.HasPrefix(name, "sell_") && strings.HasSuffix(name, "_vol"):
			c.sells, c.sign = append(c.sells, col), append(c.sign, col)
		case strings.HasPrefix(name, "buy_"), strings.HasPrefix(name, "sell_"):
			c.sign = append(c.sign, col)
		}
	}
	c.symbol, c.date = c.b.Column("ts_code"), c.b.Column("trade_date")
	if c.ds.Snapshot {
		c.listed, c.delisted = c.b.Column("list_date"), c.b.Column("delist_date")
		c.status = cmp.Or(c.b.Column("list_status"), c.b.Column("status"))
	}
	if c.ds.ID == catalog.TradeCal {
		c.exchange, c.date = c.b.Column("exchange"), c.b.Column("cal_date")
		c.isOpen = c.b.Column("is_open")
	}
	c.high, c.low, c.open, c.clos = c.b.Column("high"), c.b.Column("low"), c.b.Column("open"), c.b.Column("close")
	c.pre, c.change, c.percent = c.b.Column("pre_close"), c.b.Column("change"), c.b.Column("pct_chg")
	c.shares, c.value = c.b.Column("total_share"), c.b.Column("total_mv")
	c.floating, c.circulating = c.b.Column("float_share"), c.b.Column("circ_mv")
	c.volume, c.amount = c.b.Column("vol"), c.b.Column("amount")
}

func (c *checker) dateOf(r int) market.Date {
	if c.date == nil {
		return market.NoDate
	}
	return c.date.Dates[r]
}

func (c *checker) asked(r int) bool { return c.symbol != nil && c.symbols[c.symbol.Texts[r]] }

// hardlyNull are the columns of daily_basic that always have a value in recorded data; in
// the others null is usual. In prices and flows no recorded value is null.
var hardlyNull = map[string]bool{"turnover_rate": true, "total_share": true, "total_mv": true}

var neverNegative = map[string]bool{
	"open": true, "high": true, "low": true, "close": true, "pre_close": true, "vol": true, "amount": true,
	"turnover_rate": true, "turnover_rate_f": true, "volume_ratio": true,
	"total_share": true, "float_share": true, "free_share": true, "total_mv": true, "circ_mv": true,
}

// row returns why a row is rejected, or that it is left out by rule.
func (c *checker) row(r int) (reason string, drop bool) {
	for len(c.bad) > 0 && c.bad[0].Row < r {
		c.bad = c.bad[1:]
	}
	if c.symbol != nil && !c.symbol.Null[r] {
		s := c.symbol.Texts[r]
		switch {
		case retiredCode(s):
			c.out.filtered++
			return "", true
		case c.ds.Kind == market.ETF && !market.IsETF(s) && fund(s):
			c.out.filtered++
			return "", true
		}
	}
	if len(c.bad) > 0 && c.bad[0].Row == r {
		return c.bad[0].Column + " cannot be read", false
	}
	for _, col := range c.required {
		if col.Null[r] {
			c.lacks(col.Name)
			return col.Name + " is missing", false
		}
	}
	if c.symbol != nil {
		s := c.symbol.Texts[r]
		switch {
		case !wellFormed(s):
			return noSymbol, false
		case c.ds.Kind == market.ETF != market.IsETF(s):
			return "ts_code is a different kind of instrument", false
		case c.symbols != nil && !c.pick && !c.symbols[s]:
			return "not a requested symbol", false
		}
	}
	if c.date != nil && !c.ds.Snapshot && (c.date.Dates[r] < c.start || c.date.Dates[r] > c.end) {
		return "not a requested date", false
	}
	if c.out.strays != nil && c.out.strays[c.symbol.Texts[r]] {
		return "the response has rows of a date that was not requested", false
	}
	if c.closed != nil && c.date != nil && !c.ds.Snapshot && c.closed(c.date.Dates[r]) {
		return onClosedDay, false
	}
	if c.isOpen != nil && c.isOpen.Numbers[r] != 0 && c.isOpen.Numbers[r] != 1 {
		return "is_open is neither 0 nor 1", false
	}
	for _, col := range c.sign {
		if col.Numbers[r] < 0 {
			return col.Name + " < 0", false
		}
	}
	if c.high != nil && c.low != nil && !c.high.Null[r] && !c.low.Null[r] && c.high.Numbers[r] < c.low.Numbers[r] {
		return "high < low", false
	}
	if c.clos != nil && !c.clos.Null[r] && c.clos.Numbers[r] == 0 {
		return "close is 0", false // a placeholder for a day without trades
	}
	return "", false
}

// disagrees returns a contradiction within a row. The provider really has such rows, so
// they are kept and reported.
func (c *checker) disagrees(r int) (why string, hollow bool) {
	for _, col := range c.present {
		if col.Null[r] {
			c.lacks(col.Name)
			why, hollow = col.Name+" is missing", true
		}
	}
	c.datesOfListing(r)
	if hollow {
		return why, true
	}
	return c.contradicts(r), false
}

// datesOfListing counts an instrument that is listed by its status, but not by its dates: no
// date expects a row of it. No recorded one lacks its listing date, or was delisted. A new one
// may be on the list some days before it trades.
func (c *checker) datesOfListing(r int) {
	switch {
	case c.listed == nil || c.status != nil && !c.status.Null[r] && c.status.Texts[r] != "L":
	case c.listed.Null[r]:
		c.lacks(c.listed.Name)
	case c.today == 0:
	case c.listed.Dates[r] > c.today:
		c.count("list_date is in the future", c.symbol.Texts[r])
	case c.delisted != nil && !c.delisted.Null[r] && c.delisted.Dates[r] < c.today:
		c.count("delist_date is in the past", c.symbol.Texts[r])
	}
}

func (c *checker) lacks(column string) {
	if c.out.lacking == nil {
		c.out.lacking = map[string]int{}
	}
	c.out.lacking[column]++
}

func (c *checker) count(why, symbol string) {
	if c.out.odd == nil {
		c.out.odd = map[string]*oddRows{}
	}
	o := c.out.odd[why]
	if o == nil {
		o = &oddRows{}
		c.out.odd[why] = o
	}
	if o.count++; len(o.sample) < sampleSize {
		o.sample = append(o.sample, symbol)
	}
}

// unitOff is a row whose turnover ÷ volume is not a price of its day. It holds for all
// 278,123 recorded rows, stocks and ETFs, within unitSlack.
const (
	unitOff   = "amount ÷ volume is outside the range from low to high"
	unitSlack = 0.02
)

func (c *checker) contradicts(r int) string {
	has := func(cols ...*table.Column) bool {
		for _, col := range cols {
			if col == nil || col.Null[r] {
				return false
			}
		}
		return true
	}
	for _, price := range []*table.Column{c.open, c.high, c.low, c.pre} {
		if has(price) && price.Numbers[r] == 0 {
			return price.Name + " is 0"
		}
	}
	if has(c.high, c.low, c.clos) && (c.clos.Numbers[r] > c.high.Numbers[r]+priceStep || c.clos.Numbers[r] < c.low.Numbers[r]-priceStep) {
		return "close is outside the range from low to high"
	}
	if has(c.high, c.low, c.open) && (c.open.Numbers[r] > c.high.Numbers[r]+priceStep || c.open.Numbers[r] < c.low.Numbers[r]-priceStep) {
		return "open is outside the range from low to high"
	}
	if has(c.clos, c.pre, c.change) && math.Abs(c.clos.Numbers[r]-c.pre.Numbers[r]-c.change.Numbers[r]) > 0.0051 {
		return "change is not close − pre_close"
	}
	if has(c.clos, c.pre, c.percent) {
		if want := 100 * (c.clos.Numbers[r]/c.pre.Numbers[r] - 1); math.Abs(want-c.percent.Numbers[r]) > percentSlack+1e-5*math.Abs(want) {
			return "pct_chg is not change ÷ pre_close in %"
		}
	}
	if has(c.high, c.low, c.volume, c.amount) && c.volume.Numbers[r] > 0 {
		// 千元 ÷ 手 is ten 元; the volume is rounded to 0.01 手 and the turnover to 0.001 千元.
		price := 10 * c.amount.Numbers[r] / c.volume.Numbers[r]
		slack := unitSlack + 0.005/c.volume.Numbers[r]
		if price < c.low.Numbers[r]*(1-slack) || price > c.high.Numbers[r]*(1+slack) {
			return unitOff
		}
	}
	if has(c.clos, c.floating, c.circulating) {
		if v := c.circulating.Numbers[r]; math.Abs(c.floating.Numbers[r]*c.clos.Numbers[r]-v) > 1e-3*math.Abs(v)+1 {
			return "circ_mv is not float_share × close"
		}
	}
	if has(c.clos, c.shares, c.value) {
		if v := c.value.Numbers[r]; math.Abs(c.shares.Numbers[r]*c.clos.Numbers[r]-v) > 1e-4*math.Abs(v)+1 {
			return "total_mv is not total_share × close"
		}
	}
	if len(c.buys) > 0 && has(c.buys...) && has(c.sells...) {
		sum := 0.0
		for i := range c.buys {
			sum += c.buys[i].Numbers[r]
		}
		for i := range c.sells {
			sum -= c.sells[i].Numbers[r]
		}
		if math.Abs(sum) > 2 {
			return "bought is not sold"
		}
	}
	return ""
}

// percentSlack allows for a pct_chg that is rounded to two decimals. It holds for all 278,123
// recorded rows.
const percentSlack = 0.0151

// priceStep is below the finest step of a price and above the noise of float64.
const priceStep = 1e-6

// How much of a text that failed a check is kept, in bytes.
const (
	mostSymbol = 40
	mostText   = 400
)

func shown(s string, most int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (c *checker) reject(r int, reason string) {
	x := rejected{reason: reason, row: rowJSON(c.b, r, c.bad), date: c.start, closed: reason == onClosedDay}
	if c.symbol != nil && !c.symbol.Null[r] {
		x.symbol = shown(c.symbol.Texts[r], mostSymbol)
	}
	if c.date != nil && !c.ds.Snapshot && c.date.Dates[r] >= c.start && c.date.Dates[r] <= c.end {
		x.date = c.date.Dates[r]
	}
	c.out.rejects = append(c.out.rejects, x)
}

// mangled reports whether a code that is left out as a fund's may be a symbol with an extra
// digit.
func (c *checker) mangled(r int) bool {
	return c.symbols != nil && !wellFormed(c.symbol.Texts[r]) && !retiredCode(c.symbol.Texts[r])
}

// rejectOdd rejects a row with an invalid code under the requested symbol that it seems to
// be, so that this symbol does not count as absent. seen are the keys of the good rows.
func (c *checker) rejectOdd(r int, seen *table.Keys) {
	code, date := c.symbol.Texts[r], c.dateOf(r)
	for _, s := range near(code) {
		if seen.Has(s, date) || !c.symbols[s] || date < c.start || date > c.end || c.closed != nil && c.closed(date) {
			continue
		}
		c.reject(r, fmt.Sprintf("ts_code %s is not a symbol; the row is probably of %s", shown(code, mostSymbol), s))
		c.out.rejects[len(c.out.rejects)-1].symbol = s
		return
	}
	if !c.pick && !(c.ds.Kind == market.ETF && fund(code)) {
		c.reject(r, noSymbol)
	}
}

// near lists the symbols for which a malformed code may stand: with a different notation,
// or with a digit too many or too few.
func near(code string) []string {
	if len(code) > mostSymbol {
		return nil
	}
	var digits, letters []byte
	for _, b := range []byte(strings.ToUpper(code)) {
		switch {
		case b >= '0' && b <= '9':
			digits = append(digits, b)
		case b >= 'A' && b <= 'Z':
			letters = append(letters, b)
		}
	}
	exchanges := []string{"SH", "SZ", "BJ"}
	switch x := string(letters); x {
	case "SH", "SZ", "BJ":
		exchanges = []string{x}
	case "SS", "SSE", "XSHG":
		exchanges = []string{"SH"}
	case "SZSE", "XSHE":
		exchanges = []string{"SZ"}
	}
	var numbers []string
	switch n := len(digits); {
	case n == 5:
		for i := range n + 1 {
			for d := byte('0'); d <= '9'; d++ {
				numbers = append(numbers, string(digits[:i])+string(d)+string(digits[i:]))
			}
		}
	case n == 6:
		numbers = append(numbers, string(digits))
	case n == 7:
		for i := range n {
			numbers = append(numbers, string(digits[:i])+string(digits[i+1:]))
		}
	case n > 7:
		for i := range n - 5 {
			numbers = append(numbers, string(digits[i:i+6]))
		}
	}
	var out []string
	for _, n := range numbers {
		for _, x := range exchanges {
			out = append(out, n+"."+x)
		}
	}
	return out
}

func wellFormed(s string) bool {
	_, ok := evidence.SymbolOf(s)
	return ok
}

// retiredCode reports whether a code is the provider's placeholder for a code that was
// later given to another company, for example T00018.SH. It never trades again.
func retiredCode(s string) bool {
	return len(s) == 9 && s[0] == 'T' && wellFormed("0"+s[1:])
}

// fund reports whether a code is in the provider's fund lists and not an ETF's: LOF,
// closed-end and REIT codes, funds that are not traded on the exchange, and the seven
// digits for the subscription of a part of a fund, for example 1604221.SZ.
func fund(s string) bool {
	code, exchange, ok := strings.Cut(s, ".")
	if !ok || len(code) < 6 || len(code) > 7 || strings.Trim(code, "0123456789") != "" {
		return false
	}
	return exchange == "SH" || exchange == "SZ" || exchange == "OF"
}

func sameRow(b *table.Batch, i, j int) bool {
	for k := range b.Columns {
		c := &b.Columns[k]
		if c.Null[i] != c.Null[j] {
			return false
		}
		switch c.Type {
		case table.Text:
			if c.Texts[i] != c.Texts[j] {
				return false
			}
		case table.Date:
			if c.Dates[i] != c.Dates[j] {
				return false
			}
		default:
			if c.Numbers[i] != c.Numbers[j] {
				return false
			}
		}
	}
	return true
}

func (x rejected) of(dataset string, at time.Time) coverage.Reject {
	return coverage.Reject{
		Key:    coverage.Key{Dataset: dataset, Date: x.date, Symbol: x.symbol},
		Reason: x.reason, Row: x.row, RejectedAt: at,
	}
}

func sample(s []string) string { return strings.Join(s, "; ") }
