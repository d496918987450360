package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// Save stores one step of a run in one transaction: its rows in ingest_runs and run_details
// (it leaves the queue), the changed partitions, the events and the follow-ups, instead of
// those that they replace. It returns the events with their numbers. WRONG_STATE if the
// run's state in the ledger does not allow the new one, or another run of the pool is
// active.
func (s *Store) Save(ctx context.Context, u run.Update) (events []run.Event, err error) {
	if u.Run.State == run.Finished {
		drill.Point("run.finishing")
	}
	err = s.change(ctx, func(tx *sqlite.Tx) (before, after any, err error) {
		events, err = save(ctx, tx, u)
		return nil, map[string]string{"runId": u.Run.ID, "state": string(u.Run.State)}, err
	})
	if err != nil {
		return nil, wrongState(u.Run, failed("save run "+u.Run.ID, err))
	}
	drill.Point("run." + string(u.Run.State))
	return events, nil
}

// wrongState recognizes the errors of the state machine's constraints.
func wrongState(r run.Run, err error) error {
	f, ok := fault.As(err)
	if !ok || f.Reason != fault.Internal || f.Unwrap() == nil {
		return err
	}
	cause := f.Unwrap().Error()
	switch {
	case strings.Contains(cause, "may not enter that state"):
		return fault.Wrap(err, fault.WrongState, fmt.Sprintf("Run %s cannot change to %s from its current state.", r.ID, r.State),
			"run_id", r.ID, "pool", string(r.Pool), "state", string(r.State))
	case strings.Contains(cause, "run_details.pool"):
		return fault.Wrap(err, fault.WrongState, fmt.Sprintf("Another run of %s is in progress, so run %s cannot change to %s.", r.Pool, r.ID, r.State),
			"run_id", r.ID, "pool", string(r.Pool), "state", string(r.State))
	}
	return err
}

func save(ctx context.Context, tx *sqlite.Tx, u run.Update) ([]run.Event, error) {
	r := u.Run
	if r.State == run.Queued || r.ID == "" {
		return nil, fmt.Errorf("run %q in state %q belongs in the queue", r.ID, r.State)
	}
	summary, err := summaryOf(&r)
	if err != nil {
		return nil, err
	}
	details, err := detailsOf(&r)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, insertSummary, summary...); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, insertDetails, details...); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM run_queue WHERE id = ?", r.ID); err != nil {
		return nil, err
	}
	if err := savePartitions(ctx, tx, r.ID, u.Partitions); err != nil {
		return nil, err
	}
	events, err := appendEvents(ctx, tx, r.ID, u.Events)
	if err != nil {
		return nil, err
	}
	for _, id := range u.Superseded {
		if _, err := tx.ExecContext(ctx, "DELETE FROM run_queue WHERE id = ? AND source = 'auto'", id); err != nil {
			return nil, err
		}
	}
	for i := range u.Enqueue {
		if err := enqueue(ctx, tx, &u.Enqueue[i]); err != nil {
			return nil, err
		}
	}
	return events, nil
}

const partitionColumns = "run_id, id, ordinal, dataset, module, start_date, end_date, symbols, reference, repeat, state, verdict, attempts, rows, expected, new_rows, changed_rows, gone_rows, symbol_count, calls, retry_at, issues, revised, recheck, phases"

var insertPartition = upsert("run_partitions", partitionColumns, "run_id, id")

func savePartitions(ctx context.Context, tx *sqlite.Tx, runID string, partitions []run.Partition) error {
	if len(partitions) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, insertPartition)
	if err != nil {
		return err
	}
	defer stmt.Close()
	lists := symbolWriter{tx: tx}
	for i := range partitions {
		p := &partitions[i]
		symbols, err := lists.text(ctx, p.Symbols)
		if err != nil {
			return err
		}
		issues, err := list(p.Issues)
		if err != nil {
			return err
		}
		revised := ""
		if p.Revised != nil {
			text, err := json.Marshal(p.Revised)
			if err != nil {
				return err
			}
			revised = string(text)
		}
		phases, err := json.Marshal(p.Phases)
		if err != nil {
			return err
		}
		_, err = stmt.ExecContext(ctx, runID, p.ID, p.Ordinal, p.Dataset, p.Module, day(p.Start), day(p.End), symbols,
			p.Reference, p.Repeat, p.State, p.Verdict, p.Attempts, p.Rows, p.Expected, p.New, p.Changed, p.Gone,
			p.SymbolCount, p.Calls, stamp(p.RetryAt), issues, revised, p.Recheck, string(phases))
		if err != nil {
			return fmt.Errorf("partition %s: %w", p.ID, err)
		}
	}
	return nil
}

// appendEvents numbers the events after the last one of the run. One connection
// writes, so the numbers have no gaps.
func appendEvents(ctx context.Context, tx *sqlite.Tx, runID string, events []run.Event) ([]run.Event, error) {
	if len(events) == 0 {
		return nil, nil
	}
	var last int64
	err := tx.QueryRowContext(ctx, "SELECT coalesce(max(sequence), 0) FROM run_events WHERE run_id = ?", runID).Scan(&last)
	if err != nil {
		return nil, err
	}
	stmt, err := tx.PrepareContext(ctx, "INSERT INTO run_events (run_id, sequence, at, kind, body) VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	numbered := make([]run.Event, len(events))
	for i, e := range events {
		last++
		e.RunID, e.Sequence = runID, last
		if e.Time.IsZero() {
			e.Time = tx.Now
		}
		body, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		if _, err := stmt.ExecContext(ctx, runID, last, stamp(e.Time), kindOf(&e), string(body)); err != nil {
			return nil, err
		}
		numbered[i] = e
	}
	return numbered, nil
}

func kindOf(e *run.Event) string {
	switch {
	case e.StateChanged != nil:
		return "state"
	case e.Preflight != nil:
		return "preflight"
	case e.Planned != nil:
		return "planned"
	case e.Partition != nil:
		return "partition"
	case e.Finished != nil:
		return "finished"
	}
	return "" // rejected by the CHECK: an event has a payload
}
