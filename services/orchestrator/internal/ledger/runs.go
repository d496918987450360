package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// RunFilter selects runs.
type RunFilter = run.Filter

func (s *Store) queryRuns(ctx context.Context, query string, args ...any) ([]run.Run, error) {
	rows, err := s.db.Reader().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, failed("read runs", err)
	}
	defer rows.Close()
	var runs []run.Run
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, failed("read runs", err)
		}
		runs = append(runs, r)
	}
	return runs, failed("read runs", rows.Err())
}

func runOf(row *sql.Row, id string) (run.Run, error) {
	r, err := scanRun(row)
	if errors.Is(err, sql.ErrNoRows) {
		return run.Run{}, notFound("run", id)
	}
	return r, err
}

// Run returns a run, queued or not.
func (s *Store) Run(ctx context.Context, id string) (run.Run, error) {
	// One statement, so that a run that leaves the queue is always found.
	r, err := runOf(s.db.Reader().QueryRowContext(ctx, fromDetails+" WHERE id = ?1 UNION ALL "+fromQueue+" WHERE id = ?1", id), id)
	return r, failed("read run", err)
}

// Runs lists runs, newest first by request time, including queued ones. Runs in the future,
// which a clock that was ahead made, are last.
func (s *Store) Runs(ctx context.Context, f RunFilter) ([]run.Run, error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	end, cursor, known := present(time.Now()).UnixMilli(), int64(0), f.Before == ""
	if !known {
		err := s.db.Reader().QueryRowContext(ctx,
			"SELECT created_at FROM run_details WHERE id = ?1 UNION ALL SELECT created_at FROM run_queue WHERE id = ?1", f.Before).Scan(&cursor)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, failed("read runs", err)
		}
		if err != nil { // it was deleted meanwhile; its ID has its time
			cursor = madeAt(f.Before)
		}
	}
	var all []run.Run
	for _, ahead := range []bool{false, true} {
		left := f.Limit - len(all)
		if left == 0 || !ahead && !known && cursor > end {
			continue
		}
		sign := "<="
		if ahead {
			sign = ">"
		}
		where, args := []string{"created_at " + sign + " ?1"}, []any{end}
		if !known && ahead == (cursor > end) {
			where, args = append(where, "(created_at < ?2 OR created_at = ?2 AND id < ?3)"), append(args, cursor, f.Before)
		}
		runs, err := s.queryPage(ctx, f, where, args, left)
		if err != nil {
			return nil, err
		}
		all = append(all, runs...)
	}
	return all, nil
}

// madeAt is the time in an ID of NewID, in Unix ms; 0 for any other ID.
func madeAt(id string) int64 {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return 0
	}
	var ms int64
	for _, b := range u[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms
}

func (s *Store) queryPage(ctx context.Context, f RunFilter, where []string, args []any, limit int) ([]run.Run, error) {
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf("%s ?%d", condition, len(args)))
	}
	if f.Pool != "" {
		add("pool =", f.Pool)
	}
	narrow := func(query string) string { return query + " WHERE " + strings.Join(where, " AND ") }
	var parts []string
	if f.Outcome == "" && (f.State == "" || f.State == run.Queued) {
		parts = append(parts, narrow(fromQueue))
	}
	if f.State != run.Queued {
		if f.State != "" {
			add("state =", f.State)
		}
		if f.Outcome != "" {
			add("outcome =", f.Outcome)
		}
		parts = append(parts, narrow(fromDetails))
	}
	if len(parts) == 0 {
		return nil, nil // a queued run has no outcome
	}
	args = append(args, limit)
	return s.queryRuns(ctx, strings.Join(parts, " UNION ALL ")+fmt.Sprintf(" ORDER BY created_at DESC, id DESC LIMIT ?%d", len(args)), args...)
}

// Unfinished lists the runs that left the queue and are not finished.
func (s *Store) Unfinished(ctx context.Context) ([]run.Run, error) {
	return s.queryRuns(ctx, fromDetails+" WHERE state <> 'finished' ORDER BY created_at, id")
}

// LastFinished is the run of a pool that finished last; ok is false if none has. A run in
// the future, which a clock that was ahead made, is returned only if there is no other.
func (s *Store) LastFinished(ctx context.Context, pool market.Pool) (r run.Run, ok bool, err error) {
	for _, sign := range []string{"<=", ">"} {
		runs, err := s.queryRuns(ctx, fromDetails+" WHERE pool = ? AND finished_at "+sign+" ? ORDER BY finished_at DESC, id DESC LIMIT 1",
			pool, stamp(present(time.Now())))
		if err != nil || len(runs) > 0 {
			return append(runs, run.Run{})[0], len(runs) > 0, err
		}
	}
	return run.Run{}, false, nil
}

