package targets

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// dumpRows is about how many rows are passed on at once.
const dumpRows = 20_000

// Dump passes all data to the functions of to, rows by dataset. Nothing is committed
// meanwhile.
func (s *Sink) Dump(ctx context.Context, to ingest.Dump) error {
	return s.use(ctx, func(db *sql.DB) error {
		names := s.index.names(nil)
		slices.SortFunc(names, func(a, b series) int {
			return strings.Compare(a.dataset+" "+a.symbol, b.dataset+" "+b.symbol)
		})
		for _, name := range names {
			for _, d := range s.index.span(name, math.MinInt32, math.MaxInt32) {
				if err := to.Record(d.record(name)); err != nil {
					return err
				}
			}
		}
		for _, d := range catalog.Datasets() {
			if err := dump(ctx, db, d, to.Rows); err != nil {
				return err
			}
		}
		if err := dumpRejects(ctx, db, to.Reject); err != nil {
			return err
		}
		return each(ctx, db, "SELECT "+revisionColumns+" FROM revisions ORDER BY revision_id", func(scan func(...any) error) error {
			r, err := scanRevision(scan)
			if err != nil {
				return err
			}
			return to.Revision(r)
		})
	})
}

func dumpRejects(ctx context.Context, db *sql.DB, yield func(coverage.Reject) error) error {
	return each(ctx, db, "SELECT dataset, trade_date, symbol, reason, row_json, rejected_at FROM rejects ORDER BY rowid", func(scan func(...any) error) error {
		var r coverage.Reject
		var date, symbol sql.NullString
		var at int64
		err := scan(&r.Dataset, &date, &symbol, &r.Reason, &r.Row, &at)
		if err != nil {
			return err
		}
		r.Symbol, r.RejectedAt = symbol.String, time.UnixMilli(at).UTC()
		if r.Date, err = parseDate(date.String); err != nil {
			return err
		}
		return yield(r)
	})
}

func dump(ctx context.Context, db *sql.DB, d *catalog.Dataset, yield func(d *catalog.Dataset, b *table.Batch) error) error {
	b, columns := pool.Held(d, 0)
	query := "SELECT " + columns + " FROM " + d.Table + " WHERE " + ofKind(d)
	if !d.Snapshot {
		query += " ORDER BY trade_date, symbol"
	}
	err := reading(db)(ctx, func(values []driver.Value) error {
		if err := appendRow(b, values); err != nil {
			return err
		}
		if b.Len < dumpRows {
			return nil
		}
		err := yield(d, b)
		b.Truncate()
		return err
	}, query)
	if err != nil || b.Len == 0 {
		return err
	}
	return yield(d, b)
}

// Exists reports whether the pool has a file.
func (s *Sink) Exists() bool { return pool.Exists(s.cfg.Path) }
