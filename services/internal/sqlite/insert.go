package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// valuesPerStatement is the number of values of one INSERT: several times faster than one
// row, and more is not faster.
const valuesPerStatement = 2000

// Insert writes n rows of a table and replaces those with the same keys. columns are width
// names in SQL. row appends the values of the i-th row to args: each an int64, int, float64,
// string, []byte or nil. The values go to the driver as they are, because database/sql would
// take longer to convert them than SQLite takes to write them.
func (tx *Tx) Insert(ctx context.Context, table, columns string, width, n int, row func(i int, args []any) []any) error {
	if n == 0 {
		return nil
	}
	most := min(n, max(1, valuesPerStatement/width))
	one := "(?" + strings.Repeat(",?", width-1) + ")"
	head := "INSERT OR REPLACE INTO " + table + " (" + columns + ") VALUES " + one
	values, args := make([]any, 0, width), make([]driver.NamedValue, width*most)
	for i := range args {
		args[i].Ordinal = i + 1
	}
	err := tx.conn.Raw(func(c any) error {
		conn := c.(*sqlite3.SQLiteConn)
		if conn.AutoCommit() { // ctx has ended, and the transaction was rolled back
			return sql.ErrTxDone
		}
		var stmt driver.Stmt
		prepared := 0 // rows of stmt
		defer func() {
			if stmt != nil {
				_ = stmt.Close() // it goes back to the connection's cache
			}
		}()
		for from := 0; from < n; from += most {
			rows := min(most, n-from)
			for i := range rows {
				values = row(from+i, values[:0])
				for k, v := range values {
					args[i*width+k].Value = plain(v)
				}
			}
			if rows != prepared {
				if stmt != nil {
					_ = stmt.Close()
				}
				var err error
				if stmt, err = conn.PrepareContext(ctx, head+strings.Repeat(","+one, rows-1)); err != nil {
					stmt = nil
					return err
				}
				prepared = rows
			}
			if _, err := stmt.(driver.StmtExecContext).ExecContext(ctx, args[:rows*width]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", table, err)
	}
	return nil
}
