package tushare

import (
	"net/url"
	"strings"
	"unicode"
)

// maxQuoted bounds how much of the provider's text is quoted, in bytes.
const maxQuoted = 300

// scrub makes foreign text fit to be shown: without the token in any spelling in
// which it may be echoed, on one line, and of bounded length.
func scrub(s, token string) string {
	if token != "" {
		// In one pass, so that a token such as "tok" is not looked for in its own mark.
		s = strings.NewReplacer(token, "[token]", url.QueryEscape(token), "[token]", url.PathEscape(token), "[token]").Replace(s)
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return cut(strings.TrimSpace(s), maxQuoted)
}
