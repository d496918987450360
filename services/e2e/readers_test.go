package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// node runs a script of testdata with the readers that `make tools` fetches.
func node(t *testing.T, ctx context.Context, script string, args ...string) *exec.Cmd {
	t.Helper()
	dir := os.Getenv("AFTERBELL_READERS")
	if dir == "" {
		t.Skip("AFTERBELL_READERS does not say where the readers from npm are; make test does")
	}
	text, err := os.ReadFile(filepath.Join("testdata", script))
	if err != nil {
		t.Fatal(err)
	}
	// A module resolves its packages relative to its own path.
	path := filepath.Join(dir, strings.TrimSuffix(script, ".mjs")+fmt.Sprintf("-%d.mjs", os.Getpid()))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	cmd := exec.CommandContext(ctx, "node", append([]string{path}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// Readers of others see the rows of the file: apache-arrow over REST, hyparquet by
// ranges, DuckDB in the published file and in the folder of Parquet files.
func TestIndependentReadersSeeTheSameRows(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	e.run(&orchestratorv1.CreateRunRequest{})
	text, err := node(t, t.Context(), "readers.mjs", e.restURL(""), e.path("published")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		Arrow, Hyparquet, Duckdb, ParquetFolder [][]any
		ArrowVersion, Unit                      string
	}
	if err := json.Unmarshal(text, &seen); err != nil {
		t.Fatal(err)
	}
	db := open(t, "duckdb", e.path("published/universe.duckdb")+"?access_mode=READ_ONLY")
	rows, err := db.QueryContext(t.Context(), `SELECT symbol, trade_date::VARCHAR, open, close, pre_close, volume, amount FROM daily_prices ORDER BY trade_date, symbol`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var want [][]any
	for rows.Next() {
		row := make([]any, 7)
		into := make([]any, 7)
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		want = append(want, row)
	}
	if err := rows.Err(); err != nil || len(want) == 0 {
		t.Fatalf("%d rows, %v", len(want), err)
	}
	for name, got := range map[string][][]any{"apache-arrow": seen.Arrow, "hyparquet": seen.Hyparquet, "DuckDB": seen.Duckdb, "Parquet folder": seen.ParquetFolder} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, lastLines(diff, 20))
		}
	}
	if seen.Unit != "千元" || seen.ArrowVersion == "" {
		t.Errorf("the unit of amount is %q, the version %q", seen.Unit, seen.ArrowVersion)
	}
}

func (e *env) restURL(path string) string { return "http://" + e.Config.HTTPAddr + path }

// A process that holds the published file open, and some that read over REST all the
// time, do not disturb a run, no read fails, and every read is of one version.
func TestReadersAndARunDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	e.run(&orchestratorv1.CreateRunRequest{EndDate: time.Now().AddDate(0, 0, -5).Format(time.DateOnly)})
	holder := node(t, t.Context(), "holder.mjs", e.path("published/universe.duckdb"))
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	read := func() string {
		if !lines.Scan() {
			t.Fatalf("the reader ended: %v", lines.Err())
		}
		return lines.Text()
	}
	before := read()

	rows := map[string]int{} // by version
	ctx, stop := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() {
		for ctx.Err() == nil {
			version, n, err := readCSV(ctx, e.restURL("/v1/data/daily_prices.csv?columns=symbol"))
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Errorf("a read failed: %v", err)
				return
			}
			if known, again := rows[version]; again && known != n {
				t.Errorf("version %s has %d rows, and %d before", version, n, known)
			}
			rows[version] = n
		}
	})
	// Other readers read a symbol, a day or a file. Each reads again after the run, so that none is
	// starved.
	ended := make(chan struct{})
	var others sync.WaitGroup
	for i := range 10 {
		others.Go(func() {
			for n, last := i, false; !last; n++ {
				select {
				case <-ended:
					last = true
				default:
				}
				path := []string{
					fmt.Sprintf("daily_prices.arrow?symbols=6005%02d.SH", n%60), "daily_prices.ndjson?adjust=forward&symbols=510300.SH", "daily_basics.csv?start_date=" + time.Now().AddDate(0, 0, -20).Format(time.DateOnly),
					fmt.Sprintf("daily_prices.parquet?start_date=1990-01-%02d", 1+n%28), "daily_prices/condition",
				}[n%5]
				if _, _, err := readCSV(t.Context(), e.restURL("/v1/data/"+path)); err != nil {
					t.Errorf("%s: %v", path, err)
					return
				}
			}
		})
	}
	first := e.manifest()
	if r := e.run(&orchestratorv1.CreateRunRequest{})[marketv1.Pool_POOL_UNIVERSE]; r.GetOutcome() != orchestratorv1.Run_OUTCOME_SUCCEEDED {
		t.Errorf("%s %v", r.GetOutcome(), r.GetIssues())
	}
	close(ended)
	others.Wait()
	stop()
	loop.Wait()
	if now := e.manifest(); now == first {
		t.Errorf("nothing new was published: %s", now)
	}
	if _, err := io.WriteString(in, "\n"); err != nil {
		t.Fatal(err)
	}
	if after := read(); after != before {
		t.Errorf("the file that is held has %s rows and days, and had %s", after, before)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err != nil {
		t.Error(err)
	}
	if len(rows) == 0 {
		t.Error("nothing was read over REST meanwhile")
	}
}

