package tushare

import (
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// maxQuoted is how much of the provider's text is quoted, in bytes.
const maxQuoted = 300

// scrub makes text from outside safe to show: without the token in any encoding, on one
// line, and of limited length.
func scrub(s, token string) string {
	s = redact(s, token)
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return cut(strings.TrimSpace(s), maxQuoted)
}

// redact replaces the token in every encoding. No encoding is shorter than the token.
func redact(s, token string) string {
	if token == "" || len(s) < len(token) {
		return s
	}
	return markAll(token)(s)
}

// markAll replaces a token in every encoding in one pass, so that a token such as "tok" is
// not found in its own replacement. Most texts contain none, which is checked first.
func markAll(token string) func(s string) string {
	quoted, _ := json.Marshal(token) // a string always marshals
	const mark = "[token]"
	var spellings, pairs []string
	for _, s := range []string{token, url.QueryEscape(token), url.PathEscape(token), html.EscapeString(token), string(quoted[1 : len(quoted)-1])} {
		if !slices.Contains(spellings, s) {
			spellings, pairs = append(spellings, s), append(pairs, s, mark)
		}
	}
	replacer := strings.NewReplacer(pairs...)
	return func(s string) string {
		for _, spelling := range spellings {
			if strings.Contains(s, spelling) {
				return replacer.Replace(s)
			}
		}
		return s
	}
}

// shortest is the length from which a token is searched in rows. A shorter one, for example
// in a test, could be part of a name.
const shortest = 8

// redactRows removes a token that the provider returns as data from the batch, from row
// start on, and from the cells that could not be read.
func redactRows(b *table.Batch, start int, bad []table.BadCell, token string) {
	for i := range bad {
		bad[i].Raw = cut(scrub(bad[i].Raw, token), 80)
	}
	if len(token) < shortest {
		return
	}
	marks := markAll(token) // once for all rows
	for i := range b.Columns {
		if texts := b.Columns[i].Texts; b.Columns[i].Type == table.Text {
			for r := start; r < b.Len; r++ {
				if len(texts[r]) >= len(token) {
					texts[r] = marks(texts[r])
				}
			}
		}
	}
}
