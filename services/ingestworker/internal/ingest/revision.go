package ingest

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Value is one value of a revision as text: a number in its shortest exact form, a date as
// "YYYY-MM-DD", a text unchanged.
type Value struct {
	// Text is the value. Empty for null, and for an empty text.
	Text string
	// Set is false for null.
	Set bool
}

// ChangeKind is what happened to a stored value.
type ChangeKind string

// The kinds.
const (
	// ValueChanged: a different value in a row that stayed, also to null.
	ValueChanged ChangeKind = "changed"
	// RowDropped: a value of a row that the provider no longer has.
	RowDropped ChangeKind = "dropped"
	// CodeReplaced: the code of a company that has a new one. Its rows were moved, and are not
	// listed one by one.
	CodeReplaced ChangeKind = "renamed"
)

// Revision is one stored value that a later response of the provider changed or removed. It
// is stored in the transaction that changed the value.
type Revision struct {
	// ID numbers the revisions of a pool in the order in which they were written,
	// from 1.
	ID int64
	// Dataset is its name in the catalog.
	Dataset string
	// Symbol of the row; for a calendar, its exchange.
	Symbol string
	// Date is the row's trade date, or a calendar's day; NoDate for lists.
	Date market.Date
	// Column is the column's name in the pool's table.
	Column string
	// Old is the previous value, New the new one. New is null if the row was removed.
	Old, New Value
	// Kind of the change.
	Kind ChangeKind
	// SeenAt is when the change was committed, to the millisecond.
	SeenAt time.Time
	// RunID of the run.
	RunID string
}

// Revised summarizes the revisions of a commit.
type Revised struct {
	// Cells is how many values changed or were removed; Of is how many rows were stored.
	Cells, Of int64
	// Largest is the revision with the largest relative change of a number. If no number
	// changed, it is the first. The zero value if Cells is 0.
	Largest Revision
	// Change is that relative change, as a share of the old number, or of the new one if the
	// old one is 0. 0 if no number changed.
	Change float64
}

// Add counts more revisions.
func (r *Revised) Add(more Revised) {
	if more.Cells > 0 && (r.Cells == 0 || more.Change > r.Change) {
		r.Largest, r.Change = more.Largest, more.Change
	}
	r.Cells, r.Of = r.Cells+more.Cells, r.Of+more.Of
}

// RevisionQuery selects revisions. Zero values select all.
type RevisionQuery struct {
	// Dataset, Symbol and RunID as in Revision.
	Dataset, Symbol, RunID string
	// Start and End bound the trade dates, inclusive; NoDate is open. A bound leaves
	// lists out.
	Start, End market.Date
	// Before selects revisions with a lower ID; 0 means from the newest on.
	Before int64
	// Limit is the largest number to return; it must be above 0.
	Limit int
}
