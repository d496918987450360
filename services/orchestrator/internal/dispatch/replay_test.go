package dispatch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Many watchers of the past share 500 events a second while a run is in progress, and far
// more without a run; few do not wait.
func TestReplaysYieldToRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r replays
		took := func(watchers int) time.Duration {
			began := time.Now()
			var all sync.WaitGroup
			for range watchers {
				all.Go(func() {
					defer r.begin()()
					time.Sleep(time.Millisecond) // all are there
					for range 10 {
						if err := r.wait(t.Context(), replayPiece); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			return time.Since(began) - time.Millisecond
		}
		if d, want := took(100), 100*10*replayPiece*idleReplayTime; d > want || d < want*9/10 {
			t.Errorf("without a run they wait for %s, want about %s", d, want)
		}
		r.working.Add(1)
		if d := took(replaysFree); d != 0 {
			t.Errorf("few wait for %s", d)
		}
		if d, want := took(100), 100*10*replayPiece*replayTime; d > want || d < want*9/10 {
			t.Errorf("many wait for %s, want about %s", d, want)
		}
		for range replaysFree + 1 {
			defer r.begin()()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = r.wait(t.Context(), replayPiece)
		if err := r.wait(ctx, replayPiece); err == nil {
			t.Error("a watcher that has left waits")
		}
	})
}
