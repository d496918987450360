package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/sealing"
)

// Source says where a token comes from.
type Source string

// The sources of tokens, in the order of precedence.
const (
	// Domain is a token stored for one domain, and Stored the one stored for all.
	Domain Source = "domain"
	Stored Source = "main"
	// Environment is AFTERBELL_TUSHARE_TOKEN, and File the file in
	// AFTERBELL_TUSHARE_TOKEN_FILE. They apply to every domain.
	Environment Source = "environment"
	File        Source = "file"
)

// Main is the name of the token for all domains without their own.
const Main = "main"

// Config is the configuration of a Vault. At most one of Token and TokenFile is set; with
// neither, there is no token.
type Config struct {
	// DataDir has the key of the fingerprint. Required.
	DataDir string
	// Token is the value of AFTERBELL_TUSHARE_TOKEN; surrounding white space is removed.
	Token Token
	// TokenFile is the value of AFTERBELL_TUSHARE_TOKEN_FILE. The file is read
	// again when it changes.
	TokenFile string
	// Key is the value of AFTERBELL_VAULT_KEY, and KeyFile that of AFTERBELL_VAULT_KEY_FILE:
	// the age identity that decrypts stored tokens. At most one is set; with neither, the data
	// directory has one of its own, created with the first stored token.
	Key     Token
	KeyFile string
	// Log may be nil.
	Log *slog.Logger
}

const (
	// maxFile is the largest token file, in bytes; a token has about 56 characters.
	maxFile = 4096
	// byteOrderMark is written by some editors.
	byteOrderMark = "\ufeff"
)

// Vault provides tokens. It is safe for concurrent use.
type Vault struct {
	key  []byte
	file string
	log  *slog.Logger

	mu     sync.Mutex
	token  Token // of the environment or the file
	print  string
	stamp  stamp
	sealed *sealed
}

// stamp detects whether a file changed.
type stamp struct {
	modified time.Time
	size     int64
	gone     bool // it does not exist
	hidden   bool // it cannot be examined
}

// New reads the token and the key, which it creates if the data directory has none.
// INVALID_ARGUMENT if both a token and a file are given, or if the file cannot be read or
// has no token.
func New(cfg Config) (*Vault, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	direct := strings.TrimSpace(cfg.Token.Reveal())
	if direct != "" && cfg.TokenFile != "" {
		return nil, fault.Invalid("token", "AFTERBELL_TUSHARE_TOKEN and AFTERBELL_TUSHARE_TOKEN_FILE are both set; set one of them")
	}
	key, err := loadKey(cfg.DataDir, cfg.Log)
	if err != nil {
		return nil, err
	}
	v := &Vault{key: key, file: cfg.TokenFile, log: cfg.Log}
	if v.sealed, err = openSealed(cfg); err != nil {
		return nil, err
	}
	if v.file == "" {
		if err := check(direct); err != nil && direct != "" {
			return nil, fault.Invalid("token", "AFTERBELL_TUSHARE_TOKEN %v", err)
		}
		v.set(direct)
		return v, nil
	}
	at, err := stat(v.file)
	if err == nil {
		var value string
		if value, err = v.read(); err == nil {
			v.set(value)
			v.stamp = at
			return v, nil
		}
	}
	return nil, fault.Invalid("token-file", "AFTERBELL_TUSHARE_TOKEN_FILE is %s, which %v", v.file, err)
}

// Resolve returns the current token of a domain and its source; ok is false if there is
// none.
func (v *Vault) Resolve(domain string) (token Token, source Source, ok bool) {
	token, source, _ = v.current(domain)
	return token, source, token.value != nil
}

// Token returns the value and the fingerprint of a domain's token, for the provider client.
// ok is false if there is none.
func (v *Vault) Token(domain string) (token, fingerprint string, ok bool) {
	t, _, print := v.current(domain)
	return t.Reveal(), print, t.value != nil
}

// Fingerprint is 16 hex digits that change with the token, empty if there is none. They
// differ between data directories.
func (v *Vault) Fingerprint(domain string) string {
	_, _, print := v.current(domain)
	return print
}

// Fallback is what a domain would use without stored tokens: the source and the
// fingerprint; both are empty if there is none.
func (v *Vault) Fallback() (source Source, fingerprint string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, source, fingerprint = v.given(); fingerprint == "" {
		source = ""
	}
	return source, fingerprint
}

// Stored are the domains, and Main, for which a token is stored, ascending.
func (v *Vault) Stored() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.sealed.tokens))
}

