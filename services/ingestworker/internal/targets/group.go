package targets

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// The commits that are waiting are written in one transaction, so that the file is synced
// once for all of them. The goroutine that gets the turn writes for all that wait.

// Limits of a group.
const (
	mostWorks = 32
	mostRows  = 200_000
)

// pageCache is the cache for the pages of a group, in bytes.
const pageCache = 8 << 20

// queue has the commits that wait for the turn, in order of arrival.
type queue struct {
	mu    sync.Mutex
	works []*work
}

func (q *queue) add(w *work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.works = append(q.works, w)
}

// take takes a group from the queue: no two commits of it have the same rows, and a list or
// a calendar is alone.
func (q *queue) take() (group []*work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rows, n := 0, 0
	for _, w := range q.works {
		if w.ticket.Left() {
			n++
			continue
		}
		if len(group) > 0 {
			if len(group) == mostWorks || rows >= mostRows || w.dataset.Snapshot || group[0].dataset.Snapshot ||
				slices.ContainsFunc(group, w.overlaps) {
				break
			}
		}
		n++
		if !w.ticket.Begin() {
			continue
		}
		group = append(group, w)
		if w.commit.Batch != nil {
			rows += w.commit.Batch.Len
		}
	}
	q.works = slices.Delete(q.works, 0, n)
	return group
}

// overlaps reports whether two commits may have the same rows, or have the same name.
func (w *work) overlaps(other *work) bool {
	a, b := &w.commit.Partition, &other.commit.Partition
	if a.ID == b.ID {
		return true
	}
	if a.Dataset != b.Dataset || a.Start > b.End || b.Start > a.End {
		return false
	}
	has := make(map[string]bool, len(a.Symbols))
	for _, s := range a.Symbols {
		has[s] = true
	}
	return slices.ContainsFunc(b.Symbols, func(s string) bool { return has[s] })
}

// write waits until the commit is written, by this goroutine or by another one that has the
// turn.
func (s *Sink) write(ctx context.Context, w *work) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.queued.add(w)
	for {
		select {
		case <-w.done:
			return w.err
		case <-s.turn:
			if w.ticket.Waiting() {
				s.writeGroup(s.queued.take())
			}
			s.lastUse = time.Now()
			s.turn <- struct{}{}
		case <-ctx.Done():
			if w.ticket.Leave() {
				return ctx.Err()
			}
			<-w.done // it may be written already
			return w.err
		}
	}
}

// writeGroup writes a group in one transaction, and each commit alone if that fails, so
// that one error does not fail the others. A begun write is completed even if callers have
// left.
func (s *Sink) writeGroup(group []*work) {
	if len(group) == 0 {
		return
	}
	ctx := context.Background()
	if err := s.attempt(ctx, group); err != nil && len(group) > 1 {
		s.cfg.Logger.Warn("a group of commits failed; retrying each commit on its own", "pool", string(market.Targets), "commits", len(group), "error", err)
		for _, w := range group {
			w.err = s.attempt(ctx, []*work{w})
		}
	} else if err != nil {
		group[0].err = err
	}
	for _, w := range group {
		close(w.done)
	}
}

// attempt is one transaction. The error is why it was rolled back; that of a work is set if
// it was rejected while the others continued.
func (s *Sink) attempt(ctx context.Context, group []*work) error {
	if s.closed {
		return s.faults.Failed(errClosed, errClosed.Error())
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	former, err := s.formerCodes(ctx, group)
	if err != nil {
		return s.failure(ctx, err)
	}
	live := make([]*work, 0, len(group))
	for _, w := range group {
		w.err = nil
		if w.survey(former); w.newest > w.commit.Epoch {
			w.err = s.faults.Stale(w.commit.Partition.ID, w.commit.Epoch, w.newest)
			continue
		}
		live = append(live, w)
	}
	if len(live) == 0 {
		return nil
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		err := s.writeAll(ctx, tx, live)
		drill.Point("targets.commit")
		return err
	})
	if err != nil {
		return s.failure(ctx, err)
	}
	if !s.stands() {
		return s.faults.Replaced()
	}
	s.index.name(s.newIDs)
	for _, w := range live {
		w.publish()
	}
	held := s.logHeld(ctx)
	for _, w := range live {
		w.logHeld = held
	}
	return nil
}

func (s *Sink) writeAll(ctx context.Context, tx *sqlite.Tx, group []*work) error {
	nextID, gone := s.nextID, make(map[*stamp]int)
	for _, w := range group {
		if w.commit.Batch != nil {
			if err := w.move(ctx, tx); err != nil {
				return err
			}
			if err := w.readOld(ctx, tx); err != nil {
				return err
			}
			w.diff = pool.Compare(w.dataset, w.old, w.commit.Batch)
			if err := w.writeRevisions(ctx, tx); err != nil {
				return err
			}
			if err := w.deleteGone(ctx, tx); err != nil {
				return err
			}
		}
		if err := w.settle(tx.Now.UTC(), nextID, gone); err != nil {
			return err
		}
		nextID += int64(len(w.fresh))
	}
	if err := writeRows(ctx, tx, group); err != nil {
		return err
	}
	if err := s.writeCoverage(ctx, tx, group); err != nil {
		return err
	}
	for _, w := range group {
		if err := w.writeRejects(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// spot is one row or record of a work, with its sort key.
type spot struct {
	symbol string
	date   market.Date
	w      *work
	n      int
	series int64 // the number of a record's series
}

func sortSpots(spots []spot) {
	slices.SortFunc(spots, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.date, b.date), strings.Compare(a.symbol, b.symbol))
	})
}

// writeRows writes new and changed rows, in the order of the tables; equal rows are not
// written.
func writeRows(ctx context.Context, tx *sqlite.Tx, group []*work) error {
	by, rows := make(map[*catalog.Dataset][]spot), make(map[*catalog.Dataset]int)
	for _, w := range group {
		rows[w.dataset] += len(w.diff.New) + len(w.diff.Changed)
	}
	for d, n := range rows {
		by[d] = make([]spot, 0, n)
	}
	for _, w := range group {
		if w.commit.Batch == nil {
			continue
		}
		texts, dates := pool.KeyColumns(w.dataset, w.commit.Batch)
		for _, rows := range [][]int{w.diff.New, w.diff.Changed} {
			for _, n := range rows {
				x := spot{symbol: texts.Texts[n], date: market.NoDate, w: w, n: n}
				if dates != nil {
					x.date = dates.Dates[n]
				}
				by[w.dataset] = append(by[w.dataset], x)
			}
		}
	}
	day := dayTexts{}
	for d, spots := range by {
		sortSpots(spots)
		columns, kind := stored(d), ""
		width := len(d.Columns)
		if d.Table == catalog.TableInstruments {
			columns, kind = columns+", "+pool.KindColumn, string(d.Kind)
			width++
		}
		err := tx.Insert(ctx, d.Table, columns, width, len(spots), func(i int, args []any) []any {
			x := &spots[i]
			for c := range x.w.commit.Batch.Columns {
				args = append(args, argument(&x.w.commit.Batch.Columns[c], x.n, day))
			}
			if kind != "" {
				args = append(args, kind)
			}
			return args
		})
		if err != nil {
			return err
		}
	}
	return nil
}
