package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/internal/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func migrations(texts ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, text := range texts {
		fsys[string(rune('a'+i))+".sql"] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func open(t *testing.T, path string, opts sqlite.Options) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestMigrateKeepsRowsThatReferToATable drops a table in a migration: the rows that would be
// deleted with its rows stay, and references are checked again afterwards.
func TestMigrateKeepsRowsThatReferToATable(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a.sqlite"), sqlite.Options{})
	first := "CREATE TABLE a (x INTEGER PRIMARY KEY); CREATE TABLE b (y INTEGER REFERENCES a (x) ON DELETE CASCADE); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1);"
	if err := db.Migrate(t.Context(), migrations(first)); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), migrations(first, "DROP TABLE a; CREATE TABLE a (x INTEGER PRIMARY KEY)")); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := db.Reader().QueryRow("SELECT count(*) FROM b").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("rows = %d, %v; want 1", rows, err)
	}
	err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec("INSERT INTO b VALUES (2)")
		return err
	})
	if !sqlite.IsConstraint(err) {
		t.Errorf("a reference to nothing: %v", err)
	}
}

func TestMigrateAppliesEachFileOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd ?#% name.sqlite")
	db := open(t, path, sqlite.Options{})
	first := "CREATE TABLE a (x INTEGER PRIMARY KEY); CREATE TABLE b (y TEXT UNIQUE, z INTEGER CHECK (z > 0));"
	if err := db.Migrate(t.Context(), migrations(first)); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), migrations(first)); err != nil {
		t.Fatalf("again: %v", err)
	}
	if err := db.Migrate(t.Context(), migrations(first, "ALTER TABLE a ADD COLUMN n TEXT", "SELECT nonsense")); err == nil {
		t.Fatal("a broken migration must fail")
	}
	var columns int
	count := func(want int) {
		t.Helper()
		if err := db.Reader().QueryRow("SELECT count(*) FROM pragma_table_info('a')").Scan(&columns); err != nil || columns != want {
			t.Fatalf("columns = %d, %v; want %d", columns, err, want)
		}
	}
	count(1) // the broken migration took the good one before it back
	if err := db.Migrate(t.Context(), migrations(first, "ALTER TABLE a ADD COLUMN n TEXT")); err != nil {
		t.Fatal(err)
	}
	count(2)
	if err := db.Migrate(t.Context(), migrations(first)); !errors.Is(err, sqlite.ErrNewer) {
		t.Fatalf("older program: %v, want ErrNewer", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the file is not where it was asked for: %v", err)
	}
}

func TestForeignFileIsRefusedUntouched(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.sqlite"), sqlite.Options{})
	err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec("CREATE TABLE theirs (x)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), migrations("CREATE TABLE ours (x)")); !errors.Is(err, sqlite.ErrForeign) {
		t.Fatalf("got %v, want ErrForeign", err)
	}
	var n int
	if err := db.Reader().QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil || n != 1 {
		t.Fatalf("tables = %d, %v; want theirs only", n, err)
	}
}

func TestErrorsAreTold(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.sqlite")
	db := open(t, path, sqlite.Options{})
	if err := db.Migrate(t.Context(), migrations("CREATE TABLE b (y TEXT UNIQUE, z INTEGER CHECK (z > 0))")); err != nil {
		t.Fatal(err)
	}
	insert := func(values string) error {
		return db.Write(t.Context(), func(tx *sqlite.Tx) error {
			_, err := tx.Exec("INSERT INTO b VALUES " + values)
			return err
		})
	}
	if err := insert("('k', 1)"); err != nil {
		t.Fatal(err)
	}
	if err := insert("('k', 1)"); !sqlite.IsUnique(err) || !sqlite.IsConstraint(err) {
		t.Errorf("same key: %v", err)
	}
	if err := insert("('l', 0)"); sqlite.IsUnique(err) || !sqlite.IsConstraint(err) {
		t.Errorf("check: %v", err)
	}
	if _, err := db.Reader().Exec("DELETE FROM b"); !sqlite.IsReadOnly(err) {
		t.Errorf("writing through the reader: %v", err)
	}

	err := db.Write(t.Context(), func(*sqlite.Tx) error {
		_, err := sqlite.Open(t.Context(), path, sqlite.Options{BusyTimeout: time.Millisecond})
		return err
	})
	if !sqlite.IsBusy(err) {
		t.Errorf("second writer: %v", err)
	}

	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("this is no database, and it is longer than a header of one hundred bytes, which is what SQLite reads first of all"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), text, sqlite.Options{}); !sqlite.IsCorrupt(err) {
		t.Errorf("text file: %v", err)
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(dir, "none", "x"), sqlite.Options{}); err == nil {
		t.Errorf("missing folder: %v", err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Errorf("check of a sound file: %v", err)
	}
}

func TestWriteRollsBack(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.sqlite"), sqlite.Options{})
	if err := db.Migrate(t.Context(), migrations("CREATE TABLE a (x INTEGER)")); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		if _, err := tx.Exec("INSERT INTO a VALUES (1)"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO a VALUES (2)")
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	var n int
	if err := db.Reader().QueryRow("SELECT count(*) FROM a").Scan(&n); err != nil || n != 0 {
		t.Fatalf("rows = %d, %v; want none", n, err)
	}
}

// The ledger's tests live in fake time, so the package must too.
func TestInsideASynctestBubble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Migrate(t.Context(), migrations("CREATE TABLE a (x INTEGER)")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(400 * 24 * time.Hour)
		err = db.Write(t.Context(), func(tx *sqlite.Tx) error {
			if got := tx.Now.Sub(began); got != 400*24*time.Hour {
				t.Errorf("the transaction's time advanced by %v", got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestCutOffFileIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	db := open(t, path, sqlite.Options{})
	text := "CREATE TABLE a (x TEXT); INSERT INTO a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) SELECT printf('%064d', i) FROM n"
	if err := db.Migrate(t.Context(), migrations(text)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 40_000); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !sqlite.IsCorrupt(err) {
		t.Errorf("got %v, want a file that is reported as corrupt", err)
	}
}

func TestFileThatWasTakenAwayIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write := func() error {
		return db.Write(t.Context(), func(tx *sqlite.Tx) error {
			_, err := tx.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS x (y)")
			return err
		})
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := write(); !errors.Is(err, sqlite.ErrMoved) {
		t.Errorf("deleted: %v, want ErrMoved", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(); !errors.Is(err, sqlite.ErrMoved) {
		t.Errorf("replaced: %v, want ErrMoved", err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Errorf("put back: %v", err)
	}
}
