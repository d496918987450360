package vault

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
)

const other = "another-provider-token-0123456789"

func TestStoredTokensComeBeforeGivenOnes(t *testing.T) {
	dir := t.TempDir()
	v, _ := open(t, Config{DataDir: dir, Token: NewToken(secret)})
	given := v.Fingerprint("stock")
	if err := v.Set(Main, NewToken(other+"\n")); err != nil {
		t.Fatal(err)
	}
	if err := v.Set("etf", NewToken("third-token")); err != nil {
		t.Fatal(err)
	}
	check := func(v *Vault) {
		t.Helper()
		for domain, want := range map[string]struct {
			value  string
			source Source
		}{"stock": {other, Stored}, "etf": {"third-token", Domain}} {
			value, print, ok := v.Token(domain)
			if _, source, _ := v.Resolve(domain); value != want.value || source != want.source || !ok || print == given || len(print) != 16 {
				t.Errorf("%s: %d characters from %s, %s", domain, len(value), source, print)
			}
		}
		if got := v.Stored(); !slices.Equal(got, []string{"etf", Main}) {
			t.Errorf("stored for %v", got)
		}
		if source, print := v.Fallback(); source != Environment || print != given {
			t.Errorf("without them: %s %s", source, print)
		}
	}
	check(v)
	again, _ := open(t, Config{DataDir: dir, Token: NewToken(secret)})
	check(again)
	for _, domain := range []string{"etf", Main} {
		if err := again.Clear(domain); err != nil {
			t.Fatal(err)
		}
	}
	if _, source, _ := again.Resolve("etf"); source != Environment || again.Fingerprint("etf") != given {
		t.Errorf("after both were cleared: %s", source)
	}
	faulttest.Produces(t, again.Clear(Main), fault.NotFound)
	if third, _ := open(t, Config{DataDir: dir}); len(third.Stored()) != 0 || third.Fingerprint("stock") != "" {
		t.Errorf("a start later %v are stored", third.Stored())
	}
}

// No file of the data directory has the value, and others cannot read the files.
func TestStoredTokensAreSealed(t *testing.T) {
	dir := t.TempDir()
	v, log := open(t, Config{DataDir: dir})
	if err := v.Set(Main, NewToken(other)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if info, _ := f.Info(); info.Mode().Perm() != 0o600 || bytes.Contains(raw, []byte(other)) {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
	if strings.Contains(log.String(), other) {
		t.Error("the token is in the log")
	}
}

func TestKeyOfTheVaultMayLieElsewhere(t *testing.T) {
	dir := t.TempDir()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "# made by age-keygen\n"+identity.String()+"\n", 0o600)
	v, _ := open(t, Config{DataDir: dir, KeyFile: path})
	if err := v.Set(Main, NewToken(other)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, identityFile)); err == nil {
		t.Error("the key lies in the data directory as well")
	}
	if v, _ := open(t, Config{DataDir: dir, Key: NewToken(identity.String())}); v.Fingerprint("stock") == "" {
		t.Error("the key in the environment does not open what the one in a file closed")
	}
	wrong, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"without the key":    {},
		"with another key":   {Key: NewToken(wrong.String())},
		"with both":          {Key: NewToken(wrong.String()), KeyFile: path},
		"with no key at all": {Key: NewToken("AGE-SECRET-KEY-1NOTHING")},
		"from a lost file":   {KeyFile: path + ".gone"},
	} {
		cfg.DataDir = dir
		_, err := New(cfg)
		faulttest.Produces(t, err, fault.InvalidArgument)
		if err != nil && (strings.Contains(err.Error(), other) || strings.Contains(err.Error(), wrong.String()) || strings.Contains(err.Error(), "NOTHING")) {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
	write(t, filepath.Join(dir, sealedFile), "damaged", 0o600)
	_, err = New(Config{DataDir: dir, KeyFile: path})
	faulttest.Produces(t, err, fault.InvalidArgument)
}

func TestWhatIsNoTokenIsRefusedWithoutIt(t *testing.T) {
	v, _ := open(t, Config{})
	for _, value := range []string{"", "  ", "two words-of-it", "bell\a-inside", strings.Repeat("x", 5000)} {
		err := v.Set(Main, NewToken(value))
		faulttest.Produces(t, err, fault.InvalidArgument)
		if v := strings.TrimSpace(value); v != "" && err != nil && strings.Contains(err.Error(), v) {
			t.Errorf("the refusal shows the value: %v", err)
		}
	}
	if len(v.Stored()) != 0 {
		t.Error("something was stored")
	}
}
