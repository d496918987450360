package sqlite

import (
	"errors"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

var (
	// ErrForeign is returned by Migrate for a file with tables of another program.
	ErrForeign = errors.New("the file contains tables of another program")
	// ErrNewer is returned by Migrate for a file that a newer version has migrated.
	ErrNewer = errors.New("the file was written by a newer version")
	// ErrMoved is returned by Write and InPlace if the open file was deleted or replaced:
	// SQLite would continue to write to the old one.
	ErrMoved = errors.New("the file was deleted or replaced while it is open")
)

// damage is the result of a check of the whole file.
type damage struct{ found string }

func (d *damage) Error() string { return d.found }

// IsUnique reports a violated UNIQUE or PRIMARY KEY constraint.
func IsUnique(err error) bool {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey
}

// IsConstraint reports any violated constraint: UNIQUE, CHECK, NOT NULL, FOREIGN
// KEY or that of a trigger.
func IsConstraint(err error) bool { return hasCode(err, sqlite3.ErrConstraint) }

// IsRejected reports a statement that cannot be executed with the schema of the file, as one
// that names a function or a collation of another program.
func IsRejected(err error) bool { return hasCode(err, sqlite3.ErrError) }

// IsBusy reports whether another connection or process held a lock for longer than the busy
// timeout.
func IsBusy(err error) bool { return hasCode(err, sqlite3.ErrBusy, sqlite3.ErrLocked) }

// IsCorrupt reports a damaged file, or one that is not a SQLite database.
func IsCorrupt(err error) bool {
	var d *damage
	return errors.As(err, &d) || hasCode(err, sqlite3.ErrCorrupt, sqlite3.ErrNotADB)
}

// IsFull reports a full volume.
func IsFull(err error) bool {
	var e sqlite3.Error
	if errors.As(err, &e) && (e.Code == sqlite3.ErrFull || e.SystemErrno == syscall.ENOSPC || e.SystemErrno == syscall.EDQUOT) {
		return true
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// IsReadOnly reports a file or folder that cannot be written.
func IsReadOnly(err error) bool {
	return hasCode(err, sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrAuth)
}

func hasCode(err error, codes ...sqlite3.ErrNo) bool {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}