func (e *env) manifest() string {
	e.t.Helper()
	data, err := os.ReadFile(e.path("published/manifest.json"))
	if err != nil {
		e.t.Fatal(err)
	}
	var m struct{ Version string }
	if err := json.Unmarshal(data, &m); err != nil {
		e.t.Fatal(err)
	}
	return m.Version
}

func readCSV(ctx context.Context, url string) (version string, rows int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %.200s", resp.StatusCode, data)
	}
	return resp.Header.Get("X-Afterbell-Version"), strings.Count(string(data), "\n") - 1, err
}

// The commands of the README's section on reading work unchanged.
func TestReadmeReading(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	e.setTargets("600519.SH", "510300.SH")
	e.run(&orchestratorv1.CreateRunRequest{})
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile("(?s)\n## Read the data\n(.*?)\n## ").FindSubmatch(readme)
	if section == nil {
		t.Fatal("README.md has no section Read the data")
	}
	block := regexp.MustCompile("(?s)```sh\n(.*?)```").FindSubmatch(section[1])
	if block == nil {
		t.Fatal("the section has no commands")
	}
	dir, n := t.TempDir(), 0
	for line := range strings.Lines(string(block[1])) {
		command := strings.ReplaceAll(strings.TrimSpace(line), "localhost:7780", e.Config.HTTPAddr)
		command = strings.ReplaceAll(command, "data/simulated", e.Config.Data)
		if command == "" {
			continue
		}
		n++
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
		cmd.Dir = dir
		text, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(text), `"error"`) {
			t.Errorf("%s: %v\n%.500s", command, err, text)
		}
	}
	if n < 6 {
		t.Errorf("only %d commands were run", n)
	}
	for name, head := range map[string]string{"prices.parquet": "PAR1", "prices.csv": "\ufeffsymbol,", "prices.arrow": "\xff\xff\xff\xff"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.HasPrefix(string(data), head) {
			t.Errorf("%s begins with %.20q, %v", name, data, err)
		}
	}
	python := regexp.MustCompile("(?s)```python\n(.*?)```").FindSubmatch(section[1])
	if python == nil {
		t.Fatal("the section has no Python")
	}
	readmePython(t, e, strings.ReplaceAll(strings.ReplaceAll(string(python[1]), "localhost:7780", e.Config.HTTPAddr), "data/simulated", e.Config.Data))
	t.Run("examples", func(t *testing.T) { examples(t, e) })
}

