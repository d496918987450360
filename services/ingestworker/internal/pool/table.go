package pool

import (
	"slices"
	"strings"
	"sync"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// KindColumn is the column of instrument_meta that distinguishes stocks and ETFs.
const KindColumn = "kind"

// Table is one table of rows; both pools have the same ones.
type Table struct {
	// Name is the table's name.
	Name string
	// Doc describes a row, for the schema's comment.
	Doc string
	// Columns in order, by their stored names; the provider's name is empty for a column that
	// afterbell adds.
	Columns []catalog.Column
	// Key names the key columns.
	Key []string
}

var docs = map[string]string{
	catalog.TablePrices:      "Unadjusted daily prices of stocks and ETFs, one row per symbol and trade date.",
	catalog.TableBasics:      "Daily valuation and share counts of stocks, one row per symbol and trade date.",
	catalog.TableMoneyflows:  "Daily money flow of SH and SZ stocks by size of order, one row per symbol and trade date.",
	catalog.TableInstruments: "Stocks and ETFs, one row per symbol.",
	catalog.TableCalendar:    "Trading calendar, one row per exchange and day.",
}

// Tables lists the tables of rows, references first. A table that several datasets fill has
// all of their columns.
func Tables() []Table {
	var out []Table
	for _, d := range catalog.Datasets() {
		i := slices.IndexFunc(out, func(t Table) bool { return t.Name == d.Table })
		if i < 0 {
			i = len(out)
			out = append(out, Table{Name: d.Table, Doc: docs[d.Table], Key: keyOf(d)})
		}
		for _, c := range d.Columns {
			t := &out[i]
			if !slices.ContainsFunc(t.Columns, func(have catalog.Column) bool { return have.Stored == c.Stored }) {
				t.Columns = append(t.Columns, c)
			}
			if t.Name == catalog.TableInstruments && len(t.Columns) == 1 {
				t.Columns = append(t.Columns, catalog.Column{
					Stored: KindColumn, Type: table.Text, Doc: "stock or etf, told by the code range.", Required: true,
				})
			}
		}
	}
	return out
}

// Columns are the dataset's columns in order, followed by those of its table that only
// other datasets fill: a user may have filled them. The kind is omitted, because it
// separates the rows of the datasets.
func Columns(d *catalog.Dataset) []catalog.Column {
	out := slices.Clone(d.Columns)
	tables := Tables()
	for _, c := range tables[slices.IndexFunc(tables, func(t Table) bool { return t.Name == d.Table })].Columns {
		if c.Stored != KindColumn && !slices.ContainsFunc(out, func(have catalog.Column) bool { return have.Stored == c.Stored }) {
			out = append(out, c)
		}
	}
	return out
}

// Held is an empty batch for rows from the file, with all Columns, and their stored names
// as the column list of a query.
func Held(d *catalog.Dataset, size int) (b *table.Batch, names string) {
	l := layouts()[d.ID]
	return table.New(l.specs, size), l.names
}

type layout struct {
	specs []table.Spec
	names string
}

// layouts are cached: they are needed once per symbol and date.
var layouts = sync.OnceValue(func() map[string]layout {
	out := make(map[string]layout)
	for _, d := range catalog.Datasets() {
		columns := Columns(d)
		specs, quoted := make([]table.Spec, len(columns)), make([]string, len(columns))
		for i, c := range columns {
			specs[i], quoted[i] = table.Spec{Name: c.Provider, Type: c.Type}, `"`+c.Stored+`"`
		}
		out[d.ID] = layout{specs, strings.Join(quoted, ", ")}
	}
	return out
})

// keyOf names the key columns of a dataset's rows, by their stored names.
func keyOf(d *catalog.Dataset) []string {
	switch {
	case d.Table == catalog.TableCalendar:
		return []string{"exchange", "cal_date"}
	case d.Snapshot:
		return []string{"symbol"}
	}
	return []string{"symbol", "trade_date"}
}
