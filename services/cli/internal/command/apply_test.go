package command

import (
	"os"
	"testing"
)

// The sample in examples is read, and an empty list is not the same as none.
func TestApplyFile(t *testing.T) {
	text, err := os.ReadFile("../../../../examples/afterbell.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w, err := parseWanted(text)
	if err != nil || w.Schedule["run_at"] != "19:30" || len(w.Settings) == 0 || len(w.Modules) != 1 || w.Targets != nil {
		t.Errorf("%+v, %v", w, err)
	}
	for text, empty := range map[string]bool{"targets: {symbols: []}": true, "targets: {}": false} {
		w, err := parseWanted([]byte(text))
		if err != nil || w.Targets == nil || (w.Targets.Symbols != nil) != empty {
			t.Errorf("%s: %+v, %v", text, w, err)
		}
	}
}
