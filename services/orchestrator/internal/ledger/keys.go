package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

const keyColumns = "id, name, role, hash, created_at, creator, expires_at, revoked_at, used_at, used_from"

// Keys lists all keys, newest first.
func (s *Store) Keys(ctx context.Context) ([]auth.Key, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT "+keyColumns+" FROM api_keys ORDER BY created_at DESC, id")
	if err != nil {
		return nil, failed("read keys", err)
	}
	defer rows.Close()
	var keys []auth.Key
	for rows.Next() {
		k, err := scanKey(rows)
		if err != nil {
			return nil, failed("read keys", err)
		}
		keys = append(keys, k)
	}
	return keys, failed("read keys", rows.Err())
}

func scanKey(row interface{ Scan(...any) error }) (k auth.Key, err error) {
	err = row.Scan(&k.ID, &k.Name, &k.Role, toHash{&k.Hash}, toTime{&k.CreatedAt}, &k.Creator, toTime{&k.ExpiresAt},
		toTime{&k.RevokedAt}, toTime{&k.UsedAt}, &k.UsedFrom)
	return k, err
}

type toHash struct{ h *auth.Hash }

func (c toHash) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok || len(b) != len(c.h) {
		return fmt.Errorf("%T is no hash", v)
	}
	copy(c.h[:], b)
	return nil
}

// shownKey is a key as the audit trail stores it.
type shownKey struct {
	ID, Name  string
	Role      auth.Role
	ExpiresAt *time.Time `json:",omitempty"`
	RevokedAt *time.Time `json:",omitempty"`
}

func showKey(k auth.Key) shownKey {
	shown := shownKey{ID: k.ID, Name: k.Name, Role: k.Role}
	if !k.ExpiresAt.IsZero() {
		shown.ExpiresAt = &k.ExpiresAt
	}
	if !k.RevokedAt.IsZero() {
		shown.RevokedAt = &k.RevokedAt
	}
	return shown
}

// AddKey stores a new key.
func (s *Store) AddKey(ctx context.Context, k auth.Key) error {
	return failed("add a key", s.change(ctx, func(tx *sqlite.Tx) (before, after any, err error) {
		_, err = tx.ExecContext(ctx, "INSERT INTO api_keys (id, name, role, hash, created_at, creator, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			k.ID, k.Name, k.Role, k.Hash[:], stamp(k.CreatedAt), k.Creator, stamp(k.ExpiresAt))
		return nil, showKey(k), err
	}))
}

// RevokeKey revokes a key and ends its sessions. A revoked key does not change. NOT_FOUND
// if there is no such key.
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) (k auth.Key, err error) {
	err = s.change(ctx, func(tx *sqlite.Tx) (before, after any, err error) {
		k, err = scanKey(tx.QueryRowContext(ctx, "SELECT "+keyColumns+" FROM api_keys WHERE id = ?", id))
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil, notFound("key", id)
		}
		if err != nil {
			return nil, nil, err
		}
		before = showKey(k)
		if k.RevokedAt.IsZero() {
			k.RevokedAt = at.Truncate(time.Millisecond)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE api_keys SET revoked_at = ? WHERE id = ?", stamp(k.RevokedAt), id); err != nil {
			return nil, nil, err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM sessions WHERE key_id = ?", id)
		return before, showKey(k), err
	})
	return k, failed("revoke a key", err)
}

// UsedKeys stores when and from where keys were last used.
func (s *Store) UsedKeys(ctx context.Context, keys []auth.Key) error {
	return failed("keep the use of keys", s.db.Write(ctx, func(tx *sqlite.Tx) error {
		for _, k := range keys {
			if _, err := tx.ExecContext(ctx, "UPDATE api_keys SET used_at = ?, used_from = ? WHERE id = ?", stamp(k.UsedAt), k.UsedFrom, k.ID); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Sessions lists the sessions that have not expired.
func (s *Store) Sessions(ctx context.Context, now time.Time) ([]auth.Session, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT hash, key_id, created_at, expires_at, address FROM sessions WHERE expires_at > ?", stamp(now))
	if err != nil {
		return nil, failed("read sessions", err)
	}
	defer rows.Close()
	var sessions []auth.Session
	for rows.Next() {
		var v auth.Session
		if err := rows.Scan(toHash{&v.Hash}, &v.KeyID, toTime{&v.CreatedAt}, toTime{&v.ExpiresAt}, &v.Address); err != nil {
			return nil, failed("read sessions", err)
		}
		sessions = append(sessions, v)
	}
	return sessions, failed("read sessions", rows.Err())
}

// AddSession stores a session, and deletes expired ones.
func (s *Store) AddSession(ctx context.Context, v auth.Session) error {
	return failed("open a session", s.change(ctx, func(tx *sqlite.Tx) (before, after any, err error) {
		if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE expires_at <= ?", stamp(tx.Now)); err != nil {
			return nil, nil, err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO sessions (hash, key_id, created_at, expires_at, address) VALUES (?, ?, ?, ?, ?)",
			v.Hash[:], v.KeyID, stamp(v.CreatedAt), stamp(v.ExpiresAt), v.Address)
		return nil, nil, err
	}))
}

// DropSession ends a session; it does nothing if there is none.
func (s *Store) DropSession(ctx context.Context, hash auth.Hash) error {
	return failed("end a session", s.change(ctx, func(tx *sqlite.Tx) (before, after any, err error) {
		_, err = tx.ExecContext(ctx, "DELETE FROM sessions WHERE hash = ?", hash[:])
		return nil, nil, err
	}))
}
