package table

import (
	"hash/maphash"
	"math/bits"
	"sync"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Places is a hash table of indexes into slices of its owner, which hold the keys. A map
// of the same keys needs six times the memory, and each fetch in progress has several
// tables. A slot is an index plus one, or 0 if it is free. At least half of the slots are
// free.
type Places []int32

// PlacesFor is an empty table with room for n indexes.
func PlacesFor(n int) Places {
	return make(Places, 1<<bits.Len(uint(max(2*n, 1<<8)-1)))
}

// HasRoom reports whether the table can hold n indexes.
func (p Places) HasRoom(n int) bool { return 2*n <= len(p) }

// Find returns the slot of the key with a hash, a free one if the key is new. is reports
// whether an index is the key's.
func (p Places) Find(hash uint64, is func(index int32) bool) *int32 {
	// The multiplication spreads consecutive hashes over the table.
	at := int(hash * 0x9e3779b97f4a7c15 >> (64 - bits.Len(uint(len(p)-1))))
	for {
		slot := &p[at]
		if *slot == 0 || is(*slot-1) {
			return slot
		}
		at = (at + 1) & (len(p) - 1)
	}
}

// Keys finds the rows of a batch by their keys: a text, a date, or both.
type Keys struct {
	texts  []string
	dates  []market.Date
	places Places
}

var seed = maphash.MakeSeed()

// released holds the tables of keys that are no longer needed.
var released sync.Pool

// NewKeys returns an empty set of keys for at most this many rows. Either column may be
// nil.
func NewKeys(texts, dates *Column, rows int) *Keys {
	k, ok := released.Get().(*Keys)
	if ok && k.places.HasRoom(rows) {
		clear(k.places)
	} else {
		k = &Keys{places: PlacesFor(rows)}
	}
	if texts != nil {
		k.texts = texts.Texts
	}
	if dates != nil {
		k.dates = dates.Dates
	}
	return k
}

// Release frees the memory for later keys. The keys must not be used afterwards.
func (k *Keys) Release() {
	k.texts, k.dates = nil, nil
	released.Put(k)
}

// Add adds a row. If a row with the same key was added before, added is false and first is
// that row.
func (k *Keys) Add(row int) (first int, added bool) {
	text, date := k.of(row)
	slot := k.slot(text, date)
	if *slot != 0 {
		return int(*slot - 1), false
	}
	*slot = int32(row + 1)
	return row, true
}

// Has reports whether a row with a key was added.
func (k *Keys) Has(text string, date market.Date) bool { return *k.slot(text, date) != 0 }

func (k *Keys) of(row int) (text string, date market.Date) {
	date = market.NoDate
	if k.texts != nil {
		text = k.texts[row]
	}
	if k.dates != nil {
		date = k.dates[row]
	}
	return text, date
}

func (k *Keys) slot(text string, date market.Date) *int32 {
	return k.places.Find(maphash.String(seed, text)+uint64(uint32(date)), func(row int32) bool {
		t, d := k.of(int(row))
		return d == date && t == text
	})
}
