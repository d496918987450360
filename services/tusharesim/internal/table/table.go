// Package table is what the simulator asks of a body of data: which rows a
// date has, in the provider's order, and how a row is written as JSON.
package table

import "github.com/afterbell/afterbell/services/tusharesim/internal/spec"

// Ref names one row: a trade date (YYYYMMDD) and the source's own row number.
type Ref struct {
	Day int32
	Row int32
}

// Source is a body of data. It is safe for concurrent use.
type Source interface {
	// Snapshot returns an undated interface as of today (YYYYMMDD). market is
	// fund_basic's E or O, trade_cal's exchange, and empty for stock_basic.
	Snapshot(api *spec.API, market string, today int32) (*Table, error)
	// Days returns, ascending, the dates from..to that may have rows.
	Days(api *spec.API, from, to int32) ([]int32, error)
	// Select appends one date's rows in the provider's order. codes, sorted,
	// narrows to these symbols; nil means all.
	Select(dst []Ref, api *spec.API, day int32, codes []string) ([]Ref, error)
	// Code returns the ts_code of a row got from Select.
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

// Meta is what filters look at, present also where a column is not.
type Meta struct {
	Code, Status, Exchange, Market, Name string
	// Date is the list date, or the calendar day; 0 when unknown.
	Date int32
}

// Table is a set of rows whose cells are JSON text already, in the order of the
// interface's columns. It is immutable once built.
type Table struct {
	Rows [][]string
	Meta []Meta
	// Index finds a row by ts_code in dated tables; nil elsewhere.
	Index map[string]int32
}

// TextAppender writes rows of tables.
type TextAppender struct {
	// Find returns the table a row belongs to.
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
