package pool

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

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
		return 0, true, errors.New("it is not a regular file")
	case st.Mode().Perm()&0o222 == 0:
		return st.Size(), true, ErrReadOnly
	}
	return st.Size(), true, nil
}

// Exists tells whether a file is there; one of which nothing can be learned is taken
// to be.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// Destination is where a path leads by links, also by one whose file is yet to be
// made: a link to another volume stays one, and databases keep their side files
// beside the file itself.
func Destination(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	to, err := os.Readlink(path)
	switch {
	case err != nil:
		return path
	case filepath.IsAbs(to):
		return to
	}
	return filepath.Join(filepath.Dir(path), to)
}

// SetAside keeps a log that was left behind by a file which was moved away from
// being replayed into the next.
func SetAside(log *slog.Logger, path string) error {
	err := os.Rename(path, path+".orphan")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		log.Warn("a write-ahead log without a database file was moved aside", "file", path+".orphan")
	}
	return err
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
