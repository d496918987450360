package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// CreateRecord is a stored request of a caller.
type CreateRecord = run.CreateRecord

var insertQueue = "INSERT INTO run_queue (" + identity + ") VALUES (?" + strings.Repeat(", ?", strings.Count(identity, ",")) + ")"

// Enqueue queues runs, and stores their request if req is given, in one transaction. Runs
// without ID or CreatedAt get them, in place. It returns REQUEST_ID_REUSED if the request
// is stored already.
func (s *Store) Enqueue(ctx context.Context, runs []run.Run, req *CreateRecord) error {
	err := s.change(ctx, func(tx *sqlite.Tx) (before, after any, err error) {
		for i := range runs {
			if err := enqueue(ctx, tx, &runs[i]); err != nil {
				return nil, nil, err
			}
		}
		if req == nil || req.RequestID == "" {
			return nil, runs, nil
		}
		ids := req.RunIDs
		if len(ids) == 0 {
			for i := range runs {
				ids = append(ids, runs[i].ID)
			}
		}
		text, err := list(ids)
		if err != nil {
			return nil, nil, err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO requests (request_id, hash, run_ids, created_at) VALUES (?, ?, ?, ?)",
			req.RequestID, req.Hash, text, stamp(tx.Now))
		if sqlite.IsUnique(err) {
			return nil, nil, fault.New(fault.RequestIDReused, fmt.Sprintf("The request_id %.80q was already used.", req.RequestID),
				"request_id", clip(req.RequestID))
		}
		return nil, runs, err
	})
	if err == nil {
		drill.Point("run.queued")
	}
	return failed("enqueue", err)
}

func enqueue(ctx context.Context, tx *sqlite.Tx, r *run.Run) error {
	if r.State != "" && r.State != run.Queued {
		return fmt.Errorf("run %s in state %q does not belong in the queue", r.ID, r.State)
	}
	r.State = run.Queued
	if r.ID == "" {
		r.ID = NewID()
	}
	if r.TriggerID == "" {
		r.TriggerID = r.ID
	}
	if r.CreatedAt.IsZero() {
		r.CreatedAt = tx.Now
	}
	values, err := identityOf(r)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insertQueue, values...)
	return err
}

// RunsByRequestID returns the runs of a request in their current state; deleted ones are
// omitted. An empty hash means that there is no such request.
func (s *Store) RunsByRequestID(ctx context.Context, requestID string) (hash string, runs []run.Run, err error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT hash, run_ids FROM requests WHERE request_id = ?", requestID)
	if err != nil {
		return "", nil, failed("find a request", err)
	}
	defer rows.Close()
	var ids []string
	if rows.Next() {
		var text string
		if err := rows.Scan(&hash, &text); err != nil {
			return "", nil, failed("find a request", err)
		}
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return "", nil, failed("find a request", err)
		}
	}
	if err := rows.Err(); err != nil {
		return "", nil, failed("find a request", err)
	}
	for _, id := range ids {
		r, err := s.Run(ctx, id)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		runs = append(runs, r)
	}
	return hash, runs, nil
}

// Queue lists the queued runs of a pool, in the order in which they start.
func (s *Store) Queue(ctx context.Context, pool market.Pool) ([]run.Run, error) {
	return s.queryRuns(ctx, fromQueue+" WHERE pool = ? ORDER BY created_at, id", pool)
}

// CancelQueued cancels a queued run: its row in ingest_runs is written as canceled.
// WRONG_STATE if it has left the queue.
func (s *Store) CancelQueued(ctx context.Context, id, note string, at time.Time) (r run.Run, err error) {
	err = s.change(ctx, func(tx *sqlite.Tx) (before, after any, err error) {
		r, err = runOf(tx.QueryRowContext(ctx, fromDetails+" WHERE id = ?1 UNION ALL "+fromQueue+" WHERE id = ?1", id), id)
		if err != nil {
			return nil, nil, err
		}
		if r.State != run.Queued {
			return nil, nil, fault.New(fault.WrongState, fmt.Sprintf("Run %s is %s; only a queued run can be cancelled immediately.", id, r.State),
				"run_id", id, "state", string(r.State), "allowed_states", string(run.Queued))
		}
		r.StartedAt = at
		ended, event, err := run.Finish(r, at, run.End{Outcome: run.Cancelled, Note: note})
		if err != nil {
			return nil, nil, err
		}
		r = ended
		_, err = save(ctx, tx, run.Update{Run: r, Events: []run.Event{event, {Time: at, Finished: &r}}})
		return nil, nil, err
	})
	return r, failed("cancel a queued run", err)
}
