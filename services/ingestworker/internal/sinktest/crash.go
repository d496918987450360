package sinktest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// day returns a commit of some rows of the nth day.
func day(h Harness, n int) ingest.Commit {
	symbols, date := Stocks(4+n), Day0+market.Date(n)
	return Commit(h.Pool, catalog.Daily, date, symbols, Rows(catalog.Daily, date, symbols, 7), 1)
}

// holdsOnly checks that the sink's memory, and the file after the sink is closed, have exactly
// these commits.
func holdsOnly(t *testing.T, h Harness, s ingest.Sink, path string, want ...ingest.Commit) {
	t.Helper()
	keys := make(map[coverage.Key]bool)
	rows := []Row{}
	for _, c := range want {
		for _, r := range c.Records {
			keys[r.Key] = true
		}
		rows = append(rows, rowsOf(catalog.Daily, c.Batch)...)
	}
	Sort(rows)
	got := make(map[coverage.Key]bool)
	for k := range records(t, s) {
		got[k] = true
	}
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Errorf("coverage differs: %s", diff)
	}
	closeSink(t, s)
	if diff := cmp.Diff(rows, h.Dump(t, path, catalog.TablePrices)); diff != "" {
		t.Errorf("rows differ: %s", diff)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func deletedWhileOpen(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	commit(t, s, day(h, 0))
	remove(t, path)
	if got := records(t, s); len(got) != 0 {
		t.Errorf("%d records of a deleted file are returned", len(got))
	}
	if got := commit(t, s, day(h, 1)); got.New != 5 {
		t.Errorf("changes = %+v, want 5 new", got)
	}
	holdsOnly(t, h, s, path, day(h, 1))
}

// deletedUnnoticed deletes a file of which nothing is read before the next commit.
func deletedUnnoticed(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	commit(t, s, day(h, 0))
	remove(t, path)
	commit(t, s, day(h, 1))
	commit(t, s, day(h, 0))
	holdsOnly(t, h, s, path, day(h, 0), day(h, 1))
}

func deletedWhileClosed(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.make(Options{Path: path, Idle: time.Nanosecond})
	t.Cleanup(func() { closeSink(t, s) })
	c := day(h, 0)
	commit(t, s, c)
	s.Release()
	remove(t, path)
	s.Release()
	if _, ok := s.Held(c.Records[0].Key); ok {
		t.Error("a record of a deleted file is returned")
	}
	if got := records(t, s); len(got) != 0 {
		t.Errorf("%d records of a deleted file are returned", len(got))
	}
	if _, err := s.Instruments(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading created the file: %v", err)
	}
	commit(t, s, day(h, 1))
	holdsOnly(t, h, s, path, day(h, 1))
}

// replaced replaces the file at path by another file of the pool, which has day 2.
func replaced(t *testing.T, h Harness, path string) {
	t.Helper()
	other := h.path(t)
	s := h.open(t, other)
	commit(t, s, day(h, 2))
	closeSink(t, s)
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
}

func replacedWhileOpen(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	commit(t, s, day(h, 0))
	replaced(t, h, path)
	commit(t, s, day(h, 1))
	holdsOnly(t, h, s, path, day(h, 1), day(h, 2))
}

// OverwrittenWhileOpen copies a backup over the open file, as cp does: the inode stays and the
// content is another. The next commit must add to the new content, without any of the old. It
// is not part of the suite, because with SQLite any reader may write the log to the file, so
// that a changed file proves nothing.
func OverwrittenWhileOpen(t *testing.T, h Harness) {
	path, backup := h.path(t), h.path(t)
	s := h.open(t, backup)
	commit(t, s, day(h, 2))
	closeSink(t, s)
	copied, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	s = h.open(t, path)
	commit(t, s, day(h, 0))
	if err := os.WriteFile(path, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	commit(t, s, day(h, 1))
	holdsOnly(t, h, s, path, day(h, 1), day(h, 2))
}

func replacedWhileClosed(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.make(Options{Path: path, Idle: time.Nanosecond})
	t.Cleanup(func() { closeSink(t, s) })
	commit(t, s, day(h, 0))
	s.Release()
	if s.Refresh(t.Context()) {
		t.Error("Refresh reports a change of an unchanged file")
	}
	replaced(t, h, path)
	if !s.Refresh(t.Context()) {
		t.Error("Refresh does not report a replaced file")
	}
	if _, ok := s.Held(day(h, 2).Records[0].Key); !ok {
		t.Error("Held does not return a record of the new file")
	}
	remove(t, path)
	if !s.Refresh(t.Context()) || s.Refresh(t.Context()) {
		t.Error("Refresh must report a deleted file once")
	}
	replaced(t, h, path)
	if !s.Refresh(t.Context()) {
		t.Error("Refresh does not report a restored file")
	}
	holdsOnly(t, h, s, path, day(h, 2))
}

// copiedOverWhileClosed copies a backup over the closed file and sets its modification time,
// as cp -p does.
func copiedOverWhileClosed(t *testing.T, h Harness) {
	path, backup := h.path(t), h.path(t)
	s := h.open(t, backup)
	commit(t, s, day(h, 2))
	closeSink(t, s)
	copied, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	s = h.make(Options{Path: path, Idle: time.Nanosecond})
	t.Cleanup(func() { closeSink(t, s) })
	commit(t, s, day(h, 0))
	s.Release()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, copied, 0o600), os.Chtimes(path, st.ModTime(), st.ModTime())); err != nil {
		t.Fatal(err)
	}
	if !s.Refresh(t.Context()) {
		t.Error("Refresh does not report changed content")
	}
	holdsOnly(t, h, s, path, day(h, 2))
}

// linkStaysOne uses a symbolic link to a file that does not exist yet, for example on another
// volume.
func linkStaysOne(t *testing.T, h Harness) {
	path, real := h.path(t), h.path(t)
	if err := os.Symlink(real, path); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{4, 0} { // created, then opened
		s := h.open(t, path)
		if got := commit(t, s, day(h, 0)); got.New != want {
			t.Errorf("changes = %+v, want %d new", got, want)
		}
		second := h.make(Options{Path: real})
		if err := second.Open(t.Context()); err == nil {
			t.Error("a second worker opens the file by its own name")
		}
		closeSink(t, second)
		closeSink(t, s)
	}
	if st, err := os.Lstat(path); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", st, err)
	}
	if rows := h.Dump(t, real, catalog.TablePrices); len(rows) != 4 {
		t.Errorf("the target of the link has %d rows, want 4", len(rows))
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("files next to the link: %v, %v", left, err)
	}
}
