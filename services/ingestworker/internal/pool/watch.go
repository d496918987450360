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
	was  sight
	open bool
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

// NewWatch is a watch over the file at path.
func NewWatch(path string) *Watch { return &Watch{path: path} }

// Opened and Closed note the file as it now is: while it is open it changes by the
// sink's own doing.
func (w *Watch) Opened() { w.note(true) }

// Closed notes the file as the sink left it, or that there is none.
func (w *Watch) Closed() { w.note(false) }

func (w *Watch) note(open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.was, w.open = look(w.path), open
}

// Fate is what became of a file.
type Fate int

const (
	// Same is the file as it was, or one of which nothing is known.
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
	case !w.open && (!now.info.ModTime().Equal(w.was.info.ModTime()) || now.info.Size() != w.was.info.Size()):
		return Other
	}
	return Same
}
