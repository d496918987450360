package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// cutter is a proxy of the REST port that aborts responses after some bytes.
type cutter struct {
	*httptest.Server
	mu     sync.Mutex
	after  int64 // bytes of an answer; 0 for all
	times  int   // how often it still cuts
	ranges []string
}

func newCutter(t *testing.T, to string) *cutter {
	c := &cutter{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		after, cut := c.after, c.times > 0
		c.times--
		c.ranges = append(c.ranges, r.Header.Get("Range"))
		c.mu.Unlock()
		out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+to+r.URL.RequestURI(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header.Clone()
		in, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer in.Body.Close()
		for k, v := range in.Header {
			w.Header()[k] = v
		}
		for k := range in.Trailer {
			w.Header().Add("Trailer", k)
		}
		w.WriteHeader(in.StatusCode)
		body := io.Reader(in.Body)
		if cut {
			body = io.LimitReader(in.Body, after)
		}
		_, _ = io.Copy(w, body) // the command must notice that the response is incomplete
		if cut {
			panic(http.ErrAbortHandler)
		}
		for k, v := range in.Trailer {
			w.Header()[k] = v
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *cutter) addr() string { return strings.TrimPrefix(c.URL, "http://") }

func (c *cutter) cut(after int64, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after, c.times, c.ranges = after, times, nil
}

type exported struct {
	Version, SHA256      string
	Rows, Bytes, Resumed int64
	Complete             bool
}

// A table is exported to a file and checked. An interrupted export continues where it stopped, and
// never with another version.
func TestExport(t *testing.T) {
	t.Parallel()
	p := up(t)
	p.fill(inUniverse)
	way := newCutter(t, p.Config.HTTPAddr)
	dir := t.TempDir()
	export := func(code int, addr, file string, more ...string) (exported, said) {
		t.Helper()
		args := append([]string{"export", "daily_prices", "-o", filepath.Join(dir, file), "--http-addr", addr, "--output", "ndjson"}, more...)
		got := p.afterbell(args...)
		if got.code != code {
			t.Fatalf("export %s: exit code %d, want %d\n%s%s", file, got.code, code, got.out, got.err)
		}
		var e exported
		if code == 0 {
			if err := json.Unmarshal([]byte(got.out), &e); err != nil {
				t.Fatalf("%v: %s", err, got.out)
			}
			for _, left := range []string{".part", ".part.json"} {
				if _, err := os.Stat(filepath.Join(dir, file+left)); err == nil {
					t.Errorf("export %s leaves %s", file, left)
				}
			}
		}
		return e, got
	}
	read := func(file string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	for _, format := range []string{"parquet", "arrow", "csv", "ndjson"} {
		file := "prices." + format
		e, _ := export(0, p.Config.HTTPAddr, file)
		whole := read(file)
		sum := sha256.Sum256(whole)
		if e.Rows < 1000 || e.Bytes != int64(len(whole)) || e.SHA256 != hex.EncodeToString(sum[:]) || !e.Complete || e.Version == "" || e.Resumed != 0 {
			t.Errorf("%s: %+v of %d bytes", file, e, len(whole))
		}
		if format == "csv" && int64(bytes.Count(whole, []byte("\n"))) != e.Rows+1 {
			t.Errorf("%s: %d rows are reported", file, e.Rows)
		}
		// It continues automatically, ...
		some := int64(len(whole)) / 8 // four attempts do not make the whole
		way.cut(some, 1)
		again, _ := export(0, way.addr(), "again."+format)
		if !bytes.Equal(read("again."+format), whole) || again.Resumed == 0 {
			t.Errorf("%s after a cut: %+v", file, again)
		}
		if ranged := len(way.ranges) == 2 && way.ranges[1] != ""; ranged != (format == "parquet") {
			t.Errorf("%s: ranges %q", file, way.ranges)
		}
		if format == "arrow" || format == "ndjson" {
			continue // as the others do
		}
		// ... and when it is asked again.
		way.cut(some, 100)
		_, broken := export(5, way.addr(), "later."+format)
		if !strings.Contains(broken.err, "Next: afterbell doctor") {
			t.Errorf("%s: %s", file, broken.err)
		}
		if _, err := os.Stat(filepath.Join(dir, "later."+format)); err == nil {
			t.Errorf("%s has its name before it is whole", file)
		}
		part, about := read("later."+format+".part"), read("later."+format+".part.json")
		leave := func(name string, part []byte) {
			t.Helper()
			for ending, content := range map[string][]byte{".part": part, ".part.json": about} {
				if err := os.WriteFile(filepath.Join(dir, name+"."+format+ending), content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		way.cut(0, 0)
		if e, got := export(0, way.addr(), "later."+format); e.Resumed == 0 || !bytes.Equal(read("later."+format), whole) || !strings.Contains(got.err, "already downloaded") {
			t.Errorf("%s taken up again: %+v %s", file, e, got.err)
		}
		// A part that was written to by others is found out. So is one of another request,
		// and one that is whole is taken as it is, or made again.
		spoilt := bytes.Clone(part)
		spoilt[100] ^= 1
		leave("spoilt", spoilt)
		if _, got := export(0, way.addr(), "spoilt."+format); !bytes.Equal(read("spoilt."+format), whole) || !strings.Contains(got.err, "is discarded") {
			t.Errorf("%s of a spoilt part: %s", file, got.err)
		}
		leave("other", part)
		if e, got := export(0, way.addr(), "other."+format, "--columns", "symbol,trade_date,close"); e.Resumed != 0 || !strings.Contains(got.err, "belongs to a different request") {
			t.Errorf("%s of another request: %+v %s", file, e, got.err)
		}
		leave("gone", part)
		elsewhere := bytes.Replace(about, []byte(again.Version), []byte("20200101T000000.000Z"), 1)
		if err := os.WriteFile(filepath.Join(dir, "gone."+format+".part.json"), elsewhere, 0o644); err != nil {
			t.Fatal(err)
		}
		if e, got := export(0, way.addr(), "gone."+format); e.Version != again.Version || e.Resumed != 0 || !bytes.Equal(read("gone."+format), whole) || !strings.Contains(got.err, "no longer kept") {
			t.Errorf("%s of a version that is gone: %+v, %s", file, e, got.err)
		}
		for name, content := range map[string][]byte{"ended": whole, "longer": append(bytes.Clone(whole), whole...)} {
			leave(name, content)
			export(0, way.addr(), name+"."+format)
			if !bytes.Equal(read(name+"."+format), whole) {
				t.Errorf("%s %s is not the whole", file, name)
			}
		}
	}

	part, _ := export(0, p.Config.HTTPAddr, "few.csv", "--symbols", "600000.sh", "--from", p.lastOpen(), "--to", p.lastOpen(), "--adjust", "forward", "--pool", "universe")
	if part.Rows != 1 || !bytes.Contains(read("few.csv"), []byte("600000.SH")) || !bytes.Contains(read("few.csv"), []byte("factor")) {
		t.Errorf("%+v: %s", part, read("few.csv"))
	}
	if _, got := export(3, p.Config.HTTPAddr, "whole.csv", "--require", "complete", "--from", "2020-01-02"); !strings.Contains(got.err, "DATA_INCOMPLETE") || !strings.Contains(got.err, "Next: afterbell run universe --from 2020-01-02 ") {
		t.Errorf("what is not complete: %s", got.err)
	}
	for _, wrong := range [][]string{{"x.xls"}, {"x.csv", "--columns", "nothing"}, {"x.csv", "--adjust", "sideways"}, {"x.csv", "--require", "all"}, {"x.csv", "--version", "1"}} {
		if _, got := export(1, p.Config.HTTPAddr, wrong[0], wrong[1:]...); !strings.Contains(got.err, "Next: ") && !strings.Contains(got.err, "afterbell") {
			t.Errorf("%v: %s", wrong, got.err)
		}
	}
	if _, got := export(5, closedPort(t), "x.csv"); !strings.Contains(got.err, "cannot be read") {
		t.Errorf("nothing listens: %s", got.err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.part*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
