package api

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/gate"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/probe"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/ingestworker/internal/vault"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// Tokens says where tokens come from. It never returns a token.
type Tokens interface {
	// Source is where a domain's token comes from, empty if there is none, and its keyed
	// digest.
	Source(domain string) (source, fingerprint string)
	// Stored are the domains, and "main", for which a token is stored.
	Stored() []string
	// Set stores a token, and Clear deletes it.
	Set(domain, token string) error
	Clear(domain string) error
}

// Prober probes modules; *probe.Prober implements it.
type Prober interface {
	Run(ctx context.Context, r probe.Request, e probe.Events) error
}

// Estimator estimates how long calls take under the known limits.
type Estimator interface {
	// Estimate is for calls per API with the token of the fingerprint.
	Estimate(fingerprint string, calls map[string]int) time.Duration
}

// Config is the configuration of a Server. Every field except Gate and Log is required.
type Config struct {
	// Ingester processes partitions.
	Ingester *ingest.Ingester
	// Prober probes modules.
	Prober Prober
	// Tokens and Estimator inform.
	Tokens    Tokens
	Estimator Estimator
	// Limits lists and discards learned limits.
	Limits Limits
	// Files are the paths of the pools' files.
	Files map[market.Pool]string
	// Started is when the process started.
	Started time.Time
	// Published returns the manifests of the published copies, of pools that have one.
	Published func() []*publish.Manifest
	// FreeBytes returns the free space on the volume of a path.
	FreeBytes func(path string) (int64, error)
	// ProviderHost is the host of the provider's URL.
	ProviderHost string
	// ProviderURL is that URL.
	ProviderURL string
	// Gate is informed of work for runs; nil means that readers never yield.
	Gate *gate.Gate
	// Log; nil drops every record.
	Log *slog.Logger
}

// Server implements ingestv1.IngestServiceServer.
type Server struct {
	ingestv1.UnimplementedIngestServiceServer
	cfg Config
}

// New returns a Server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Gate == nil {
		cfg.Gate = gate.New()
	}
	return &Server{cfg: cfg}
}

// GetInfo implements the contract.
func (s *Server) GetInfo(context.Context, *ingestv1.GetInfoRequest) (*ingestv1.GetInfoResponse, error) {
	var names []string
	dir := ""
	for _, p := range market.Pools() {
		dir = filepath.Dir(s.cfg.Files[p])
		names = append(names, filepath.Base(s.cfg.Files[p]))
	}
	out := &ingestv1.GetInfoResponse{Worker: transport.Info(s.cfg.Started, dir, names...)}
	for _, m := range s.cfg.Published() {
		x := &marketv1.Publication{
			Pool: transport.PoolToProto(m.Pool), Version: m.Version, PublishTime: transport.TimeToProto(m.PublishedAt), RunId: m.RunID, FileCount: int32(len(m.Files)),
		}
		for _, f := range m.Files {
			x.SizeBytes += f.Bytes
		}
		out.Publications = append(out.Publications, x)
	}
	return out, nil
}

// ListModules implements the contract.
func (s *Server) ListModules(context.Context, *ingestv1.ListModulesRequest) (*ingestv1.ListModulesResponse, error) {
	return modules(), nil
}

// ListTokens implements the contract.
func (s *Server) ListTokens(context.Context, *ingestv1.ListTokensRequest) (*ingestv1.ListTokensResponse, error) {
	out := &ingestv1.ListTokensResponse{ProviderHost: s.cfg.ProviderHost, ProviderUrl: s.cfg.ProviderURL, Stored: s.cfg.Tokens.Stored()}
	for _, domain := range tokenDomains() {
		source, fingerprint := s.cfg.Tokens.Source(domain)
		calls := 0
		if fingerprint != "" {
			for _, l := range s.cfg.Limits.Learnt([]string{fingerprint}) {
				if l.Window == quota.Minute {
					calls = max(calls, l.Calls)
				}
			}
		}
		out.Tokens = append(out.Tokens, &ingestv1.TokenStatus{DomainId: domain, Source: source, Fingerprint: fingerprint, CallsPerMinute: int32(calls)})
	}
	return out, nil
}

