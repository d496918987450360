// Package limiter waits until package quota allows a call, and stores learned limits across
// restarts. It identifies tokens by their keyed fingerprints only.
//
// Calls of one token and API wait in one queue: probes first, then normal calls, then
// backfills, each in order of arrival. It waits for limits per minute; a limit per hour or
// day is returned as an error at once.
package limiter

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
)

// saveEvery is how often the calls made are saved while calls are made. A learned limit is
// saved at once.
const saveEvery = 10 * time.Second

// Config is the configuration of a Limiter. The zero value has no limits, stores nothing
// and logs to slog.Default.
type Config struct {
	// Path of the file for learned limits. Empty stores nothing.
	Path string
	// Settings apply until the provider states a limit.
	Settings quota.Settings
	// Log may be nil.
	Log *slog.Logger
}

// Limiter is safe for concurrent use. It has no goroutine of its own.
type Limiter struct {
	cfg    Config
	mu     sync.Mutex
	lines  map[quota.Key]*line
	saved  time.Time
	dirty  bool
	saveMu sync.Mutex // held while writing; never inside mu
}

// line is the state and the queue of one key.
type line struct {
	state quota.State
	queue []*waiter
}

type waiter struct {
	priority quota.Priority
	again    chan struct{} // signals that the waiter must decide again: it may be first now
}

// Open loads the stored state. A file that cannot be read is a warning and an empty start,
// because each limit is learned again at the cost of one refusal. It fails only for invalid
// settings.
func Open(cfg Config) (*Limiter, error) {
	if err := cfg.Settings.Check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	l := &Limiter{cfg: cfg, lines: map[quota.Key]*line{}, saved: wallTime()}
	states, err := load(cfg.Path, cfg.Settings, wallTime())
	if err != nil {
		cfg.Log.Warn("the learned limits of the provider cannot be read; starting without them", "file", cfg.Path, "error", err)
	}
	for k, s := range states {
		l.lines[k] = &line{state: s}
	}
	return l, nil
}

// Close saves the state. The limiter must not be used afterwards.
func (l *Limiter) Close() error {
	l.mu.Lock()
	l.dirty = true
	l.mu.Unlock()
	l.saveMu.Lock()
	defer l.saveMu.Unlock()
	return l.save()
}

// Acquire waits until a call of the key may be made, and counts it as made. It returns
// *quota.Exhausted at once if a limit per hour or day is used up, or if the wait for a
// limit per minute would exceed ctx's deadline; and ctx's error when ctx ends. waiting,
// which may be nil, is called in the calling goroutine before each wait with the expected
// end of the wait.
func (l *Limiter) Acquire(ctx context.Context, key quota.Key, p quota.Priority, waiting func(until time.Time)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{priority: p, again: make(chan struct{}, 1)}
	var told time.Time
	l.mu.Lock()
	ln := l.line(key)
	ln.join(w)
	for {
		now := wallTime()
		ln.state.Clamp(now)
		place := slices.Index(ln.queue, w)
		d := ln.state.Decide(now, l.cfg.Settings, key.API, p, place)
		if d.Go && place == 0 {
			ln.state.Spend(now)
			ln.leave(w)
			l.dirty = true
			due := now.Sub(l.saved) >= saveEvery
			l.mu.Unlock()
			if due {
				l.remember()
			}
			return nil
		}
		deadline, bounded := ctx.Deadline()
		if !d.Go && (d.Window != quota.Minute || bounded && d.Until.After(deadline)) {
			ln.leave(w)
			l.mu.Unlock()
			return &quota.Exhausted{API: key.API, Window: d.Window, Limit: d.Limit, Until: d.Until, Asked: d.Asked}
		}
		l.mu.Unlock()
		if waiting != nil && !d.Go && !d.Until.Equal(told) {
			told = d.Until
			waiting(told)
		}
		err := w.wait(ctx, d, now)
		l.mu.Lock()
		if err != nil {
			ln.leave(w)
			l.mu.Unlock()
			return err
		}
	}
}

// wait ends when the waiter is notified, or at the expected time: a waiter that is not
// first by then may have to wait longer than expected.
func (w *waiter) wait(ctx context.Context, d quota.Decision, now time.Time) error {
	var opens <-chan time.Time
	if !d.Go {
		t := time.NewTimer(d.Until.Sub(now))
		defer t.Stop()
		opens = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.again:
	case <-opens:
	}
	return nil
}

// Refused records that the provider refused a call sent at sent, because n calls are
// allowed per window (0 if unknown). It returns the time from which calls are allowed
// again.
func (l *Limiter) Refused(key quota.Key, sent time.Time, w quota.Window, n int) time.Time {
	l.mu.Lock()
	ln := l.line(key)
	known := ln.state.Learnt[w].Calls
	until := ln.state.Refuse(sent, wallTime(), w, n)
	for _, waits := range ln.queue { // each one has a new expected time, or none
		waits.call()
	}
	l.dirty = true
	l.mu.Unlock()
	if n > 0 && n != known {
		l.cfg.Log.Info("learned a limit of the provider", "api", key.API, "limit", n, "window", w.String(), "until", until)
	}
	l.remember()
	return until
}

