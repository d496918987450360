package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

type finding struct{ Check, State, Found, Remedy string }

// doctor runs the command against the pair, with more flags that win. In Chinese it finds
// the same.
func (p *pair) doctor(args ...string) (int, []finding) {
	p.t.Helper()
	_, zh := p.doctorIn("zh", args...)
	for _, f := range zh {
		if !inChinese(f.Found) || f.Remedy != "" && !inChinese(f.Remedy) {
			p.t.Errorf("%s is not in Chinese: %s / %s", f.Check, f.Found, f.Remedy)
		}
	}
	return p.doctorIn("en", args...)
}

var (
	original = regexp.MustCompile(`（[^（）]*(?:（[^（）]*）[^（）]*)*）`) // what the orchestrator said, after its Chinese
	command  = regexp.MustCompile(`：[a-z/]+ [^：]*$`)
	english  = regexp.MustCompile(`\b[A-Za-z]{2,} [a-z]{2,}\b`)
	chinese  = regexp.MustCompile(`\p{Han}{2}`)
)

func inChinese(text string) bool {
	text = command.ReplaceAllString(original.ReplaceAllString(text, ""), "")
	return chinese.MatchString(text) && !english.MatchString(text)
}

func (p *pair) doctorIn(language string, args ...string) (int, []finding) {
	p.t.Helper()
	got := p.afterbell(append([]string{"doctor", "--output", "json", "--lang", language, "--data-dir", p.Config.Data,
		"--http-addr", p.Config.HTTPAddr}, args...)...)
	var findings []finding
	if err := json.Unmarshal([]byte(got.out), &findings); err != nil {
		p.t.Fatalf("doctor: exit code %d: %v\n%s%s", got.code, err, got.out, got.err)
	}
	return got.code, findings
}

// finds runs the doctor, looks for a wrong finding and returns the command of its
// remedy.
func (p *pair) finds(code int, check, found string, args ...string) string {
	p.t.Helper()
	got, findings := p.doctor(args...)
	if got != code {
		p.t.Errorf("%s: exit code %d, want %d: %v", check, got, code, findings)
	}
	for _, f := range findings {
		if f.Check == check && f.State == "wrong" && strings.Contains(f.Found, found) {
			if f.Remedy == "" {
				p.t.Errorf("%s: there is no remedy: %+v", check, f)
			}
			return f.Remedy[strings.LastIndex(f.Remedy, ": ")+2:]
		}
	}
	p.t.Errorf("%s with %q is not found: %+v", check, found, findings)
	return ""
}

// follow does word by word what a remedy says.
func (p *pair) follow(command string) {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), "sh", "-c", command)
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "AFTERBELL_ORCHESTRATOR="+p.Config.GRPCAddr)
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Errorf("%s: %v\n%s", command, err, out)
	}
}

// notices looks for a finding with the state notice and returns the command of its remedy.
func (p *pair) notices(check, found string) string {
	p.t.Helper()
	_, findings := p.doctor()
	for _, f := range findings {
		if f.Check == check && f.State == "notice" && strings.Contains(f.Found, found) {
			return f.Remedy[strings.LastIndex(f.Remedy, ": ")+2:]
		}
	}
	p.t.Errorf("%s with %q is not reported: %+v", check, found, findings)
	return ""
}

// serve executes the command of a remedy that starts a service, in a directory with the programs and
// with the environment of the services.
func (p *pair) serve(command string) {
	p.t.Helper()
	if !strings.HasPrefix(command, "bin/") {
		p.t.Fatalf("%q starts no program", command)
	}
	dir := p.t.TempDir()
	if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
		p.t.Fatal(err)
	}
	c := exec.Command("sh", "-c", "exec "+command)
	c.Dir = dir
	c.Env = append(os.Environ(), "AFTERBELL_TUSHARE_TOKEN=a-token-of-the-tests", "AFTERBELL_TUSHARE_URL="+p.Config.ProviderURL, "AFTERBELL_RATE_LIMIT=0",
		"AFTERBELL_UNIVERSE_WINDOW=12d", "AFTERBELL_TARGETS_WINDOW=12d", "AFTERBELL_SCHEDULE=false", "AFTERBELL_WORKER_ADDR="+p.Config.WorkerAddr)
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait() // how it ends is not looked at here
	})
}

// untilHealthy runs the doctor until it finds nothing wrong.
func (p *pair) untilHealthy(what string) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		code, findings := p.doctor()
		if code == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: the remedy did not repair it: exit code %d, %+v", what, code, findings)
		}
	}
}

func (p *pair) repaired(what string) {
	p.t.Helper()
	if code, findings := p.doctor(); code != 0 {
		p.t.Errorf("%s: the remedy did not repair it: exit code %d, %+v", what, code, findings)
	}
}

