package api

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// message is what a stream was given, and when; seq is 0 for a keep-alive.
type message struct {
	at  time.Duration
	seq int64
}

// sent records what a stream was given. It fails from the message given on.
type sent[T any] struct {
	grpc.ServerStreamingServer[T]
	t        *testing.T
	ctx      context.Context
	began    time.Time
	sequence func(*T) (seq int64, alive bool)
	messages []message
	failAt   int // 0: never
}

var errGone = errors.New("the caller is gone")

func (s *sent[T]) Context() context.Context { return s.ctx }

func (s *sent[T]) Send(m *T) error {
	seq, alive := s.sequence(m)
	if alive != (seq == 0) {
		s.t.Errorf("message %v says keep_alive %v", m, alive)
	}
	s.messages = append(s.messages, message{time.Since(s.began), seq})
	if len(s.messages) == s.failAt {
		return errGone
	}
	return nil
}

// slow sends three events with pauses, and does not end by itself.
type slow struct {
	Ledger
	Dispatcher
	ended bool
}

var pauses = []time.Duration{10 * time.Second, 10 * time.Second, 40 * time.Second}

func (s *slow) tell(ctx context.Context, each func(n int64) error) error {
	defer func() { s.ended = true }()
	for i, pause := range pauses {
		time.Sleep(pause) // the bubble's clock
		if err := each(int64(i + 1)); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *slow) Run(_ context.Context, id string) (run.Run, error) { return run.Run{ID: id}, nil }

func (s *slow) Watch(ctx context.Context, id string, _ int64, send func(run.Event) error) error {
	return s.tell(ctx, func(n int64) error { return send(run.Event{RunID: id, Sequence: n}) })
}

// hanging is a preflight whose probe hangs.
type hanging struct{ *slow }

func (h hanging) Run(ctx context.Context, _ preflight.Options, tell func(preflight.Event) error) (readiness.Preflight, error) {
	return readiness.Preflight{}, h.tell(ctx, func(n int64) error {
		return tell(preflight.Event{Sequence: n, ModuleStarted: &preflight.ModuleStarted{Module: "m"}})
	})
}

func (h hanging) Facts(context.Context, []string) (readiness.Facts, error) {
	return readiness.Facts{}, nil
}
func (h hanging) Refresh(context.Context) error { return nil }

// streams are the calls that stream, each over the slow source.
func streams(t *testing.T, source *slow, stopping chan struct{}, failAt int) map[string]func() ([]message, error) {
	b := &base{Config: Config{Ledger: source, Dispatcher: source, Preflight: hanging{source}, KeepAlive: 15 * time.Second, Stopping: stopping}}
	return map[string]func() ([]message, error){
		"WatchRun": func() ([]message, error) {
			out := &sent[orchestratorv1.WatchRunResponse]{t: t, ctx: t.Context(), began: time.Now(), failAt: failAt,
				sequence: func(m *orchestratorv1.WatchRunResponse) (int64, bool) {
					return m.GetEvent().GetSequence(), m.GetKeepAlive()
				}}
			err := (&runService{base: b}).WatchRun(&orchestratorv1.WatchRunRequest{RunId: "r"}, out)
			return out.messages, err
		},
		"RunPreflight": func() ([]message, error) {
			out := &sent[orchestratorv1.RunPreflightResponse]{t: t, ctx: t.Context(), began: time.Now(), failAt: failAt,
				sequence: func(m *orchestratorv1.RunPreflightResponse) (int64, bool) {
					return m.GetEvent().GetSequence(), m.GetKeepAlive()
				}}
			err := (&preflightService{base: b}).RunPreflight(&orchestratorv1.RunPreflightRequest{}, out)
			return out.messages, err
		},
	}
}

// TestSilenceIsBrokenEveryFifteenSeconds: each stream sends keep-alives while nothing happens, for
// example while a probe hangs, and ends with a reason when the process stops.
func TestSilenceIsBrokenEveryFifteenSeconds(t *testing.T) {
	for name, reason := range map[string]fault.Reason{"WatchRun": fault.Interrupted, "RunPreflight": fault.PreflightFailed} {
		synctest.Test(t, func(t *testing.T) {
			source, stopping := &slow{}, make(chan struct{})
			time.AfterFunc(61*time.Second, func() { close(stopping) })
			got, err := streams(t, source, stopping, 0)[name]()
			faulttest.Produces(t, err, reason)
			want := []message{{10 * time.Second, 1}, {20 * time.Second, 2}, {35 * time.Second, 0}, {50 * time.Second, 0}, {60 * time.Second, 3}}
			if !slices.Equal(got, want) || !source.ended {
				t.Errorf("%s sent %v, want %v; the source has ended: %v", name, got, want, source.ended)
			}
		})
	}
}

func TestNextAsk(t *testing.T) {
	saturday := market.NewDate(2026, 3, 7)
	at := func(d market.Date, h, m int) time.Time { return d.At(h, m, market.Shanghai) }
	wait := run.Run{ID: "B", NotBefore: at(saturday, 12, 0), Note: "moneyflow of 2026-03-06 was not published or not complete."}
	slotAt := slot.Slot{Date: saturday + 2, DueAt: at(saturday+2, 19, 30)}
	for name, c := range map[string]struct {
		st    dispatch.PoolStatus
		fires bool
		said  string
		at    time.Time
	}{
		"a follow-up": {dispatch.PoolStatus{Queued: []run.Run{{ID: "C", NotBefore: at(saturday, 14, 0)}, wait}}, true,
			"Run B fetches again at 2026-03-07 12:00:00 +08:00 (Shanghai). moneyflow of 2026-03-06 was not published or not complete.", at(saturday, 12, 0)},
		"a run whose turn it is": {dispatch.PoolStatus{Queued: []run.Run{wait, {ID: "A"}}}, true, "Run A is in the queue and starts next.", time.Time{}},
		"the slot":               {dispatch.PoolStatus{}, true, "The slot of 2026-03-09 runs at 2026-03-09 19:30:00 +08:00 (Shanghai).", slotAt.DueAt},
		"a paused pool":          {dispatch.PoolStatus{Paused: true, Queued: []run.Run{wait}}, true, "", time.Time{}},
		"nothing":                {dispatch.PoolStatus{}, false, "", time.Time{}},
	} {
		if said, when := nextAsk(c.st, slotAt, c.fires, at(saturday, 11, 0)); said != c.said || !when.Equal(c.at) {
			t.Errorf("%s: %q at %v", name, said, when)
		}
	}
}

// TestSendThatFailsEndsTheSource: a caller that has gone is noticed at the next message or
// keep-alive, and all work for it ends.
func TestSendThatFailsEndsTheSource(t *testing.T) {
	for _, name := range []string{"WatchRun", "RunPreflight"} {
		for _, failAt := range []int{2, 3} { // an event, a keep-alive
			synctest.Test(t, func(t *testing.T) {
				source := &slow{}
				got, err := streams(t, source, make(chan struct{}), failAt)[name]()
				if !errors.Is(err, errGone) || len(got) != failAt || !source.ended {
					t.Errorf("%s ended with %v after %v; the source has ended: %v", name, err, got, source.ended)
				}
			})
		}
	}
}