// Set stores a token for a domain, or for Main, and replaces the previous one. When Set
// returns, it is on disk, encrypted. The error does not contain the value.
func (v *Vault) Set(domain string, token Token) error {
	value := strings.TrimSpace(token.Reveal())
	if value == "" {
		return fault.Invalid("token", "is empty")
	}
	if len(value) > maxFile {
		return fault.Invalid("token", "is larger than %d bytes", maxFile)
	}
	if err := check(value); err != nil {
		return fault.Invalid("token", "%v", err)
	}
	return v.change(func(tokens map[string]string) { tokens[domain] = value })
}

// Clear deletes the stored token of a domain, or of Main. NOT_FOUND if none is stored.
func (v *Vault) Clear(domain string) error {
	found := false
	err := v.change(func(tokens map[string]string) {
		_, found = tokens[domain]
		delete(tokens, domain)
	})
	if err == nil && !found {
		return fault.New(fault.NotFound, "No token is stored for "+domain+".", "kind", "token", "id", domain)
	}
	return err
}

func (v *Vault) change(do func(tokens map[string]string)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	tokens := maps.Clone(v.sealed.tokens)
	do(tokens)
	if maps.Equal(tokens, v.sealed.tokens) {
		return nil
	}
	if err := v.sealed.set(tokens); err != nil {
		return fault.Wrap(err, fault.Internal, "The token could not be stored; the ingest-worker's log has the cause.")
	}
	return nil
}

// Format writes the fingerprint instead of the fields, for every verb.
func (v *Vault) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "vault("+v.Fingerprint("")+")")
}

// LogValue is the fingerprint.
func (v *Vault) LogValue() slog.Value { return slog.StringValue(v.Fingerprint("")) }

// current is the token of a domain: its own, the stored one for all, or the one given to
// the process.
func (v *Vault) current(domain string) (Token, Source, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, at := range []struct {
		name   string
		source Source
	}{{domain, Domain}, {Main, Stored}} {
		if value := v.sealed.tokens[at.name]; value != "" {
			return NewToken(value), at.source, v.fingerprint(value)
		}
	}
	return v.given()
}

// given is the token of the environment or the file.
func (v *Vault) given() (Token, Source, string) {
	if v.file == "" {
		return v.token, Environment, v.print
	}
	v.refresh()
	return v.token, File, v.print
}

// refresh reads the file again if it changed. If the file was deleted, there is no token.
// If it exists but is unusable, it may be half written: the previous token stays until the
// file is valid again.
func (v *Vault) refresh() {
	at, err := stat(v.file)
	if at == v.stamp {
		return
	}
	v.stamp = at
	if at.gone {
		v.log.Warn("the token file was deleted; no token is available until it exists again", "file", v.file)
		v.set("")
		return
	}
	var value string
	if err == nil {
		value, err = v.read()
	}
	if err != nil {
		v.log.Warn("the token file changed and is invalid; the previous token stays in use", "file", v.file, "error", err)
		return
	}
	v.set(value)
	v.log.Info("the token file changed and was reloaded", "file", v.file, "fingerprint", v.print)
}

func (v *Vault) set(value string) {
	v.token, v.print = NewToken(value), ""
	if value != "" {
		v.print = v.fingerprint(value)
	}
}

func (v *Vault) fingerprint(value string) string {
	mac := hmac.New(sha256.New, v.key)
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// read is the token in the file.
func (v *Vault) read() (string, error) {
	// A pipe without a writer must not block the start; it counts as empty.
	f, err := os.OpenFile(v.file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", sealing.Plain(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", sealing.Plain(err)
	}
	if len(raw) > maxFile {
		return "", fmt.Errorf("is larger than %d bytes", maxFile)
	}
	value := string(bytes.TrimSpace(bytes.TrimPrefix(raw, []byte(byteOrderMark))))
	if value == "" {
		return "", errors.New("contains no token")
	}
	if err := check(value); err != nil {
		return "", err
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o004 != 0 {
		v.log.Warn("all users can read the token file; run chmod 600 on the file", "file", v.file)
	}
	return value, nil
}

// check returns an error if the text cannot be a token. The error does not contain it.
func check(value string) error {
	for _, r := range value {
		switch {
		case unicode.IsSpace(r):
			return errors.New("contains more than one word; write only the token")
		case !unicode.IsGraphic(r), r == unicode.ReplacementChar:
			return errors.New("contains invisible characters; write the token as plain text")
		}
	}
	return nil
}

func stat(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		gone := errors.Is(err, fs.ErrNotExist)
		return stamp{gone: gone, hidden: !gone}, sealing.Plain(err)
	}
	return stamp{modified: info.ModTime(), size: info.Size()}, nil
}
