package table

import "math"

// RowHashes is a 64-bit hash of each row. A value counts by its column's name and
// type, whatever the order of the columns; null counts as nothing, so that a column
// that is null throughout may as well be absent, and -0 counts as 0, which it
// equals. The hashes are stored in the pools' files: a change here makes all that is
// held look altered.
func (b *Batch) RowHashes() []uint64 {
	out := make([]uint64, b.Len)
	for i := range b.Columns {
		c := &b.Columns[i]
		salt := hashText(c.Name) + uint64(c.Type)
		switch c.Type {
		case Text:
			for r, v := range c.Texts {
				if !c.Null[r] {
					out[r] += scatter(salt + hashText(v))
				}
			}
		case Date:
			for r, v := range c.Dates {
				if !c.Null[r] {
					out[r] += scatter(salt + uint64(uint32(v)))
				}
			}
		default:
			for r, v := range c.Numbers {
				if !c.Null[r] {
					out[r] += scatter(salt + math.Float64bits(v+0)) // -0 + 0 is 0
				}
			}
		}
	}
	for r, h := range out {
		out[r] = scatter(h) // rows are summed: without this, two could swap values unseen
	}
	return out
}

// Hash is that of all rows together, in whatever order they stand; 0 for none.
func (b *Batch) Hash() uint64 {
	var sum uint64
	for _, h := range b.RowHashes() {
		sum += h
	}
	return sum
}

// scatter is the finalizer of SplitMix64: every bit of h changes half of the result's.
func scatter(h uint64) uint64 {
	h = (h ^ h>>30) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>27) * 0x94D049BB133111EB
	return h ^ h>>31
}

// hashText is FNV-1a, without the allocations of hash/fnv.
func hashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
