package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/scrape"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted returns what a test sets.
type scripted struct {
	orchestratorv1.UnimplementedRunServiceServer
	orchestratorv1.UnimplementedPreflightServiceServer
	orchestratorv1.UnimplementedPoolServiceServer
	orchestratorv1.UnimplementedModuleServiceServer
	orchestratorv1.UnimplementedTargetServiceServer
	orchestratorv1.UnimplementedScheduleServiceServer
	orchestratorv1.UnimplementedSettingsServiceServer

	mu      sync.Mutex
	err     error
	created *orchestratorv1.CreateRunRequest
	listed  *orchestratorv1.ListRunsRequest
	watched *orchestratorv1.WatchRunRequest
	watch   func(grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]) error
}

var moment = timestamppb.New(time.Date(2026, 3, 2, 11, 30, 0, 0, time.UTC))

func sampleRun() *orchestratorv1.Run {
	return &orchestratorv1.Run{
		RunId: "r1", Pool: marketv1.Pool_POOL_UNIVERSE, Mode: orchestratorv1.Run_MODE_DAILY, State: orchestratorv1.Run_STATE_FINISHED,
		Outcome: orchestratorv1.Run_OUTCOME_PARTIAL, RowCount: 12_345_678_901, CreateTime: moment,
		Issues: []*faultv1.Issue{{Reason: faultv1.Reason_REASON_NOT_PUBLISHED, Severity: faultv1.Severity_SEVERITY_RETRY,
			Message: "moneyflow of 2026-03-02 is not published yet.", Metadata: map[string]string{"dataset": "moneyflow"}}},
	}
}

func (s *scripted) fail() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *scripted) GetRun(context.Context, *orchestratorv1.GetRunRequest) (*orchestratorv1.GetRunResponse, error) {
	return &orchestratorv1.GetRunResponse{Run: sampleRun()}, s.fail()
}

func (s *scripted) ListRuns(_ context.Context, req *orchestratorv1.ListRunsRequest) (*orchestratorv1.ListRunsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = req
	return &orchestratorv1.ListRunsResponse{}, s.err
}

func (s *scripted) CreateRun(_ context.Context, req *orchestratorv1.CreateRunRequest) (*orchestratorv1.CreateRunResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.created = req
	return &orchestratorv1.CreateRunResponse{}, s.err
}

func (s *scripted) GetSettings(context.Context, *orchestratorv1.GetSettingsRequest) (*orchestratorv1.GetSettingsResponse, error) {
	return &orchestratorv1.GetSettingsResponse{Settings: &orchestratorv1.Settings{OrderWait: durationpb.New(10 * time.Minute)}}, nil
}

func (s *scripted) GetPool(_ context.Context, req *orchestratorv1.GetPoolRequest) (*orchestratorv1.GetPoolResponse, error) {
	return &orchestratorv1.GetPoolResponse{Pool: &orchestratorv1.PoolStatus{Note: req.GetPool()}}, nil
}

func (s *scripted) WatchRun(req *orchestratorv1.WatchRunRequest, ss grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]) error {
	s.mu.Lock()
	s.watched = req
	s.mu.Unlock()
	if s.watch != nil {
		return s.watch(ss)
	}
	return sendSample(ss)
}

func event(sequence int64) *orchestratorv1.WatchRunResponse {
	return &orchestratorv1.WatchRunResponse{Event: &orchestratorv1.RunEvent{RunId: "r1", Sequence: sequence, EventTime: moment,
		Event: &orchestratorv1.RunEvent_StateChanged{StateChanged: &orchestratorv1.RunStateChanged{
			FromState: orchestratorv1.Run_STATE_QUEUED, ToState: orchestratorv1.Run_STATE_CHECKING}}}}
}

