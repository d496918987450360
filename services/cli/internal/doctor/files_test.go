package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Remedies can be pasted as they are, whatever the directory is called.
func TestRemediesQuoteTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's my data")
	if err := os.MkdirAll(filepath.Join(dir, ledgerFile), 0o755); err != nil { // a directory in the file's place
		t.Fatal(err)
	}
	d := &doctor{Options: Options{DataDir: dir, Commands: func(s string) string { return s }, Now: time.Now}}
	d.files()
	for _, f := range d.findings {
		if f.State != Wrong {
			continue
		}
		_, command, _ := strings.Cut(f.Remedy, ": ")
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", command, err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ledgerFile+".old")); err != nil {
		t.Errorf("the remedies moved nothing: %+v", d.findings)
	}
	if got := shellWord("/srv/afterbell-data"); got != "/srv/afterbell-data" {
		t.Errorf("a plain path became %s", got)
	}
}
