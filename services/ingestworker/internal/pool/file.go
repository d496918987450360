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

// State reports whether the file exists. It returns an error for a file that is not a
// regular file or is marked read-only. The mark also applies to the superuser, whom the
// system would let write.
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

// Exists reports whether a file exists; a file that cannot be examined counts as existing.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// Destination resolves the links of a path, even if the target does not exist yet: a link
// to another volume stays one, and databases keep their side files next to the target.
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

// SetAside renames a log that a moved file left behind, so that it is not replayed into the
// next file.
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

// Pathless is the text of a file system error without the path.
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
