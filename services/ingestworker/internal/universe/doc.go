// Package universe is the pool of the whole market: the DuckDB file analysis.duckdb. It is
// the only package that imports DuckDB.
//
// One goroutine owns the file: only it opens, writes, reads and closes it, so only the
// coverage, which is cached and read by all, needs a lock. Partitions that wait at the same
// time are committed in one transaction (group.go). The large tables have no key: whole
// partitions are replaced, and a partition's rows are checked for unique keys before they
// are written.
//
// Limits: DuckDB lets one process write a file, and no other process read it meanwhile. So
// the file is closed when idle. DuckDB keeps freed memory until the file is closed.
package universe
