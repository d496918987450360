package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// TestInsertWritesEveryRow inserts fewer and more rows than one statement has, of each type,
// and replaces rows with the same key.
func TestInsertWritesEveryRow(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.sqlite"), sqlite.Options{})
	if err := db.Migrate(t.Context(), migrations("CREATE TABLE a (x INTEGER PRIMARY KEY, f REAL, t TEXT, b BLOB, n TEXT, i INTEGER) STRICT")); err != nil {
		t.Fatal(err)
	}
	for round, n := range []int{0, 1, 333, 334, 1500} {
		err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
			return tx.Insert(t.Context(), "a", "x, f, t, b, n, i", 6, n, func(i int, args []any) []any {
				return append(args, int64(i), float64(i)/4, fmt.Sprint(i), []byte{byte(i)}, nil, round)
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		var rows, right int
		err = db.Reader().QueryRow(`SELECT count(*), count(*) FILTER (WHERE f = x / 4.0 AND t = CAST(x AS TEXT) AND hex(b) = printf('%02X', x % 256) AND n IS NULL AND i = ?) FROM a`, round).Scan(&rows, &right)
		if err != nil || rows != n || right != n {
			t.Errorf("%d rows inserted: %d are there and %d are right, %v", n, rows, right, err)
		}
	}
	err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		return tx.Insert(t.Context(), "b", "x", 1, 1, func(_ int, args []any) []any { return append(args, 1) })
	})
	if err == nil {
		t.Error("a row of a table that does not exist was inserted")
	}
}

// TestInsertAfterTheEndOfItsContextWritesNothing: database/sql has rolled back by then, and
// the connection would commit each statement on its own.
func TestInsertAfterTheEndOfItsContextWritesNothing(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.sqlite"), sqlite.Options{})
	if err := db.Migrate(t.Context(), migrations("CREATE TABLE a (x INTEGER PRIMARY KEY)")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, func(tx *sqlite.Tx) error {
		cancel()
		for tx.QueryRowContext(t.Context(), "SELECT 1").Err() == nil { // until it was rolled back
		}
		return tx.Insert(t.Context(), "a", "x", 1, 1, func(_ int, args []any) []any { return append(args, 1) })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the transaction ended with %v", err)
	}
	var rows int
	if err := db.Reader().QueryRow("SELECT count(*) FROM a").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
