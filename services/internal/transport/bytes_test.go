package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/logging"
)

// rowServer answers ReadRows as a test says.
type rowServer struct {
	ingestv1.UnimplementedDataServiceServer
	rows func(grpc.ServerStreamingServer[ingestv1.ReadRowsResponse]) error
}

func (s rowServer) ReadRows(_ *ingestv1.ReadRowsRequest, ss grpc.ServerStreamingServer[ingestv1.ReadRowsResponse]) error {
	return s.rows(ss)
}

func serveRows(t *testing.T, rows func(grpc.ServerStreamingServer[ingestv1.ReadRowsResponse]) error) ingestv1.DataServiceClient {
	t.Helper()
	lis, err := Listen(logging.Discard(), "test", "grpc", "grpc_addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ServerConfig{Logger: logging.Discard(), Listener: lis, StopTimeout: time.Second})
	ingestv1.RegisterDataServiceServer(s, rowServer{rows: rows})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := Dial(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(conn.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return ingestv1.NewDataServiceClient(conn)
}

// Bytes come as they were sent, through a server that passes them on; what has other
// fields is read as the message it is, and the sender's memory is given back once.
func TestBytesArePassedOn(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	var sent [][]byte
	for _, n := range []int{1, 100, 20_000, 127, 128, 3 << 20, 1 << 14, 0, 960 << 10} {
		data := make([]byte, n)
		_, _ = rng.Read(data) // it never fails
		sent = append(sent, data)
	}
	var mu sync.Mutex
	given := map[int]int{}
	source := serveRows(t, func(ss grpc.ServerStreamingServer[ingestv1.ReadRowsResponse]) error {
		for i, data := range sent {
			copied := slices.Clone(data)
			err := ss.SendMsg(NewBytes(copied, func() {
				clear(copied) // gRPC may not read it any more
				mu.Lock()
				given[i]++
				mu.Unlock()
			}))
			if err != nil {
				return err
			}
		}
		if err := ss.Send(&ingestv1.ReadRowsResponse{Data: []byte("all of it"), Summary: &marketv1.RowsSummary{Version: "v"}}); err != nil {
			return err
		}
		return ss.Send(&ingestv1.ReadRowsResponse{RowCount: 7})
	})
	middle := serveRows(t, func(ss grpc.ServerStreamingServer[ingestv1.ReadRowsResponse]) error {
		in, err := source.ReadRows(ss.Context(), &ingestv1.ReadRowsRequest{})
		for err == nil {
			var m Bytes
			if err = in.RecvMsg(&m); err == nil {
				err = ss.SendMsg(&m)
				m.Free()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
	stream, err := middle.ReadRows(t.Context(), &ingestv1.ReadRowsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range sent {
		var m Bytes
		if err := stream.RecvMsg(&m); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for data := range m.Chunks() {
			got = append(got, data...)
		}
		if !m.Only() || !bytes.Equal(got, want) {
			t.Errorf("message %d: %d bytes, want %d; nothing else: %v", i, len(got), len(want), m.Only())
		}
		m.Free()
	}
	var m Bytes
	var whole ingestv1.ReadRowsResponse
	if err := errors.Join(stream.RecvMsg(&m), m.Decode(&whole)); err != nil || m.Only() || string(whole.GetData()) != "all of it" || whole.GetSummary().GetVersion() != "v" {
		t.Errorf("a message with a summary: %v, only bytes: %v, %v", &whole, m.Only(), err)
	}
	m.Free()
	if last, err := stream.Recv(); err != nil || last.GetRowCount() != 7 {
		t.Errorf("the last message, read as usual: %v, %v", last, err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last message: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, n := range given {
		if n != 1 {
			t.Errorf("the memory of message %d was given back %d times", i, n)
		}
	}
	if len(given) == 0 {
		t.Error("no memory was given back")
	}
}