// Hold records that the provider asked for no call of the key before a time, and returns
// the time from which calls are made again.
func (l *Limiter) Hold(key quota.Key, until time.Time) time.Time {
	l.mu.Lock()
	ln := l.line(key)
	until = ln.state.Hold(until.Round(0))
	for _, waits := range ln.queue {
		waits.call()
	}
	l.dirty = true
	l.mu.Unlock()
	l.cfg.Log.Info("the provider requires a wait", "api", key.API, "until", until)
	l.remember()
	return until
}

// Scarce returns the smallest limit per hour or day, learned within a week, that allows
// very few calls of the key. ok is false if there is none.
func (l *Limiter) Scarce(key quota.Key) (calls int, w quota.Window, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.lines[key]
	if ln == nil {
		return 0, 0, false
	}
	return ln.state.Scarce(wallTime())
}

// LearnedLimit is a limit of a key that was learned from a refusal.
type LearnedLimit struct {
	quota.Key
	quota.LearnedLimit
}

// LearnedLimits lists the learned limits of the keys that match, by token, API and window.
func (l *Limiter) LearnedLimits(match func(quota.Key) bool) []LearnedLimit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lessons(match)
}

// Forget discards the learned limits of the keys that match, and returns them. Calls that
// wait for such a limit continue.
func (l *Limiter) Forget(match func(quota.Key) bool) []LearnedLimit {
	l.mu.Lock()
	out := l.lessons(match)
	for k, ln := range l.lines {
		if match(k) {
			ln.state.Forget()
			for _, waits := range ln.queue {
				waits.call()
			}
		}
	}
	l.dirty = true
	l.mu.Unlock()
	l.remember()
	return out
}

func (l *Limiter) lessons(match func(quota.Key) bool) []LearnedLimit {
	now := wallTime()
	var out []LearnedLimit
	for k, ln := range l.lines {
		if !match(k) {
			continue
		}
		for _, x := range ln.state.LearnedLimits(now, l.cfg.Settings, k.API) {
			out = append(out, LearnedLimit{k, x})
		}
	}
	slices.SortStableFunc(out, func(a, b LearnedLimit) int {
		return strings.Compare(a.Token+" "+a.API, b.Token+" "+b.API)
	})
	return out
}

// Estimate is how long the load takes from now on for the token with the
// fingerprint.
func (l *Limiter) Estimate(token string, load quota.Load) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return quota.Estimate(wallTime(), l.cfg.Settings, func(api string) *quota.State {
		if ln := l.lines[quota.Key{Token: token, API: api}]; ln != nil {
			return &ln.state
		}
		return nil
	}, load)
}

// Status is the state of one key, for display.
type Status struct {
	quota.Key
	// PerMinute, PerHour and PerDay are the limits in force; 0 if unknown.
	PerMinute, PerHour, PerDay int
	// Learnt is true if the provider stated PerMinute.
	Learnt bool
	// LastMinute and Today count the calls made.
	LastMinute, Today int
	// Waiting is the number of queued calls.
	Waiting int
	// Until is when a backfill may call next; zero if it may now.
	Until time.Time
	// Own is true if that is because of a limit in the settings, not because of a learned one.
	Own bool
}

// Snapshot is the status of every key known, by token and API.
func (l *Limiter) Snapshot() []Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := wallTime()
	out := make([]Status, 0, len(l.lines))
	for k, ln := range l.lines {
		d := ln.state.Decide(now, l.cfg.Settings, k.API, quota.Backfill, 0)
		s := Status{Key: k, Waiting: len(ln.queue), Until: d.Until}
		s.PerMinute, s.Learnt = ln.state.Limit(quota.Minute, now, l.cfg.Settings, k.API)
		s.Own = !d.Go && !d.Asked && d.Window == quota.Minute && !s.Learnt && !ln.state.Closed[quota.Minute].After(now)
		s.PerHour, _ = ln.state.Limit(quota.Hour, now, l.cfg.Settings, k.API)
		s.PerDay, _ = ln.state.Limit(quota.Day, now, l.cfg.Settings, k.API)
		s.LastMinute, s.Today = ln.state.Count(now)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Status) int {
		return strings.Compare(a.Token+" "+a.API, b.Token+" "+b.API)
	})
	return out
}

// wallTime has no monotonic reading: the provider's clock continues while this host is
// asleep.
func wallTime() time.Time { return time.Now().Round(0) }

func (l *Limiter) line(key quota.Key) *line {
	ln := l.lines[key]
	if ln == nil {
		ln = &line{}
		l.lines[key] = ln
	}
	return ln
}

// join queues a waiter behind those of its priority.
func (ln *line) join(w *waiter) {
	at := len(ln.queue)
	for at > 0 && ln.queue[at-1].priority < w.priority {
		at--
	}
	ln.queue = slices.Insert(ln.queue, at, w)
}

// leave removes a waiter and notifies the one that is first now.
func (ln *line) leave(w *waiter) {
	if i := slices.Index(ln.queue, w); i >= 0 {
		ln.queue = slices.Delete(ln.queue, i, i+1)
	}
	if len(ln.queue) > 0 {
		ln.queue[0].call()
	}
}

func (w *waiter) call() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}
