package sealing

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
)

// What is sealed opens with its key only: the one that was made with it, or one that is
// given.
func TestSealAndOpen(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "key")
	k := Key{Variable: "AFTERBELL_X_KEY", Field: "x-key-file", Path: path, Comment: "opens x", Log: slog.New(slog.NewTextHandler(&log, nil))}
	b, err := New(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(nil); !errors.Is(err, ErrNoKey) || b.Where() != path {
		t.Errorf("without a key: %v, looked for at %s", err, b.Where())
	}
	sealed, err := b.Seal([]byte("a secret"))
	if err != nil || bytes.Contains(sealed, []byte("a secret")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), "# opens x\nAGE-SECRET-KEY-1") {
		t.Fatalf("%v", err)
	}
	given := k
	given.Path, given.Text = path+".none", string(text)
	elsewhere := k
	elsewhere.Path, elsewhere.File = path+".none", path
	for name, k := range map[string]Key{"the next start": k, "from a variable": given, "from a file": elsewhere} {
		b, err := New(k)
		if err != nil {
			t.Fatal(err)
		}
		if clear, err := b.Open(sealed); err != nil || string(clear) != "a secret" {
			t.Errorf("%s: %q, %v", name, clear, err)
		}
		if said := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(said, "AGE-SECRET") {
			t.Errorf("%s prints the key", name)
		}
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	given.Text = other.String()
	if b, err = New(given); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(sealed); err == nil || errors.Is(err, ErrNoKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := b.Open(sealed[:len(sealed)-1]); err == nil {
		t.Error("a part of it opens")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(k); err != nil || !strings.Contains(log.String(), "chmod 600") {
		t.Errorf("a key that others can read: %v, %s", err, &log)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxKey+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]Key{
		"both": {Text: "a", File: "b"}, "no key": {Text: "AGE-SECRET-KEY-1NOTHING"}, "not there": {File: filepath.Join(dir, "none")},
		"too large": {File: large}, "a directory": {Path: dir},
	} {
		k.Field, k.Variable = "x-key-file", "AFTERBELL_X_KEY"
		_, err := New(k)
		faulttest.Produces(t, err, fault.InvalidArgument)
		if f, _ := fault.As(err); f == nil || f.Meta["field"] != "x-key-file" || strings.Contains(err.Error(), "NOTHING") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := New(Key{Path: filepath.Join(dir, "no", "such", "key")})
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err := b.Seal([]byte("x")); err == nil {
		t.Errorf("sealed under a key that could not be kept: %d bytes", len(sealed))
	}
}
