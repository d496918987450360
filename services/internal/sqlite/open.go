package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3" // registers the driver
)

// Options say how a file is opened. The zero value suits a file of one service.
type Options struct {
	// BusyTimeout is how long a statement waits for another process's lock, to the
	// millisecond. Zero means 5 s.
	BusyTimeout time.Duration
	// Synchronous is the pragma of that name: FULL, NORMAL, EXTRA or OFF. Empty means FULL:
	// committed data survives a power failure.
	Synchronous string
	// Readers is the number of concurrent reading connections. Zero means 4.
	Readers int
	// Cache is the page cache of the writing connection, in bytes. Zero means SQLite's default
	// of 2 MB.
	Cache int64
}

// DB is an open file: one writing connection and several reading ones.
type DB struct {
	path   string
	file   os.FileInfo // as it was opened
	busy   time.Duration
	writer *sql.DB
	reader *sql.DB
	writes atomic.Uint64
}

// Tx is a write transaction. Its Now is the same for every row that it writes.
type Tx struct {
	*sql.Tx
	conn *sql.Conn // that the transaction is on
	// Now is the start of the transaction, in milliseconds, as it is stored.
	Now time.Time
}

// Open opens or creates the file and verifies that it is a writable SQLite database. It
// applies no migration.
func Open(ctx context.Context, path string, opts Options) (*DB, error) {
	if opts.BusyTimeout == 0 {
		opts.BusyTimeout = 5 * time.Second
	}
	if opts.Synchronous == "" {
		opts.Synchronous = "FULL"
	}
	if opts.Readers == 0 {
		opts.Readers = 4
	}
	if err := checkSize(path); err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	db := &DB{path: path, busy: opts.BusyTimeout}
	var err error
	if db.writer, err = sql.Open("sqlite3", dsn(path, opts, false)); err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	db.writer.SetMaxOpenConns(1)
	// BEGIN IMMEDIATE reads the header and takes the write lock, so that a file that is not a
	// database, locked or read-only is reported now.
	err = db.Write(ctx, func(tx *Tx) error {
		var n int
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
	})
	if err == nil {
		_, err = db.writer.ExecContext(ctx, fmt.Sprintf("PRAGMA journal_size_limit = %d", LogLimit))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Base(path), err), db.writer.Close())
	}
	if db.reader, err = sql.Open("sqlite3", dsn(path, opts, true)); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Base(path), err), db.writer.Close())
	}
	if db.file, err = os.Stat(path); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Base(path), err), db.reader.Close(), db.writer.Close())
	}
	db.reader.SetMaxOpenConns(opts.Readers)
	db.reader.SetMaxIdleConns(opts.Readers)
	return db, nil
}

// checkSize detects a truncated file: SQLite itself notices only when it reads a missing
// page. A file with a log is not checked: the log may have pages that the file does not
// have yet, and if this process has the file open already, closing it here would drop that
// connection's locks.
func checkSize(path string) error {
	if _, err := os.Stat(path + "-wal"); err == nil {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil // it is new, or SQLite gives the better error
	}
	defer f.Close()
	var head [100]byte
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil
	}
	if _, err := io.ReadFull(f, head[:]); err != nil || string(head[:16]) != "SQLite format 3\x00" {
		return nil
	}
	pageSize, pages := int64(binary.BigEndian.Uint16(head[16:])), int64(binary.BigEndian.Uint32(head[28:]))
	if pageSize == 1 {
		pageSize = 65536
	}
	// The number of pages is valid only if it was written with the last change.
	if bytes.Equal(head[24:28], head[92:96]) && st.Size() < pages*pageSize {
		return &damage{fmt.Sprintf("the file is truncated: it has %d of %d bytes", st.Size(), pages*pageSize)}
	}
	return nil
}

