package pool

import (
	"math"
	"strconv"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// RevisionsTable is the table of revisions in both pools' files.
const RevisionsTable = "revisions"

// Revise passes every value that the new rows change or remove to keep, and stops at its
// error: the changed columns of a changed row, and all values of a removed row. The
// revisions have seenAt and runID and are numbered from next.
func Revise(d *catalog.Dataset, diff Diff, before, after *table.Batch, runID string, seenAt time.Time, next int64, keep func(*ingest.Revision) error) (ingest.Revised, error) {
	sum := ingest.Revised{Of: int64(before.Len)}
	if len(diff.Changed)+len(diff.Gone) == 0 {
		return sum, nil
	}
	texts, dates := KeyColumns(d, before)
	columns := Columns(d)
	r := ingest.Revision{Dataset: d.ID, SeenAt: seenAt.UTC().Truncate(time.Millisecond), RunID: runID}
	at := func(row int) {
		r.Symbol, r.Date = texts.Texts[row], market.NoDate
		if dates != nil {
			r.Date = dates.Dates[row]
		}
	}
	add := func(change float64) error {
		r.ID = next + sum.Cells
		if sum.Cells == 0 || change > sum.Change {
			sum.Largest, sum.Change = r, change
		}
		sum.Cells++
		return keep(&r)
	}
	r.Kind = ingest.ValueChanged
	for n, row := range diff.Changed {
		was := diff.was[n]
		at(was)
		for c := range before.Columns {
			from := &before.Columns[c]
			var to *table.Column // nil if the dataset does not fill the column
			if c < len(after.Columns) {
				to = &after.Columns[c]
			}
			if equalCells(from, was, to, row) {
				continue
			}
			r.Column, r.Old, r.New = columns[c].Stored, valueOf(from, was), valueOf(to, row)
			if err := add(relative(from, was, to, row)); err != nil {
				return sum, err
			}
		}
	}
	r.Kind, r.New = ingest.RowDropped, ingest.Value{}
	for _, row := range diff.Gone {
		at(row)
		bare := true
		for c := range before.Columns {
			from := &before.Columns[c]
			if from.Null[row] || from == texts || from == dates {
				continue
			}
			bare, r.Column, r.Old = false, columns[c].Stored, valueOf(from, row)
			if err := add(0); err != nil {
				return sum, err
			}
		}
		if bare { // the row had nothing but its key: keep that it existed
			r.Column, r.Old = keyOf(d)[0], valueOf(texts, row)
			if err := add(0); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}

func valueOf(c *table.Column, i int) ingest.Value {
	if c == nil || c.Null[i] {
		return ingest.Value{}
	}
	switch c.Type {
	case table.Text:
		return ingest.Value{Text: c.Texts[i], Set: true}
	case table.Date:
		return ingest.Value{Text: c.Dates[i].String(), Set: true}
	}
	return ingest.Value{Text: strconv.FormatFloat(c.Numbers[i], 'f', -1, 64), Set: true}
}

// relative is the relative change of a number: a share of the old number, or of the new one
// if the old one is 0; 0 if one of them is not a number.
func relative(from *table.Column, i int, to *table.Column, j int) float64 {
	if to == nil || from.Null[i] || to.Null[j] || from.Type != table.Number && from.Type != table.Int {
		return 0
	}
	was, is := from.Numbers[i], to.Numbers[j]
	if was == 0 {
		return 1
	}
	return math.Abs((is - was) / was)
}
