package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/logging"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a worker whose answers a test writes.
type scripted struct {
	ingestv1.UnimplementedIngestServiceServer
	list   func(context.Context) error
	ingest func(grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error
}

func (s *scripted) ListModules(ctx context.Context, _ *ingestv1.ListModulesRequest) (*ingestv1.ListModulesResponse, error) {
	return &ingestv1.ListModulesResponse{}, s.list(ctx)
}

func (s *scripted) ListCoverage(context.Context, *ingestv1.ListCoverageRequest) (*ingestv1.ListCoverageResponse, error) {
	return &ingestv1.ListCoverageResponse{}, nil
}

func (s *scripted) IngestPartition(_ *ingestv1.IngestPartitionRequest, ss grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error {
	return s.ingest(ss)
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type pair struct {
	client ingestv1.IngestServiceClient
	conn   *grpc.ClientConn
	addr   string
	log    *buffer
	stop   func() error
}

func start(t *testing.T, impl *scripted, timeout time.Duration) *pair {
	t.Helper()
	out := &buffer{}
	log, err := logging.New(out, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	lis, err := Listen(log, "test", "grpc", "grpc_addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ServerConfig{Logger: log, Listener: lis, MaxRequest: 1 << 20, StopTimeout: timeout})
	ingestv1.RegisterIngestServiceServer(s, impl)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := Dial(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := errors.Join(conn.Close(), stop()); err != nil {
			t.Error(err)
		}
	})
	return &pair{ingestv1.NewIngestServiceClient(conn), conn, s.Addr(), out, stop}
}

func TestEveryReasonCrossesTheWire(t *testing.T) {
	var answer error
	p := start(t, &scripted{list: func(context.Context) error { return answer }}, time.Second)
	for _, r := range fault.Reasons() {
		d, _ := fault.Describe(r)
		sent := fault.New(r, "What happened.", "domain", "stock", "field", "x")
		answer = fault.Wrap(sent, r, "What happened.", "domain", "stock", "field", "x")
		_, err := p.client.ListModules(t.Context(), &ingestv1.ListModulesRequest{})
		got, ok := fault.As(err)
		if !ok {
			t.Fatalf("%s came back as %v", r, err)
		}
		if got.Reason != r || got.Message != sent.Message || !cmp.Equal(got.Meta, sent.Meta) {
			t.Errorf("%s came back as %+v", r, got)
		}
		if code := status.Code(errors.Unwrap(got)); code != codes.Code(d.Status) {
			t.Errorf("%s has code %s, want %s", r, code, codes.Code(d.Status))
		}
	}
}

func TestFieldsAndWaitCrossTheWire(t *testing.T) {
	sent := fault.Invalid("start_date", "is after end_date")
	sent.Fields = append(sent.Fields, fault.Violation{Field: "pools[0]", Problem: "no \xff such"})
	sent.RetryAt = time.Now().Add(time.Minute)
	p := start(t, &scripted{list: func(context.Context) error { return sent }}, time.Second)
	_, err := p.client.ListModules(t.Context(), &ingestv1.ListModulesRequest{})
	got, _ := fault.As(err)
	faulttest.Produces(t, err, fault.InvalidArgument)
	want := []fault.Violation{{Field: "start_date", Problem: "is after end_date"}, {Field: "pools[0]", Problem: "no \uFFFD such"}}
	if got == nil || !cmp.Equal(got.Fields, want) {
		t.Fatalf("got %+v", got)
	}
	if wait := time.Until(got.RetryAt); wait < 50*time.Second || wait > time.Minute {
		t.Errorf("wait = %v", wait)
	}
}

func TestPlainErrorTellsNothingAndIsLoggedOnce(t *testing.T) {
	p := start(t, &scripted{list: func(context.Context) error { return errors.New("row 7 of secret.db") }}, time.Second)
	_, err := p.client.ListModules(t.Context(), &ingestv1.ListModulesRequest{})
	faulttest.Produces(t, err, fault.Internal)
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the caller reads %q", err)
	}
	if n := strings.Count(p.log.String(), "secret.db"); n != 1 {
		t.Errorf("logged %d times: %s", n, p.log)
	}
}

func TestPanicIsInternalAndItsStackLogged(t *testing.T) {
	p := start(t, &scripted{
		list:   func(context.Context) error { panic("boom in unary") },
		ingest: func(grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error { panic("boom in stream") },
	}, time.Second)
	_, err := p.client.ListModules(t.Context(), &ingestv1.ListModulesRequest{})
	faulttest.Produces(t, err, fault.Internal)
	stream, err := p.client.IngestPartition(t.Context(), &ingestv1.IngestPartitionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	faulttest.Produces(t, err, fault.Internal)
	if strings.Contains(err.Error(), "boom") {
		t.Errorf("the caller reads %q", err)
	}
	for _, want := range []string{"boom in unary", "boom in stream", "transport_test.go"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

// raw sends bytes as they are.
type raw struct{}

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (raw) Unmarshal(mem.BufferSlice, any) error { return nil }
func (raw) Name() string                         { return "proto" }

func TestRequestsThatCannotBeRead(t *testing.T) {
	p := start(t, &scripted{}, time.Second)
	for name, c := range map[string]struct {
		body  []byte
		field string
	}{
		"cut short":          {[]byte{0x12, 0x7f, 'a'}, "request"},
		"text not UTF-8":     {[]byte{0x12, 1, 'a', 0x12, 2, 'b', 0xff}, "module_ids[1]"},
		"forged mark":        {[]byte{0xfa, 0xff, 0xff, 0xff, 0x0f, 3, 'x', 0, 'y'}, "x"},
		"10 MB":              {append([]byte{0x1a, 0x80, 0x80, 0x80, 0x05}, bytes.Repeat([]byte("x"), 10<<20)...), "request"},
		"beyond what's read": {append([]byte{0x1a, 0x80, 0x80, 0x80, 0x0a}, bytes.Repeat([]byte("x"), 20<<20)...), "request"},
	} {
		err := p.conn.Invoke(t.Context(), ingestv1.IngestService_ListCoverage_FullMethodName, c.body, new([]byte), grpc.ForceCodecV2(raw{}))
		faulttest.Produces(t, err, fault.InvalidArgument)
		if f, ok := fault.As(err); !ok || f.Meta["field"] != c.field {
			t.Errorf("%s: %v, want field %s", name, err, c.field)
		}
	}
	if strings.Contains(p.log.String(), "xxxx") {
		t.Error("a body was logged")
	}
}

// A compressed request is read, and its decompressed size is limited.
func TestCompressedRequests(t *testing.T) {
	p := start(t, &scripted{}, time.Second)
	client := ingestv1.NewIngestServiceClient(p.conn)
	if _, err := client.ListCoverage(t.Context(), &ingestv1.ListCoverageRequest{StartDate: "2026-03-02"}, grpc.UseCompressor("gzip")); err != nil {
		t.Error(err)
	}
	_, err := client.ListCoverage(t.Context(), &ingestv1.ListCoverageRequest{StartDate: strings.Repeat("x", 20<<20)}, grpc.UseCompressor("gzip"))
	faulttest.Produces(t, err, fault.InvalidArgument)
}

func TestNestedTextIsNamed(t *testing.T) {
	// IngestPartitionRequest.partition.symbols[0]
	body := []byte{0x1a, 3, 0x32, 1, 0xfe}
	if got := badText((&ingestv1.IngestPartitionRequest{}).ProtoReflect().Descriptor(), body); got != "partition.symbols[0]" {
		t.Errorf("badText = %q", got)
	}
}

func TestStreamErrorIsRebuilt(t *testing.T) {
	p := start(t, &scripted{ingest: func(ss grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error {
		if err := ss.Send(&ingestv1.IngestPartitionResponse{}); err != nil {
			return err
		}
		return fault.New(fault.StaleEpoch, "A newer dispatch exists.", "epoch", "1", "newest_epoch", "2")
	}}, time.Second)
	stream, err := p.client.IngestPartition(t.Context(), &ingestv1.IngestPartitionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	if f, ok := fault.As(err); !ok || f.Reason != fault.StaleEpoch || f.Meta["newest_epoch"] != "2" {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestStopCutsOffAStreamThatHangs(t *testing.T) {
	began := make(chan struct{})
	p := start(t, &scripted{ingest: func(ss grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error {
		close(began)
		<-ss.Context().Done()
		return ss.Context().Err()
	}}, 50*time.Millisecond)
	stream, err := p.client.IngestPartition(t.Context(), &ingestv1.IngestPartitionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-began
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	faulttest.Produces(t, err, fault.WorkerUnreachable)
	if !strings.Contains(p.log.String(), "open calls were aborted") {
		t.Error("the log does not say that calls were disconnected")
	}
}

func TestCallerThatLeft(t *testing.T) {
	arrived := make(chan struct{}, 2)
	p := start(t, &scripted{list: func(ctx context.Context) error { arrived <- struct{}{}; <-ctx.Done(); return ctx.Err() }}, time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := p.client.ListModules(ctx, &ingestv1.ListModulesRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled call = %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := p.client.ListModules(ctx, &ingestv1.ListModulesRequest{})
	faulttest.Produces(t, err, fault.WorkerUnreachable)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late call = %v", err)
	}
}

func TestPeerThatIsAway(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	lis, err := Listen(log, "test", "grpc", "grpc_addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = ingestv1.NewIngestServiceClient(conn).ListModules(t.Context(), &ingestv1.ListModulesRequest{})
	faulttest.Produces(t, err, fault.WorkerUnreachable)
	if f, _ := fault.As(err); f == nil || f.Meta["address"] != addr {
		t.Errorf("got %+v, want the address", f)
	}
}

func TestHealthAndReflection(t *testing.T) {
	p := start(t, &scripted{}, time.Second)
	health := healthgrpc.NewHealthClient(p.conn)
	for _, service := range []string{"", "afterbell.ingest.v1.IngestService"} {
		got, err := health.Check(t.Context(), &healthgrpc.HealthCheckRequest{Service: service})
		if err != nil || got.GetStatus() != healthgrpc.HealthCheckResponse_SERVING {
			t.Errorf("health of %q = %v, %v", service, got, err)
		}
	}
}

func TestMethodThatIsNotServed(t *testing.T) {
	p := start(t, &scripted{}, time.Second)
	for _, method := range []string{"/afterbell.ingest.v1.IngestService/Nothing", "/nobody.v1.Nothing/Nothing"} {
		err := p.conn.Invoke(t.Context(), method, []byte{}, new([]byte), grpc.ForceCodecV2(raw{}))
		faulttest.Produces(t, err, fault.NotFound)
		if f, _ := fault.As(err); f.Meta["id"] != method || status.Code(f.Unwrap()) != codes.Unimplemented {
			t.Errorf("%s: %v, %v", method, f.Meta, f.Unwrap())
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:80", "example.org:80", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", ""} {
		lis, err := Listen(log, "test", "grpc", "grpc_addr", addr)
		if err == nil {
			lis.Close()
			t.Errorf("%q is listened on", addr)
			continue
		}
		faulttest.Produces(t, err, fault.InvalidArgument)
		if _, err := Dial(addr); err == nil {
			t.Errorf("%q is dialled", addr)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "127.1.2.3:7700", "[::1]:7700"} {
		if err := CheckLoopback("grpc_addr", addr); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := CheckLoopback("grpc_addr", "0.0.0.0:7700"); !strings.Contains(err.Error(), "authentication is not configured") {
		t.Errorf("the reason is not reported: %v", err)
	}
}

func TestListenTwiceSaysWhy(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	lis, err := Listen(log, "orchestrator", "grpc", "grpc_addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if want := `"msg":"listening","service":"orchestrator","protocol":"grpc","addr":"` + lis.Addr().String() + `"`; !strings.Contains(out.String(), want) {
		t.Errorf("log = %s, want %s", out.String(), want)
	}
	_, err = Listen(log, "orchestrator", "grpc", "grpc_addr", lis.Addr().String())
	faulttest.Produces(t, err, fault.InvalidArgument)
	if want := lis.Addr().String() + " is already in use"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
