package transport

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
)

const (
	listModules = "/afterbell.ingest.v1.IngestService/ListModules"
	ingest      = "/afterbell.ingest.v1.IngestService/IngestPartition"
)

// open opens a call and sends no message.
func open(ctx context.Context, t *testing.T, conn *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	t.Cleanup(cancel)
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dialed(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A caller is refused before its request is read, whatever its size. The request of another caller is
// waited for only for a limited time.
func TestRefusedBeforeTheRequestIsRead(t *testing.T) {
	out := &buffer{}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := serve(t, ServerConfig{Logger: log, ReceiveTimeout: 50 * time.Millisecond, Authorize: func(ctx context.Context, _ string) (context.Context, error) {
		if _, ok := Bearer(ctx); !ok {
			return nil, fault.New(fault.Unauthenticated, "No.")
		}
		return ctx, nil
	}}, &scripted{})
	conn := dialed(t, s.Addr())
	known := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x")
	for _, method := range []string{listModules, ingest, healthCheck, "/no.such/Method"} {
		err := open(t.Context(), t, conn, method).RecvMsg(&ingestv1.ListModulesResponse{})
		faulttest.Produces(t, err, fault.Unauthenticated)
		if method == "/no.such/Method" {
			continue // the method does not exist
		}
		err = open(known, t, conn, method).RecvMsg(&ingestv1.ListModulesResponse{})
		faulttest.Produces(t, err, fault.InvalidArgument)
		if err == nil || !strings.Contains(err.Error(), "did not arrive") {
			t.Errorf("%s: %v", method, err)
		}
	}
	if strings.Contains(out.String(), "level=ERROR") {
		t.Errorf("what callers do is logged as an error: %s", out)
	}
}

// Metadata is read before anybody knows who calls, so there is little of it.
func TestMetadataIsBounded(t *testing.T) {
	s := serve(t, ServerConfig{Logger: slog.New(slog.DiscardHandler)}, &scripted{list: func(context.Context) error { return nil }})
	client := ingestv1.NewIngestServiceClient(dialed(t, s.Addr()))
	for size, accepted := range map[int]bool{maxHeader / 2: true, maxHeader: false, 8 << 20: false} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-long", strings.Repeat("x", size))
		if _, err := client.ListModules(ctx, &ingestv1.ListModulesRequest{}); (err == nil) != accepted {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// Health checks are answered to everybody, so each address has its share of them.
func TestHealthChecksAreBounded(t *testing.T) {
	s := serve(t, ServerConfig{Logger: slog.New(slog.DiscardHandler)}, &scripted{list: func(context.Context) error { return nil }})
	conn := dialed(t, s.Addr())
	answers := make(chan error)
	n := ownLimits.StreamsPerCaller + 1
	for range n {
		stream := open(t.Context(), t, conn, healthCheck)
		go func() { answers <- stream.RecvMsg(&ingestv1.ListModulesResponse{}) }()
	}
	faulttest.Produces(t, <-answers, fault.TooManyCalls) // the others wait
	if _, err := ingestv1.NewIngestServiceClient(conn).ListModules(t.Context(), &ingestv1.ListModulesRequest{}); err != nil {
		t.Errorf("another call: %v", err)
	}
	_ = conn.Close()
	for range n - 1 {
		if err := <-answers; err == nil {
			t.Error("an answer to nothing")
		}
	}
}

// A call that takes too long is aborted; a stream is not.
func TestCallsHaveADeadline(t *testing.T) {
	lasted := make(chan bool, 1)
	var early atomic.Bool // another service may report the deadline slightly earlier
	s := serve(t, ServerConfig{Logger: slog.New(slog.DiscardHandler), CallTimeout: time.Second}, &scripted{
		list: func(ctx context.Context) error {
			if deadline, _ := ctx.Deadline(); early.Load() {
				ctx, cancel := context.WithDeadline(ctx, deadline.Add(-20*time.Millisecond))
				defer cancel()
				<-ctx.Done()
				return fault.Wrap(ctx.Err(), fault.WorkerUnreachable, "The ingest-worker did not respond in time.", "address", "a")
			}
			<-ctx.Done()
			return ctx.Err()
		},
		ingest: func(ss grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error {
			_, limited := ss.Context().Deadline()
			lasted <- !limited
			return nil
		},
	})
	conn := dialed(t, s.Addr())
	client := ingestv1.NewIngestServiceClient(conn)
	_, err := client.ListModules(t.Context(), &ingestv1.ListModulesRequest{})
	faulttest.Produces(t, err, fault.CallTimeout)
	if f, _ := fault.As(err); f == nil || f.Meta["seconds"] != "1" || status.Code(f.Unwrap()) != codes.DeadlineExceeded {
		t.Errorf("%+v", f)
	}
	early.Store(true)
	_, err = client.ListModules(t.Context(), &ingestv1.ListModulesRequest{})
	faulttest.Produces(t, err, fault.CallTimeout)
	early.Store(false)
	stream, err := client.IngestPartition(t.Context(), &ingestv1.IngestPartitionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || !<-lasted {
		t.Errorf("a stream has a deadline, %v", err)
	}
	// The caller's own deadline is no fault of the server's.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := client.ListModules(ctx, &ingestv1.ListModulesRequest{}); fault.Is(err, fault.CallTimeout) {
		t.Errorf("the caller's deadline: %v", err)
	}
}

// Connections beyond the limit are closed at once, and those that end make room.
func TestConnectionsAreBounded(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := &buffer{}
	bounded := bound(lis, 2, slog.New(slog.NewTextHandler(out, nil)))
	defer bounded.Close()
	served := make(chan net.Conn)
	go func() {
		for {
			conn, err := bounded.Accept()
			if err != nil {
				close(served)
				return
			}
			served <- conn
		}
	}()
	connect := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	connect()
	first := <-served
	connect()
	second := <-served
	for range 2 {
		if n, err := connect().Read(make([]byte, 1)); err == nil {
			t.Errorf("one connection too many reads %d bytes", n)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_ = first.Close() // counted once
	connect()
	third := <-served
	if n, err := connect().Read(make([]byte, 1)); err == nil {
		t.Errorf("one connection too many reads %d bytes", n)
	}
	_, _ = second.Close(), third.Close()
	if n := strings.Count(out.String(), "connections are open"); n != 1 {
		t.Errorf("reported %d times: %s", n, out)
	}
	_ = bounded.Close()
	if conn, open := <-served; open {
		t.Errorf("served %v after the end", conn.RemoteAddr())
	}
}
