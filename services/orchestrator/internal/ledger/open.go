package ledger

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/lockfile"
	"github.com/afterbell/afterbell/services/internal/sealing"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// FileName is the ledger's name in the data directory.
const FileName = "market-cache.sqlite"

// service is whom the data directory is locked for.
const service = "orchestrator"

//go:embed migrations/*.sql
var migrations embed.FS

// Config says which ledger to open.
type Config struct {
	// Path of the file; its directory is created, and locked for this process.
	Path string
	// Logger gets what no caller is told. Nil means slog.Default().
	Logger *slog.Logger
	// Key is the age identity that seals the secrets of notice channels, and KeyFile the
	// path of a file with it. With neither, the ledger's directory has one of its own, made
	// with the first channel.
	Key, KeyFile string
	// LeaveSecrets leaves what an earlier version stored in the clear as it is.
	LeaveSecrets bool
}

// Store is an open ledger. Its methods may be called from several goroutines.
type Store struct {
	db   *sqlite.DB
	path string
	log  *slog.Logger
	lock *lockfile.Lock
	box  *sealing.Box // nil where the file of the key cannot be used

	epochs struct {
		sync.Mutex
		last, reserved int64
	}
	// calendar is what Calendar decoded last: thousands of dates, which every answer with
	// rows asks for.
	calendar struct {
		sync.Mutex
		held  *Calendar // nil before it was read, and once another was saved
		saved int       // how many were saved, so that an older one is not held
	}

	// uncovered remembers that UncoveredSlots found none due after since, when the ledger
	// had been written so many times.
	uncovered struct {
		sync.Mutex
		none   bool
		since  time.Time
		writes uint64
	}
}

// Open locks the data directory, opens the ledger, checks it for damage and brings
// its schema up to date. It fails with DATA_DIR_LOCKED naming the holder's pid,
// with DISK_FULL, or with INVALID_ARGUMENT for a file that cannot be used; the
// message is one line that says what to do.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	lock, err := lockfile.Dir(filepath.Dir(cfg.Path), service)
	if err != nil {
		return nil, err
	}
	s := &Store{path: cfg.Path, log: cfg.Logger, lock: lock}
	if err := s.open(ctx, cfg); err != nil {
		if s.db != nil {
			err = errors.Join(err, s.db.Close())
		}
		return nil, errors.Join(openFault(cfg.Path, err), lock.Release())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, cfg Config) (err error) {
	if err := s.openBox(cfg); err != nil {
		return err
	}
	if s.db, err = sqlite.Open(ctx, cfg.Path, sqlite.Options{}); err != nil {
		return err
	}
	if err := s.db.Check(ctx); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := s.db.Migrate(ctx, files); err != nil {
		return err
	}
	// SQLite opens a read-only file without a word, and every later change would fail.
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM ingest_runs WHERE false")
		return err
	})
	if err != nil {
		return err
	}
	channels, err := s.Channels(ctx)
	if err != nil || len(channels) == 0 {
		return err
	}
	if err := s.secure(); err != nil {
		return err
	}
	return s.sealChannels(ctx, channels, cfg.LeaveSecrets)
}

// secure keeps other users of the machine from reading the ledger, once it holds the
// channels of notices. SQLite gives the log and the index beside it the mode of
// the file.
func (s *Store) secure() error {
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(s.path+end, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the ledger from other users: %w", err)
		}
	}
	return nil
}

// Check tells whether the ledger can be read, and is where it was.
func (s *Store) Check(ctx context.Context) error {
	if err := s.db.InPlace(); err != nil {
		return failed("check the ledger", err)
	}
	_, err := s.Settings(ctx)
	return err
}

// Close folds the write-ahead log into the file and releases the data directory.
func (s *Store) Close() error {
	return errors.Join(s.db.Close(), s.lock.Release())
}

// NewID is an identifier that sorts by the time of its making, for runs and
// preflights.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// openFault says in one line why the ledger cannot be used, and what to do.
func openFault(path string, err error) error {
	if f, ok := fault.As(err); ok {
		return f
	}
	problem := "cannot be opened; check the permissions of its directory"
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case sqlite.IsFull(err):
		return fault.Wrap(err, fault.DiskFull, path+": the disk of the data directory is full.", "file", filepath.Base(path))
	case sqlite.IsBusy(err):
		return fault.Wrap(err, fault.DataDirLocked, path+" is locked by another process; close the program that has a transaction open on it.",
			"path", path)
	case sqlite.IsCorrupt(err):
		problem = "is damaged or is not a SQLite database; move it away, and the next start creates a new one (the pools' files are not affected)"
	case errors.Is(err, sqlite.ErrForeign):
		problem = "contains tables of another program; use a different --data-dir"
	case errors.Is(err, sqlite.ErrNewer):
		problem = "was written by a newer version; start that version, or use a different --data-dir"
	case sqlite.IsReadOnly(err), errors.Is(err, fs.ErrPermission):
		problem = "is not writable; make the file and its directory writable for this user"
	}
	return fault.Wrap(err, fault.InvalidArgument, path+" "+problem+".", "field", "data-dir")
}
