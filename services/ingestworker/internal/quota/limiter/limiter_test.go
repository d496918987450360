package limiter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = quota.Key{Token: "f00dbabe", API: "daily"}

func open(t *testing.T, cfg Config) *Limiter {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// take makes n calls side by side and returns when they went, in order.
func take(t *testing.T, l *Limiter, p quota.Priority, n int) []time.Time {
	t.Helper()
	var mu sync.Mutex
	var at []time.Time
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := l.Acquire(t.Context(), key, p, nil); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			at = append(at, time.Now())
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.SortFunc(at, time.Time.Compare)
	return at
}

func TestPrioritiesAreThoseOfIngest(t *testing.T) {
	for p, q := range map[ingest.Priority]quota.Priority{ingest.Backfill: quota.Backfill, ingest.Normal: quota.Normal, ingest.Probe: quota.Probe} {
		if int(p) != int(q) {
			t.Errorf("%d is %d", p, q)
		}
	}
}

func TestManyAtOnceKeepTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Settings: quota.DefaultSettings(60)})
		start := time.Now()
		at := take(t, l, quota.Probe, 200)
		for i := 60; i < len(at); i++ {
			if at[i].Sub(at[i-60]) < time.Minute {
				t.Fatalf("61 calls within %v", at[i].Sub(at[i-60]))
			}
		}
		if took := time.Since(start); took > 3*time.Minute+2*time.Second {
			t.Errorf("200 calls at 60 a minute took %v", took)
		}
	})
}

func TestWaitIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Settings: quota.Settings{PerMinute: 1}})
		take(t, l, quota.Normal, 1)
		var until []time.Time
		if err := l.Acquire(t.Context(), key, quota.Normal, func(u time.Time) { until = append(until, u) }); err != nil {
			t.Fatal(err)
		}
		if len(until) != 1 || !until[0].Equal(time.Now()) {
			t.Errorf("reported %v, went at %v", until, time.Now())
		}
	})
}

func TestProbeOvertakesBackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Settings: quota.Settings{PerMinute: 2}})
		take(t, l, quota.Probe, 2)
		var order []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, c := range []struct {
			name string
			p    quota.Priority
		}{{"backfill 1", quota.Backfill}, {"backfill 2", quota.Backfill}, {"normal", quota.Normal}, {"probe", quota.Probe}} {
			wg.Go(func() {
				if err := l.Acquire(t.Context(), key, c.p, nil); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, c.name)
				mu.Unlock()
			})
			synctest.Wait()
		}
		if s := l.Snapshot(); len(s) != 1 || s[0].Waiting != 4 || s[0].LastMinute != 2 || s[0].Until.IsZero() || !s[0].Own {
			t.Errorf("snapshot %+v", s)
		}
		wg.Wait()
		first, second := order[:2], order[2:]
		slices.Sort(first)
		slices.Sort(second)
		if !slices.Equal(first, []string{"normal", "probe"}) || !slices.Equal(second, []string{"backfill 1", "backfill 2"}) {
			t.Errorf("order %v", order)
		}
	})
}

func TestBackfillDoesNotStarveProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Settings: quota.DefaultSettings(200)})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for l.Acquire(ctx, key, quota.Backfill, nil) == nil {
				}
			})
		}
		for range 10 {
			time.Sleep(37 * time.Second)
			start := time.Now()
			if err := l.Acquire(ctx, key, quota.Probe, nil); err != nil {
				t.Fatal(err)
			}
			if w := time.Since(start); w > 0 {
				t.Errorf("a probe waited %v", w)
			}
		}
		stop()
		wg.Wait()
	})
}

func TestCancelLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Settings: quota.Settings{PerMinute: 1}})
		take(t, l, quota.Normal, 1)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		go func() { errs <- l.Acquire(ctx, key, quota.Probe, nil) }()
		synctest.Wait()
		done := make(chan error)
		go func() { done <- l.Acquire(t.Context(), key, quota.Backfill, nil) }()
		synctest.Wait()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s := l.Snapshot(); s[0].Waiting != 0 {
			t.Errorf("snapshot %+v", s)
		}
		if err := l.Acquire(ctx, key, quota.Probe, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context: %v", err)
		}
	})
}

func TestRefusalMinuteIsWaitedForExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{})
		start := time.Now()
		take(t, l, quota.Normal, 21)
		time.Sleep(time.Second)
		l.Refused(key, start, quota.Minute, 20)
		at := take(t, l, quota.Probe, 1)
		if w := at[0].Sub(start); w < time.Minute || w > time.Minute+time.Second {
			t.Errorf("went after %v", w)
		}
	})
}

func TestRefusalHourAndDayReturnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, w := range []quota.Window{quota.Hour, quota.Day} {
			l := open(t, Config{})
			now := time.Now()
			until := l.Refused(key, now, w, 3)
			err := l.Acquire(t.Context(), key, quota.Probe, nil)
			var spent *quota.Exhausted
			if !errors.As(err, &spent) || !spent.Until.Equal(until) || spent.Window != w || spent.Limit != 3 || time.Since(now) > 0 {
				t.Errorf("%v: %v after %v", w, err, time.Since(now))
			}
			if err := l.Acquire(t.Context(), quota.Key{Token: key.Token, API: "moneyflow"}, quota.Normal, nil); err != nil {
				t.Errorf("another API is held back: %v", err)
			}
			time.Sleep(time.Until(until))
			if err := l.Acquire(t.Context(), key, quota.Normal, nil); err != nil {
				t.Errorf("%v: open again, and %v", w, err)
			}
		}
	})
}

func TestLearntLimitWakesThoseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Settings: quota.Settings{PerMinute: 1}})
		take(t, l, quota.Probe, 1)
		start := time.Now()
		done := make(chan error)
		go func() { done <- l.Acquire(t.Context(), key, quota.Probe, nil) }()
		synctest.Wait()
		l.Refused(key, start, quota.Hour, 1)
		var spent *quota.Exhausted
		if err := <-done; !errors.As(err, &spent) || time.Since(start) > 0 {
			t.Errorf("err = %v after %v", err, time.Since(start))
		}
	})
}

// A discarded limit delays no call, and is discarded permanently.
func TestForgottenLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "quota.json")
		l := open(t, Config{Path: path})
		list := quota.Key{Token: key.Token, API: "stock_basic"}
		start := time.Now()
		hour := l.Refused(list, start, quota.Hour, 1)
		day := l.Refused(key, start, quota.Day, 0)
		minute := l.Refused(key, start, quota.Minute, 2)
		until := l.Hold(list, start.Add(3*time.Hour))
		all := func(quota.Key) bool { return true }
		at := start.Round(0)
		want := []LearnedLimit{
			{key, quota.LearnedLimit{Window: quota.Minute, Calls: 2, At: at, Opens: minute}}, {key, quota.LearnedLimit{Window: quota.Day, Opens: day}},
			{list, quota.LearnedLimit{Window: quota.Hour, Calls: 1, At: at, Opens: hour}}, {list, quota.LearnedLimit{Window: quota.Day, Opens: until}},
		}
		if got := l.LearnedLimits(all); !slices.Equal(got, want) {
			t.Errorf("lessons %+v\nwant    %+v", got, want)
		}
		if n, w, ok := l.Scarce(list); n != 1 || w != quota.Hour || !ok {
			t.Errorf("scarce: %d per %v, %v", n, w, ok)
		}
		done := make(chan error)
		go func() { done <- l.Acquire(t.Context(), key, quota.Normal, nil) }()
		if err := <-done; err == nil {
			t.Error("the day is spent")
		}
		if got := l.Forget(func(k quota.Key) bool { return k.API == "stock_basic" }); !slices.Equal(got, want[2:]) {
			t.Errorf("forgot %+v", got)
		}
		if got := l.LearnedLimits(all); !slices.Equal(got, want[:2]) {
			t.Errorf("left %+v", got)
		}
		if err := l.Acquire(t.Context(), list, quota.Normal, nil); err != nil {
			t.Error(err)
		}
		l.Refused(list, time.Now(), quota.Minute, 1)
		go func() { done <- l.Acquire(t.Context(), list, quota.Normal, nil) }()
		synctest.Wait()
		l.Forget(all)
		if err := <-done; err != nil || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if got := open(t, Config{Path: path}).LearnedLimits(all); len(got) > 0 {
			t.Errorf("after a restart %+v", got)
		}
	})
}

func TestAHeldKeySurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "quota.json")
		until := open(t, Config{Path: path}).Hold(key, time.Now().Add(2*time.Hour))
		var spent *quota.Exhausted
		err := open(t, Config{Path: path}).Acquire(t.Context(), key, quota.Probe, nil)
		if !errors.As(err, &spent) || !spent.Asked || !spent.Until.Equal(until) {
			t.Errorf("%+v, %v", spent, err)
		}
	})
}

func TestLessonsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "quota.json")
		cfg := Config{Path: path, Settings: quota.DefaultSettings(200)}
		l := open(t, cfg)
		take(t, l, quota.Normal, 5)
		l.Refused(key, time.Now(), quota.Minute, 4)
		until := l.Refused(quota.Key{Token: key.Token, API: "stock_basic"}, time.Now(), quota.Day, 1)
		// Not closed: a killed process keeps what refusals taught.
		again := open(t, cfg)
		s := again.Snapshot()
		if len(s) != 2 || s[0].PerMinute != 4 || !s[0].Learnt || s[0].LastMinute != 5 || s[1].PerDay != 1 || !s[1].Until.Equal(until) {
			t.Fatalf("snapshot %+v", s)
		}
		if d := again.Estimate(key.Token, quota.Load{Calls: map[string]int{"daily": 1, "unknown": 1}}); d < 59*time.Second || d > 61*time.Second {
			t.Errorf("estimate %v", d)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Settings = quota.DefaultSettings(500)
		if s := open(t, cfg).Snapshot(); s[0].PerMinute != 500 || s[0].Learnt {
			t.Errorf("a setting changed on purpose must be tried: %+v", s[0])
		}
		raw, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(raw, []byte(key.Token)) {
			t.Errorf("%s, %v", raw, err)
		}
		if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestSpentCallsAreWrittenNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "quota.json")
		l := open(t, Config{Path: path})
		take(t, l, quota.Normal, 3)
		if _, err := os.Stat(path); err == nil {
			t.Error("written with every call")
		}
		time.Sleep(saveEvery)
		take(t, l, quota.Normal, 1)
		if s := open(t, Config{Path: path}).Snapshot(); len(s) != 1 || s[0].Today != 4 {
			t.Errorf("snapshot %+v", s)
		}
	})
}

func TestDamagedFileIsAWarningAndAFreshStart(t *testing.T) {
	for name, text := range map[string]string{"cut": `{"version":1,"states":[{"tok`, "version": `{"version":99}`, "empty": "", "array": "[]"} {
		path := filepath.Join(t.TempDir(), "quota.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		l := open(t, Config{Path: path, Settings: quota.DefaultSettings(200), Log: slog.New(slog.NewTextHandler(&out, nil))})
		if !strings.Contains(out.String(), "WARN") || len(l.Snapshot()) != 0 {
			t.Errorf("%s: log %q, snapshot %v", name, out.String(), l.Snapshot())
		}
		take(t, l, quota.Normal, 1)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if s := open(t, Config{Path: path}).Snapshot(); len(s) != 1 {
			t.Errorf("%s: not mended: %+v", name, s)
		}
	}
}

func TestUnwritableFileDoesNotStopCalls(t *testing.T) {
	var out strings.Builder
	l := open(t, Config{Path: filepath.Join(t.TempDir(), "absent", "quota.json"), Log: slog.New(slog.NewTextHandler(&out, nil))})
	l.Refused(key, time.Now(), quota.Minute, 100)
	if !strings.Contains(out.String(), "cannot be written") {
		t.Errorf("log %q", out.String())
	}
	if l.Close() == nil {
		t.Error("Close must tell that nothing was kept")
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	if _, err := Open(Config{Settings: quota.Settings{PerMinute: -1}}); err == nil {
		t.Error("opened")
	}
}

func BenchmarkAcquire(b *testing.B) {
	l, err := Open(Config{})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Acquire(ctx, key, quota.Backfill, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// A call whose deadline is before the end of the window fails at once.
func TestAWaitPastTheDeadlineIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Settings: quota.Settings{PerMinute: 1}})
		take(t, l, quota.Probe, 1)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var spent *quota.Exhausted
		err := l.Acquire(ctx, key, quota.Probe, nil)
		if !errors.As(err, &spent) || spent.Window != quota.Minute || spent.Limit != 1 || spent.Until.Sub(start) < time.Minute || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		long, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := l.Acquire(long, key, quota.Probe, nil); err != nil {
			t.Errorf("time enough: %v", err)
		}
	})
}

// A waiter that is not the first is notified again if its wait becomes longer, so that the expected
// end is never in the past.
func TestALongerWaitIsReportedToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{})
		l.Refused(key, time.Now(), quota.Minute, 0)
		var mu sync.Mutex
		told := map[int]time.Time{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for n := range 3 {
			wg.Go(func() {
				for l.Acquire(ctx, key, quota.Normal, func(u time.Time) { mu.Lock(); told[n] = u; mu.Unlock() }) == nil {
					l.Refused(key, time.Now(), quota.Minute, 0) // the provider refuses all
				}
			})
		}
		for range 5 {
			time.Sleep(61 * time.Second)
			synctest.Wait()
			mu.Lock()
			for n, u := range told {
				if !u.After(time.Now()) {
					t.Errorf("waiter %d got %v, %v ago", n, u, time.Since(u))
				}
			}
			mu.Unlock()
		}
		cancel()
		wg.Wait()
	})
}

// What was written before the clock was set back, while this process runs, must not
// hold calls back for as long as it was set back.
func TestClockSetBackWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Settings: quota.Settings{PerMinute: 1}})
		ahead := time.Now().Add(2 * time.Hour).Round(0) // without a monotonic reading, as read from the file
		l.lines[key] = &line{state: quota.State{Spent: []time.Time{ahead}}}
		l.lines[key].state.Closed[quota.Minute] = ahead
		start := time.Now()
		take(t, l, quota.Normal, 1)
		if w := time.Since(start); w > time.Minute+time.Second {
			t.Errorf("waited %v", w)
		}
	})
}
