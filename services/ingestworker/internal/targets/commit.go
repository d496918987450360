package targets

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Commit replaces one partition in one transaction. It sets Rows, ByExchange, RowsHash,
// Epoch, RunID, New, Changed and Gone of the records from the resulting content of the
// file; without a batch the rows stored before still count. CommittedAt is set if it is
// zero. A row without a record gets a complete one; with a batch, records that the
// partition no longer has are deleted.
func (s *Sink) Commit(ctx context.Context, c ingest.Commit) (ingest.Changes, error) {
	d, err := pool.Check(market.Targets, c)
	if err != nil {
		return ingest.Changes{}, err
	}
	w := &work{sink: s, dataset: d, commit: c, done: make(chan struct{})}
	if c.Batch != nil {
		w.hashes = c.Batch.RowHashes()
	}
	if c.Batch != nil && !d.Snapshot {
		w.rows = make(map[rowKey]int, c.Batch.Len)
		texts, dates := pool.KeyColumns(d, c.Batch)
		for i := range c.Batch.Len {
			w.rows[rowKey{texts.Texts[i], dates.Dates[i]}] = i
		}
	}
	if err := s.write(ctx, w); err != nil {
		return ingest.Changes{}, err
	}
	changes := w.diff.Changes()
	changes.Revised, changes.Renamed, changes.LogHeld = w.revised, w.renamed, w.logHeld
	return changes, nil
}

// logHeld is the size of a log that has grown because a reader holds it.
func (s *Sink) logHeld(ctx context.Context) int64 {
	n := s.db.LogBytes()
	if n < s.cfg.LogHeld {
		return 0
	}
	if held, err := s.db.Held(ctx); err != nil || !held {
		return 0
	}
	return n
}

// work is one commit in progress.
type work struct {
	sink    *Sink
	dataset *catalog.Dataset
	commit  ingest.Commit
	hashes  []uint64       // of the batch's rows
	rows    map[rowKey]int // the batch's rows; nil for a snapshot

	ticket  pool.Ticket
	done    chan struct{} // closed when err is set
	err     error
	logHeld int64

	before map[coverage.Key]day // the coverage of the partition, and of moved
	// moved are the stored rows under earlier codes, each with the present code.
	moved  map[coverage.Key]string
	newest int64        // highest epoch in it
	old    *table.Batch // stored rows, nil without a batch
	diff   pool.Diff
	// revised summarizes the old values that were kept.
	revised ingest.Revised
	renamed []ingest.Rename

	keys    []rowKey // of the records to be written
	days    []day    // the records, equal to those in the index
	fresh   []*stamp // the distinct ones of the records
	dropped []coverage.Key
	retired []*stamp // left without a record
	kept    []int    // records whose rows in the file do not change, ascending
}

// survey reads the coverage of the partition, and finds the rows that are stored under earlier
// codes of its symbols. It restarts the work.
func (w *work) survey(former map[string][]string) {
	w.before, w.newest, w.old, w.diff, w.revised = make(map[coverage.Key]day), 0, nil, pool.Diff{}, ingest.Revised{}
	w.renamed, w.moved = nil, nil
	w.keys, w.days, w.fresh, w.dropped, w.retired, w.kept = nil, nil, nil, nil, nil, nil
	if w.commit.Batch == nil && !w.dataset.Snapshot { // only its records are written
		for i := range w.commit.Records {
			k := w.commit.Records[i].Key
			for _, d := range w.sink.index.span(series{k.Dataset, k.Symbol}, k.Date, k.Date) {
				w.before[k] = d
				w.newest = max(w.newest, d.stamp.epoch)
			}
		}
		return
	}
	part, symbols := w.commit.Partition, w.commit.Partition.Symbols
	if w.dataset.Snapshot {
		symbols = []string{""}
	}
	for _, symbol := range symbols {
		for _, d := range w.sink.index.span(series{w.dataset.ID, symbol}, part.Start, part.End) {
			w.before[coverage.Key{Dataset: w.dataset.ID, Date: d.date, Symbol: symbol}] = d
			w.newest = max(w.newest, d.stamp.epoch)
		}
	}
	w.supersede(former)
}

