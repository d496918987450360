package ingest

import (
	"encoding/json"
	"hash/fnv"
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

// hashAnswer is the same for the same rows in any order, because some responses of the
// provider have no stable order.
func hashAnswer(b *table.Batch, rejects []rejected) uint64 {
	sum := b.Hash()
	for _, x := range rejects {
		h := fnv.New64a()
		h.Write([]byte(x.reason + x.row)) // a hash never fails
		sum += h.Sum64()
	}
	return sum*31 + uint64(b.Len)
}
