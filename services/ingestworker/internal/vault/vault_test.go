package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

const secret = "s3cr3t0123456789abcdef0123456789abcdef0123456789abcdef01"

func open(t *testing.T, cfg Config) (*Vault, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v, &out
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestTokenFromEnvironmentIsTrimmed(t *testing.T) {
	v, _ := open(t, Config{Token: NewToken(" " + secret + "\n")})
	token, source, ok := v.Resolve("stock")
	if !ok || token.Reveal() != secret || source != Environment {
		t.Errorf("Resolve = %v of %d characters, %q, %v", token, len(token.Reveal()), source, ok)
	}
	value, print, ok := v.Token("etf")
	if !ok || value != secret || print != v.Fingerprint("etf") {
		t.Errorf("Token = %d characters, %q, %v", len(value), print, ok)
	}
}

func TestNoTokenResolves(t *testing.T) {
	v, _ := open(t, Config{})
	if token, _, ok := v.Resolve("stock"); ok || token.Reveal() != "" || v.Fingerprint("stock") != "" {
		t.Error("something resolved from nothing")
	}
}

func TestBothSourcesAreRefused(t *testing.T) {
	_, err := New(Config{DataDir: t.TempDir(), Token: NewToken(secret), TokenFile: "token"})
	if !fault.Is(err, fault.InvalidArgument) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), secret) {
		t.Errorf("err = %v", err)
	}
}

func TestUnusableFileIsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": " \n", "two": secret + "\nsecond", "large": strings.Repeat("a", maxFile+1), "mark alone": byteOrderMark + "\n",
		"UTF-16": "\xff\xfet\x00o\x00", "unseen": secret + "\u200b",
	} {
		write(t, filepath.Join(dir, name), text, 0o600)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"absent", "empty", "two", "large", "mark alone", "UTF-16", "unseen", "pipe", "."} {
		_, err := New(Config{DataDir: dir, TokenFile: filepath.Join(dir, name)})
		if !fault.Is(err, fault.InvalidArgument) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	if _, err := New(Config{DataDir: dir, Token: NewToken(secret + " " + secret)}); !fault.Is(err, fault.InvalidArgument) || strings.Contains(err.Error(), secret) {
		t.Errorf("two words in the environment: err = %v", err)
	}
}

func TestFileIsReadAgainWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, secret+"\n", 0o600)
	v, out := open(t, Config{TokenFile: path})
	first := v.Fingerprint("stock")
	step := func(text string) {
		t.Helper()
		write(t, path, text, 0o600)
		later := time.Now().Add(time.Hour + time.Duration(len(text))*time.Second)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
	step("another-token")
	if token, _, ok := v.Resolve("stock"); !ok || token.Reveal() != "another-token" || v.Fingerprint("stock") == first {
		t.Error("the new token is not in use, or its fingerprint is the old one's")
	}
	step("")
	if token, _, ok := v.Resolve("stock"); !ok || token.Reveal() != "another-token" {
		t.Error("a file that is half written must not take the token away")
	}
	step(secret)
	if v.Fingerprint("stock") != first {
		t.Error("the same token must have the same fingerprint")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := v.Resolve("stock"); ok {
		t.Error("a file that was removed still resolves")
	}
	v.Resolve("stock")
	if n := strings.Count(out.String(), "was deleted"); n != 1 {
		t.Errorf("warned %d times of one removal", n)
	}
	write(t, path, secret, 0o600)
	if _, _, ok := v.Resolve("stock"); !ok {
		t.Error("the file is back and does not resolve")
	}
	if strings.Contains(out.String(), secret) || strings.Contains(out.String(), "another-token") {
		t.Errorf("log holds a token: %s", out)
	}
}

func TestWhatEditorsAddToAFileIsCutOff(t *testing.T) {
	dir := t.TempDir()
	for n, text := range []string{secret, secret + "\n", secret + "\r\n\r\n", byteOrderMark + secret + "\n", " \t" + secret + " "} {
		path := filepath.Join(dir, strconv.Itoa(n))
		write(t, path, text, 0o600)
		v, _ := open(t, Config{TokenFile: path})
		if token, _, ok := v.Resolve("stock"); !ok || token.Reveal() != secret {
			t.Errorf("%d: %d characters, %v", n, len(token.Reveal()), ok)
		}
	}
}

func TestWorldReadableFileIsWarnedAbout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, secret, 0o644)
	if _, out := open(t, Config{TokenFile: path}); !strings.Contains(out.String(), "chmod 600") {
		t.Errorf("log = %s", out)
	}
	write(t, path, secret, 0o600)
	if _, out := open(t, Config{TokenFile: path}); out.Len() > 0 {
		t.Errorf("log = %s", out)
	}
}

func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{DataDir: dir, Token: NewToken(secret)}
	a, _ := open(t, cfg)
	b, _ := open(t, cfg)
	other, _ := open(t, Config{Token: NewToken(secret)})
	print := a.Fingerprint("stock")
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(print) {
		t.Errorf("fingerprint %q", print)
	}
	if print != b.Fingerprint("stock") {
		t.Error("the fingerprint changed with a restart")
	}
	if print == other.Fingerprint("stock") {
		t.Error("two data directories give one token the same fingerprint, so it is not keyed")
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != keySize {
		t.Errorf("key file %v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeyIsMadeOnceByManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	prints := make([]string, 16)
	var wg sync.WaitGroup
	for i := range prints {
		wg.Go(func() {
			if v, err := New(Config{DataDir: dir, Token: NewToken(secret)}); err == nil {
				prints[i] = v.Fingerprint("")
			}
		})
	}
	wg.Wait()
	for _, p := range prints {
		if p == "" || p != prints[0] {
			t.Fatalf("fingerprints %v", prints)
		}
	}
}

func TestDamagedKeyIsToldApart(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, keyFile), "short", 0o600)
	if _, err := New(Config{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("err = %v", err)
	}
	if _, err := New(Config{DataDir: filepath.Join(dir, "absent")}); err == nil {
		t.Error("a key in a directory that is not there")
	}
}

// Whatever holds a token, however it is printed, must not show it.
func TestNothingPrintsTheToken(t *testing.T) {
	v, out := open(t, Config{Token: NewToken(secret)})
	token, _, _ := v.Resolve("stock")
	holder := struct {
		Public  Token
		private Token
		vault   *Vault
	}{token, token, v}
	cfg := Config{Token: token}
	things := []any{token, &token, v, holder, &holder, cfg, &cfg, []Token{token}, map[string]Token{"t": token}}
	var text strings.Builder
	for _, x := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%w"} {
			fmt.Fprintf(&text, verb+"\n", x)
		}
		raw, err := json.Marshal(x)
		if err != nil {
			t.Fatalf("%T: %v", x, err)
		}
		text.Write(raw)
		for _, h := range []slog.Handler{slog.NewJSONHandler(&text, nil), slog.NewTextHandler(&text, nil)} {
			slog.New(h).Info("m", "x", x)
		}
	}
	all := text.String() + out.String()
	for _, bad := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
		if strings.Contains(all, bad) {
			t.Fatalf("the token shows:\n%s", all)
		}
	}
	if !strings.Contains(all, redacted) || !strings.Contains(all, v.Fingerprint("")) {
		t.Error("neither the mark nor the fingerprint shows")
	}
}
