package sinktest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Source is the provider's host in the files of the suite.
const Source = "provider.example"

// Options are the settings of a sink that the suite uses.
type Options struct {
	// Path of the file.
	Path string
	// Source is the provider host. Empty means Source.
	Source string
	// AcceptSource accepts a file of another host.
	AcceptSource bool
	// MinFree is the required free space in bytes; 0 means the sink's default.
	MinFree int64
	// Idle is how long a file stays open without use; 0 means the sink's default.
	Idle time.Duration
}

// Row is a row of a table by column, with each value as text; null is "NULL".
type Row map[string]string

// Harness is what a pool passes to the suite.
type Harness struct {
	// Pool under test.
	Pool market.Pool
	// File is the name of the pool's file.
	File string
	// New creates a sink.
	New func(o Options) ingest.Sink
	// Dump reads a table of a file that no sink has open.
	Dump func(t testing.TB, path, table string) []Row
	// Exec runs a statement on a file that no sink has open, as another program would.
	Exec func(t testing.TB, path, statement string)
	// Hold takes the write lock of a file, as another program would; release releases it.
	Hold func(path string) (release func(), err error)
	// First returns statements for Exec that turn a file without revisions into one of the first
	// release, which had no table of revisions.
	First []string
	// Locked and Unfit are the pool's reasons for a locked and for an unusable file.
	Locked, Unfit fault.Reason
}

func (h Harness) path(t testing.TB) string { return filepath.Join(t.TempDir(), h.File) }

func (h Harness) make(o Options) ingest.Sink {
	if o.Source == "" {
		o.Source = Source
	}
	return h.New(o)
}

// open returns a sink that is open for writing. It is closed at the end of the test.
func (h Harness) open(t testing.TB, path string) ingest.Sink {
	t.Helper()
	s := h.make(Options{Path: path})
	t.Cleanup(func() { closeSink(t, s) })
	if err := s.Open(t.Context()); err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func closeSink(t testing.TB, s ingest.Sink) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// counts are the numbers of rows that a commit changed.
type counts struct{ New, Changed, Gone int64 }

// commit commits and returns the numbers of changed rows. Tests of revisions use commitAll.
func commit(t testing.TB, s ingest.Sink, c ingest.Commit) counts {
	t.Helper()
	changes := commitAll(t, s, c)
	return counts{changes.New, changes.Changed, changes.Gone}
}

func commitAll(t testing.TB, s ingest.Sink, c ingest.Commit) ingest.Changes {
	t.Helper()
	changes, err := s.Commit(t.Context(), c)
	if err != nil {
		t.Fatalf("Commit of %s: %v", c.Partition.ID, err)
	}
	return changes
}

// agree checks that the file has for each key what its record says, and returns the number of
// rows.
func agree(t testing.TB, s ingest.Sink) (rows int64) {
	t.Helper()
	for k, r := range records(t, s) {
		held, err := Contents(t.Context(), s, k)
		if want := (ingest.Contents{Rows: r.Rows, Hash: r.RowsHash}); err != nil || held != want {
			t.Errorf("%v: the file has %+v, %v; its record says %+v", k, held, err, want)
		}
		if (r.Rows == 0) != (r.RowsHash == 0) {
			t.Errorf("%v: the record says %d rows with hash %d", k, r.Rows, r.RowsHash)
		}
		rows += held.Rows
	}
	return rows
}

// records returns all coverage by key.
func records(t testing.TB, s ingest.Sink) map[coverage.Key]coverage.Record {
	t.Helper()
	out := make(map[coverage.Key]coverage.Record)
	err := s.Coverage(context.Background(), nil, market.NoDate, market.NoDate, func(r coverage.Record) bool {
		if _, twice := out[r.Key]; twice {
			t.Errorf("coverage has %v twice", r.Key)
		}
		out[r.Key] = r
		return true
	})
	if err != nil {
		t.Fatalf("Coverage: %v", err)
	}
	return out
}

// Contents returns what a pool's file has of one key.
func Contents(ctx context.Context, s ingest.Sink, k coverage.Key) (ingest.Contents, error) {
	found, err := s.Contents(ctx, k)
	if err != nil {
		return ingest.Contents{}, err
	}
	return found[0], nil
}
