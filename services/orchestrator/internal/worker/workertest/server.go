// Package workertest is an ingest-worker that a test controls, behind the real gRPC contract over
// bufconn, so that interceptors, deadlines and the conversion of errors are tested, too. It stores
// nothing.
package workertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

// Addr is the address under which clients know the worker.
const Addr = "127.0.0.1:7701"

// Beat sends a heartbeat.
type Beat func(*ingestv1.IngestPartitionResponse_Heartbeat)

// Server is the scripted worker. Set its functions before use, or under Script
// while it is in use.
type Server struct {
	ingestv1.UnimplementedIngestServiceServer

	mu     sync.Mutex
	lis    *bufconn.Listener
	stop   func()
	log    *slog.Logger
	active map[string]*ingestv1.ActivePartition

	// Tokens by domain; the source is "environment".
	Tokens map[string]string
	// OpenDates of the calendar, "YYYY-MM-DD".
	OpenDates []string
	// Probe answers for a module. Nil passes.
	Probe func(ctx context.Context, module string) (*ingestv1.ModuleProbe, error)
	// Store answers for a pool. Nil is fit.
	Store func(pool marketv1.Pool) []fault.Issue
	// Plan answers. Nil plans Reference and Data.
	Plan func(req *ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error)
	// Reference and Data partitions planned.
	Reference, Data []*ingestv1.PartitionSpec
	// Ingest answers. Nil completes with ten rows.
	Ingest func(ctx context.Context, req *ingestv1.IngestPartitionRequest, beat Beat) (*ingestv1.PartitionResult, error)
	// Verify answers. Nil agrees with ten rows.
	Verify func(req *ingestv1.VerifyPartitionsRequest) *ingestv1.VerifyPartitionsResponse
	// Linger holds a cancelled partition back before it counts as stopped.
	Linger time.Duration

	probed  []string
	epochs  []int64
	planned []*ingestv1.PlanPartitionsRequest
	checked int
}

// New is a worker with tokens, a calendar of a few days and the six modules, up and
// reachable.
func New(t testing.TB) *Server {
	s := &Server{
		log: slog.New(slog.DiscardHandler), active: map[string]*ingestv1.ActivePartition{},
		Tokens: map[string]string{"stock": "0123456789abcdef", "etf": "0123456789abcdef"},
	}
	s.Up()
	t.Cleanup(s.Down)
	return s
}

// Script changes the worker while it is in use.
func (s *Server) Script(change func(*Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// silent is how often either side pings: never, as the pipe between them cannot break
// unseen, and the pings of days in a test's own time are so many that the race detector
// of Go 1.26.8 crashes on their timers (golang/go 78156).
const silent = time.Duration(math.MaxInt64)

// Up starts the worker; it knows nothing of partitions that an earlier one had in
// hand.
func (s *Server) Up() {
	lis := bufconn.Listen(1 << 20)
	srv := transport.NewServer(transport.ServerConfig{
		Logger: s.log, Listener: lis, StopTimeout: time.Nanosecond,
		Options: []grpc.ServerOption{grpc.KeepaliveParams(keepalive.ServerParameters{Time: silent})},
	})
	ingestv1.RegisterIngestServiceServer(srv, s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := srv.Run(ctx); err != nil {
			s.log.Error("serve", "error", err)
		}
	}()
	s.Script(func(s *Server) {
		s.lis = lis
		s.active = map[string]*ingestv1.ActivePartition{}
		s.stop = func() { cancel(); <-ended }
	})
}

// Down kills the worker: calls in hand break.
func (s *Server) Down() {
	s.mu.Lock()
	stop := s.stop
	s.stop, s.lis = nil, nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Client dials the worker, whichever is up.
func (s *Server) Client(t testing.TB) *worker.Client {
	c, err := worker.Dial(Addr, transport.Security{}, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		s.mu.Lock()
		lis := s.lis
		s.mu.Unlock()
		if lis == nil {
			return nil, errors.New("connection refused")
		}
		return lis.DialContext(ctx)
	}), grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: silent}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Probed are the modules probed so far, in order.
func (s *Server) Probed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.probed)
}

// Epochs are those of every dispatch so far, in order of arrival.
func (s *Server) Epochs() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.epochs)
}

// Planned are the requests for a plan so far.
func (s *Server) Planned() []*ingestv1.PlanPartitionsRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.planned)
}

// Checked counts the looks at a pool's file.
func (s *Server) Checked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checked
}

// Spec is a partition of a dataset and date; an empty date is a snapshot.
func Spec(module, dataset, date string) *ingestv1.PartitionSpec {
	id := dataset
	if date != "" {
		id += "/" + date
	}
	return &ingestv1.PartitionSpec{PartitionId: id, DatasetId: dataset, ModuleId: module, StartDate: date, EndDate: date, EstimatedCallCount: 1}
}