// tokenDomains are the domains that use a token: those with an implemented module.
func tokenDomains() []string {
	var out []string
	for _, m := range catalog.Modules() {
		if m.Built && !slices.Contains(out, m.Domain) {
			out = append(out, m.Domain)
		}
	}
	return out
}

// tokenName validates the name of a token. It does not repeat an invalid one, because
// somebody may have sent the token itself.
func tokenName(domain string) error {
	names := append([]string{vault.Main}, tokenDomains()...)
	if !slices.Contains(names, domain) {
		return fault.Invalid("domain_id", "is not what a token is stored for: allowed are %s", strings.Join(names, ", "))
	}
	return nil
}

// SetToken implements the contract.
func (s *Server) SetToken(_ context.Context, r *ingestv1.SetTokenRequest) (*ingestv1.SetTokenResponse, error) {
	if err := tokenName(r.GetDomainId()); err != nil {
		return nil, err
	}
	if err := s.cfg.Tokens.Set(r.GetDomainId(), r.GetToken()); err != nil {
		return nil, err
	}
	_, fingerprint := s.cfg.Tokens.Source(r.GetDomainId())
	s.cfg.Log.Info("a token was stored", "domain", r.GetDomainId(), "fingerprint", fingerprint)
	return &ingestv1.SetTokenResponse{}, nil
}

// ClearToken implements the contract.
func (s *Server) ClearToken(_ context.Context, r *ingestv1.ClearTokenRequest) (*ingestv1.ClearTokenResponse, error) {
	if err := tokenName(r.GetDomainId()); err != nil {
		return nil, err
	}
	if err := s.cfg.Tokens.Clear(r.GetDomainId()); err != nil {
		return nil, err
	}
	s.cfg.Log.Info("a stored token was forgotten", "domain", r.GetDomainId())
	return &ingestv1.ClearTokenResponse{}, nil
}

// ProbeModules implements the contract.
func (s *Server) ProbeModules(r *ingestv1.ProbeModulesRequest, stream ingestv1.IngestService_ProbeModulesServer) error {
	date, err := transport.DateFromProto("trade_date", r.GetTradeDate())
	if err != nil {
		return err
	}
	req := probe.Request{Modules: r.GetModuleIds(), TradeDate: date}
	if d := r.GetProbeTimeout(); d != nil {
		if !d.IsValid() || d.AsDuration() <= 0 || d.AsDuration() > maxProbe {
			return fault.Invalid("probe_timeout", "must be longer than 0 and at most %v", maxProbe)
		}
		req.Timeout = d.AsDuration()
	}
	if len(req.Modules) > len(catalog.Modules()) {
		return fault.Invalid("module_ids", "has %d entries; there are only %d modules", len(req.Modules), len(catalog.Modules()))
	}
	defer s.cfg.Gate.Begin().End()
	return s.cfg.Prober.Run(stream.Context(), req, probe.Events{
		Started: func(m *catalog.Module) error {
			started := &ingestv1.ProbeModulesResponse_ProbeStarted{ModuleId: m.ID}
			for _, a := range m.APIs {
				started.ProviderApis = append(started.ProviderApis, a.Name)
			}
			return stream.Send(&ingestv1.ProbeModulesResponse{Event: &ingestv1.ProbeModulesResponse_Started{Started: started}})
		},
		Finished: func(o probe.Outcome) error {
			if w, ok := fault.Worst(o.Issues); ok && !o.Passed {
				s.cfg.Log.Warn("probe failed", "module", o.Module.ID, "reason", w.Reason, "message", w.Message)
			}
			return stream.Send(&ingestv1.ProbeModulesResponse{Event: &ingestv1.ProbeModulesResponse_Finished{Finished: &ingestv1.ModuleProbe{
				ModuleId: o.Module.ID, ProbeTime: transport.TimeToProto(o.At), Latency: durationpb.New(o.Latency), RowCount: o.Rows,
				CallCount: int32(o.Calls), Passed: o.Passed, Issues: transport.IssuesToProto(o.Issues), TokenFingerprint: o.Fingerprint,
			}}})
		},
	})
}

