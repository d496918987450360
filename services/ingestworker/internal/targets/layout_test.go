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
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// bySymbol creates a file of the version before, with two symbols on two dates.
func bySymbol(t *testing.T, statements ...string) *sqlite.DB {
	t.Helper()
	before := fstest.MapFS{}
	for _, name := range []string{"0001_tables.sql", "0002_revisions.sql", "0003_coverage_days.sql"} {
		text, err := fs.ReadFile(migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = &fstest.MapFile{Data: text}
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "targets.sqlite"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(tx *sqlite.Tx) error {
		for _, statement := range append([]string{
			"INSERT INTO meta (source, created_at) VALUES ('x', 0)",
			"INSERT INTO daily_prices (symbol, trade_date, close) VALUES ('600001.SH', '2026-03-02', 1), ('600001.SH', '2026-03-03', 2), ('600002.SH', '2026-03-02', 3), ('600002.SH', '2026-03-03', 4)",
		}, statements...) {
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// answers are the rows of queries with one column.
func answers(t *testing.T, db querier, queries []string) (out []string) {
	t.Helper()
	for _, query := range queries {
		if err := each(t.Context(), db, query, into(&out)); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	return out
}

// TestAFileSortedBySymbolIsSortedByDate opens a file of the version before, with what a user
// has added to it: all of it is still there, and the rows are in the order of the dates.
func TestAFileSortedBySymbolIsSortedByDate(t *testing.T) {
	old := bySymbol(t,
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
	)
	path := old.Path()
	queries := []string{
		`SELECT concat_ws(' ', symbol, trade_date, close, "my ""note", twice) FROM daily_prices ORDER BY trade_date, symbol`,
		"SELECT concat_ws(' ', symbol, trade_date, pe) FROM daily_basics ORDER BY trade_date, symbol",
		"SELECT concat_ws(' ', dataset, symbol, trade_date, commit_id, row_count, verdict, rows_hash) FROM coverage ORDER BY 1",
		"SELECT close FROM highest", "SELECT count(*) FROM log",
		"SELECT type || ' ' || name || ' ' || tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 1",
	}
	want := answers(t, old.Reader(), queries)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	s := New(Config{Path: path, Source: "x", Logger: slog.New(slog.DiscardHandler)})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, answers(t, s.db.Reader(), queries)); diff != "" {
		t.Errorf("the file has other contents: %s", diff)
	}
	for _, sorted := range byDate {
		var text []string
		if err := each(t.Context(), s.db.Reader(), "SELECT sql FROM sqlite_schema WHERE name = ?", into(&text), sorted.table); err != nil || !strings.Contains(text[0], "PRIMARY KEY ("+sorted.is+")") {
			t.Errorf("%s is not sorted by date: %s, %v", sorted.table, text, err)
		}
	}
	var analyzed int
	if err := s.db.Reader().QueryRow("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'daily_prices'").Scan(&analyzed); err != nil || analyzed == 0 {
		t.Errorf("the sorted table has no statistics: %v", err)
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

// TestSortingKeepsWhatUsersHaveAdded sorts files with additions that refer to our tables, or that
// prevent a table from being written again. Nothing of them is lost, and the pool can be used.
func TestSortingKeepsWhatUsersHaveAdded(t *testing.T) {
	const notes = "INSERT INTO notes SELECT symbol, trade_date, close FROM daily_prices"
	for name, c := range map[string]struct {
		added  []string
		sorted bool
	}{
		"rows that are deleted with ours": {[]string{"CREATE TABLE notes (s TEXT, d TEXT, n REAL, FOREIGN KEY (s, d) REFERENCES daily_prices (symbol, trade_date) ON DELETE CASCADE)", notes}, true},
		"rows that refer to ours":         {[]string{"CREATE TABLE notes (s TEXT, d TEXT, n REAL, FOREIGN KEY (s, d) REFERENCES daily_prices (symbol, trade_date))", notes}, true},
		"rows that refer to the key":      {[]string{"CREATE TABLE notes (s TEXT, d TEXT, n REAL, FOREIGN KEY (s, d) REFERENCES daily_prices)", notes}, false},
		"a column that refers to theirs": {[]string{"CREATE TABLE notes (s INTEGER PRIMARY KEY, d, n)", "ALTER TABLE daily_prices ADD COLUMN note INTEGER REFERENCES notes (s)",
			"INSERT INTO notes VALUES (7, 7, 7)", "UPDATE daily_prices SET note = 7"}, true},
		"a table with our name": {[]string{"CREATE TABLE Daily_Prices_By_Symbol (x)", "CREATE TABLE notes (s, d, n)", notes}, true},
		"a default with our key": {[]string{"ALTER TABLE daily_prices ADD COLUMN note TEXT DEFAULT 'PRIMARY KEY (symbol, trade_date)'",
			"CREATE TABLE notes (s, d, n)", notes}, true},
		"a violated condition": {[]string{"ALTER TABLE daily_prices ADD COLUMN note INTEGER DEFAULT 1 CHECK (note > 0)", "PRAGMA ignore_check_constraints = ON", "UPDATE daily_prices SET note = 0",
			"PRAGMA ignore_check_constraints = OFF", "CREATE TABLE notes (s, d, n)", notes}, false},
		"a table of an unknown module": {[]string{"CREATE TABLE notes (s, d, n)", notes, "PRAGMA writable_schema = ON",
			"INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', 'found', 'found', 0, 'CREATE VIRTUAL TABLE found USING unknown (a)')", "PRAGMA writable_schema = OFF"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			old := bySymbol(t, c.added...)
			queries := []string{
				"SELECT concat_ws(' ', symbol, trade_date, close) FROM daily_prices ORDER BY 1", "SELECT concat_ws(' ', s, d, n) FROM notes ORDER BY 1",
				"SELECT concat_ws(' ', type, name, sql) FROM sqlite_schema WHERE tbl_name NOT IN ('daily_prices', 'daily_basics', 'daily_moneyflows', 'coverage_days') AND name NOT LIKE 'sqlite_stat%' ORDER BY 1",
				"SELECT name || coalesce(dflt_value, '') FROM pragma_table_info('daily_prices')",
			}
			want := answers(t, old.Reader(), queries)
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			var told strings.Builder
			s := New(Config{Path: old.Path(), Source: "x", Logger: slog.New(slog.NewTextHandler(&told, nil))})
			defer s.Close()
			if err := s.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, answers(t, s.db.Reader(), queries)); diff != "" {
				t.Errorf("the file has other contents: %s", diff)
			}
			var key []string
			if err := each(t.Context(), s.db.Reader(), "SELECT name FROM pragma_table_info('daily_prices') WHERE pk = 1", into(&key)); err != nil || (key[0] == "trade_date") != c.sorted {
				t.Errorf("the first column of the key is %s, %v", key, err)
			}
			if warned := strings.Contains(told.String(), "stays sorted by symbol"); warned == c.sorted {
				t.Errorf("the log is %q", told.String())
			}
			var on bool
			if err := s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
				return tx.QueryRowContext(t.Context(), "PRAGMA foreign_keys").Scan(&on)
			}); err != nil || !on {
				t.Errorf("foreign keys are not checked afterwards: %v", err)
			}
		})
	}
}

// held is a logger whose message about a sort waits.
type held struct {
	slog.Handler
	begun, resume, opened chan struct{}
}

func (h held) Handle(_ context.Context, r slog.Record) error {
	switch {
	case strings.HasPrefix(r.Message, "sorting the tables"):
		close(h.begun)
		<-h.resume
	case strings.HasPrefix(r.Message, "the file is sorted"):
		close(h.opened)
	}
	return nil
}

func (h held) Enabled(context.Context, slog.Level) bool { return true }
func (h held) WithAttrs([]slog.Attr) slog.Handler       { return h }

func heldSink(t *testing.T) (*Sink, held) {
	old := bySymbol(t)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	h := held{begun: make(chan struct{}), resume: make(chan struct{}), opened: make(chan struct{})}
	s := New(Config{Path: old.Path(), Source: "x", Logger: slog.New(h)})
	s.patience, s.large = 0, 0
	return s, h
}

// TestALongSortDoesNotEndWithItsCaller checks that callers are told that the file is being
// sorted, and that the sort goes on when they have left.
func TestALongSortDoesNotEndWithItsCaller(t *testing.T) {
	s, h := heldSink(t)
	defer s.Close()
	ctx, leave := context.WithCancel(t.Context())
	err := s.Open(ctx)
	if !fault.Is(err, fault.TargetsDBLocked) || !strings.Contains(err.Error(), "is being sorted by date") {
		t.Fatalf("the error is %v", err)
	}
	leave()
	<-h.begun
	if err := s.Coverage(t.Context(), nil, market.NoDate, market.NoDate, nil); !fault.Is(err, fault.TargetsDBLocked) {
		t.Errorf("the error of a read is %v", err)
	}
	close(h.resume)
	<-h.opened
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := s.db.Reader().QueryRow("SELECT count(*) FROM daily_prices").Scan(&n); err != nil || n != 4 {
		t.Errorf("the file has %d rows, %v", n, err)
	}
}

// TestCloseEndsASort checks that the file is then as it was.
func TestCloseEndsASort(t *testing.T) {
	s, h := heldSink(t)
	if err := s.Open(t.Context()); !fault.Is(err, fault.TargetsDBLocked) {
		t.Fatalf("the error is %v", err)
	}
	<-h.begun
	go func() {
		<-s.life.Done()
		close(h.resume)
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), s.cfg.Path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n, version int
	err = db.Reader().QueryRow("SELECT (SELECT count(*) FROM daily_prices), (SELECT max(version) FROM schema_version)").Scan(&n, &version)
	if err != nil || n != 4 || version != 3 {
		t.Errorf("the file has %d rows and version %d, %v", n, version, err)
	}
}
