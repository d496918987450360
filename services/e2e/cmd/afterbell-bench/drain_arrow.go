//go:build duckdb_arrow

package main

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"

	"github.com/duckdb/duckdb-go/v2"
)

// drain reads a result as Arrow to its end and returns the number of rows.
func drain(ctx context.Context, conn *sql.Conn, query string) (rows int64, err error) {
	err = conn.Raw(func(c any) error {
		dc, ok := c.(sqldriver.Conn)
		if !ok {
			return errors.New("the driver gives no connection")
		}
		a, err := duckdb.NewArrowFromConn(dc)
		if err != nil {
			return err
		}
		r, err := a.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer r.Release()
		for r.Next() {
			rows += r.RecordBatch().NumRows()
		}
		return r.Err()
	})
	return rows, err
}
