package tushare

// interner keeps one string per symbol and numbers them, so that a whole market's
// history shares a few thousand strings and keys compare as integers. It belongs
// to one decoder at a time.
type interner struct {
	ids   map[string]int32
	texts []string
	bytes int
	// next is the symbol that came after one last time, -1 at first. Replies hold their
	// symbols in the same order, mostly, and then nothing is looked up.
	next []int32
	prev int32
}

// Bounds past which the table is started again, between fetches only.
const (
	maxInterned      = 1 << 15
	maxInternedBytes = 1 << 20
)

func (n *interner) begin() {
	if n.ids == nil || len(n.texts) > maxInterned || n.bytes > maxInternedBytes {
		*n = interner{ids: make(map[string]int32, 8192)}
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
	id, ok := n.ids[string(raw)]
	if !ok {
		s := string(raw)
		id = int32(len(n.texts))
		n.texts, n.next = append(n.texts, s), append(n.next, -1)
		n.ids[s] = id
		n.bytes += len(s)
	}
	if prev >= 0 {
		n.next[prev] = id
	}
	n.prev = id
	return id
}
