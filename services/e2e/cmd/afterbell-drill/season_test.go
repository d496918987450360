package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// drillBin is the folder of the programs whose clock can be set. They are built where
// AFTERBELL_DRILL_BIN does not name it.
func drillBin(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("AFTERBELL_DRILL_BIN"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	toolexec, err := writeClock(filepath.Join(dir, "clock"))
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-tags", "drill", "-toolexec", toolexec, "-o", dir+"/",
		"github.com/afterbell/afterbell/services/orchestrator/cmd/orchestrator",
		"github.com/afterbell/afterbell/services/ingestworker/cmd/ingest-worker")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the programs: %v\n%s", err, out)
	}
	return dir
}

// TestEightEvenings is a short season: after eight evenings with errors of the provider, the pools
// equal the provider, or an issue names the difference.
func TestEightEvenings(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: eight evenings take half a minute")
	}
	o := options{bin: drillBin(t), tmp: t.TempDir(), only: regexp.MustCompile(""), parallel: 1}
	for _, seed := range []uint64{3} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var out bytes.Buffer
			if err := runAll(t.Context(), o, []drill{eight(seed)}, &out); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}
