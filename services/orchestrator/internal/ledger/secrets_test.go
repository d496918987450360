package ledger

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
)

const (
	hookToken = "t0ken-of-the-robot-0123456789"
	mailWord  = "passw0rd-of-the-mail-0123456789"
)

// longHook does not fit into one page's cell, so that SQLite keeps its end elsewhere.
var longHook = "https://oapi.dingtalk.example/robot/send?access_token=" + hookToken + strings.Repeat("x", 1800) + hookToken

func secretChannels() []notice.Channel {
	return []notice.Channel{
		{ID: "desk", Kind: notice.DingTalk, Enabled: true, Language: notice.Chinese, URL: notice.Secret(longHook), Secret: "SEC" + hookToken},
		{ID: "mail", Kind: notice.Mail, Enabled: true, Language: notice.English, Secret: mailWord, Host: "smtp.example", From: "a@example", To: []string{"b@example"}, User: "a"},
		{ID: "open", Kind: notice.Mail, Enabled: true, Language: notice.English, Host: "smtp.example", From: "a@example", To: []string{"b@example"}},
	}
}

// openAt opens a ledger in a directory and returns its log.
func openAt(t *testing.T, dir string, change ...func(*Config)) (*Store, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	cfg := Config{Path: filepath.Join(dir, FileName), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	for _, c := range change {
		c(&cfg)
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, &log
}

// searched fails where a file of the directory has a secret.
func searched(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{hookToken, mailWord} {
			if bytes.Contains(raw, []byte(word)) {
				t.Errorf("%s has %s…", filepath.Base(f), word[:6])
			}
		}
	}
}

func wantChannels(t *testing.T, s *Store, want []notice.Channel) {
	t.Helper()
	got, err := s.Channels(t.Context())
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d channels, %v", len(got), err)
	}
	for i, c := range got {
		if c.ID != want[i].ID || c.URL != want[i].URL || c.Secret != want[i].Secret || len(c.Lost) > 0 {
			t.Errorf("%s came back with other secrets; lost %v", c.ID, c.Lost)
		}
	}
}

func TestSecretsOfChannelsAreSealed(t *testing.T) {
	dir := t.TempDir()
	s, log := openAt(t, dir)
	for _, c := range secretChannels() {
		if err := s.SaveChannel(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	searched(t, dir) // also the write-ahead log
	wantChannels(t, s, secretChannels())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	searched(t, dir)
	if info, err := os.Stat(filepath.Join(dir, KeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	again, more := openAt(t, dir)
	wantChannels(t, again, secretChannels())
	if log.Len()+more.Len() > 0 {
		t.Errorf("logged %s%s", log, more)
	}
}

// What an earlier version stored in the clear is sealed when the ledger is opened, and no
// trace of it stays; the command that only makes keys leaves it.
func TestOldSecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	s, _ := openAt(t, dir)
	for _, c := range secretChannels() {
		if err := s.SaveChannel(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{string(c.Secret) + "-before", string(c.Secret)} { // set twice
			if err := s.exec(t.Context(), "age a channel", "UPDATE notice_channels SET url = ?, secret = ?, sealed = NULL WHERE id = ?", string(c.URL), secret, c.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, KeyFile)); err != nil { // an earlier version had none
		t.Fatal(err)
	}
	s, log := openAt(t, dir, func(c *Config) { c.LeaveSecrets = true })
	wantChannels(t, s, secretChannels())
	if _, err := os.Stat(filepath.Join(dir, KeyFile)); err == nil || log.Len() > 0 {
		t.Errorf("a key was made: %s", log)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, log = openAt(t, dir)
	wantChannels(t, s, secretChannels())
	searched(t, dir)
	if !strings.Contains(log.String(), "count=3") {
		t.Errorf("logged %s", log)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, log = openAt(t, dir)
	wantChannels(t, s, secretChannels())
	if log.Len() > 0 {
		t.Errorf("sealed again: %s", log)
	}
}

// Without the key the ledger opens, says once which channels are concerned, and takes
// their secrets again.
func TestLostKey(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"gone":    os.Remove,
		"another": func(path string) error { return os.Rename(path+".other", path) },
		"garbled": func(path string) error { return os.WriteFile(path, []byte("no key"), 0o600) },
	} {
		dir, elsewhere := t.TempDir(), t.TempDir()
		s, _ := openAt(t, dir)
		for _, c := range secretChannels() {
			if err := s.SaveChannel(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		second, _ := openAt(t, elsewhere)
		if err := second.SaveChannel(t.Context(), secretChannels()[0]); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, KeyFile)
		if err := os.Rename(filepath.Join(elsewhere, KeyFile), path+".other"); err != nil {
			t.Fatal(err)
		}
		if err := lose(path); err != nil {
			t.Fatal(err)
		}
		s, log := openAt(t, dir)
		if strings.Count(log.String(), "level=ERROR") != 1 || !strings.Contains(log.String(), `channels="desk, mail"`) {
			t.Errorf("%s: logged %s", name, log)
		}
		if _, err := os.Stat(path); name == "gone" && err == nil {
			t.Error("a key was made that opens nothing")
		}
		channels, err := s.Channels(t.Context())
		if err != nil || len(channels) != 3 || !slices.Equal(channels[0].Lost, []string{"url", "secret"}) || !slices.Equal(channels[1].Lost, []string{"secret"}) ||
			len(channels[2].Lost) > 0 || !strings.Contains(channels[0].LostMessage(), "afterbell notify set desk") {
			t.Fatalf("%s: %+v, %v", name, channels, err)
		}
		faulttest.Produces(t, s.SaveChannel(t.Context(), channels[0]), fault.InvalidArgument)
		err = s.SaveChannel(t.Context(), secretChannels()[0])
		if name == "garbled" { // it may still be wanted
			faulttest.Produces(t, err, fault.InvalidArgument)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if c, err := s.Channel(t.Context(), "desk"); err != nil || c.URL != notice.Secret(longHook) || len(c.Lost) > 0 {
			t.Errorf("%s: set again, lost %v, %v", name, c.Lost, err)
		}
		if err := s.DeleteChannel(t.Context(), "mail"); err != nil {
			t.Error(err)
		}
	}
}

// An unusable key from the environment is reported at the start.
func TestGivenKeyOfTheLedger(t *testing.T) {
	dir := t.TempDir()
	s, _ := openAt(t, dir)
	if err := s.SaveChannel(t.Context(), secretChannels()[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "key")
	if err := os.Rename(filepath.Join(dir, KeyFile), moved); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(moved)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*Config){func(c *Config) { c.Key = string(text) }, func(c *Config) { c.KeyFile = moved }} {
		s, _ := openAt(t, dir, change)
		wantChannels(t, s, secretChannels()[:1])
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(t.Context(), Config{Path: filepath.Join(dir, FileName), Key: "nothing"})
	faulttest.Produces(t, err, fault.InvalidArgument)
}
