package api

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/gate"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordingServer is a DataServer that records how each stream ended.
type recordingServer struct {
	*DataServer
	ended chan error
}

func (s recordingServer) ReadRows(r *ingestv1.ReadRowsRequest, stream ingestv1.DataService_ReadRowsServer) error {
	err := s.DataServer.ReadRows(r, stream)
	s.ended <- err
	return err
}

func (s recordingServer) ReadFile(r *ingestv1.ReadFileRequest, stream ingestv1.DataService_ReadFileServer) error {
	err := s.DataServer.ReadFile(r, stream)
	s.ended <- err
	return err
}

// A client that takes nothing more, and one that is gone, are noticed, and nothing is
// held for them: no goroutine, no query, no file of a version that was removed.
func TestClientsThatStallOrVanishHoldNothing(t *testing.T) {
	dir := t.TempDir()
	sink := universe.New(universe.Config{Path: filepath.Join(dir, "analysis.duckdb"), Source: "test"})
	defer sink.Close()
	stocks := sinktest.Stocks(5000)
	epoch := int64(0)
	commit := func(day market.Date) {
		t.Helper()
		epoch++
		if _, err := sink.Commit(t.Context(), sinktest.Commit(market.Universe, catalog.Daily, day, stocks, sinktest.Rows(catalog.Daily, day, stocks, 1), epoch)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range market.Date(24) { // more than one slice, and a file of more than gRPC keeps
		commit(sinktest.Day0 + i)
	}
	store := publish.New(publish.Config{
		Pool: market.Universe, Dir: filepath.Join(dir, "published"), Mark: filepath.Join(dir, "mark"), Source: sink, Host: "test", MinFree: 1, Idle: time.Nanosecond,
	})
	defer store.Close()
	publishNext := func() {
		t.Helper()
		if _, err := store.Publish(t.Context(), "run"); err != nil {
			t.Fatal(err)
		}
	}
	publishNext()
	stores := map[market.Pool]*publish.Store{market.Universe: store}
	service, err := reader.New(reader.Config{Stores: stores, Dir: filepath.Join(dir, "answers")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	defer serving.Wait()
	defer stop()
	// serve starts a server whose clients may take nothing for so long, and gives clients.
	serve := func(stall time.Duration) (ended chan error, dial func() (*grpc.ClientConn, ingestv1.DataServiceClient)) {
		t.Helper()
		server := recordingServer{NewData(stores, service, gate.New()), make(chan error, 100)}
		server.stall = stall
		lis := bufconn.Listen(1 << 16)
		grpcServer := transport.NewServer(transport.ServerConfig{Logger: logging.Discard(), Listener: lis})
		ingestv1.RegisterDataServiceServer(grpcServer, server)
		serving.Go(func() {
			if err := grpcServer.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		return server.ended, func() (*grpc.ClientConn, ingestv1.DataServiceClient) {
			t.Helper()
			conn, err := grpc.NewClient("passthrough:///worker", grpc.WithTransportCredentials(insecure.NewCredentials()),
				// A fixed window: a growing one may accept a whole response that is not read.
				grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<20),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
			if err != nil {
				t.Fatal(err)
			}
			return conn, ingestv1.NewDataServiceClient(conn)
		}
	}
	soon, dialHasty := serve(2 * time.Second)
	late, dial := serve(transport.StallTimeout)
	query := &marketv1.RowQuery{Table: catalog.TablePrices}
	conn, client := dial()
	defer conn.Close()
	file, err := client.PrepareFile(t.Context(), &ingestv1.PrepareFileRequest{Query: query})
	if err != nil {
		t.Fatal(err)
	}

	if file.GetByteCount() < 3<<20 {
		t.Fatalf("the file has %d bytes, which may all be on their way before anybody stalls", file.GetByteCount())
	}

	const each = 6 // more than may read ahead, and more than may query
	begin := func(client ingestv1.DataServiceClient) {
		t.Helper()
		for range each {
			rows, err := client.ReadRows(t.Context(), &ingestv1.ReadRowsRequest{Query: query})
			if err == nil {
				_, err = rows.Recv()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		bytes, err := client.ReadFile(t.Context(), &ingestv1.ReadFileRequest{FileId: file.GetFileId()})
		if err == nil {
			_, err = bytes.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stalled, its := dialHasty()
	begin(its) // and take nothing more
	for range each + 1 {
		if err := <-soon; !fault.Is(err, fault.Stalled) {
			t.Errorf("a client that takes nothing ended with %v", err)
		}
	}
	gone, its := dial()
	begin(its)
	gone.Close()
	for range each + 1 {
		if err := <-late; err == nil || fault.Is(err, fault.Stalled) {
			t.Errorf("a client that is gone ended with %v", err)
		}
	}
	stalled.Close()

	for i := range market.Date(2) { // the version that they read goes
		commit(sinktest.Day0 + 30 + i)
		publishNext()
	}
	store.Release()
	if held := openFiles(t, dir); len(held) > 0 {
		t.Errorf("held open: %v", held)
	}
	rows, err := client.ReadRows(t.Context(), &ingestv1.ReadRowsRequest{Query: query})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = rows.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the next read: %v", err)
	}
	if err := <-late; err != nil {
		t.Errorf("the next read ended with %v", err)
	}
}

// openFiles are the published files that this process has open.
func openFiles(t *testing.T, dir string) (held []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("this system does not tell which files are open: %v", err)
	}
	for _, e := range entries {
		path, err := os.Readlink("/proc/self/fd/" + e.Name()) // one may be closed meanwhile
		if err == nil && (strings.HasPrefix(path, filepath.Join(dir, "published")) || strings.HasPrefix(path, filepath.Join(dir, "answers"))) {
			held = append(held, path)
		}
	}
	return held
}
