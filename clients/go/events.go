package afterbell

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

const (
	// firstPause is how long Events waits before it resumes an interrupted stream; it doubles
	// up to lastPause while no event arrives.
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Events follows a run from the event after the given sequence number, 0 for all events,
// until its last event, which has the finished run. Each event comes once and in order. If
// a stream is interrupted because the orchestrator restarts or the connection fails, it is
// resumed after the last event, until ctx ends; an orchestrator that has never responded to
// this client is an error. The sequence ends after the first error: NOT_FOUND if the run
// does not exist, or the context's error.
func (c *Client) Events(ctx context.Context, runID string, after int64) iter.Seq2[*orchestratorv1.RunEvent, error] {
	return func(yield func(*orchestratorv1.RunEvent, error) bool) {
		pause := firstPause
		for {
			before := after
			finished, stopped, err := c.follow(ctx, runID, &after, yield)
			switch {
			case finished || stopped:
				return
			case err == nil && after == before && before > 0:
				return // the stream of a finished run, requested after its last event
			case err != nil && !resumable(err, c.reached.Load()):
				yield(nil, err)
				return
			}
			if after > before {
				pause = firstPause
			}
			if err := sleep(ctx, pause); err != nil {
				yield(nil, err)
				return
			}
			pause = min(2*pause, lastPause)
		}
	}
}

// follow yields the events of one stream, and stores the last sequence number in after.
func (c *Client) follow(ctx context.Context, runID string, after *int64, yield func(*orchestratorv1.RunEvent, error) bool) (finished, stopped bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Runs.WatchRun(ctx, &orchestratorv1.WatchRunRequest{RunId: runID, AfterSequence: *after})
	if err != nil {
		return false, false, err
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return false, false, nil
		}
		if err != nil {
			return false, false, err
		}
		event := message.GetEvent()
		if event == nil || event.GetSequence() <= *after {
			continue // a keep-alive, or an event that was yielded before
		}
		*after = event.GetSequence()
		c.reached.Store(true)
		if !yield(event, nil) {
			return false, true, nil
		}
		if event.GetFinished() != nil {
			return true, false, nil
		}
	}
}

// resumable distinguishes an interrupted stream from a rejected one. reached is whether the
// orchestrator has responded before.
func resumable(err error, reached bool) bool {
	return reached && errors.Is(err, ErrUnreachable) || Is(err, faultv1.Reason_REASON_INTERRUPTED)
}

// sleep waits, and returns the context's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
