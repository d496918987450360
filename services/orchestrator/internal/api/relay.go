package api

import (
	"context"
	"time"
)

// relay streams the events of a source: send gets each event, and alive is called after
// KeepAlive without one. The source runs in a goroutine of its own; this one sends, because
// only one goroutine may write to a stream. When the process is asked to stop, the caller
// disconnects, or send fails, the source's context ends. relay returns after the source,
// with the first error.
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