// maxRechecks is the largest number of old dates that one plan fetches again. The
// orchestrator's settings have the same limit, MaxRecheckDays.
const maxRechecks = 100

const maxProbe = 10 * time.Minute

// CheckStore implements the contract.
func (s *Server) CheckStore(ctx context.Context, r *ingestv1.CheckStoreRequest) (*ingestv1.CheckStoreResponse, error) {
	pool, err := transport.PoolFromProto("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	defer s.cfg.Gate.Begin().End()
	out := &ingestv1.CheckStoreResponse{}
	err = s.cfg.Ingester.CheckStore(ctx, pool)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		if !hasReason(err) {
			return nil, err
		}
		s.cfg.Log.Info("a pool's file cannot be opened for writing", "pool", pool, "reason", fault.ReasonOf(err), "error", err)
		out.Issues = transport.IssuesToProto([]fault.Issue{fault.IssueOf(err)})
	}
	if st, err := os.Stat(s.cfg.Files[pool]); err == nil {
		out.FileBytes = st.Size()
	}
	if free, err := s.cfg.FreeBytes(s.cfg.Files[pool]); err == nil {
		out.FreeBytes = free
	}
	return out, nil
}

func hasReason(err error) bool { _, ok := fault.As(err); return ok }

// ListCalendarDays implements the contract.
func (s *Server) ListCalendarDays(ctx context.Context, _ *ingestv1.ListCalendarDaysRequest) (*ingestv1.ListCalendarDaysResponse, error) {
	cal, err := s.cfg.Ingester.Calendar(ctx)
	if err != nil {
		return nil, err
	}
	out := &ingestv1.ListCalendarDaysResponse{}
	if !cal.Known() {
		return out, nil
	}
	out.FirstDate, out.LastDate = cal.First.String(), cal.Last.String()
	out.OpenDates = make([]string, len(cal.Open))
	for n, d := range cal.Open {
		out.OpenDates[n] = d.String()
	}
	return out, nil
}

// ListInstruments implements the contract.
func (s *Server) ListInstruments(ctx context.Context, r *ingestv1.ListInstrumentsRequest) (*ingestv1.ListInstrumentsResponse, error) {
	if len(r.GetKnownVersion()) > maxName {
		return nil, fault.Invalid("known_version", "must have at most %d characters", maxName)
	}
	found, err := s.cfg.Ingester.Instruments(ctx)
	if err != nil {
		return nil, err
	}
	out := &ingestv1.ListInstrumentsResponse{Instruments: make([]*ingestv1.ListedInstrument, len(found))}
	if len(found) == 0 {
		return out, nil
	}
	digest := fnv.New64a()
	for n, x := range found {
		out.Instruments[n] = &ingestv1.ListedInstrument{
			Symbol: x.Symbol, Name: x.Name, Kind: transport.KindToProto(x.Kind), ListStatus: x.Status,
			ListDate: x.Listed.String(), DelistDate: x.Delisted.String(), FormerSymbols: x.Former,
		}
		fmt.Fprintf(digest, "%s\x00%s\x00%s\x00%s\x00%d\x00%d\x00%q\n", x.Symbol, x.Name, x.Kind, x.Status, x.Listed, x.Delisted, x.Former)
	}
	out.Version = fmt.Sprintf("%016x", digest.Sum64())
	if out.Version == r.GetKnownVersion() {
		out.Instruments = nil
	}
	return out, nil
}

