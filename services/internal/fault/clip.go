package fault

import (
	"strings"
	"unicode/utf8"
)

// MaxMeta is how much of a caller's text is repeated in metadata, in bytes.
const MaxMeta = 80

// Clip shortens a text to at most so many bytes, at a character boundary; a shortened text
// ends with an ellipsis.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const dots = "…"
	cut := max(most-len(dots), 0)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strings.TrimSpace(text[:cut]) + dots
}
