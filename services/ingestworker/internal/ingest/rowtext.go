package ingest

import (
	"encoding/json"
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// rowJSON is a row by the provider's column names, with the raw text of values
// that could not be read.
func rowJSON(b *table.Batch, r int, bad []table.BadCell) string {
	raw := map[string]string{}
	for _, x := range bad {
		if x.Row > r {
			break
		}
		if x.Row == r {
			raw[x.Column] = x.Raw
		}
	}
	var out strings.Builder
	out.WriteByte('{')
	for i := range b.Columns {
		c := &b.Columns[i]
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(strconv.Quote(c.Name) + ":")
		text, unread := raw[c.Name]
		switch {
		case unread:
			quoted, _ := json.Marshal(shown(text, mostText)) // a string always marshals
			out.Write(quoted)
		case c.Null[r]:
			out.WriteString("null")
		case c.Type == table.Text:
			quoted, _ := json.Marshal(shown(c.Texts[r], mostText)) // a string always marshals
			out.Write(quoted)
		case c.Type == table.Date:
			out.WriteString(`"` + c.Dates[r].Compact() + `"`)
		default:
			out.WriteString(strconv.FormatFloat(c.Numbers[r], 'g', -1, 64))
		}
	}
	out.WriteByte('}')
	return out.String()
}

// hashRow tells rows with other values apart.
func hashRow(b *table.Batch, r int) uint64 {
	h := fnv.New64a()
	var word [9]byte
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.Null[r] {
			h.Write([]byte{0}) // a hash never fails
			continue
		}
		if c.Type == table.Text {
			h.Write([]byte(c.Texts[r]))
			h.Write([]byte{1})
			continue
		}
		bits := uint64(0)
		if c.Type == table.Date {
			bits = uint64(uint32(c.Dates[r]))
		} else {
			bits = math.Float64bits(c.Numbers[r])
		}
		word[0] = 2
		for k := range 8 {
			word[k+1] = byte(bits >> (8 * k))
		}
		h.Write(word[:])
	}
	return h.Sum64()
}

// hashRows is the same for the same rows in any order, because the provider keeps
// no order in some replies.
func hashRows(b *table.Batch, rejects []rejected) uint64 {
	var sum uint64
	for r := range b.Len {
		sum += hashRow(b, r)
	}
	for _, x := range rejects {
		h := fnv.New64a()
		h.Write([]byte(x.reason + x.row)) // a hash never fails
		sum += h.Sum64()
	}
	return sum*31 + uint64(b.Len)
}
