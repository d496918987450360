package targets

import (
	"context"
	"fmt"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// byDate are the tables that are sorted by date, with the columns of their primary keys in the
// order before and after.
var byDate = []struct{ table, was, is string }{
	{"coverage_days", "series_id, trade_day", "trade_day, series_id"},
	{catalog.TablePrices, "symbol, trade_date", "trade_date, symbol"},
	{catalog.TableBasics, "symbol, trade_date", "trade_date, symbol"},
	{catalog.TableMoneyflows, "symbol, trade_date", "trade_date, symbol"},
}

// sortByDate writes tables that are sorted by symbol again. It keeps the columns, indexes
// and triggers that users have added.
func sortByDate(ctx context.Context, tx *sqlite.Tx) error {
	// Otherwise views and triggers would follow the old table to its new name.
	if _, err := tx.ExecContext(ctx, "PRAGMA legacy_alter_table = ON"); err != nil {
		return err
	}
	for _, t := range byDate {
		var create string
		if err := tx.QueryRowContext(ctx, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", t.table).Scan(&create); err != nil {
			return err
		}
		sorted := strings.Replace(create, "PRIMARY KEY ("+t.was+")", "PRIMARY KEY ("+t.is+")", 1)
		if sorted == create {
			continue // it is already
		}
		var added, columns []string
		err := each(ctx, tx, "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL", into(&added), t.table)
		if err != nil {
			return err
		}
		// Generated columns are not in this list, and not inserted.
		err = each(ctx, tx, `SELECT '"' || replace(name, '"', '""') || '"' FROM pragma_table_info(?)`, into(&columns), t.table)
		if err != nil {
			return err
		}
		old, names := t.table+"_by_symbol", strings.Join(columns, ", ")
		statements := []string{
			"ALTER TABLE " + t.table + " RENAME TO " + old,
			sorted,
			"INSERT INTO " + t.table + " (" + names + ") SELECT " + names + " FROM " + old + " ORDER BY " + t.is,
			"DROP TABLE " + old,
		}
		for _, statement := range append(statements, added...) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("sort %s by date: %w", t.table, err)
			}
		}
	}
	_, err := tx.ExecContext(ctx, "PRAGMA legacy_alter_table = OFF")
	return err
}

// into appends the values of a query with one column.
func into(list *[]string) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		*list = append(*list, "")
		return scan(&(*list)[len(*list)-1])
	}
}