// settle determines the records to write. firstID is the ID of its first stamp, and left
// counts over a group how many records of each stamp are replaced.
func (w *work) settle(now time.Time, firstID int64, left map[*stamp]int) error {
	count, gone := w.tally()
	covered := make([]bool, len(count)) // rows with a record
	var listed map[rowKey]struct{}      // only needed to find what is dropped
	if len(w.before) > 0 {
		listed = make(map[rowKey]struct{}, len(w.commit.Records))
	}
	w.keys, w.days = make([]rowKey, 0, len(w.commit.Records)), make([]day, 0, len(w.commit.Records))
	put := func(r *coverage.Record, st *stamp) {
		w.keys, w.days = append(w.keys, rowKey{r.Symbol, r.Date}), append(w.days, newDay(r, st))
	}
	shared := make(map[string]*stamp)
	add := func(r coverage.Record) error {
		if listed != nil {
			listed[rowKey{r.Symbol, r.Date}] = struct{}{}
		}
		r.Epoch, r.RunID = w.commit.Epoch, w.commit.RunID
		r.CommittedAt = r.CommittedAt.UTC().Truncate(time.Millisecond)
		if r.CommittedAt.IsZero() {
			r.CommittedAt = now
		}
		switch {
		case w.commit.Batch == nil:
			held := coverage.Record{}
			if d, ok := w.before[r.Key]; ok {
				held = d.record(series{r.Dataset, r.Symbol})
			}
			r.Rows, r.ByExchange, r.RowsHash, r.New, r.Changed, r.Gone = held.Rows, held.ByExchange, held.RowsHash, 0, 0, 0
		case w.dataset.Snapshot:
			n := w.diff.Changes()
			r.Rows, r.ByExchange, r.RowsHash = int64(w.commit.Batch.Len), pool.ByExchange(w.dataset, w.commit.Batch), 0
			for _, h := range w.hashes {
				r.RowsHash += h
			}
			r.New, r.Changed, r.Gone = n.New, n.Changed, n.Gone
		default:
			r.Rows, r.RowsHash, r.New, r.Changed, r.Gone, r.ByExchange = 0, 0, 0, 0, 0, coverage.ExchangeCounts{}
			key := rowKey{r.Symbol, r.Date}
			if i, has := w.rows[key]; has {
				covered[i] = true
				r.Rows, r.RowsHash, r.New, r.Changed = 1, w.hashes[i], count[i].added, count[i].changed
				r.ByExchange.Add(r.Symbol)
			} else if gone[key] {
				r.Gone = 1
			}
		}
		if len(r.Issues) == 0 {
			r.Issues = nil
		}
		if n := len(w.days); n > 0 && len(r.Issues)+len(w.days[n-1].stamp.issues) == 0 && w.days[n-1].stamp.committedAt.Equal(r.CommittedAt) {
			put(&r, w.days[n-1].stamp) // as almost all are
			return nil
		}
		text, err := json.Marshal(r.Issues)
		if err != nil {
			return err
		}
		id := r.CommittedAt.String() + string(text)
		st := shared[id]
		if st == nil {
			st = &stamp{id: firstID + int64(len(w.fresh)), runID: r.RunID, epoch: r.Epoch, committedAt: r.CommittedAt, issues: r.Issues}
			shared[id] = st
			w.fresh = append(w.fresh, st)
		}
		put(&r, st)
		return nil
	}
	for _, r := range w.commit.Records {
		if err := add(r); err != nil {
			return err
		}
	}
	for key, i := range w.rows {
		if covered[i] {
			continue
		}
		k := coverage.Key{Dataset: w.dataset.ID, Date: key.date, Symbol: key.symbol}
		if err := add(coverage.Record{Key: k, Expected: 1, Verdict: coverage.Complete, SameSince: market.NoDate, LastSame: market.NoDate}); err != nil {
			return err
		}
	}
	for k, d := range w.before {
		_, again := listed[rowKey{k.Symbol, k.Date}]
		if !again && w.commit.Batch == nil {
			continue
		}
		if !again {
			w.dropped = append(w.dropped, k)
		}
		if left[d.stamp]++; left[d.stamp] == d.stamp.records {
			w.retired = append(w.retired, d.stamp)
		}
	}
	w.reuse()
	return nil
}

// reuse keeps the row in commits, and unchanged rows of coverage, if the records replace
// all those of one commit: a refetch that finds nothing new then writes almost nothing.
func (w *work) reuse() {
	if len(w.retired) != 1 || len(w.fresh) != 1 || len(w.dropped) > 0 || len(w.before) != len(w.days) || w.retired[0].records != len(w.days) {
		return
	}
	for i := range w.days {
		was, held := w.before[w.key(i)]
		if !held || was.hash != w.days[i].hash {
			continue
		}
		name := series{w.dataset.ID, w.keys[i].symbol}
		if a, b := was.record(name), w.days[i].record(name); same(&a, &b) {
			w.kept = append(w.kept, i)
		}
	}
	w.fresh[0].id, w.fresh[0].again, w.retired = w.retired[0].id, true, nil
}

// rowKey is a symbol's row of a dataset.
type rowKey struct {
	symbol string
	date   market.Date
}

// counted is 1 if a row of the batch is new, or has a changed value.
type counted struct{ added, changed int64 }

// key is that of the i-th record to be written.
func (w *work) key(i int) coverage.Key {
	return coverage.Key{Dataset: w.dataset.ID, Date: w.keys[i].date, Symbol: w.keys[i].symbol}
}

// tally counts what the commit changes, by the batch's rows, and the rows that it removes.
func (w *work) tally() (rows []counted, gone map[rowKey]bool) {
	if w.commit.Batch == nil || w.dataset.Snapshot {
		return nil, nil
	}
	rows = make([]counted, w.commit.Batch.Len)
	for _, i := range w.diff.New {
		rows[i].added = 1
	}
	for _, i := range w.diff.Changed {
		rows[i].changed = 1
	}
	if len(w.diff.Gone) > 0 {
		gone = make(map[rowKey]bool, len(w.diff.Gone))
		texts, dates := pool.KeyColumns(w.dataset, w.old)
		for _, i := range w.diff.Gone {
			gone[rowKey{texts.Texts[i], dates.Dates[i]}] = true
		}
	}
	return rows, gone
}

// publish updates the cache.
func (w *work) publish() {
	x := w.sink.index
	x.mu.Lock()
	for i, d := range w.days {
		x.putDay(series{w.dataset.ID, w.keys[i].symbol}, d)
	}
	for _, k := range w.dropped {
		x.drop(k)
	}
	dates := make(map[market.Date]bool)
	for _, k := range w.keys {
		dates[k.date] = true
	}
	for d := range dates {
		if t := x.datasets[w.dataset.ID].at(d); t != nil {
			t.tidy()
		}
	}
	x.mu.Unlock()
	w.remember()
	w.sink.nextID += int64(len(w.fresh))
	switch {
	case w.dataset.ID == catalog.TradeCal:
		w.sink.calendar.Store(nil)
	case slices.Contains([]string{catalog.StockBasic, catalog.FundBasic}, w.dataset.ID):
		w.sink.instruments.Store(nil)
	}
}