// FollowUps lists the follow-ups of a run, oldest first, including queued ones.
func (s *Store) FollowUps(ctx context.Context, runID string) ([]run.Run, error) {
	if runID == "" {
		return nil, nil
	}
	return s.queryRuns(ctx, fromDetails+" WHERE follows = ?1 UNION ALL "+fromQueue+" WHERE follows = ?1 ORDER BY created_at, id", runID)
}

// DeleteRun deletes a finished run with its partitions and events. WRONG_STATE if it has
// not finished.
func (s *Store) DeleteRun(ctx context.Context, id string) error {
	err := s.change(ctx, func(tx *sqlite.Tx) (before, after any, err error) {
		r, err := runOf(tx.QueryRowContext(ctx, fromDetails+" WHERE id = ?1 UNION ALL "+fromQueue+" WHERE id = ?1", id), id)
		if err != nil {
			return nil, nil, err
		}
		if r.State != run.Finished {
			return nil, nil, fault.New(fault.WrongState, fmt.Sprintf("Run %s is %s; only a finished run can be deleted.", id, r.State),
				"run_id", id, "state", string(r.State), "allowed_states", string(run.Finished))
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM ingest_runs WHERE id = ?", id)
		return r, nil, err
	})
	return failed("delete run", err)
}

// Prune deletes the runs and preflights that ended before a time, a few at a time so that
// others can write in between, and returns the number of runs. The last finished run of
// each pool is kept, and slots are kept forever.
func (s *Store) Prune(ctx context.Context, finishedBefore time.Time) (removed int, err error) {
	for {
		var n int64
		err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
			result, err := tx.ExecContext(ctx, `DELETE FROM ingest_runs WHERE id IN (
			  SELECT id FROM run_details d WHERE finished_at < ?1
			    AND EXISTS (SELECT 1 FROM run_details n WHERE n.pool = d.pool AND n.finished_at > d.finished_at)
			  ORDER BY finished_at LIMIT 20)`, stamp(finishedBefore))
			if err != nil {
				return err
			}
			n, err = result.RowsAffected()
			return err
		})
		if err != nil {
			return removed, failed("prune runs", err)
		}
		removed += int(n)
		if n == 0 {
			break
		}
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM preflights WHERE ended_at < ?", stamp(finishedBefore))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM requests WHERE created_at < ?", stamp(finishedBefore))
		return err
	})
	return removed, failed("prune preflights", err)
}

// Partitions lists a run's partitions in the order of the plan.
func (s *Store) Partitions(ctx context.Context, runID string, offset, limit int) ([]run.Partition, error) {
	if limit <= 0 {
		limit = -1 // all
	}
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT "+strings.TrimPrefix(partitionColumns, "run_id, ")+
		" FROM run_partitions WHERE run_id = ? ORDER BY ordinal, id LIMIT ? OFFSET ?", runID, limit, max(offset, 0))
	if err != nil {
		return nil, failed("read partitions", err)
	}
	defer rows.Close()
	var partitions []run.Partition
	var symbols []string
	for rows.Next() {
		var p run.Partition
		var text string
		err := rows.Scan(&p.ID, &p.Ordinal, &p.Dataset, &p.Module, toDay{&p.Start}, toDay{&p.End}, &text,
			&p.Reference, &p.Repeat, &p.State, &p.Verdict, &p.Attempts, &p.Rows, &p.Expected, &p.New, &p.Changed, &p.Gone,
			&p.SymbolCount, &p.Calls, toTime{&p.RetryAt}, toJSON{&p.Issues}, toJSON{&p.Revised}, &p.Recheck, toJSON{&p.Phases})
		if err != nil {
			return nil, failed("read partitions", err)
		}
		partitions, symbols = append(partitions, p), append(symbols, text)
	}
	err = rows.Err()
	if closing := rows.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = s.symbolsOf(ctx, partitions, symbols)
	}
	return partitions, failed("read partitions", err)
}

// Events lists a run's events after a sequence, in order.
func (s *Store) Events(ctx context.Context, runID string, after int64, limit int) ([]run.Event, error) {
	if limit <= 0 {
		limit = -1 // all
	}
	return s.queryEvents(ctx, "SELECT run_id, sequence, at, body FROM run_events WHERE run_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
		runID, after, limit)
}

// Milestones lists a run's events except those of single partitions, for run.Explain.
func (s *Store) Milestones(ctx context.Context, runID string) ([]run.Event, error) {
	return s.queryEvents(ctx, "SELECT run_id, sequence, at, body FROM run_events WHERE run_id = ? AND kind <> 'partition' ORDER BY sequence", runID)
}

func (s *Store) queryEvents(ctx context.Context, query string, args ...any) ([]run.Event, error) {
	rows, err := s.db.Reader().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, failed("read events", err)
	}
	defer rows.Close()
	var events []run.Event
	for rows.Next() {
		var e run.Event
		if err := rows.Scan(&e.RunID, &e.Sequence, toTime{&e.Time}, toJSON{&e}); err != nil {
			return nil, failed("read events", err)
		}
		events = append(events, e)
	}
	return events, failed("read events", rows.Err())
}