// Complete is a result of that many rows, all new.
func Complete(rows int64) *ingestv1.PartitionResult {
	return &ingestv1.PartitionResult{
		Coverage: &marketv1.Coverage{RowCount: rows, ExpectedCount: rows, Verdict: marketv1.Verdict_VERDICT_COMPLETE},
		NewCount: rows, CallCount: 1, SymbolCount: rows,
	}
}

// ListModules implements the contract.
func (s *Server) ListModules(context.Context, *ingestv1.ListModulesRequest) (*ingestv1.ListModulesResponse, error) {
	both := []marketv1.Pool{marketv1.Pool_POOL_TARGETS, marketv1.Pool_POOL_UNIVERSE}
	universe := both[1:]
	stock, etf := marketv1.InstrumentKind_INSTRUMENT_KIND_STOCK, marketv1.InstrumentKind_INSTRUMENT_KIND_ETF
	module := func(id, domain string, kind marketv1.InstrumentKind, pools []marketv1.Pool) *marketv1.Module {
		return &marketv1.Module{ModuleId: id, DomainId: domain, Title: id, Pools: pools, SyncCapable: true, InstrumentKind: kind, EnabledByDefault: true}
	}
	due := func(m *marketv1.Module, hours ...string) *marketv1.Module { // "dataset hour"
		for _, h := range hours {
			dataset, hour, _ := strings.Cut(h, " ")
			m.Datasets = append(m.Datasets, &marketv1.Dataset{DatasetId: dataset, DueTime: hour})
		}
		return m
	}
	return &ingestv1.ListModulesResponse{
		Providers: []*marketv1.Provider{{ProviderId: "tushare", Active: true}, {ProviderId: "wind"}},
		Domains:   []*marketv1.Domain{{DomainId: "stock"}, {DomainId: "etf"}, {DomainId: "index"}},
		Modules: []*marketv1.Module{
			module("stock.basic", "stock", stock, universe),
			due(module("stock.market.daily", "stock", stock, both), "daily 17:00", "daily_basic 18:00"),
			module("stock.reference", "stock", 0, universe),
			due(module("stock.moneyflow", "stock", stock, both), "moneyflow 19:00"),
			module("etf.basic_info", "etf", etf, universe),
			due(module("etf.daily_quote", "etf", etf, both), "fund_daily 18:00"),
			{ModuleId: "index.daily", DomainId: "index"},
		},
	}, nil
}

// ListTokens implements the contract.
func (s *Server) ListTokens(context.Context, *ingestv1.ListTokensRequest) (*ingestv1.ListTokensResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &ingestv1.ListTokensResponse{ProviderHost: "api.tushare.pro"}
	for _, d := range []string{"stock", "etf"} {
		t := &ingestv1.TokenStatus{DomainId: d, Fingerprint: s.Tokens[d]}
		if t.Fingerprint != "" {
			t.Source = "environment"
		}
		resp.Tokens = append(resp.Tokens, t)
	}
	return resp, nil
}

// ListCalendarDays implements the contract.
func (s *Server) ListCalendarDays(context.Context, *ingestv1.ListCalendarDaysRequest) (*ingestv1.ListCalendarDaysResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.OpenDates) == 0 {
		return &ingestv1.ListCalendarDaysResponse{}, nil
	}
	return &ingestv1.ListCalendarDaysResponse{OpenDates: s.OpenDates, FirstDate: s.OpenDates[0], LastDate: s.OpenDates[len(s.OpenDates)-1]}, nil
}

// ProbeModules implements the contract.
func (s *Server) ProbeModules(req *ingestv1.ProbeModulesRequest, stream ingestv1.IngestService_ProbeModulesServer) error {
	for _, id := range req.GetModuleIds() {
		s.mu.Lock()
		s.probed = append(s.probed, id)
		probe := s.Probe
		fingerprint := s.Tokens["stock"]
		s.mu.Unlock()
		started := &ingestv1.ProbeModulesResponse_ProbeStarted{ModuleId: id, ProviderApis: []string{"daily"}}
		if err := stream.Send(&ingestv1.ProbeModulesResponse{Event: &ingestv1.ProbeModulesResponse_Started{Started: started}}); err != nil {
			return err
		}
		found := &ingestv1.ModuleProbe{}
		if probe != nil {
			var err error
			if found, err = probe(stream.Context(), id); err != nil {
				return err
			}
		} else {
			found.Passed = true
		}
		found.ModuleId, found.CallCount, found.TokenFingerprint = id, 1, fingerprint
		found.ProbeTime, found.Latency = timestamppb.Now(), durationpb.New(time.Millisecond)
		if err := stream.Send(&ingestv1.ProbeModulesResponse{Event: &ingestv1.ProbeModulesResponse_Finished{Finished: found}}); err != nil {
			return err
		}
	}
	return nil
}

