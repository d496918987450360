package tushare

// interner keeps one string per symbol and numbers them, so that a whole market's
// history shares a few thousand strings and keys compare as integers. It belongs
// to one decoder at a time.
type interner struct {
	ids   map[string]int32
	texts []string
	bytes int
}

// Bounds past which the table is started anew, between fetches only.
const (
	maxInterned      = 1 << 15
	maxInternedBytes = 1 << 20
)

func (n *interner) begin() {
	if n.ids == nil || len(n.texts) > maxInterned || n.bytes > maxInternedBytes {
		n.ids, n.texts, n.bytes = make(map[string]int32, 8192), nil, 0
	}
}

func (n *interner) id(raw []byte) int32 {
	if id, ok := n.ids[string(raw)]; ok {
		return id
	}
	s := string(raw)
	id := int32(len(n.texts))
	n.texts = append(n.texts, s)
	n.ids[s] = id
	n.bytes += len(s)
	return id
}
