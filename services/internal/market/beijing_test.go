package market

import (
	"strings"
	"testing"
)

func TestRenumbered(t *testing.T) {
	for old, want := range map[string]string{
		"830799.BJ": "920799.BJ", "430047.BJ": "920047.BJ", "835892.BJ": "920992.BJ", "831167.BJ": "920267.BJ",
		"920799.BJ": "", "830799.SZ": "", "600519.SH": "", "839999.BJ": "",
	} {
		if got, ok := Renumbered(old); got != want || ok != (want != "") {
			t.Errorf("%s became %q, %v, not %q", old, got, ok, want)
		}
	}
	seen := map[string]string{}
	for old, now := range beijing() {
		if !wellFormed(old) || !wellFormed(now) || !strings.HasPrefix(now, "920") || strings.HasPrefix(old, "92") || ExchangeOf(old[:6]) != "BJ" {
			t.Errorf("%s became %s", old, now)
		}
		if other, taken := seen[now]; taken {
			t.Errorf("%s and %s both became %s", old, other, now)
		}
		seen[now] = old
	}
	if len(seen) != 248 {
		t.Errorf("%d codes were replaced", len(seen))
	}
}

func TestExchangeOf(t *testing.T) {
	for code, want := range map[string]string{
		"600519": "SH", "688981": "SH", "900901": "SH", "510300": "SH", "000001": "SZ", "300750": "SZ", "159915": "SZ",
		"830799": "BJ", "430047": "BJ", "920799": "BJ", "700000": "", "12345": "", "": "",
	} {
		if got := ExchangeOf(code); got != want {
			t.Errorf("%s is of %q, not %q", code, got, want)
		}
	}
}
