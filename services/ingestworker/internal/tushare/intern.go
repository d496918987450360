package tushare

import (
	"hash/maphash"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// interner stores each symbol once and gives it a number. So the history of a market
// shares a few thousand strings, and keys are compared as integers. It belongs to one
// decoder.
type interner struct {
	ids   table.Places
	seed  maphash.Seed
	texts []string
	bytes int
	// next is, for each symbol, the one that followed it in the last reply; -1 if unknown.
	// Most replies have their symbols in the same order, so that no lookup is needed.
	next []int32
	prev int32
}

// A table that exceeds one of these limits is emptied before the next fetch.
const (
	maxInterned      = 1 << 15
	maxInternedBytes = 1 << 20
)

func (n *interner) begin() {
	if n.ids == nil || len(n.texts) > maxInterned || n.bytes > maxInternedBytes {
		*n = interner{ids: table.PlacesFor(0), seed: maphash.MakeSeed()}
	}
	n.prev = -1
}

func (n *interner) id(raw []byte) int32 {
	prev := n.prev
	if prev >= 0 {
		if id := n.next[prev]; id >= 0 && n.texts[id] == string(raw) {
			n.prev = id
			return id
		}
	}
	slot := n.slot(raw)
	if *slot == 0 {
		s := string(raw)
		n.texts, n.next = append(n.texts, s), append(n.next, -1)
		n.bytes += len(s)
		*slot = int32(len(n.texts))
		if !n.ids.HasRoom(len(n.texts) + 1) {
			n.ids = table.PlacesFor(2 * len(n.texts))
			for i, text := range n.texts {
				*n.slot([]byte(text)) = int32(i + 1)
			}
			slot = n.slot(raw)
		}
	}
	id := *slot - 1
	if prev >= 0 {
		n.next[prev] = id
	}
	n.prev = id
	return id
}

func (n *interner) slot(raw []byte) *int32 {
	return n.ids.Find(maphash.Bytes(n.seed, raw), func(id int32) bool { return n.texts[id] == string(raw) })
}
