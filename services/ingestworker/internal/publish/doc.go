// Package publish maintains a copy of a pool for readers: a DuckDB file, Parquet files by
// month and a manifest. Only the worker opens the pool's own file.
//
// Layout of the directory:
//
//	versions/VERSION/universe.duckdb, manifest.json, parquet/TABLE/year=YYYY/YYYY-MM.parquet
//	current        -> versions/VERSION
//	universe.duckdb, parquet, manifest.json -> current/…
//
// A version is built completely next to the others, gets its name, and becomes the
// current one by the rename of one link. So after a crash there is the old version or the
// new one, and all names change together. If the rows of a month did not change, its file
// is a hard link to that of the previous version. A reader that has a file open keeps it
// when its version is deleted.
//
// Limits: the file system must support symbolic links. The directory belongs to the worker;
// foreign files in versions are deleted.
package publish
