package table

import (
	"math"
	"slices"

	"github.com/afterbell/afterbell/services/internal/market"
)

// RowHashes is a 64-bit hash of each row. It depends on the values and the names and types
// of their columns, but not on the order of the columns. A null has no effect, so that a
// column of nulls equals an absent column; -0 counts as 0. The hashes are stored in the
// pools' files: after a change here all stored data would look altered.
func (b *Batch) RowHashes() []uint64 {
	out := make([]uint64, b.Len)
	for i := range b.Columns {
		c := &b.Columns[i]
		null := c.Null
		if !slices.Contains(null, true) {
			null = nil
		}
		switch h := HashOf(c.Name, c.Type); c.Type {
		case Text:
			for r, v := range c.Texts {
				if null == nil || !null[r] {
					out[r] += h.Text(HashText(v))
				}
			}
		case Date:
			h.Dates(out, c.Dates, null)
		default:
			h.Numbers(out, c.Numbers, null)
		}
	}
	for r, h := range out {
		out[r] = HashRow(h)
	}
	return out
}

// ColumnHash adds the values of one column to the hashes of rows that are not in a Batch.
// The zero value is for no column.
type ColumnHash struct{ salt uint64 }

// HashOf returns the hash of a column with the provider's name and a type.
func HashOf(name string, t Type) ColumnHash { return ColumnHash{HashText(name) + uint64(t)} }

// Numbers adds a column of numbers to rows of the same length. null marks the null values;
// nil means that there are none.
func (h ColumnHash) Numbers(rows []uint64, values []float64, null []bool) {
	rows = rows[:len(values)]
	if null == nil {
		for r, v := range values {
			rows[r] += scatter(h.salt + math.Float64bits(v+0)) // -0 + 0 is 0
		}
		return
	}
	null = null[:len(values)]
	for r, v := range values {
		if !null[r] {
			rows[r] += scatter(h.salt + math.Float64bits(v+0))
		}
	}
}

// Dates adds a column of dates to rows, as Numbers does.
func (h ColumnHash) Dates(rows []uint64, values []market.Date, null []bool) {
	for r, v := range values {
		if null == nil || !null[r] {
			rows[r] += scatter(h.salt + uint64(uint32(v)))
		}
	}
}

// Text returns what a text of the column adds to its row. hash is HashText of the text.
func (h ColumnHash) Text(hash uint64) uint64 { return scatter(h.salt + hash) }

// HashRow finishes the hash of a row. Hash adds the rows up; without this step, two rows
// that exchange values would have the same sum.
func HashRow(sum uint64) uint64 { return scatter(sum) }

// Hash is the hash of all rows, in any order; 0 for none.
func (b *Batch) Hash() uint64 {
	var sum uint64
	for _, h := range b.RowHashes() {
		sum += h
	}
	return sum
}

// scatter is the finalizer of SplitMix64: every bit of h changes half of the bits of the
// result.
func scatter(h uint64) uint64 {
	h = (h ^ h>>30) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>27) * 0x94D049BB133111EB
	return h ^ h>>31
}

// HashText is FNV-1a, without the allocations of hash/fnv.
func HashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
