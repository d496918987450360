package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// scriptedWorker speaks the worker's contract. It holds a small market: three open
// days, four modules that are built and one that is not.
type scriptedWorker struct {
	ingestv1.UnimplementedIngestServiceServer

	mu      sync.Mutex
	given   map[string]string    // tokens that were stored
	noTok   bool                 // no token resolves
	probe   *faultv1.Issue       // found by every probe
	store   *faultv1.Issue       // found by every check of a file
	mute    bool                 // streams of probes end before any was made
	hold    chan struct{}        // when set, a partition ends only after a receive from it
	done    map[string]bool      // pool and partition: committed
	kept    []*marketv1.Revision // oldest first
	asked   []*ingestv1.ListRevisionsRequest
	active  map[string]chan struct{} // partitions at work
	limits  []*marketv1.LearntLimit
	waits   []*marketv1.OwnLimitWait
	listed  []*ingestv1.ListedInstrument // what its lists have
	toldOf  int                          // how often it sent all of them
	planned []string                     // symbols of the last plan of data
}

func (w *scriptedWorker) ListInstruments(_ context.Context, req *ingestv1.ListInstrumentsRequest) (*ingestv1.ListInstrumentsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.listed) == 0 {
		return &ingestv1.ListInstrumentsResponse{}, nil
	}
	resp := &ingestv1.ListInstrumentsResponse{Version: fmt.Sprint(len(w.listed))}
	if resp.GetVersion() != req.GetKnownVersion() {
		resp.Instruments = w.listed
		w.toldOf++
	}
	return resp, nil
}

var days = []string{"2026-02-26", "2026-02-27", "2026-03-02"}

func startWorker(t testing.TB) (*scriptedWorker, string) {
	t.Helper()
	log := logging.Discard()
	lis, err := transport.Listen(log, "scripted", "grpc", "grpc-addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &scriptedWorker{done: map[string]bool{}, active: map[string]chan struct{}{}}
	s := transport.NewServer(transport.ServerConfig{Logger: log, Listener: lis, StopTimeout: 100 * time.Millisecond})
	ingestv1.RegisterIngestServiceServer(s, w)
	ingestv1.RegisterDataServiceServer(s, published{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w, s.Addr()
}

// set changes the script while it runs.
func (w *scriptedWorker) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func module(id, domain string, kind marketv1.InstrumentKind, pools []marketv1.Pool, datasets ...*marketv1.Dataset) *marketv1.Module {
	return &marketv1.Module{ModuleId: id, DomainId: domain, Title: id, Pools: pools, SyncCapable: len(pools) > 0,
		InstrumentKind: kind, Datasets: datasets, EnabledByDefault: len(pools) > 0}
}

// ListModules implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ListModules(context.Context, *ingestv1.ListModulesRequest) (*ingestv1.ListModulesResponse, error) {
	both := []marketv1.Pool{marketv1.Pool_POOL_TARGETS, marketv1.Pool_POOL_UNIVERSE}
	universe := both[1:]
	stock, etf := marketv1.InstrumentKind_INSTRUMENT_KIND_STOCK, marketv1.InstrumentKind_INSTRUMENT_KIND_ETF
	return &ingestv1.ListModulesResponse{
		Providers: []*marketv1.Provider{{ProviderId: "tushare", Title: "Tushare", Active: true}, {ProviderId: "wind", Title: "Wind"}},
		Domains:   []*marketv1.Domain{{DomainId: "stock", Title: "Stocks"}, {DomainId: "etf", Title: "ETFs"}, {DomainId: "bond", Title: "Bonds"}},
		Modules: []*marketv1.Module{
			module("stock.basic", "stock", stock, universe, &marketv1.Dataset{DatasetId: "stock_basic", Table: "instrument_meta", Snapshot: true}),
			module("stock.market.daily", "stock", stock, both, &marketv1.Dataset{DatasetId: "daily", Table: "daily_prices", DueTime: "17:00"}),
			module("stock.reference", "stock", 0, universe, &marketv1.Dataset{DatasetId: "trade_cal", Table: "trade_calendar", Snapshot: true}),
			module("etf.daily_quote", "etf", etf, both, &marketv1.Dataset{DatasetId: "fund_daily", Table: "daily_prices", DueTime: "18:00"}),
			module("bond.yield_curve", "bond", 0, nil),
		},
	}, nil
}

// ListTokens implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ListTokens(context.Context, *ingestv1.ListTokensRequest) (*ingestv1.ListTokensResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := &ingestv1.ListTokensResponse{ProviderHost: "127.0.0.1:7790"}
	for _, d := range []string{"stock", "etf"} {
		s := &ingestv1.TokenStatus{DomainId: d, Source: "environment", Fingerprint: "0123456789abcdef"}
		if w.noTok {
			s = &ingestv1.TokenStatus{DomainId: d}
		}
		for name, source := range map[string]string{"main": "main", d: "domain"} {
			if token := w.given[name]; token != "" && s.Source != "domain" {
				s.Source, s.Fingerprint, s.CallsPerMinute = source, fmt.Sprintf("%016x", len(token)), 200
			}
		}
		resp.Tokens = append(resp.Tokens, s)
	}
	resp.Stored = slices.Sorted(maps.Keys(w.given))
	return resp, nil
}

// SetToken implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) SetToken(_ context.Context, req *ingestv1.SetTokenRequest) (*ingestv1.SetTokenResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.given == nil {
		w.given = map[string]string{}
	}
	w.given[req.GetDomainId()] = req.GetToken()
	return &ingestv1.SetTokenResponse{}, nil
}

