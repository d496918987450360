package reader

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Adjustment of prices.
type Adjustment int

// The adjustments. With Forward the newest requested row keeps its prices, with Backward
// the first.
const (
	None Adjustment = iota
	Forward
	Backward
)

// MaxSymbols is the largest number of symbols of a query.
const MaxSymbols = 5000

// FactorColumn is the column with the factor of adjusted prices.
const FactorColumn = "factor"

// Query selects rows.
type Query struct {
	// Pool to read.
	Pool market.Pool
	// Table of the pool.
	Table string
	// Symbols; empty means all.
	Symbols []string
	// Start and End are the first and last date; NoDate means no bound.
	Start, End market.Date
	// Columns in order; empty means all.
	Columns []string
	// Adjust prices.
	Adjust Adjustment
	// Complete rejects a response that is not complete.
	Complete bool
	// Version to read; empty means the current one.
	Version string
}

// plan is a validated query.
type plan struct {
	Query
	table   pool.Table
	columns []catalog.Column // of the response
	date    string           // the table's column of dates; empty for instrument_meta
	symbol  string           // the table's column of symbols; empty for trade_calendar
}

// factor is the factor as a column.
var factor = catalog.Column{Stored: FactorColumn, Type: table.Number, Doc: "Factor by which the prices of the row were multiplied. Null if it is unknown."}

// Lookup returns a table by its name.
func Lookup(name string) (pool.Table, error) {
	tables := pool.Tables()
	if i := slices.IndexFunc(tables, func(t pool.Table) bool { return t.Name == name }); i >= 0 {
		return tables[i], nil
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	if name == "" {
		return pool.Table{}, fault.Invalid("table", "is required; the tables are %s", strings.Join(names, ", "))
	}
	return pool.Table{}, fault.New(fault.NotFound, fmt.Sprintf("There is no table %.60q; the tables are %s.", name, strings.Join(names, ", ")),
		"kind", "table", "id", name[:min(len(name), 60)])
}

func check(q Query) (*plan, error) {
	t, err := Lookup(q.Table)
	if err != nil {
		return nil, err
	}
	p := &plan{Query: q, table: t, date: "trade_date", symbol: "symbol"}
	switch t.Name {
	case catalog.TableCalendar:
		p.date, p.symbol = "cal_date", ""
	case catalog.TableInstruments:
		p.date = ""
	}
	if len(q.Symbols) > MaxSymbols {
		return nil, fault.Invalid("symbols", "has %d symbols; at most %d are allowed. Omit it to read all symbols", len(q.Symbols), MaxSymbols)
	}
	p.Symbols = make([]string, 0, len(q.Symbols))
	for i, s := range q.Symbols {
		up, err := market.ParseSymbol(s)
		if err != nil {
			return nil, fault.Invalid(fmt.Sprintf("symbols[%d]", i), "%v", err)
		}
		p.Symbols = append(p.Symbols, up)
	}
	slices.Sort(p.Symbols)
	p.Symbols = slices.Compact(p.Symbols)
	switch {
	case p.symbol == "" && len(p.Symbols) > 0:
		return nil, fault.Invalid("symbols", "%s has no symbols", t.Name)
	case p.date == "" && q.Start != market.NoDate:
		return nil, fault.Invalid("start_date", "%s has no dates", t.Name)
	case p.date == "" && q.End != market.NoDate:
		return nil, fault.Invalid("end_date", "%s has no dates", t.Name)
	case q.Start != market.NoDate && q.End != market.NoDate && q.End < q.Start:
		return nil, fault.Invalid("end_date", "%s is before start_date %s", q.End, q.Start)
	case q.Adjust != None && t.Name != catalog.TablePrices:
		return nil, fault.Invalid("adjust", "%s has no prices to adjust; %s has", t.Name, catalog.TablePrices)
	}
	return p, p.choose()
}

// begun rejects a date range that begins after today in Shanghai: a response without rows
// would look complete. Only the calendar has future days.
func begun(p *plan, now time.Time) error {
	if today := market.DateOf(now); p.Start != market.NoDate && p.Start > today && p.table.Name != catalog.TableCalendar {
		return fault.Invalid("start_date", "%s is after today, %s in Shanghai", p.Start, today)
	}
	return nil
}

// choose determines the columns of the response.
func (p *plan) choose() error {
	all := slices.Clone(p.table.Columns)
	if p.Adjust != None {
		all = append(all, factor)
	}
	if len(p.Columns) == 0 {
		p.columns = all
		return nil
	}
	for i, name := range p.Columns {
		at := slices.IndexFunc(all, func(c catalog.Column) bool { return c.Stored == name })
		if at < 0 {
			names := make([]string, len(all))
			for j, c := range all {
				names[j] = c.Stored
			}
			if name == FactorColumn && p.table.Name == catalog.TablePrices {
				return fault.Invalid(fmt.Sprintf("columns[%d]", i), "%q needs adjust=forward or adjust=backward", name)
			}
			return fault.Invalid(fmt.Sprintf("columns[%d]", i), "%.60q is not a column of %s; its columns are %s", name, p.table.Name, strings.Join(names, ", "))
		}
		if slices.Contains(p.Columns[:i], name) {
			return fault.Invalid(fmt.Sprintf("columns[%d]", i), "%.60q is named twice", name)
		}
		p.columns = append(p.columns, all[at])
	}
	return nil
}

// column is a column of the table, which has it.
func (p *plan) column(name string) catalog.Column {
	return p.table.Columns[slices.IndexFunc(p.table.Columns, func(c catalog.Column) bool { return c.Stored == name })]
}

// adjusted are the columns in 元, which the factor multiplies.
func adjusted(column string) bool {
	switch column {
	case "open", "high", "low", "close", "pre_close", "change":
		return true
	}
	return false
}

// datasets are those of the table that may have rows of the symbols.
func (p *plan) datasets() []*catalog.Dataset {
	var out []*catalog.Dataset
	for _, d := range catalog.Datasets() {
		if d.Table != p.table.Name {
			continue
		}
		concerned := len(p.Symbols) == 0 || d.Kind == "" || slices.ContainsFunc(p.Symbols, func(s string) bool { return market.KindOf(s) == d.Kind })
		if concerned {
			out = append(out, d)
		}
	}
	return out
}

// where is the condition on rows of a date range; NoDate means no bound.
func (p *plan) where(start, end market.Date) string {
	var terms []string
	if p.date != "" && start != market.NoDate {
		terms = append(terms, fmt.Sprintf("%s >= DATE '%s'", p.date, start))
	}
	if p.date != "" && end != market.NoDate {
		terms = append(terms, fmt.Sprintf("%s <= DATE '%s'", p.date, end))
	}
	if len(p.Symbols) == 1 {
		terms = append(terms, p.symbol+" = "+universe.Quote(p.Symbols[0]))
	} else if len(p.Symbols) > 1 {
		quoted := make([]string, len(p.Symbols))
		for i, s := range p.Symbols {
			quoted[i] = universe.Quote(s)
		}
		terms = append(terms, p.symbol+" IN ("+strings.Join(quoted, ", ")+")")
	}
	if len(terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(terms, " AND ")
}

// sorted are the columns by which the rows of a response are sorted.
func (p *plan) sorted() []string {
	switch {
	case p.symbol == "":
		return []string{p.date, "exchange"}
	case p.date == "":
		return []string{p.symbol}
	}
	return []string{p.date, p.symbol}
}
