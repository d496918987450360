package universe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/market"
)

// ErrEmpty is returned by Copy if the pool has no file.
var ErrEmpty = errors.New("the pool has no file yet")

// Copy writes the checkpointed file of the pool to path, which must not exist, and calls
// yield for every record of its coverage. written is called with the number of bytes that are
// copied so far. Commits wait meanwhile. The caller syncs the copy after commits no longer
// wait for it. An error of the copy, which may be on another volume, is not the pool's.
//
// The pool's file is closed meanwhile: closing another descriptor of a file that DuckDB has
// open drops DuckDB's lock. A read lock keeps other processes from writing while the bytes
// are copied.
func (s *Sink) Copy(ctx context.Context, path string, written func(bytes int64), yield func(coverage.Record)) error {
	var records []coverage.Record
	err := s.do(ctx, func(w *writer) (err error) {
		records, err = w.copy(ctx, path, written)
		return err
	})
	for _, r := range records {
		yield(r)
	}
	return err
}

func (w *writer) copy(ctx context.Context, path string, written func(bytes int64)) ([]coverage.Record, error) {
	if w.stands(); w.file == nil && !pool.Exists(w.cfg.Path) {
		return nil, ErrEmpty
	}
	if err := w.attach(); err != nil { // also to replay the log of a killed process
		return nil, err
	}
	w.release()
	if pool.Exists(w.cfg.Path + ".wal") {
		return nil, w.faults.Failed(nil, "its write-ahead log could not be checkpointed, so it cannot be copied")
	}
	if err := w.copyClosed(ctx, path, written); err != nil {
		if rest := remove(path); rest != nil {
			w.log.Warn("a failed copy could not be removed", "error", rest)
		}
		return nil, err
	}
	return w.index.match(nil, market.NoDate, market.NoDate), nil
}

func (w *writer) copyClosed(ctx context.Context, path string, written func(bytes int64)) (err error) {
	failed := func(err error) error { return w.faults.Failed(err, "it could not be copied: "+pool.Pathless(err)) }
	from, err := os.Open(w.cfg.Path)
	if err != nil {
		return failed(err)
	}
	defer from.Close()
	shared := syscall.Flock_t{Type: syscall.F_RDLCK}
	if err := syscall.FcntlFlock(from.Fd(), syscall.F_SETLK, &shared); err != nil {
		return w.faults.Locked(err, 0)
	}
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	const step = 16 << 20 // how often a caller that has left is noticed
	for n := int64(0); ; written(n) {
		if err := ctx.Err(); err != nil {
			return err
		}
		copied, err := io.CopyN(to, from, step) // the kernel copies, or shares the blocks if it can
		if n += copied; errors.Is(err, io.EOF) {
			return nil
		}
		if pool.IsFull(err) {
			return err
		}
		if err != nil { // not known of which file
			return failed(fmt.Errorf("copy: %w", err))
		}
	}
}
