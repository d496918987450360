// Package ledger is the only SQL of the orchestrator: everything it must remember,
// in market-cache.sqlite. ingest_runs keeps the shape that people's SQL reads;
// whatever else a run needs lives in sibling tables and is written in the same
// transaction. CHECK constraints and triggers repeat the state machines, so that a
// row which no program may write is refused by the file itself.
//
// Limits: one process per data directory, enforced by a lock beside the file. Any
// number of others may read. Times are kept to the millisecond.
package ledger
