package evidence

import (
	"math"
	"slices"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// column is a column that is remembered for a day.
type column struct {
	name string
	// repeats is the largest share of rows that may have the value of the previous day; 0 if
	// equal values prove nothing.
	repeats float64
	// ratio marks a value that a provider may compute once a year, so that equal values are
	// evidence only if it is known to move.
	ratio bool
}

// remembered lists the columns that are remembered for each dataset. In recorded data at
// most 0.08 of the closes, 0.13 of the lows and 0.0003 of the volumes of stocks repeat, and
// 0.17, 0.15 and 0.009 of ETFs (61 consecutive days of 2019). Shares rarely change.
var remembered = map[string][]column{
	catalog.Daily: prices, catalog.FundDaily: prices,
	catalog.DailyBasic: {
		{name: "close", repeats: 0.5}, {name: "turnover_rate", repeats: 0.1}, {name: "turnover_rate_f", repeats: 0.1}, {name: "volume_ratio", repeats: 0.3}, {name: "pb", repeats: 0.6},
		{name: "total_mv", repeats: 0.5}, {name: "circ_mv", repeats: 0.5}, {name: "pe", repeats: 0.6, ratio: true}, {name: "pe_ttm", repeats: 0.6, ratio: true}, {name: "ps", repeats: 0.6, ratio: true}, {name: "ps_ttm", repeats: 0.6, ratio: true}, {name: "dv_ratio", repeats: 0.6, ratio: true}, {name: "dv_ttm", repeats: 0.6, ratio: true},
		{name: "total_share", repeats: 0}, {name: "float_share", repeats: 0}, {name: "free_share", repeats: 0},
	},
	catalog.Moneyflow: {
		{name: "buy_sm_vol", repeats: 0.1}, {name: "buy_sm_amount", repeats: 0.05}, {name: "sell_sm_vol", repeats: 0.1}, {name: "sell_sm_amount", repeats: 0.05},
		{name: "buy_md_vol", repeats: 0.1}, {name: "buy_md_amount", repeats: 0.05}, {name: "sell_md_vol", repeats: 0.1}, {name: "sell_md_amount", repeats: 0.05},
		{name: "buy_lg_vol", repeats: 0.2}, {name: "buy_lg_amount", repeats: 0.1}, {name: "sell_lg_vol", repeats: 0.2}, {name: "sell_lg_amount", repeats: 0.1},
		{name: "buy_elg_vol", repeats: 0.3}, {name: "buy_elg_amount", repeats: 0.2}, {name: "sell_elg_vol", repeats: 0.3}, {name: "sell_elg_amount", repeats: 0.2},
		{name: "net_mf_vol", repeats: 0.1}, {name: "net_mf_amount", repeats: 0.05},
	},
}

var prices = []column{
	{name: "open", repeats: 0.5}, {name: "high", repeats: 0.5}, {name: "low", repeats: 0.5}, {name: "close", repeats: 0.5}, {name: "pre_close", repeats: 0.5},
	{name: "change", repeats: 0.5}, {name: "pct_chg", repeats: 0.4}, {name: "vol", repeats: 0.05}, {name: "amount", repeats: 0.05},
}

// Day is what is remembered of one dataset on one trade date: some columns as float32,
// which distinguishes values well enough with half the memory.
type Day struct {
	// Dataset is its name in the catalog, Date the trade date.
	Dataset string
	Date    market.Date
	// Symbols are ascending and unique.
	Symbols []Symbol
	// columns are the remembered ones, in the order of values.
	columns []column
	// values of the remembered columns by symbol, NaN where null.
	values [][]float32
	// rows is the number of rows per exchange, and filled the number of them with a value, by
	// the provider's column name.
	rows   tally
	filled map[string]fill
	// decimals counts, for each remembered column, the values with few decimals.
	decimals []decimalCount
	// kept says how the rows keep each habit; every neighbouring day is compared with that.
	kept []kept
}

// fill is the number of rows of a column per exchange: those with a value, and those with a
// value other than 0.
type fill struct{ values, nonzero tally }

// NewDay remembers the rows of a batch that have a well-formed code. It returns nil for a
// dataset without remembered columns.
func NewDay(ds *catalog.Dataset, date market.Date, b *table.Batch) *Day {
	return NewDayOf(ds, date, b, nil)
}

// NewDayOf is NewDay for the rows with these indexes; nil means all rows.
func NewDayOf(ds *catalog.Dataset, date market.Date, b *table.Batch, rows []int) *Day {
	columns, ok := remembered[ds.ID]
	symbol := b.Column("ts_code")
	if !ok || symbol == nil {
		return nil
	}
	order := make([]uint64, 0, b.Len) // symbol and row in one number, for sorting without moving rows
	take := func(r int) {
		if s, ok := SymbolOf(symbol.Texts[r]); ok {
			order = append(order, uint64(s)<<32|uint64(r))
		}
	}
	if rows == nil {
		for r := range symbol.Texts {
			take(r)
		}
	}
	for _, r := range rows {
		take(r)
	}
	if !slices.IsSorted(order) {
		slices.Sort(order)
	}
	d := &Day{Dataset: ds.ID, Date: date, Symbols: make([]Symbol, len(order)), columns: columns, values: make([][]float32, len(columns)), decimals: make([]decimalCount, len(columns)), filled: make(map[string]fill, len(columns))}
	exchange := make([]uint8, len(order))
	for i, x := range order {
		d.Symbols[i] = Symbol(x >> 32)
		exchange[i] = d.Symbols[i].exchange()
		d.rows[exchange[i]]++
	}
	for n, c := range columns {
		v := make([]float32, len(order))
		col := b.Column(c.name)
		var without, zero tally // they are fewer than the rows with a value
		for i, x := range order {
			if r := uint32(x); col == nil || col.Null[r] {
				v[i] = float32(math.NaN())
				without[exchange[i]]++
			} else if v[i] = float32(col.Numbers[r]); v[i] == 0 {
				zero[exchange[i]]++
			}
		}
		d.values[n], d.decimals[n] = v, countDecimals(v, d.Symbols)
		var f fill
		for x, rows := range d.rows {
			f.values[x] = rows - without[x]
			f.nonzero[x] = f.values[x] - zero[x]
		}
		d.filled[c.name] = f
	}
	d.kept = d.breaks()
	return d
}

// Columns returns the provider's columns of a dataset that NewDay needs, including
// ts_code. It returns nil for a dataset without remembered columns.
func Columns(dataset string) []string {
	columns, ok := remembered[dataset]
	if !ok {
		return nil
	}
	out := []string{"ts_code"}
	for _, c := range columns {
		out = append(out, c.name)
	}
	return out
}

// Filled returns the given columns that have a value other than 0 on the day.
func (d *Day) Filled(columns []string) []string {
	var out []string
	for _, name := range columns {
		if d.filled[name].nonzero.all() > 0 {
			out = append(out, name)
		}
	}
	return out
}

// Has reports whether a symbol has a row on the day.
func (d *Day) Has(s Symbol) bool {
	_, found := slices.BinarySearch(d.Symbols, s)
	return found
}

func (d *Day) column(name string) []float32 {
	if n := d.place(name); n >= 0 {
		return d.values[n]
	}
	return nil
}

// place returns the index of a remembered column, or -1.
func (d *Day) place(name string) int {
	return slices.IndexFunc(d.columns, func(c column) bool { return c.name == name })
}

// each calls f with the indexes of every symbol that both days have.
func each(a, b *Day, f func(i, j int)) {
	for i, j := 0, 0; i < len(a.Symbols) && j < len(b.Symbols); {
		switch x, y := a.Symbols[i], b.Symbols[j]; {
		case x < y:
			i++
		case x > y:
			j++
		default:
			f(i, j)
			i, j = i+1, j+1
		}
	}
}
