package fault

import (
	"strings"
	"unicode/utf8"
)

// MaxMeta is how much of what a caller sent is repeated in metadata, in bytes.
const MaxMeta = 80

// Clip shortens a text to at most so many bytes, between characters, and ends it with an
// ellipsis where it did.
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
