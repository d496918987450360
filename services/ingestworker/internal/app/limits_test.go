package app

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
)

// Progress has the end of a wait for --rate-limit, but not of a wait for a limit that the provider
// stated, because that is a learned limit.
func TestWaitsForTheOwnLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	synctest.Test(t, func(t *testing.T) {
		l, err := limiter.Open(limiter.Config{Path: path, Settings: quota.Settings{PerMinute: 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		stated := quota.Key{Token: "f", API: "moneyflow"}
		for _, key := range []quota.Key{{Token: "f", API: "daily"}, {Token: "other", API: "daily"}, stated} {
			if err := l.Acquire(ctx, key, quota.Normal, nil); err != nil {
				t.Fatal(err)
			}
			if key == stated {
				l.Refused(key, began, quota.Minute, 1)
			}
			go func() { _ = l.Acquire(ctx, key, quota.Normal, nil) }()
		}
		synctest.Wait()
		got := lessons{l}.OwnWaits([]string{"f"})
		if len(got) != 1 || got[0].API != "daily" || got[0].PerMinute != 1 || got[0].Waiting != 1 || got[0].Opens.Before(began.Add(time.Minute)) {
			t.Errorf("waiting: %+v", got)
		}
		stop()
		synctest.Wait()
		if left := (lessons{l}).OwnWaits([]string{"f"}); len(left) != 0 {
			t.Errorf("nothing waits, but %+v", left)
		}
	})
}
