package atomicfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/afterbell/afterbell/services/internal/atomicfile"
)

func TestWrite(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	dir := t.TempDir()
	path := filepath.Join(dir, "limits.json")
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, path+".tmp"); err != nil { // as a killed writer may leave a file
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		mode fs.FileMode
	}{{"first, and longer", 0o644}, {"second", 0o600}} {
		if err := atomicfile.Write(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != c.text {
			t.Errorf("the file has %q, %v; want %q", got, err, c.text)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != c.mode {
			t.Errorf("the mode is %v, %v; want %v", info.Mode(), err, c.mode)
		}
	}
	if got, err := os.ReadFile(elsewhere); err != nil || string(got) != "kept" {
		t.Errorf("the target of a link is %q, %v", got, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the directory has %v, %v; want one file", files, err)
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("x"), 0o600); err == nil {
		t.Error("a file replaced a directory")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 || !files[0].IsDir() {
		t.Errorf("the directory has %v, %v; want only the old entry", files, err)
	}
	if err := atomicfile.Write(filepath.Join(dir, "missing", "x"), nil, 0o600); err == nil {
		t.Error("a file was written to a directory that does not exist")
	}
}
