package universe

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

func newSink(t *testing.T, cfg Config) *Sink {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "analysis.duckdb")
	}
	cfg.Source, cfg.Logger = sinktest.Source, slog.New(slog.DiscardHandler)
	s := New(cfg)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// group commits dates at once, all in one group: the writer is held up until they
// wait.
func group(t *testing.T, s *Sink, dates int) []error {
	t.Helper()
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	release, blocked := make(chan struct{}), make(chan struct{})
	go s.do(t.Context(), func(*writer) error { close(blocked); <-release; return nil })
	<-blocked
	errs := make([]error, dates)
	var all sync.WaitGroup
	symbols := sinktest.Stocks(20)
	for i := range dates {
		all.Go(func() {
			date := sinktest.Day0 + market.Date(i)
			_, errs[i] = s.Commit(t.Context(), sinktest.Commit(market.Universe, catalog.Daily, date, symbols, sinktest.Rows(catalog.Daily, date, symbols, 1), 1))
		})
	}
	for len(s.queue) < dates {
		time.Sleep(time.Millisecond) // in a bubble, where it takes no time
	}
	close(release)
	all.Wait()
	return errs
}

func TestOneBadPartitionFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink(t, Config{})
		defer s.Close()
		sizes := 0
		s.inGroup = func(r *request) error {
			sizes++
			if r.commit.Partition.Start == sinktest.Day0+3 {
				return errors.New("this one cannot be")
			}
			return nil
		}
		errs := group(t, s, 6)
		for i, err := range errs {
			key := coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0 + market.Date(i)}
			found, readErr := sinktest.Contents(t.Context(), s, key)
			if readErr != nil {
				t.Fatal(readErr)
			}
			_, held := s.Held(key)
			if bad := i == 3; bad != fault.Is(err, fault.StoreFailed) || bad == held || bad == (found.Rows == 20) {
				t.Errorf("date %d: %v, %d rows, held %v", i, err, found.Rows, held)
			}
		}
		if sizes <= 6 {
			t.Errorf("%d partitions were staged: they were not tried as a group first", sizes)
		}
	})
}

// If the file is deleted at each write, the commit fails with a reason. Once that has stopped, the
// next commit succeeds.
func TestTakenAwayWhileWritten(t *testing.T) {
	s := newSink(t, Config{})
	defer s.Close()
	s.inGroup = func(*request) error { return os.Remove(s.cfg.Path) }
	symbols := sinktest.Stocks(20)
	c := sinktest.Commit(market.Universe, catalog.Daily, sinktest.Day0, symbols, sinktest.Rows(catalog.Daily, sinktest.Day0, symbols, 1), 2)
	_, err := s.Commit(t.Context(), c)
	faulttest.Produces(t, fault.IssueOf(err), fault.FileReplaced)
	if _, held := s.Held(c.Records[0].Key); held {
		t.Error("a commit that was refused is reported as held")
	}
	s.inGroup = nil
	if _, err := s.Commit(t.Context(), c); err != nil {
		t.Error(err)
	}
}

// DuckDB invalidates an instance after some errors; the writer opens the file again and continues.
func TestFatalErrorReopensTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink(t, Config{})
		defer s.Close()
		left := 2
		s.inGroup = func(*request) error {
			if left--; left >= 0 {
				return &duckError{text: "FATAL Error: made up", fatal: true}
			}
			return nil
		}
		for i, err := range group(t, s, 4) {
			// The second fault meets the first of the partitions tried singly.
			if failed := err != nil; failed && !fault.Is(err, fault.StoreFailed) {
				t.Errorf("date %d: %v", i, err)
			}
		}
		symbols := sinktest.Stocks(20)
		for i := range 4 {
			date := sinktest.Day0 + market.Date(i)
			c := sinktest.Commit(market.Universe, catalog.Daily, date, symbols, sinktest.Rows(catalog.Daily, date, symbols, 1), 2)
			if _, err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if held, err := sinktest.Contents(t.Context(), s, c.Records[0].Key); err != nil || held.Rows != 20 || held.Duplicates != 0 {
				t.Errorf("date %d: %+v, %v", i, held, err)
			}
		}
	})
}

func TestIdleFileIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink(t, Config{Idle: 10 * time.Second})
		defer s.Close()
		open := func() (open bool) {
			if err := s.do(t.Context(), func(w *writer) error { open = w.file != nil; return nil }); err != nil {
				t.Fatal(err)
			}
			return open
		}
		symbols := sinktest.Stocks(5)
		write := func() {
			t.Helper()
			c := sinktest.Commit(market.Universe, catalog.Daily, sinktest.Day0, symbols, sinktest.Rows(catalog.Daily, sinktest.Day0, symbols, 1), 1)
			if _, err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		write()
		time.Sleep(9 * time.Second)
		s.Release()
		if !open() {
			t.Error("closed before it was idle for long enough")
		}
		write()
		time.Sleep(9 * time.Second)
		if !open() {
			t.Error("the second write did not count")
		}
		for range 30 { // reading coverage does not keep the file open
			time.Sleep(100 * time.Millisecond)
			if _, ok := s.Held(coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0}); !ok {
				t.Fatal("coverage is lost")
			}
		}
		if open() {
			t.Error("still open after 12 s")
		}
		if _, err := os.Stat(s.cfg.Path + ".wal"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the log was not folded in: %v", err)
		}
		write()
		if !open() {
			t.Error("not opened again")
		}
	})
}

