package universe

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Sink is the universe pool. It implements ingest.Sink.
type Sink struct {
	cfg    Config
	faults pool.Faults
	index  *index
	lists  lists
	watch  *pool.Watch

	queue   chan *request
	closing chan struct{} // closed by Close
	ended   chan struct{} // closed by the writer when it has closed the file
	once    sync.Once

	// inGroup fails a staged commit, in tests of the rest of its group.
	inGroup func(r *request) error
}

var _ ingest.Sink = (*Sink)(nil)

// lists are the references as last read from the file; nil after a commit changed them.
type lists struct {
	calendar    atomic.Pointer[ingest.Calendar]
	instruments atomic.Pointer[[]coverage.Instrument]
}

// request is one piece of work for the writer: a commit, or a job.
type request struct {
	commit  *ingest.Commit
	dataset *catalog.Dataset
	hash    uint64 // of the commit's rows
	job     func(w *writer) error

	ticket  pool.Ticket
	changes ingest.Changes
	err     error
	done    chan struct{}
}

var errClosed = errors.New("the ingest-worker is shutting down")

// New starts the sink without touching its file, so that a worker starts whatever the state
// of the file is; Open reports it.
func New(cfg Config) *Sink {
	cfg = cfg.withDefaults()
	s := &Sink{
		cfg: cfg, faults: pool.NewFaults(market.Universe, cfg.Path), watch: pool.NewWatch(cfg.Path),
		index:   &index{records: make(map[coverage.Key]coverage.Record)},
		queue:   make(chan *request, cfg.GroupPartitions),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	w := &writer{sink: s, cfg: cfg, faults: s.faults, index: s.index, watch: s.watch, log: cfg.Logger.With("pool", string(market.Universe))}
	go w.run()
	return s
}

// Open opens the file for writing and checks its schema, source and free space.
func (s *Sink) Open(ctx context.Context) error {
	return s.do(ctx, func(w *writer) error { return w.ready() })
}

// Commit replaces one partition. It waits until its group's transaction ends. It sets Rows,
// ByExchange, RowsHash, Epoch, RunID, New, Changed and Gone of the records from the
// resulting content of the file; without a batch the rows stored before still count.
// CommittedAt is set if it is zero.
func (s *Sink) Commit(ctx context.Context, c ingest.Commit) (ingest.Changes, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Changes{}, err
	}
	d, err := pool.Check(market.Universe, c)
	if err != nil {
		return ingest.Changes{}, err
	}
	r := &request{commit: &c, dataset: d, done: make(chan struct{})}
	if c.Batch != nil {
		r.hash = c.Batch.Hash() // here and not in the writer, for which all wait
	}
	err = s.submit(ctx, r)
	return r.changes, err
}

func (s *Sink) do(ctx context.Context, job func(w *writer) error) error {
	return s.submit(ctx, &request{job: job, done: make(chan struct{})})
}

// submit queues a request and waits for its end. If its work has begun, it waits even if
// ctx ends, because it will be done.
func (s *Sink) submit(ctx context.Context, r *request) error {
	select {
	case <-s.closing:
		return s.faults.Failed(errClosed, errClosed.Error())
	default:
	}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return s.faults.Failed(errClosed, errClosed.Error())
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		if r.ticket.Leave() {
			return ctx.Err()
		}
	case <-s.ended:
		// The request may have been queued after the writer's last check.
		if r.ticket.Leave() {
			return s.faults.Failed(errClosed, errClosed.Error())
		}
	}
	<-r.done
	return r.err
}

// Coverage iterates over the records in memory. It opens the file only if it was never
// read, or was replaced.
func (s *Sink) Coverage(ctx context.Context, datasets []string, start, end market.Date, yield func(coverage.Record) bool) error {
	s.Refresh(ctx)
	if err := s.load(ctx); err != nil {
		return err
	}
	for _, r := range s.index.match(datasets, start, end) {
		if !yield(r) {
			break
		}
	}
	return nil
}

// Held is the record of one key, from memory.
func (s *Sink) Held(k coverage.Key) (coverage.Record, bool) {
	if s.load(context.Background()) != nil {
		return coverage.Record{}, false
	}
	return s.index.get(k)
}

// load reads the coverage once. A missing file has no data and is not created.
func (s *Sink) load(ctx context.Context) error {
	if s.index.ready() {
		return nil
	}
	if !pool.Exists(s.cfg.Path) {
		return nil
	}
	return s.do(ctx, func(w *writer) error { return w.attach() })
}

// Refresh updates the cache if the file was deleted, replaced, or written to by another
// program. If the new file cannot be read, the cache keeps the old content.
func (s *Sink) Refresh(ctx context.Context) (changed bool) {
	if s.watch.FileState() == pool.Same { // the writer checks again
		return false
	}
	return s.do(ctx, func(w *writer) error { w.refresh(); return nil }) == nil
}

