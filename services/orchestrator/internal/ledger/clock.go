package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// present is the newest time that does not count as future; another process may write times
// slightly ahead.
func present(now time.Time) time.Time { return now.Add(run.ClockSlack) }

// stampsAhead selects every time in the ledger that only a clock that was ahead can have
// written.
const stampsAhead = `SELECT count(*), coalesce(max(at), 0) FROM (
  SELECT created_at AS at FROM run_queue WHERE created_at > ?1
  UNION ALL SELECT max(created_at, coalesce(finished_at, 0)) FROM run_details WHERE created_at > ?1 OR finished_at > ?1
  UNION ALL SELECT probed_at FROM probes WHERE probed_at > ?1
  UNION ALL SELECT decided_at FROM slots WHERE decided_at > ?1
  UNION ALL SELECT saved_at FROM catalog WHERE saved_at > ?1
  UNION ALL SELECT saved_at FROM calendar WHERE saved_at > ?1
  UNION ALL SELECT saved_at FROM tokens WHERE saved_at > ?1)`

// Ahead counts the records with a future time, because the clock was wrong, and returns the
// latest time. Each is reported once: count is 0 if nothing is newer than the last report.
func (s *Store) Ahead(ctx context.Context, now time.Time) (count int, latest time.Time, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		var newest, told int64
		if err := tx.QueryRowContext(ctx, stampsAhead, stamp(present(now))).Scan(&count, &newest); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, "SELECT told FROM clock WHERE id = 1").Scan(&told)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if latest = time.UnixMilli(newest); count == 0 || newest <= told {
			count = 0
			return nil
		}
		_, err = tx.ExecContext(ctx, upsert("clock", "id, told", "id"), 1, newest)
		return err
	})
	return count, latest, failed("look for stamps after now", err)
}

// RepairQueue removes from the queue what a clock that was ahead left there. Follow-ups of
// future days are dropped, and one for each pool that may start now replaces them, because
// they may have been the only ones for today's missing data. Other runs may start now.
func (s *Store) RepairQueue(ctx context.Context, now time.Time) (dropped int, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		ahead, err := queuedAfter(ctx, tx, present(now))
		if err != nil {
			return err
		}
		replaced := map[market.Pool]bool{}
		for _, r := range ahead {
			if r.Source != run.SourceAuto || market.DateOf(r.CreatedAt) <= market.DateOf(now) {
				_, err := tx.ExecContext(ctx, "UPDATE run_queue SET created_at = ?, not_before = NULL WHERE id = ?", stamp(now), r.ID)
				if err != nil {
					return err
				}
				continue
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM run_queue WHERE id = ?", r.ID); err != nil {
				return err
			}
			dropped++
			if replaced[r.Pool] {
				continue
			}
			replaced[r.Pool] = true
			again := run.Run{
				Pool: r.Pool, Mode: run.Daily, Source: run.SourceAuto, Follows: r.Follows, CreatedAt: now,
				Request: run.Request{Start: market.NoDate, End: market.NoDate},
				Note:    "The clock was wrong: follow-up runs for future days were dropped, and missing data is fetched now.",
			}
			if err := enqueue(ctx, tx, &again); err != nil {
				return err
			}
		}
		return nil
	})
	return dropped, failed("repair the queue", err)
}

// queuedAfter are the queued runs that were requested after a time, oldest first.
func queuedAfter(ctx context.Context, tx *sqlite.Tx, at time.Time) (runs []run.Run, err error) {
	rows, err := tx.QueryContext(ctx, fromQueue+" WHERE created_at > ? ORDER BY created_at, id", stamp(at))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}
