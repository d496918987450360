package pool

import (
	"errors"
	"os"
	"sync"
)

// Watch detects whether a user has deleted or replaced a pool's file since its sink last
// used it: a database would continue to write to a deleted file, and the cache would return
// its old content.
type Watch struct {
	path string

	mu     sync.Mutex
	was    sight
	open   bool
	worked bool
}

// sight is the file that was found at the path; known is false before the first look, and
// info is nil if there was none.
type sight struct {
	known bool
	info  os.FileInfo
}

func look(path string) sight {
	info, err := os.Stat(path)
	return sight{known: err == nil || errors.Is(err, os.ErrNotExist), info: info}
}

// unchangedSince reports whether not even the modification time of a file was changed. It
// is used for closed files: if the content is in fact unchanged, reading it again costs
// little.
func (s sight) unchangedSince(before sight) bool {
	now, nowNanos := changed(s.info)
	then, thenNanos := changed(before.info)
	return now == then && nowNanos == thenNanos
}

// NewWatch returns a watch for the file at path.
func NewWatch(path string) *Watch { return &Watch{path: path} }

// Opened records the file, for a sink that has opened it.
func (w *Watch) Opened() { w.note(true) }

// Worked records the file after the sink's own work on it, while it is open: later changes
// are by others. Only a sink that is the only writer calls it; SQLite lets every reader
// checkpoint the log into the file.
func (w *Watch) Worked() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.worked = true
	if now := look(w.path); w.open && w.was.info != nil && now.info != nil && os.SameFile(w.was.info, now.info) {
		w.was = now
	}
}

// Closed records the file as the sink left it, or that there is none.
func (w *Watch) Closed() { w.note(false) }

func (w *Watch) note(open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.was, w.open, w.worked = look(w.path), open, false
}

// FileState is the result of checking a pool's file.
type FileState int

const (
	// Same means that the file is unchanged, or that nothing is known about it.
	Same FileState = iota
	// Gone means that the file was deleted.
	Gone
	// Other is a different file, or one that was written to while it was closed.
	Other
	// Overwritten is the open file with other content, for example after cp. Only reported after
	// Worked.
	Overwritten
)

// FileState checks the file.
func (w *Watch) FileState() FileState {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := look(w.path)
	switch {
	case !w.was.known || !now.known:
		return Same // opening it gives the better error
	case now.info == nil && (w.was.info != nil || w.open):
		return Gone
	case now.info == nil:
		return Same
	case w.was.info == nil || !os.SameFile(w.was.info, now.info):
		return Other
	case now.info.ModTime().Equal(w.was.info.ModTime()) && now.info.Size() == w.was.info.Size() && (w.open || now.unchangedSince(w.was)):
		return Same
	case w.open && w.worked:
		return Overwritten
	case w.open:
		return Same
	}
	return Other
}
