package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func env(m map[string]string) func(string) string { return func(k string) string { return m[k] } }

// The program listens on a free port, says where in one JSON line, serves, and
// stops cleanly on SIGTERM.
func TestRun(t *testing.T) {
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run([]string{"--addr", "127.0.0.1:0", "--stocks=60", "--funds=-1"}, env(map[string]string{"AFTERBELL_SIM_POINTS": "120"}), w)
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	if !lines.Scan() {
		t.Fatal("no line")
	}
	var line struct{ Msg, Addr, URL string }
	if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Msg != "listening" || line.Addr == "" {
		t.Fatalf("first line %s: %v", lines.Bytes(), err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	for api, want := range map[string]string{"daily": `"code":0,`, "fund_daily": `"code":40203,`} {
		res, err := c.Post("http://"+line.Addr, "application/json", strings.NewReader(`{"api_name":"`+api+`","token":"x","params":{"trade_date":"20260401"}}`))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s: %.200s", api, b)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		if !json.Valid(lines.Bytes()) {
			t.Errorf("line %s", lines.Bytes())
		}
	}
	if got := <-code; got != 0 {
		t.Errorf("exit %d", got)
	}
}

func TestBadFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("secret-token=lots\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--nonsense"}, {"extra"}, {"--addr", "0.0.0.0:0"}, {"--addr", "nonsense"}, {"--stocks", "9999999"}, {"--replay", "/does/not/exist"},
		{"--publish", "daily"}, {"--publish", "daily=25:00"}, {"--cap", "daily=x"}, {"--cap", "no=5"}, {"--deny", "nonsense"},
		{"--limit", "daily=5"}, {"--limit", "daily=5/week"}, {"--limit", "daily=5/day:green"}, {"--latency", "-1s"}, {"--clock-offset", "soon"},
		{"--tokens-file", file}, {"--tokens-file", file + "x"}, {"--replay", t.TempDir()}, {"--stock-basic", "201911"}, {"--points", "-5"},
		{"--addr", "127.0.0.1:99999"}, {"--limit", "no=5/day"}, {"--seed", "x"},
	} {
		var b bytes.Buffer
		if code := run(args, env(nil), &b); code != 2 || strings.Count(b.String(), "\n") != 1 || strings.Contains(b.String(), "secret-token") {
			t.Errorf("%v: exit %d, %q", args, code, b.String())
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var b bytes.Buffer
	if code := run([]string{"--addr", taken.Addr().String()}, env(nil), &b); code != 1 || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("an address in use: exit %d, %q", code, b.String())
	}
	b.Reset()
	if code := run(nil, env(map[string]string{"AFTERBELL_SIM_LATENCY": "long"}), &b); code != 2 || !strings.Contains(b.String(), "AFTERBELL_SIM_LATENCY") {
		t.Errorf("environment: exit %d, %q", code, b.String())
	}
	b.Reset()
	if code := run([]string{"--help"}, env(nil), &b); code != 0 || !strings.Contains(b.String(), "-clock-offset") {
		t.Errorf("help: exit %d, %q", code, b.String())
	}
	b.Reset()
	if code := run([]string{"--version"}, env(nil), &b); code != 0 || !strings.HasPrefix(b.String(), "tushare-sim commit ") {
		t.Errorf("version: exit %d, %q", code, b.String())
	}
}

func TestPortTaken(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	addr := lis.Addr().String()
	var b bytes.Buffer
	if code := run([]string{"--addr", addr}, env(nil), &b); code != 1 || !strings.Contains(b.String(), addr+" is taken by another program") {
		t.Errorf("exit %d, %q", code, b.String())
	}
}

func TestFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("# mine\nlow=2000\n\ntop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := parse([]string{"--publish", "moneyflow=20:10,daily=15:30", "--publish=fund_daily=18:00", "--limit", "*=200/minute:new:rolling,stock_basic=50/minute", "--tokens-file", file, "--deny", "fund_basic, fund_daily", "--cap=daily=3000", "--latency=100ms"},
		env(map[string]string{"AFTERBELL_SIM_LATENCY": "9s", "AFTERBELL_SIM_CLOCK_OFFSET": "-24h"}), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o := c.opts
	if len(o.Publish) != 3 || o.Publish["moneyflow"] != "20:10" || o.Caps["daily"] != 3000 || o.Latency.String() != "100ms" || o.ClockOffset.Hours() != -24 {
		t.Errorf("%+v", o)
	}
	if len(o.Limits) != 2 || o.Limits[0].API != "" || o.Limits[0].Text != "new" || !o.Limits[0].Rolling || o.Limits[1].N != 50 {
		t.Errorf("limits %+v", o.Limits)
	}
	if len(o.Tokens) != 2 || o.Tokens["low"].Points != 2000 || len(o.Deny) != 2 {
		t.Errorf("%d tokens, deny %v", len(o.Tokens), o.Deny)
	}
}
