package api

import (
	"context"
	"time"
)

// relay streams what a source tells: send gets each event, and alive is called
// whenever KeepAlive passed in silence. The source has a goroutine of its own; this one
// sends, because a stream may be written from one only. When the process is asked to
// stop, the caller leaves, or send fails, the source's context ends. relay returns once
// the source has, with the first error.
func relay[E any](ctx context.Context, b *base, source func(ctx context.Context, tell func(E) error) error, send func(E) error, alive func() error) error {
	ctx, cancel := b.stoppable(ctx)
	defer cancel()
	events, ended := make(chan E), make(chan error, 1)
	go func() {
		ended <- source(ctx, func(e E) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	silence := time.NewTimer(b.KeepAlive)
	defer silence.Stop()
	var failed error
	for {
		select {
		case e := <-events:
			if failed == nil {
				failed = send(e)
			}
		case <-silence.C:
			if failed == nil {
				failed = alive()
			}
		case err := <-ended:
			if failed != nil {
				return failed
			}
			return err
		}
		if failed != nil {
			cancel()
		}
		silence.Reset(b.KeepAlive)
	}
}
