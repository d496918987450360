package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/sealing"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
)

// KeyFile is the name of the key's file, in the ledger's directory.
const KeyFile = "ledger.identity"

// marked is stored in the columns url and secret instead of an encrypted value.
const marked = "sealed"

// secrets are the encrypted fields of a channel.
type secrets struct {
	URL    string `json:"url,omitempty"`
	Secret string `json:"secret,omitempty"`
}

// openBox loads the key of the channels' secrets. If its file is unusable, there is no key:
// notices must not stop an evening.
func (s *Store) openBox(cfg Config) (err error) {
	key := sealing.Key{
		Text: cfg.Key, File: cfg.KeyFile, Variable: "AFTERBELL_LEDGER_KEY", Field: "ledger-key-file",
		Path: filepath.Join(filepath.Dir(cfg.Path), KeyFile), Log: s.log,
		Comment: "opens the secrets of the notice channels in " + FileName + "; keep it out of backups of that file",
	}
	s.box, err = sealing.New(key)
	if err != nil && !key.Given() {
		s.log.Warn("the key of the notice channels' secrets cannot be used", "error", err.Error())
		s.box, err = nil, nil
	}
	return err
}

// seal encrypts a channel's URL and secret.
func (s *Store) seal(c notice.Channel) (url, secret string, sealed []byte, err error) {
	if s.box == nil {
		return "", "", nil, fault.Invalid("ledger-key-file", "%s beside the ledger holds no key; restore it, or remove it and restart the orchestrator, which then makes a new one", KeyFile)
	}
	mark := func(v notice.Secret) string {
		if v == "" {
			return ""
		}
		return marked
	}
	clear, err := json.Marshal(secrets{URL: string(c.URL), Secret: string(c.Secret)})
	if err != nil {
		return "", "", nil, err
	}
	sealed, err = s.box.Seal(clear)
	return mark(c.URL), mark(c.Secret), sealed, err
}

// unseal decrypts a channel's URL and secret, or says which of them are lost.
func (s *Store) unseal(c *notice.Channel, url, secret string, sealed []byte) {
	if sealed == nil { // of an earlier version
		c.URL, c.Secret = notice.Secret(url), notice.Secret(secret)
		return
	}
	var x secrets
	err := sealing.ErrNoKey
	if s.box != nil {
		var clear []byte
		if clear, err = s.box.Open(sealed); err == nil {
			err = json.Unmarshal(clear, &x)
		}
	}
	if err == nil {
		c.URL, c.Secret = notice.Secret(x.URL), notice.Secret(x.Secret)
		return
	}
	if url != "" {
		c.Lost = append(c.Lost, "url")
	}
	if secret != "" {
		c.Lost = append(c.Lost, "secret")
	}
}

// sealChannels encrypts what an earlier version stored in plain text, and returns which
// channels cannot be used because the key is missing.
func (s *Store) sealChannels(ctx context.Context, channels []notice.Channel, leave bool) error {
	var lost []string
	for _, c := range channels {
		if len(c.Lost) > 0 {
			lost = append(lost, c.ID)
		}
	}
	if len(lost) > 0 {
		where := KeyFile
		if s.box != nil {
			where = s.box.Where()
		}
		s.log.Error("the addresses and secrets of notice channels cannot be read, because their key is lost; restore the key, or set them again with afterbell notify set",
			"channels", strings.Join(lost, ", "), "key", where)
	}
	var clear int
	if err := s.db.Reader().QueryRowContext(ctx, "SELECT count(*) FROM notice_channels WHERE sealed IS NULL").Scan(&clear); err != nil {
		return err
	}
	if clear == 0 || leave || s.box == nil {
		return nil
	}
	err := s.db.Erase(ctx, func(tx *sqlite.Tx) error {
		for _, c := range channels {
			url, secret, raw, err := s.seal(c)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE notice_channels SET url = ?, secret = ?, sealed = ? WHERE id = ? AND sealed IS NULL", url, secret, raw, c.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("seal the secrets of channels: %w", err)
	}
	s.log.Info("the secrets of notice channels are encrypted now", "count", clear, "key", s.box.Where())
	if err := s.db.Compact(ctx); err != nil { // overwritten values may still be in free pages
		s.log.Warn("the ledger could not be compacted, so that earlier secrets may remain in it", "error", err.Error())
	}
	return nil
}
