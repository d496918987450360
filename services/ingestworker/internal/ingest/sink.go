package ingest

import (
	"context"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Commit is one partition's rows with all their bookkeeping.
type Commit struct {
	// Partition says which rows of the pool are replaced.
	Partition coverage.Partition
	// Epoch of the dispatch, Unix ms.
	Epoch int64
	// RunID on whose behalf.
	RunID string
	// Batch holds the rows that replace the partition, unique by key. Nil leaves
	// the rows held as they are and writes the records and rejects only.
	Batch *table.Batch
	// Records are the coverage of the partition. New, Changed and Gone of the
	// first are filled in by the sink for the universe pool; targets spreads them
	// over its keys.
	Records []coverage.Record
	// Rejects replace those that the partition had before.
	Rejects []coverage.Reject
	// KeepRejects leaves the rejects of the partition as they are.
	KeepRejects bool
}

// Changes compares a commit with what was held before.
type Changes struct {
	// New rows, rows with another value, and rows no longer there.
	New, Changed, Gone int64
	// Revised sums up what was kept of the values that changed or went.
	Revised Revised
	// Renamed are the companies that a list has under another code, whose rows were
	// moved. Orphans are rows that it does not know even so; universe only.
	Renamed []Rename
	Orphans Orphans
	// LogHeld is the size in bytes of a write-ahead log that a reader of the file keeps
	// from being shortened; 0 where it can be, or is small.
	LogHeld int64
}

// Contents is what a pool's file holds of a key.
type Contents struct {
	// Rows in the tables, and Duplicates among them that share a key with another.
	Rows, Duplicates int64
	// Hash of the rows with every column of their table, as coverage's RowsHash.
	Hash uint64
}

// Sink is a pool's file. Both pools pass the suite in package sinktest.
type Sink interface {
	// Open makes the file ready for writing: it must exist or be creatable, be
	// readable, carry the schema, come from the configured provider host and have
	// room on its volume. It returns the pool's *_DB_LOCKED,
	// *_DB_NOT_INITIALIZED, SOURCE_MISMATCH or DISK_FULL, each with the file's name and the
	// holder's pid where it is known.
	Open(ctx context.Context) error
	// Commit replaces the partition's rows, records and rejects in one
	// transaction, and keeps every value of a held row that thereby changes or goes as
	// a Revision. A list that has a company under another code moves its rows and their
	// coverage to that, in the same transaction. It must return STALE_EPOCH, and write nothing, when a record of
	// the partition carries a higher epoch. When ctx ends before the transaction
	// has begun to commit, it must leave no trace and return ctx's error.
	// Committing the same again gives the same store.
	Commit(ctx context.Context, c Commit) (Changes, error)
	// Coverage calls yield for every record with a dataset in the list (all when
	// empty) and a date within the span (NoDate bounds are open; snapshots match
	// only without bounds), in no order, until yield returns false. It answers from memory, also while
	// the file is closed.
	Coverage(ctx context.Context, datasets []string, start, end market.Date, yield func(coverage.Record) bool) error
	// Contents is what the tables hold for each key, in the order of the keys, read
	// from the file and not from coverage. After any commits, and whatever other keys
	// they were of, it must agree with the key's record: as many rows, none double, and
	// the same hash.
	Contents(ctx context.Context, keys ...coverage.Key) ([]Contents, error)
	// Revisions lists what was kept of values that changed or went, newest first. A
	// file that is not there has none.
	Revisions(ctx context.Context, q RevisionQuery) ([]Revision, error)
	// Rows are the rows that the tables hold for a key, read from the file, with every
	// column of their table by the provider's name. Without a symbol, those of every
	// symbol of the date. INVALID_ARGUMENT for a dataset that is not in the catalog.
	Rows(ctx context.Context, k coverage.Key) (*table.Batch, error)
	// Calendar is the open days and the last day known, from trade_calendar.
	Calendar(ctx context.Context) (Calendar, error)
	// Instruments is every instrument held, from instrument_meta.
	Instruments(ctx context.Context) ([]coverage.Instrument, error)
	// Refresh brings what is told from memory up to a file that a user removed,
	// wrote to or replaced, and reports whether it had to.
	Refresh(ctx context.Context) (changed bool)
	// Held is the record of one key, from memory; ok is false when nothing was ever
	// committed for it.
	Held(k coverage.Key) (r coverage.Record, ok bool)
	// Release closes the file once nothing was written for the idle time; it is
	// called by the worker's janitor and is harmless at any time.
	Release()
	// Close ends the sink; work in progress ends first.
	Close() error
}

// Calendar is the trading calendar a pool holds.
type Calendar = coverage.Calendar
