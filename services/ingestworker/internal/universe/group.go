package universe

import (
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/drill"
)

// commit writes a group in one transaction, and each of its partitions alone if the group
// fails, so that one error does not fail the others.
func (w *writer) commit(group []*request) {
	live := group[:0]
	for _, r := range group {
		if r.ticket.Begin() {
			live = append(live, r)
		}
	}
	if len(live) == 0 {
		return
	}
	if err := w.ready(); err != nil {
		for _, r := range live {
			r.err = err
		}
	} else {
		for rest := live; len(rest) > 0; {
			written, err := w.attempt(rest)
			if err != nil {
				w.singly(rest, err)
				break
			}
			rest = rest[written:]
		}
	}
	for _, r := range live {
		close(r.done)
	}
	if w.dirty >= w.cfg.CheckpointRows {
		w.checkpoint()
	}
}

// singly tries the requests of a failed group one by one.
func (w *writer) singly(group []*request, failed error) {
	if len(group) == 1 && w.file != nil {
		group[0].err = failed
		return
	}
	// A single one is also retried if DuckDB had invalidated the database.
	w.log.Warn("a group of commits failed; retrying each partition on its own", "partitions", len(group), "error", failed)
	for _, r := range group {
		err := w.ready()
		if err == nil {
			_, err = w.attempt([]*request{r})
		}
		if err != nil {
			r.err = err
		}
	}
}

// attempt is one transaction. It returns how many of the group's requests it wrote, or the
// error for which it was rolled back, and sets the error of a request that was rejected
// while the others continued.
func (w *writer) attempt(group []*request) (written int, err error) {
	defer func() { w.lastUse = time.Now() }()
	if err := w.file.exec("BEGIN"); err != nil {
		w.abandon(err)
		return 0, w.failure(err)
	}
	t := &transaction{
		writer: w, appenders: make(map[string]*appender), records: make(map[coverage.Key]coverage.Record),
		now: time.Now().UTC().Truncate(time.Millisecond), nextRevision: w.nextRevision,
	}
	written, err = t.write(group)
	t.close()
	if err != nil {
		// The appenders were destroyed first: they would write their remaining rows.
		if back := w.file.exec("ROLLBACK"); back != nil {
			w.abandon(back)
		}
		w.abandon(err)
		return 0, w.failure(err)
	}
	w.watch.Worked()
	if !w.stands() {
		return 0, w.faults.Replaced()
	}
	w.index.put(t.records)
	if t.renamed {
		w.sink.lists.instruments.Store(nil)
	}
	for k := range t.records {
		switch k.Dataset {
		case catalog.TradeCal:
			w.sink.lists.calendar.Store(nil)
		case catalog.StockBasic, catalog.FundBasic:
			w.sink.lists.instruments.Store(nil)
		}
	}
	w.dirty += t.written + t.revised
	w.nextRevision = t.nextRevision
	return written, nil
}

// transaction is the transaction of a group.
type transaction struct {
	*writer
	appenders map[string]*appender
	// records are those of this transaction; they hide the stored ones.
	records map[coverage.Key]coverage.Record
	written int
	now     time.Time
	// revised are the written revisions, and nextRevision is the number of the next one.
	revised      int
	nextRevision int64
	renamed      bool // a company has a new code
}

// write commits the group, or only the first part of it if there are as many revisions as a
// transaction may have rows: a day that the provider rewrote completely has twenty times as
// many old values as rows.
func (t *transaction) write(group []*request) (written int, err error) {
	for _, r := range group {
		if t.revised > t.cfg.GroupRows {
			break
		}
		written++
		r.err = nil
		var err error
		if r.changes, err = t.stage(r); err != nil {
			return 0, fmt.Errorf("%s: %w", r.commit.Partition.ID, err)
		}
		if t.sink.inGroup != nil {
			if err := t.sink.inGroup(r); err != nil {
				return 0, err
			}
		}
	}
	for _, a := range t.appenders {
		if err := a.flush(); err != nil {
			return 0, err
		}
	}
	drill.Point("universe.commit")
	err = t.file.exec("COMMIT")
	drill.Point("universe.committed")
	return written, err
}

func (t *transaction) close() {
	for _, a := range t.appenders {
		a.destroy()
	}
}

func (t *transaction) appender(name string) (*appender, error) {
	if a := t.appenders[name]; a != nil {
		return a, nil
	}
	a, err := newAppender(t.file, name)
	if err != nil {
		return nil, err
	}
	t.appenders[name] = a
	return a, nil
}

// settle makes rows that this transaction appended visible to its statements.
func (t *transaction) settle(name string) error {
	if a := t.appenders[name]; a != nil {
		return a.flush()
	}
	return nil
}

func (t *transaction) held(k coverage.Key) (coverage.Record, bool) {
	if r, ok := t.records[k]; ok {
		return r, true
	}
	return t.index.get(k)
}

