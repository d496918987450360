package api

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// sent is what a stream was given, with the moment.
type sent struct {
	grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]
	ctx   context.Context
	began time.Time
	at    []time.Duration
	seq   []int64 // 0 for a keep-alive
}

func (s *sent) Context() context.Context { return s.ctx }

func (s *sent) Send(m *orchestratorv1.WatchRunResponse) error {
	s.at, s.seq = append(s.at, time.Since(s.began)), append(s.seq, m.GetEvent().GetSequence())
	return nil
}

func TestSilenceIsBrokenEveryFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := make(chan struct{})
		s := &runService{base: &base{Config: Config{KeepAlive: 15 * time.Second, Stopping: stopping}}}
		out := &sent{ctx: t.Context(), began: time.Now()}
		events, ended := make(chan run.Event), make(chan error, 1)
		go func() {
			for i, pause := range []time.Duration{10 * time.Second, 10 * time.Second, 40 * time.Second} {
				time.Sleep(pause) // the bubble's clock
				events <- run.Event{RunID: "r", Sequence: int64(i + 1)}
			}
			time.Sleep(time.Second)
			close(stopping)
		}()
		err := s.relay(out, &orchestratorv1.WatchRunRequest{RunId: "r"}, events, ended)
		faulttest.Produces(t, err, fault.Interrupted)
		want := []struct {
			at  time.Duration
			seq int64
		}{{10 * time.Second, 1}, {20 * time.Second, 2}, {35 * time.Second, 0}, {50 * time.Second, 0}, {60 * time.Second, 3}}
		if len(out.at) != len(want) {
			t.Fatalf("sent %v at %v", out.seq, out.at)
		}
		for i, w := range want {
			if out.at[i] != w.at || out.seq[i] != w.seq {
				t.Errorf("message %d is %d after %v, want %d after %v", i, out.seq[i], out.at[i], w.seq, w.at)
			}
		}
	})
}
