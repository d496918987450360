package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// replayPiece is how many past events a watcher is sent at once. A watcher that is behind
	// by fewer is not delayed.
	replayPiece = 50
	// replaysFree is how many watchers read past events at full speed.
	replaysFree = 4
	// replayTime is the shared time per past event while a run is in progress: 500 a second
	// cost about a twentieth of a processor.
	replayTime = 2 * time.Millisecond
	// idleReplayTime is the same while no run is in progress: about one processor, so that
	// little is pending for watchers when a run begins.
	idleReplayTime = 50 * time.Microsecond
)

// replays delays watchers of past events if there are many, because runs come first.
type replays struct {
	working atomic.Int64 // pools with a run in progress
	behind  atomic.Int64 // watchers that read past events

	mu   sync.Mutex
	next time.Time // when the next piece may be sent
}

// begin counts a watcher that is behind.
func (r *replays) begin() (end func()) {
	r.behind.Add(1)
	return func() { r.behind.Add(-1) }
}

// many reports whether watchers of past events are delayed.
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
