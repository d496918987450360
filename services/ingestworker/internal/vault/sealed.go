package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/afterbell/afterbell/services/internal/fault"
)

const (
	sealedFile   = "vault"          // the stored tokens, encrypted by age
	identityFile = "vault.identity" // the key that opens them, where no other is given
	maxSealed    = 1 << 20
)

// sealed keeps tokens in a file that only its identity opens.
type sealed struct {
	path     string
	identity *age.X25519Identity
	tokens   map[string]string // by domain; Main for all
}

// openSealed reads the stored tokens. Without any, no key is needed yet.
func openSealed(cfg Config) (*sealed, error) {
	s := &sealed{path: filepath.Join(cfg.DataDir, sealedFile), tokens: map[string]string{}}
	raw, err := readFile(s.path, maxSealed)
	none := errors.Is(err, fs.ErrNotExist)
	if err != nil && !none {
		return nil, fmt.Errorf("%s cannot be read: %w", s.path, err)
	}
	if s.identity, err = loadIdentity(cfg, none); err != nil || none {
		return s, err
	}
	if s.identity == nil {
		return nil, fault.Invalid("vault-key-file", "%s holds stored tokens, and the key that opens it is not in %s; give the key, or remove the file and set the tokens again",
			s.path, filepath.Join(cfg.DataDir, identityFile))
	}
	clear, err := age.Decrypt(bytes.NewReader(raw), s.identity)
	if err == nil {
		raw, err = io.ReadAll(io.LimitReader(clear, maxSealed))
	}
	if err == nil {
		err = json.Unmarshal(raw, &s.tokens)
	}
	if err != nil { // the cause could quote what was decrypted
		return nil, fault.Invalid("vault-key-file", "the key does not open %s; give the key that it was written with, or remove the file and set the tokens again", s.path)
	}
	return s, nil
}

// loadIdentity finds the key: the one that is given, or that of the data directory.
func loadIdentity(cfg Config, optional bool) (*age.X25519Identity, error) {
	name, text := "AFTERBELL_VAULT_KEY", strings.TrimSpace(cfg.Key.Reveal())
	switch path := cfg.KeyFile; {
	case text != "" && path != "":
		return nil, fault.Invalid("vault-key-file", "AFTERBELL_VAULT_KEY and AFTERBELL_VAULT_KEY_FILE are both set; set one of them")
	case text == "":
		name = path
		if path == "" {
			name = filepath.Join(cfg.DataDir, identityFile)
		}
		raw, err := readFile(name, maxFile)
		if path == "" && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fault.Invalid("vault-key-file", "%s %v", name, plain(err))
		}
		warnReadable(cfg.Log, name, "the key of the vault")
		text = string(raw)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if identity, err := age.ParseX25519Identity(line); err == nil {
			return identity, nil
		}
		break
	}
	return nil, fault.Invalid("vault-key-file", "%s holds no age identity (AGE-SECRET-KEY-1…); age-keygen makes one", name)
}

// set stores tokens as they are to be, or nothing.
func (s *sealed) set(dir string, tokens map[string]string) error {
	if s.identity == nil {
		identity, err := makeIdentity(dir)
		if err != nil {
			return err
		}
		s.identity = identity
	}
	text, err := json.Marshal(tokens)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.identity.Recipient())
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = replaceFile(s.path, out.Bytes())
	}
	if err != nil {
		return err
	}
	s.tokens = tokens
	return nil
}

func makeIdentity(dir string) (*age.X25519Identity, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	text := "# opens the file vault of afterbell's ingest-worker; keep it out of backups of that file\n" + identity.String() + "\n"
	return identity, replaceFile(filepath.Join(dir, identityFile), []byte(text))
}

// replaceFile writes a file whole or not at all, for its owner alone.
func replaceFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("is larger than %d bytes", most)
	}
	return raw, err
}

func warnReadable(log *slog.Logger, path, what string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users can read "+what+"; run chmod 600 on the file", "file", path)
	}
}
