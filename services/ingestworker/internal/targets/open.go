package targets

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

//go:embed migrations
var embedded embed.FS

func migrations() fs.FS {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the directory is embedded, so this is a build error
	}
	return sub
}

// ready opens the file for writing and checks its source and the free space.
func (s *Sink) ready(ctx context.Context) error {
	if err := s.faults.Room(s.cfg.MinFree); err != nil {
		return err
	}
	if err := s.attach(ctx); err != nil {
		return err
	}
	if s.source == s.cfg.Source {
		return nil
	}
	if s.source != "" && !s.cfg.AcceptSource && s.index.holdsRows() {
		return s.faults.Source(s.source, s.cfg.Source)
	}
	s.cfg.Logger.Info("source of the file set", "pool", "targets", "file_source", s.source, "configured_source", s.cfg.Source)
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE meta SET source = ?", s.cfg.Source)
		return err
	})
	if err != nil {
		return s.failure(ctx, err)
	}
	s.source = s.cfg.Source
	return nil
}

// attach opens the file, migrates its schema and reads the coverage. It does nothing if the
// file is open.
func (s *Sink) attach(ctx context.Context) error {
	if s.stands() && s.db != nil {
		return nil
	}
	o := s.opening
	if o == nil {
		db, err := s.openFile(ctx)
		if err != nil {
			return err
		}
		o = s.migrate(db)
		s.opening = o
	}
	if !o.wait(ctx, s.patience) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.faults.Sorting(time.Since(o.began))
	}
	s.opening = nil
	db, err := o.db, o.err
	if err == nil {
		err = s.inspect(ctx, db)
	}
	if err != nil {
		return errors.Join(s.openFailure(ctx, err), db.Close())
	}
	s.reads.Lock()
	s.db = db
	s.reads.Unlock()
	s.watch.Opened()
	return nil
}

// openFile locks and opens the file.
func (s *Sink) openFile(ctx context.Context) (*sqlite.DB, error) {
	if s.lock == nil {
		lock, err := s.faults.Lock()
		if err != nil {
			return nil, err
		}
		s.lock = lock
	}
	_, exists, err := pool.State(s.cfg.Path)
	if err == nil && !exists {
		err = s.setLogAside()
	}
	if err != nil {
		return nil, s.faults.Unfit(err, pool.Pathless(err))
	}
	db, err := sqlite.Open(ctx, s.cfg.Path, sqlite.Options{BusyTimeout: s.cfg.BusyTimeout, Cache: pageCache})
	if err != nil {
		return nil, s.openFailure(ctx, err)
	}
	return db, nil
}

// patience is how long a caller waits for the migration of a file.
const patience = 3 * time.Second

// opening is a file that is being migrated. A large one takes longer than callers wait, so it
// does not end with them.
type opening struct {
	db      *sqlite.DB
	began   time.Time
	sorting chan struct{} // closed when the tables are being sorted
	done    chan struct{} // closed when err is set
	err     error
}

// migrate starts the migration of a file. If its callers have left, the file is opened after
// it, because nobody may ask for it again.
func (s *Sink) migrate(db *sqlite.DB) *opening {
	o := &opening{db: db, began: time.Now(), sorting: make(chan struct{}), done: make(chan struct{})}
	go func() {
		sorted := false
		o.err = db.Migrate(s.life, migrations(), sqlite.Step{After: "0004_by_date.sql", Do: func(ctx context.Context, tx *sqlite.Tx) error {
			sorted = true
			close(o.sorting)
			return s.sortByDate(ctx, tx)
		}})
		if o.err == nil && sorted { // the program may be stopped before Release does it
			if err := db.Optimize(s.life); err != nil {
				s.cfg.Logger.Warn("updating the statistics of the tables failed", "pool", string(market.Targets), "error", err)
			}
		}
		close(o.done)
		give, err := s.take(s.life)
		if err != nil {
			return // the sink is being closed
		}
		defer give()
		if s.opening != o {
			return // a caller has waited for it
		}
		log := s.cfg.Logger.With("pool", string(market.Targets), "took", time.Since(o.began).Round(time.Millisecond).String())
		if err := s.attach(s.life); err != nil {
			log.Error("the file cannot be opened", "error", err)
		} else if sorted {
			log.Info("the file is sorted by date")
		}
	}()
	return o
}

