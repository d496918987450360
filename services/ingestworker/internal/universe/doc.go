// Package universe is the pool of the whole market: the DuckDB file
// analysis.duckdb, and the only package that imports DuckDB.
//
// One goroutine owns the file: it alone opens, writes, reads and closes it, so
// nothing in here needs a lock but the coverage, which is kept in memory and read
// by everyone. Partitions that wait at the same moment commit together in one
// transaction (group.go). The big tables have no key: whole partitions are replaced,
// and a partition's rows are checked for uniqueness before they are written.
//
// Limits: DuckDB lets one process write a file, and no other read it meanwhile.
// The file is therefore closed when idle. What DuckDB has freed it keeps for
// itself until the file is closed.
package universe
