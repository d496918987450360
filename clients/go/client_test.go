package afterbell

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// orchestrator is a server that answers what a test says.
type orchestrator struct {
	orchestratorv1.UnimplementedRunServiceServer
	orchestratorv1.UnimplementedPoolServiceServer
	orchestratorv1.UnimplementedScheduleServiceServer
	orchestratorv1.UnimplementedModuleServiceServer

	mu       sync.Mutex
	watches  []int64 // after_sequence of each WatchRun
	watch    func(n int, send func(sequence int64, finished bool)) error
	coverage func() ([]*marketv1.Coverage, error)
	pool     *orchestratorv1.PoolStatus
}

func (o *orchestrator) WatchRun(req *orchestratorv1.WatchRunRequest, s grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]) error {
	o.mu.Lock()
	o.watches = append(o.watches, req.GetAfterSequence())
	n := len(o.watches)
	o.mu.Unlock()
	return o.watch(n, func(sequence int64, finished bool) {
		e := &orchestratorv1.RunEvent{RunId: req.GetRunId(), Sequence: sequence}
		if finished {
			e.Event = &orchestratorv1.RunEvent_Finished{Finished: &orchestratorv1.Run{RunId: req.GetRunId()}}
		}
		_ = s.Send(&orchestratorv1.WatchRunResponse{Event: e}) // a client that is gone is the test's wish
	})
}

func (o *orchestrator) ListCoverage(context.Context, *orchestratorv1.ListCoverageRequest) (*orchestratorv1.ListCoverageResponse, error) {
	c, err := o.coverage()
	return &orchestratorv1.ListCoverageResponse{Coverages: c}, err
}

func (o *orchestrator) GetPool(context.Context, *orchestratorv1.GetPoolRequest) (*orchestratorv1.GetPoolResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return &orchestratorv1.GetPoolResponse{Pool: o.pool}, nil
}

func (o *orchestrator) ListDomains(context.Context, *orchestratorv1.ListDomainsRequest) (*orchestratorv1.ListDomainsResponse, error) {
	return &orchestratorv1.ListDomainsResponse{Domains: domains()}, nil
}

func (o *orchestrator) GetReadiness(context.Context, *orchestratorv1.GetReadinessRequest) (*orchestratorv1.GetReadinessResponse, error) {
	return &orchestratorv1.GetReadinessResponse{}, nil
}

func (o *orchestrator) GetSchedule(context.Context, *orchestratorv1.GetScheduleRequest) (*orchestratorv1.GetScheduleResponse, error) {
	return &orchestratorv1.GetScheduleResponse{Schedule: &orchestratorv1.Schedule{Enabled: true, RunAt: "19:30", TimeZone: "Asia/Shanghai"}}, nil
}

func (o *orchestrator) ListSlots(context.Context, *orchestratorv1.ListSlotsRequest) (*orchestratorv1.ListSlotsResponse, error) {
	return &orchestratorv1.ListSlotsResponse{}, nil
}

// dial serves o in memory and gives a client of it.
func dial(t *testing.T, o *orchestrator) *Client {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer()
	orchestratorv1.RegisterRunServiceServer(s, o)
	orchestratorv1.RegisterPoolServiceServer(s, o)
	orchestratorv1.RegisterScheduleServiceServer(s, o)
	orchestratorv1.RegisterModuleServiceServer(s, o)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := Dial("orchestrator:1", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		<-served
	})
	return c
}

// refused is the status that carries a reason.
func refused(code codes.Code, reason, message string, more ...any) error {
	s := status.New(code, message)
	s, err := s.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "afterbell", Metadata: map[string]string{"kind": "run"}})
	if err != nil {
		panic(err)
	}
	for _, m := range more {
		switch d := m.(type) {
		case *errdetails.BadRequest:
			s, err = s.WithDetails(d)
		case *errdetails.RetryInfo:
			s, err = s.WithDetails(d)
		case *errdetails.Help:
			s, err = s.WithDetails(d)
		}
		if err != nil {
			panic(err)
		}
	}
	return s.Err()
}

// A stream that is interrupted in any way resumes after the last event.
func TestEventsResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &orchestrator{}
		o.watch = func(n int, send func(int64, bool)) error {
			switch n {
			case 1:
				send(1, false)
				send(2, false)
				return status.Error(codes.Unavailable, "the connection broke")
			case 2:
				send(2, false) // seen before
				send(3, false)
				return refused(codes.Unavailable, "INTERRUPTED", "the orchestrator stops")
			case 3:
				return status.Error(codes.Unavailable, "not back yet")
			case 4:
				send(4, false)
				return nil // cut without an error
			}
			send(5, true)
			return nil
		}
		c := dial(t, o)
		var got []int64
		for e, err := range c.Events(t.Context(), "r", 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.GetSequence())
		}
		if want := []int64{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		if want := []int64{0, 2, 3, 3, 4}; !slices.Equal(o.watches, want) {
			t.Errorf("asked for after %v, want %v", o.watches, want)
		}
	})
}

func TestEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &orchestrator{}
		c := dial(t, o)
		collect := func(ctx context.Context, after int64) (n int, last error) {
			for _, err := range c.Events(ctx, "r", after) {
				if err != nil {
					last = err
					continue
				}
				n++
			}
			return n, last
		}
		o.watch = func(int, func(int64, bool)) error { return refused(codes.NotFound, "NOT_FOUND", "There is no run.") }
		if n, err := collect(t.Context(), 0); n != 0 || !errors.Is(err, ErrNotFound) {
			t.Errorf("a run that is not there: %d events, %v", n, err)
		}
		o.watch = func(int, func(int64, bool)) error { return nil }
		if n, err := collect(t.Context(), 7); n != 0 || err != nil {
			t.Errorf("after the last event: %d events, %v", n, err)
		}
		o.watch = func(int, func(int64, bool)) error { return status.Error(codes.Unavailable, "away") }
		if n, err := collect(t.Context(), 0); n != 0 || !errors.Is(err, ErrUnreachable) {
			t.Errorf("never reached: %d events, %v", n, err)
		}
		o.watch = func(n int, send func(int64, bool)) error {
			send(int64(n), false)
			return status.Error(codes.Unavailable, "away")
		}
		o.watches = nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := collect(ctx, 0); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUnreachable) {
			t.Errorf("the caller's time was over: %v", err)
		}
	})
}

// A stream that cannot be opened is opened again if the orchestrator answered a call
// before: it is restarting.
func TestEventsBeginDuringARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &orchestrator{pool: &orchestratorv1.PoolStatus{}}
		o.watch = func(n int, send func(int64, bool)) error {
			if n < 4 {
				return status.Error(codes.Unavailable, "not back yet")
			}
			send(1, true)
			return nil
		}
		c := dial(t, o)
		if _, err := c.Pools.GetPool(t.Context(), &orchestratorv1.GetPoolRequest{}); err != nil {
			t.Fatal(err)
		}
		finished := false
		for e, err := range c.Events(t.Context(), "r", 0) {
			if err != nil {
				t.Fatal(err)
			}
			finished = e.GetFinished() != nil
		}
		if !finished || len(o.watches) != 4 {
			t.Errorf("finished %t after %d streams", finished, len(o.watches))
		}
	})
}

func TestErrorsAreValues(t *testing.T) {
	o := &orchestrator{coverage: func() ([]*marketv1.Coverage, error) {
		return nil, refused(codes.InvalidArgument, "INVALID_ARGUMENT", "start_date: is wrong",
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "start_date", Description: "is wrong"}}},
			&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)},
			&errdetails.Help{Links: []*errdetails.Help_Link{{Description: "Write it right."}}})
	}}
	c := dial(t, o)
	_, err := c.Pools.ListCoverage(t.Context(), &orchestratorv1.ListCoverageRequest{})
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrInvalidArgument) || errors.Is(err, ErrNotFound) {
		t.Fatalf("%T: %v", err, err)
	}
	if e.ReasonName != "INVALID_ARGUMENT" || e.Reason != faultv1.Reason_REASON_INVALID_ARGUMENT || e.RetryAfter != 3*time.Second ||
		e.Remedy != "Write it right." || len(e.Fields) != 1 || e.Fields[0] != (FieldViolation{"start_date", "is wrong"}) || e.Metadata["kind"] != "run" {
		t.Errorf("%+v", e)
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("gRPC sees %s", status.Code(err))
	}
	if _, err := c.Runs.GetRun(t.Context(), &orchestratorv1.GetRunRequest{}); !errors.As(err, &e) || e.Code != codes.Unimplemented || e.Reason != 0 {
		t.Errorf("a call that is not served: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Pools.GetPool(gone, &orchestratorv1.GetPoolRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
	for _, addr := range []string{"nowhere", "host:", ":x:y"} {
		if _, err := Dial(addr); err == nil {
			t.Errorf("%q is taken as an address", addr)
		}
	}
}

// First the worker is unreachable, then the run is in progress, then everything is complete.
func TestWaitEvening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		const date = "1999-12-31" // synctest begins at 2000-01-01 00:00 UTC, a Saturday
		row := func(v marketv1.Verdict) []*marketv1.Coverage {
			return []*marketv1.Coverage{{DatasetId: "daily", ModuleId: "stock.market.daily", TradeDate: date, Verdict: v}}
		}
		o := &orchestrator{pool: &orchestratorv1.PoolStatus{}}
		o.coverage = func() ([]*marketv1.Coverage, error) {
			switch since := time.Since(begun); {
			case since < 10*time.Second:
				return nil, refused(codes.Unavailable, "WORKER_UNREACHABLE", "The worker is away.")
			case since < 10*time.Minute:
				return row(marketv1.Verdict_VERDICT_MISSING), nil
			}
			return row(marketv1.Verdict_VERDICT_COMPLETE), nil
		}
		c := dial(t, o)
		var seen []Verdict
		e, err := c.WaitEvening(t.Context(), EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE, Date: date}, func(e *Evening) {
			if len(seen) == 0 || seen[len(seen)-1] != e.Verdict {
				seen = append(seen, e.Verdict)
			}
		})
		if err != nil || e.Verdict != Whole || !slices.Equal(seen, []Verdict{NotWhole, Whole}) {
			t.Errorf("%v, %v, seen %v", e, err, seen)
		}
		if took := time.Since(begun); took > 11*time.Minute {
			t.Errorf("noticed after %s", took)
		}

		begun = time.Now().Add(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if e, err := c.WaitEvening(ctx, EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE, Date: date}, nil); e != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("away for the whole wait: %v, %v", e, err)
		}
		begun = time.Now().Add(-time.Minute)
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if e, err := c.WaitEvening(ctx, EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE, Date: date}, nil); e == nil || e.Verdict != NotWhole || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("not whole for the whole wait: %v, %v", e, err)
		}
		if _, err := c.Evening(t.Context(), EveningRequest{Date: date}); err == nil {
			t.Error("no pool is accepted")
		}
		if _, err := c.Evening(t.Context(), EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE, Date: "1999-02-30"}); err == nil {
			t.Error("a date that is none is accepted")
		}
	})
}