// readmePython checks Python as far as it goes without its packages: Python takes it, the
// SQL in it finds rows, and what it reads by URL is Parquet.
func readmePython(t *testing.T, e *env, code string) {
	t.Helper()
	if python, err := exec.LookPath("python3"); err == nil {
		cmd := exec.CommandContext(t.Context(), python, "-c", "import ast, sys; ast.parse(sys.stdin.read())")
		cmd.Stdin = strings.NewReader(code)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("Python does not take the block: %v\n%s", err, text)
		}
	}
	db := open(t, "duckdb", e.path("published/universe.duckdb")+"?access_mode=READ_ONLY")
	queries := regexp.MustCompile(`\.sql\("([^"]+)"\)`).FindAllStringSubmatch(code, -1)
	urls := regexp.MustCompile(`"(http://[^"]+)"`).FindAllStringSubmatch(code, -1)
	if len(queries) < 2 || len(urls) < 1 {
		t.Errorf("%d queries and %d URLs were found", len(queries), len(urls))
	}
	for _, q := range queries {
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM ("+q[1]+")").Scan(&n); err != nil || n == 0 {
			t.Errorf("%s: %d rows, %v", q[1], n, err)
		}
	}
	for _, u := range urls {
		cmd := exec.CommandContext(t.Context(), "curl", "-sf", u[1])
		if data, err := cmd.Output(); err != nil || !strings.HasPrefix(string(data), "PAR1") || !strings.HasSuffix(string(data), "PAR1") {
			t.Errorf("%s: %d bytes that are no Parquet file, %v", u[1], len(data), err)
		}
	}
}

// examples runs those of the folder examples that need nothing but Go and curl.
func examples(t *testing.T, e *env) {
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%.500s", name, err, text)
		}
		return string(text)
	}
	told := run("../../examples/curl.sh", e.restURL(""), dir)
	if !strings.Contains(told, "not complete: ") || !strings.Contains(told, "FAILED_PRECONDITION") || !strings.Contains(told, "version "+e.manifest()) {
		t.Errorf("curl.sh said %s", told)
	}
	ndjson, err := os.ReadFile(filepath.Join(dir, "prices.ndjson"))
	if err != nil || !strings.Contains(string(ndjson), `"symbol":"600519.SH"`) {
		t.Errorf("curl.sh left %.100q, %v", ndjson, err)
	}
	program := filepath.Join(dir, "prices")
	run("go", "build", "-o", program, "github.com/afterbell/afterbell/examples/prices")
	lines := strings.Split(strings.TrimSpace(run(program, "--orchestrator", e.Config.GRPCAddr, "--symbols", "600519.SH", "--run")), "\n")
	if !strings.HasPrefix(lines[0], "run ") {
		t.Errorf("the program began with %s", lines[0])
	}
	refused, err := exec.CommandContext(t.Context(), program, "--orchestrator", e.Config.GRPCAddr, "--symbols", "600519.SH,999999.SH", "--complete").CombinedOutput()
	if err == nil || !strings.HasPrefix(string(refused), "prices: not complete: ") || !strings.Contains(string(refused), "No instrument list of this version has 999999.SH") {
		t.Errorf("the program about a symbol that does not exist: %s, %v", refused, err)
	}
	var day, want string
	db := open(t, "duckdb", e.path("published/universe.duckdb")+"?access_mode=READ_ONLY")
	err = db.QueryRowContext(t.Context(), `SELECT trade_date::VARCHAR, printf('%.4f', close) FROM daily_prices WHERE symbol = '600519.SH' ORDER BY trade_date DESC LIMIT 1`).Scan(&day, &want)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines[len(lines)-1]; got != "600519.SH "+day+" "+want {
		t.Errorf("the program ended with %q, and the file has %s of %s", got, want, day)
	}
	if _, err := exec.LookPath("python3"); err == nil {
		run("python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())", "../../examples/notebook.py")
	}
}
