package pool

import "sync/atomic"

// Ticket records whether a queued piece of work has begun. Its caller may leave until then;
// afterwards it must wait, because the work will be done. The zero value is waiting.
type Ticket struct {
	state atomic.Int32
}

const (
	waiting int32 = iota
	begun
	left
)

// Begin reports whether the work is to be done: its caller is still waiting, and it has not
// begun before.
func (t *Ticket) Begin() bool { return t.state.CompareAndSwap(waiting, begun) }

// Leave reports whether the caller may go: the work has not begun, and will not.
func (t *Ticket) Leave() bool { return t.state.CompareAndSwap(waiting, left) }

// Waiting reports whether the work has neither begun nor lost its caller.
func (t *Ticket) Waiting() bool { return t.state.Load() == waiting }

// Left reports whether the caller has gone.
func (t *Ticket) Left() bool { return t.state.Load() == left }
