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

// service is the name in the lock of the data directory.
const service = "orchestrator"

//go:embed migrations/*.sql
var migrations embed.FS

// Config is the configuration of a Store.
type Config struct {
	// Path of the file; its directory is created, and locked for this process.
	Path string
	// Logger gets errors that are not returned. Nil means slog.Default().
	Logger *slog.Logger
	// Key is the age identity that encrypts the secrets of notice channels, and KeyFile the
	// path of a file with it. With neither, the ledger's directory has one of its own, created
	// with the first channel.
	Key, KeyFile string
	// LeaveSecrets does not encrypt secrets that an earlier version stored in plain text.
	LeaveSecrets bool
}

// Store is an open ledger. It is safe for concurrent use.
type Store struct {
	db   *sqlite.DB
	path string
	log  *slog.Logger
	lock *lockfile.Lock
	box  *sealing.Box // nil if the key's file cannot be used

	epochs struct {
		sync.Mutex
		last, reserved int64
	}
	// calendar caches what Calendar decoded last: thousands of dates, which every response
	// with rows needs.
	calendar struct {
		sync.Mutex
		held  *Calendar // nil before it was read, and after another was saved
		saved int       // number of saves, so that an older one is not cached
	}

	// uncovered caches that UncoveredSlots found none due after since, at a given number of
	// writes.
	uncovered struct {
		sync.Mutex
		none   bool
		since  time.Time
		writes uint64
	}
}

// Open locks the data directory, opens the ledger, checks it for damage and migrates its
// schema. It returns DATA_DIR_LOCKED naming the holder's pid, DISK_FULL, or
// INVALID_ARGUMENT for a file that cannot be used; the message is one line that says what
// to do.
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
	// SQLite opens a read-only file without an error, and every later change would fail.
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

// secure makes the ledger unreadable for other users, once it has notice channels. SQLite
// gives the log and the index the mode of the file.
func (s *Store) secure() error {
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(s.path+end, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the ledger from other users: %w", err)
		}
	}
	return nil
}

// Check reports whether the ledger can be read and is still at its path.
func (s *Store) Check(ctx context.Context) error {
	if err := s.db.InPlace(); err != nil {
		return failed("check the ledger", err)
	}
	_, err := s.Settings(ctx)
	return err
}

// Close checkpoints the write-ahead log and unlocks the data directory.
func (s *Store) Close() error {
	return errors.Join(s.db.Close(), s.lock.Release())
}

// NewID is an identifier that sorts by creation time, for runs and preflights.
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
