package dispatch

import "sync"

// bus tells watchers that a run has new events. It carries no events: watchers read
// them from the ledger, so none can be missed.
type bus struct {
	mu      sync.Mutex
	waiters map[string]*waiter
}

type waiter struct {
	ch    chan struct{}
	count int
}

// wait returns a channel that is closed at the next notify, and a function that releases
// it.
func (b *bus) wait(id string) (<-chan struct{}, func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters == nil {
		b.waiters = map[string]*waiter{}
	}
	w := b.waiters[id]
	if w == nil {
		w = &waiter{ch: make(chan struct{})}
		b.waiters[id] = w
	}
	w.count++
	return w.ch, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if w.count--; w.count == 0 && b.waiters[id] == w {
			delete(b.waiters, id)
		}
	}
}

func (b *bus) notify(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.waiters[id]; w != nil {
		close(w.ch)
		delete(b.waiters, id)
	}
}
