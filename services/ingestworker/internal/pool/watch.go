package pool

import (
	"errors"
	"os"
	"sync"
)

// Watch remembers a pool's file as its sink last saw it, and tells when a user
// took it away or put another in its place: a database goes on writing into a file
// that is deleted under it, and memory would go on telling what it held.
type Watch struct {
	path string

	mu     sync.Mutex
	was    sight
	open   bool
	worked bool
}

// sight is what was found at the path; known is false before anything was looked at,
// and info nil when nothing was there.
type sight struct {
	known bool
	info  os.FileInfo
}

func look(path string) sight {
	info, err := os.Stat(path)
	return sight{known: err == nil || errors.Is(err, os.ErrNotExist), info: info}
}

// unchangedSince reports whether not even the time of a file's last write was set. A closed
// file is compared so: where it is the same after all, reading it again costs little.
func (s sight) unchangedSince(before sight) bool {
	now, nowNanos := changed(s.info)
	then, thenNanos := changed(before.info)
	return now == then && nowNanos == thenNanos
}

// NewWatch is a watch over the file at path.
func NewWatch(path string) *Watch { return &Watch{path: path} }

// Opened notes the file as it now is, for a sink that has opened it.
func (w *Watch) Opened() { w.note(true) }

// Worked notes the file after the sink's own work on it, while it is open: what
// changes after that is the work of others. Only a sink that alone may write calls it;
// SQLite lets every reader fold the log into the file.
func (w *Watch) Worked() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.worked = true
	if now := look(w.path); w.open && w.was.info != nil && now.info != nil && os.SameFile(w.was.info, now.info) {
		w.was = now
	}
}

// Closed notes the file as the sink left it, or that there is none.
func (w *Watch) Closed() { w.note(false) }

func (w *Watch) note(open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.was, w.open, w.worked = look(w.path), open, false
}

// FileState is what a check of a pool's file found.
type FileState int

const (
	// Same is the file as it was, or one of which nothing is known.
	Same FileState = iota
	// Gone is a file that was deleted.
	Gone
	// Other is another file, or one that was written to while it was closed.
	Other
	// Overwritten is the open file with content of others, as cp leaves it. It is reported
	// after Worked only.
	Overwritten
)

// FileState checks the file.
func (w *Watch) FileState() FileState {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := look(w.path)
	switch {
	case !w.was.known || !now.known:
		return Same // whoever opens it tells better what is wrong
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
