// Package lockfile prevents two processes from using one file or one data directory, with a
// lock on a side file that contains the owner's pid. The kernel holds the lock, so it ends
// with the process in any case.
package lockfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Suffix of the side file's name.
const Suffix = ".lock"

// Lock is held until Release, or until the process ends.
type Lock struct{ file *os.File }

// LockedError is returned by Acquire when another process has the lock.
type LockedError struct {
	// PID of the holder; 0 if unknown.
	PID int
}

// Error names the holder.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return "held by another process"
	}
	return fmt.Sprintf("held by process %d", e.PID)
}

// Acquire locks path. The side file is not deleted on release, because that would race with
// the next owner.
func Acquire(path string) (*Lock, error) {
	f, err := os.OpenFile(path+Suffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &os.PathError{Op: "lock", Path: path + Suffix, Err: err}
		}
		return nil, &LockedError{PID: holder(f)}
	}
	// The pid is only informative: on a full volume the lock works without it.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return &Lock{file: f}, nil
}

// holder reads the pid of the owner, which may not have written it yet.
func holder(f *os.File) int {
	for range 10 {
		text, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return pid
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0
}

// Release releases the lock. A nil lock does nothing.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	_ = l.file.Truncate(0)
	return l.file.Close()
}

// Dir creates a data directory and locks it for one process of a service. It returns
// DATA_DIR_LOCKED naming the holder, or INVALID_ARGUMENT naming the directory and what is
// wrong with it.
func Dir(dir, service string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(dir, err)
	}
	l, err := Acquire(filepath.Join(dir, service))
	var held *LockedError
	switch {
	case errors.As(err, &held):
		who, pid := "unknown", "pid unknown"
		if held.PID != 0 {
			who = strconv.Itoa(held.PID)
			pid = "pid " + who
		}
		return nil, fault.Wrap(err, fault.DataDirLocked,
			fmt.Sprintf("Another %s (%s) is using %s; stop it, or use a different --data-dir.", service, pid, dir),
			"path", dir, "holder_pid", who)
	case err != nil:
		return nil, unusable(dir, err)
	}
	return l, nil
}

func unusable(dir string, err error) error {
	why := err.Error()
	var p *os.PathError
	if errors.As(err, &p) {
		why = p.Err.Error()
		if p.Path != dir {
			why = fmt.Sprintf("%s %s: %s", p.Op, p.Path, why)
		}
	}
	if errors.Is(err, os.ErrPermission) {
		why += "; make it writable for this user, or use a different --data-dir"
	}
	return fault.Wrap(err, fault.InvalidArgument, fmt.Sprintf("data-dir: %s cannot be used: %s", dir, why), "field", "data-dir")
}
