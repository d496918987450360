package run

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
)

// Revision is one value that a pool held and that a later answer of the provider
// changed or removed.
type Revision struct {
	// ID counts the revisions of the pool in the order in which they were written.
	ID int64 `json:"id"`
	// Dataset it belongs to, and the row's Symbol; of a calendar its exchange.
	Dataset string `json:"dataset"`
	Symbol  string `json:"symbol"`
	// Date of the row; NoDate in lists.
	Date market.Date `json:"date"`
	// Column of the pool's table.
	Column string `json:"column"`
	// Old and New are the values as text; nil is null.
	Old *string `json:"old"`
	New *string `json:"new"`
	// Change is "changed", "dropped" or "renamed".
	Change string `json:"change"`
	// SeenAt is when it was committed, and RunID on whose behalf.
	SeenAt time.Time `json:"seenAt"`
	RunID  string    `json:"runId"`
}

// Revised sums up the values that a partition or a run changed or removed.
type Revised struct {
	// Values that changed or went, and the Rows that they belong to.
	Values int64 `json:"values"`
	Rows   int64 `json:"rows"`
	// Largest is the one whose number changed most in relation to the old number;
	// without a change of a number the first.
	Largest Revision `json:"largest"`
	// Change is by how much that was, as a share of the old number. 0 when no number
	// changed.
	Change float64 `json:"change"`
}

// Add counts what another partition changed. Either may be nil.
func (r *Revised) Add(more *Revised) *Revised {
	switch {
	case more == nil:
		return r
	case r == nil:
		sum := *more
		return &sum
	}
	sum := *r
	if more.Change > sum.Change {
		sum.Largest, sum.Change = more.Largest, more.Change
	}
	sum.Values, sum.Rows = sum.Values+more.Values, sum.Rows+more.Rows
	return &sum
}

// sentence returns a text that says what changed.
func (r *Revised) sentence() bilingual.Text {
	text := bilingual.Say("%s in %s of the stored data changed or disappeared; the old values are kept in revisions.", "已存数据的 %[2]s中有 %[1]s改变或消失；旧值保留在 revisions 中。",
		count(int(r.Values), value), count(int(r.Rows), row))
	l := r.Largest
	if r.Change == 0 || l.Old == nil || l.New == nil {
		return text
	}
	return text.And(bilingual.Say("The largest change: %s of %s on %s was %s and is now %s (%s).", "最大的改变：%[2]s 在 %[3]s 的 %[1]s 原为 %[4]s，现为 %[5]s（%[6]s）。",
		l.Column, l.Symbol, l.Date, *l.Old, *l.New, l.Dataset))
}
