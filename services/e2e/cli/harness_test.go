package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
			"github.com/afterbell/afterbell/services/ingestworker/cmd/ingest-worker",
			"github.com/afterbell/afterbell/services/tusharesim/cmd/tushare-sim",
			"github.com/afterbell/afterbell/services/cli/cmd/afterbell")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
			return 1
		}
		bin = dir
	}
	return m.Run()
}

// pair is the pair as processes, with a simulator in this process.
type pair struct {
	*stack.Stack
	t   *testing.T
	sim *tusharesim.Server
}

// market has some hundred instruments, and publishes in the afternoon as the provider
// does.
func market() tusharesim.Options { return tusharesim.Options{Stocks: 300, Funds: 120} }

// up starts the pair against a simulator. No run starts by itself.
func up(t *testing.T) *pair {
	t.Helper()
	server := tusharesim.StartTest(t, market())
	s, err := stack.New(t.Context(), stack.Config{
		Bin: bin, Data: t.TempDir(), ProviderURL: server.URL,
		WorkerFlags:       []string{"--rate-limit", "0", "--universe-window", "12d", "--targets-window", "12d"},
		OrchestratorFlags: []string{"--schedule=false"},
		Env:               []string{"AFTERBELL_TUSHARE_TOKEN=a-token-of-the-tests"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{Stack: s, t: t, sim: server}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return p
}

// said is what a command line came to.
type said struct {
	code     int
	out, err string
}

// afterbell runs the command with the pair, in English.
func (p *pair) afterbell(args ...string) said {
	p.t.Helper()
	return run(p.t, p.Config.GRPCAddr, args...)
}

func run(t *testing.T, addr string, args ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(bin, "afterbell"), args...)
	c.Env = append(os.Environ(), "AFTERBELL_ORCHESTRATOR="+addr, "AFTERBELL_LANG=en")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("afterbell %s: %v", strings.Join(args, " "), err)
	}
	return said{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want runs a command and checks its exit code and that its words hold parts.
func (p *pair) want(code int, args string, parts ...string) said {
	p.t.Helper()
	got := p.afterbell(strings.Fields(args)...)
	if got.code != code {
		p.t.Errorf("afterbell %s: exit code %d, want %d\n%s%s", args, got.code, code, got.out, got.err)
	}
	for _, part := range parts {
		if !strings.Contains(got.out+got.err, part) {
			p.t.Errorf("afterbell %s does not say %q:\n%s%s", args, part, got.out, got.err)
		}
	}
	return got
}

// fill brings pools up to date through the API.
func (p *pair) fill(pools ...marketv1.Pool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	created, err := p.Runs().CreateRun(ctx, &orchestratorv1.CreateRunRequest{Pools: pools})
	if err != nil {
		p.t.Fatalf("CreateRun: %v", err)
	}
	for _, r := range created.GetRuns() {
		stream, err := p.Runs().WatchRun(ctx, &orchestratorv1.WatchRunRequest{RunId: r.GetRunId()})
		if err != nil {
			p.t.Fatalf("WatchRun: %v", err)
		}
		for {
			message, err := stream.Recv()
			if err != nil {
				p.t.Fatalf("run %s: %v", r.GetRunId(), err)
			}
			if message.GetEvent().GetFinished() != nil {
				break
			}
		}
	}
}