// ClearToken implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ClearToken(_ context.Context, req *ingestv1.ClearTokenRequest) (*ingestv1.ClearTokenResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.given[req.GetDomainId()] == "" {
		return nil, fault.New(fault.NotFound, "No token is stored.", "kind", "token", "id", req.GetDomainId())
	}
	delete(w.given, req.GetDomainId())
	return &ingestv1.ClearTokenResponse{}, nil
}

// ListCalendarDays implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ListCalendarDays(context.Context, *ingestv1.ListCalendarDaysRequest) (*ingestv1.ListCalendarDaysResponse, error) {
	return &ingestv1.ListCalendarDaysResponse{OpenDates: days, FirstDate: days[0], LastDate: "2026-03-31"}, nil
}

// ProbeModules implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ProbeModules(req *ingestv1.ProbeModulesRequest, ss grpc.ServerStreamingServer[ingestv1.ProbeModulesResponse]) error {
	w.mu.Lock()
	mute := w.mute
	w.mu.Unlock()
	if mute {
		return nil
	}
	for _, id := range req.GetModuleIds() {
		if err := ss.Send(&ingestv1.ProbeModulesResponse{Event: &ingestv1.ProbeModulesResponse_Started{
			Started: &ingestv1.ProbeModulesResponse_ProbeStarted{ModuleId: id, ProviderApis: []string{"api"}}}}); err != nil {
			return err
		}
		found := &ingestv1.ModuleProbe{ModuleId: id, ProbeTime: timestamppb.Now(), Latency: durationpb.New(time.Millisecond),
			RowCount: 1, CallCount: 1, Passed: true, TokenFingerprint: "0123456789abcdef"}
		w.mu.Lock()
		if w.probe != nil {
			found.Passed, found.Issues = false, []*faultv1.Issue{w.probe}
		}
		w.mu.Unlock()
		if err := ss.Send(&ingestv1.ProbeModulesResponse{Event: &ingestv1.ProbeModulesResponse_Finished{Finished: found}}); err != nil {
			return err
		}
	}
	return nil
}

// GetInfo implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) GetInfo(context.Context, *ingestv1.GetInfoRequest) (*ingestv1.GetInfoResponse, error) {
	return &ingestv1.GetInfoResponse{
		Worker:       &marketv1.ServiceInfo{Commit: "1a2b3c4d5e6f", Files: []*marketv1.StoredFile{{Name: "targets.sqlite", SizeBytes: 4096, WalBytes: 32}}},
		Publications: []*marketv1.Publication{{Pool: marketv1.Pool_POOL_TARGETS, Version: "20260302T113012.345Z", FileCount: 3, SizeBytes: 700}},
	}, nil
}

