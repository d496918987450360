// Package publish keeps a copy of a pool for readers: a DuckDB file, Parquet files by
// month and a manifest. The pool's own file stays the worker's alone.
//
// Layout of the folder:
//
//	versions/VERSION/universe.duckdb, manifest.json, parquet/TABLE/year=YYYY/YYYY-MM.parquet
//	current        -> versions/VERSION
//	universe.duckdb, parquet, manifest.json -> current/…
//
// A version is made whole beside the others, gets its name, and becomes the current
// one by the rename of one link. So a crash leaves the old version or the new one,
// and all names change together. A file of a month whose rows did not change is the same file (a
// hard link) in the next version. A reader that has a file open keeps it when its
// version is removed.
//
// Limits: the file system must have symbolic links. The folder belongs to the worker;
// what others put into versions is removed.
package publish
