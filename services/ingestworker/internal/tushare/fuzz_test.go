package tushare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// pieces gives a body in pieces of n bytes, as a slow network would.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(to[:min(p.n, len(to))], p.b)
	p.b = p.b[n:]
	return n, nil
}

var fuzzed = []string{catalog.TradeCal, catalog.Daily, catalog.StockBasic}

// The decoder and encoding/json must read the same, or both refuse.
func FuzzDecode(f *testing.F) {
	seeds := []string{
		goodCal, dailyBody(3, 20260302), body(catalog.StockBasic, 2, 20200101), `{"code":40203,"data":null,"msg":"抱歉，您没有接口"}`, `{"code":0,"data":{"fields":[],"items":[[]]}}`,
		`{"code":0,"data":{"items":[["SSE","20260302","1",null]],` + calFields + `,"has_more":true}}`,
		`{"code":"0","data":{"fields":["ts_code","trade_date","close","vol"],"items":[["\u0036\ud83d\ude00\ud800",20260302,-0.0,"1e3"],["x","",1e999,[]]]},"message":"m"}`,
		`{"code":-0.0,"data":{` + calFields + `,"items":null}}`, `{"code":0,"msg":{"a":[1]},"data":{` + calFields + `,"items":[["a","20260230",1.5,true]]}}`, "{}", "\xff", `{"code":0,"code":1}`,
	}
	for i, s := range seeds {
		for api := range fuzzed {
			f.Add([]byte(s), uint8(api), uint8(i*7))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, which, size uint8) {
		api := fuzzed[int(which)%len(fuzzed)]
		rep, b, bad, err := decode(api, &pieces{raw, 1 + int(size)})
		want, rows, werr := oracle(raw, catalog.Lookup(api))
		var m *malformedError
		switch {
		case err != nil && !errors.As(err, &m):
			t.Fatalf("an error of another kind: %v", err)
		case werr == errTwice, err != nil && strings.Contains(err.Error(), "deeper"):
			return // JSON leaves the first open; the second is our bound
		case werr == nil && want.code != "0":
			// The data of a refusal is of no interest, and need not be read.
			if err == nil && rep.code != want.code {
				t.Fatalf("code %q, want %q", rep.code, want.code)
			}
			return
		case (err == nil) != (werr == nil):
			t.Fatalf("%v, encoding/json: %v", err, werr)
		case err != nil:
			return
		}
		if rep != want {
			t.Fatalf("%+v, want %+v", rep, want)
		}
		if want.missing != "" {
			rows = nil
		}
		for i := range bad { // the decoder truncates bad values
			if n := len(bad[i].Raw); n > maxRaw {
				return
			}
		}
		if got := cellsOf(b, bad); len(got) != len(rows) || len(rows) > 0 && !reflect.DeepEqual(got, rows) {
			t.Fatalf("rows %+v, want %+v", got, rows)
		}
	})
}

// roundTrip answers calls in memory.
type roundTrip func(req request) (*http.Response, error)

type request struct {
	API    string         `json:"api_name"`
	Token  string         `json:"token"`
	Params map[string]any `json:"params"`
	Fields string         `json:"fields"`
	ctx    context.Context
	url    string
}

func (r request) int(name string) int {
	v, _ := r.Params[name].(float64)
	return int(v)
}

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) {
	var r request
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	r.ctx, r.url = req.Context(), req.URL.String()
	return f(r)
}

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1,
	}
}

type fixedToken string

func (f fixedToken) Token(string) (string, string, bool) { return string(f), "f00dbabe", f != "" }

// open admits every call.
type openGate struct{}

func (openGate) Acquire(ctx context.Context, _ quota.Key, _ quota.Priority, _ func(time.Time)) error {
	return ctx.Err()
}
func (openGate) Refused(quota.Key, time.Time, quota.Window, int) time.Time { return time.Time{} }
func (openGate) Hold(_ quota.Key, until time.Time) time.Time               { return until }

const testToken = "t0ken-c0ffee-5ecret"

func newClient(t testing.TB, cfg Config) *Client {
	t.Helper()
	if cfg.URL == "" {
		cfg.URL = "http://provider.test"
	}
	if cfg.Tokens == nil {
		cfg.Tokens = fixedToken(testToken)
	}
	if cfg.Limiter == nil {
		cfg.Limiter = openGate{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// calBody is trade_cal rows from a list of day numbers.
func calBody(days []int, hasMore bool) string {
	var b bytes.Buffer
	b.WriteString(`{"code":0,"data":{` + calFields + `,"items":[`)
	for i, d := range days {
		if i > 0 {
			b.WriteByte(',')
		}
		day := time.Date(2000, 1, 1+d, 0, 0, 0, 0, time.UTC)
		fmt.Fprintf(&b, `["SSE",%q,%d,null]`, day.Format("20060102"), d&1)
	}
	fmt.Fprintf(&b, `],"has_more":%t}}`, hasMore)
	return b.String()
}

// Whatever pages a provider sends, a fetch ends, never holds a row twice, counts
// its calls, and never takes an answer that announced more for the whole.
func FuzzPages(f *testing.F) {
	f.Add([]byte{10, 0, 1, 10, 10, 1, 5, 20, 0})
	f.Add([]byte{10, 0, 1, 10, 0, 1, 10, 0, 1})
	f.Add([]byte{0, 0, 1})
	f.Add([]byte{250, 0, 3, 250, 10, 3, 250, 20, 3})
	f.Add([]byte{8, 0, 0, 8, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		calls, received, last := 0, 0, false
		again, offset := false, 0 // whether all pages are read again
		c := newClient(t, Config{Transport: roundTrip(func(r request) (*http.Response, error) {
			off := r.int("offset")
			if calls > 0 && off == 0 {
				again, offset = true, 0
			}
			if off != offset || off > maxOffset {
				t.Fatalf("offset %d after %d rows", off, offset)
			}
			calls++
			var n, from int
			more := false
			if len(script) >= 3 {
				n, from = int(script[0]), int(script[1])*4
				more = script[2]&1 == 1
				if script[2]&2 != 0 { // a round thousand
					n = 1000
				}
				script = script[3:]
			}
			days := make([]int, n)
			for i := range days {
				days[i] = from + i
			}
			if offset += n; !again {
				received, last = offset, more
			}
			return answer(200, calBody(days, more)), nil
		})})
		a, err := c.Fetch(t.Context(), ingest.Query{Dataset: catalog.Lookup(catalog.TradeCal)}, nil)
		if a.Calls != calls {
			t.Fatalf("counted %d of %d calls", a.Calls, calls)
		}
		if err != nil {
			if !fault.Is(err, fault.ProviderUnavailable) && !fault.Is(err, fault.ProviderRefused) || a.Batch != nil {
				t.Fatalf("%v with %v", err, a.Batch)
			}
			return
		}
		if last {
			t.Fatal("the last reply announced more, and the answer was taken for the whole")
		}
		if n := a.Batch.Len + a.Repeated; n < received || n > received && !again {
			t.Fatalf("%d rows and %d repeated of %d", a.Batch.Len, a.Repeated, received)
		}
		seen := map[string]bool{}
		for _, row := range cellsOf(a.Batch, a.Bad) {
			if k := fmt.Sprint(row); seen[k] {
				t.Fatalf("twice: %s", k)
			} else {
				seen[k] = true
			}
		}
	})
}