// ListLimits implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ListLimits(context.Context, *ingestv1.ListLimitsRequest) (*ingestv1.ListLimitsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &ingestv1.ListLimitsResponse{Limits: w.limits, OwnWaits: w.waits}, nil
}

// ForgetLimits implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ForgetLimits(_ context.Context, req *ingestv1.ForgetLimitsRequest) (*ingestv1.ForgetLimitsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := &ingestv1.ForgetLimitsResponse{}
	w.limits = slices.DeleteFunc(w.limits, func(l *marketv1.LearntLimit) bool {
		goes := len(req.GetProviderApis()) == 0 || slices.Contains(req.GetProviderApis(), l.GetProviderApi())
		if goes {
			resp.Limits = append(resp.Limits, l)
		}
		return goes
	})
	for n, api := range req.GetProviderApis() {
		if api == "weather" {
			return nil, fault.Invalid(fmt.Sprintf("provider_apis[%d]", n), "there is no API weather")
		}
	}
	return resp, nil
}

// CheckStore implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) CheckStore(context.Context, *ingestv1.CheckStoreRequest) (*ingestv1.CheckStoreResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := &ingestv1.CheckStoreResponse{FreeBytes: 1 << 40}
	if w.store != nil {
		resp.Issues = []*faultv1.Issue{w.store}
	}
	return resp, nil
}

// PlanPartitions implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) PlanPartitions(_ context.Context, req *ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := &ingestv1.PlanPartitionsResponse{EstimatedDuration: durationpb.New(time.Second)}
	if req.GetStage() != ingestv1.PlanStage_PLAN_STAGE_DATA {
		return resp, nil
	}
	w.planned = req.GetSymbols()
	resp.LastTradeDate = days[len(days)-1]
	for _, id := range req.GetModuleIds() {
		dataset := map[string]string{"stock.market.daily": "daily", "etf.daily_quote": "fund_daily"}[id]
		for _, day := range days {
			if dataset == "" || req.GetStartDate() != "" && day < req.GetStartDate() || req.GetEndDate() != "" && day > req.GetEndDate() {
				continue
			}
			p := &ingestv1.PartitionSpec{PartitionId: dataset + "/" + day, DatasetId: dataset, ModuleId: id, StartDate: day, EndDate: day,
				Symbols: req.GetSymbols(), EstimatedCallCount: 1}
			if req.GetRefetch() || !w.done[req.GetPool().String()+p.GetPartitionId()] {
				resp.Partitions = append(resp.Partitions, p)
			}
		}
	}
	return resp, nil
}

// IngestPartition implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) IngestPartition(req *ingestv1.IngestPartitionRequest, ss grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error {
	id := req.GetPool().String() + req.GetPartition().GetPartitionId()
	w.mu.Lock()
	hold := w.hold
	w.active[id] = hold
	w.mu.Unlock()
	defer w.set(func() { delete(w.active, id) })
	if err := ss.Send(&ingestv1.IngestPartitionResponse{Event: &ingestv1.IngestPartitionResponse_Heartbeat_{
		Heartbeat: &ingestv1.IngestPartitionResponse_Heartbeat{Stage: ingestv1.IngestPartitionResponse_STAGE_EXTRACTING}}}); err != nil {
		return err
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ss.Context().Done():
			return ss.Context().Err()
		}
	}
	w.set(func() { w.done[id] = true })
	return ss.Send(&ingestv1.IngestPartitionResponse{Event: &ingestv1.IngestPartitionResponse_Result{Result: &ingestv1.PartitionResult{
		Coverage: coverage(req.GetPartition().GetDatasetId(), req.GetPartition().GetModuleId(), req.GetPartition().GetStartDate()),
		NewCount: 100, CallCount: 1, SymbolCount: 100, Revisions: w.revised(req)}}})
}

