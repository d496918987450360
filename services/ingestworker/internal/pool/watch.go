package pool

import (
	"errors"
	"os"
	"sync"
)

// Watch remembers a pool's file as its sink last saw it, and tells when a person
// took it away or put another in its place: a database goes on writing into a file
// that is deleted under it, and memory would go on telling what it held.
type Watch struct {
	path string

	mu   sync.Mutex
	seen os.FileInfo // nil before the file was seen, and when it was gone
	open bool
}

// NewWatch is a watch over the file at path.
func NewWatch(path string) *Watch { return &Watch{path: path} }

// Opened and Closed note the file as it now is: while it is open it changes by the
// sink's own doing.
func (w *Watch) Opened() { w.note(true) }

// Closed notes the file as the sink left it.
func (w *Watch) Closed() { w.note(false) }

func (w *Watch) note(open bool) {
	info, err := os.Stat(w.path)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen, w.open = info, open; err != nil {
		w.seen = nil
	}
}

// Fate is what became of a file.
type Fate int

const (
	// Same is the file as it was seen, or one that was never seen.
	Same Fate = iota
	// Gone is a file that is there no more.
	Gone
	// Other is another file, or one that was written to while it was closed.
	Other
)

// Fate looks at the file.
func (w *Watch) Fate() Fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		return Same
	}
	now, err := os.Stat(w.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Gone
	case err != nil:
		return Same // whoever opens it tells better what is wrong
	case !os.SameFile(w.seen, now):
		return Other
	case !w.open && (!now.ModTime().Equal(w.seen.ModTime()) || now.Size() != w.seen.Size()):
		return Other
	}
	return Same
}
