package coverage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// A partition of targets for one day fetches the whole trade date and keeps its symbols;
// one for several days fetches by symbol. The newest day is always fetched as a whole: only
// that distinguishes a suspended symbol from a day that is not published yet. The rest is
// divided so that it needs the fewest calls.

func targets(w PlanRequest, world PoolState, todo []duty) []Partition {
	var out []Partition
	symbols := slices.Compact(slices.Sorted(slices.Values(w.Symbols)))
	for _, t := range todo {
		g := gaps(w, world, t, symbols)
		g.perCall = max(1, t.ds.SymbolsPerCall)
		if world.PerCall != nil {
			g.perCall = world.PerCall(t.ds)
		}
		out = append(out, g.partitions(w.Pool)...)
	}
	return out
}

// mostNamed is how many unlisted symbols a warning names.
const mostNamed = 5

// unlisted warns about symbols that the stored list of their kind does not have: they never
// get a row, and that would look like a success.
func unlisted(datasets []*catalog.Dataset, symbols []string, lists *Lists) (fault.Issue, bool) {
	var unknown, renamed []string
	for _, s := range slices.Compact(slices.Sorted(slices.Values(symbols))) {
		kind := market.KindOf(s)
		wanted := slices.ContainsFunc(datasets, func(d *catalog.Dataset) bool { return d.Kind == kind })
		if _, known := lists.Find(s); wanted && lists.Has(kind) && !known {
			unknown = append(unknown, s)
			if to, ok := lists.Renamed(s); ok {
				renamed = append(renamed, s+" is now "+to)
			}
		}
	}
	if len(unknown) == 0 {
		return fault.Issue{}, false
	}
	sample := strings.Join(unknown[:min(len(unknown), mostNamed)], ", ")
	message := fmt.Sprintf("The target list has %s not in the instrument list: %s", fault.Count(len(unknown), "symbol that is", "symbols that are"), sample)
	if more := len(unknown) - mostNamed; more > 0 {
		message += fmt.Sprintf(" and %d more", more)
	}
	if len(renamed) > 0 {
		message += ". The provider now uses a different code: " + strings.Join(renamed[:min(len(renamed), mostNamed)], ", ")
	}
	i := fault.NewIssue(fault.UnknownSymbols, message+". Check the code: all BJ codes changed in 2025.",
		"dataset", "", "count", fmt.Sprint(len(unknown)), "sample", sample)
	i.Remedy = "Correct the target list. This shows it: curl localhost:7780/v1/targets"
	return i, true
}

// gap is the missing days of one symbol, ascending.
type gap struct {
	symbol string
	days   []market.Date
}

type gapSet struct {
	duty
	history []gap
	// confirm are days to fetch as a whole, because a symbol's row is absent without proof.
	confirm []dateGap
	// older are days before the previous one that were not fetched again, because an evening
	// was missed.
	older []dateGap
	// newestOf and beforeOf are the symbols to fetch on those days; repeat is true if all of
	// beforeOf are stored.
	newestOf, beforeOf []string
	repeat             bool
	// alone are date ranges to fetch with one symbol per call, because the response to a list
	// proves nothing about a symbol without rows.
	alone []gap
	// perCall is how many symbols one call accepts.
	perCall int
}

func gaps(w PlanRequest, world PoolState, t duty, symbols []string) gapSet {
	g := gapSet{duty: t, repeat: true}
	traded := tradedOn(t.ds, symbols, world)
	absent, older := map[market.Date][]string{}, map[market.Date][]string{}
	for _, s := range symbols {
		if !t.ds.Covers(s) {
			continue
		}
		missing := gap{symbol: s}
		for i, d := range t.days {
			r, ok := world.Held(Key{Dataset: t.ds.ID, Date: d, Symbol: s})
			if listed, known := world.Lists.Listed(s, d); known && !listed {
				if ok && r.Rows == 0 && !r.Verdict.Settled() { // judged before a list had the symbol, or its delisting
					missing.days = append(missing.days, d)
				}
				continue
			}
			unsure := ok && (r.Unsure() && !(corroborated(t.ds, r, world) && traded(d)) || r.Doubted())
			settled := ok && r.Verdict.Settled() && !unsure && !w.Refetch && !disproved(t.ds, r, world)
			switch {
			case settled && !t.unseen(i, r, world.Now):
				t.accepted(r)
			case settled && d == t.before:
				g.beforeOf = append(g.beforeOf, s)
			case settled:
				older[d] = append(older[d], s)
			case d == t.newest:
				g.newestOf = append(g.newestOf, s)
			case d == t.before:
				g.beforeOf, g.repeat = append(g.beforeOf, s), false
			case unsure && r.Rows == 0 && (r.Verdict == ExpectedEmpty || r.Doubted()) && !w.Refetch:
				absent[d] = append(absent[d], s)
			default:
				missing.days = append(missing.days, d)
			}
		}
		if len(missing.days) > 0 {
			g.history = append(g.history, missing)
		}
	}
	g.prove(absent)
	for d, symbols := range older {
		g.older = append(g.older, dateGap{d, symbols})
	}
	slices.SortFunc(g.older, func(a, b dateGap) int { return cmp.Compare(a.day, b.day) })
	return g
}

