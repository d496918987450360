package ledger

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
)

// Targets is the target list: the unexpired symbols of all sets, ascending.
func (s *Store) Targets(ctx context.Context) ([]string, error) {
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT DISTINCT symbol FROM target_symbols
	  WHERE expires_at IS NULL OR expires_at > ? ORDER BY symbol`, stamp(time.Now()))
	if err != nil {
		return nil, failed("read targets", err)
	}
	defer rows.Close()
	var symbols []string
	for rows.Next() {
		var symbol string
		if err := rows.Scan(&symbol); err != nil {
			return nil, failed("read targets", err)
		}
		symbols = append(symbols, symbol)
	}
	return symbols, failed("read targets", rows.Err())
}

// TargetSets are the sets by name, without expired entries. The default set is always among
// them.
func (s *Store) TargetSets(ctx context.Context) ([]targetset.Set, error) {
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT id, note, updated_at, symbol, expires_at
	  FROM (SELECT id, note, updated_at FROM target_sets UNION ALL SELECT ?, '', NULL WHERE NOT EXISTS (SELECT 1 FROM target_sets WHERE id = ?))
	  LEFT JOIN target_symbols ON set_id = id AND (expires_at IS NULL OR expires_at > ?) ORDER BY id, symbol`,
		targetset.Default, targetset.Default, stamp(time.Now()))
	if err != nil {
		return nil, failed("read targets", err)
	}
	defer rows.Close()
	var sets []targetset.Set
	for rows.Next() {
		var set targetset.Set
		var symbol *string
		var until time.Time
		if err := rows.Scan(&set.ID, &set.Note, toTime{&set.UpdatedAt}, &symbol, toTime{&until}); err != nil {
			return nil, failed("read targets", err)
		}
		if n := len(sets); n == 0 || sets[n-1].ID != set.ID {
			sets = append(sets, set)
		}
		if last := &sets[len(sets)-1]; symbol != nil {
			last.Entries = append(last.Entries, targetset.Entry{Symbol: *symbol, Until: until})
		}
	}
	return sets, failed("read targets", rows.Err())
}

// SaveTargetSet replaces a set, and returns it with the time of the change.
func (s *Store) SaveTargetSet(ctx context.Context, set targetset.Set) (targetset.Set, error) {
	before, err := s.audited(ctx, set.ID)
	if err != nil {
		return set, err
	}
	err = s.change(ctx, func(tx *sqlite.Tx) (any, any, error) {
		set.UpdatedAt = time.UnixMilli(tx.Now.UnixMilli()).UTC()
		if _, err := tx.ExecContext(ctx, upsert("target_sets", "id, note, updated_at", "id"), set.ID, set.Note, stamp(tx.Now)); err != nil {
			return nil, nil, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM target_symbols WHERE set_id = ?", set.ID); err != nil {
			return nil, nil, err
		}
		stmt, err := tx.PrepareContext(ctx, "INSERT INTO target_symbols (set_id, symbol, expires_at) VALUES (?, ?, ?)")
		if err != nil {
			return nil, nil, err
		}
		defer stmt.Close()
		for _, e := range set.Entries {
			if _, err := stmt.ExecContext(ctx, set.ID, e.Symbol, stamp(e.Until)); err != nil {
				return nil, nil, err
			}
		}
		return before, set.Audited(), nil
	})
	return set, failed("save targets", err)
}

// DeleteTargetSet deletes a set. NOT_FOUND if there is none.
func (s *Store) DeleteTargetSet(ctx context.Context, id string) error {
	before, err := s.audited(ctx, id)
	if err != nil {
		return err
	}
	if before == nil {
		return notFound("target set", id)
	}
	return failed("delete targets", s.change(ctx, func(tx *sqlite.Tx) (any, any, error) {
		_, err := tx.ExecContext(ctx, "DELETE FROM target_sets WHERE id = ?", id)
		return before, nil, err
	}))
}

// audited is a set as the audit trail stores it; nil if it was never written.
func (s *Store) audited(ctx context.Context, id string) (any, error) {
	sets, err := s.TargetSets(ctx)
	if err != nil {
		return nil, err
	}
	if set, ok := targetset.Find(sets, id); ok && !set.UpdatedAt.IsZero() {
		return set.Audited(), nil
	}
	return nil, nil
}
