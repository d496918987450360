package market

import (
	_ "embed"
	"strings"
	"sync"
)

// beijingCodes has the codes of companies of Beijing until October 2025 with the codes that replaced
// them. Most new codes are 920 and the last three digits of the old one. If two would be equal, one
// of them has other digits, so there is no rule.
//
//go:embed beijing.csv
var beijingCodes string

var beijing = sync.OnceValue(func() map[string]string {
	codes := make(map[string]string, 256)
	for line := range strings.Lines(beijingCodes) {
		if old, now, ok := strings.Cut(strings.TrimSpace(line), ","); ok {
			codes[old+".BJ"] = now + ".BJ"
		}
	}
	return codes
})

// Renumbered is the new symbol of a Beijing company whose code changed in 2025; the new
// codes begin with 920. ok is false for any other symbol.
func Renumbered(symbol string) (current string, ok bool) {
	current, ok = beijing()[symbol]
	return current, ok
}

// ExchangeOf is the exchange that assigns such codes, by the first digit: SH for 5, 6 or 9,
// SZ for 0 to 3, BJ for 4, 8 or 92. Empty if none does.
func ExchangeOf(code string) string {
	switch {
	case len(code) != 6:
	case strings.HasPrefix(code, "92"), code[0] == '4', code[0] == '8':
		return "BJ"
	case code[0] >= '0' && code[0] <= '3':
		return "SZ"
	case code[0] == '5', code[0] == '6', code[0] == '9':
		return "SH"
	}
	return ""
}