// mostProofs is how many whole dates prove absent rows even if there are fewer symbols than
// dates: a whole date proves more. A symbol that is suspended for months is fetched alone
// instead.
const mostProofs = 20

func (g *gapSet) prove(absent map[market.Date][]string) {
	concerned := map[string]int{}
	for _, symbols := range absent {
		for _, s := range symbols {
			if _, seen := concerned[s]; !seen {
				concerned[s] = len(g.alone)
				g.alone = append(g.alone, gap{symbol: s})
			}
		}
	}
	if len(absent) <= max(mostProofs, len(concerned)) {
		g.alone = nil
		for d, symbols := range absent {
			g.confirm = append(g.confirm, dateGap{d, symbols})
		}
		slices.SortFunc(g.confirm, func(a, b dateGap) int { return cmp.Compare(a.day, b.day) })
		return
	}
	for _, d := range slices.Sorted(maps.Keys(absent)) {
		for _, s := range absent[d] {
			x := &g.alone[concerned[s]]
			x.days = append(x.days, d)
		}
	}
	slices.SortFunc(g.alone, func(a, b gap) int { return cmp.Compare(a.symbol, b.symbol) })
}

// missing adds a day to a symbol's missing days, in order.
func (g *gapSet) missing(symbol string, d market.Date) {
	i, found := slices.BinarySearchFunc(g.history, symbol, func(h gap, s string) int { return cmp.Compare(h.symbol, s) })
	if !found {
		g.history = slices.Insert(g.history, i, gap{symbol: symbol})
	}
	h := &g.history[i]
	at, _ := slices.BinarySearch(h.days, d)
	h.days = slices.Insert(h.days, at, d)
}

// disproved reports whether a symbol's day was considered idle, and another dataset has its
// row after all.
func disproved(ds *catalog.Dataset, r Record, world PoolState) bool {
	if r.Verdict != ExpectedEmpty || r.BeforeFirst() {
		return false
	}
	for _, other := range Siblings(ds, r.Symbol) {
		if x, ok := world.Held(Key{Dataset: other, Date: r.Date, Symbol: r.Symbol}); ok && x.Rows > 0 {
			return true
		}
	}
	return false
}

// corroborated reports whether a symbol's absence from `daily` need not be checked again,
// because the response for its valuation, a call of another API, lacks it, too.
func corroborated(ds *catalog.Dataset, r Record, world PoolState) bool {
	if ds.ID != catalog.Daily || r.Verdict != ExpectedEmpty {
		return false
	}
	x, ok := world.Held(Key{Dataset: catalog.DailyBasic, Date: r.Date, Symbol: r.Symbol})
	return ok && x.Verdict == ExpectedEmpty
}

// tradedOn returns a function that reports whether any of the symbols has a row of a dataset on a
// day. If none has, the responses for their date ranges may have begun too late, or ended too
// early, for all of them.
func tradedOn(ds *catalog.Dataset, symbols []string, world PoolState) func(market.Date) bool {
	known := map[market.Date]bool{}
	return func(d market.Date) bool {
		out, told := known[d]
		if !told {
			out = slices.ContainsFunc(symbols, func(s string) bool {
				r, ok := world.Held(Key{Dataset: ds.ID, Date: d, Symbol: s})
				return ok && r.Rows > 0
			})
			known[d] = out
		}
		return out
	}
}

// Siblings are the other datasets that have a row of a symbol on every day on which it
// trades, so that a row in one proves that another's is missing.
func Siblings(ds *catalog.Dataset, symbol string) []string {
	if market.Exchange(symbol) == "BJ" {
		return beijingSiblings[ds.ID]
	}
	return siblings[ds.ID]
}