// Found is a failed probe with one issue.
func Found(reason fault.Reason) *ingestv1.ModuleProbe {
	return &ingestv1.ModuleProbe{Issues: transport.IssuesToProto([]fault.Issue{fault.NewIssue(reason, "The probe found it.")})}
}

// CheckStore implements the contract.
func (s *Server) CheckStore(_ context.Context, req *ingestv1.CheckStoreRequest) (*ingestv1.CheckStoreResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked++
	resp := &ingestv1.CheckStoreResponse{FreeBytes: 1 << 40}
	if s.Store != nil {
		resp.Issues = transport.IssuesToProto(s.Store(req.GetPool()))
	}
	return resp, nil
}

// PlanPartitions implements the contract.
func (s *Server) PlanPartitions(_ context.Context, req *ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error) {
	s.mu.Lock()
	s.planned = append(s.planned, req)
	plan, references, data := s.Plan, s.Reference, s.Data
	s.mu.Unlock()
	if plan != nil {
		return plan(req)
	}
	if req.GetStage() == ingestv1.PlanStage_PLAN_STAGE_REFERENCES {
		return &ingestv1.PlanPartitionsResponse{Partitions: references}, nil
	}
	resp := &ingestv1.PlanPartitionsResponse{Partitions: data}
	for _, p := range data {
		resp.LastTradeDate = max(resp.LastTradeDate, p.GetEndDate())
	}
	return resp, nil
}

// IngestPartition implements the contract.
func (s *Server) IngestPartition(req *ingestv1.IngestPartitionRequest, stream ingestv1.IngestService_IngestPartitionServer) error {
	key := fmt.Sprintf("%s %s %d", req.GetRunId(), req.GetPartition().GetPartitionId(), req.GetEpoch())
	s.mu.Lock()
	s.epochs = append(s.epochs, req.GetEpoch())
	s.active[key] = &ingestv1.ActivePartition{RunId: req.GetRunId(), PartitionId: req.GetPartition().GetPartitionId(), Pool: req.GetPool(), Epoch: req.GetEpoch()}
	ingest, linger := s.Ingest, s.Linger
	s.mu.Unlock()
	defer func() {
		if stream.Context().Err() != nil && linger > 0 {
			time.Sleep(linger) // a transaction that rolls back
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.active, key)
	}()
	result := Complete(10)
	if ingest != nil {
		var err error
		result, err = ingest(stream.Context(), req, func(h *ingestv1.IngestPartitionResponse_Heartbeat) {
			// A caller that left is noticed by the context.
			_ = stream.Send(&ingestv1.IngestPartitionResponse{Event: &ingestv1.IngestPartitionResponse_Heartbeat_{Heartbeat: h}})
		})
		if err != nil {
			return err
		}
	}
	return stream.Send(&ingestv1.IngestPartitionResponse{Event: &ingestv1.IngestPartitionResponse_Result{Result: result}})
}

// ListActivePartitions implements the contract.
func (s *Server) ListActivePartitions(_ context.Context, req *ingestv1.ListActivePartitionsRequest) (*ingestv1.ListActivePartitionsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &ingestv1.ListActivePartitionsResponse{}
	for _, p := range s.active {
		if req.GetRunId() == "" || req.GetRunId() == p.GetRunId() {
			resp.Partitions = append(resp.Partitions, p)
		}
	}
	return resp, nil
}

// VerifyPartitions implements the contract.
func (s *Server) VerifyPartitions(_ context.Context, req *ingestv1.VerifyPartitionsRequest) (*ingestv1.VerifyPartitionsResponse, error) {
	s.mu.Lock()
	verify := s.Verify
	s.mu.Unlock()
	if verify != nil {
		return verify(req), nil
	}
	resp := &ingestv1.VerifyPartitionsResponse{}
	for _, p := range req.GetPartitions() {
		resp.Checks = append(resp.Checks, &ingestv1.PartitionCheck{
			PartitionId: p.GetPartitionId(), RowCount: 10, CoverageCount: 10, Verdict: marketv1.Verdict_VERDICT_COMPLETE,
		})
	}
	return resp, nil
}

// ListCoverage implements the contract with one missing day.
func (s *Server) ListCoverage(_ context.Context, req *ingestv1.ListCoverageRequest) (*ingestv1.ListCoverageResponse, error) {
	return &ingestv1.ListCoverageResponse{Coverages: []*marketv1.Coverage{
		{DatasetId: "daily", ModuleId: "stock.market.daily", TradeDate: req.GetEndDate(), Verdict: marketv1.Verdict_VERDICT_MISSING},
	}}, nil
}
