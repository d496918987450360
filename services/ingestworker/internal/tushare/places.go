package tushare

import "math/bits"

// places is a hash table of indexes into slices of its owner, which hold the keys. Each
// fetch in progress has two of them, and a map of the same keys takes six times the
// memory. A slot holds an index plus one; 0 is free. At least half of the slots are.
type places []int32

// placesFor is an empty table with room for n indexes.
func placesFor(n int) places {
	return make(places, 1<<bits.Len(uint(max(2*n, 1<<10)-1)))
}

// hasRoom reports whether the table can hold n indexes.
func (p places) hasRoom(n int) bool { return 2*n <= len(p) }

// find returns the slot of the key with a hash, a free one if the key is new. is reports
// whether an index is the key's.
func (p places) find(hash uint64, is func(index int32) bool) *int32 {
	// Multiplied, numbers in a row end far apart in the high bits.
	at := int(hash * 0x9e3779b97f4a7c15 >> (64 - bits.Len(uint(len(p)-1))))
	for {
		slot := &p[at]
		if *slot == 0 || is(*slot-1) {
			return slot
		}
		at = (at + 1) & (len(p) - 1)
	}
}
