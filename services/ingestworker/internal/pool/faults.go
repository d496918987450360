package pool

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/lockfile"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/volume"
)

// Faults builds the errors of one pool's file. They name the file without its directory.
type Faults struct {
	pool          market.Pool
	path          string
	locked, unfit fault.Reason
}

// NewFaults returns the Faults of a pool's file.
func NewFaults(p market.Pool, path string) Faults {
	if p == market.Universe {
		return Faults{p, path, fault.AnalysisDBLocked, fault.AnalysisDBNotInitialized}
	}
	return Faults{p, path, fault.TargetsDBLocked, fault.TargetsDBNotInitialized}
}

func (f Faults) build(cause error, r fault.Reason, message string, kv ...string) error {
	return fault.Wrap(cause, r, message, append([]string{"pool", string(f.pool), "file", f.file()}, kv...)...)
}

func (f Faults) file() string { return filepath.Base(f.path) }

// Locked is the pool's *_DB_LOCKED. pid is that of the holder, 0 if unknown.
func (f Faults) Locked(cause error, pid int) error {
	if pid == 0 {
		return f.build(cause, f.locked, f.file()+" is locked by another process.")
	}
	return f.build(cause, f.locked, fmt.Sprintf("%s is locked by process %d.", f.file(), pid), "holder_pid", strconv.Itoa(pid))
}

// Sorting is *_DB_LOCKED while this worker rewrites the file after an update.
func (f Faults) Sorting(since time.Duration) error {
	seconds := strconv.Itoa(int(since.Seconds()))
	return f.build(nil, f.locked, fmt.Sprintf("%s is being sorted by date, once after an update; that has taken %s s so far.", f.file(), seconds), "sorting_seconds", seconds)
}

// Lock locks the file for this worker, even while it is closed. It returns *_DB_LOCKED if
// another worker has it.
func (f Faults) Lock() (*lockfile.Lock, error) {
	l, err := lockfile.Acquire(Destination(f.path))
	var held *lockfile.LockedError
	switch {
	case errors.As(err, &held):
		return nil, f.Locked(err, held.PID)
	case err != nil:
		return nil, f.Unfit(err, Pathless(err))
	}
	return l, nil
}

// Unfit is the pool's *_DB_NOT_INITIALIZED with the cause in a few words.
func (f Faults) Unfit(cause error, why string) error {
	return f.build(cause, f.unfit, fmt.Sprintf("%s cannot be used: %s.", f.file(), why), "cause", why)
}

// Source is SOURCE_MISMATCH between the provider hosts of file and settings.
func (f Faults) Source(file, configured string) error {
	return f.build(nil, fault.SourceMismatch,
		fmt.Sprintf("%s was filled from %s and cannot be filled from %s.", f.file(), file, configured),
		"file_source", file, "configured_source", configured)
}

// Full is DISK_FULL. needed is the minimum free space, in bytes.
func (f Faults) Full(cause error, needed int64) error {
	free, err := volume.FreeBytes(f.path)
	if err != nil {
		free = 0
	}
	return f.build(cause, fault.DiskFull,
		fmt.Sprintf("The disk of %s has %d MB free; %d MB are required.", f.file(), free>>20, needed>>20),
		"free_bytes", strconv.FormatInt(free, 10), "needed_bytes", strconv.FormatInt(needed, 10))
}

// Failed is STORE_FAILED: a write that was rolled back, or a read that failed.
func (f Faults) Failed(cause error, why string) error {
	return f.build(cause, fault.StoreFailed, fmt.Sprintf("Reading or writing %s failed: %s.", f.file(), why), "cause", why)
}

// Replaced is FILE_REPLACED: the file is not the one that was opened.
func (f Faults) Replaced() error {
	return f.build(nil, fault.FileReplaced, fmt.Sprintf("%s was deleted or replaced while it was open, so the pending commit was refused.", f.file()))
}

// Stale is STALE_EPOCH for a dispatch that a newer one has replaced.
func (f Faults) Stale(partition string, epoch, newest int64) error {
	return fault.New(fault.StaleEpoch, fmt.Sprintf("A newer dispatch of %s has already been committed.", partition),
		"partition_id", partition, "epoch", strconv.FormatInt(epoch, 10), "newest_epoch", strconv.FormatInt(newest, 10))
}

// Room returns DISK_FULL if the volume has fewer than floor bytes free.
func (f Faults) Room(floor int64) error {
	free, err := volume.FreeBytes(f.path)
	if err != nil {
		return f.Unfit(err, "its directory cannot be read")
	}
	if free < floor {
		return f.Full(nil, floor)
	}
	return nil
}

// IsFull reports whether an error means a full volume or an exhausted disk quota, as far as
// the error chain says.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
