package sqlite_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/internal/sqlite"
)

func TestScanPassesTheValuesOfEachRow(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.sqlite"), sqlite.Options{})
	var got [][]driver.Value
	row := func(values []driver.Value) error {
		got = append(got, append([]driver.Value(nil), values...))
		return nil
	}
	const query = "SELECT 7, 0.5, 'a', x'01', NULL, ? UNION ALL SELECT ?, ?, ?, NULL, NULL, 1"
	args := []any{int64(1), 8, 1.5, "b"}
	want := [][]driver.Value{{int64(7), 0.5, "a", []byte{1}, nil, int64(1)}, {int64(8), 1.5, "b", nil, nil, int64(1)}}
	check := func(err error) {
		t.Helper()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
		got = nil
	}
	for range 2 { // the second time with the statement that is kept
		check(sqlite.Scan(t.Context(), db.Reader(), row, query, args...))
	}
	check(db.Write(t.Context(), func(tx *sqlite.Tx) error { return tx.Scan(t.Context(), row, query, args...) }))

	stop := errors.New("enough")
	calls := 0
	err := sqlite.Scan(t.Context(), db.Reader(), func([]driver.Value) error { calls++; return stop }, query, args...)
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%d rows, %v", calls, err)
	}
	if err := sqlite.Scan(t.Context(), db.Reader(), row, "SELECT nothing"); err == nil {
		t.Error("a query of a column that does not exist succeeded")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sqlite.Scan(ended, db.Reader(), row, query, args...); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
	want = nil
	check(sqlite.Scan(t.Context(), db.Reader(), row, "SELECT 1 WHERE false"))
}
