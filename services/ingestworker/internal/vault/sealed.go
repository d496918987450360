package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/afterbell/afterbell/services/internal/atomicfile"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/sealing"
)

const (
	sealedFile   = "vault"          // the stored tokens, encrypted
	identityFile = "vault.identity" // its key, unless another one is given
	maxSealed    = 1 << 20
)

// sealed stores tokens in an encrypted file.
type sealed struct {
	path   string
	box    *sealing.Box
	tokens map[string]string // by domain; Main for all
}

// openSealed reads the stored tokens. If there are none, no key is needed yet.
func openSealed(cfg Config) (*sealed, error) {
	s := &sealed{path: filepath.Join(cfg.DataDir, sealedFile), tokens: map[string]string{}}
	raw, err := sealing.ReadFile(s.path, maxSealed)
	none := errors.Is(err, fs.ErrNotExist)
	if err != nil && !none {
		return nil, fmt.Errorf("%s cannot be read: %w", s.path, err)
	}
	s.box, err = sealing.New(sealing.Key{
		Text: cfg.Key.Reveal(), File: cfg.KeyFile, Variable: "AFTERBELL_VAULT_KEY", Field: "vault-key-file",
		Path: filepath.Join(cfg.DataDir, identityFile), Log: cfg.Log,
		Comment: "opens the file vault of afterbell's ingest-worker; keep it out of backups of that file",
	})
	if err != nil || none {
		return s, err
	}
	raw, err = s.box.Open(raw)
	if errors.Is(err, sealing.ErrNoKey) {
		return nil, fault.Invalid("vault-key-file", "%s holds stored tokens, and the key that opens it is not in %s; give the key, or remove the file and set the tokens again",
			s.path, s.box.Where())
	}
	if err == nil {
		err = json.Unmarshal(raw, &s.tokens)
	}
	if err != nil { // the cause could quote what was decrypted
		return nil, fault.Invalid("vault-key-file", "the key does not open %s; give the key that it was written with, or remove the file and set the tokens again", s.path)
	}
	return s, nil
}

// set stores the given tokens, or changes nothing.
func (s *sealed) set(tokens map[string]string) error {
	text, err := json.Marshal(tokens)
	if err != nil {
		return err
	}
	raw, err := s.box.Seal(text)
	if err == nil {
		err = atomicfile.Write(s.path, raw, 0o600)
	}
	if err == nil {
		s.tokens = tokens
	}
	return err
}
