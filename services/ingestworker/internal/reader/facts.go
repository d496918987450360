package reader

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// State is the condition of a dataset and date.
type State int

// The states.
const (
	// Available: complete, or empty as expected.
	Available State = iota + 1
	// Short: some rows, and fewer than expected.
	Short
	// Pending: not published by the provider yet, or not due yet.
	Pending
	// Missing: due, and no rows.
	Missing
)

// Condition is the condition of one dataset and date, or of one symbol, in a version.
type Condition struct {
	// Dataset and Date; Date is NoDate for a list or calendar. Both are empty for a symbol.
	Dataset string
	Date    market.Date
	// Symbol that the version does not have. Empty otherwise.
	Symbol string
	// State of the condition.
	State State
	// Verdict of the last response.
	Verdict coverage.Verdict
	// Rows stored and Expected; Expected is 0 if unknown.
	Rows, Expected int64
	// CommittedAt is zero if never.
	CommittedAt time.Time
	// Message says why, in a sentence, and Chinese says it in Simplified Chinese. Both are empty
	// if available.
	Message, Chinese string
	// AskedAgain is true if the worker plans it again automatically.
	AskedAgain bool
}

// String is the name: "daily/2026-03-02", "stock_basic", "600519.SH".
func (c Condition) String() string {
	switch {
	case c.Symbol != "":
		return c.Symbol
	case c.Date == market.NoDate:
		return c.Dataset
	}
	return c.Dataset + "/" + c.Date.String()
}

// facts are the facts of a version other than its rows.
type facts struct {
	covered  *universe.Covered
	rows     map[string]map[market.Date]int64 // per table and date
	calendar coverage.Calendar
	lists    *coverage.Lists
	known    map[string]bool // symbols in the lists or with a record
	symbols  []string        // of records, in targets
}

type factsKey struct{}

// factsOf loads them once per open version.
func factsOf(ctx context.Context, v *publish.Version) (*facts, error) {
	x, err := v.Keep(factsKey{}, func() (any, error) { return readFacts(ctx, v.Reader) })
	if err != nil {
		return nil, err
	}
	return x.(*facts), nil //nolint:forcetypeassert // the key has no other values
}

