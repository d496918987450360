package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/mattn/go-sqlite3"
)

// Scan runs a query and calls row with the values of each of its rows, as the driver has
// them: int64, float64, string, []byte or nil. The slice is used again for the next row. The
// arguments are int64, int, float64, string, []byte or nil. For many rows it takes half of the
// time of database/sql, which converts each value. row must not use db.
func Scan(ctx context.Context, db *sql.DB, row func(values []driver.Value) error, query string, args ...any) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(scan(ctx, conn, row, query, args), conn.Close())
}

// Scan is the function Scan in a transaction. row must not use the transaction.
func (tx *Tx) Scan(ctx context.Context, row func(values []driver.Value) error, query string, args ...any) error {
	return scan(ctx, tx.conn, row, query, args)
}

func scan(ctx context.Context, conn *sql.Conn, row func(values []driver.Value) error, query string, args []any) error {
	named := make([]driver.NamedValue, len(args))
	for i, v := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: plain(v)}
	}
	return conn.Raw(func(c any) error {
		rows, err := c.(*sqlite3.SQLiteConn).QueryContext(ctx, query, named)
		if err != nil {
			return err
		}
		values := make([]driver.Value, len(rows.Columns()))
		for err == nil {
			if err = rows.Next(values); err == nil {
				err = row(values)
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return errors.Join(err, rows.Close())
	})
}

// plain is a value as the driver takes it.
func plain(v any) driver.Value {
	if x, ok := v.(int); ok {
		return int64(x)
	}
	return v
}
