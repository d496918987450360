package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/app"
	"github.com/afterbell/afterbell/services/ingestworker/internal/config"
	"github.com/afterbell/afterbell/services/ingestworker/internal/vault"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/tusharesim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "0123456789abcdef0123456789abcdef"

var built = []string{"stock.basic", "stock.market.daily", "stock.reference", "stock.moneyflow", "etf.basic_info", "etf.daily_quote"}

// worker is the whole program in process, on loopback, with a client of it.
type worker struct {
	ingestv1.IngestServiceClient
	conn *grpc.ClientConn
	dir  string
	log  *lines
	stop func() error
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func start(t *testing.T, dir, url string) *worker {
	t.Helper()
	cfg, err := config.Parse([]string{"--data-dir", dir, "--grpc-addr", "127.0.0.1:0", "--tushare-url", url, "--rate-limit", "0", "--universe-window", "30d", "--stop-timeout", "5s", "--log-level", "debug"},
		func(string) string { return "" }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	a, err := app.New(cfg, app.Secrets{Token: vault.NewToken(token)}, cfg.Logger(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	conn, err := transport.Dial(a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	w := &worker{IngestServiceClient: ingestv1.NewIngestServiceClient(conn), conn: conn, dir: dir, log: log}
	w.stop = func() (err error) {
		once.Do(func() {
			_ = conn.Close()
			cancel()
			if err = <-ended; err == nil {
				err = a.Close()
			}
		})
		return err
	}
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *worker) ingest(t *testing.T, pool marketv1.Pool, p *ingestv1.PartitionSpec, epoch int64) (*ingestv1.PartitionResult, int, error) {
	t.Helper()
	stream, err := w.IngestPartition(context.Background(), &ingestv1.IngestPartitionRequest{RunId: "run-1", Pool: pool, Partition: p, Epoch: epoch})
	if err != nil {
		return nil, 0, err
	}
	var result *ingestv1.PartitionResult
	beats := 0
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return result, beats, nil
		}
		if err != nil {
			return nil, beats, err
		}
		if result != nil {
			t.Error("a message came after the result")
		}
		if m.GetHeartbeat() != nil {
			beats++
		}
		result = m.GetResult()
	}
}

// spelledOut are the partitions of a plan with the symbols of their lists, as a
// dispatch names them.
func spelledOut(plan *ingestv1.PlanPartitionsResponse) []*ingestv1.PartitionSpec {
	for _, p := range plan.GetPartitions() {
		if at := p.GetSymbolList(); at > 0 {
			p.Symbols, p.SymbolList = plan.GetSymbolLists()[at-1].GetSymbols(), 0
		}
	}
	return plan.GetPartitions()
}

func sim(t *testing.T) *tusharesim.Server {
	return tusharesim.StartTest(t, tusharesim.Options{Stocks: 200, Funds: 60})
}

func TestFillBothPoolsOverTheWire(t *testing.T) {
	s := sim(t)
	w := start(t, t.TempDir(), s.URL)
	ctx := context.Background()
	modules, err := w.ListModules(ctx, &ingestv1.ListModulesRequest{})
	if err != nil || len(modules.GetModules()) != 53 || len(modules.GetDomains()) != 13 || len(modules.GetProviders()) != 3 {
		t.Fatalf("%v", err)
	}
	if m := modules.GetModules()[1]; m.GetModuleId() != "stock.market.daily" || m.GetDatasets()[1].GetDueTime() != "18:00" || m.GetInstrumentKind() != marketv1.InstrumentKind_INSTRUMENT_KIND_STOCK {
		t.Errorf("%v", m)
	}
	end := market.DateOf(time.Now()) - 14
	epoch := time.Now().UnixMilli()
	for pool, symbols := range map[marketv1.Pool][]string{
		marketv1.Pool_POOL_TARGETS: {"600000.SH", "000001.SZ"}, marketv1.Pool_POOL_UNIVERSE: nil,
	} {
		check, err := w.CheckStore(ctx, &ingestv1.CheckStoreRequest{Pool: pool})
		if err != nil || len(check.GetIssues()) != 0 || check.GetFreeBytes() == 0 {
			t.Errorf("%s: %v, %v", pool, check, err)
		}
		var done []*ingestv1.PartitionSpec
		for _, stage := range []ingestv1.PlanStage{ingestv1.PlanStage_PLAN_STAGE_REFERENCES, ingestv1.PlanStage_PLAN_STAGE_DATA} {
			plan, err := w.PlanPartitions(ctx, &ingestv1.PlanPartitionsRequest{
				Pool: pool, Stage: stage, ModuleIds: built, StartDate: (end - 6).String(), EndDate: end.String(), Symbols: symbols,
			})
			if err != nil || len(plan.GetPartitions()) == 0 {
				t.Fatalf("%s %s: %v, %v", pool, stage, plan, err)
			}
			for _, p := range spelledOut(plan) {
				epoch++
				r, beats, err := w.ingest(t, pool, p, epoch)
				if err != nil || beats == 0 || r.GetCoverage().GetRunId() != "run-1" {
					t.Fatalf("%s: %v after %d heartbeats, %v", p.GetPartitionId(), r, beats, err)
				}
				if v := r.GetCoverage().GetVerdict(); v != marketv1.Verdict_VERDICT_COMPLETE && v != marketv1.Verdict_VERDICT_EXPECTED_EMPTY {
					t.Errorf("%s is %s: %v", p.GetPartitionId(), v, r.GetIssues())
				}
				if x := r.GetPhases(); x.GetFetchMs()+x.GetCheckMs()+x.GetCommitMs() == 0 && r.GetCoverage().GetRowCount() > 1000 {
					t.Errorf("%s took no time: %v", p.GetPartitionId(), x)
				}
				done = append(done, p)
			}
		}
		checks, err := w.VerifyPartitions(ctx, &ingestv1.VerifyPartitionsRequest{Pool: pool, Partitions: done})
		if err != nil || len(checks.GetChecks()) != len(done) {
			t.Fatal(err)
		}
		for _, c := range checks.GetChecks() {
			if c.GetRowCount() != c.GetCoverageCount() || c.GetDuplicateCount() != 0 {
				t.Errorf("%s %s: %v", pool, c.GetPartitionId(), c)
			}
		}
		cov, err := w.ListCoverage(ctx, &ingestv1.ListCoverageRequest{Pool: pool, StartDate: (end - 6).String(), EndDate: end.String(), Symbols: symbols})
		if err != nil || len(cov.GetCoverages()) == 0 {
			t.Fatal(err)
		}
		for _, c := range cov.GetCoverages() {
			if pool == marketv1.Pool_POOL_UNIVERSE && c.GetVerdict() != marketv1.Verdict_VERDICT_COMPLETE {
				t.Errorf("%v", c)
			}
		}
	}
	lists, err := w.ListInstruments(ctx, &ingestv1.ListInstrumentsRequest{})
	kinds := map[marketv1.InstrumentKind]int{}
	for _, i := range lists.GetInstruments() {
		if kinds[i.GetKind()]++; i.GetSymbol() == "" || i.GetName() == "" {
			t.Errorf("%v", i)
		}
	}
	if err != nil || lists.GetVersion() == "" || kinds[marketv1.InstrumentKind_INSTRUMENT_KIND_STOCK] < 200 || kinds[marketv1.InstrumentKind_INSTRUMENT_KIND_ETF] == 0 {
		t.Errorf("%v instruments, %v", kinds, err)
	}
	again, err := w.ListInstruments(ctx, &ingestv1.ListInstrumentsRequest{KnownVersion: lists.GetVersion()})
	if err != nil || again.GetVersion() != lists.GetVersion() || len(again.GetInstruments()) != 0 {
		t.Errorf("the same lists came twice: %v", err)
	}
	before, err := w.GetInfo(ctx, &ingestv1.GetInfoRequest{})
	if err != nil || len(before.GetPublications()) != 0 {
		t.Errorf("published before any publication: %v, %v", before.GetPublications(), err)
	}
	published, err := ingestv1.NewDataServiceClient(w.conn).PublishPool(ctx, &ingestv1.PublishPoolRequest{Pool: marketv1.Pool_POOL_TARGETS, RunId: "run-1"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := w.GetInfo(ctx, &ingestv1.GetInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if x := info.GetWorker(); x.GetGoVersion() == "" || x.GetPlatform() == "" || x.GetStartTime() == nil || x.GetFreeBytes() == 0 || len(x.GetFiles()) != 2 ||
		x.GetFiles()[0].GetName() != "targets.sqlite" || x.GetFiles()[0].GetSizeBytes() == 0 || x.GetFiles()[1].GetName() != "analysis.duckdb" || x.GetFiles()[1].GetSizeBytes() == 0 {
		t.Errorf("%v", x)
	}
	if p := info.GetPublications(); len(p) != 1 || p[0].GetPool() != marketv1.Pool_POOL_TARGETS || p[0].GetVersion() != published.GetVersion() ||
		p[0].GetRunId() != "run-1" || p[0].GetFileCount() < 2 || p[0].GetSizeBytes() == 0 || p[0].GetPublishTime() == nil {
		t.Errorf("%v", p)
	}
	days, err := w.ListCalendarDays(ctx, &ingestv1.ListCalendarDaysRequest{})
	if err != nil || len(days.GetOpenDates()) < 1000 || days.GetLastDate() == "" {
		t.Errorf("%d open days, %v", len(days.GetOpenDates()), err)
	}
	if strings.Contains(w.log.String(), token) {
		t.Error("the token is in the log")
	}
}

// The result of a refetch has the number of changes, and the old values can be listed.
func TestRevisionsOverTheWire(t *testing.T) {
	s := sim(t)
	w := start(t, t.TempDir(), s.URL)
	ctx := context.Background()
	end := market.DateOf(time.Now()) - 14
	epoch := time.Now().UnixMilli()
	for pool, symbols := range map[marketv1.Pool][]string{
		marketv1.Pool_POOL_TARGETS: {"600000.SH", "000001.SZ"}, marketv1.Pool_POOL_UNIVERSE: nil,
	} {
		var sum int64
		pass := func(refetch bool) (day string) {
			sum = 0
			for _, stage := range []ingestv1.PlanStage{ingestv1.PlanStage_PLAN_STAGE_REFERENCES, ingestv1.PlanStage_PLAN_STAGE_DATA} {
				plan, err := w.PlanPartitions(ctx, &ingestv1.PlanPartitionsRequest{Pool: pool, Stage: stage, ModuleIds: []string{"stock.market.daily"},
					StartDate: (end - 6).String(), EndDate: end.String(), Symbols: symbols, Refetch: refetch})
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range spelledOut(plan) {
					epoch++
					result, _, err := w.ingest(t, pool, p, epoch)
					if err != nil {
						t.Fatal(err)
					}
					sum += result.GetRevisions().GetValueCount()
					day = p.GetEndDate()
				}
			}
			return day
		}
		day := pass(false)
		compact := strings.ReplaceAll(day, "-", "")
		if _, err := s.Revise(tusharesim.Revision{API: "daily_basic", TradeDate: compact, Change: 1, Codes: []string{"600000.SH"}}); err != nil {
			t.Fatal(err)
		}
		pass(true)
		all, err := w.ListRevisions(ctx, &ingestv1.ListRevisionsRequest{Pool: pool, Limit: 1001})
		if err != nil || len(all.GetRevisions()) == 0 {
			t.Fatalf("%s: %v, %v", pool, all, err)
		}
		if int64(len(all.GetRevisions())) != sum {
			t.Errorf("%s: the results tell %d values, %d are listed", pool, sum, len(all.GetRevisions()))
		}
		for _, r := range all.GetRevisions() {
			if r.GetDatasetId() != "daily_basic" || r.GetSymbol() != "600000.SH" || r.GetTradeDate() != day || r.GetRunId() != "run-1" ||
				r.OldValue == nil || r.NewValue == nil || r.GetOldValue() == r.GetNewValue() || r.GetChange() != marketv1.Revision_CHANGE_CHANGED || !r.GetSeenTime().IsValid() {
				t.Errorf("%s: %v", pool, r)
			}
		}
		one, err := w.ListRevisions(ctx, &ingestv1.ListRevisionsRequest{Pool: pool, Limit: 1, DatasetId: "daily_basic", Symbol: "600000.SH", RunId: "run-1", StartDate: day, EndDate: day})
		if err != nil || len(one.GetRevisions()) != 1 || one.GetRevisions()[0].GetRevisionId() != all.GetRevisions()[0].GetRevisionId() {
			t.Errorf("%s: %v, %v", pool, one, err)
		}
		if _, err := w.ListRevisions(ctx, &ingestv1.ListRevisionsRequest{Pool: pool, DatasetId: "weather"}); err == nil || !strings.Contains(err.Error(), "the datasets are trade_cal, stock_basic, ") {
			t.Errorf("%s: %v", pool, err)
		}
		none, err := w.ListRevisions(ctx, &ingestv1.ListRevisionsRequest{Pool: pool, Limit: 1, DatasetId: "daily"})
		if err != nil || len(none.GetRevisions()) != 0 {
			t.Errorf("%s: %v, %v", pool, none, err)
		}
	}
}

func TestProbesStreamOneByOne(t *testing.T) {
	s := sim(t)
	if err := s.Deny("fund_daily"); err != nil {
		t.Fatal(err)
	}
	w := start(t, t.TempDir(), s.URL)
	stream, err := w.ProbeModules(context.Background(), &ingestv1.ProbeModulesRequest{ModuleIds: built})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range built {
		m, err := stream.Recv()
		if err != nil || m.GetStarted().GetModuleId() != id || len(m.GetStarted().GetProviderApis()) == 0 {
			t.Fatalf("%s: %v, %v", id, m, err)
		}
		if m, err = stream.Recv(); err != nil || m.GetFinished().GetModuleId() != id || m.GetFinished().GetPassed() != (id != "etf.daily_quote") {
			t.Fatalf("%s: %v, %v", id, m, err)
		}
	}
	if m, err := stream.Recv(); err != io.EOF {
		t.Errorf("%v, %v", m, err)
	}
	tokens, err := w.ListTokens(context.Background(), &ingestv1.ListTokensRequest{})
	if err != nil || len(tokens.GetTokens()) != 2 || tokens.GetTokens()[0].GetSource() != "environment" || len(tokens.GetTokens()[0].GetFingerprint()) != 16 ||
		!strings.HasPrefix(s.URL, "http://"+tokens.GetProviderHost()) {
		t.Errorf("%v, %v", tokens, err)
	}
}

// A stored token is used from the next call on, survives a restart, and is in no file and
// no log line.
func TestStoredTokenOverTheWire(t *testing.T) {
	const stored = "c0ffee-stored-token-c0ffee"
	s := tusharesim.StartTest(t, tusharesim.Options{Stocks: 50, Funds: 20, Tokens: map[string]tusharesim.Grant{stored: {Points: 20_000}}})
	dir := t.TempDir()
	w := start(t, dir, s.URL)
	ctx := context.Background()
	part := &ingestv1.PartitionSpec{PartitionId: "stock_basic", DatasetId: "stock_basic", ModuleId: "stock.basic"}
	if _, _, err := w.ingest(t, marketv1.Pool_POOL_TARGETS, part, 1); !fault.Is(err, fault.TokenInvalid) {
		t.Fatalf("with the token of the environment: %v", err)
	}
	if _, err := w.SetToken(ctx, &ingestv1.SetTokenRequest{DomainId: "main", Token: stored}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.ingest(t, marketv1.Pool_POOL_TARGETS, part, 2); err != nil {
		t.Errorf("with the stored one: %v", err)
	}
	for _, req := range []*ingestv1.SetTokenRequest{{DomainId: stored, Token: stored}, {DomainId: "bond", Token: stored}, {DomainId: "main", Token: stored + " " + stored}, {DomainId: "main"}} {
		_, err := w.SetToken(ctx, req)
		if !fault.Is(err, fault.InvalidArgument) || strings.Contains(err.Error(), "c0ffee") {
			t.Errorf("%v", err)
		}
	}
	tokens, err := w.ListTokens(ctx, &ingestv1.ListTokensRequest{})
	if err != nil || len(tokens.GetStored()) != 1 || tokens.GetTokens()[0].GetSource() != "main" {
		t.Errorf("%v, %v", tokens, err)
	}
	if strings.Contains(w.log.String(), "c0ffee") {
		t.Error("the token is in the log")
	}
	w.stop()
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte("c0ffee")) {
			t.Errorf("the token is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	w = start(t, dir, s.URL)
	again, err := w.ListTokens(ctx, &ingestv1.ListTokensRequest{})
	if err != nil || again.GetTokens()[0].GetFingerprint() != tokens.GetTokens()[0].GetFingerprint() {
		t.Errorf("after a restart: %v, %v", again, err)
	}
	if _, err := w.ClearToken(ctx, &ingestv1.ClearTokenRequest{DomainId: "main"}); err != nil {
		t.Error(err)
	}
	_, err = w.ClearToken(ctx, &ingestv1.ClearTokenRequest{DomainId: "main"})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("cleared twice: %v", err)
	}
}

// What a refusal taught is listed and forgotten, also across a restart.
func TestLearntLimitsOverTheWire(t *testing.T) {
	s := sim(t)
	dir := t.TempDir()
	w := start(t, dir, s.URL)
	ctx := context.Background()
	limits := func() []*marketv1.LearntLimit {
		t.Helper()
		resp, err := w.ListLimits(ctx, &ingestv1.ListLimitsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetLimits()
	}
	ask := func() error {
		t.Helper()
		part := &ingestv1.PartitionSpec{PartitionId: "stock_basic", DatasetId: "stock_basic", ModuleId: "stock.basic"}
		_, _, err := w.ingest(t, marketv1.Pool_POOL_UNIVERSE, part, time.Now().UnixMilli())
		return err
	}
	if got := limits(); len(got) != 0 {
		t.Fatalf("before any refusal: %v", got)
	}
	if _, err := s.AddFault(tusharesim.Fault{Kind: tusharesim.HourLimit, API: "stock_basic", N: 1, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if err := ask(); !fault.Is(err, fault.QuotaExhausted) {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w = start(t, dir, s.URL)
	got := limits()
	if len(got) != 1 || got[0].GetProviderApi() != "stock_basic" || got[0].GetWindow() != marketv1.LearntLimit_WINDOW_HOUR || got[0].GetCallCount() != 1 || !got[0].GetInForce() {
		t.Fatalf("after a refusal: %v", got)
	}
	if wait := got[0].GetOpenTime().AsTime().Sub(got[0].GetLearnTime().AsTime()); wait < 59*time.Minute || wait > 61*time.Minute {
		t.Errorf("opens after %v", wait)
	}
	if err := ask(); !fault.Is(err, fault.QuotaExhausted) {
		t.Error(err)
	}
	if _, err := w.ForgetLimits(ctx, &ingestv1.ForgetLimitsRequest{ProviderApis: []string{"daily", "weather"}}); !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), "provider_apis[1]") {
		t.Error(err)
	}
	if resp, err := w.ForgetLimits(ctx, &ingestv1.ForgetLimitsRequest{ProviderApis: []string{"daily"}}); err != nil || len(resp.GetLimits()) != 0 || len(limits()) != 1 {
		t.Errorf("%v, %v", resp, err)
	}
	if resp, err := w.ForgetLimits(ctx, &ingestv1.ForgetLimitsRequest{}); err != nil || len(resp.GetLimits()) != 1 || len(limits()) != 0 {
		t.Errorf("%v, %v", resp, err)
	}
	if err := ask(); err != nil {
		t.Errorf("the limit is forgotten: %v", err)
	}
}

func TestNonsenseIsRefusedByName(t *testing.T) {
	w := start(t, t.TempDir(), sim(t).URL)
	ctx := context.Background()
	universe := marketv1.Pool_POOL_UNIVERSE
	daily := &ingestv1.PartitionSpec{PartitionId: "daily/2026-03-02", DatasetId: "daily", StartDate: "2026-03-02", EndDate: "2026-03-02"}
	with := func(change func(*ingestv1.PartitionSpec)) *ingestv1.PartitionSpec {
		p := &ingestv1.PartitionSpec{PartitionId: daily.PartitionId, DatasetId: daily.DatasetId, StartDate: daily.StartDate, EndDate: daily.EndDate}
		change(p)
		return p
	}
	ingest := func(pool marketv1.Pool, p *ingestv1.PartitionSpec, run string, epoch int64) func() error {
		return func() error {
			stream, err := w.IngestPartition(ctx, &ingestv1.IngestPartitionRequest{RunId: run, Pool: pool, Partition: p, Epoch: epoch})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}
	}
	plan := func(r *ingestv1.PlanPartitionsRequest) func() error {
		return func() error { _, err := w.PlanPartitions(ctx, r); return err }
	}
	revisions := func(r *ingestv1.ListRevisionsRequest) func() error {
		return func() error { _, err := w.ListRevisions(ctx, r); return err }
	}
	data := ingestv1.PlanStage_PLAN_STAGE_DATA
	for name, c := range map[string]struct {
		call   func() error
		reason fault.Reason
	}{
		"no pool":          {ingest(0, daily, "r", 1), fault.InvalidArgument},
		"wrong enum":       {ingest(77, daily, "r", 1), fault.InvalidArgument},
		"no partition":     {ingest(universe, nil, "r", 1), fault.InvalidArgument},
		"no run":           {ingest(universe, daily, "", 1), fault.InvalidArgument},
		"no epoch":         {ingest(universe, daily, "r", 0), fault.InvalidArgument},
		"unknown dataset":  {ingest(universe, with(func(p *ingestv1.PartitionSpec) { p.DatasetId = "weather" }), "r", 1), fault.InvalidArgument},
		"another id":       {ingest(universe, with(func(p *ingestv1.PartitionSpec) { p.PartitionId = "daily/2026-03-03" }), "r", 1), fault.InvalidArgument},
		"no such day":      {ingest(universe, with(func(p *ingestv1.PartitionSpec) { p.StartDate = "2026-02-30" }), "r", 1), fault.InvalidArgument},
		"range backwards":  {ingest(universe, with(func(p *ingestv1.PartitionSpec) { p.EndDate = "2026-03-01" }), "r", 1), fault.InvalidArgument},
		"targets, no list": {ingest(marketv1.Pool_POOL_TARGETS, daily, "r", 1), fault.InvalidArgument},
		"plan no stage":    {plan(&ingestv1.PlanPartitionsRequest{Pool: universe, ModuleIds: built}), fault.InvalidArgument},
		"plan turned":      {plan(&ingestv1.PlanPartitionsRequest{Pool: universe, Stage: data, ModuleIds: built, StartDate: "2026-03-02", EndDate: "2026-03-01"}), fault.InvalidArgument},
		"plan unknown":     {plan(&ingestv1.PlanPartitionsRequest{Pool: universe, Stage: data, ModuleIds: []string{"stock.weather"}}), fault.InvalidArgument},
		"plan unbuilt":     {plan(&ingestv1.PlanPartitionsRequest{Pool: universe, Stage: data, ModuleIds: []string{"index.daily"}}), fault.ModuleNotSyncCapable},
		"plan bad symbol":  {plan(&ingestv1.PlanPartitionsRequest{Pool: marketv1.Pool_POOL_TARGETS, Stage: data, ModuleIds: built, Symbols: []string{"x"}}), fault.InvalidArgument},
		"plan no calendar": {plan(&ingestv1.PlanPartitionsRequest{Pool: universe, Stage: data, ModuleIds: built}), fault.CalendarUnavailable},
		"huge field":       {plan(&ingestv1.PlanPartitionsRequest{Pool: universe, Stage: data, ModuleIds: []string{strings.Repeat("x", 10<<20)}}), fault.InvalidArgument},
		"probe unbuilt": {func() error {
			stream, err := w.ProbeModules(ctx, &ingestv1.ProbeModulesRequest{ModuleIds: []string{"index.daily"}})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}, fault.ModuleNotSyncCapable},
		"revisions of no pool":       {revisions(&ingestv1.ListRevisionsRequest{Limit: 1}), fault.InvalidArgument},
		"revisions without limit":    {revisions(&ingestv1.ListRevisionsRequest{Pool: universe}), fault.InvalidArgument},
		"revisions of no dataset":    {revisions(&ingestv1.ListRevisionsRequest{Pool: universe, Limit: 1, DatasetId: "weather"}), fault.InvalidArgument},
		"revisions before the first": {revisions(&ingestv1.ListRevisionsRequest{Pool: universe, Limit: 1, BeforeRevisionId: -1}), fault.InvalidArgument},
		"too many old days":          {plan(&ingestv1.PlanPartitionsRequest{Pool: universe, Stage: data, ModuleIds: built, RecheckDays: 101}), fault.InvalidArgument},
		"coverage": {func() error {
			_, err := w.ListCoverage(ctx, &ingestv1.ListCoverageRequest{Pool: universe, StartDate: "yesterday"})
			return err
		}, fault.InvalidArgument},
	} {
		if err := c.call(); !fault.Is(err, c.reason) {
			t.Errorf("%s: %s %v", name, fault.ReasonOf(err), err)
		}
	}
}

func TestCancelledCallLeavesNothingInHand(t *testing.T) {
	s := sim(t)
	if _, err := s.AddFault(tusharesim.Fault{Kind: tusharesim.Hang}); err != nil {
		t.Fatal(err)
	}
	w := start(t, t.TempDir(), s.URL)
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := w.IngestPartition(ctx, &ingestv1.IngestPartitionRequest{RunId: "r", Pool: marketv1.Pool_POOL_UNIVERSE, Epoch: 5,
		Partition: &ingestv1.PartitionSpec{PartitionId: "daily/2026-03-02", DatasetId: "daily", StartDate: "2026-03-02", EndDate: "2026-03-02"}})
	if err != nil {
		t.Fatal(err)
	}
	wait, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := s.WaitHanging(wait, 1); err != nil {
		t.Fatal(err)
	}
	active, err := w.ListActivePartitions(wait, &ingestv1.ListActivePartitionsRequest{RunId: "r"})
	if err != nil || len(active.GetPartitions()) != 1 || active.GetPartitions()[0].GetEpoch() != 5 {
		t.Fatalf("%v, %v", active, err)
	}
	cancel()
	for {
		if _, err := stream.Recv(); err != nil {
			break
		}
	}
	for len(active.GetPartitions()) > 0 {
		if active, err = w.ListActivePartitions(wait, &ingestv1.ListActivePartitionsRequest{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHealthAndOneProcessPerDirectory(t *testing.T) {
	dir := t.TempDir()
	w := start(t, dir, "http://127.0.0.1:1")
	h, err := healthgrpc.NewHealthClient(w.conn).Check(context.Background(), &healthgrpc.HealthCheckRequest{Service: "afterbell.ingest.v1.IngestService"})
	if err != nil || h.GetStatus() != healthgrpc.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", h, err)
	}
	cfg, err := config.Parse([]string{"--data-dir", dir, "--grpc-addr", "127.0.0.1:0"}, func(string) string { return "" }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.New(cfg, app.Secrets{}, slog.New(slog.DiscardHandler)); !fault.Is(err, fault.DataDirLocked) {
		t.Errorf("a second worker: %v", err)
	}
	var line struct{ Msg, Service, Addr string }
	first, _, _ := strings.Cut(w.log.String(), "\n")
	if err := json.Unmarshal([]byte(first), &line); err != nil || line.Msg != "listening" || line.Service != "ingest-worker" {
		t.Errorf("first line %q, %v", first, err)
	}
	if _, _, err := net.SplitHostPort(line.Addr); err != nil {
		t.Error(err)
	}
}

func TestMainTellsInOneLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, ""},
		{[]string{"--grpc-addr", "0.0.0.0:0"}, 2, "authentication"},
		{[]string{"--data-dir", filepath.Join(file, "x")}, 2, "data-dir"},
		{[]string{"--data-dir", t.TempDir(), "--grpc-addr", "127.0.0.1:0", "--tls-cert", absent, "--tls-key", file}, 2, "tls-cert: "},
		{[]string{"--data-dir", t.TempDir(), "--grpc-addr", "127.0.0.1:0", "--secret-file", file}, 2, "secret-file: "},
		{[]string{"--data-dir", absent, "--tushare-url", "ftp://x"}, 2, "tushare-url"},
		{[]string{"--data-dir", absent, "--tushare-url", "http://:7790"}, 2, "tushare-url"},
		{[]string{"--data-dir", absent, "--tushare-url", "http://user:word@host"}, 2, "no user"},
	} {
		var out, errout bytes.Buffer
		code := app.Main(context.Background(), c.args, func(string) string { return "" }, &out, &errout)
		if code != c.code || !strings.Contains(errout.String(), c.says) || strings.Count(errout.String(), "\n") > 1 || strings.Contains(errout.String(), "word@") {
			t.Errorf("%v: %d, %q", c.args, code, errout.String())
		}
	}
	if _, err := os.Stat(absent); err == nil {
		t.Error("a data directory was made for a flag that cannot be")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errout bytes.Buffer
	args := []string{"--data-dir", t.TempDir(), "--grpc-addr", "127.0.0.1:0", "--tushare-url", "http://127.0.0.1:1"}
	if code := app.Main(ctx, args, func(string) string { return "" }, &out, &errout); code != 0 || errout.Len() > 0 {
		t.Errorf("a stop that was asked for: %d, %q", code, errout.String())
	}
}