// Contents reads the tables. Duplicates is the number of rows minus that of keys. Many
// trade dates are read together, in two concurrent halves; commits continue in between.
func (s *Sink) Contents(ctx context.Context, keys ...coverage.Key) ([]ingest.Contents, error) {
	out := make([]ingest.Contents, len(keys))
	var dates []coverage.Key
	for n, k := range keys {
		d, err := datasetOf(k)
		if err != nil {
			return nil, err
		}
		if !d.Snapshot && k.Symbol == "" {
			dates = append(dates, k)
			continue
		}
		if out[n], err = s.contents(ctx, d, k); err != nil {
			return nil, err
		}
	}
	var scans []*scan
	var halves [2][]reading
	for n, half := range inHalves(dates) {
		for _, scan := range scansOf(half) {
			scans = append(scans, scan)
			for _, span := range scan.spans(s.index) {
				halves[n] = append(halves[n], reading{scan, span[0], span[1]})
			}
		}
	}
	for i := range max(len(halves[0]), len(halves[1])) {
		var both []reading
		for _, half := range halves {
			if i < len(half) {
				both = append(both, half[i])
			}
		}
		err := s.do(ctx, func(w *writer) error {
			return w.use(func(file *duck) error { return readTogether(file, both) })
		})
		if err != nil {
			return nil, err
		}
	}
	found := make(map[coverage.Key]ingest.Contents, len(dates))
	for _, scan := range scans {
		for k, t := range scan.tallies {
			found[coverage.Key{Dataset: t.dataset, Date: k.date}] = t.found
		}
	}
	for n, k := range keys {
		if f, ok := found[k]; ok {
			out[n] = f
		}
	}
	return out, nil
}

// contents reads one list, or one symbol's rows.
func (s *Sink) contents(ctx context.Context, d *catalog.Dataset, k coverage.Key) (ingest.Contents, error) {
	b, err := s.Rows(ctx, k)
	if err != nil {
		return ingest.Contents{}, err
	}
	return pool.Contents(d, b), nil // in the caller's goroutine: the writer must serve others
}

// Rows reads a date or a snapshot from its table.
func (s *Sink) Rows(ctx context.Context, k coverage.Key) (*table.Batch, error) {
	d, err := datasetOf(k)
	if err != nil {
		return nil, err
	}
	where := predicate(d, k.Date)
	if k.Symbol != "" {
		where += " AND symbol = " + quote(k.Symbol)
	}
	known, _ := s.index.get(k)
	b, _ := pool.Held(d, 0) // of a file that is not there
	err = s.do(ctx, func(w *writer) error {
		return w.use(func(file *duck) (err error) {
			b, err = readBatch(file, d, where, int(known.Rows))
			return err
		})
	})
	return b, err
}

// datasetOf is the dataset of a key of the pool.
func datasetOf(k coverage.Key) (*catalog.Dataset, error) {
	d := catalog.Lookup(k.Dataset)
	if d == nil {
		return nil, fault.Invalid("dataset", "%.40q is not in the catalog", k.Dataset)
	}
	if d.Snapshot != (k.Date == market.NoDate) {
		return nil, fault.Invalid("trade_date", "%s is held by %s", d.ID, map[bool]string{true: "the whole", false: "trade date"}[d.Snapshot])
	}
	return d, nil
}

// Calendar is read from the file once after each commit that changed it.
func (s *Sink) Calendar(ctx context.Context) (ingest.Calendar, error) {
	if c := s.lists.calendar.Load(); c != nil {
		return *c, nil
	}
	var out ingest.Calendar
	err := s.do(ctx, func(w *writer) (err error) {
		if out, err = w.calendar(); err == nil {
			s.lists.calendar.Store(&out)
		}
		return err
	})
	return out, err
}

// Instruments are read from the file once after each commit that changed them. The slice is
// shared and must not be modified.
func (s *Sink) Instruments(ctx context.Context) ([]coverage.Instrument, error) {
	if list := s.lists.instruments.Load(); list != nil {
		return *list, nil
	}
	var out []coverage.Instrument
	err := s.do(ctx, func(w *writer) (err error) {
		if out, err = w.instruments(); err == nil {
			s.lists.instruments.Store(&out)
		}
		return err
	})
	return out, err
}

// Release closes the file if it was idle for long enough, which the sink also does itself,
// and checks whether it still exists.
func (s *Sink) Release() {
	_ = s.do(context.Background(), func(w *writer) error {
		w.releaseIdle()
		w.stands()
		return nil
	})
}

// Close commits what is queued, closes the file and releases its lock.
func (s *Sink) Close() error {
	s.once.Do(func() { close(s.closing) })
	<-s.ended
	return nil
}
