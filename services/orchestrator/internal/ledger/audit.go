package ledger

import (
	"context"
	"strings"

	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

// change runs fn in one transaction. If ctx carries a change that is not audited yet, its
// entry is written in the same transaction, with the values before and after that fn
// returns; both may be nil. A write that changes nothing is not audited: a service may send
// the same list every minute.
func (s *Store) change(ctx context.Context, fn func(tx *sqlite.Tx) (before, after any, err error)) error {
	c := auth.ChangeOf(ctx)
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		before, after, err := fn(tx)
		if err != nil || c == nil {
			return err
		}
		e := c.Entry
		if auth.Same(before, after) {
			return nil
		}
		e.Before, e.After = auth.AuditText(before), auth.AuditText(after)
		return addEntry(ctx, tx, e)
	})
	if err == nil && c != nil {
		c.Done()
	}
	return err
}

const entryColumns = "at, actor, key_id, role, via, address, method, request, before, after"

func addEntry(ctx context.Context, tx *sqlite.Tx, e auth.Entry) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO audit ("+entryColumns+") VALUES (?"+strings.Repeat(", ?", strings.Count(entryColumns, ","))+")",
		stamp(tx.Now), e.Caller.Name, e.Caller.KeyID, e.Caller.Role, e.Caller.Via, e.Caller.Address, e.Method, auth.AuditText(e.Request), e.Before, e.After)
	return err
}

// AddEntry adds an audit entry. Its time is that of the write.
func (s *Store) AddEntry(ctx context.Context, e auth.Entry) error {
	return failed("audit a change", s.db.Write(ctx, func(tx *sqlite.Tx) error { return addEntry(ctx, tx, e) }))
}

// Entries lists audit entries, newest first, and whether there are more.
func (s *Store) Entries(ctx context.Context, f auth.EntryFilter) (entries []auth.Entry, more bool, err error) {
	query, args := "SELECT id, "+entryColumns+" FROM audit WHERE true", []any{}
	if f.Actor != "" {
		query, args = query+" AND actor = ?", append(args, f.Actor)
	}
	switch {
	case strings.Contains(f.Method, "."):
		query, args = query+" AND method = ?", append(args, f.Method)
	case f.Method != "": // '/' is the character after '.'
		query, args = query+" AND method >= ? AND method < ?", append(args, f.Method+".", f.Method+"/")
	}
	if f.Before > 0 {
		query, args = query+" AND id < ?", append(args, f.Before)
	}
	rows, err := s.db.Reader().QueryContext(ctx, query+" ORDER BY id DESC LIMIT ?", append(args, f.Limit+1)...)
	if err != nil {
		return nil, false, failed("read the audit trail", err)
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		if len(entries) == f.Limit || size > auth.MaxAnswer {
			return entries, true, nil
		}
		var e auth.Entry
		if err := rows.Scan(&e.ID, toTime{&e.At}, &e.Caller.Name, &e.Caller.KeyID, &e.Caller.Role, &e.Caller.Via, &e.Caller.Address,
			&e.Method, &e.Request, &e.Before, &e.After); err != nil {
			return nil, false, failed("read the audit trail", err)
		}
		size += len(e.Request) + len(e.Before) + len(e.After)
		entries = append(entries, e)
	}
	return entries, false, failed("read the audit trail", rows.Err())
}
