package sinktest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// Number formats a number as in a Row.
func Number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// rowsOf returns a batch of a dataset by trade date as rows of its table.
func rowsOf(dataset string, b *table.Batch) []Row {
	d := catalog.Lookup(dataset)
	out := make([]Row, b.Len)
	for i := range out {
		row := make(Row, len(b.Columns))
		for n := range b.Columns {
			c, name := &b.Columns[n], d.Columns[n].Stored
			switch {
			case c.Null[i]:
				row[name] = "NULL"
			case c.Type == table.Text:
				row[name] = c.Texts[i]
			case c.Type == table.Date:
				row[name] = c.Dates[i].String()
			default:
				row[name] = Number(c.Numbers[i])
			}
		}
		out[i] = row
	}
	Sort(out)
	return out
}

// Sort sorts rows by symbol and date, so that two dumps can be compared.
func Sort(rows []Row) {
	slices.SortFunc(rows, func(a, b Row) int {
		if c := strings.Compare(a["symbol"], b["symbol"]); c != 0 {
			return c
		}
		return strings.Compare(a["trade_date"], b["trade_date"])
	})
}