// stage writes one partition to the transaction, or rejects it and writes nothing.
func (t *transaction) stage(r *request) (ingest.Changes, error) {
	c := r.commit
	key := coverage.Key{Dataset: r.dataset.ID, Date: c.Partition.Start}
	before, known := t.held(key)
	if known && before.Epoch > c.Epoch {
		r.err = t.faults.Stale(c.Partition.ID, c.Epoch, before.Epoch)
		return ingest.Changes{}, nil
	}
	record := c.Records[0] // Check has verified that there is one, of this key
	record.Rows, record.ByExchange, record.RowsHash = before.Rows, before.ByExchange, before.RowsHash
	changes, err := t.replace(r.dataset, key, before, known, c)
	if err != nil {
		return changes, err
	}
	if c.Batch != nil && pool.Lists(r.dataset) {
		if changes.Renamed, changes.Orphans, err = t.follow(r.dataset, c.Batch, c.RunID); err != nil {
			return changes, err
		}
	}
	if c.Batch != nil {
		record.Rows, record.ByExchange, record.RowsHash = int64(c.Batch.Len), pool.ByExchange(r.dataset, c.Batch), r.hash
	}
	record.Epoch, record.RunID = c.Epoch, c.RunID
	record.New, record.Changed, record.Gone = changes.New, changes.Changed, changes.Gone
	record.CommittedAt = record.CommittedAt.UTC().Truncate(time.Millisecond)
	if record.CommittedAt.IsZero() {
		record.CommittedAt = t.now
	}
	if len(record.Issues) == 0 {
		record.Issues = nil
	}
	if known {
		if err := t.forget(key, c.KeepRejects); err != nil {
			return changes, err
		}
	}
	t.records[key] = record
	a, err := t.appender("coverage")
	if err != nil {
		return changes, err
	}
	if err := appendCoverage(a, record); err != nil {
		return changes, err
	}
	return changes, t.reject(key, c.Rejects)
}

// replace replaces the stored rows by the batch. Equal rows are not written, and nothing is
// read or deleted if the coverage has nothing.
func (t *transaction) replace(d *catalog.Dataset, key coverage.Key, before coverage.Record, known bool, c *ingest.Commit) (ingest.Changes, error) {
	batch := c.Batch
	if batch == nil {
		return ingest.Changes{}, nil
	}
	changes := ingest.Changes{New: int64(batch.Len)}
	if known { // even if it claims no row: some may have been added manually
		if err := t.settle(d.Table); err != nil {
			return changes, err
		}
		old, err := readBatch(t.file, d, predicate(d, key.Date), int(before.Rows))
		if err != nil {
			return changes, err
		}
		diff := pool.Compare(d, old, batch)
		renamed, err := t.recognize(d, diff, old, batch, c.RunID)
		if err != nil {
			return changes, err
		}
		if len(renamed) > 0 { // the stored rows have the new codes now
			if old, err = readBatch(t.file, d, predicate(d, key.Date), int(before.Rows)); err != nil {
				return changes, err
			}
			diff = pool.Compare(d, old, batch)
		}
		changes = diff.Changes()
		changes.Renamed = renamed
		if changes.Revised, err = t.revise(d, diff, old, batch, c.RunID); err != nil {
			return changes, err
		}
		if diff.Empty() {
			return changes, nil
		}
		if old.Len > 0 {
			if err := t.file.exec("DELETE FROM " + d.Table + " WHERE " + predicate(d, key.Date)); err != nil {
				return changes, err
			}
		}
	}
	a, err := t.appender(d.Table)
	if err != nil {
		return changes, err
	}
	t.written += batch.Len
	return changes, a.appendBatch(sources(d, batch), batch.Len)
}

// forget deletes the record of a key, and its rejects unless they are kept.
func (t *transaction) forget(k coverage.Key, keepRejects bool) error {
	names := []string{"coverage", "rejects"}
	if keepRejects {
		names = names[:1]
	}
	for _, name := range names {
		if err := t.settle(name); err != nil {
			return err
		}
		err := t.file.exec("DELETE FROM " + name + " WHERE dataset = " + quote(k.Dataset) +
			" AND trade_date IS NOT DISTINCT FROM " + literal(k.Date))
		if err != nil {
			return err
		}
	}
	return nil
}

// reject stores the rejects under their partition's key, whatever the date of the rejected
// row.
func (t *transaction) reject(k coverage.Key, rejects []coverage.Reject) error {
	if len(rejects) == 0 {
		return nil
	}
	a, err := t.appender("rejects")
	if err != nil {
		return err
	}
	for _, r := range rejects {
		at := r.RejectedAt
		if at.IsZero() {
			at = t.now
		}
		if err := a.appendRow(k.Dataset, k.Date, r.Symbol, r.Reason, r.Row, at.UTC().Truncate(time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}
