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

// commit writes a group in one transaction, and each of its partitions singly
// when the group fails, so that bad luck of one does not take the others with it.
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

// singly tries the requests of a group that failed one by one.
func (w *writer) singly(group []*request, failed error) {
	if len(group) == 1 && w.file != nil {
		group[0].err = failed
		return
	}
	// A single one is tried again too when DuckDB had given the file up.
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

// attempt is one transaction. It returns how many of the group's requests it wrote,
// or the error that rolled it back, and sets the error of a request that was refused
// while the others went on.
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
		// Dropping the appenders came first: they would write what is left in them.
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

// transaction is a group on its way into the file.
type transaction struct {
	*writer
	appenders map[string]*appender
	// records are those of this transaction, which hide those held before.
	records map[coverage.Key]coverage.Record
	written int
	now     time.Time
	// revised are the revisions written, and nextRevision is the number of the next.
	revised      int
	nextRevision int64
	renamed      bool // a company has another code now
}

// write commits the group, or the first of it once there are so many revisions as a
// transaction may have rows: a day that the provider rewrote as a whole has twenty
// times as many old values as rows.
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

// stage writes one partition into the transaction, or refuses it and writes
// nothing.
func (t *transaction) stage(r *request) (ingest.Changes, error) {
	c := r.commit
	key := coverage.Key{Dataset: r.dataset.ID, Date: c.Partition.Start}
	before, known := t.held(key)
	if known && before.Epoch > c.Epoch {
		r.err = t.faults.Stale(c.Partition.ID, c.Epoch, before.Epoch)
		return ingest.Changes{}, nil
	}
	record := c.Records[0] // Check has seen that there is one, and of this key
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

// replace puts the batch in the place of the rows held. What is equal is left
// alone, and nothing is read or deleted where coverage knows of nothing yet.
func (t *transaction) replace(d *catalog.Dataset, key coverage.Key, before coverage.Record, known bool, c *ingest.Commit) (ingest.Changes, error) {
	batch := c.Batch
	if batch == nil {
		return ingest.Changes{}, nil
	}
	changes := ingest.Changes{New: int64(batch.Len)}
	if known { // also where it claims no row: a hand may have added some
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
		if len(renamed) > 0 { // the rows held stand under the new codes now
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

// forget takes the record of a key away, and its rejects unless they are kept.
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

// reject keeps the rejects under their partition's key, whatever date the rejected
// row may bear.
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