func sendSample(ss grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]) error {
	for _, m := range []*orchestratorv1.WatchRunResponse{event(1), {KeepAlive: true}, {Event: &orchestratorv1.RunEvent{RunId: "r1", Sequence: 2, EventTime: moment,
		Event: &orchestratorv1.RunEvent_Finished{Finished: &orchestratorv1.Run{RunId: "r1"}}}}} {
		if err := ss.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// nobody is an authenticator without keys and sessions.
type nobody struct{}

func (nobody) ByKey(string, string, string) (auth.Caller, error) {
	return auth.Caller{}, auth.Refuse("unknown")
}
func (nobody) BySession(string, string) (auth.Caller, auth.Session, error) {
	return auth.Caller{}, auth.Session{}, auth.Refuse("session")
}
func (nobody) Login(context.Context, string, string) (auth.Caller, auth.Session, string, error) {
	return auth.Caller{}, auth.Session{}, "", auth.Refuse("unknown")
}
func (nobody) Logout(context.Context, auth.Caller, string) error { return nil }
func (nobody) Until(ctx context.Context, _ auth.Caller) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

type harness struct {
	impl *scripted
	base string
	http *http.Client
	log  *lockedBuffer
}

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

func start(t *testing.T, set ...func(*Config)) *harness {
	t.Helper()
	out := &lockedBuffer{}
	log, err := logging.New(out, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	impl := &scripted{}
	grpcLis, err := transport.Listen(log, "test", "grpc", "grpc_addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := transport.NewServer(transport.ServerConfig{Logger: log, Listener: grpcLis, StopTimeout: time.Second})
	orchestratorv1.RegisterRunServiceServer(server, impl)
	orchestratorv1.RegisterPoolServiceServer(server, impl)
	orchestratorv1.RegisterSettingsServiceServer(server, impl)
	conn, err := transport.DialPlain(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	httpLis, err := transport.Listen(log, "test", "http", "http_addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Logger: log, Listener: httpLis, Conn: conn, Metrics: scrape.Handler(scrape.New("test"), log), Access: nobody{}, Loopback: true, CallerMetadata: "caller-bin", Ready: func(context.Context) Status {
		return Status{Ready: true, Ledger: "open", Worker: "unreachable", WorkerAddress: "127.0.0.1:7701"}
	}}
	for _, f := range set {
		f(&cfg)
	}
	front, err := NewServer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- server.Run(ctx) }()
	go func() { done <- front.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-done, <-done, conn.Close()); err != nil {
			t.Error(err)
		}
	})
	return &harness{impl, "http://" + front.Addr(), client, out}
}

func (r *harness) do(t *testing.T, method, path, body string, header ...string) (*http.Response, []byte) {
	t.Helper()
	var reader io.Reader = strings.NewReader(body)
	if len(header) > 0 && header[0] == "X-Chunked" {
		reader = io.MultiReader(reader) // of no known length
	}
	req, err := http.NewRequestWithContext(t.Context(), method, r.base+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
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
	return resp, data
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (run with -update after looking): %s", name, diff)
	}
}

// The forms that clients depend on, as files.
func TestGoldenForms(t *testing.T) {
	r := start(t)
	_, run := r.do(t, "GET", "/v1/runs/r1", "")
	golden(t, "run.json", run)
	_, settings := r.do(t, "GET", "/v1/settings", "")
	golden(t, "settings.json", settings)
	resp, lines := r.do(t, "GET", "/v1/runs/r1:watch", "")
	golden(t, "watch.ndjson", lines)
	if got := resp.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("stream is %s", got)
	}
	resp, events := r.do(t, "GET", "/v1/runs/r1:watch", "", "Accept", "text/html, text/event-stream;q=0.9")
	golden(t, "watch.sse", events)
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("events are %s", got)
	}
	r.impl.watch = func(ss grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]) error {
		if err := ss.Send(event(1)); err != nil {
			return err
		}
		return fault.New(fault.Interrupted, "The orchestrator is stopping.", "run_id", "r1")
	}
	_, lines = r.do(t, "GET", "/v1/runs/r1:watch", "")
	golden(t, "watch_broken.ndjson", lines)
	_, events = r.do(t, "GET", "/v1/runs/r1:watch", "", "Accept", "text/event-stream")
	golden(t, "watch_broken.sse", events)
	_, missing := r.do(t, "GET", "/v1/nothing", "")
	golden(t, "no_such_path.json", missing)
	_, unknown := r.do(t, "POST", "/v1/runs", `{"poools":[]}`)
	golden(t, "unknown_field.json", unknown)
	_, ready := r.do(t, "GET", "/readyz", "")
	golden(t, "readyz.json", ready)
	_, index := r.do(t, "GET", "/", "")
	golden(t, "index.json", index)
	r.impl.err = fault.New(fault.WrongState, "The run is finished; only a run that is not can be cancelled.", "run_id", "r1", "state", "finished")
	_, wrong := r.do(t, "GET", "/v1/runs/r1", "")
	golden(t, "wrong_state.json", wrong)
}

