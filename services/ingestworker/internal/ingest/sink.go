package ingest

import (
	"context"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Commit is one partition's rows with all of their bookkeeping.
type Commit struct {
	// Partition says which rows of the pool are replaced.
	Partition coverage.Partition
	// Epoch of the dispatch, Unix ms.
	Epoch int64
	// RunID of the run.
	RunID string
	// Batch has the rows that replace the partition, unique by key. Nil leaves the stored rows
	// unchanged and writes only records and rejects.
	Batch *table.Batch
	// Records are the coverage of the partition. For the universe pool, the sink sets New,
	// Changed and Gone of the first; targets spreads them over its keys.
	Records []coverage.Record
	// Rejects replace the previous rejects of the partition.
	Rejects []coverage.Reject
	// KeepRejects leaves the rejects of the partition unchanged.
	KeepRejects bool
}

// Changes compares a commit with the stored rows before it.
type Changes struct {
	// Number of new rows, of rows with a changed value, and of rows that were removed.
	New, Changed, Gone int64
	// Revised summarizes the changed and removed values.
	Revised Revised
	// Renamed are the companies that a list has under a new code, whose rows were moved.
	// Orphans are rows of symbols that it still does not have; universe only.
	Renamed []Rename
	Orphans Orphans
	// LogHeld is the size in bytes of a write-ahead log that a reader of the file keeps from
	// being truncated; 0 if there is none, or it is small.
	LogHeld int64
}

// Contents is what a pool's file has for a key.
type Contents struct {
	// Rows is their number, and Duplicates the number of rows that share a key with another
	// one.
	Rows, Duplicates int64
	// Hash of the rows with every column of their table, like RowsHash in the coverage.
	Hash uint64
}

// Sink is a pool's file. Both pools pass the tests in package sinktest.
type Sink interface {
	// Open opens the file for writing: it must exist or be creatable, be readable, have the
	// schema, come from the configured provider host and have space on its volume. It returns
	// the pool's *_DB_LOCKED, *_DB_NOT_INITIALIZED, SOURCE_MISMATCH or DISK_FULL, each with
	// the file's name and, if known, the holder's pid.
	Open(ctx context.Context) error
	// Commit replaces the partition's rows, records and rejects in one transaction, and stores
	// every value of a row that it changes or removes as a Revision. If a list has a company
	// under a new code, its rows and their coverage are moved in the same transaction. It must
	// return STALE_EPOCH and write nothing if a record of the partition has a higher epoch. If
	// ctx ends before the transaction has begun to commit, it must change nothing and return
	// ctx's error. Committing the same again leads to the same store.
	Commit(ctx context.Context, c Commit) (Changes, error)
	// Coverage calls yield for every record with a dataset in the list (all if empty) and a
	// date in the range (NoDate means no bound; snapshots match only without bounds), in no
	// order, until yield returns false. It reads from memory, even while the file is closed.
	Coverage(ctx context.Context, datasets []string, start, end market.Date, yield func(coverage.Record) bool) error
	// Contents is what the tables have for each key, in the order of the keys, read from the
	// file and not from the coverage. After any commits, of these keys or others, it must
	// agree with the key's record: as many rows, no duplicates, and the same hash.
	Contents(ctx context.Context, keys ...coverage.Key) ([]Contents, error)
	// Revisions lists the values that were changed or removed, newest first. A missing file
	// has none.
	Revisions(ctx context.Context, q RevisionQuery) ([]Revision, error)
	// Rows are the stored rows of a key, read from the file, with every column of their table
	// by the provider's name. Without a symbol, those of every symbol of the date.
	// INVALID_ARGUMENT for a dataset that is not in the catalog.
	Rows(ctx context.Context, k coverage.Key) (*table.Batch, error)
	// Calendar is the trading days and the last known day, from trade_calendar.
	Calendar(ctx context.Context) (Calendar, error)
	// Instruments is every stored instrument, from instrument_meta.
	Instruments(ctx context.Context) ([]coverage.Instrument, error)
	// Refresh updates the cache if a user deleted, changed or replaced the file, and reports
	// whether it had to.
	Refresh(ctx context.Context) (changed bool)
	// Held is the record of one key, from memory; ok is false if nothing was ever committed
	// for it.
	Held(k coverage.Key) (r coverage.Record, ok bool)
	// Release closes the file if nothing was written for the idle time; the worker calls it
	// periodically. It is safe at any time.
	Release()
	// Close closes the sink after work in progress has ended.
	Close() error
}

// Calendar is the stored trading calendar of a pool.
type Calendar = coverage.Calendar
