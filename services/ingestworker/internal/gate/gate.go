// Package gate shares the machine between runs and readers. While the worker works for a
// run, readers get about a twentieth of one processor, one slice after the other. Otherwise
// several slices are made at once.
//
// Readers are admitted in order of arrival. None waits forever: however long a slice took,
// the next one begins at most a second after it.
package gate

import (
	"container/list"
	"context"
	"runtime"
	"sync"
	"time"
)

const (
	// share is the time from the beginning of a slice to the next one while the worker works,
	// as a multiple of the slice's duration: readers get a twentieth of one processor. What
	// the orchestrator and the readers do with a slice costs as much again.
	share = 20
	// credit is how much of their time readers may use at once after a pause: a single short
	// response does not wait.
	credit = 20 * time.Millisecond
	// longest is how much of a slice is counted, so that readers wait at most a second.
	longest = time.Second / share
	// linger is how long readers still yield after the last work has ended: the calls of a run
	// follow one another with pauses.
	linger = 250 * time.Millisecond
)

// Gate admits readers. Safe for concurrent use.
type Gate struct {
	slots int

	mu     sync.Mutex
	works  int           // in progress
	yields bool          // whether readers yield: work is in progress, or was until just now
	since  time.Time     // when that began
	opened chan struct{} // closed when it ends
	free   time.Time     // when the next reader may enter while readers yield
	inside int           // readers that were admitted and have not left
	queue  list.List     // of chan struct{}, closed when its reader may enter
	timer  *time.Timer   // for the first in the queue
	ending *time.Timer   // of linger; nil if none is pending
	waited time.Duration
}

// New returns a Gate that admits as many readers at once as there are processors, and at
// least two.
func New() *Gate { return &Gate{slots: max(2, runtime.GOMAXPROCS(0))} }

// Work is work for a run.
type Work struct {
	g       *Gate
	working bool
}

// Begin says that work begins. The caller ends it.
func (g *Gate) Begin() *Work {
	w := &Work{g: g}
	w.Pause(false)
	return w
}

// Pause says whether the work waits for something outside of this machine, such as the
// limit of the provider. Then readers do not yield to it.
func (w *Work) Pause(waits bool) {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	if w.working == waits {
		w.working = !waits
		w.g.count(w.working)
	}
}

// End says that the work has ended. It may be called repeatedly.
func (w *Work) End() { w.Pause(true) }

// Last ends work that is the last of its run: unless other work is in progress, readers no
// longer yield.
func (w *Work) Last() {
	w.End()
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	if w.g.works == 0 {
		w.g.open()
	}
}

// count records that work began or ended. mu must be locked.
func (g *Gate) count(begins bool) {
	if !begins {
		g.works--
		if g.works == 0 {
			var ending *time.Timer
			ending = time.AfterFunc(linger, func() {
				g.mu.Lock()
				defer g.mu.Unlock()
				if g.ending == ending {
					g.open()
				}
			})
			g.ending = ending
		}
		return
	}
	g.works++
	g.keep()
	if !g.yields {
		g.yields, g.since, g.opened = true, time.Now(), make(chan struct{})
		g.free = g.since
	}
}

// keep cancels the pending end of yielding. mu must be locked.
func (g *Gate) keep() {
	if g.ending != nil {
		g.ending.Stop()
		g.ending = nil
	}
}

// open ends yielding. mu must be locked.
func (g *Gate) open() {
	g.keep()
	if g.yields {
		g.yields = false
		close(g.opened)
	}
	g.admit()
}

// Yields reports whether readers yield now.
func (g *Gate) Yields() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.yields
}

// Pass is a reader's admission.
type Pass struct {
	g     *Gate
	began time.Time
	extra time.Duration
	uses  int // processors
	left  bool
}

// Enter waits until the reader may work on its next slice. The caller calls Leave, and has
// no pass while it waits for a client.
func (g *Gate) Enter(ctx context.Context) (*Pass, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	asked := time.Now()
	g.mu.Lock()
	if g.queue.Len() == 0 && g.room(asked) == 0 {
		defer g.mu.Unlock()
		g.inside++
		return &Pass{g: g, began: asked, uses: 1}, nil
	}
	ready := make(chan struct{})
	at := g.queue.PushBack(ready)
	g.admit()
	g.mu.Unlock()
	var err error
	select {
	case <-ready:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waited += now.Sub(asked)
	if err == nil {
		return &Pass{g: g, began: now, uses: 1}, nil
	}
	select {
	case <-ready: // it was admitted meanwhile
		g.inside--
	default:
		g.queue.Remove(at)
	}
	g.admit()
	return nil, err
}

// Charge adds time that the slice takes elsewhere, for example for sending.
func (p *Pass) Charge(d time.Duration) { p.extra += d }

// Use says how many processors the slice uses; the default is one. The time of each counts.
func (p *Pass) Use(processors int) { p.uses = processors }

// Leave returns the pass. It may be called repeatedly.
func (p *Pass) Leave() {
	now := time.Now()
	g := p.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	g.inside--
	if g.yields {
		g.spend(p, now)
	}
	g.admit()
}

// spend counts the time of a slice. mu must be locked.
func (g *Gate) spend(p *Pass, now time.Time) {
	began := p.began
	if began.Before(g.since) {
		began = g.since
	}
	if earliest := now.Add(-credit * share); g.free.Before(earliest) {
		g.free = earliest
	}
	g.free = g.free.Add(min(now.Sub(began)*time.Duration(p.uses)+p.extra, longest) * share)
	p.began, p.extra = now, 0
}

// Rest pauses a slice in progress if readers yield, so that a long one takes no more than
// its share. No other reader enters meanwhile.
func (p *Pass) Rest(ctx context.Context) error {
	g := p.g
	g.mu.Lock()
	now := time.Now()
	wait, opened := time.Duration(0), g.opened
	if g.yields {
		g.spend(p, now)
		wait = g.free.Sub(now)
	}
	g.mu.Unlock()
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-opened:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.began = time.Now()
	return nil
}

// Next leaves and enters again if readers yield, between two parts of work that takes
// longer than a slice. Otherwise the pass stays valid.
func (p *Pass) Next(ctx context.Context) error {
	if !p.g.Yields() {
		return ctx.Err()
	}
	p.Leave()
	next, err := p.g.Enter(ctx)
	if err != nil {
		return err
	}
	next.uses = p.uses
	*p = *next
	return nil
}

// Waiting is the number of waiting readers, and Waited the total time that readers have
// waited.
func (g *Gate) Waiting() (n int, waited time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.Len(), g.waited
}

// room is the least time that the next reader must wait; negative while others must leave
// first. mu must be locked.
func (g *Gate) room(now time.Time) time.Duration {
	switch {
	case !g.yields && g.inside < g.slots, g.yields && g.inside == 0 && !now.Before(g.free):
		return 0
	case g.yields && g.inside == 0:
		return g.free.Sub(now)
	}
	return -1
}

// admit admits readers that may enter, and runs again when the next one may. mu must be
// locked.
func (g *Gate) admit() {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	for g.queue.Len() > 0 {
		wait := g.room(time.Now())
		if wait < 0 {
			return
		}
		if wait > 0 {
			g.timer = time.AfterFunc(wait, func() {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.admit()
			})
			return
		}
		g.inside++
		close(g.queue.Remove(g.queue.Front()).(chan struct{})) //nolint:forcetypeassert // it has nothing else
	}
}
