// Package targets is the pool of the short watch list: the SQLite file
// targets.sqlite, with the tables of the universe pool, keyed by symbol and trade
// date. A partition is a dataset × symbols × span of dates; committing it
// replaces the rows of exactly those symbols in exactly that span.
//
// Coverage is kept per symbol and day, in the file and, compactly, in memory:
// some 30 bytes each, so 500 symbols over three years take 40 MB.
//
// Every commit is synced (synchronous=FULL): the orchestrator's ledger, another
// file, says what was committed, and after a power cut the two must agree. It
// costs one sync a commit, of which a run of targets makes a few dozen.
package targets
