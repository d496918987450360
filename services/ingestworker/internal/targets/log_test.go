package targets_test

import (
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/targets"
	"github.com/afterbell/afterbell/services/internal/market"
)

// TestLogIsCut commits while a reader has a transaction open: the commits report that the log is
// blocked, and when the reader has ended the log is truncated.
func TestLogIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets.sqlite")
	const limit = 1 << 20
	const days = 4 // enough for a log of tens of megabytes
	s := targets.New(targets.Config{Path: path, Source: "x", Logger: slog.New(slog.DiscardHandler), Idle: time.Nanosecond, LogHeld: limit})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	symbols := sinktest.Stocks(400)
	commit := func(epoch int64, seed uint64) (held int64) {
		t.Helper()
		for n := range days {
			d := sinktest.Day0 + market.Date(n)
			got, err := s.Commit(t.Context(), sinktest.Commit(market.Targets, catalog.Daily, d, symbols, sinktest.Rows(catalog.Daily, d, symbols, seed), epoch))
			if err != nil {
				t.Fatal(err)
			}
			held = max(held, got.LogHeld)
		}
		return held
	}
	size := func() int64 {
		st, err := os.Stat(path + "-wal")
		if err != nil {
			return 0
		}
		return st.Size()
	}
	if held := commit(1, 1); held > 0 {
		t.Errorf("a log of %d bytes has no reader", held)
	}
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM daily_prices").Scan(&n); err != nil || n != days*len(symbols) {
		t.Fatal(n, err)
	}
	for epoch := range int64(8) {
		if held := commit(2+epoch, 2+uint64(epoch)); epoch == 7 && held < limit {
			t.Errorf("a reader holds the log of %d bytes, and commits report %d", size(), held)
		}
	}
	if size() < 17<<20 {
		t.Fatalf("the log has %d bytes, too few to show anything", size())
	}
	s.Release() // the reader is still there
	if size() == 0 {
		t.Error("the log was truncated although a reader uses it")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	s.Release()
	if size() > 0 {
		t.Errorf("the reader has gone, and the log has %d bytes", size())
	}
}