type answer struct {
	Error struct {
		Code    int
		Status  string
		Message string
		Details []map[string]any
	}
}

func reasonOf(t *testing.T, body []byte) (fault.Reason, string) {
	t.Helper()
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("not JSON: %v: %.200s", err, body)
	}
	var reason, field string
	for _, d := range a.Error.Details {
		switch d["@type"] {
		case "type.googleapis.com/google.rpc.ErrorInfo":
			reason, _ = d["reason"].(string)
		case "type.googleapis.com/google.rpc.BadRequest":
			if v, ok := d["fieldViolations"].([]any); ok && len(v) > 0 {
				field, _ = v[0].(map[string]any)["field"].(string)
			}
		}
	}
	if a.Error.Message == "" || a.Error.Status == "" {
		t.Errorf("the answer lacks a message or a status: %s", body)
	}
	return fault.Reason(reason), field
}

func TestEveryReasonHasItsHTTPCode(t *testing.T) {
	r := start(t)
	want := map[fault.Status]int{
		fault.StatusCancelled: 499, fault.StatusInvalidArgument: 400, fault.StatusNotFound: 404, fault.StatusAlreadyExists: 409, fault.StatusDeadlineExceeded: 504,
		fault.StatusPermissionDenied: 403, fault.StatusResourceExhausted: 429, fault.StatusFailedPrecondition: 400, fault.StatusAborted: 409,
		fault.StatusInternal: 500, fault.StatusUnavailable: 503, fault.StatusDataLoss: 500, fault.StatusUnauthenticated: 401,
	}
	for _, reason := range fault.Reasons() {
		f := fault.New(reason, "What happened.")
		f.RetryAt = time.Now().Add(90 * time.Second)
		r.impl.mu.Lock()
		r.impl.err = f
		r.impl.mu.Unlock()
		resp, body := r.do(t, "GET", "/v1/runs/r1", "")
		d, _ := fault.Describe(reason)
		if resp.StatusCode != want[d.Status] {
			t.Errorf("%s: HTTP %d, want %d", reason, resp.StatusCode, want[d.Status])
		}
		if got, _ := reasonOf(t, body); got != reason {
			t.Errorf("%s came as %s", reason, got)
		}
		if after := resp.Header.Get("Retry-After"); after != "90" {
			t.Errorf("%s: Retry-After %q", reason, after)
		}
	}
}