// ListCoverage implements the contract.
func (s *Server) ListCoverage(ctx context.Context, r *ingestv1.ListCoverageRequest) (*ingestv1.ListCoverageResponse, error) {
	pool, err := transport.PoolFromProto("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	start, end, err := span(r.GetStartDate(), r.GetEndDate())
	if err != nil {
		return nil, err
	}
	modules := r.GetModuleIds()
	if len(modules) == 0 {
		for _, m := range catalog.Modules() {
			if m.Built {
				modules = append(modules, m.ID)
			}
		}
	}
	datasets, err := ingest.Select(pool, modules)
	if err != nil {
		return nil, err
	}
	symbols, err := symbolList("symbols", pool, r.GetSymbols())
	if err != nil {
		return nil, err
	}
	days, err := s.cfg.Ingester.Survey(ctx, pool, datasets, start, end, symbols)
	if err != nil {
		return nil, err
	}
	out := &ingestv1.ListCoverageResponse{}
	for _, d := range days {
		if d.Date == market.NoDate && d.Verdict == coverage.Missing && pool == market.Targets {
			continue // targets needs only the lists of its symbols
		}
		out.Coverages = append(out.Coverages, dayToProto(d))
	}
	return out, nil
}

// ListAbsentSymbols implements the contract.
func (s *Server) ListAbsentSymbols(ctx context.Context, r *ingestv1.ListAbsentSymbolsRequest) (*ingestv1.ListAbsentSymbolsResponse, error) {
	pool, err := transport.PoolFromProto("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	ds := catalog.Lookup(r.GetDatasetId())
	if ds == nil || ds.Snapshot {
		return nil, fault.Invalid("dataset_id", "%.40q is not a dataset with one row per symbol and trade date", r.GetDatasetId())
	}
	d, err := market.ParseDate(r.GetTradeDate())
	if err != nil {
		return nil, fault.Invalid("trade_date", "%s", err)
	}
	symbols, err := symbolList("symbols", pool, r.GetSymbols())
	if err != nil {
		return nil, err
	}
	absent, err := s.cfg.Ingester.Absent(ctx, pool, ds, d, symbols)
	if err != nil {
		return nil, err
	}
	out := &ingestv1.ListAbsentSymbolsResponse{}
	for _, a := range absent {
		out.AbsentSymbols = append(out.AbsentSymbols, &marketv1.AbsentSymbol{Symbol: a.Symbol, Name: a.Name, TradedBefore: a.TradedBefore})
	}
	return out, nil
}

// PlanPartitions implements the contract.
func (s *Server) PlanPartitions(ctx context.Context, r *ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error) {
	pool, err := transport.PoolFromProto("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	start, end, err := span(r.GetStartDate(), r.GetEndDate())
	if err != nil {
		return nil, err
	}
	datasets, err := ingest.Select(pool, r.GetModuleIds())
	if err != nil {
		return nil, err
	}
	symbols, err := symbolList("symbols", pool, r.GetSymbols())
	if err != nil {
		return nil, err
	}
	if n := r.GetRecheckDays(); n < 0 || n > maxRechecks {
		return nil, fault.Invalid("recheck_days", "%d is outside 0 to %d", n, maxRechecks)
	}
	wish := coverage.PlanRequest{Recheck: int(r.GetRecheckDays()), Pool: pool, Datasets: datasets, Start: start, End: end, Refetch: r.GetRefetch(), Symbols: symbols, Estimate: r.GetEstimate()}
	defer s.cfg.Gate.Begin().End()
	var plan coverage.Plan
	switch r.GetStage() {
	case ingestv1.PlanStage_PLAN_STAGE_REFERENCES:
		plan, err = s.cfg.Ingester.References(ctx, wish)
	case ingestv1.PlanStage_PLAN_STAGE_DATA:
		plan, err = s.cfg.Ingester.Data(ctx, wish)
	default:
		return nil, fault.Invalid("stage", "%s is not allowed: allowed are PLAN_STAGE_REFERENCES, PLAN_STAGE_DATA", r.GetStage())
	}
	if err != nil {
		return nil, err
	}
	_, fingerprint := s.cfg.Tokens.Source("stock")
	out := &ingestv1.PlanPartitionsResponse{
		Issues: transport.IssuesToProto(plan.Issues), LastTradeDate: plan.AsOf.String(),
		EstimatedDuration: durationpb.New(s.cfg.Estimator.Estimate(fingerprint, plan.Calls)),
	}
	out.Partitions, out.SymbolLists = planToProto(plan.Partitions)
	return out, nil
}

// ListActivePartitions implements the contract.
func (s *Server) ListActivePartitions(_ context.Context, r *ingestv1.ListActivePartitionsRequest) (*ingestv1.ListActivePartitionsResponse, error) {
	out := &ingestv1.ListActivePartitionsResponse{}
	for _, a := range s.cfg.Ingester.Active(r.GetRunId()) {
		out.Partitions = append(out.Partitions, &ingestv1.ActivePartition{
			RunId: a.Work.RunID, PartitionId: a.Work.Partition.ID, Pool: transport.PoolToProto(a.Work.Partition.Pool),
			Epoch: a.Work.Epoch, StartTime: transport.TimeToProto(a.Since),
		})
	}
	return out, nil
}

// ListRevisions implements the contract.
func (s *Server) ListRevisions(ctx context.Context, r *ingestv1.ListRevisionsRequest) (*ingestv1.ListRevisionsResponse, error) {
	pool, err := transport.PoolFromProto("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	q := ingest.RevisionQuery{
		Dataset: r.GetDatasetId(), Symbol: r.GetSymbol(), RunID: r.GetRunId(), Before: r.GetBeforeRevisionId(), Limit: int(r.GetLimit()),
	}
	if q.Start, q.End, err = span(r.GetStartDate(), r.GetEndDate()); err != nil {
		return nil, err
	}
	switch {
	case q.Dataset != "" && catalog.Lookup(q.Dataset) == nil:
		return nil, fault.Invalid("dataset_id", "there is no dataset %.60q; the datasets are %s", q.Dataset, strings.Join(datasetIDs(), ", "))
	case len(q.Symbol) > maxName:
		return nil, fault.Invalid("symbol", "must have at most %d characters", maxName)
	case len(q.RunID) > maxName:
		return nil, fault.Invalid("run_id", "must have at most %d characters", maxName)
	case q.Before < 0:
		return nil, fault.Invalid("before_revision_id", "%d is negative; 0 means from the newest", q.Before)
	case q.Limit < 1 || q.Limit > maxListed:
		return nil, fault.Invalid("limit", "%d is outside 1 to %d", q.Limit, maxListed)
	}
	found, err := s.cfg.Ingester.Revisions(ctx, pool, q)
	if err != nil {
		return nil, err
	}
	out := &ingestv1.ListRevisionsResponse{Revisions: make([]*marketv1.Revision, len(found))}
	for n, x := range found {
		out.Revisions[n] = revisionToProto(x)
	}
	return out, nil
}

// VerifyPartitions implements the contract.
func (s *Server) VerifyPartitions(ctx context.Context, r *ingestv1.VerifyPartitionsRequest) (*ingestv1.VerifyPartitionsResponse, error) {
	pool, err := transport.PoolFromProto("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	parts := make([]coverage.Partition, len(r.GetPartitions()))
	for n, spec := range r.GetPartitions() {
		if parts[n], err = partFromProto(fmt.Sprintf("partitions[%d]", n), pool, spec); err != nil {
			return nil, err
		}
	}
	defer s.cfg.Gate.Begin().End()
	checks, err := s.cfg.Ingester.Verify(ctx, pool, parts)
	if err != nil {
		return nil, err
	}
	out := &ingestv1.VerifyPartitionsResponse{}
	for _, c := range checks {
		out.Checks = append(out.Checks, &ingestv1.PartitionCheck{
			PartitionId: c.PartitionID, RowCount: c.Rows, DuplicateCount: c.Duplicates, CoverageCount: c.Claimed,
			Verdict: transport.VerdictToProto(c.Verdict), RunId: c.RunID, Altered: c.Altered,
		})
	}
	return out, nil
}

func datasetIDs() (ids []string) {
	for _, d := range catalog.Datasets() {
		ids = append(ids, d.ID)
	}
	return ids
}
