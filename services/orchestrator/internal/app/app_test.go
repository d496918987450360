package app

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/config"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// harness is a whole orchestrator in front of a scripted worker.
type harness struct {
	*App
	worker *scriptedWorker
	conn   *grpc.ClientConn
	http   *http.Client
	log    *lockedBuffer
	dir    string
	stop   func() error
}

// quiet keeps a new ledger from asking for runs by itself.
func quiet(t testing.TB, dir string) {
	t.Helper()
	store, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(dir, ledger.FileName), Logger: logging.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	s := slot.Default()
	s.RunOnStartup, s.Enabled = false, false
	if err := errors.Join(store.SaveSchedule(t.Context(), s), store.Close()); err != nil {
		t.Fatal(err)
	}
}

func start(t testing.TB) *harness {
	t.Helper()
	w, addr := startWorker(t)
	dir := t.TempDir()
	quiet(t, dir)
	r := startIn(t, dir, addr)
	r.worker = w
	return r
}

func startIn(t testing.TB, dir, workerAddr string, change ...func(*config.Config)) *harness {
	t.Helper()
	r := &harness{log: &lockedBuffer{}, dir: dir, http: &http.Client{Transport: &http.Transport{}}}
	log, err := logging.New(r.log, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Config{DataDir: dir, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", WorkerAddr: workerAddr, StopTimeout: 2 * time.Second, Schedule: true}
	for _, c := range change {
		c(&cfg)
	}
	if r.App, err = New(t.Context(), cfg, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if r.conn, err = transport.Dial(r.GRPCAddr()); err != nil {
		t.Fatal(err)
	}
	r.stop = sync.OnceValue(func() error {
		cancel()
		err := errors.Join(<-ended, r.Close())
		return err
	})
	t.Cleanup(func() {
		r.http.CloseIdleConnections()
		if err := errors.Join(r.conn.Close(), r.stop()); err != nil {
			t.Error(err)
		}
		if strings.Contains(r.log.String(), `"panic"`) {
			t.Errorf("something panicked: %s", r.log)
		}
	})
	return r
}

func (r *harness) runs() orchestratorv1.RunServiceClient {
	return orchestratorv1.NewRunServiceClient(r.conn)
}

func (r *harness) get(t testing.TB, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.HTTPAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

// finish follows a run to its end and returns it with its events.
func (r *harness) finish(t testing.TB, id string) (*orchestratorv1.Run, []*orchestratorv1.RunEvent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := r.runs().WatchRun(ctx, &orchestratorv1.WatchRunRequest{RunId: id})
	if err != nil {
		t.Fatal(err)
	}
	var events []*orchestratorv1.RunEvent
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.GetEvent() != nil {
			events = append(events, m.GetEvent())
		}
	}
	if len(events) == 0 || events[len(events)-1].GetFinished() == nil {
		t.Fatalf("run %s ended without its last event: %v", id, events)
	}
	return events[len(events)-1].GetFinished(), events
}

func (r *harness) create(t testing.TB, req *orchestratorv1.CreateRunRequest) *orchestratorv1.Run {
	t.Helper()
	resp, err := r.runs().CreateRun(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetRuns()[0]
}

var universe = []marketv1.Pool{marketv1.Pool_POOL_UNIVERSE}

func TestRunFromRequestToLedger(t *testing.T) {
	r := start(t)
	created := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	if created.GetRunId() == "" || created.GetMode() != orchestratorv1.Run_MODE_BOOTSTRAP && created.GetMode() != orchestratorv1.Run_MODE_MANUAL {
		t.Errorf("created %v", created)
	}
	done, events := r.finish(t, created.GetRunId())
	if done.GetOutcome() != orchestratorv1.Run_OUTCOME_SUCCEEDED || done.GetRowCount() != 600 || done.GetCompletedPartitionCount() != 6 {
		t.Errorf("ended as %v", done)
	}
	for i, e := range events {
		if e.GetSequence() != int64(i+1) {
			t.Fatalf("event %d has sequence %d", i, e.GetSequence())
		}
	}
	got, err := r.runs().GetRun(t.Context(), &orchestratorv1.GetRunRequest{RunId: created.GetRunId()})
	if err != nil || len(got.GetRun().GetExplanation()) < 3 || !strings.Contains(got.GetRun().GetNextCommand(), r.HTTPAddr()) {
		t.Errorf("explained as %v, %v", got, err)
	}
	if now := got.GetRun().GetCreateTime().AsTime(); !now.Equal(created.GetCreateTime().AsTime()) {
		t.Errorf("created at %v, and later at %v", created.GetCreateTime().AsTime(), now)
	}

	// The same over REST, resumed in the middle.
	resp, lines := r.get(t, "GET", "/v1/runs/"+created.GetRunId()+":watch?after_sequence=2", "")
	if n := strings.Count(lines, "\n"); resp.StatusCode != 200 || n != len(events)-2 || !strings.Contains(lines, `"sequence":"3"`) {
		t.Errorf("%d lines for %d events: %.300s", n, len(events), lines)
	}
	_, sse := r.get(t, "GET", "/v1/runs/"+created.GetRunId()+":watch", "", "Accept", "text/event-stream", "Last-Event-ID", "2")
	if strings.Count(sse, "data: {") != len(events)-2 || !strings.HasPrefix(sse, "id: 3\n") {
		t.Errorf("events: %.300s", sse)
	}

	// Partitions come in pages.
	var ids []string
	for token := ""; ; {
		page, err := r.runs().ListPartitions(t.Context(), &orchestratorv1.ListPartitionsRequest{RunId: created.GetRunId(), PageSize: 4, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.GetPartitions() {
			ids = append(ids, p.GetPartitionId())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(ids) != 6 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 6 {
		t.Errorf("partitions = %v", ids)
	}

	verified, err := r.runs().VerifyRun(t.Context(), &orchestratorv1.VerifyRunRequest{RunId: created.GetRunId()})
	if err != nil || verified.GetCheckedCount() != 6 || len(verified.GetDifferences()) != 0 {
		t.Errorf("verified as %v, %v", verified, err)
	}
	again := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	if done, _ := r.finish(t, again.GetRunId()); done.GetOutcome() != orchestratorv1.Run_OUTCOME_UNCHANGED {
		t.Errorf("with nothing to do it ended as %s", done.GetOutcome())
	}
	pool, err := orchestratorv1.NewPoolServiceClient(r.conn).GetPool(t.Context(), &orchestratorv1.GetPoolRequest{Pool: "universe"})
	if err != nil || pool.GetPool().GetLastRun().GetRunId() != again.GetRunId() || len(pool.GetPool().GetModuleDates()) != 1 ||
		pool.GetPool().GetModuleDates()[0].GetTradeDate() != "2026-03-02" {
		t.Errorf("pool = %v, %v", pool, err)
	}
	if _, err := r.runs().DeleteRun(t.Context(), &orchestratorv1.DeleteRunRequest{RunId: created.GetRunId()}); err != nil {
		t.Fatal(err)
	}
	_, err = r.runs().GetRun(t.Context(), &orchestratorv1.GetRunRequest{RunId: created.GetRunId()})
	faulttest.Produces(t, err, fault.NotFound)
}

func TestRunsInPages(t *testing.T) {
	r := start(t)
	want := map[string]bool{}
	for range 5 {
		run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe, Refetch: true})
		want[run.GetRunId()] = true
		r.finish(t, run.GetRunId())
	}
	got := map[string]bool{}
	for token, pages := "", 0; ; pages++ {
		page, err := r.runs().ListRuns(t.Context(), &orchestratorv1.ListRunsRequest{Pool: marketv1.Pool_POOL_UNIVERSE, PageSize: 2, PageToken: token})
		if err != nil || pages > 3 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, run := range page.GetRuns() {
			if got[run.GetRunId()] {
				t.Errorf("%s came twice", run.GetRunId())
			}
			got[run.GetRunId()] = true
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d runs, want %d", len(got), len(want))
	}
	_, err := r.runs().ListRuns(t.Context(), &orchestratorv1.ListRunsRequest{PageToken: "bm90IG9uZQ"})
	faulttest.Produces(t, err, fault.InvalidArgument)
}

func TestValidateOnlyRecordsNothing(t *testing.T) {
	r := start(t)
	resp, err := r.runs().CreateRun(t.Context(), &orchestratorv1.CreateRunRequest{Pools: universe, ValidateOnly: true, StartDate: "2026-02-27"})
	if err != nil || len(resp.GetPlans()) != 1 || resp.GetPlans()[0].GetPartitionCount() != 4 || resp.GetPlans()[0].GetLastTradeDate() != "2026-03-02" {
		t.Errorf("plan = %v, %v", resp, err)
	}
	list, err := r.runs().ListRuns(t.Context(), &orchestratorv1.ListRunsRequest{})
	if err != nil || len(list.GetRuns()) != 0 {
		t.Errorf("recorded %v, %v", list, err)
	}
}

func TestRequestIDIsIdempotent(t *testing.T) {
	r := start(t)
	req := &orchestratorv1.CreateRunRequest{Pools: universe, RequestId: "0195f1a2-7c3e-7b1a-9d57-3f0a5c1e2b4d",
		ModuleIds: []string{"stock.reference", "stock.market.daily"}}
	first := r.create(t, req)
	slices.Reverse(req.ModuleIds) // the same request
	again := r.create(t, req)
	if first.GetRunId() != again.GetRunId() {
		t.Errorf("%s, then %s", first.GetRunId(), again.GetRunId())
	}
	r.finish(t, first.GetRunId())
	req.RequestId = strings.ToUpper(req.GetRequestId())
	if again := r.create(t, req); again.GetRunId() != first.GetRunId() {
		t.Errorf("%s, in capitals %s", first.GetRunId(), again.GetRunId())
	}
	req.Refetch = true
	_, err := r.runs().CreateRun(t.Context(), req)
	faulttest.Produces(t, err, fault.RequestIDReused)
}

func TestPreflightStreamsEachModule(t *testing.T) {
	r := start(t)
	resp, body := r.get(t, "POST", "/v1/preflights:run", `{"pools":["POOL_UNIVERSE"]}`)
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if resp.Header.Get("X-Accel-Buffering") != "no" || !strings.Contains(resp.Header.Get("Cache-Control"), "no-transform") {
		t.Errorf("a proxy may collect the stream: %v", resp.Header)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" || len(lines) != 1+4+4+1+1 {
		t.Fatalf("%d %s, %d lines: %s", resp.StatusCode, resp.Header.Get("Content-Type"), len(lines), body)
	}
	var last struct {
		Result struct {
			Event struct {
				PreflightID string `json:"preflightId"`
				Completed   struct {
					State    string
					Verdicts []struct{ Decision string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if c := last.Result.Event.Completed; c.State != "STATE_COMPLETED" || len(c.Verdicts) != 1 || c.Verdicts[0].Decision != "DECISION_READY" {
		t.Errorf("completed as %+v", c)
	}
	client := orchestratorv1.NewPreflightServiceClient(r.conn)
	got, err := client.GetPreflight(t.Context(), &orchestratorv1.GetPreflightRequest{PreflightId: last.Result.Event.PreflightID})
	if err != nil || got.GetPreflight().GetState() != orchestratorv1.Preflight_STATE_COMPLETED || got.GetPreflight().GetCallCount() != 4 {
		t.Errorf("kept as %v, %v", got, err)
	}
	list, err := client.ListPreflights(t.Context(), &orchestratorv1.ListPreflightsRequest{PageSize: 1})
	if err != nil || len(list.GetPreflights()) != 1 {
		t.Errorf("list = %v, %v", list, err)
	}
	probes, err := client.ListProbes(t.Context(), &orchestratorv1.ListProbesRequest{})
	if err != nil || len(probes.GetProbes()) != 5 || probes.GetProbes()[0].GetStatus() != orchestratorv1.Probe_STATUS_PASS ||
		probes.GetProbes()[4].GetStatus() != orchestratorv1.Probe_STATUS_UNSUPPORTED {
		t.Errorf("probes = %v, %v", probes, err)
	}
	if _, sse := r.get(t, "POST", "/v1/preflights:run", `{}`, "Accept", "text/event-stream"); !strings.HasPrefix(sse, "id: 1\ndata: {") {
		t.Errorf("events = %.200s", sse)
	}
	readiness, err := orchestratorv1.NewModuleServiceClient(r.conn).GetReadiness(t.Context(), &orchestratorv1.GetReadinessRequest{})
	if err != nil || len(readiness.GetVerdicts()) != 2 || readiness.GetVerdicts()[1].GetDecision() != orchestratorv1.PoolVerdict_DECISION_READY {
		t.Errorf("readiness = %v, %v", readiness, err)
	}
}

// The gate's findings are in ingest_runs for users' SQL.
func TestBlockedRunsAreCodedRows(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		change func()
		stage  string
		want   fault.Reason
	}{
		{func() { r.worker.noTok = true }, "token", fault.TokenMissing},
		{func() {
			r.worker.noTok = false
			r.worker.probe = transport.IssueToProto(fault.NewIssue(fault.TokenInvalid, "The provider refuses the token."))
		}, "readiness", fault.TokenInvalid},
		{func() {
			r.worker.probe = nil
			r.worker.store = transport.IssueToProto(fault.NewIssue(fault.AnalysisDBNotInitialized, "analysis.duckdb lacks its schema."))
		}, "analysis_init", fault.AnalysisDBNotInitialized},
	} {
		r.worker.set(c.change)
		run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe, Refetch: true})
		done, _ := r.finish(t, run.GetRunId())
		if done.GetOutcome() != orchestratorv1.Run_OUTCOME_BLOCKED {
			t.Errorf("%s: ended as %s", c.want, done.GetOutcome())
		}
		db, err := sql.Open("sqlite3", "file:"+filepath.Join(r.dir, ledger.FileName)+"?mode=ro")
		if err != nil {
			t.Fatal(err)
		}
		var status, stage, code, message string
		err = db.QueryRow(`select status, json_extract(meta_json,'$.blockedStage'), json_extract(meta_json,'$.errorCode'), error_message
			from ingest_runs where id = ?`, run.GetRunId()).Scan(&status, &stage, &code, &message)
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		if status != "failed" || stage != c.stage || code != string(c.want) || message == "" {
			t.Errorf("%s: row is %s, %s, %s, %q", c.want, status, stage, code, message)
		}
	}
}

func TestCancelAndPause(t *testing.T) {
	r := start(t)
	hold := make(chan struct{})
	r.worker.set(func() { r.worker.hold = hold })
	run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	waitFor(t, func() bool {
		r.worker.mu.Lock()
		defer r.worker.mu.Unlock()
		return len(r.worker.active) > 0
	})
	// A run behind it waits, and its explanation says so.
	behind := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe, Refetch: true})
	got, err := r.runs().GetRun(t.Context(), &orchestratorv1.GetRunRequest{RunId: behind.GetRunId()})
	if err != nil || !strings.Contains(strings.Join(got.GetRun().GetExplanation(), " "), run.GetRunId()) {
		t.Errorf("explained as %v, %v", got.GetRun().GetExplanation(), err)
	}
	_, err = r.runs().DeleteRun(t.Context(), &orchestratorv1.DeleteRunRequest{RunId: run.GetRunId()})
	faulttest.Produces(t, err, fault.WrongState)
	cancelled, err := r.runs().CancelRun(t.Context(), &orchestratorv1.CancelRunRequest{RunId: behind.GetRunId(), Note: "not needed"})
	if err != nil || cancelled.GetRun().GetState() != orchestratorv1.Run_STATE_FINISHED {
		t.Errorf("a queued run is %v, %v", cancelled, err)
	}
	if _, err := r.runs().CancelRun(t.Context(), &orchestratorv1.CancelRunRequest{RunId: run.GetRunId(), Note: "enough"}); err != nil {
		t.Fatal(err)
	}
	done, _ := r.finish(t, run.GetRunId())
	if done.GetOutcome() != orchestratorv1.Run_OUTCOME_CANCELLED || done.GetNote() != "enough" {
		t.Errorf("ended as %v", done)
	}
	faulttest.Produces(t, transport.IssuesFromProto(done.GetIssues()), fault.Cancelled)
	_, err = r.runs().CancelRun(t.Context(), &orchestratorv1.CancelRunRequest{RunId: run.GetRunId()})
	faulttest.Produces(t, err, fault.WrongState)

	pools := orchestratorv1.NewPoolServiceClient(r.conn)
	paused, err := pools.PausePool(t.Context(), &orchestratorv1.PausePoolRequest{Pool: "universe", Note: "month end"})
	if err != nil || !paused.GetPool().GetPaused() || paused.GetPool().GetNote() != "month end" {
		t.Errorf("paused as %v, %v", paused, err)
	}
	held := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe, Refetch: true})
	got, err = r.runs().GetRun(t.Context(), &orchestratorv1.GetRunRequest{RunId: held.GetRunId()})
	if err != nil || !strings.Contains(strings.Join(got.GetRun().GetExplanation(), " "), "(month end); no run of the pool starts") ||
		got.GetRun().GetNextCommand() != "curl -X POST "+r.HTTPAddr()+"/v1/pools/universe:resume -d '{}'" {
		t.Errorf("explained as %v, %v", got, err)
	}
	resp, body := r.get(t, "POST", "/v1/pools/universe:resume", `{"note":"go on"}`)
	if resp.StatusCode != 200 || !strings.Contains(body, `"paused":false`) {
		t.Errorf("resumed: %d %s", resp.StatusCode, body)
	}
}

// waitFor polls a condition that another process's goroutine brings about.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about within 20 s")
		}
	}
}

func TestModulesAndDomains(t *testing.T) {
	r := start(t)
	client := orchestratorv1.NewModuleServiceClient(r.conn)
	list, err := client.ListDomains(t.Context(), &orchestratorv1.ListDomainsRequest{})
	if err != nil || len(list.GetDomains()) != 3 || len(list.GetProviders()) != 2 || !list.GetDomains()[0].GetEnabled() || list.GetDomains()[2].GetEnabled() {
		t.Fatalf("domains = %v, %v", list, err)
	}
	off := false
	module, err := client.UpdateModule(t.Context(), &orchestratorv1.UpdateModuleRequest{ModuleId: "stock.basic", Enabled: &off})
	if err != nil || module.GetModule().GetEnabled() {
		t.Errorf("module = %v, %v", module, err)
	}
	// An update that changes nothing is a mistake, and so is a domain of which nothing is implemented.
	for path, want := range map[string]string{
		"/v1/domains/etf": "enabled, provider_id", "/v1/schedule": "enabled, run_at, time_zone, pools", "/v1/settings": "preflight_policy",
		"/v1/modules/stock.basic": "set at least one of enabled",
	} {
		if resp, body := r.get(t, "PATCH", path, `{}`); resp.StatusCode != 400 || !strings.Contains(body, "changes nothing; set at least one of ") || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	if resp, body := r.get(t, "PATCH", "/v1/domains/bond", `{"enabled":true}`); resp.StatusCode != 400 || !strings.Contains(body, "MODULE_NOT_SYNC_CAPABLE") {
		t.Errorf("a domain without modules that are implemented: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "PATCH", "/v1/domains/etf", `{"enabled":false}`); resp.StatusCode != 200 || !strings.Contains(body, `"enabled":false,"providerId":"tushare"`) {
		t.Errorf("domain: %d %s", resp.StatusCode, body)
	}
	list, err = client.ListDomains(t.Context(), &orchestratorv1.ListDomainsRequest{})
	if err != nil || list.GetDomains()[0].GetModules()[0].GetEnabled() || list.GetDomains()[1].GetEnabled() {
		t.Errorf("it was not kept: %v, %v", list, err)
	}
	on, wind, none := true, "wind", "bloomberg"
	_, err = client.UpdateModule(t.Context(), &orchestratorv1.UpdateModuleRequest{ModuleId: "bond.yield_curve", Enabled: &on})
	faulttest.Produces(t, err, fault.ModuleNotSyncCapable)
	_, err = client.UpdateDomain(t.Context(), &orchestratorv1.UpdateDomainRequest{DomainId: "stock", ProviderId: &wind})
	faulttest.Produces(t, err, fault.DomainProviderNotActive)
	_, err = client.UpdateDomain(t.Context(), &orchestratorv1.UpdateDomainRequest{DomainId: "stock", ProviderId: &none})
	faulttest.Produces(t, err, fault.InvalidArgument)
	_, err = client.UpdateDomain(t.Context(), &orchestratorv1.UpdateDomainRequest{DomainId: "weather"})
	faulttest.Produces(t, err, fault.NotFound)
	_, err = r.runs().CreateRun(t.Context(), &orchestratorv1.CreateRunRequest{ModuleIds: []string{"bond.yield_curve"}})
	faulttest.Produces(t, err, fault.ModuleNotSyncCapable)
}

func TestTargets(t *testing.T) {
	r := start(t)
	client := orchestratorv1.NewTargetServiceClient(r.conn)
	if _, err := client.UpdateTargets(t.Context(), &orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: []string{"600519.sh", "600519.SH"}}}); err != nil {
		t.Fatal(err)
	}
	resp, body := r.get(t, "POST", "/v1/targets:preview", `{"targets":{"symbols":["159915.SZ"]}}`)
	for _, want := range []string{`"symbol":"159915.SZ","kind":"INSTRUMENT_KIND_ETF"`, `"addedSymbols":["159915.SZ"]`, `"removedSymbols":["600519.SH"]`} {
		if resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("preview lacks %s: %d %s", want, resp.StatusCode, body)
		}
	}
	got, err := client.GetTargets(t.Context(), &orchestratorv1.GetTargetsRequest{})
	if err != nil || !slices.Equal(got.GetTargets().GetSymbols(), []string{"600519.SH"}) {
		t.Errorf("saved = %v, %v", got, err)
	}
	resp, body = r.get(t, "PUT", "/v1/targets", `{"targets":{"symbols":["600519.SH","AAPL","501018.SH"]}}`)
	if resp.StatusCode != 400 || !strings.Contains(body, "targets.symbols[1]") || !strings.Contains(body, "targets.symbols[2]") {
		t.Errorf("wrong symbols: %d %s", resp.StatusCode, body)
	}
	got, err = client.GetTargets(t.Context(), &orchestratorv1.GetTargetsRequest{})
	if err != nil || len(got.GetTargets().GetSymbols()) != 1 {
		t.Errorf("a refused list was saved: %v, %v", got, err)
	}
	run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS}})
	if done, _ := r.finish(t, run.GetRunId()); done.GetOutcome() != orchestratorv1.Run_OUTCOME_SUCCEEDED {
		t.Errorf("targets ended as %v", done)
	}
}