// wait returns false if the tables are sorted for longer than that, or if ctx ends first.
func (o *opening) wait(ctx context.Context, patience time.Duration) bool {
	select {
	case <-o.done: // as a rule within a few ms
		return true
	case <-o.sorting:
	case <-ctx.Done():
		return false
	}
	timer := time.NewTimer(time.Until(o.began.Add(patience)))
	defer timer.Stop()
	select {
	case <-o.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// stands reports whether the file is still the one in the cache. If it was deleted or
// replaced while it is open, it is closed: writes to it would be lost.
func (s *Sink) stands() bool {
	fate := s.watch.FileState()
	if fate == pool.Same {
		return true
	}
	log := s.cfg.Logger.With("pool", string(market.Targets), "file", s.cfg.Path)
	if s.db != nil {
		log.Error("the open file was deleted or replaced; its partitions are missing now")
		// Its log would be replayed into the file that has replaced it.
		if err := errors.Join(s.detach(), s.setLogAside()); err != nil {
			log.Warn("the deleted file could not be closed", "error", err)
		}
	}
	if fate == pool.Gone {
		log.Warn("the file was deleted; the pool is empty")
		s.index.clear()
		s.days.clear()
		s.forgetLists()
		s.watch.Closed()
	}
	return false
}

// Refresh updates the cache if the file was deleted, replaced, or written to by another
// program. If the new file cannot be read, the cache keeps the old content.
func (s *Sink) Refresh(ctx context.Context) (changed bool) {
	if s.watch.FileState() == pool.Same {
		return false
	}
	give, err := s.take(ctx)
	if err != nil {
		return false
	}
	defer give()
	if s.stands() || s.watch.FileState() == pool.Same {
		return true // another goroutine did it meanwhile, or nothing is stored
	}
	if err := s.attach(ctx); err != nil {
		s.cfg.Logger.Debug("the file has changed and cannot be read", "pool", string(market.Targets), "error", err)
	}
	return true
}

func (s *Sink) setLogAside() error {
	path := pool.Destination(s.cfg.Path)
	err := pool.SetAside(s.cfg.Logger, path+"-wal")
	if gone := os.Remove(path + "-shm"); gone != nil && !errors.Is(gone, os.ErrNotExist) { // a new index
		return errors.Join(err, gone)
	}
	return err
}

func (s *Sink) forgetLists() {
	s.calendar.Store(nil)
	s.instruments.Store(nil)
}

func (s *Sink) inspect(ctx context.Context, db *sqlite.DB) error {
	if err := db.InPlace(); err != nil {
		return err
	}
	lacks, err := lacking(ctx, db.Reader())
	if err != nil {
		return err
	}
	if lacks != "" {
		return s.faults.Unfit(nil, "it lacks "+lacks)
	}
	err = db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO meta (source, created_at) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM meta)",
			s.cfg.Source, tx.Now.UnixMilli())
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT source FROM meta").Scan(&s.source)
	})
	if err != nil {
		return err
	}
	x, nextID, err := loadIndex(ctx, db.Reader())
	if err != nil {
		return err
	}
	s.index.replace(x)
	s.days.clear()
	s.nextID = nextID
	s.forgetLists()
	return nil
}

var sqliteTypes = map[table.Type]string{table.Text: "TEXT", table.Date: "TEXT", table.Number: "REAL", table.Int: "INTEGER"}

// lacking names the first of our tables or columns that a file does not have, whatever its
// migrations say. Additional ones belong to the user and are ignored.
func lacking(ctx context.Context, db *sql.DB) (what string, err error) {
	have := make(map[string]bool)
	err = each(ctx, db, `SELECT t.name, c.name || ' ' || c.type FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.sql NOT LIKE 'CREATE VIRTUAL%'`,
		func(scan func(...any) error) error {
			var name, column string
			err := scan(&name, &column)
			have[name], have[name+"."+column] = true, true
			return err
		})
	if err != nil {
		return "", err
	}
	for _, name := range []string{"meta", "commits", "series", "coverage_days", "coverage_records", "rejects", pool.RevisionsTable} {
		if !have[name] {
			return "the table " + name, nil
		}
	}
	for _, t := range pool.Tables() {
		if !have[t.Name] {
			return "the table " + t.Name, nil
		}
		for _, c := range t.Columns {
			if !have[t.Name+"."+c.Stored+" "+sqliteTypes[c.Type]] {
				return fmt.Sprintf("the column %s of %s", c.Stored, t.Name), nil
			}
		}
	}
	return "", nil
}

// openFailure says why a file cannot be used.
func (s *Sink) openFailure(ctx context.Context, err error) error {
	f, told := fault.As(err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.life.Err() != nil:
		return s.faults.Failed(errClosed, errClosed.Error())
	case told:
		return f
	case sqlite.IsBusy(err):
		return s.faults.Locked(err, 0)
	case sqlite.IsFull(err):
		return s.faults.Full(err, s.cfg.MinFree)
	case errors.Is(err, sqlite.ErrForeign):
		return s.faults.Unfit(err, sqlite.ErrForeign.Error())
	case errors.Is(err, sqlite.ErrNewer):
		return s.faults.Unfit(err, sqlite.ErrNewer.Error())
	case sqlite.IsReadOnly(err):
		return s.faults.Unfit(err, "it is read-only")
	case sqlite.IsCorrupt(err):
		return s.faults.Unfit(err, "it is damaged, or it is not a SQLite database")
	}
	return s.faults.Unfit(err, "SQLite cannot open it: "+strings.ReplaceAll(err.Error(), s.cfg.Path, "the file"))
}

// failure turns an error of reading or writing rows into a fault, or into ctx's error if
// that was the cause.
func (s *Sink) failure(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case sqlite.IsBusy(err):
		return s.faults.Locked(err, 0)
	case sqlite.IsFull(err):
		return s.faults.Full(err, s.cfg.MinFree)
	case sqlite.IsCorrupt(err), sqlite.IsReadOnly(err):
		return s.openFailure(ctx, err)
	}
	return s.faults.Failed(err, strings.ReplaceAll(err.Error(), s.cfg.Path, "the file"))
}
