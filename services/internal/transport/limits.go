package transport

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// LimitConfig limits what callers may have open at once; 0 means no limit.
type LimitConfig struct {
	// Streams of all callers, and StreamsPerCaller of each one.
	Streams, StreamsPerCaller int
	// Calls in progress of all callers, streams not counted.
	Calls int
	// Rate of calls per second and caller, including streams; a burst may have four seconds'
	// worth.
	Rate int
}

// Limits rejects calls over a limit at once, with TOO_MANY_CALLS: a caller that waits
// silently cannot distinguish a busy service from a broken one. Nil has no limits. Safe for
// concurrent use.
type Limits struct {
	cfg LimitConfig

	mu             sync.Mutex
	streams, calls int
	callers        map[string]*load
}

// load is what one caller has open.
type load struct {
	streams int
	rate    *rate.Limiter
}

// idleCallers is how many callers are remembered for their rate before those who have
// caught up are forgotten.
const idleCallers = 1000

// NewLimits returns Limits without any calls.
func NewLimits(cfg LimitConfig) *Limits {
	return &Limits{cfg: cfg, callers: map[string]*load{}}
}

// Enter counts a call; done ends it. A rejected call is not counted.
func (l *Limits) Enter(caller string, stream bool) (done func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.load(caller)
	switch {
	case !of.rate.Allow():
		return nil, tooMany("rate", l.cfg.Rate, callWait, "This caller makes more than "+fault.Count(l.cfg.Rate, "call", "calls")+" per second.")
	case !stream && over(l.calls, l.cfg.Calls):
		return nil, tooMany("calls", l.cfg.Calls, callWait, fault.Count(l.calls, "call is", "calls are")+" in progress, the maximum.")
	case stream:
		if err := l.full(of); err != nil {
			return nil, err
		}
	}
	count := func(n int) {
		if stream {
			l.streams, of.streams = l.streams+n, of.streams+n
		} else {
			l.calls += n
		}
	}
	count(1)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		count(-1)
	}), nil
}

// Full is the error that a stream of the caller would get; nil if it would be accepted. It
// is cheaper than opening one.
func (l *Limits) Full(caller string) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full(l.load(caller))
}

func (l *Limits) full(of *load) error {
	switch {
	case over(of.streams, l.cfg.StreamsPerCaller):
		return tooMany("streams_per_caller", l.cfg.StreamsPerCaller, streamWait, "This caller has "+fault.Count(of.streams, "open stream", "open streams")+", the maximum.")
	case over(l.streams, l.cfg.Streams):
		return tooMany("streams", l.cfg.Streams, streamWait, fault.Count(l.streams, "stream is", "streams are")+" open, the maximum.")
	}
	return nil
}

func (l *Limits) load(caller string) *load {
	of := l.callers[caller]
	if of == nil {
		if len(l.callers) >= idleCallers {
			for name, other := range l.callers {
				if other.streams == 0 && other.rate.Tokens() >= float64(other.rate.Burst()) {
					delete(l.callers, name)
				}
			}
		}
		of = &load{rate: rate.NewLimiter(rate.Inf, 0)}
		if l.cfg.Rate > 0 {
			of.rate = rate.NewLimiter(rate.Limit(l.cfg.Rate), min(4*l.cfg.Rate, math.MaxInt32))
		}
		l.callers[caller] = of
	}
	return of
}

func over(now, limit int) bool { return limit > 0 && now >= limit }

// When a rejected caller may try again: a call ends soon, a stream lasts.
const (
	callWait   = time.Second
	streamWait = 5 * time.Second
)

func tooMany(name string, limit int, wait time.Duration, message string) error {
	f := fault.New(fault.TooManyCalls, message, "limit", name, "value", fmt.Sprint(limit))
	f.RetryAt = time.Now().Add(wait)
	return f
}

// enter counts a call to the server.
func (g guard) enter(ctx context.Context, method string, stream bool) (done func(), err error) {
	limits := g.cfg.Limits
	if quiet(method) {
		limits, stream = g.own, true
	}
	if limits == nil {
		return func() {}, nil
	}
	caller := PeerAddress(ctx)
	if g.cfg.Caller != nil && !quiet(method) {
		caller = g.cfg.Caller(ctx)
	}
	return limits.Enter(caller, stream)
}