// TestChangedTargetsAreNotCovered creates a run while another is in progress that began with the old
// list.
func TestChangedTargetsAreNotCovered(t *testing.T) {
	r := start(t)
	client := orchestratorv1.NewTargetServiceClient(r.conn)
	save := func(symbols ...string) {
		if _, err := client.UpdateTargets(t.Context(), &orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: symbols}}); err != nil {
			t.Fatal(err)
		}
	}
	save("600519.SH")
	hold := make(chan struct{})
	r.worker.set(func() { r.worker.hold = hold })
	ask := &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS}}
	first := r.create(t, ask)
	waitFor(t, func() bool {
		r.worker.mu.Lock()
		defer r.worker.mu.Unlock()
		return len(r.worker.active) > 0
	})
	if again := r.create(t, ask); again.GetRunId() != first.GetRunId() {
		t.Errorf("the run under way does not cover the same request: %v", again)
	}
	save("600519.SH", "600000.SH")
	second := r.create(t, ask)
	if second.GetRunId() == first.GetRunId() {
		t.Fatal("a run that began before the list was changed covers the request after it")
	}
	if third := r.create(t, ask); third.GetRunId() != second.GetRunId() {
		t.Errorf("the queued run does not cover the same request: %v", third)
	}
	close(hold)
	if done, _ := r.finish(t, second.GetRunId()); done.GetState() != orchestratorv1.Run_STATE_FINISHED {
		t.Errorf("the second run ended as %v", done)
	}
}

