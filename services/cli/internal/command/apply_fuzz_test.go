package command

import (
	"testing"

	"github.com/goccy/go-yaml"
)

// Whatever a file says, it is read or refused in one line.
func FuzzApplyFile(f *testing.F) {
	for _, s := range []string{
		"", "schedule:\n  run_at: \"19:30\"\n  pools: [universe, targets]\n", "settings: {order_wait: 5m, dispatch_width: 8}\nmodules: {stock.moneyflow: false}\n",
		"targets:\n  symbols: [600519.SH]\n", "domains: {etf: true}\n---\nx: 1\n", "a: &a [*a]\n", "targets: {symbols: 3}\n", "? {}\n: -", "\xff\xfe", "!!binary x", "{", "- - -",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		w, err := parseWanted(text)
		if err == nil && w == nil {
			t.Error("neither a file nor an error")
		}
		if err != nil && oneLine(yaml.FormatError(err, false, false)) == "" {
			t.Errorf("a refusal without a word: %v", err)
		}
	})
}