// revised sums the revisions up that the script keeps of the partition's day.
func (w *scriptedWorker) revised(req *ingestv1.IngestPartitionRequest) *marketv1.RevisionSummary {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sum *marketv1.RevisionSummary
	for _, r := range w.kept {
		if r.GetDatasetId() == req.GetPartition().GetDatasetId() && r.GetTradeDate() == req.GetPartition().GetStartDate() {
			if sum == nil {
				sum = &marketv1.RevisionSummary{RowCount: 1, Largest: r, LargestChange: float64(r.GetRevisionId())}
			}
			sum.ValueCount++
		}
	}
	return sum
}

// ListRevisions implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ListRevisions(_ context.Context, req *ingestv1.ListRevisionsRequest) (*ingestv1.ListRevisionsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, req)
	resp := &ingestv1.ListRevisionsResponse{}
	for i := len(w.kept) - 1; i >= 0 && len(resp.Revisions) < int(req.GetLimit()); i-- {
		if b := req.GetBeforeRevisionId(); b == 0 || w.kept[i].GetRevisionId() < b {
			resp.Revisions = append(resp.Revisions, w.kept[i])
		}
	}
	return resp, nil
}

func coverage(dataset, module, day string) *marketv1.Coverage {
	return &marketv1.Coverage{DatasetId: dataset, ModuleId: module, TradeDate: day, RowCount: 100, ExpectedCount: 100,
		Verdict: marketv1.Verdict_VERDICT_COMPLETE, CommitTime: timestamppb.Now(), RunId: "r"}
}

// ListActivePartitions implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ListActivePartitions(context.Context, *ingestv1.ListActivePartitionsRequest) (*ingestv1.ListActivePartitionsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := &ingestv1.ListActivePartitionsResponse{}
	for id := range w.active {
		resp.Partitions = append(resp.Partitions, &ingestv1.ActivePartition{PartitionId: id})
	}
	return resp, nil
}

// ListCoverage implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ListCoverage(_ context.Context, req *ingestv1.ListCoverageRequest) (*ingestv1.ListCoverageResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := &ingestv1.ListCoverageResponse{}
	for _, day := range days {
		c := &marketv1.Coverage{DatasetId: "daily", ModuleId: "stock.market.daily", TradeDate: day, Verdict: marketv1.Verdict_VERDICT_MISSING}
		if w.done[req.GetPool().String()+"daily/"+day] {
			c = coverage("daily", "stock.market.daily", day)
		}
		resp.Coverages = append(resp.Coverages, c)
	}
	return resp, nil
}

// ListAbsentSymbols implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) ListAbsentSymbols(_ context.Context, req *ingestv1.ListAbsentSymbolsRequest) (*ingestv1.ListAbsentSymbolsResponse, error) {
	return nil, fault.New(fault.NotFound, "No data has been committed yet.", "kind", "partition", "id", req.GetDatasetId())
}

// VerifyPartitions implements ingestv1.IngestServiceServer.
func (w *scriptedWorker) VerifyPartitions(_ context.Context, req *ingestv1.VerifyPartitionsRequest) (*ingestv1.VerifyPartitionsResponse, error) {
	resp := &ingestv1.VerifyPartitionsResponse{}
	for _, p := range req.GetPartitions() {
		resp.Checks = append(resp.Checks, &ingestv1.PartitionCheck{PartitionId: p.GetPartitionId(), RowCount: 100, CoverageCount: 100,
			Verdict: marketv1.Verdict_VERDICT_COMPLETE})
	}
	return resp, nil
}

// published is a worker of which nothing is published.
type published struct {
	ingestv1.UnimplementedDataServiceServer
}

var errUnpublished = fault.New(fault.NotFound, "Nothing is published yet.", "kind", "version", "id", "")

func (published) PublishPool(context.Context, *ingestv1.PublishPoolRequest) (*ingestv1.PublishPoolResponse, error) {
	return &ingestv1.PublishPoolResponse{}, nil
}

func (published) ReadRows(*ingestv1.ReadRowsRequest, ingestv1.DataService_ReadRowsServer) error {
	return errUnpublished
}

func (published) ListTables(context.Context, *ingestv1.ListTablesRequest) (*ingestv1.ListTablesResponse, error) {
	return nil, errUnpublished
}

func (published) GetCondition(context.Context, *ingestv1.GetConditionRequest) (*ingestv1.GetConditionResponse, error) {
	return nil, errUnpublished
}
