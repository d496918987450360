package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/browser"
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
			"github.com/afterbell/afterbell/services/cli/cmd/afterbell")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
			return 1
		}
		bin = dir
	}
	return m.Run()
}

// token is what the provider takes.
const token = "console-secret-93b1"

// window is how far back the pools reach, in calendar days.
const window = "40d"

// env is a browser and the pair, with a proxy between them that can be cut.
type env struct {
	*stack.Stack
	t     *testing.T
	sim   *tusharesim.Server
	proxy *proxy
	b     *browser.Browser
	p     *browser.Page
}

// proxy forwards requests to the orchestrator. While it is cut, it aborts requests in progress and
// new connections.
type proxy struct {
	*httptest.Server
	mu     sync.Mutex
	target string
	isCut  bool
	abort  context.CancelFunc
	ctx    context.Context
}

func newProxy(t *testing.T, target string) *proxy {
	p := &proxy{target: target}
	p.ctx, p.abort = context.WithCancel(context.Background())
	p.Server = httptest.NewServer(http.HandlerFunc(p.pass))
	t.Cleanup(func() {
		p.abort()
		p.Close()
	})
	return p
}

func (p *proxy) pass(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	isCut, target, whole := p.isCut, p.target, p.ctx
	p.mu.Unlock()
	if isCut {
		panic(http.ErrAbortHandler)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(whole, cancel)()
	reverse := &httputil.ReverseProxy{
		Rewrite: func(q *httputil.ProxyRequest) {
			q.SetURL(&url.URL{Scheme: "http", Host: target})
			q.Out.Host = r.Host
		},
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	reverse.ServeHTTP(w, r.WithContext(ctx))
	if whole.Err() != nil {
		panic(http.ErrAbortHandler) // so that the browser sees a cut, and no end
	}
}

// Cut aborts everything, or with false lets it through again.
func (p *proxy) Cut(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isCut = on; on {
		p.abort()
		p.ctx, p.abort = context.WithCancel(context.Background())
	}
}

// up starts everything. No run starts by itself.
func up(t *testing.T) *env {
	t.Helper()
	b, err := browser.Start(t.Context())
	if errors.Is(err, browser.ErrAbsent) && os.Getenv("CI") == "" {
		t.Skipf("SKIPPED: the tests of the console: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	server := tusharesim.StartTest(t, tusharesim.Options{Stocks: 300, Funds: 120})
	s, err := stack.New(t.Context(), stack.Config{
		Bin: bin, Data: t.TempDir(), ProviderURL: server.URL,
		WorkerFlags:       []string{"--rate-limit", "0", "--universe-window", window, "--targets-window", window},
		OrchestratorFlags: []string{"--schedule=false"},
		Env:               []string{"AFTERBELL_TUSHARE_TOKEN=" + token},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	e := &env{Stack: s, t: t, sim: server, b: b, proxy: newProxy(t, s.Config.HTTPAddr)}
	e.must(func() (err error) { e.p, err = b.Open(); return err }())
	t.Cleanup(e.p.Close)
	e.desktop()
	e.must(e.p.Dark(false))
	return e
}

func (e *env) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) desktop() { e.t.Helper(); e.must(e.p.Size(1280, 900, false)) }
func (e *env) phone()   { e.t.Helper(); e.must(e.p.Size(390, 844, true)) }

// part runs a part of the one long test on the same pair. It ends with what the browser
// wrote to its console meanwhile, which is to be nothing.
func (e *env) part(name string, do func(e *env)) {
	e.t.Helper()
	e.t.Run(name, func(t *testing.T) {
		mine := *e
		mine.t = t
		do(&mine)
		mine.noConsoleErrors()
	})
	if e.t.Failed() {
		e.t.FailNow() // what follows builds on it
	}
}

// noConsoleErrors fails if the browser wrote an error or a warning to its console.
func (e *env) noConsoleErrors() {
	e.t.Helper()
	for _, text := range e.p.Errors() {
		e.t.Errorf("the browser's console: %s", text)
	}
}

// open goes to a page, "runs/ID?x=y", and waits until it shows its data.
func (e *env) open(page string) {
	e.t.Helper()
	var now string
	e.must(e.p.Eval("location.origin", &now))
	if now == e.proxy.URL {
		e.must(e.p.Eval(fmt.Sprintf("(location.hash = %q, new Promise((drawn) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(drawn)))))", "#/"+page), nil))
	} else {
		e.must(e.p.Goto(e.proxy.URL + "/#/" + page))
	}
	e.settled(page)
}

// settled waits until the page shows its data.
func (e *env) settled(page string) {
	e.t.Helper()
	e.until("page "+page, `document.querySelector("main h1") && !document.querySelector("main .skeleton, main [aria-busy=true]")`)
}

func (e *env) until(what, expression string) {
	e.t.Helper()
	e.must(e.p.Until(20*time.Second, what, expression))
}

// click clicks an element, as soon as it may be clicked.
func (e *env) click(selector string) {
	e.t.Helper()
	e.until("to be clicked: "+selector, fmt.Sprintf(`document.querySelector(%[1]q) && !document.querySelector(%[1]q).disabled`, selector))
	e.must(e.p.Click(selector))
}

// press clicks the button of the page that shows a text.
func (e *env) press(label string) { e.t.Helper(); e.pressIn("main", label) }

// confirm clicks the button of the dialog that shows a text.
func (e *env) confirm(label string) { e.t.Helper(); e.pressIn("dialog[open]", label) }

func (e *env) pressIn(selector, label string) {
	e.t.Helper()
	e.until("button "+label, fmt.Sprintf(`(() => {
		const b = [...document.querySelectorAll("%[1]s button, %[1]s a.button")].find((x) => x.innerText.trim() === %[2]q && !x.disabled && (%[1]q !== "main" || !x.closest("dialog")));
		b?.click();
		return b;
	})()`, selector, label))
}

func (e *env) text(selector string) string {
	e.t.Helper()
	text, err := e.p.Text(selector)
	e.must(err)
	return text
}

// is fails where the first line of the page does not hold a text.
func (e *env) answers(what string) {
	e.t.Helper()
	e.until("the answer "+what, fmt.Sprintf(`document.querySelector("main h1")?.innerText.includes(%q)`, what))
}

// rest calls the API and decodes its answer.
func rest[T any](e *env, method, path, body string) T {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, "http://"+e.Config.HTTPAddr+path, strings.NewReader(body))
	e.must(err)
	answer, err := http.DefaultClient.Do(req)
	e.must(err)
	defer answer.Body.Close()
	var v T
	if answer.StatusCode != http.StatusOK {
		e.t.Fatalf("%s %s: %s", method, path, answer.Status)
	}
	e.must(json.NewDecoder(answer.Body).Decode(&v))
	return v
}

// picture keeps a picture in the folder that AFTERBELL_PICTURES names.
func (e *env) picture(name string) {
	e.t.Helper()
	dir := os.Getenv("AFTERBELL_PICTURES")
	if dir == "" {
		return
	}
	png, err := e.p.Picture(false)
	e.must(err)
	e.must(os.MkdirAll(dir, 0o755))
	e.must(os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}
