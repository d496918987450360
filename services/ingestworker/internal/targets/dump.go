package targets

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// dumpRows is about how many rows are handed on at once.
const dumpRows = 50_000

// Dump hands every row held to yield, dataset by dataset, some at a time, and returns the
// coverage that belongs to them. Nothing is committed meanwhile. A batch is yield's to
// keep.
func (s *Sink) Dump(ctx context.Context, yield func(d *catalog.Dataset, b *table.Batch) error) (records []coverage.Record, err error) {
	err = s.use(ctx, func(db *sql.DB) error {
		names := s.index.names(nil)
		slices.SortFunc(names, func(a, b series) int {
			return strings.Compare(a.dataset+" "+a.symbol, b.dataset+" "+b.symbol)
		})
		for _, name := range names {
			for _, d := range s.index.span(name, math.MinInt32, math.MaxInt32) {
				records = append(records, d.record(name))
			}
		}
		for _, d := range catalog.Datasets() {
			if err := dump(ctx, db, d, names, yield); err != nil {
				return err
			}
		}
		return nil
	})
	return records, err
}

func dump(ctx context.Context, db *sql.DB, d *catalog.Dataset, names []series, yield func(d *catalog.Dataset, b *table.Batch) error) error {
	b, columns := pool.Held(d, 0)
	query := "SELECT " + columns + " FROM " + d.Table + " WHERE "
	if d.Snapshot {
		if err := readBatch(ctx, db, b, query+ofKind(d)); err != nil || b.Len == 0 {
			return err
		}
		return yield(d, b)
	}
	for _, name := range names {
		if name.dataset != d.ID {
			continue
		}
		if err := readBatch(ctx, db, b, query+"symbol = ? ORDER BY trade_date", name.symbol); err != nil {
			return err
		}
		if b.Len >= dumpRows {
			if err := yield(d, b); err != nil {
				return err
			}
			b, _ = pool.Held(d, 0)
		}
	}
	if b.Len == 0 {
		return nil
	}
	return yield(d, b)
}

// Exists tells whether the pool has a file.
func (s *Sink) Exists() bool { return pool.Exists(s.cfg.Path) }
