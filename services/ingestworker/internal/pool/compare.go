package pool

import (
	"slices"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Diff is how a partition's rows differ from the stored ones, by key.
type Diff struct {
	// New and Changed are indexes of rows of the new batch, Gone of the old one.
	New, Changed, Gone []int
	// was are the rows of the old batch that Changed replaces.
	was []int
	// doubled is true if the old batch had a key twice.
	doubled bool
}

// Changes counts the rows of a Diff.
func (d Diff) Changes() ingest.Changes {
	return ingest.Changes{New: int64(len(d.New)), Changed: int64(len(d.Changed)), Gone: int64(len(d.Gone))}
}

// Empty reports whether both batches have the same rows.
func (d Diff) Empty() bool { return len(d.New)+len(d.Changed)+len(d.Gone) == 0 && !d.doubled }

// Compare matches the rows of the file with those of a batch by key and compares every
// column; null differs from 0 and from "". A row with a value in a column that the dataset
// does not fill counts as changed.
func Compare(d *catalog.Dataset, before, after *table.Batch) Diff {
	var diff Diff
	if before.Len == 0 { // a first fill
		diff.New = slices.Grow(diff.New, after.Len)
		for r := range after.Len {
			diff.New = append(diff.New, r)
		}
		return diff
	}
	keyBefore, keyAfter := keys(d, before), keys(d, after)
	held := make(map[rowKey]int, before.Len)
	for r := range before.Len {
		held[keyBefore(r)] = r
	}
	diff.doubled = len(held) < before.Len
	for r := range after.Len {
		key := keyAfter(r)
		was, ok := held[key]
		if !ok {
			diff.New = append(diff.New, r)
			continue
		}
		delete(held, key)
		if !equalRows(before, was, after, r) {
			diff.Changed, diff.was = append(diff.Changed, r), append(diff.was, was)
		}
	}
	for r := range before.Len {
		if was, left := held[keyBefore(r)]; left && was == r {
			diff.Gone = append(diff.Gone, r)
		}
	}
	return diff
}

type rowKey struct {
	text string
	date market.Date
}

func keys(d *catalog.Dataset, b *table.Batch) func(r int) rowKey {
	texts, dates := KeyColumns(d, b)
	return func(r int) rowKey {
		if dates == nil {
			return rowKey{texts.Texts[r], market.NoDate}
		}
		return rowKey{texts.Texts[r], dates.Dates[r]}
	}
}

func equalRows(a *table.Batch, i int, b *table.Batch, j int) bool {
	for c := range a.Columns {
		var y *table.Column // nil if the dataset does not fill the column
		if c < len(b.Columns) {
			y = &b.Columns[c]
		}
		if !equalCells(&a.Columns[c], i, y, j) {
			return false
		}
	}
	return true
}

// equalCells compares two values of one column; a nil column has only nulls.
func equalCells(x *table.Column, i int, y *table.Column, j int) bool {
	if y == nil {
		return x.Null[i]
	}
	if x.Null[i] || y.Null[j] {
		return x.Null[i] == y.Null[j]
	}
	switch x.Type {
	case table.Text:
		return x.Texts[i] == y.Texts[j]
	case table.Date:
		return x.Dates[i] == y.Dates[j]
	}
	return x.Numbers[i] == y.Numbers[j]
}

// Contents describes the rows that were read from a file.
func Contents(d *catalog.Dataset, b *table.Batch) ingest.Contents {
	out := ingest.Contents{Rows: int64(b.Len), Hash: b.Hash()}
	texts, dates := KeyColumns(d, b)
	seen := table.NewKeys(texts, dates, b.Len)
	defer seen.Release()
	for r := range b.Len {
		if _, added := seen.Add(r); !added {
			out.Duplicates++
		}
	}
	return out
}

// ByExchange counts the rows by the suffix of their symbols; lists of funds and calendars
// are not split.
func ByExchange(d *catalog.Dataset, b *table.Batch) (n coverage.ExchangeCounts) {
	if d.ID == catalog.FundBasic || d.ID == catalog.TradeCal {
		return n
	}
	symbols, _ := KeyColumns(d, b)
	for _, s := range symbols.Texts {
		n.Add(s)
	}
	return n
}