func TestSchemaTellsUnits(t *testing.T) {
	s := newSink(t, Config{})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	comments := make(map[string]string)
	err := s.do(t.Context(), func(w *writer) error {
		return w.file.query("SELECT table_name || '.' || column_name, comment FROM duckdb_columns() WHERE NOT internal", func(c rows) error {
			for i := range c.len {
				comments[c.columns[0].text(i)] = c.columns[1].text(i)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range catalog.Datasets() {
		for _, c := range d.Columns {
			if comments[d.Table+"."+c.Stored] == "" {
				t.Errorf("%s.%s has no comment", d.Table, c.Stored)
			}
		}
	}
	if got := comments["daily_prices.amount"]; got != "Turnover, 千元." {
		t.Errorf("daily_prices.amount is %q", got)
	}
	if columns := schema()[slices.IndexFunc(schema(), func(t schemaTable) bool { return t.name == catalog.TableInstruments })].columns; columns[1].name != "kind" {
		t.Errorf("instrument_meta begins %v", columns[:2])
	}
}

func TestFilesOfOthersAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ sql, says string }{
		"another program's": {"CREATE TABLE theirs (x INTEGER)", "lacks the table"},
		"newer":             {createSQL() + "INSERT INTO meta VALUES (99, 'x', now()::TIMESTAMP)", "newer version"},
		"newer and wider": {createSQL() + "INSERT INTO meta VALUES (99, 'x', now()::TIMESTAMP); ALTER TABLE daily_prices ADD COLUMN adj_factor DOUBLE",
			"newer version"},
		"column missing": {createSQL() + "INSERT INTO meta VALUES (1, 'x', now()::TIMESTAMP); ALTER TABLE daily_prices DROP COLUMN amount",
			"daily_prices has other columns"},
		"no version":  {createSQL(), "version 0"},
		"no database": {"", "analysis.duckdb cannot be used: it is damaged, or it is not a DuckDB database."},
	} {
		path := filepath.Join(t.TempDir(), "analysis.duckdb")
		if c.sql != "" {
			execOutside(t, path, c.sql)
		} else if err := os.WriteFile(path, []byte("some text, which is not a database\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newSink(t, Config{Path: path})
		err := s.Open(t.Context())
		f, ok := fault.As(err)
		if !ok || f.Reason != fault.AnalysisDBNotInitialized || strings.Contains(f.Message, path) || !strings.Contains(f.Message, c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// execOutside changes a file as another program does.
func execOutside(t *testing.T, path, sql string) {
	t.Helper()
	d, err := openDuck(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if err := d.exec(sql); err != nil {
		t.Fatal(err)
	}
}

func TestWhatPeopleAddIsLetBe(t *testing.T) {
	s := newSink(t, Config{})
	symbols := sinktest.Stocks(5)
	commit := func(s *Sink, rows int) {
		t.Helper()
		c := sinktest.Commit(market.Universe, catalog.Daily, sinktest.Day0, symbols, sinktest.Rows(catalog.Daily, sinktest.Day0, symbols[:rows], 1), 1)
		if _, err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	commit(s, 5)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	execOutside(t, s.cfg.Path, `CREATE SCHEMA research; CREATE TABLE research.daily_prices AS SELECT symbol FROM daily_prices;
	  CREATE VIEW closes AS SELECT symbol, close FROM daily_prices; CREATE TABLE mine (x INTEGER); CREATE INDEX i ON daily_prices (symbol)`)
	s = newSink(t, Config{Path: s.cfg.Path})
	commit(s, 3)
	commit(s, 4)
	held, err := sinktest.Contents(t.Context(), s, coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0})
	if err != nil || held.Rows != 4 || held.Duplicates != 0 {
		t.Errorf("%+v, %v; want 4 rows", held, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// DuckDB opens a file that lacks its end, and finds out when it reads the rows.
func TestDamageFoundLateIsToldAsSuch(t *testing.T) {
	s := newSink(t, Config{})
	symbols := sinktest.Stocks(3000)
	c := sinktest.Commit(market.Universe, catalog.Daily, sinktest.Day0, symbols, sinktest.Rows(catalog.Daily, sinktest.Day0, symbols, 1), 1)
	if _, err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.cfg.Path, info.Size()-4096); err != nil {
		t.Fatal(err)
	}
	s = newSink(t, Config{Path: s.cfg.Path})
	err = s.Open(t.Context())
	if err == nil {
		_, err = s.Commit(t.Context(), c)
	}
	if f, ok := fault.As(err); !ok || f.Reason != fault.AnalysisDBNotInitialized || strings.Contains(f.Message, filepath.Dir(s.cfg.Path)) {
		t.Errorf("got %v, want ANALYSIS_DB_NOT_INITIALIZED without the folder", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A process that died while it made the file leaves one that DuckDB does not open.
func TestHalfMadeFileIsMadeAgain(t *testing.T) {
	s := newSink(t, Config{})
	for _, suffix := range []string{".new", ".new.wal"} {
		if err := os.WriteFile(s.cfg.Path+suffix, make([]byte, 4096), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(s.cfg.Path + ".new*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOrphanedLogIsSetAside(t *testing.T) {
	s := newSink(t, Config{})
	if err := os.WriteFile(s.cfg.Path+".wal", []byte("of a file that was moved away"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.cfg.Path + ".wal.orphan"); err != nil {
		t.Error(err)
	}
}

func TestDuckDBsErrorsAreRead(t *testing.T) {
	lock := newDuckError(`IO Error: Could not set lock on file "/data/analysis.duckdb": Conflicting lock is held in /usr/bin/python3.11 (PID 12345) by user root. See also https://duckdb.org/docs/stable/connect/concurrency`, 0)
	if pid, locked := lock.lockedBy(); !locked || pid != 12345 || lock.fatal || lock.full() {
		t.Errorf("lock: %d, %v", pid, locked)
	}
	full := newDuckError(`IO Error: Could not write all bytes to file "/data/analysis.duckdb": wanted=262144 wrote=0 No space left on device`, 0)
	if _, locked := full.lockedBy(); locked || !full.full() {
		t.Error("a full disk is not reported")
	}
	dead := newDuckError("FATAL Error: Failed: database has been invalidated because of a previous fatal error.", 0)
	if !dead.fatal {
		t.Error("an invalidated database is not reported")
	}
	w := &writer{cfg: Config{MinFree: 1}, sink: &Sink{}}
	if err := w.failure(fmt.Errorf("daily: %w", full)); !fault.Is(err, fault.DiskFull) {
		t.Errorf("full disk: %v", err)
	}
}
