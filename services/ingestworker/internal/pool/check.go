package pool

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Check verifies before a write that a commit is one partition of the pool: its rows have
// the dataset's columns, are in the partition and have unique keys, and its records belong
// to the partition. A violation is a bug of the caller, and INTERNAL.
func Check(p market.Pool, c ingest.Commit) (*catalog.Dataset, error) {
	d := catalog.Lookup(c.Partition.Dataset)
	if d == nil {
		return nil, broken(c, "no dataset %q", c.Partition.Dataset)
	}
	part := c.Partition
	switch {
	case part.Pool != p:
		return nil, broken(c, "it is of pool %q, this is %s", part.Pool, p)
	case d.Snapshot && (part.Start != market.NoDate || part.End != market.NoDate || len(part.Symbols) > 0):
		return nil, broken(c, "a snapshot has neither dates nor symbols")
	case !d.Snapshot && (part.Start == market.NoDate || part.End < part.Start):
		return nil, broken(c, "its span %s..%s is not one", part.Start, part.End)
	case !d.Snapshot && p == market.Universe && (part.Start != part.End || len(part.Symbols) > 0):
		return nil, broken(c, "a partition of universe must be exactly one trade date")
	case !d.Snapshot && p == market.Targets && len(part.Symbols) == 0:
		return nil, broken(c, "a partition of targets must name its symbols")
	case len(c.Records) == 0:
		return nil, broken(c, "it has no coverage record")
	}
	in := within(p, d, part)
	recorded := make(map[coverage.Key]struct{}, len(c.Records))
	for i := range c.Records {
		if k := c.Records[i].Key; !in(k.Dataset, k.Symbol, k.Date, true) {
			return nil, broken(c, "the record of %s %s %s is of another partition", k.Dataset, k.Symbol, k.Date)
		}
		if _, twice := recorded[c.Records[i].Key]; twice {
			return nil, broken(c, "two records of %s %s", c.Records[i].Symbol, c.Records[i].Date)
		}
		recorded[c.Records[i].Key] = struct{}{}
	}
	for _, r := range c.Rejects {
		if r.Dataset != d.ID {
			return nil, broken(c, "a reject of %s is of another partition", r.Dataset)
		}
		if !utf8.ValidString(r.Reason) || !utf8.ValidString(r.Row) || !utf8.ValidString(r.Symbol) {
			return nil, broken(c, "a reject holds text that is not UTF-8")
		}
	}
	if c.Batch == nil {
		return d, nil
	}
	return d, checkRows(p, d, c, in)
}

// within reports whether a key is in a partition. A record's symbol must be empty in
// universe; a row's is that of the provider.
func within(p market.Pool, d *catalog.Dataset, part coverage.Partition) func(dataset, symbol string, date market.Date, record bool) bool {
	wanted := make(map[string]bool, len(part.Symbols))
	for _, s := range part.Symbols {
		wanted[s] = true
	}
	return func(dataset, symbol string, date market.Date, record bool) bool {
		if dataset != d.ID {
			return false
		}
		if d.Snapshot {
			return date == market.NoDate && (symbol == "" || !record)
		}
		if date < part.Start || date > part.End {
			return false
		}
		if p == market.Universe {
			return symbol == "" || !record
		}
		return wanted[symbol]
	}
}

func checkRows(p market.Pool, d *catalog.Dataset, c ingest.Commit, in func(string, string, market.Date, bool) bool) error {
	b := c.Batch
	if len(b.Columns) != len(d.Columns) {
		return broken(c, "it has %s, the dataset %d", fault.Count(len(b.Columns), "column", "columns"), len(d.Columns))
	}
	for i := range b.Columns {
		col, want := &b.Columns[i], &d.Columns[i]
		n := len(col.Texts)
		switch col.Type {
		case table.Date:
			n = len(col.Dates)
		case table.Number, table.Int:
			n = len(col.Numbers)
		}
		if col.Name != want.Provider || col.Type != want.Type || len(col.Null) != b.Len || n != b.Len {
			return broken(c, "column %d is not %s, or not of %s", i, want.Provider, fault.Count(b.Len, "row", "rows"))
		}
		for r, s := range col.Texts {
			if !utf8.ValidString(s) {
				return broken(c, "row %d has text in %s that is not UTF-8", r, col.Name)
			}
		}
	}
	texts, dates := KeyColumns(d, b)
	seen := table.NewKeys(texts, dates, b.Len)
	defer seen.Release()
	for r := range b.Len {
		var symbol string
		date := market.NoDate
		if texts != nil {
			symbol = texts.Texts[r]
		}
		if dates != nil {
			date = dates.Dates[r]
		}
		if symbol == "" || dates != nil && date == market.NoDate {
			return broken(c, "row %d has no key", r)
		}
		if _, added := seen.Add(r); !added {
			return broken(c, "%s %s comes twice", symbol, date)
		}
		if d.Snapshot {
			date = market.NoDate
		}
		if !in(d.ID, symbol, date, false) {
			return broken(c, "the row of %s %s lies outside the partition", symbol, date)
		}
		// A partition of prices replaces the rows of its kind, so a row of the other kind would
		// be duplicated by that kind's next commit.
		if d.Kind != "" && (d.Kind == market.ETF) != market.IsETF(symbol) {
			return broken(c, "%s is not of kind %s", symbol, d.Kind)
		}
	}
	return nil
}

// KeyColumns returns the columns of the key of a dataset's rows: a text (the symbol, or a
// calendar's exchange) and a date, which is nil for lists of instruments.
func KeyColumns(d *catalog.Dataset, b *table.Batch) (texts, dates *table.Column) {
	for _, name := range keyOf(d) {
		i := slices.IndexFunc(d.Columns, func(c catalog.Column) bool { return c.Stored == name })
		if b.Columns[i].Type == table.Date {
			dates = &b.Columns[i]
		} else {
			texts = &b.Columns[i]
		}
	}
	return texts, dates
}

func broken(c ingest.Commit, format string, args ...any) error {
	return fault.New(fault.Internal, fmt.Sprintf("The commit of %s is not well formed: %s.", c.Partition.ID, fmt.Sprintf(format, args...)))
}
