package targets

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/lockfile"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// Sink is the targets pool. It implements ingest.Sink.
type Sink struct {
	cfg    Config
	faults pool.Faults
	index  *index
	days   days
	watch  *pool.Watch

	// turn has one token; its owner owns everything below and may write.
	turn    chan struct{}
	queued  queue // commits that wait for it
	closed  bool
	lock    *lockfile.Lock
	db      *sqlite.DB // nil while the file is closed
	opening *opening   // a file that is being migrated
	source  string
	lastUse time.Time
	clung   bool         // the file stays open until a reader releases its log
	reads   sync.RWMutex // held to change db, and by reads beside the turn
	nextID  int64        // of commits
	// newIDs are the numbers of new series in the current transaction.
	newIDs map[series]int64

	// life ends with Close, and with it a migration.
	life     context.Context
	end      context.CancelFunc
	patience time.Duration
	large    int64

	calendar    atomic.Pointer[ingest.Calendar]
	instruments atomic.Pointer[[]coverage.Instrument]
}

var (
	_ ingest.Sink        = (*Sink)(nil)
	_ ingest.PriceReader = (*Sink)(nil)
	_ ingest.DayReader   = (*Sink)(nil)
)

var errClosed = errors.New("the ingest-worker is shutting down")

// New returns the sink without touching its file, so that a worker starts whatever the
// state of the file is; Open reports it.
func New(cfg Config) *Sink {
	cfg = cfg.withDefaults()
	s := &Sink{cfg: cfg, faults: pool.NewFaults(market.Targets, cfg.Path), index: newIndex(),
		watch: pool.NewWatch(cfg.Path), turn: make(chan struct{}, 1), patience: patience, large: largeFile}
	s.life, s.end = context.WithCancel(context.Background())
	s.turn <- struct{}{}
	return s
}

// take waits for the turn; the returned function releases it.
func (s *Sink) take(ctx context.Context) (give func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-s.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.closed {
		s.turn <- struct{}{}
		return nil, s.faults.Failed(errClosed, errClosed.Error())
	}
	return func() {
		s.lastUse = time.Now()
		s.turn <- struct{}{}
	}, nil
}

// Open opens the file for writing and checks its schema, source and free space.
func (s *Sink) Open(ctx context.Context) error {
	give, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	return s.ready(ctx)
}

// Coverage iterates over the records in memory. It opens the file only if it was never
// read, or was replaced.
func (s *Sink) Coverage(ctx context.Context, datasets []string, start, end market.Date, yield func(coverage.Record) bool) error {
	s.Refresh(ctx)
	if err := s.load(ctx); err != nil {
		return err
	}
	from, to := start, end
	if end == market.NoDate {
		to = 1<<31 - 1
	}
	if start == market.NoDate && end != market.NoDate {
		from++ // a bound excludes the lists, which have NoDate
	}
	for _, name := range s.index.names(datasets) {
		for _, d := range s.index.span(name, from, to) {
			if !yield(d.record(name)) {
				return nil
			}
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
	give, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	return s.attach(ctx)
}

// Release updates SQLite's statistics, truncates the write-ahead log and closes the file if
// nothing has used it for the idle time, and checks whether it still exists. While a reader
// holds a log that has grown, the file stays open, so that the log is truncated after the
// reader.
func (s *Sink) Release() {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	if s.stands() && s.db != nil && time.Since(s.lastUse) >= s.cfg.Idle {
		log := s.cfg.Logger.With("pool", string(market.Targets))
		if err := s.db.Optimize(context.Background()); err != nil { // users' queries for a symbol are slower
			log.Warn("updating the statistics of the tables failed", "error", err)
		}
		switch cut, err := s.db.Shrink(context.Background()); {
		case err != nil:
			log.Warn("truncating the write-ahead log failed", "error", err)
		case !cut && s.db.LogBytes() > sqlite.LogLimit:
			if !s.clung {
				s.clung = true
				log.Warn("a reader keeps the file open, so the write-ahead log cannot be truncated", "file", s.cfg.Path, "wal_bytes", s.db.LogBytes())
			}
			return
		}
		s.clung = false
		if err := s.detach(); err != nil {
			s.cfg.Logger.Warn("closing the pool's file failed", "pool", string(market.Targets), "error", err)
		}
	}
}

// Close closes the sink after the commit in progress, and releases the file's lock. A migration
// is rolled back.
func (s *Sink) Close() error {
	s.end()
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	s.closed = true
	var err error
	if s.opening != nil {
		<-s.opening.done
		err = s.opening.db.Close()
		s.opening = nil
	}
	err = errors.Join(err, s.detach(), s.lock.Release())
	s.lock = nil
	return err
}

func (s *Sink) detach() error {
	if s.db == nil {
		return nil
	}
	fate := s.watch.FileState()
	s.reads.Lock()
	err := s.db.Close()
	s.db = nil
	s.reads.Unlock()
	if fate == pool.Same { // otherwise it is unknown yet whether the file was replaced
		s.watch.Closed()
	}
	return err
}
