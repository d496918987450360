package targets_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // reads the file the way others do
	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/targets"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

func harness() sinktest.Harness {
	return sinktest.Harness{
		Pool: market.Targets, File: "targets.sqlite", Locked: fault.TargetsDBLocked, Unfit: fault.TargetsDBNotInitialized,
		New: func(o sinktest.Options) ingest.Sink {
			return targets.New(targets.Config{
				Path: o.Path, Source: o.Source, AcceptSource: o.AcceptSource, MinFree: o.MinFree, Idle: o.Idle,
				BusyTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
			})
		},
		Dump: dump, Exec: alter, Hold: hold,
		First: []string{
			"DROP TABLE revisions", "CREATE TABLE held AS SELECT * FROM coverage", "DROP VIEW coverage", "DROP TABLE coverage_days", "DROP TABLE series",
			"DELETE FROM coverage_records", "INSERT INTO coverage_records SELECT * FROM held", "DROP TABLE held",
			"ALTER TABLE coverage_records RENAME TO coverage", "DELETE FROM schema_version WHERE version > 1",
		},
	}
}

func TestMain(m *testing.M) {
	if code := sinktest.Main(m, harness()); code != 0 {
		os.Exit(code)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func hold(path string) (func(), error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_txlock=immediate")
	if err != nil {
		return nil, err
	}
	tx, err := db.Begin()
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return sync.OnceFunc(func() { _ = tx.Rollback(); _ = db.Close() }), nil
}

func dump(t testing.TB, path, table string) []sinktest.Row {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT * FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	out := []sinktest.Row{}
	for rows.Next() {
		values := make([]any, len(names))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		row := make(sinktest.Row)
		for i, name := range names {
			switch x := (*values[i].(*any)).(type) {
			case nil:
				row[name] = "NULL"
			case float64:
				row[name] = sinktest.Number(x)
			default:
				row[name] = fmt.Sprint(x)
			}
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	sinktest.Sort(out)
	return out
}

func alter(t testing.TB, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestSink(t *testing.T) { sinktest.Run(t, harness()) }

func TestKill(t *testing.T) { sinktest.RunKill(t, harness()) }

// BenchmarkSink commits 20 dates of 500 symbols, all columns, to a new file.
func BenchmarkSink(b *testing.B) { sinktest.Bench(b, harness(), 20) }

func TestForeignFileIsNotInitialized(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets.sqlite")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	s := targets.New(targets.Config{Path: path, Source: "api.tushare.pro", Logger: slog.New(slog.DiscardHandler)})
	faulttest.Produces(t, s.Open(t.Context()), fault.TargetsDBNotInitialized)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
