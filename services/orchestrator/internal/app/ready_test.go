package app

import (
	"context"
	"testing"
)

// A caller of /readyz who leaves must not make the next ones see the worker as unreachable.
func TestACallerWhoLeavesHidesNoWorker(t *testing.T) {
	r := start(t)
	ready := r.ready()
	left, leave := context.WithCancel(t.Context())
	leave()
	ready(left)
	if s := ready(t.Context()); !s.Ready || s.Worker != "reachable" {
		t.Errorf("the next caller gets %+v", s)
	}
}
