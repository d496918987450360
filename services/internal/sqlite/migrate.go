package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

const versionTable = `CREATE TABLE IF NOT EXISTS schema_version (
  version    INTEGER PRIMARY KEY, -- 1 for the first migration, and so on
  name       TEXT NOT NULL,       -- file name of the migration
  applied_at INTEGER NOT NULL     -- Unix ms
)`

// Step is a part of a migration that SQL cannot express.
type Step struct {
	// After is the name of the migration after whose file the step runs.
	After string
	// Do runs in the transaction of the migrations.
	Do func(ctx context.Context, tx *Tx) error
}

// Migrate applies the *.sql files in the root of fsys that the file has not seen, in
// lexical order and in one transaction. A file's position in that order is its version, so
// migrations are only added at the end. It returns ErrForeign for a file with tables of
// another program and ErrNewer for one with more or other migrations than fsys; it changes
// neither.
func (db *DB) Migrate(ctx context.Context, fsys fs.FS, steps ...Step) error {
	// Otherwise a table that is written again would take with it the rows of other tables that
	// refer to it. SQLite ignores the pragma in a transaction.
	if _, err := db.writer.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
		return err
	}
	err := db.migrate(ctx, fsys, steps)
	_, back := db.writer.ExecContext(context.WithoutCancel(ctx), "PRAGMA foreign_keys = ON")
	return errors.Join(err, back)
}

func (db *DB) migrate(ctx context.Context, fsys fs.FS, steps []Step) error {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return err
	}
	slices.Sort(names)
	return db.Write(ctx, func(tx *Tx) error {
		applied, err := appliedTo(ctx, tx)
		if err != nil {
			return err
		}
		if len(applied) > len(names) || !slices.Equal(applied, names[:len(applied)]) {
			return fmt.Errorf("%w: it has the migrations %s, and this version knows %s", ErrNewer,
				strings.Join(applied, ", "), strings.Join(names, ", "))
		}
		for i, name := range names[len(applied):] {
			text, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, string(text)); err != nil {
				return fmt.Errorf("migration %s: %w", name, err)
			}
			for _, step := range steps {
				if step.After != name {
					continue
				}
				if err := step.Do(ctx, tx); err != nil {
					return fmt.Errorf("migration %s: %w", name, err)
				}
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO schema_version (version, name, applied_at) VALUES (?, ?, ?)",
				len(applied)+i+1, name, tx.Now.UnixMilli())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// appliedTo lists the migrations that a file has seen, and creates the table that
// lists them in a file without any table.
func appliedTo(ctx context.Context, tx *Tx) (names []string, err error) {
	var tables, versions int
	err = tx.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name = 'schema_version')
	  FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`).Scan(&tables, &versions)
	if err != nil {
		return nil, err
	}
	if versions == 0 {
		if tables > 0 {
			return nil, ErrForeign
		}
		_, err = tx.ExecContext(ctx, versionTable)
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, "SELECT name FROM schema_version ORDER BY version")
	if err != nil {
		return nil, fmt.Errorf("%w: its table schema_version has other columns", ErrForeign)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
