// Package targets is the pool of the target list: the SQLite file targets.sqlite, with the
// same tables as the universe pool, sorted by trade date and symbol. A partition is one dataset
// of some symbols over a date range; a commit replaces exactly the rows of those symbols in
// that range.
//
// Coverage is stored per symbol and day, in the file and, compactly, in memory: about 10 bytes
// each, so 500 stocks over three years take 11 MB.
//
// Every commit is synced (synchronous=FULL): the orchestrator's ledger, a different file,
// says what was committed, and after a power failure the two must agree. That costs one
// sync per commit, and a run of targets has a few dozen.
package targets
