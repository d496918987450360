package e2e_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // opens analysis.duckdb as a notebook would
	_ "github.com/mattn/go-sqlite3"    // opens the other files as users do

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// bin is the folder of the built programs.
var bin string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if bin = os.Getenv("AFTERBELL_BIN"); bin == "" {
		dir, err := os.MkdirTemp("", "afterbell-bin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		build := exec.Command("go", "build", "-o", dir+"/",
			"github.com/afterbell/afterbell/services/orchestrator/cmd/orchestrator",
			"github.com/afterbell/afterbell/services/ingestworker/cmd/ingest-worker")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
			return 1
		}
		bin = dir
	}
	return m.Run()
}

// token is what the worker is given; no file, answer or log may ever hold it.
const token = "e2e-secret-4f1c9b7a20d8"

// env is the pair as processes, with a simulator in this process that the test controls.
type env struct {
	*stack.Stack
	t   *testing.T
	sim *tusharesim.Server
}

type option func(*stack.Config)

func noToken(c *stack.Config) { c.Env = []string{"AFTERBELL_TUSHARE_TOKEN="} }

// up starts the pair against a simulator. No run starts by itself.
func up(t *testing.T, sim tusharesim.Options, options ...option) *env {
	t.Helper()
	server := tusharesim.StartTest(t, sim)
	c := stack.Config{
		Bin: bin, Data: t.TempDir(), ProviderURL: server.URL,
		WorkerFlags:       []string{"--rate-limit", "0", "--universe-window", "12d", "--targets-window", "12d"},
		OrchestratorFlags: []string{"--schedule=false"},
		Env:               []string{"AFTERBELL_TUSHARE_TOKEN=" + token},
	}
	for _, o := range options {
		o(&c)
	}
	s, err := stack.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	e := &env{Stack: s, t: t, sim: server}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("stopping: %v", err)
		}
		if t.Failed() {
			for _, name := range []string{"orchestrator", "ingest-worker"} {
				if text, err := os.ReadFile(filepath.Join(c.Data, "logs", name+".log")); err == nil {
					t.Logf("%s:\n%s", name, lastLines(string(text), 40))
				}
			}
		}
		e.noTokenAnywhere()
	})
	return e
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// noTokenAnywhere looks for the token in every file that the pair left.
func (e *env) noTokenAnywhere() {
	err := filepath.WalkDir(e.Config.Data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() { // what a link leads to is found by itself
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(token)) {
			e.t.Errorf("%s holds the provider's token", filepath.Base(path))
		}
		return err
	})
	if err != nil {
		e.t.Errorf("looking for the token: %v", err)
	}
}

// run creates runs and follows them to their end, by their pools.
func (e *env) run(req *orchestratorv1.CreateRunRequest) map[marketv1.Pool]*orchestratorv1.Run {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 4*time.Minute)
	defer cancel()
	created, err := e.Runs().CreateRun(ctx, req)
	if err != nil {
		e.t.Fatalf("CreateRun: %v", err)
	}
	ended := map[marketv1.Pool]*orchestratorv1.Run{}
	for _, r := range created.GetRuns() {
		ended[r.GetPool()] = e.follow(ctx, r.GetRunId())
	}
	return ended
}

// universe runs the universe pool over dates, "YYYY-MM-DD".
func (e *env) universe(start, end string, modules ...string) *orchestratorv1.Run {
	e.t.Helper()
	return e.run(&orchestratorv1.CreateRunRequest{
		Pools: []marketv1.Pool{marketv1.Pool_POOL_UNIVERSE}, StartDate: start, EndDate: end, ModuleIds: modules,
	})[marketv1.Pool_POOL_UNIVERSE]
}

// follow watches a run to its explicit last event and returns it as it ended.
func (e *env) follow(ctx context.Context, runID string) *orchestratorv1.Run {
	e.t.Helper()
	stream, err := e.Runs().WatchRun(ctx, &orchestratorv1.WatchRunRequest{RunId: runID})
	if err != nil {
		e.t.Fatalf("WatchRun: %v", err)
	}
	var last int64
	for {
		message, err := stream.Recv()
		if err != nil {
			e.t.Fatalf("run %s: the stream ended without its last event: %v", runID, err)
		}
		event := message.GetEvent()
		if event == nil {
			continue
		}
		if event.GetSequence() != last+1 {
			e.t.Fatalf("run %s: event %d follows event %d", runID, event.GetSequence(), last)
		}
		last = event.GetSequence()
		if event.GetFinished() != nil {
			return event.GetFinished()
		}
	}
}

func (e *env) setTargets(symbols ...string) {
	e.t.Helper()
	_, err := orchestratorv1.NewTargetServiceClient(e.Conn).UpdateTargets(e.t.Context(),
		&orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: symbols}})
	if err != nil {
		e.t.Fatalf("UpdateTargets: %v", err)
	}
}

// stopWorker ends the worker in order, after which its files can be read.
func (e *env) stopWorker() {
	e.t.Helper()
	if err := e.Worker.Stop(30 * time.Second); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) path(file string) string { return filepath.Join(e.Config.Data, file) }

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// duckdb opens the universe's file read-only, as a notebook would.
func (e *env) duckdb() *sql.DB {
	return open(e.t, "duckdb", e.path("analysis.duckdb")+"?access_mode=read_only")
}

func (e *env) targetsDB() *sql.DB {
	return open(e.t, "sqlite3", "file:"+e.path("targets.sqlite")+"?mode=ro")
}

func (e *env) ledger() *sql.DB {
	return open(e.t, "sqlite3", "file:"+e.path("market-cache.sqlite")+"?mode=ro&_busy_timeout=5000")
}

// failures is the first query of design, word for word.
const failures = `select scope, status, json_extract(meta_json,'$.blockedStage') as blocked_stage,
       json_extract(meta_json,'$.errorCode') as error_code, error_message, started_at
from ingest_runs where status = 'failed' order by started_at desc limit 50;`

type failedRow struct{ Scope, Stage, Code, Message string }

func (e *env) failedRows() []failedRow {
	e.t.Helper()
	rows, err := e.ledger().Query(failures)
	if err != nil {
		e.t.Fatal(err)
	}
	defer rows.Close()
	var out []failedRow
	for rows.Next() {
		var r failedRow
		var stage, code, message sql.NullString
		var status string
		var started int64
		if err := rows.Scan(&r.Scope, &status, &stage, &code, &message, &started); err != nil {
			e.t.Fatal(err)
		}
		r.Stage, r.Code, r.Message = stage.String, code.String, message.String
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		e.t.Fatal(err)
	}
	return out
}

func scalar[T any](t *testing.T, db *sql.DB, query string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// rest calls the REST API and decodes its JSON answer.
func (e *env) rest(method, path, body string) (int, map[string]any) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, "http://"+e.Config.HTTPAddr+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, path, err)
	}
	if bytes.Contains(text, []byte(token)) {
		e.t.Errorf("%s %s answers with the token", method, path)
	}
	var decoded map[string]any
	if err := json.Unmarshal(text, &decoded); err != nil {
		e.t.Errorf("%s %s: status %d with a body that is no JSON object: %.200s", method, path, answer.StatusCode, text)
	}
	return answer.StatusCode, decoded
}

// small is a market of a few hundred instruments, so that a test takes seconds.
func small() tusharesim.Options { return tusharesim.Options{Stocks: 300, Funds: 120} }
