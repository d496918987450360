package pool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Lock keeps a second worker from a pool's file, also while the file itself is
// closed. It dies with the process, whatever ends it.
type Lock struct{ file *os.File }

// HeldError is returned by Acquire when another process has the lock.
type HeldError struct {
	// PID of the holder; 0 where unknown.
	PID int
}

// Error names the holder.
func (e *HeldError) Error() string { return fmt.Sprintf("held by process %d", e.PID) }

// Acquire takes the lock of a pool's file: a side file named like it with
// ".lock" behind, which holds the process id. The side file stays when the lock
// is given back, because removing it would race with the next one to take it.
func Acquire(path string) (*Lock, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		text, _ := io.ReadAll(io.LimitReader(f, 32)) // the pid is a courtesy
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, &HeldError{PID: pid}
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return &Lock{file: f}, nil
}

// Release gives the lock back. A nil lock is none.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	_ = l.file.Truncate(0)
	return l.file.Close()
}

// FreeBytes is the room on the volume that holds path, for a user without
// privileges.
func FreeBytes(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// ErrReadOnly is returned by State for a file marked read-only.
var ErrReadOnly = errors.New("the file is read-only")

// State tells whether the file is there, and refuses one that is no regular file
// or is marked read-only. The mark counts for the superuser too, whom the system
// would let write.
func State(path string) (size int64, exists bool, err error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	case !st.Mode().IsRegular():
		return 0, true, errors.New("it is no regular file")
	case st.Mode().Perm()&0o222 == 0:
		return st.Size(), true, ErrReadOnly
	}
	return st.Size(), true, nil
}

// Pathless is an error of the file system in words, without the path in it.
func Pathless(err error) string {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Op + ": " + e.Err.Error()
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Op + ": " + l.Err.Error()
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