// Whatever comes in, the answer is a 4xx in the one shape, and names the field.
func TestBadRequests(t *testing.T) {
	r := start(t)
	big := strings.Repeat("x", 10<<20)
	for name, c := range map[string]struct {
		method, path, body string
		code               int
		field              string
		header             []string
	}{
		"not JSON":           {"POST", "/v1/runs", `{"pools":`, 400, "body", nil},
		"trailing text":      {"POST", "/v1/runs", `{} x`, 400, "body", nil},
		"an array":           {"POST", "/v1/runs", `[]`, 400, "body", nil},
		"form":               {"POST", "/v1/runs", `pools=targets`, 400, "body", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"unknown field":      {"POST", "/v1/runs", `{"poools":[]}`, 400, "poools", nil},
		"nested unknown":     {"PUT", "/v1/targets", `{"targets":{"tickers":[]}}`, 400, "targets.tickers", nil},
		"nested value":       {"PUT", "/v1/targets", `{"targets":{"symbols":["600519.SH",1]}}`, 400, "targets.symbols[1]", nil},
		"no object":          {"PUT", "/v1/targets", `{"targets":["600519.SH"]}`, 400, "targets", nil},
		"null in a list":     {"POST", "/v1/runs", `{"moduleIds":["stock.basic",null]}`, 400, "module_ids[1]", nil},
		"no list":            {"POST", "/v1/runs", `{"pools":"POOL_TARGETS"}`, 400, "pools", nil},
		"enum text":          {"POST", "/v1/runs", `{"pools":["POOL_TARGETS","POOL_ALL"]}`, 400, "pools[1]", nil},
		"number as text":     {"PATCH", "/v1/settings", `{"dispatchWidth":"many"}`, 400, "dispatch_width", nil},
		"number too large":   {"PATCH", "/v1/settings", `{"dispatchWidth":99999999999}`, 400, "dispatch_width", nil},
		"duration":           {"PATCH", "/v1/settings", `{"orderWait":"ten minutes"}`, 400, "order_wait", nil},
		"duration in Go":     {"PATCH", "/v1/settings", `{"order_wait":"5m"}`, 400, "order_wait", nil},
		"duration as number": {"PATCH", "/v1/settings", `{"orderWait":600}`, 400, "order_wait", nil},
		"text as number":     {"POST", "/v1/runs", `{"startDate":20260302}`, 400, "start_date", nil},
		"given twice":        {"POST", "/v1/runs", `{"startDate":"2026-03-02","start_date":"2026-03-03"}`, 400, "start_date", nil},
		"not UTF-8":          {"POST", "/v1/runs", "{\"startDate\":\"\xff\"}", 400, "start_date", nil},
		"lone surrogate":     {"POST", "/v1/runs", `{"startDate":"\ud800"}`, 400, "start_date", nil},
		"10 MB field":        {"POST", "/v1/runs", `{"startDate":"` + big + `"}`, 413, "body", nil},
		"10 MB chunked":      {"POST", "/v1/runs", `{"startDate":"` + big + `"}`, 413, "body", []string{"X-Chunked", "1"}},
		"deep nesting":       {"POST", "/v1/runs", strings.Repeat(`{"a":`, 50_000), 400, "body", nil},
		"query unknown":      {"GET", "/v1/runs?pol=targets", "", 400, "pol", nil},
		"query enum":         {"GET", "/v1/runs?pool=everything", "", 400, "pool", nil},
		"query enum number":  {"GET", "/v1/runs?pool=77", "", 400, "pool", nil},
		"query number":       {"GET", "/v1/runs?pageSize=ten", "", 400, "page_size", nil},
		"query number large": {"GET", "/v1/runs?page_size=99999999999", "", 400, "page_size", nil},
		"query of a pool":    {"GET", "/v1/pools/universe?page_size=1", "", 400, "page_size", nil},
		"query of a list":    {"GET", "/v1/pools?pool=targets", "", 400, "pool", nil},
		"query of a run":     {"GET", "/v1/runs/r1?a=1", "", 400, "a", nil},
		"query of a verb":    {"GET", "/v1/slots/2026-03-02.targets:explain?a=1", "", 400, "a", nil},
		"query with DELETE":  {"DELETE", "/v1/runs/r1?force=true", "", 400, "force", nil},
		"no body":            {"POST", "/v1/runs", "", 400, "body", nil},
		"blank body":         {"POST", "/v1/runs", " \n", 400, "body", nil},
		"query empty":        {"GET", "/v1/pools/universe/coverage?start_date=", "", 400, "start_date", nil},
		"rows from nowhere":  {"GET", "/v1/data/daily_prices.csv?start_date=", "", 400, "start_date", nil},
		"rows of no version": {"GET", "/v1/data/daily_prices.csv?version=", "", 400, "version", nil},
		"query twice":        {"GET", "/v1/runs?page_size=1&page_size=2", "", 400, "page_size", nil},
		"query twice by two": {"GET", "/v1/runs?page_size=1&pageSize=2", "", 400, "page_size", nil},
		"query map":          {"GET", "/v1/runs?pool[x]=1", "", 400, "pool[x]", nil},
		"query not UTF-8":    {"GET", "/v1/runs?page_token=%ff", "", 400, "query", nil},
		"query not escaped":  {"GET", "/v1/runs?pool=%zz", "", 400, "query", nil},
		"query half escaped": {"GET", "/v1/runs?pool=targets%", "", 400, "query", nil},
		"query with POST":    {"POST", "/v1/runs?validate_only=true", "{}", 400, "query", nil},
		"path not UTF-8":     {"GET", "/v1/runs/%ff", "", 400, "path", nil},
		"sequence":           {"GET", "/v1/runs/r1:watch?after_sequence=x", "", 400, "after_sequence", nil},
		"sequence as event":  {"GET", "/v1/runs/r1:watch", "", 400, "after_sequence", []string{"Accept", "text/event-stream", "Last-Event-ID", "x"}},
		"no such path":       {"GET", "/v1/nothing", "", 404, "", nil},
		"no such verb":       {"POST", "/v1/runs/r1:explode", "{}", 405, "", nil},
		"wrong method":       {"PUT", "/v1/runs", "{}", 405, "method", nil},
		"POST to a page":     {"POST", "/healthz", "{}", 405, "method", nil},
		"form to a list":     {"POST", "/v1/pools", "", 405, "method", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"override":           {"POST", "/v1/pools", "", 405, "method", []string{"X-HTTP-Method-Override", "GET", "Content-Type", "application/x-www-form-urlencoded"}},
		"odd method":         {"BREW", "/v1/runs", "", 405, "method", nil},
		"compressed body":    {"POST", "/v1/runs", "{}", 415, "content_encoding", []string{"Content-Encoding", "gzip"}},
		"foreign host":       {"GET", "/v1/runs", "", 421, "host", []string{"Host", "evil.example:7780"}},
		"foreign origin":     {"POST", "/v1/runs", "{}", 403, "origin", []string{"Origin", "https://evil.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := r.do(t, c.method, c.path, c.body, c.header...)
			reason, field := reasonOf(t, body)
			if resp.StatusCode != c.code || len(body) > 4000 || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("HTTP %d %s, want %d: %.300s", resp.StatusCode, resp.Header.Get("Content-Type"), c.code, body)
			}
			if c.code == 404 {
				faulttest.Produces(t, reason, fault.NotFound)
			} else {
				faulttest.Produces(t, reason, fault.InvalidArgument)
			}
			if c.field != "" && field != c.field {
				t.Errorf("field %q, want %q: %.300s", field, c.field, body)
			}
		})
	}
	if log := r.log.String(); strings.Contains(log, "panic") || strings.Contains(log, strings.Repeat("x", 100)) {
		t.Error("the log shows a panic or a body")
	}
}

// A list in a query is separated by commas, as in the path of rows, given several times, or both.
func TestListsInQueries(t *testing.T) {
	for query, want := range map[string]string{
		"symbols=600519.SH,510300.SH":                      "600519.SH 510300.SH",
		"symbols=600519.SH&symbols=510300.SH,%20000001.SZ": "600519.SH 510300.SH 000001.SZ",
		"version=v": "",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		var req orchestratorv1.GetConditionRequest
		if err := (&strictQuery{}).Parse(&req, values, utilities.NewDoubleArray(nil)); err != nil || strings.Join(req.GetSymbols(), " ") != want {
			t.Errorf("%s: %q, %v", query, req.GetSymbols(), err)
		}
	}
	var req orchestratorv1.GetConditionRequest
	if err := (&strictQuery{}).Parse(&req, url.Values{"symbols": {","}}, utilities.NewDoubleArray(nil)); err == nil || !strings.Contains(err.Error(), "has no entries; omit it to read all") {
		t.Errorf("an empty list: %v", err)
	}
}

// Commands in the gateway's own errors have the address of this process, too.
func TestCommandInErrorOfTheGatewayReachesHere(t *testing.T) {
	r := start(t, func(c *Config) {
		c.Say = func(text string) string { return strings.ReplaceAll(text, "localhost:7780", "here:1") }
	})
	if resp, body := r.do(t, "GET", "/v1/nothing", ""); resp.StatusCode != 404 || !strings.Contains(string(body), "curl here:1/openapi.json") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// An error about a query names parameters and values as the documentation spells them.
func TestErrorsOfQueriesNameWhatToType(t *testing.T) {
	r := start(t)
	for path, want := range map[string]string{
		"/v1/runs?size=3":                                    "size: is not a known parameter; allowed are pool, state, outcome, page_size, page_token",
		"/v1/data/daily_prices/condition?from=1":             "from: is not a known parameter; allowed are pool, start_date, end_date, version, symbols",
		"/v1/data/daily_prices/condition?table=daily_basics": "table: is given in the path; allowed are pool, start_date, end_date, version, symbols",
		"/v1/data?pool=target":                               `pool: \"target\" is not allowed: allowed are targets, universe`,
	} {
		if resp, body := r.do(t, "GET", path, ""); resp.StatusCode != 400 || !strings.Contains(string(body), `"message":"`+want+`"`) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

func TestRequestsInTheirForms(t *testing.T) {
	r := start(t)
	for _, body := range []string{
		`{"pools":["POOL_TARGETS"],"startDate":"2026-03-02"}`,
		`{"pools":["POOL_TARGETS"],"start_date":"2026-03-02"}`,
		`{"pools":[1],"start_date":"2026-03-02"}`,
	} {
		resp, got := r.do(t, "POST", "/v1/runs", body, "Content-Type", "application/x-www-form-urlencoded") // as curl -d sends it
		if resp.StatusCode != 200 || r.impl.created.GetStartDate() != "2026-03-02" || r.impl.created.GetPools()[0] != marketv1.Pool_POOL_TARGETS {
			t.Errorf("%s: %d %s, read as %v", body, resp.StatusCode, got, r.impl.created)
		}
	}
	if resp, _ := r.do(t, "POST", "/v1/schedule:pause", ""); resp.StatusCode != 501 { // the service receives it, and does not implement it here
		t.Errorf("an empty body is an empty request; got %d", resp.StatusCode)
	}
	for _, q := range []string{"pool=universe", "pool=POOL_UNIVERSE", "pool=2", "pool=Universe&page_size=3&state=finished"} {
		resp, got := r.do(t, "GET", "/v1/runs?"+q, "")
		if resp.StatusCode != 200 || r.impl.listed.GetPool() != marketv1.Pool_POOL_UNIVERSE {
			t.Errorf("%s: %d %s", q, resp.StatusCode, got)
		}
	}
	if _, got := r.do(t, "GET", "/v1/pools/universe", ""); !strings.Contains(string(got), `"note":"universe"`) {
		t.Errorf("pool in a path = %s", got)
	}
	r.do(t, "GET", "/v1/runs/r1:watch", "", "Accept", "text/event-stream", "Last-Event-ID", "41")
	if got := r.impl.watched.GetAfterSequence(); got != 41 {
		t.Errorf("a browser that reconnects resumes after %d, want 41", got)
	}
}

// A method that is not served is answered with those that are.
func TestAllow(t *testing.T) {
	r := start(t)
	for request, want := range map[string]string{
		"PUT /v1/runs":             "GET, HEAD, POST",
		"POST /v1/runs/r1":         "DELETE, GET, HEAD",
		"GET /v1/runs/r1:cancel":   "", // r1:cancel may be the name of a run
		"HEAD /v1/runs/r1:watch":   "DELETE, GET",
		"PUT /v1/preflights:run":   "POST",
		"PATCH /v1/runs/a%2Fb":     "DELETE, GET, HEAD",
		"DELETE /v1/targets":       "GET, HEAD, PUT",
		"DELETE /healthz":          "GET, HEAD",
		"PATCH /v1/runs/r1/cancel": "",
	} {
		method, path, _ := strings.Cut(request, " ")
		resp, body := r.do(t, method, path, "")
		if got := resp.Header.Get("Allow"); got != want || (resp.StatusCode == 405) != (want != "") {
			t.Errorf("%s: %d, Allow %q, want %q: %.200s", request, resp.StatusCode, got, want, body)
		}
	}
}

// A HEAD is a GET without its body, and a deadline of gRPC's is none of REST's.
func TestHeadAndGRPCHeaders(t *testing.T) {
	r := start(t)
	for path, want := range map[string]int{"/v1/runs": 200, "/healthz": 200, "/v1/nothing": 404, "/v1/runs/r1:watch": 405} {
		if resp, body := r.do(t, "HEAD", path, ""); resp.StatusCode != want || len(body) > 0 {
			t.Errorf("HEAD %s: %d %q, want %d", path, resp.StatusCode, body, want)
		}
	}
	for _, timeout := range []string{"1n", "soon"} {
		if resp, body := r.do(t, "GET", "/v1/runs", "", "Grpc-Timeout", timeout); resp.StatusCode != 200 {
			t.Errorf("Grpc-Timeout %s: %d %s", timeout, resp.StatusCode, body)
		}
	}
}

// A client that reads nothing before it has written all still gets the answer.
func TestBodyTooLargeIsTakenOffTheLine(t *testing.T) {
	r := start(t)
	const size = 10 << 20
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", size); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(bytes.Repeat([]byte("x"), size)); err != nil {
		t.Fatalf("the body is not taken: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("HTTP %d, want 413", resp.StatusCode)
	}
}

// Each message is on the wire before the next one exists.
// streamed checks the headers that keep a proxy from collecting a stream.
func streamed(t *testing.T, resp *http.Response) {
	t.Helper()
	cache := resp.Header.Get("Cache-Control")
	if resp.Header.Get("X-Accel-Buffering") != "no" || !strings.Contains(cache, "no-cache") || !strings.Contains(cache, "no-transform") {
		t.Errorf("a stream has the headers %v", resp.Header)
	}
}

func TestStreamIsFlushedMessageByMessage(t *testing.T) {
	r := start(t)
	next := make(chan struct{})
	r.impl.watch = func(ss grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]) error {
		for i := range int64(3) {
			if err := ss.Send(event(i + 1)); err != nil {
				return err
			}
			<-next
		}
		return nil
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.base+"/v1/runs/r1:watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	streamed(t, resp)
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"result":{`) {
			t.Fatalf("line %d = %q, %v", i, lines.Text(), lines.Err())
		}
		next <- struct{}{}
	}
	if lines.Scan() {
		t.Errorf("more: %s", lines.Text())
	}
}

// A run that is not there ends the stream before it began, in the form asked for.
func TestStreamThatNeverBegan(t *testing.T) {
	r := start(t)
	r.impl.watch = func(grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]) error {
		return fault.New(fault.NotFound, "There is no run nope.", "kind", "run", "id", "nope")
	}
	resp, body := r.do(t, "GET", "/v1/runs/nope:watch", "")
	if reason, _ := reasonOf(t, body); resp.StatusCode != 404 || reason != fault.NotFound {
		t.Errorf("lines: %d %s", resp.StatusCode, body)
	}
	resp, body = r.do(t, "GET", "/v1/runs/nope:watch", "", "Accept", "text/event-stream")
	data, ok := strings.CutPrefix(string(body), "event: error\ndata: ")
	if reason, _ := reasonOf(t, []byte(data)); !ok || resp.StatusCode != 404 || reason != fault.NotFound {
		t.Errorf("events: %d %s", resp.StatusCode, body)
	}
	if resp, body = r.do(t, "GET", "/v1/settings", "", "Accept", "text/event-stream"); resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("an answer that is no stream: %s", body)
	}
}

func TestPages(t *testing.T) {
	r := start(t)
	if resp, body := r.do(t, "GET", "/healthz", ""); resp.StatusCode != 200 || !strings.Contains(string(body), "ok") {
		t.Errorf("healthz: %d %s", resp.StatusCode, body)
	}
	resp, body := r.do(t, "GET", "/", "", "Accept", "text/html")
	if resp.StatusCode != 200 || !strings.Contains(string(body), `<div id="app">`) || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("index: %d %.100s", resp.StatusCode, body)
	}
	for _, e := range entries { // the index names nothing that is not served
		u, err := url.Parse(e.Path)
		if err != nil {
			t.Fatal(err)
		}
		if resp, body := r.do(t, "GET", u.Path, ""); resp.StatusCode == 404 {
			t.Errorf("%s: %s", e.Path, body)
		}
	}
}

func TestOpenAPIDocument(t *testing.T) {
	r := start(t)
	resp, body := r.do(t, "GET", "/openapi.json", "")
	type operation struct {
		Tags, Produces []string
		Description    string
		Responses      map[string]json.RawMessage
	}
	var doc struct {
		Swagger     string
		Info        struct{ Title, Version string }
		Tags        []struct{ Name string }
		Paths       map[string]map[string]operation
		Definitions map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &doc); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d, %v", resp.StatusCode, err)
	}
	if doc.Swagger != "2.0" || doc.Info.Title != "afterbell" || doc.Info.Version != "v1" || doc.Definitions["Error"] == nil {
		t.Errorf("headed as %+v", doc.Info)
	}
	for _, tag := range doc.Tags {
		if tag.Name == "IngestService" {
			t.Error("the internal contract is shown")
		}
	}
	streams := 0
	for path, operations := range doc.Paths {
		for method, o := range operations {
			if o.Responses["200"] == nil || o.Responses["default"] == nil {
				t.Errorf("%s %s answers %v", method, path, o.Responses)
			}
			if path != "/v1/session" && !strings.Contains(o.Description, "Requires the role ") {
				t.Errorf("%s %s does not tell who may call it: %q", method, path, o.Description)
			}
			if slices.Contains(o.Produces, "text/event-stream") {
				streams++
			}
			if resp, body := r.do(t, "PURGE", path, ""); resp.StatusCode != 405 { // a path that is not served is 404
				t.Errorf("%s is in the document: %d %s", path, resp.StatusCode, body)
			}
		}
	}
	if streams != 2 {
		t.Errorf("%d streams, want RunPreflight and WatchRun", streams)
	}
}
