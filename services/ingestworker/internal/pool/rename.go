package pool

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Identity identifies a company independently of its code: no two companies of a list share
// both fields.
type Identity struct {
	// Name and Listed are from the list.
	Name   string
	Listed string
}

// Lists reports whether a dataset is a list of instruments.
func Lists(d *catalog.Dataset) bool { return d.Table == catalog.TableInstruments }

// identities are those of the rows of a list, by symbol. A row without a name or a day is
// omitted.
func identities(b *table.Batch) map[string]Identity {
	symbols, names, days := b.Column("ts_code"), b.Column("name"), b.Column("list_date")
	out := make(map[string]Identity, b.Len)
	for r := range b.Len {
		if !names.Null[r] && names.Texts[r] != "" && !days.Null[r] {
			out[symbols.Texts[r]] = Identity{names.Texts[r], days.Dates[r].String()}
		}
	}
	return out
}

// Renames finds the companies whose old code is no longer on the list and whose name and
// first day are there under exactly one other code. former are the identities of codes that
// the list had earlier.
func Renames(d *catalog.Dataset, former map[string]Identity, list *table.Batch) []ingest.Rename {
	codes := map[Identity][]string{}
	for symbol, id := range identities(list) {
		codes[id] = append(codes[id], symbol)
	}
	listed := make(map[string]bool, list.Len)
	for _, s := range list.Column("ts_code").Texts {
		listed[s] = true
	}
	claims := map[string]int{}
	for symbol, id := range former {
		if len(codes[id]) == 1 && !listed[symbol] {
			claims[codes[id][0]]++
		}
	}
	var out []ingest.Rename
	for symbol, id := range former {
		if listed[symbol] || len(codes[id]) != 1 {
			continue
		}
		if to := codes[id][0]; claims[to] == 1 && market.KindOf(symbol) == d.Kind && market.KindOf(to) == d.Kind {
			out = append(out, ingest.Rename{Old: symbol, New: to})
		}
	}
	slices.SortFunc(out, func(a, b ingest.Rename) int { return strings.Compare(a.Old, b.Old) })
	return out
}

// Dated are the datasets by trade date with rows of the kind of a list.
func Dated(list *catalog.Dataset) []*catalog.Dataset {
	return slices.DeleteFunc(slices.Clone(catalog.Datasets()), func(d *catalog.Dataset) bool { return d.Snapshot || d.Kind != list.Kind })
}

// ListOf is the list of the instruments of a dataset by trade date.
func ListOf(d *catalog.Dataset) *catalog.Dataset {
	all := catalog.Datasets()
	return all[slices.IndexFunc(all, func(list *catalog.Dataset) bool { return Lists(list) && list.Kind == d.Kind })]
}

// FormerWhere selects the revisions for a Former.
const FormerWhere = "trade_date IS NULL AND change IN ('dropped', 'renamed') AND column_name IN ('name', 'list_date', 'symbol')"

// Former collects what the revisions of a list say about its earlier codes. Add them in the
// order in which they were written.
type Former struct {
	ids      map[string]Identity
	replaced map[string]string
}

// Add adds one revision.
func (f *Former) Add(symbol, column, was, is string, kind ingest.ChangeKind) {
	if f.ids == nil {
		f.ids, f.replaced = map[string]Identity{}, map[string]string{}
	}
	id := f.ids[symbol]
	switch {
	case kind == ingest.CodeReplaced:
		f.replaced[symbol] = is
		return
	case kind != ingest.RowDropped:
		return
	case column == "name":
		id.Name = was
	case column == "list_date":
		id.Listed = was
	}
	f.ids[symbol] = id
}

// Identities are the identities of the codes for which both fields are known.
func (f *Former) Identities() map[string]Identity {
	out := make(map[string]Identity, len(f.ids))
	for symbol, id := range f.ids {
		if id.Name != "" && id.Listed != "" {
			out[symbol] = id
		}
	}
	return out
}

// Replaced are the codes that were replaced, each with its replacement.
func (f *Former) Replaced() map[string]string { return f.replaced }

// Rename sets the former codes of each instrument; a company may have had several.
func Rename(instruments []coverage.Instrument, replaced map[string]string) {
	at := make(map[string]int, len(instruments))
	for i := range instruments {
		at[instruments[i].Symbol] = i
	}
	for _, old := range slices.Sorted(maps.Keys(replaced)) {
		current := replaced[old]
		for range len(replaced) { // the longest chain, even if it is a cycle
			if _, listed := at[current]; listed {
				break
			}
			current = replaced[current]
		}
		if i, listed := at[current]; listed && old != current {
			instruments[i].Former = append(instruments[i].Former, old)
		}
	}
}

// Replaced is the revision of a rename.
func Replaced(d *catalog.Dataset, r ingest.Rename, runID string, seenAt time.Time, id int64) ingest.Revision {
	return ingest.Revision{
		ID: id, Dataset: d.ID, Symbol: r.Old, Date: market.NoDate, Column: "symbol", Kind: ingest.CodeReplaced,
		Old: ingest.Value{Text: r.Old, Set: true}, New: ingest.Value{Text: r.New, Set: true}, SeenAt: seenAt.UTC().Truncate(time.Millisecond), RunID: runID,
	}
}

// SameRows finds prices that are now under a different code: a removed row and a new row
// have equal values, and no other row has them. Two companies do not trade the same volume
// for the same amount at the same prices.
func SameRows(d *catalog.Dataset, diff Diff, before, after *table.Batch) []ingest.Rename {
	type values [9]float64
	read := func(b *table.Batch, row int) (v values, ok bool) {
		n := 0
		for c := range d.Columns {
			col := &b.Columns[c]
			if col.Type != table.Number {
				continue
			}
			if col.Null[row] || n == len(v) {
				return v, false
			}
			v[n] = col.Numbers[row]
			n++
		}
		volume := b.Column("vol")
		return v, n == len(v) && volume != nil && volume.Numbers[row] > 0
	}
	gather := func(b *table.Batch, rows []int) map[values][]string {
		symbols, _ := KeyColumns(d, b)
		out := map[values][]string{}
		for _, row := range rows {
			if v, ok := read(b, row); ok {
				out[v] = append(out[v], symbols.Texts[row])
			}
		}
		return out
	}
	came := gather(after, diff.New)
	var out []ingest.Rename
	for v, was := range gather(before, diff.Gone) {
		if is := came[v]; len(was) == 1 && len(is) == 1 {
			out = append(out, ingest.Rename{Old: was[0], New: is[0]})
		}
	}
	slices.SortFunc(out, func(a, b ingest.Rename) int { return strings.Compare(a.Old, b.Old) })
	return out
}
