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
	hashes  []uint64 // of the batch's rows

	ticket  pool.Ticket
	done    chan struct{} // closed when err is set
	err     error
	logHeld int64

	before map[coverage.Key]day // the coverage of the partition
	newest int64                // highest epoch in it
	old    *table.Batch         // stored rows, nil without a batch
	diff   pool.Diff
	// revised summarizes the old values that were kept.
	revised ingest.Revised
	renamed []ingest.Rename

	records []coverage.Record // to be written
	days    []day             // equal to those in the index
	stamps  []*stamp          // of each record
	fresh   []*stamp          // the distinct ones among them
	dropped []coverage.Key
	retired []*stamp // left without a record
	kept    []int    // records whose rows in the file do not change, ascending
}

// survey reads the coverage of the partition. It restarts the work.
func (w *work) survey() {
	w.before, w.newest, w.old, w.diff, w.revised = make(map[coverage.Key]day), 0, nil, pool.Diff{}, ingest.Revised{}
	w.renamed = nil
	w.records, w.days, w.stamps, w.fresh, w.dropped, w.retired, w.kept = nil, nil, nil, nil, nil, nil, nil
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
}

// settle determines the records to write. firstID is the ID of its first stamp, and left
// counts over a group how many records of each stamp are replaced.
func (w *work) settle(now time.Time, firstID int64, left map[*stamp]int) error {
	rows := w.tally()
	listed := make(map[coverage.Key]struct{}, len(w.commit.Records))
	shared := make(map[string]*stamp)
	add := func(r coverage.Record) error {
		listed[r.Key] = struct{}{}
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
			t := rows[r.Key]
			r.Rows, r.RowsHash, r.New, r.Changed, r.Gone, r.ByExchange = t.rows, t.hash, t.New, t.Changed, t.Gone, coverage.ExchangeCounts{}
			if t.rows > 0 {
				r.ByExchange.Add(r.Symbol)
			}
		}
		if len(r.Issues) == 0 {
			r.Issues = nil
		}
		if n := len(w.stamps); n > 0 && len(r.Issues)+len(w.stamps[n-1].issues) == 0 && w.stamps[n-1].committedAt.Equal(r.CommittedAt) {
			w.records, w.stamps = append(w.records, r), append(w.stamps, w.stamps[n-1]) // as almost all are
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
		w.records, w.stamps = append(w.records, r), append(w.stamps, st)
		return nil
	}
	for _, r := range w.commit.Records {
		if err := add(r); err != nil {
			return err
		}
	}
	if w.commit.Batch != nil && !w.dataset.Snapshot {
		for k, t := range rows {
			if _, ok := listed[k]; !ok && t.rows > 0 {
				if err := add(coverage.Record{Key: k, Expected: 1, Verdict: coverage.Complete, SameSince: market.NoDate, LastSame: market.NoDate}); err != nil {
					return err
				}
			}
		}
	}
	for k, d := range w.before {
		_, again := listed[k]
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
	w.days = make([]day, len(w.records))
	for i := range w.records {
		w.days[i] = newDay(&w.records[i], w.stamps[i])
	}
	return nil
}

// reuse keeps the row in commits, and unchanged rows of coverage, if the records replace
// all those of one commit: a refetch that finds nothing new then writes almost nothing.
func (w *work) reuse() {
	if len(w.retired) != 1 || len(w.fresh) != 1 || len(w.dropped) > 0 || len(w.before) != len(w.records) || w.retired[0].records != len(w.records) {
		return
	}
	for i := range w.records {
		r := &w.records[i]
		d, held := w.before[r.Key]
		if !held || d.hash != r.RowsHash {
			continue
		}
		if was := d.record(series{r.Dataset, r.Symbol}); same(&was, r) {
			w.kept = append(w.kept, i)
		}
	}
	w.fresh[0].id, w.fresh[0].again, w.retired = w.retired[0].id, true, nil
}

// tallied is what happened to one symbol and day.
type tallied struct {
	rows int64
	hash uint64
	ingest.Changes
}

func (w *work) tally() map[coverage.Key]tallied {
	out := make(map[coverage.Key]tallied)
	if w.commit.Batch == nil || w.dataset.Snapshot {
		return out
	}
	at := func(b *table.Batch) func(i int) coverage.Key {
		symbols, dates := pool.KeyColumns(w.dataset, b)
		return func(i int) coverage.Key {
			return coverage.Key{Dataset: w.dataset.ID, Date: dates.Dates[i], Symbol: symbols.Texts[i]}
		}
	}
	now, then := at(w.commit.Batch), at(w.old)
	for i := range w.commit.Batch.Len {
		out[now(i)] = tallied{rows: 1, hash: w.hashes[i]}
	}
	for _, i := range w.diff.New {
		out[now(i)] = tallied{rows: 1, hash: w.hashes[i], Changes: ingest.Changes{New: 1}}
	}
	for _, i := range w.diff.Changed {
		out[now(i)] = tallied{rows: 1, hash: w.hashes[i], Changes: ingest.Changes{Changed: 1}}
	}
	for _, i := range w.diff.Gone {
		out[then(i)] = tallied{Changes: ingest.Changes{Gone: 1}}
	}
	return out
}

// publish updates the cache.
func (w *work) publish() {
	x := w.sink.index
	x.mu.Lock()
	for i := range w.records {
		r := &w.records[i]
		x.putDay(series{r.Dataset, r.Symbol}, w.days[i])
	}
	for _, k := range w.dropped {
		x.drop(k)
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
