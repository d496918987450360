package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// replayPiece is how many past events a watcher is sent at once. One that is behind by
	// fewer is not held back.
	replayPiece = 50
	// replaysFree is how many watchers read the past at full speed.
	replaysFree = 4
	// replayTime is what an event of the past takes from all others while a run is in
	// progress: 500 a second are about a twentieth of a processor.
	replayTime = 2 * time.Millisecond
	// idleReplayTime is the same while no run is: about a processor, so that little is on its
	// way to watchers when a run begins.
	idleReplayTime = 50 * time.Microsecond
)

// replays holds watchers back that are sent what is past, where they are many: runs come
// first.
type replays struct {
	working atomic.Int64 // pools with a run in progress
	behind  atomic.Int64 // watchers that are sent what is past

	mu   sync.Mutex
	next time.Time // when the next piece may be sent
}

// begin counts a watcher that is behind.
func (r *replays) begin() (end func()) {
	r.behind.Add(1)
	return func() { r.behind.Add(-1) }
}

// many tells whether watchers of the past are held back.
func (r *replays) many() bool { return r.behind.Load() > replaysFree }

// wait returns when a piece of n events may be sent, or ctx ends.
func (r *replays) wait(ctx context.Context, n int) error {
	if !r.many() {
		return nil
	}
	each := idleReplayTime
	if r.working.Load() > 0 {
		each = replayTime
	}
	r.mu.Lock()
	at := time.Now()
	if at.Before(r.next) {
		at = r.next
	}
	r.next = at.Add(time.Duration(n) * each)
	r.mu.Unlock()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
