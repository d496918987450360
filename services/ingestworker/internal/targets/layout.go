package targets

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
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
// and triggers that users have added. A table that cannot be written again because of them
// stays as it is: it is slower, and nothing else depends on its order.
func (s *Sink) sortByDate(ctx context.Context, tx *sqlite.Tx) error {
	var bytes int64
	if err := tx.QueryRowContext(ctx, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").Scan(&bytes); err != nil {
		return err
	}
	log := s.cfg.Logger.With("pool", string(market.Targets), "file", filepath.Base(s.cfg.Path))
	if bytes >= s.large {
		// The log takes almost as much as the file, and the largest table is stored, and sorted in
		// a temporary file, before its old one is free.
		if err := s.faults.Room(s.cfg.MinFree + bytes*7/4); err != nil {
			return err
		}
		log.Info("sorting the tables by date, once after this update; the pool cannot be used meanwhile", "file_bytes", bytes)
	}
	// Otherwise views and triggers would follow the old table to its new name.
	if _, err := tx.ExecContext(ctx, "PRAGMA legacy_alter_table = ON"); err != nil {
		return err
	}
	for _, t := range byDate {
		began := time.Now()
		if _, err := tx.ExecContext(ctx, "SAVEPOINT sorting"); err != nil {
			return err
		}
		rows, why, err := sortTable(ctx, tx, t.table, t.was, t.is)
		if why != "" {
			log.Warn("a table stays sorted by symbol, because of what was added to the file; updates of it are slower", "table", t.table, "cause", why)
			_, err = tx.ExecContext(ctx, "ROLLBACK TO sorting")
		}
		if err != nil {
			return fmt.Errorf("sort %s by date: %w", t.table, err)
		}
		if _, err := tx.ExecContext(ctx, "RELEASE sorting"); err != nil {
			return err
		}
		if bytes >= s.large && why == "" {
			log.Info("table sorted by date", "table", t.table, "rows", rows, "took", time.Since(began).Round(time.Millisecond).String())
		}
	}
	_, err := tx.ExecContext(ctx, "PRAGMA legacy_alter_table = OFF")
	return err
}

// largeFile is from which size on sorting needs room, and is reported: it takes about a second.
const largeFile = 64 << 20

// sortTable writes one table again, with the columns of its primary key in another order. why
// is set if that cannot be done.
func sortTable(ctx context.Context, tx *sqlite.Tx, table, was, is string) (rows int64, why string, err error) {
	var create string
	if err := tx.QueryRowContext(ctx, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", table).Scan(&create); err != nil {
		return 0, "", err
	}
	// The last one, because a column that was added may have a default with this text.
	at := strings.LastIndex(create, "PRIMARY KEY ("+was+")")
	if at < 0 {
		if strings.Contains(create, "PRIMARY KEY ("+is+")") {
			return 0, "", nil
		}
		return 0, "its definition was changed", nil
	}
	sorted := create[:at] + strings.Replace(create[at:], was, is, 1)
	// Such a key would refer to the columns in the new order.
	var unnamed string
	err = tx.QueryRowContext(ctx, `SELECT coalesce(min(t.name), '') FROM sqlite_schema t, pragma_foreign_key_list(t.name) k
	  WHERE t.type = 'table' AND t.sql NOT LIKE 'CREATE VIRTUAL%' AND k."table" = ? COLLATE NOCASE AND k."to" IS NULL`, table).Scan(&unnamed)
	if err != nil {
		return 0, "", err
	}
	if unnamed != "" {
		return 0, "a foreign key of " + unnamed + " refers to it without naming the columns", nil
	}
	var added, columns []string
	err = each(ctx, tx, "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL", into(&added), table)
	if err != nil {
		return 0, "", err
	}
	// Generated columns are not in this list, and not inserted.
	err = each(ctx, tx, `SELECT '"' || replace(name, '"', '""') || '"' FROM pragma_table_info(?)`, into(&columns), table)
	if err != nil {
		return 0, "", err
	}
	old, names := table+"_by_symbol", strings.Join(columns, ", ")
	for {
		var taken bool
		if err := tx.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_schema WHERE name = ? COLLATE NOCASE", old).Scan(&taken); err != nil {
			return 0, "", err
		}
		if !taken {
			break
		}
		old += "_"
	}
	statements := []string{
		"ALTER TABLE " + table + " RENAME TO " + old,
		sorted,
		"INSERT INTO " + table + " (" + names + ") SELECT " + names + " FROM " + old + " ORDER BY " + is,
		"DROP TABLE " + old,
	}
	for n, statement := range append(statements, added...) {
		done, err := tx.ExecContext(ctx, statement)
		switch {
		case sqlite.IsConstraint(err), sqlite.IsRejected(err):
			return 0, err.Error(), nil
		case err != nil:
			return 0, "", err
		}
		if n == 2 { // the INSERT
			if rows, err = done.RowsAffected(); err != nil {
				return 0, "", err
			}
		}
	}
	return rows, "", nil
}

// into appends the values of a query with one column.
func into(list *[]string) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		*list = append(*list, "")
		return scan(&(*list)[len(*list)-1])
	}
}
