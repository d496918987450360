package tushare

import (
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"unicode"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// maxQuoted bounds how much of the provider's text is quoted, in bytes.
const maxQuoted = 300

// scrub makes foreign text fit to be shown: without the token in any spelling in
// which it may be echoed, on one line, and of bounded length.
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

// redact replaces the token in every spelling of it. No spelling is shorter than
// the token.
func redact(s, token string) string {
	if token == "" || len(s) < len(token) {
		return s
	}
	return spellings(token).Replace(s)
}

// spellings replaces a token in one pass, so that one such as "tok" is not looked for
// in its own mark.
func spellings(token string) *strings.Replacer {
	quoted, _ := json.Marshal(token) // a string always marshals
	const mark = "[token]"
	return strings.NewReplacer(token, mark, url.QueryEscape(token), mark, url.PathEscape(token), mark,
		html.EscapeString(token), mark, string(quoted[1:len(quoted)-1]), mark)
}

// shortest is the length from which a token is looked for in rows. A shorter one,
// as a test may use, could be part of a name.
const shortest = 8

// redactRows keeps a token that the provider echoes as data out of the batch, from
// row start on, and out of the cells that could not be read.
func redactRows(b *table.Batch, start int, bad []table.BadCell, token string) {
	for i := range bad {
		bad[i].Raw = cut(scrub(bad[i].Raw, token), 80)
	}
	if len(token) < shortest {
		return
	}
	marks := spellings(token) // once for all rows
	for i := range b.Columns {
		if texts := b.Columns[i].Texts; b.Columns[i].Type == table.Text {
			for r := start; r < b.Len; r++ {
				if len(texts[r]) >= len(token) {
					texts[r] = marks.Replace(texts[r])
				}
			}
		}
	}
}