func TestScheduleAndSettings(t *testing.T) {
	r := start(t)
	resp, body := r.get(t, "PATCH", "/v1/schedule", `{"enabled":true,"runAt":"20:15","catchUp":"CATCH_UP_ALL"}`)
	if resp.StatusCode != 200 || !strings.Contains(body, `"runAt":"20:15"`) || !strings.Contains(body, `"catchUp":"CATCH_UP_ALL"`) || strings.Contains(body, `"nextTime":null`) {
		t.Errorf("schedule: %d %s", resp.StatusCode, body)
	}
	for path, bodies := range map[string][]string{
		"/v1/schedule": {`{"runAt":"25:00"}`, `{"timeZone":"Mars/Olympus"}`, `{"timeZone":"Local"}`, `{"timeZone":""}`, `{"catchUp":"CATCH_UP_UNSPECIFIED"}`, `{"catchUp":9}`, `{"pools":[0]}`},
		"/v1/settings": {`{"dispatchWidth":0}`, `{"dispatchWidth":65}`, `{"orderWait":"-1s"}`, `{"orderWait":"7200s"}`, `{"retentionDays":-1}`,
			`{"followUpDeadline":"late"}`, `{"maxFollowUps":21}`, `{"preflightPolicy":"PREFLIGHT_POLICY_UNSPECIFIED"}`, `{"readinessPolicy":9}`},
	} {
		for _, b := range bodies {
			if resp, body := r.get(t, "PATCH", path, b); resp.StatusCode != 400 || !strings.Contains(body, "fieldViolations") {
				t.Errorf("%s %s: %d %s", path, b, resp.StatusCode, body)
			}
		}
	}
	if _, body := r.get(t, "GET", "/v1/schedule", ""); !strings.Contains(body, `"runAt":"20:15"`) || !strings.Contains(body, "Asia/Shanghai") {
		t.Errorf("a refused change was kept: %s", body)
	}
	if resp, body := r.get(t, "POST", "/v1/schedule:pause", `{"note":"holiday"}`); resp.StatusCode != 200 || !strings.Contains(body, `"paused":true,"note":"holiday"`) {
		t.Errorf("pause: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "POST", "/v1/schedule:resume", `{"catchUp":"CATCH_UP_NONE"}`); resp.StatusCode != 200 || !strings.Contains(body, `"paused":false`) {
		t.Errorf("resume: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "PATCH", "/v1/settings", `{"dispatchWidth":3,"orderWait":"90s"}`); resp.StatusCode != 200 || !strings.Contains(body, `"orderWait":"90s","dispatchWidth":3`) {
		t.Errorf("settings: %d %s", resp.StatusCode, body)
	}
}

func TestLearntLimitsAreListedAndForgotten(t *testing.T) {
	w, addr := startWorker(t)
	at := time.Date(2026, 3, 2, 11, 30, 0, 0, time.UTC)
	w.set(func() {
		w.limits = []*marketv1.LearntLimit{
			{ProviderApi: "moneyflow", Window: marketv1.LearntLimit_WINDOW_DAY, OpenTime: timestamppb.New(at.Add(4 * time.Hour))},
			{ProviderApi: "stock_basic", Window: marketv1.LearntLimit_WINDOW_HOUR, CallCount: 1, LearnTime: timestamppb.New(at), InForce: true},
		}
		w.waits = []*marketv1.OwnLimitWait{{ProviderApi: "daily", CallCount: 200, WaitingCount: 3, OpenTime: timestamppb.New(at)}}
	})
	r := startIn(t, t.TempDir(), addr)
	const hour = `{"providerApi":"stock_basic","window":"WINDOW_HOUR","callCount":1,"learnTime":"2026-03-02T11:30:00Z","openTime":null,"inForce":true}`
	const day = `{"providerApi":"moneyflow","window":"WINDOW_DAY","callCount":0,"learnTime":null,"openTime":"2026-03-02T15:30:00Z","inForce":false}`
	const waits = `,"ownWaits":[{"providerApi":"daily","callCount":200,"waitingCount":3,"openTime":"2026-03-02T11:30:00Z"}]}`
	if resp, body := r.get(t, "GET", "/v1/limits", ""); resp.StatusCode != 200 || strings.TrimSpace(body) != `{"limits":[`+day+`,`+hour+`]`+waits {
		t.Errorf("list: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "POST", "/v1/limits:forget", `{"provider_apis":["daily","weather"]}`); resp.StatusCode != 400 || !strings.Contains(body, `"provider_apis[1]"`) {
		t.Errorf("no such API: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "POST", "/v1/limits:forget", `{"provider_apis":["stock_basic"]}`); resp.StatusCode != 200 || strings.TrimSpace(body) != `{"limits":[`+hour+`]}` {
		t.Errorf("forget one: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "POST", "/v1/limits:forget", `{}`); resp.StatusCode != 200 || strings.TrimSpace(body) != `{"limits":[`+day+`]}` {
		t.Errorf("forget all: %d %s", resp.StatusCode, body)
	}
	if _, body := r.get(t, "GET", "/v1/limits", ""); strings.TrimSpace(body) != `{"limits":[]`+waits {
		t.Errorf("left: %s", body)
	}
}

// The response describes both services; without the worker it says why the worker is missing.
func TestInfo(t *testing.T) {
	_, addr := startWorker(t)
	type service struct {
		Commit, GoVersion, Platform string
		StartTime                   *time.Time
		Files                       []struct{ Name, SizeBytes, WalBytes string }
	}
	type info struct {
		Orchestrator *service
		Worker       *service
		Publications []struct {
			Pool, Version, SizeBytes string
			FileCount                int
		}
		WorkerIssue *struct{ Reason string }
	}
	for _, c := range []struct{ addr, issue string }{{addr, ""}, {"127.0.0.1:1", "REASON_WORKER_UNREACHABLE"}} {
		r := startIn(t, t.TempDir(), c.addr)
		resp, body := r.get(t, "GET", "/v1/info", "")
		var got info
		if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d %s %v", resp.StatusCode, body, err)
		}
		if o := got.Orchestrator; o == nil || o.GoVersion != runtime.Version() || o.StartTime == nil || len(o.Files) != 1 || o.Files[0].Name != ledger.FileName || o.Files[0].SizeBytes == "0" {
			t.Errorf("orchestrator: %s", body)
		}
		if _, zh := r.get(t, "GET", "/v1/info", "", "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.5"); c.issue != "" && !strings.Contains(zh, `"localized":{"locale":"zh-CN","message":"采集器（127.0.0.1:1）连接不上，或没有及时应答。"`) {
			t.Errorf("in Chinese: %s", zh)
		}
		if _, zh := r.get(t, "GET", "/v1/runs/none", "", "Accept-Language", "zh"); !strings.Contains(zh, `afterbell.fault.v1.Localized`) || !strings.Contains(zh, "运行 none 不存在。") {
			t.Errorf("an error in Chinese: %s", zh)
		}
		if c.issue != "" {
			if got.Worker != nil || got.WorkerIssue == nil || got.WorkerIssue.Reason != c.issue || len(got.Publications) != 0 {
				t.Errorf("without the worker: %s", body)
			}
			continue
		}
		if w := got.Worker; got.WorkerIssue != nil || w == nil || w.Commit != "1a2b3c4d5e6f" || len(w.Files) != 1 || w.Files[0].WalBytes != "32" ||
			len(got.Publications) != 1 || got.Publications[0].Pool != "POOL_TARGETS" || got.Publications[0].SizeBytes != "700" {
			t.Errorf("worker: %s", body)
		}
	}
}

func TestExplainSlot(t *testing.T) {
	dir := t.TempDir()
	quiet(t, dir)
	store, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(dir, ledger.FileName), Logger: logging.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	day, err := market.ParseDate("2026-02-27")
	if err != nil {
		t.Fatal(err)
	}
	missed := slot.Slot{ID: slot.ID(day, market.Universe), Pool: market.Universe, Date: day, DueAt: day.At(19, 30, market.Shanghai), State: slot.Missed,
		DecidedAt: day.At(23, 0, market.Shanghai), Issues: []fault.Issue{fault.NewIssue(fault.SlotMissed, "Nothing was there to fire it.", "slot_id", "x")}}
	if err := errors.Join(store.Settle(t.Context(), []slot.Slot{missed}, nil), store.Close()); err != nil {
		t.Fatal(err)
	}
	w, addr := startWorker(t)
	r := startIn(t, dir, addr, func(c *config.Config) { c.Schedule = false }) // which would decide the slots since
	r.worker = w
	resp, body := r.get(t, "GET", "/v1/slots/2026-02-27.universe:explain", "")
	if resp.StatusCode != 200 || !strings.Contains(body, "recorded as missed") || !strings.Contains(body, `"nextCommand":"curl`) {
		t.Errorf("explained: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "GET", "/v1/slots?pool=universe", ""); resp.StatusCode != 200 || !strings.Contains(body, `"state":"STATE_MISSED"`) {
		t.Errorf("slots: %d %s", resp.StatusCode, body)
	}
	// The explanation of a day before the first slot.
	for _, c := range []struct {
		day, says string
		held      bool
	}{
		{"2026-02-22", "The exchange was closed, so nothing is missing.", false},
		{days[0], "It lacks daily.", false},
		{days[0], "All data of that day is complete.", true},
	} {
		w.set(func() { w.done["POOL_UNIVERSEdaily/"+c.day] = c.held })
		resp, body = r.get(t, "GET", "/v1/slots/"+c.day+".universe:explain", "")
		complete := `"complete":"` + strconv.FormatBool(c.says != "It lacks daily.") + `"`
		if resp.StatusCode != 404 || !strings.Contains(body, c.says) || !strings.Contains(body, complete) {
			t.Errorf("%s: %d %s", c.day, resp.StatusCode, body)
		}
	}
	// A closed day has no absent symbols, and never will have.
	if resp, body := r.get(t, "GET", "/v1/pools/universe/absent-symbols?dataset_id=stock_basic&trade_date=2026-03-02", ""); resp.StatusCode != 400 || !strings.Contains(body, "allowed are daily") {
		t.Errorf("the absent symbols of a list: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "GET", "/v1/pools/universe/absent-symbols?dataset_id=daily&trade_date=2026-03-01", ""); resp.StatusCode != 404 || !strings.Contains(body, "The exchange is closed on 2026-03-01") {
		t.Errorf("absent on a Sunday: %d %s", resp.StatusCode, body)
	}
	// A run of a pool that is paused says so at once.
	if resp, body := r.get(t, "POST", "/v1/pools/universe:pause", `{"note":"anna"}`); resp.StatusCode != 200 {
		t.Errorf("pause: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "POST", "/v1/runs", `{"pools":["POOL_UNIVERSE"]}`); resp.StatusCode != 200 || !strings.Contains(body, "no run of the pool starts until it is resumed") || !strings.Contains(body, "pools/universe:resume") {
		t.Errorf("a run of a paused pool: %d %s", resp.StatusCode, body)
	}
	resp, body = r.get(t, "GET", "/v1/slots/2036-02-27.universe:explain", "")
	if resp.StatusCode != 404 || !strings.Contains(body, "NOT_FOUND") {
		t.Errorf("an unknown slot: %d %s", resp.StatusCode, body)
	}
}

// validate_only checks a change and answers with the result, and changes nothing.
func TestValidateOnlyChangesNothing(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	schedule, settings, modules := orchestratorv1.NewScheduleServiceClient(r.conn), orchestratorv1.NewSettingsServiceClient(r.conn), orchestratorv1.NewModuleServiceClient(r.conn)
	at, wrong, days, off, none := "20:00", "25:00", int32(3), false, "none"
	read := func() (all []any) {
		t.Helper()
		s, err1 := schedule.GetSchedule(ctx, &orchestratorv1.GetScheduleRequest{})
		p, err2 := settings.GetSettings(ctx, &orchestratorv1.GetSettingsRequest{})
		d, err3 := modules.ListDomains(ctx, &orchestratorv1.ListDomainsRequest{})
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		all = append(all, s.GetSchedule().GetRunAt(), p.GetSettings().GetRecheckDays())
		for _, x := range d.GetDomains() {
			all = append(all, x.GetEnabled())
			for _, m := range x.GetModules() {
				all = append(all, m.GetEnabled())
			}
		}
		return all
	}
	before := read()
	s, err1 := schedule.UpdateSchedule(ctx, &orchestratorv1.UpdateScheduleRequest{RunAt: &at, ValidateOnly: true})
	p, err2 := settings.UpdateSettings(ctx, &orchestratorv1.UpdateSettingsRequest{RecheckDays: &days, ValidateOnly: true})
	d, err3 := modules.UpdateDomain(ctx, &orchestratorv1.UpdateDomainRequest{DomainId: "etf", Enabled: &off, ValidateOnly: true})
	m, err4 := modules.UpdateModule(ctx, &orchestratorv1.UpdateModuleRequest{ModuleId: "stock.market.daily", Enabled: &off, ValidateOnly: true})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if s.GetSchedule().GetRunAt() != at || p.GetSettings().GetRecheckDays() != days || d.GetDomain().GetEnabled() || m.GetModule().GetEnabled() {
		t.Errorf("the result is not answered: %v %v %v %v", s, p, d.GetDomain().GetEnabled(), m.GetModule().GetEnabled())
	}
	_, err := schedule.UpdateSchedule(ctx, &orchestratorv1.UpdateScheduleRequest{RunAt: &wrong, ValidateOnly: true})
	faulttest.Produces(t, err, fault.InvalidArgument)
	_, err = modules.UpdateDomain(ctx, &orchestratorv1.UpdateDomainRequest{DomainId: "etf", ProviderId: &none, ValidateOnly: true})
	faulttest.Produces(t, err, fault.InvalidArgument)
	if after := read(); !slices.Equal(before, after) {
		t.Errorf("changed: %v, was %v", after, before)
	}
}

// A slot still to come is explained by the schedule as it is.
func TestForeseenSlots(t *testing.T) {
	r := start(t)
	r.finish(t, r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe}).GetRunId()) // brings the calendar
	schedule := orchestratorv1.NewScheduleServiceClient(r.conn)
	sunday, err := market.ParseDate(time.Now().AddDate(0, 0, 7).Format(time.DateOnly))
	if err != nil {
		t.Fatal(err)
	}
	for sunday.Time().Weekday() != time.Sunday {
		sunday++
	}
	explain := func(day market.Date) []fault.Issue {
		t.Helper()
		got, err := schedule.ExplainSlot(t.Context(), &orchestratorv1.ExplainSlotRequest{SlotId: slot.ID(day, market.Universe)})
		if err != nil || len(got.GetExplanation()) < 2 || got.GetNextCommand() == "" {
			t.Fatalf("explained as %v, %v", got, err)
		}
		return transport.IssuesFromProto(got.GetSlot().GetIssues())
	}
	faulttest.Produces(t, explain(sunday+1), fault.ScheduleDisabled)
	on := true
	updated, err := schedule.UpdateSchedule(t.Context(), &orchestratorv1.UpdateScheduleRequest{Enabled: &on})
	if err != nil {
		t.Fatal(err)
	}
	faulttest.Produces(t, transport.IssuesFromProto(updated.GetSchedule().GetIssues()), fault.CalendarEnded)
	faulttest.Produces(t, explain(sunday), fault.NotTradingDay)
	if _, err := schedule.PauseSchedule(t.Context(), &orchestratorv1.PauseScheduleRequest{Note: "holiday"}); err != nil {
		t.Fatal(err)
	}
	faulttest.Produces(t, explain(sunday+1), fault.SchedulePaused)
}

func TestPreflightThatBreaks(t *testing.T) {
	r := start(t)
	r.worker.set(func() { r.worker.mute = true })
	stream, err := orchestratorv1.NewPreflightServiceClient(r.conn).RunPreflight(t.Context(), &orchestratorv1.RunPreflightRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	faulttest.Produces(t, err, fault.PreflightFailed)
	resp, body := r.get(t, "POST", "/v1/preflights:run", "{}")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if last := lines[len(lines)-1]; resp.StatusCode != 200 || !strings.HasPrefix(last, `{"error":`) || !strings.Contains(last, "PREFLIGHT_FAILED") {
		t.Errorf("over REST: %d, last line %s", resp.StatusCode, last)
	}
}

func TestWorkerAway(t *testing.T) {
	dir := t.TempDir()
	quiet(t, dir)
	r := startIn(t, dir, "127.0.0.1:1")
	resp, body := r.get(t, "GET", "/readyz", "")
	if resp.StatusCode != 200 || !strings.Contains(body, `"worker":"unreachable"`) {
		t.Errorf("readyz: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "GET", "/v1/pools", ""); resp.StatusCode != 200 || !strings.Contains(body, `"moduleDates":[]`) {
		t.Errorf("pools: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.get(t, "GET", "/v1/readiness?pools=POOL_UNIVERSE", ""); resp.StatusCode != 200 || !strings.Contains(body, "DECISION_RETRY") || !strings.Contains(body, "REASON_WORKER_UNREACHABLE") {
		t.Errorf("readiness: %d %s", resp.StatusCode, body)
	}
	_, err := orchestratorv1.NewPoolServiceClient(r.conn).ListCoverage(t.Context(), &orchestratorv1.ListCoverageRequest{Pool: "universe"})
	faulttest.Produces(t, err, fault.WorkerUnreachable)
	if resp, body := r.get(t, "GET", "/v1/domains", ""); resp.StatusCode != 503 || !strings.Contains(body, "WORKER_UNREACHABLE") {
		t.Errorf("domains: %d %s", resp.StatusCode, body)
	}
}

func TestStoppingEndsStreamsAndSaysSo(t *testing.T) {
	r := start(t)
	r.worker.set(func() { r.worker.hold = make(chan struct{}) })
	run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	stream, err := r.runs().WatchRun(t.Context(), &orchestratorv1.WatchRunRequest{RunId: run.GetRunId()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.HTTPAddr()+"/v1/runs/"+run.GetRunId()+":watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() {
		t.Fatal("no first line")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) { // the run may have ended as INTERRUPTED before its watcher got the event
		faulttest.Produces(t, err, fault.Interrupted)
	}
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if !strings.HasPrefix(last, `{"error":`) && !strings.Contains(last, `"finished":`) {
		t.Errorf("the stream ended with %q", last)
	}
}

func TestSecondOnOneDirectoryIsRefusedAndLeavesNothingOpen(t *testing.T) {
	r := start(t)
	cfg := config.Config{DataDir: r.dir, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", WorkerAddr: "127.0.0.1:1", StopTimeout: time.Second}
	_, err := New(t.Context(), cfg, logging.Discard())
	faulttest.Produces(t, err, fault.DataDirLocked)

	// A failure after the ledger was opened gives the directory back.
	cfg.DataDir, cfg.HTTPAddr = t.TempDir(), r.HTTPAddr()
	_, err = New(t.Context(), cfg, logging.Discard())
	faulttest.Produces(t, err, fault.InvalidArgument)
	cfg.HTTPAddr = "127.0.0.1:0"
	a, err := New(t.Context(), cfg, logging.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMainExitCodes(t *testing.T) {
	none := func(string) string { return "" }
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":         {[]string{"--help"}, 0, ""},
		"bad flag":     {[]string{"--nonsense"}, 2, "nonsense"},
		"not loopback": {[]string{"--http-addr=0.0.0.0:0"}, 2, "authentication is not configured"},
		"no directory": {[]string{"--data-dir=/dev/null/x", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0"}, 2, "/dev/null/x"},
	} {
		var out, errout lockedBuffer
		code := Main(t.Context(), c.args, none, &out, &errout)
		if said := errout.String(); code != c.code || !strings.Contains(said, c.says) || strings.Count(said, "\n") > 1 {
			t.Errorf("%s: exit %d, said %q", name, code, said)
		}
	}
	var out, errout lockedBuffer
	args := []string{"--data-dir", t.TempDir(), "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--worker-addr=127.0.0.1:1"}
	code := make(chan int, 1)
	live, stop := context.WithCancel(t.Context())
	go func() { code <- Main(live, args, none, &out, &errout) }()
	waitFor(t, func() bool { return strings.Count(out.String(), `"msg":"listening"`) == 2 })
	stop()
	if got := <-code; got != 0 || !strings.Contains(out.String(), `"msg":"stopped"`) {
		t.Errorf("exit %d, said %q, logged %s", got, errout.String(), out.String())
	}
}
