package cli_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// sequential runs scripts one after the other, because they share a pair.
type sequential struct{ *testing.T }

// Parallel does nothing.
func (sequential) Parallel() {}

// Run implements testscript.T.
func (s sequential) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(sequential{t}) })
}

// Verbose implements testscript.T.
func (sequential) Verbose() bool { return testing.Verbose() }

// The transcripts in testdata, in the order of their names, against one pair that was
// filled.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	p := up(t)
	_, err := orchestratorv1.NewTargetServiceClient(p.Conn).UpdateTargets(t.Context(),
		&orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: p.listed(3)}})
	if err != nil {
		t.Fatal(err)
	}
	p.fill(marketv1.Pool_POOL_TARGETS, marketv1.Pool_POOL_UNIVERSE)
	testscript.RunT(sequential{t}, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("AFTERBELL_ORCHESTRATOR", p.Config.GRPCAddr)
			e.Setenv("AFTERBELL_LANG", "en")
			e.Setenv("DATE", p.lastOpen())
			e.Setenv("TOMORROW", p.sim.Now().AddDate(0, 0, 1).Format(time.DateOnly))
			e.Setenv("DATA", p.Config.Data)
			e.Setenv("HTTP", p.Config.HTTPAddr)
			e.Setenv("WORKER", p.Config.WorkerAddr)
			e.Setenv("NEW", p.listed(4)[3])
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code": code, "lines": lines, "terminal": terminal, "narrow": narrow,
		},
	})
}

// Every command is in a transcript, in a pipe and on a terminal.
func TestTranscriptsCoverEveryCommand(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(text)
	}
	help := run(t, closedPort(t), "--help").out
	commands := regexp.MustCompile(`(?m)^  ([a-z]+) +[A-Z]`).FindAllStringSubmatch(help[strings.Index(help, "Commands:"):], -1)
	if len(commands) < 25 {
		t.Errorf("%d commands: %s", len(commands), help)
	}
	for _, c := range commands {
		for where, form := range map[string]string{"a pipe": `(?m)^(exec|code \d) afterbell `, "a terminal": `(?m)^terminal \d \S+ afterbell `} {
			if c[1] == "mcp" && where == "a terminal" {
				continue // it speaks a protocol, to programs
			}
			if !regexp.MustCompile(form + c[1] + `\b`).MatchString(said.String()) {
				t.Errorf("no transcript has afterbell %s in %s", c[1], where)
			}
		}
	}
}

// listed are some stocks that trade at the simulator.
func (p *pair) listed(n int) []string {
	p.t.Helper()
	table, err := p.sim.Rows("stock_basic", map[string]string{"list_status": "L"}, "ts_code")
	if err != nil {
		p.t.Fatal(err)
	}
	var symbols []string
	for _, row := range table.Rows[:n] {
		symbols = append(symbols, row[0].(string))
	}
	return symbols
}

// code runs a command and checks its exit code: code 3 afterbell status.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// lines checks how many lines a stream or file has: lines stderr 2.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines stdout|stderr|FILE N")
	}
	text := ts.ReadFile(args[0])
	if got := fmt.Sprint(strings.Count(text, "\n")); got != args[1] {
		ts.Fatalf("%s has %s lines, want %s:\n%s", args[0], got, args[1], text)
	}
}

// terminal runs a command whose three streams are a terminal of 80 columns, types a
// line, and keeps what the screen got in the file screen: terminal 0 'y' afterbell apply.
func terminal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: terminal CODE INPUT PROGRAM ARG...")
	}
	c := exec.Command(filepath.Join(bin, args[2]), args[3:]...)
	c.Dir = ts.Getenv("WORK")
	for _, name := range []string{"AFTERBELL_ORCHESTRATOR", "AFTERBELL_LANG", "NO_COLOR", "PATH", "HOME"} {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	kind := ts.Getenv("TERM")
	if kind == "" {
		kind = "xterm"
	}
	c.Env = append(c.Env, "TERM="+kind)
	screen, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
	ts.Check(err)
	defer screen.Close()
	if args[1] != "" {
		_, err := screen.WriteString(args[1] + "\n")
		ts.Check(err)
	}
	text, err := io.ReadAll(screen)
	if err != nil && !errors.Is(err, syscall.EIO) { // Linux returns it when the other side is closed
		ts.Check(err)
	}
	ended := c.Wait()
	var exit *exec.ExitError
	if ended != nil && !errors.As(ended, &exit) {
		ts.Check(ended)
	}
	ts.Check(os.WriteFile(ts.MkAbs("screen"), text, 0o600))
	if got := fmt.Sprint(c.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("exit code %s, want %s\n%s", got, args[0], text)
	}
}

// narrow checks that no line of a file is wider: narrow FILE COLUMNS.
func narrow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: narrow FILE COLUMNS")
	}
	most, err := strconv.Atoi(args[1])
	ts.Check(err)
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if line = strings.TrimRight(line, "\r\n"); utf8.RuneCountInString(line) > most && strings.Contains(line, "  ") && !strings.HasPrefix(line, " ") {
			ts.Fatalf("a line has %d columns, more than %d:\n%s", utf8.RuneCountInString(line), most, line)
		}
	}
}
