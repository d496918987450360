package api

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/gate"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// script is a provider that continues to its next step on request.
type script struct{ next chan struct{} }

func (s script) Fetch(_ context.Context, _ ingest.Query, progress func(ingest.Progress)) (ingest.Answer, error) {
	<-s.next
	progress(ingest.Progress{WaitAPI: "trade_cal", WaitUntil: time.Now().Add(time.Hour)})
	<-s.next
	progress(ingest.Progress{})
	<-s.next
	return ingest.Answer{}, fault.New(fault.ProviderUnavailable, "The provider does not answer.")
}

// Readers yield while a partition is in progress, but not while it waits for the limit of
// the provider, and at the latest until the run's pool is published.
func TestReadersYieldToPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, provider, g := t.TempDir(), script{make(chan struct{})}, gate.New()
		sink := universe.New(universe.Config{Path: filepath.Join(dir, "analysis.duckdb"), Source: "test"})
		defer sink.Close()
		store := publish.New(publish.Config{Pool: market.Universe, Dir: filepath.Join(dir, "published"), Mark: filepath.Join(dir, "mark"), Source: sink, Host: "test"})
		defer store.Close()
		lis := bufconn.Listen(1 << 16)
		server := transport.NewServer(transport.ServerConfig{Logger: logging.Discard(), Listener: lis})
		ingestv1.RegisterIngestServiceServer(server, New(Config{
			Ingester: ingest.New(ingest.Config{Provider: provider, Sinks: map[market.Pool]ingest.Sink{market.Universe: sink}}), Gate: g,
		}))
		ingestv1.RegisterDataServiceServer(server, NewData(map[market.Pool]*publish.Store{market.Universe: store}, nil, g))
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- server.Run(ctx) }()
		defer func() {
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
		conn, err := grpc.NewClient("passthrough:///worker", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		stream, err := ingestv1.NewIngestServiceClient(conn).IngestPartition(t.Context(), &ingestv1.IngestPartitionRequest{
			RunId: "run-1", Pool: marketv1.Pool_POOL_UNIVERSE, Epoch: 1, Partition: &ingestv1.PartitionSpec{PartitionId: "trade_cal", DatasetId: "trade_cal"},
		})
		if err != nil {
			t.Fatal(err)
		}
		yields := func(what string, want bool) {
			t.Helper()
			synctest.Wait()
			time.Sleep(time.Second)
			if got := g.Yields(); got != want {
				t.Errorf("%s: readers yield is %v", what, got)
			}
		}
		yields("the provider answers", true)
		provider.next <- struct{}{}
		yields("the limit is waited for", false)
		provider.next <- struct{}{}
		yields("the provider answers again", true)
		provider.next <- struct{}{}
		for err == nil {
			_, err = stream.Recv()
		}
		if !fault.Is(transport.FromStatus(t.Context(), "", err), fault.ProviderUnavailable) {
			t.Errorf("the partition ended with %v", err)
		}
		if !g.Yields() {
			t.Error("readers do not yield between two calls of a run")
		}
		if _, err := ingestv1.NewDataServiceClient(conn).PublishPool(t.Context(), &ingestv1.PublishPoolRequest{Pool: marketv1.Pool_POOL_UNIVERSE, RunId: "run-1"}); err != nil {
			t.Error(err)
		}
		if g.Yields() {
			t.Error("readers yield after the pool was published")
		}
	})
}
