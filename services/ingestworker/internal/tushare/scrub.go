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
		for _, spelling := range []string{token, url.QueryEscape(token), url.PathEscape(token)} {
			s = strings.ReplaceAll(s, spelling, "[token]")
		}
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return cut(strings.TrimSpace(s), maxQuoted)
}
