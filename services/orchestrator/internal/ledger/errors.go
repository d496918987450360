package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// ErrDecided is returned for a slot that is already decided.
var ErrDecided = slot.ErrDecided

func notFound(kind, id string) error {
	return fault.New(fault.NotFound, fmt.Sprintf("There is no %s %.80q.", kind, id), "kind", kind, "id", clip(id))
}

// clip limits a caller's text before it is repeated.
func clip(s string) string { return fault.Clip(s, fault.MaxMeta) }

// failed adds a reason to an error of the file. Faults and the end of the caller's context
// are returned unchanged; the cause is for the log.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.As(err); ok || errors.Is(err, slot.ErrDecided) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	err = fmt.Errorf("%s: %w", doing, err)
	switch {
	case errors.Is(err, sqlite.ErrMoved):
		return fault.Wrap(err, fault.StoreFailed, FileName+" was deleted or replaced while the orchestrator has it open; restore the file, or restart the orchestrator to continue with the current file.",
			"file", FileName, "cause", "deleted or replaced")
	case sqlite.IsFull(err):
		return fault.Wrap(err, fault.DiskFull, FileName+": the disk of the data directory is full.", "file", FileName)
	case sqlite.IsConstraint(err), !errors.As(err, new(sqlite3.Error)):
		return fault.Wrap(err, fault.Internal, "The ledger rejected the data; the log has the details.")
	case sqlite.IsBusy(err):
		return fault.Wrap(err, fault.StoreFailed, FileName+" is locked by another program; nothing was written.",
			"file", FileName, "cause", "locked")
	case sqlite.IsCorrupt(err):
		return fault.Wrap(err, fault.StoreFailed, FileName+" is damaged; stop the orchestrator and move the file away.",
			"file", FileName, "cause", "damaged")
	}
	return fault.Wrap(err, fault.StoreFailed, FileName+" could not be read or written; the log has the details.",
		"file", FileName, "cause", "input or output failed")
}
