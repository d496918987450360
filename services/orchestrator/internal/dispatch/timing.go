package dispatch

import (
	"math/rand/v2"
	"time"
)

// Timing bounds waits and retries. Zero fields take the defaults.
type Timing struct {
	// WorkerWait is how long an unreachable worker is retried. Default 30 s.
	WorkerWait time.Duration
	// StoreWait is how long a pool's file that another process has locked is retried. Default
	// 60 s.
	StoreWait time.Duration
	// Stall is how long a partition may make no progress without waiting for a limit. Default
	// 60 s.
	Stall time.Duration
	// Attempts of a partition that fails for a transient reason. Default 3.
	Attempts int
	// BackoffBase and BackoffMax bound the pauses between attempts. Defaults 1 s and
	// 30 s.
	BackoffBase, BackoffMax time.Duration
	// Outage is how long a provider that does not respond is retried, one partition at a time,
	// before the remaining partitions of this run fail. Default 5 min.
	Outage time.Duration
	// Flush is how long partitions and events may wait to be stored together. Default 200 ms.
	Flush time.Duration
	// Drain is how long partitions in progress may continue when the process stops. Default 8
	// s.
	Drain time.Duration
	// CancelPoll is the pause between two checks whether the worker has stopped. Default 500
	// ms.
	CancelPoll time.Duration
	// Idle is the longest pause between two checks of a queue. Default 30 s.
	Idle time.Duration
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&t.WorkerWait, 30*time.Second)
	set(&t.StoreWait, 60*time.Second)
	set(&t.Stall, 60*time.Second)
	set(&t.BackoffBase, time.Second)
	set(&t.BackoffMax, 30*time.Second)
	set(&t.Outage, 5*time.Minute)
	set(&t.Flush, 200*time.Millisecond)
	set(&t.Drain, 8*time.Second)
	set(&t.CancelPoll, 500*time.Millisecond)
	set(&t.Idle, 30*time.Second)
	if t.Attempts == 0 {
		t.Attempts = 3
	}
	return t
}

// pause is the pause after the n-th failure, n from 1: exponential with full jitter, so
// that partitions that failed together are not retried together.
func (t Timing) pause(n int) time.Duration {
	ceiling := min(t.BackoffMax, t.BackoffBase<<min(max(n-1, 0), 16))
	return time.Duration(rand.Int64N(int64(ceiling))) + time.Millisecond
}
