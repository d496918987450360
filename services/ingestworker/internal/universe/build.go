package universe

import (
	"context"
	"errors"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// coverageBySymbol is the coverage table of a pool that stores it by symbol.
const coverageBySymbol = `DROP TABLE coverage;
CREATE TABLE coverage (dataset VARCHAR, symbol VARCHAR, trade_date DATE, row_count BIGINT, rows_hash UBIGINT, expected_count BIGINT, verdict VARCHAR,
  committed_at TIMESTAMP, run_id VARCHAR);
COMMENT ON TABLE coverage IS 'What is stored per dataset, symbol and trade date.'`

// recordsAtATime is how many records of coverage are passed to DuckDB at once.
const recordsAtATime = 20_000

// Build writes a DuckDB file with the tables of a pool to path, which must not exist. fill
// passes on all data of the pool. The coverage is stored by symbol.
func Build(ctx context.Context, path, source string, c ReaderConfig, fill func(to ingest.Dump) error) error {
	d, err := openDuck(path, map[string]string{
		"access_mode": "READ_WRITE", "memory_limit": c.Memory, "threads": "1", "checkpoint_threshold": "16MB",
		"autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
	})
	if err != nil {
		return err
	}
	defer d.close()
	if err := create(d, source); err != nil {
		return err
	}
	if err := d.exec(coverageBySymbol); err != nil {
		return err
	}
	records, err := newAppender(d, "coverage")
	if err != nil {
		return err
	}
	defer records.destroy()
	held := 0
	var rejects []coverage.Reject
	var revisions []ingest.Revision
	err = fill(ingest.Dump{
		Record: func(r coverage.Record) error {
			if held++; held%recordsAtATime == 0 {
				if err := errors.Join(ctx.Err(), records.flush()); err != nil {
					return err
				}
			}
			return records.appendRow(r.Dataset, r.Symbol, r.Date, r.Rows, r.RowsHash, r.Expected, string(r.Verdict), r.CommittedAt, r.RunID)
		},
		Rows: func(ds *catalog.Dataset, b *table.Batch) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return d.append(ds.Table, func(a *appender) error { return a.appendBatch(sources(ds, b), b.Len) })
		},
		Reject:   func(r coverage.Reject) error { rejects = append(rejects, r); return ctx.Err() },
		Revision: func(r ingest.Revision) error { revisions = append(revisions, r); return ctx.Err() },
	})
	if err == nil {
		err = records.flush()
	}
	if err != nil {
		return err
	}
	err = d.append("rejects", func(a *appender) error {
		for _, r := range rejects {
			if err := a.appendRow(r.Dataset, r.Date, r.Symbol, r.Reason, r.Row, r.RejectedAt); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = d.append(pool.RevisionsTable, func(a *appender) error {
		for _, r := range revisions {
			if err := a.appendRow(r.ID, r.Dataset, r.Symbol, r.Date, r.Column, r.Old, r.New, string(r.Kind), r.SeenAt, r.RunID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.exec("CHECKPOINT")
}

// append fills one table in its own transaction.
func (d *duck) append(name string, rows func(a *appender) error) error {
	a, err := newAppender(d, name)
	if err != nil {
		return err
	}
	defer a.destroy()
	if err := rows(a); err != nil {
		return err
	}
	return a.flush()
}
