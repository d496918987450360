package targets

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// TestAFileSortedBySymbolIsSortedByDate opens a file of the version before, with what a user
// has added to it: all of it is still there, and the rows are in the order of the dates.
func TestAFileSortedBySymbolIsSortedByDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets.sqlite")
	before := fstest.MapFS{}
	for _, name := range []string{"0001_tables.sql", "0002_revisions.sql", "0003_coverage_days.sql"} {
		text, err := fs.ReadFile(migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = &fstest.MapFile{Data: text}
	}
	old, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Migrate(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	err = old.Write(t.Context(), func(tx *sqlite.Tx) error {
		for _, statement := range []string{
			"INSERT INTO meta (source, created_at) VALUES ('x', 0)",
			"INSERT INTO daily_prices (symbol, trade_date, close) VALUES ('600001.SH', '2026-03-02', 1), ('600001.SH', '2026-03-03', 2), ('600002.SH', '2026-03-02', 3), ('600002.SH', '2026-03-03', 4)",
			"INSERT INTO daily_basics (symbol, trade_date, pe) VALUES ('600001.SH', '2026-03-03', 2), ('600002.SH', '2026-03-02', 3)",
			"INSERT INTO commits (id, run_id, epoch, committed_at) VALUES (7, 'run', 5, 0)",
			"INSERT INTO series (id, dataset, symbol) VALUES (1, 'daily', '600001.SH'), (2, 'daily', '600002.SH')",
			"INSERT INTO coverage_days (series_id, trade_day, commit_id, state, rows_hash) VALUES (1, 20514, 7, 35, 11), (1, 20515, 7, 35, 12), (2, 20514, 7, 35, 21), (2, 20515, 7, 35, 22)",
			`ALTER TABLE daily_prices ADD COLUMN "my ""note" TEXT DEFAULT 'none'`,
			`UPDATE daily_prices SET "my ""note" = 'seen' WHERE close = 3`,
			"ALTER TABLE daily_prices ADD COLUMN twice REAL AS (close * 2)",
			"CREATE INDEX mine ON daily_prices (close)",
			"CREATE TABLE log (close REAL)",
			"CREATE TRIGGER told AFTER INSERT ON daily_prices BEGIN INSERT INTO log VALUES (NEW.close); END",
			"CREATE VIEW highest AS SELECT max(close) AS close FROM daily_prices",
		} {
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	what := func(db querier) (out []string) {
		for _, query := range []string{
			`SELECT concat_ws(' ', symbol, trade_date, close, "my ""note", twice) FROM daily_prices ORDER BY trade_date, symbol`,
			"SELECT concat_ws(' ', symbol, trade_date, pe) FROM daily_basics ORDER BY trade_date, symbol",
			"SELECT concat_ws(' ', dataset, symbol, trade_date, commit_id, row_count, verdict, rows_hash) FROM coverage ORDER BY 1",
			"SELECT close FROM highest", "SELECT count(*) FROM log",
			"SELECT type || ' ' || name || ' ' || tbl_name FROM sqlite_schema ORDER BY 1",
		} {
			if err := each(t.Context(), db, query, into(&out)); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
		}
		return out
	}
	want := what(old.Reader())
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	s := New(Config{Path: path, Source: "x", Logger: slog.New(slog.DiscardHandler)})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, what(s.db.Reader())); diff != "" {
		t.Errorf("the file has other contents: %s", diff)
	}
	for _, sorted := range byDate {
		var text []string
		if err := each(t.Context(), s.db.Reader(), "SELECT sql FROM sqlite_schema WHERE name = ?", into(&text), sorted.table); err != nil || !strings.Contains(text[0], "PRIMARY KEY ("+sorted.is+")") {
			t.Errorf("%s is not sorted by date: %s, %v", sorted.table, text, err)
		}
	}
	symbols := sinktest.Stocks(2)
	day := market.Date(20516)
	if _, err := s.Commit(t.Context(), sinktest.Commit(market.Targets, catalog.Daily, day, symbols, sinktest.Rows(catalog.Daily, day, symbols, 1), 6)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestASymbolIsFoundInEachDate checks that a user's query for one symbol does not read the
// whole table once the file was closed.
func TestASymbolIsFoundInEachDate(t *testing.T) {
	s := New(Config{Path: filepath.Join(t.TempDir(), "targets.sqlite"), Source: "x", Idle: time.Nanosecond, Logger: slog.New(slog.DiscardHandler)})
	defer s.Close()
	symbols := sinktest.Stocks(200)
	for n := range market.Date(20) {
		d := sinktest.Day0 + n
		if _, err := s.Commit(t.Context(), sinktest.Commit(market.Targets, catalog.Daily, d, symbols, sinktest.Rows(catalog.Daily, d, symbols, 1), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if s.Release(); s.db != nil {
		t.Fatal("the file is open")
	}
	db, err := sqlite.Open(context.Background(), s.cfg.Path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var plan string
	var n int
	err = db.Reader().QueryRow("EXPLAIN QUERY PLAN SELECT * FROM daily_prices WHERE symbol = '600001.SH' ORDER BY trade_date").Scan(&n, &n, &n, &plan)
	if err != nil || !strings.Contains(plan, "SEARCH daily_prices USING PRIMARY KEY (ANY(trade_date) AND symbol=?)") {
		t.Errorf("the plan is %q, %v", plan, err)
	}
}