func readFacts(ctx context.Context, r *universe.Reader) (*facts, error) {
	f := &facts{rows: map[string]map[market.Date]int64{}, known: map[string]bool{}}
	var err error
	if f.covered, err = r.Coverage(ctx); err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	listed := map[string]bool{}
	for rec := range f.covered.All() {
		k := rec.Key
		if k.Symbol != "" && !listed[k.Symbol] {
			listed[k.Symbol] = true
			f.symbols = append(f.symbols, k.Symbol)
			f.known[k.Symbol] = true
		}
		if d := catalog.Lookup(k.Dataset); d != nil && !d.Snapshot {
			if f.rows[d.Table] == nil {
				f.rows[d.Table] = map[market.Date]int64{}
			}
			f.rows[d.Table][k.Date] += rec.Rows
		}
	}
	slices.Sort(f.symbols)
	f.calendar = coverage.Calendar{First: market.NoDate, Last: market.NoDate}
	err = r.Query(ctx, "SELECT cal_date, max(is_open) FROM trade_calendar GROUP BY cal_date ORDER BY cal_date", func(c universe.Chunk) error {
		for i, d := range c.Ints(0) {
			if f.calendar.First == market.NoDate {
				f.calendar.First = market.Date(d)
			}
			f.calendar.Last = market.Date(d)
			if c.Ints(1)[i] == 1 {
				f.calendar.Open = append(f.calendar.Open, market.Date(d))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the calendar: %w", err)
	}
	var instruments []coverage.Instrument
	date := func(c universe.Chunk, column, row int) market.Date {
		if c.Null(column, row) {
			return market.NoDate
		}
		return market.Date(c.Ints(column)[row])
	}
	err = r.Query(ctx, "SELECT symbol, kind, list_status, list_date, delist_date FROM instrument_meta", func(c universe.Chunk) error {
		for i := range c.Len() {
			x := coverage.Instrument{
				Symbol: c.Text(0, i), Kind: market.Kind(c.Text(1, i)), Status: c.Text(2, i), Listed: date(c, 3, i), Delisted: date(c, 4, i),
			}
			instruments = append(instruments, x)
			f.known[x.Symbol] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the lists: %w", err)
	}
	f.lists = coverage.NewLists(instruments)
	return f, nil
}

// span is the default date range: from the first stored day to the last due one.
func (f *facts) first(table string) market.Date {
	first := market.NoDate
	for d, n := range f.rows[table] {
		if n > 0 && (first == market.NoDate || d < first) {
			first = d
		}
	}
	return first
}

// conditions are the conditions of datasets on the trading days of a date range, oldest
// first. Days that are not due yet are included only if the range names them: end is given,
// or start is and no day since is due.
func (f *facts) conditions(p market.Pool, table string, datasets []*catalog.Dataset, start, end market.Date, symbols []string, cfg Config) ([]Condition, error) {
	now := cfg.Now()
	named := start != market.NoDate || end != market.NoDate
	today := market.DateOf(now)
	if start == market.NoDate {
		if start = f.first(table); start == market.NoDate {
			start = today
		}
		if end != market.NoDate && end < start && table != catalog.TableCalendar { // no rows would look complete
			return nil, fault.Invalid("end_date", "%s is before the first stored date, %s; set start_date too to read dates before it", end, start)
		}
	}
	world := coverage.PoolState{
		Now: now, Calendar: f.calendar, Lists: f.lists, WindowDays: int(today),
		Held: f.covered.Get,
	}
	if window, bounded := cfg.WindowDays[p]; bounded {
		world.WindowDays = window
	}
	if p == market.Targets && len(symbols) == 0 {
		symbols = f.symbols
	}
	if p == market.Universe {
		symbols = nil
	}
	days, err := coverage.Survey(datasets, start, end, world, p, symbols, func(yield func(coverage.Record) bool) error {
		for r := range f.covered.All() {
			if !yield(r) {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	told := map[coverage.Key]bool{}
	var out []Condition
	for _, d := range days {
		if p == market.Targets && d.Date == market.NoDate && d.Verdict == coverage.Missing {
			continue // targets needs only the lists of its symbols
		}
		told[coverage.Key{Dataset: d.Dataset, Date: d.Date}] = true
		out = append(out, conditionOf(d))
	}
	if named {
		out = append(out, f.notDue(datasets, start, end, now, told)...)
	}
	slices.SortStableFunc(out, func(a, b Condition) int { return int(a.Date) - int(b.Date) })
	return out, nil
}

// notDue are the trading days of the date range that are not due yet, so that a response
// without their rows does not look complete.
func (f *facts) notDue(datasets []*catalog.Dataset, start, end market.Date, now time.Time, told map[coverage.Key]bool) (out []Condition) {
	last := market.DateOf(now)
	if end != market.NoDate {
		last = min(end, last)
	}
	open, _ := f.calendar.Days(start, last)
	if len(open) == 0 {
		return nil
	}
	for _, ds := range datasets {
		if ds.Snapshot || end == market.NoDate && !now.Before(coverage.DueAt(ds, open[0])) {
			continue // without an end, the range ends with the last due day
		}
		for _, d := range open {
			if !told[coverage.Key{Dataset: ds.ID, Date: d}] && now.Before(coverage.DueAt(ds, d)) {
				at := coverage.DueAt(ds, d).In(market.Shanghai).Format("15:04")
				out = append(out, Condition{
					Dataset: ds.ID, Date: d, State: Pending, Verdict: coverage.Missing, AskedAgain: true,
					Message: fmt.Sprintf("%s of %s is due at %s (Shanghai).", ds.ID, d, at),
					Chinese: fmt.Sprintf("%s 的 %s 于 %s（上海时间）到期。", d, ds.ID, at),
				})
			}
		}
	}
	return out
}

func conditionOf(d coverage.Day) Condition {
	c := Condition{
		Dataset: d.Dataset, Date: d.Date, Verdict: d.Verdict, Rows: d.Rows, Expected: d.Expected, CommittedAt: d.CommittedAt,
		AskedAgain: d.FetchedAgain,
	}
	switch {
	case d.Verdict == coverage.Complete || d.Verdict == coverage.ExpectedEmpty:
		c.State = Available
		return c
	case d.Verdict == coverage.NotPublished:
		c.State = Pending
	case d.Rows > 0:
		c.State = Short
	default:
		c.State = Missing
	}
	if len(d.Issues) > 0 {
		i := d.Issues[0]
		c.Message = i.Message
		c.Chinese, _ = fault.Chinese(i.Reason, i.Meta, i.Remedy)
		return c
	}
	rows := fault.Of(c.Rows, c.Expected, "row", "rows")
	switch d.Verdict {
	case coverage.Missing:
		c.Message = fmt.Sprintf("%s has not been fetched yet.", c)
		c.Chinese = fmt.Sprintf("%s 尚未获取。", c)
	case coverage.NotPublished:
		c.Message = fmt.Sprintf("The provider has not published %s yet.", c)
		c.Chinese = fmt.Sprintf("数据源尚未发布 %s。", c)
	case coverage.AcceptedShort:
		c.Message = fmt.Sprintf("%s has %s; the response stayed the same for days, so only re-checks of old dates fetch it again.", c, rows)
		c.Chinese = fmt.Sprintf("%s 有 %d 行，应有 %d 行；多日的应答相同，因此只有旧日期的复查会再次获取。", c, c.Rows, c.Expected)
	default:
		c.Message = fmt.Sprintf("%s has %s.", c, rows)
		c.Chinese = fmt.Sprintf("%s 有 %d 行，应有 %d 行。", c, c.Rows, c.Expected)
	}
	return c
}

// neverFetched says why targets lacks some symbols. The command condition knows it by its end.
const neverFetched = "No run has fetched %s for targets yet: a run fetches only the symbols of the target list."

// unlisted are the symbols of a query of targets that no run has fetched, because the list
// did not have them.
func (f *facts) unlisted(p *plan) (out []string) {
	if p.Pool != market.Targets {
		return nil
	}
	for _, s := range p.Symbols {
		if _, found := slices.BinarySearch(f.symbols, s); !found {
			out = append(out, s)
		}
	}
	return out
}

// notFetched are the known symbols that were on no target list of a run.
func (f *facts) notFetched(p *plan) []Condition {
	if p.date == "" {
		return nil // the lists have all symbols
	}
	var out []Condition
	for _, s := range f.unlisted(p) {
		if len(f.known) == 0 || f.known[s] {
			out = append(out, Condition{Symbol: s, Date: market.NoDate, State: Missing, Verdict: coverage.Missing,
				Message: fmt.Sprintf(neverFetched, s), Chinese: "还没有运行为 targets 获取过 " + s + "：运行只获取目标列表中的代码。"})
		}
	}
	return out
}

// unknown are the symbols that the version does not have.
func (f *facts) unknown(symbols []string) []Condition {
	if len(f.known) == 0 {
		return nil // there is no list to check them
	}
	var out []Condition
	for _, s := range symbols {
		if !f.known[s] {
			out = append(out, Condition{Symbol: s, Date: market.NoDate, State: Missing, Verdict: coverage.Missing,
				Message: s + " is not in the instrument list of this version.", Chinese: s + " 不在此版本的品种列表中。"})
		}
	}
	return out
}
