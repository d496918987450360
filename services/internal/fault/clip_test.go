package fault

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClipCutsBetweenCharacters(t *testing.T) {
	for _, text := range []string{strings.Repeat("深", 60), "a" + strings.Repeat("深", 60), "aa" + strings.Repeat("深", 60), strings.Repeat("x", 300)} {
		got := Clip(text, MaxMeta)
		if !utf8.ValidString(got) || len(got) > MaxMeta || len(got) < MaxMeta-5 || !strings.HasSuffix(got, "…") || !strings.HasPrefix(text, strings.TrimSuffix(got, "…")) {
			t.Errorf("%q became %q, %d bytes", text, got, len(got))
		}
	}
	if short := strings.Repeat("x", MaxMeta); Clip(short, MaxMeta) != short {
		t.Error("a text that fits is changed")
	}
}
