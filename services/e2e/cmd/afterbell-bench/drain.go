//go:build !duckdb_arrow

package main

import (
	"context"
	"database/sql"
	"errors"
)

// drain needs DuckDB's Arrow interface, which requires a build tag.
func drain(context.Context, *sql.Conn, string) (int64, error) {
	return 0, errors.New("build with -tags duckdb_arrow, as make bench does, to measure reading")
}
