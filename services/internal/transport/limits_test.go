package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/logging"
)

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(LimitConfig{Streams: 3, StreamsPerCaller: 2, Calls: 1, Rate: 10})
		enter := func(caller string, stream bool) func() {
			t.Helper()
			done, err := l.Enter(caller, stream)
			if err != nil {
				t.Fatal(err)
			}
			return done
		}
		refused := func(caller string, stream bool, limit string) {
			t.Helper()
			_, err := l.Enter(caller, stream)
			faulttest.Produces(t, err, fault.TooManyCalls)
			if f, ok := fault.As(err); ok && f.Meta["limit"] != limit {
				t.Errorf("refused by %s, not %s", f.Meta["limit"], limit)
			}
		}
		first := enter("a", true)
		enter("a", true)
		refused("a", true, "streams_per_caller")
		enter("b", true)
		refused("b", true, "streams")
		first()
		first() // counted once
		enter("b", true)
		refused("c", true, "streams")
		call := enter("a", false)
		refused("b", false, "calls")
		call()
		enter("b", false)()
		for range 40 {
			if _, err := l.Enter("d", true); err != nil {
				faulttest.Produces(t, err, fault.TooManyCalls)
			}
		}
		refused("d", false, "rate")
		time.Sleep(time.Second)
		enter("d", false)()
	})
	if _, err := (*Limits)(nil).Enter("a", true); err != nil {
		t.Error(err)
	}
	free := NewLimits(LimitConfig{})
	for range 5000 {
		if _, err := free.Enter("a", true); err != nil {
			t.Fatal(err)
		}
	}
}

// A caller over a limit is refused at once; it does not wait for a stream to end.
func TestStreamOverTheLimitIsRefusedAtOnce(t *testing.T) {
	if _, err := net.LookupPort("tcp", "http"); err != nil { // what the resolver makes once must not be of the bubble
		t.Log(err)
	}
	synctest.Test(t, func(t *testing.T) {
		lis := bufconn.Listen(1 << 20)
		server := NewServer(ServerConfig{Logger: logging.Discard(), Listener: lis, Limits: NewLimits(LimitConfig{StreamsPerCaller: 1})})
		ingestv1.RegisterIngestServiceServer(server, &scripted{ingest: func(ss grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error {
			if err := ss.Send(&ingestv1.IngestPartitionResponse{}); err != nil {
				return err
			}
			<-ss.Context().Done()
			return ss.Context().Err()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		// A client that pings an idle connection every ten seconds is not disconnected.
		conn, err := Dial("127.0.0.1:7701", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}))
		if err != nil {
			t.Fatal(err)
		}
		client := ingestv1.NewIngestServiceClient(conn)
		open := func() (ingestv1.IngestService_IngestPartitionClient, error) {
			stream, err := client.IngestPartition(ctx, &ingestv1.IngestPartitionRequest{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			return stream, err
		}
		first, err := open()
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_, err = open()
		faulttest.Produces(t, err, fault.TooManyCalls)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the refusal took %s", took)
		}
		quiet := make(chan error, 1)
		go func() { _, err := first.Recv(); quiet <- err }()
		time.Sleep(10 * time.Minute)
		select {
		case err := <-quiet:
			t.Errorf("the quiet stream ended: %v", err)
		default:
		}
		cancel()
		if err := <-quiet; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
		if err := errors.Join(conn.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
}
