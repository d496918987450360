package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

func scanSlot(row scanner) (v slot.Slot, err error) {
	var late int64
	err = row.Scan(&v.ID, &v.Pool, toDay{&v.Date}, toTime{&v.DueAt}, &v.State, toTime{&v.DecidedAt}, &v.RunID,
		toJSON{&v.Issues}, &late, &v.LateNote)
	v.Late = time.Duration(late) * time.Millisecond
	return v, err
}

func (s *Store) querySlots(ctx context.Context, tail string, args ...any) ([]slot.Slot, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT "+slotColumns+" FROM slots "+tail, args...)
	if err != nil {
		return nil, failed("read slots", err)
	}
	defer rows.Close()
	var all []slot.Slot
	for rows.Next() {
		v, err := scanSlot(rows)
		if err != nil {
			return nil, failed("read slots", err)
		}
		all = append(all, v)
	}
	return all, failed("read slots", rows.Err())
}

// InsertSlot adds a slot; inserted is false if it exists.
func (s *Store) InsertSlot(ctx context.Context, v slot.Slot) (inserted bool, err error) {
	values, err := slotOf(&v)
	if err != nil {
		return false, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		result, err := tx.ExecContext(ctx, "INSERT INTO slots ("+slotColumns+") VALUES "+slotValues+" ON CONFLICT (id) DO NOTHING", values...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		inserted = n == 1
		return err
	})
	return inserted, failed("insert slot", err)
}

// decide stores the decision about a slot. A slot that has no row, is pending, or whose
// covering run lapsed may get any decision; one that was skipped because the schedule was
// paused may still fire or be covered when the schedule is resumed. Any other slot is
// already decided.
func decide(ctx context.Context, tx *sqlite.Tx, v slot.Slot) error {
	before, err := scanSlot(tx.QueryRowContext(ctx, "SELECT "+slotColumns+" FROM slots WHERE id = ?", v.ID))
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case before.State == slot.Pending:
	case before.Held() && (v.State == slot.Fired || v.State == slot.Covered):
	case before.State == slot.Covered:
		by, err := scanRun(tx.QueryRowContext(ctx, fromDetails+" WHERE id = ?", before.RunID))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err != nil || !run.Uncovers(by, before) {
			return ErrDecided
		}
	default:
		return ErrDecided
	}
	values, err := slotOf(&v)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, upsert("slots", slotColumns, "id"), values...)
	return err
}

// Settle decides slots and queues runs in one transaction. If one of the slots is already
// decided, it returns ErrDecided and writes nothing.
func (s *Store) Settle(ctx context.Context, slots []slot.Slot, runs []run.Run) error {
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		for i := range runs {
			if err := enqueue(ctx, tx, &runs[i]); err != nil {
				return err
			}
		}
		for _, v := range slots {
			if err := decide(ctx, tx, v); err != nil {
				return err
			}
		}
		drill.Point("slot.firing")
		return nil
	})
	if err == nil {
		drill.Point("slot.fired")
	}
	return failed("settle slots", err)
}

// endedBadly are the covered slots whose run may have uncovered them. The plus sign keeps
// SQLite from reading all slots by id: the index of covered slots by due_at finds the few
// that are needed.
const endedBadly = "WHERE state = 'covered' AND due_at > ? AND EXISTS (SELECT 1 FROM run_details r WHERE r.id = run_id AND r.outcome IN ('cancelled', 'failed')) ORDER BY +id"

// UncoveredSlots lists the slots that were due after since and whose covering run a user
// stopped, oldest first. It reads nothing while there are none and nothing is written.
func (s *Store) UncoveredSlots(ctx context.Context, since time.Time) ([]slot.Slot, error) {
	s.uncovered.Lock()
	defer s.uncovered.Unlock()
	writes := s.db.Writes()
	if s.uncovered.none && s.uncovered.writes == writes && !since.Before(s.uncovered.since) {
		return nil, nil
	}
	s.uncovered.none = false
	all, err := s.querySlots(ctx, endedBadly, since.UnixMilli())
	if err != nil {
		return nil, err
	}
	var lapsed []slot.Slot
	for _, v := range all {
		switch by, err := s.Run(ctx, v.RunID); {
		case fault.Is(err, fault.NotFound): // deleted meanwhile
		case err != nil:
			return nil, err
		case run.Uncovers(by, v):
			lapsed = append(lapsed, v)
		}
	}
	s.uncovered.none, s.uncovered.since, s.uncovered.writes = len(lapsed) == 0, since, writes
	return lapsed, nil
}

// DropSlotsAhead deletes the slots of today and later that were decided after that day's
// end by a clock that was ahead of the current time, and returns how many.
func (s *Store) DropSlotsAhead(ctx context.Context, today market.Date, ends time.Time) (dropped int, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		result, err := tx.ExecContext(ctx, "DELETE FROM slots WHERE date >= ? AND decided_at >= ?", day(today), stamp(ends))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		dropped = int(n)
		return err
	})
	return dropped, failed("drop slots", err)
}

// Slot returns a slot.
func (s *Store) Slot(ctx context.Context, id string) (slot.Slot, error) {
	v, err := scanSlot(s.db.Reader().QueryRowContext(ctx, "SELECT "+slotColumns+" FROM slots WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return slot.Slot{}, fault.New(fault.NotFound, "There is no slot "+clip(id)+".", "kind", "slot", "id", clip(id))
	}
	return v, failed("read slot", err)
}

// Slots lists slots, newest first; an empty pool means both, and before is the ID of a
// slot: only those after it in the list are returned.
func (s *Store) Slots(ctx context.Context, pool market.Pool, limit int, before string) ([]slot.Slot, error) {
	if limit <= 0 {
		limit = 50
	}
	return s.querySlots(ctx, "WHERE (?1 = '' OR pool = ?1) AND (?2 = '' OR id < ?2) ORDER BY id DESC LIMIT ?3", pool, before, limit)
}

// LastSlot is the newest slot of a pool, except those that DropSlotsAhead deletes and undecided
// ones that were stored while the clock was ahead, and ahead the oldest of those that it deletes;
// each is nil if there is none. An undecided slot is of the day on which it was stored. It is of
// tomorrow if that day is not over in the time zone that the schedule has now; then there is no
// older one.
func (s *Store) LastSlot(ctx context.Context, pool market.Pool, today market.Date, ends time.Time) (last, ahead *slot.Slot, err error) {
	const isAhead = "date >= ?2 AND decided_at IS NOT NULL AND decided_at >= ?3"
	const stray = "decided_at IS NULL AND date > ?2 AND (date > ?4 OR EXISTS (SELECT 1 FROM slots AS older WHERE older.pool = ?1 AND older.date <= ?2))"
	for _, q := range []struct {
		found **slot.Slot
		tail  string
	}{
		{&last, "WHERE pool = ?1 AND NOT (" + isAhead + ") AND NOT (" + stray + ") ORDER BY date DESC LIMIT 1"},
		{&ahead, "WHERE pool = ?1 AND " + isAhead + " ORDER BY date LIMIT 1"},
	} {
		all, err := s.querySlots(ctx, q.tail, pool, day(today), stamp(ends), day(today+1))
		if err != nil {
			return nil, nil, err
		}
		if len(all) > 0 {
			*q.found = &all[0]
		}
	}
	return last, ahead, nil
}

// PendingSlots lists the undecided slots, oldest first.
func (s *Store) PendingSlots(ctx context.Context) ([]slot.Slot, error) {
	return s.querySlots(ctx, "WHERE state = 'pending' ORDER BY date, pool")
}