// siblings are the datasets that prove each other's rows, and beijingSiblings those of them
// with stocks of Beijing.
var (
	siblings        = othersOf(catalog.Daily, catalog.DailyBasic, catalog.Moneyflow)
	beijingSiblings = othersOf(slices.DeleteFunc([]string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow},
		func(id string) bool { return catalog.Lookup(id).WithoutBeijing })...)
)

// othersOf lists the others for each of some names.
func othersOf(names ...string) map[string][]string {
	out := map[string][]string{}
	for _, name := range names {
		out[name] = slices.DeleteFunc(slices.Clone(names), func(other string) bool { return other == name })
	}
	return out
}

func (g gapSet) partitions(pool market.Pool) []Partition {
	var out []Partition
	var last []string
	date := func(d market.Date, symbols []string, repeat bool) {
		if slices.Equal(symbols, last) {
			symbols = last // most dates of a first fill have the same
		}
		last = symbols
		out = append(out, Partition{
			ID: PartitionID(g.ds.ID, d, d, symbols), Pool: pool, Dataset: g.ds.ID, Start: d, End: d,
			Symbols: symbols, Calls: 1, Repeat: repeat,
		})
	}
	// A first fill fetches the previous day with the rest of the history, which costs nothing
	// more; alone it is fetched as a whole, like the newest.
	if !g.repeat && len(g.history) > 0 {
		g.foldBefore()
	}
	if len(g.newestOf) > 0 {
		date(g.newest, g.newestOf, false)
	}
	if len(g.beforeOf) > 0 {
		date(g.before, g.beforeOf, g.repeat)
	}
	for _, x := range g.older {
		date(x.day, x.symbols, true)
	}
	dates, bySymbol := g.cut()
	for _, x := range append(g.confirm, dates...) {
		date(x.day, x.symbols, false)
	}
	for _, x := range g.alone {
		bySymbol = append(bySymbol, []gap{x})
	}
	for _, batch := range bySymbol {
		lo, hi := bounds(batch)
		if lo == hi {
			date(lo, names(batch), false)
			continue
		}
		calls := 1
		if len(batch) == 1 {
			calls = pages(int64(g.openDays(lo, hi)), g.ds)
		}
		out = append(out, Partition{
			ID: PartitionID(g.ds.ID, lo, hi, names(batch)), Pool: pool, Dataset: g.ds.ID, Start: lo, End: hi,
			Symbols: names(batch), Calls: calls,
		})
	}
	return out
}

func (g *gapSet) foldBefore() {
	for _, s := range g.beforeOf {
		g.missing(s, g.before)
	}
	g.beforeOf = nil
}

type dateGap struct {
	day     market.Date
	symbols []string
}

// cut divides the missing days into whole dates and batches by symbol.
func (g gapSet) cut() (dates []dateGap, bySymbol [][]gap) {
	if len(g.history) == 0 {
		return nil, nil
	}
	if g.perCall > 1 {
		packed := g.pack(g.history)
		dates = byDate(g.history)
		if len(dates) < len(packed) {
			return dates, nil
		}
		return nil, packed
	}
	rows, columns := cover(g.history)
	return columns, rows
}

// pack combines symbols with their missing date ranges into calls with one page each: pages
// by symbol have no stable order, so a list must fit on one page even under the smallest
// cap that was ever documented.
func (g gapSet) pack(history []gap) [][]gap {
	sorted := slices.Clone(history)
	slices.SortStableFunc(sorted, func(a, b gap) int {
		return cmp.Or(cmp.Compare(a.days[0], b.days[0]), cmp.Compare(a.days[len(a.days)-1], b.days[len(b.days)-1]))
	})
	most := slices.Min(g.ds.RowCaps)
	var out [][]gap
	var batch []gap
	for _, x := range sorted {
		lo, hi := bounds(append(batch, x))
		if n := len(batch) + 1; len(batch) > 0 && (n > g.perCall || n*g.openDays(lo, hi) >= most) {
			out, batch = append(out, batch), nil
		}
		batch = append(batch, x)
	}
	return append(out, batch)
}

func (g gapSet) openDays(lo, hi market.Date) int {
	from, _ := slices.BinarySearch(g.days, lo)
	to, _ := slices.BinarySearch(g.days, hi+1)
	return to - from
}

