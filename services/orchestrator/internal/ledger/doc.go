// Package ledger has all SQL of the orchestrator, for its one file market-cache.sqlite.
// ingest_runs keeps the columns that users query; everything else about a run is in other
// tables and written in the same transaction. CHECK constraints and triggers repeat the
// state machines, so that the file itself rejects an invalid row.
//
// Limits: one process per data directory, enforced by a lock file. Any number of others may
// read. Times have a precision of one millisecond.
package ledger