// Each installation has one defect. The remedies of ten of them are executed literally and must
// repair them.
func TestDoctor(t *testing.T) {
	t.Parallel()
	p := up(t)
	p.fill(inUniverse)
	p.repaired("a whole installation")
	p.want(0, "doctor --http-addr "+p.Config.HTTPAddr, "free in "+p.Config.Data) // it finds the directory that the orchestrator uses
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "market-cache.sqlite"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, findings := p.doctor("--data-dir", other)
	if i := slices.IndexFunc(findings, func(f finding) bool { return f.Check == "locks" }); i < 0 || !strings.HasSuffix(findings[i].Remedy, ": afterbell doctor --data-dir "+p.Config.Data) {
		t.Errorf("another directory than the orchestrator's: %+v", findings)
	}

	for _, broken := range []struct{ by, check, found string }{
		{"afterbell schedule pause --note lunch", "schedule", "it is paused: lunch"},
		{"afterbell schedule set --enabled=false", "schedule", "it is disabled"},
		{"afterbell pause universe --note lunch", "pools", "universe is paused: lunch"},
		{"chmod 644 " + filepath.Join(p.Config.Data, "vault.key"), "files", "is readable by other users"},
	} {
		p.follow(broken.by)
		p.follow(p.finds(1, broken.check, broken.found))
		p.repaired(broken.found)
	}
	if err := os.Mkdir(filepath.Join(p.Config.Data, "targets.sqlite"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.follow(p.finds(1, "files", "targets.sqlite is not a file"))
	p.repaired("a folder in the place of a file")

	if err := os.RemoveAll(filepath.Join(p.Config.Data, "published")); err != nil {
		t.Fatal(err)
	}
	p.follow(p.notices("published", "no version is published"))
	if _, findings := p.doctor(); !slices.ContainsFunc(findings, func(f finding) bool { return f.Check == "published" && f.State == "fine" }) {
		t.Errorf("the copy for readers was not recreated: %+v", findings)
	}

	if _, err := p.sim.AddFault(tusharesim.Fault{Kind: tusharesim.HourLimit, API: "stock_basic", N: 1, Count: 1}); err != nil {
		t.Fatal(err)
	}
	p.want(0, "preflight universe")
	p.want(0, "limits list", "stock_basic")
	p.follow(p.notices("limits", "stock_basic 1/hour"))
	p.want(0, "preflight universe")
	if _, findings := p.doctor(); !slices.ContainsFunc(findings, func(f finding) bool { return f.Check == "limits" && f.State == "fine" }) {
		t.Errorf("the limit was not forgotten: %+v", findings)
	}

	reader := exec.Command("sleep", "60")
	held, err := os.Open(filepath.Join(p.Config.Data, "analysis.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	reader.ExtraFiles = []*os.File{held}
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	held.Close()
	p.follow(p.finds(1, "locks", "has analysis.duckdb open"))
	if err := reader.Wait(); err == nil {
		t.Error("the reader was not ended")
	}
	p.repaired("a reader")

	wrongClock := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	}))
	defer wrongClock.Close()
	p.finds(1, "clock", "differs from the provider's by -1h0m", "--tushare-url", wrongClock.URL)
	p.finds(1, "provider", "cannot be reached", "--tushare-url", "http://"+closedPort(t))
	program := strings.TrimPrefix(wrongClock.URL, "http://")
	p.finds(1, "rest", "another program", "--http-addr", program)
	p.finds(5, "orchestrator", "another program", "--orchestrator", program)
	p.finds(5, "orchestrator", "nothing listens", "--orchestrator", closedPort(t))
	p.finds(5, "locks", "but does not respond at", "--orchestrator", closedPort(t))

	if err := p.sim.Deny(tusharesim.FundDaily); err != nil {
		t.Fatal(err)
	}
	p.want(2, "preflight universe")
	p.finds(1, "token", "PERMISSION_DENIED")
	if err := p.sim.Allow(tusharesim.FundDaily); err != nil {
		t.Fatal(err)
	}
	p.want(0, "preflight universe")
	p.repaired("a denied interface")

	p.sim.RevokeToken("a-token-of-the-tests")
	p.want(2, "preflight universe")
	p.finds(1, "token", "TOKEN_INVALID")
	p.sim.RestoreTokens()
	p.want(0, "preflight universe")
	p.repaired("a revoked token")

	p.Worker.Kill()
	p.serve(p.finds(5, "worker", "nothing listens at "+p.Config.WorkerAddr))
	p.untilHealthy("a worker that was away")

	p.Orchestrator.Kill()
	p.serve(p.finds(5, "orchestrator", "nothing listens at "+p.Config.GRPCAddr))
	p.untilHealthy("an orchestrator that was away")
}