func bounds(batch []gap) (lo, hi market.Date) {
	lo, hi = batch[0].days[0], batch[0].days[len(batch[0].days)-1]
	for _, x := range batch[1:] {
		lo, hi = min(lo, x.days[0]), max(hi, x.days[len(x.days)-1])
	}
	return lo, hi
}

func names(batch []gap) []string {
	out := make([]string, len(batch))
	for i, x := range batch {
		out[i] = x.symbol
	}
	slices.Sort(out)
	return out
}

func byDate(history []gap) []dateGap {
	at := map[market.Date][]string{}
	for _, x := range history {
		for _, d := range x.days {
			at[d] = append(at[d], x.symbol)
		}
	}
	out := make([]dateGap, 0, len(at))
	for d, s := range at {
		out = append(out, dateGap{d, s})
	}
	slices.SortFunc(out, func(a, b dateGap) int { return cmp.Compare(a.day, b.day) })
	return out
}

// cover finds the fewest symbols and dates that together cover every gap, each being one
// call: the minimum vertex cover of the graph of symbols and dates, which equals its
// maximum matching (Kőnig).
func cover(history []gap) (rows [][]gap, columns []dateGap) {
	index := map[market.Date]int{}
	var days []market.Date
	adjacent := make([][]int, len(history))
	for i, x := range history {
		adjacent[i] = make([]int, len(x.days))
		for j, d := range x.days {
			k, ok := index[d]
			if !ok {
				k = len(days)
				index[d], days = k, append(days, d)
			}
			adjacent[i][j] = k
		}
	}
	m := matching{adjacent: adjacent, dayOf: filled(len(history)), symbolOf: filled(len(days)), seen: make([]int, len(days))}
	m.stamp++
	for i := range history {
		if m.augment(i) {
			m.stamp++ // days from which no search found a free one will not lead to one later
		}
	}
	reachedSymbol, reachedDay := m.reach()
	left := make([]gap, 0)
	for i, x := range history {
		if reachedSymbol[i] {
			continue // all its gaps are on chosen dates
		}
		rest := x.days[:0:0]
		for j, d := range x.days {
			if !reachedDay[adjacent[i][j]] {
				rest = append(rest, d)
			}
		}
		left = append(left, gap{x.symbol, rest})
	}
	for _, x := range left {
		if len(x.days) > 0 {
			rows = append(rows, []gap{x})
		}
	}
	chosen := map[market.Date][]string{}
	for i, x := range history {
		for j, d := range x.days {
			if reachedDay[adjacent[i][j]] {
				chosen[d] = append(chosen[d], x.symbol)
			}
		}
	}
	for d, s := range chosen {
		columns = append(columns, dateGap{d, s})
	}
	slices.SortFunc(columns, func(a, b dateGap) int { return cmp.Compare(a.day, b.day) })
	return rows, columns
}

func filled(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = -1
	}
	return out
}

type matching struct {
	adjacent        [][]int
	dayOf, symbolOf []int
	seen            []int
	stamp           int
}

// augment finds a free day for symbol i, reassigning others. It tries a free day first,
// which solves dense graphs at once.
func (m *matching) augment(i int) bool {
	for _, k := range m.adjacent[i] {
		if m.symbolOf[k] < 0 {
			m.symbolOf[k], m.dayOf[i] = i, k
			return true
		}
	}
	for _, k := range m.adjacent[i] {
		if m.seen[k] == m.stamp {
			continue
		}
		m.seen[k] = m.stamp
		if m.augment(m.symbolOf[k]) {
			m.symbolOf[k], m.dayOf[i] = i, k
			return true
		}
	}
	return false
}

// reach follows alternating paths from the unmatched symbols.
func (m *matching) reach() (symbols, days []bool) {
	symbols, days = make([]bool, len(m.adjacent)), make([]bool, len(m.symbolOf))
	var queue []int
	for i, k := range m.dayOf {
		if k < 0 {
			symbols[i], queue = true, append(queue, i)
		}
	}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		for _, k := range m.adjacent[i] {
			if days[k] || m.dayOf[i] == k {
				continue
			}
			days[k] = true
			if j := m.symbolOf[k]; j >= 0 && !symbols[j] {
				symbols[j], queue = true, append(queue, j)
			}
		}
	}
	return symbols, days
}