func dsn(path string, opts Options, readOnly bool) string {
	q := url.Values{}
	q.Set("_stmt_cache_size", "64") // statements stay parsed, per connection
	q.Set("_busy_timeout", strconv.FormatInt(opts.BusyTimeout.Milliseconds(), 10))
	q.Set("_foreign_keys", "on")
	if readOnly {
		q.Set("_query_only", "on")
	} else {
		q.Set("_txlock", "immediate")
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", opts.Synchronous)
		if opts.Cache > 0 {
			q.Set("_cache_size", strconv.FormatInt(-opts.Cache>>10, 10)) // negative: KiB
		}
	}
	// The path is escaped because a file name may hold ? # or %.
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// LogLimit is the size to which the write-ahead log is truncated when it restarts, in
// bytes.
const LogLimit = 16 << 20

// LogBytes returns the size of the write-ahead log in bytes; 0 if there is none.
func (db *DB) LogBytes() int64 {
	st, err := os.Stat(db.path + "-wal")
	if err != nil {
		return 0
	}
	return st.Size()
}

// Held checkpoints what it can and reports whether a reader of an older state prevents a
// full checkpoint, so that the log cannot restart.
func (db *DB) Held(ctx context.Context) (held bool, err error) {
	var busy, pages, copied int
	err = db.writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &pages, &copied)
	return copied < pages, err
}

// Shrink checkpoints the log and truncates it. It returns false if another connection uses
// the log; it does not wait.
func (db *DB) Shrink(ctx context.Context) (done bool, err error) {
	conn, err := db.writer.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }() // it goes back to the pool
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return false, err
	}
	var busy, pages, copied int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &copied)
	_, back := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout = %d", db.busy.Milliseconds()))
	if IsBusy(err) {
		busy, err = 1, nil
	}
	return busy == 0, errors.Join(err, back)
}

// Optimize updates the statistics of tables that have grown much since the last time. With
// them SQLite uses a primary key for a condition on its second column, and does not read
// the whole table.
func (db *DB) Optimize(ctx context.Context) error {
	_, err := db.writer.ExecContext(ctx, "PRAGMA optimize = 0x10012") // all tables, within a few ms
	return err
}

// Path is the file's path as it was given.
func (db *DB) Path() string { return db.path }

// Reader runs queries, concurrently with a writer. A statement that writes fails.
func (db *DB) Reader() *sql.DB { return db.reader }

// InPlace returns ErrMoved if the file at the path is not the open one.
func (db *DB) InPlace() error {
	if db.file == nil {
		return nil // it is being opened
	}
	now, err := os.Stat(db.path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(db.file, now) {
		return ErrMoved
	}
	return nil
}

// Writes is the number of finished calls of Write. Data that was read after a call of
// Writes is still current if the number is the same later and no other process writes the
// file.
func (db *DB) Writes() uint64 { return db.writes.Load() }

// Write runs fn in a write transaction and commits if it returns nil. It rolls back if fn
// fails or panics, or if ctx ends before the commit.
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) error {
	if err := db.InPlace(); err != nil {
		return err
	}
	conn, err := db.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it goes back to the pool
	begun, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer db.writes.Add(1)                  // after the commit, whatever its result
	defer func() { _ = begun.Rollback() }() // after a commit it does nothing
	if err = fn(&Tx{Tx: begun, conn: conn, Now: time.Now().Truncate(time.Millisecond)}); err == nil {
		err = begun.Commit()
	}
	if ctx.Err() != nil && (errors.Is(err, sql.ErrTxDone) || errors.Is(err, sql.ErrConnDone)) {
		return ctx.Err() // database/sql has already rolled back
	}
	return err
}

// Erase is Write that overwrites with zeros what fn deletes or replaces.
func (db *DB) Erase(ctx context.Context, fn func(tx *Tx) error) error {
	if _, err := db.writer.ExecContext(ctx, "PRAGMA secure_delete = ON"); err != nil {
		return err
	}
	err := db.Write(ctx, fn)
	_, back := db.writer.ExecContext(context.WithoutCancel(ctx), "PRAGMA secure_delete = OFF")
	return errors.Join(err, back)
}

// Compact rewrites the file without free pages, and truncates the log if nobody else uses
// it. It takes a few seconds for a large file.
func (db *DB) Compact(ctx context.Context) error {
	if err := db.InPlace(); err != nil {
		return err
	}
	if _, err := db.writer.ExecContext(ctx, "VACUUM"); err != nil {
		return err
	}
	_, err := db.Shrink(ctx)
	return err
}

// Check reads every page and returns the first damage that SQLite finds. It takes a few
// seconds for a large file.
func (db *DB) Check(ctx context.Context) error {
	var found string
	if err := db.reader.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return &damage{found}
	}
	return nil
}

// Close closes readers and writer and checkpoints the log.
func (db *DB) Close() error {
	return errors.Join(db.reader.Close(), db.writer.Close())
}
