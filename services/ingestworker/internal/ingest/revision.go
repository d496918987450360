package ingest

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Value is one value of a revision as text: a number in the shortest form that reads
// back as the same number, a date as "YYYY-MM-DD", a text as it is.
type Value struct {
	// Text is the value. Empty for null, and for a text that is empty.
	Text string
	// Set is false for null.
	Set bool
}

// ChangeKind is what happened to a value that was held.
type ChangeKind string

// The kinds.
const (
	// ValueChanged is another value in a row that stayed, or null in place of one.
	ValueChanged ChangeKind = "changed"
	// RowDropped is a value of a row that the provider no longer has.
	RowDropped ChangeKind = "dropped"
	// CodeReplaced is the code of a company that has another now. Its rows were moved,
	// and are not listed one by one.
	CodeReplaced ChangeKind = "renamed"
)

// Revision is one value that a pool held and that a later answer of the provider
// changed or removed. It is kept in the pool's file in the transaction that changed
// it.
type Revision struct {
	// ID numbers the revisions of a pool in the order in which they were written,
	// from 1.
	ID int64
	// Dataset is its name in the catalog.
	Dataset string
	// Symbol of the row; of a calendar its exchange.
	Symbol string
	// Date is the row's trade date, or a calendar's day; NoDate in lists.
	Date market.Date
	// Column is the column's name in the pool's table.
	Column string
	// Old is what was held, New what came. New is null where the row was dropped.
	Old, New Value
	// Kind tells a value that changed from one whose row was dropped.
	Kind ChangeKind
	// SeenAt is when the change was committed, to the millisecond.
	SeenAt time.Time
	// RunID on whose behalf.
	RunID string
}

// Revised sums up the revisions of a commit.
type Revised struct {
	// Cells is how many values changed or went; Of is how many rows were held.
	Cells, Of int64
	// Largest is the revision that changed its number most, in relation to the old
	// one. Without a change of a number it is the first. The zero value when Cells is 0.
	Largest Revision
	// Change is by how much that was, as a share of the old number; of the new one
	// where the old is 0. 0 when no number changed.
	Change float64
}

// Add counts more revisions.
func (r *Revised) Add(more Revised) {
	if more.Cells > 0 && (r.Cells == 0 || more.Change > r.Change) {
		r.Largest, r.Change = more.Largest, more.Change
	}
	r.Cells, r.Of = r.Cells+more.Cells, r.Of+more.Of
}

// RevisionQuery selects revisions. Zero values select everything.
type RevisionQuery struct {
	// Dataset, Symbol and RunID as in Revision.
	Dataset, Symbol, RunID string
	// Start and End bound the trade dates, inclusive; NoDate is open. A bound leaves
	// lists out.
	Start, End market.Date
	// Before selects revisions with a lower ID; 0 means from the newest on.
	Before int64
	// Limit is the most that is returned; it must be above 0.
	Limit int
}
