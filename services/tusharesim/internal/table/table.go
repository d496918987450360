// Package table defines the simulator's source of data: which rows a date has, in the provider's
// order, and how a row is written as JSON.
package table

import "github.com/afterbell/afterbell/services/tusharesim/internal/spec"

// Ref identifies a row by its trade date (YYYYMMDD) and the source's row number.
type Ref struct {
	Day int32
	Row int32
}

// Source is a source of data. It is safe for concurrent use.
type Source interface {
	// Snapshot returns an undated interface as of today (YYYYMMDD). market is
	// fund_basic's E or O, trade_cal's exchange, and empty for stock_basic.
	Snapshot(api *spec.API, market string, today int32) (*Table, error)
	// Days returns the dates from..to that may have rows, in ascending order.
	Days(api *spec.API, from, to int32) ([]int32, error)
	// Select appends the rows of a date in the provider's order. codes, which are sorted, limit it
	// to these symbols; nil means all.
	Select(dst []Ref, api *spec.API, day int32, codes []string) ([]Ref, error)
	// Code returns the ts_code of a row that Select returned.
	Code(api *spec.API, r Ref) string
	// Appender returns a writer of the given columns. It belongs to one
	// goroutine.
	Appender(api *spec.API, cols []int) Appender
}

// Appender writes rows.
type Appender interface {
	// AppendRow appends one row as a JSON array.
	AppendRow(dst []byte, r Ref) []byte
	// Cells returns the JSON text of each column.
	Cells(r Ref) []string
}

// Meta has the values for filters, including those of columns that a table lacks.
type Meta struct {
	Code, Status, Exchange, Market, Name string
	// Date is the list date, or the calendar day; 0 if unknown.
	Date int32
}

// Table is a set of rows whose cells are JSON texts, in the order of the interface's columns. It
// is immutable.
type Table struct {
	Rows [][]string
	Meta []Meta
	// Index has the row of each ts_code in dated tables; nil in others.
	Index map[string]int32
}

// TextAppender writes rows of tables.
type TextAppender struct {
	// Find returns the table of a row.
	Find func(r Ref) *Table
	// Cols are the columns to write.
	Cols []int
}

// AppendRow implements Appender.
func (a *TextAppender) AppendRow(dst []byte, r Ref) []byte {
	row := a.Find(r).Rows[r.Row]
	dst = append(dst, '[')
	for i, c := range a.Cols {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, row[c]...)
	}
	return append(dst, ']')
}

// Cells implements Appender.
func (a *TextAppender) Cells(r Ref) []string {
	row := a.Find(r).Rows[r.Row]
	out := make([]string, len(a.Cols))
	for i, c := range a.Cols {
		out[i] = row[c]
	}
	return out
}
