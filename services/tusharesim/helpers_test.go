package tusharesim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/tusharesim"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}))
}

// evening is after all hours of publication of an open day, a Friday.
var evening = time.Date(2026, 5, 15, 21, 0, 0, 0, tusharesim.Beijing)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// small is a market that builds in no time.
func small() tusharesim.Options {
	return tusharesim.Options{Stocks: 400, Funds: 190, Now: at(evening)}
}

type reply struct {
	RequestID string  `json:"request_id"`
	Code      *int    `json:"code"`
	Msg       *string `json:"msg"`
	Detail    *string `json:"detail"`
	Data      *struct {
		Fields  []string            `json:"fields"`
		Items   [][]json.RawMessage `json:"items"`
		HasMore *bool               `json:"has_more"`
		Count   *int                `json:"count"`
	} `json:"data"`
}

func (r *reply) column(t testing.TB, name string) []string {
	t.Helper()
	for i, f := range r.Data.Fields {
		if f == name {
			out := make([]string, len(r.Data.Items))
			for j, it := range r.Data.Items {
				out[j] = string(it[i])
			}
			return out
		}
	}
	t.Fatalf("no column %s in %v", name, r.Data.Fields)
	return nil
}

type params = map[string]any

// client has its own connections, closed with the test.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func post(t testing.TB, url string, body any) (int, []byte, error) {
	t.Helper()
	b, ok := body.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	res, err := client(t).Post(url, "application/json", bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	return res.StatusCode, out, err
}

func request(api string, p params, fields string) map[string]any {
	return map[string]any{"api_name": api, "token": "a-valid-token-0123456789", "params": p, "fields": fields}
}

// call expects a valid reply with any code.
func call(t testing.TB, s *tusharesim.Server, api string, p params, fields string) *reply {
	t.Helper()
	status, b, err := post(t, s.URL, request(api, p, fields))
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s %v: HTTP %d, %v, %.200s", api, p, status, err, b)
	}
	return parse(t, b)
}

func parse(t testing.TB, b []byte) *reply {
	t.Helper()
	r := &reply{}
	if err := json.Unmarshal(b, r); err != nil {
		t.Fatalf("reply is not JSON: %v: %.300s", err, b)
	}
	if r.Code == nil || r.Msg == nil || r.Detail == nil || r.RequestID == "" {
		t.Fatalf("reply lacks a key: %.300s", b)
	}
	return r
}

// good wants code 0.
func good(t testing.TB, s *tusharesim.Server, api string, p params, fields string) *reply {
	t.Helper()
	r := call(t, s, api, p, fields)
	if *r.Code != 0 || r.Data == nil || r.Data.HasMore == nil || r.Data.Count == nil || r.Data.Items == nil {
		t.Fatalf("%s %v: code %d %s", api, p, *r.Code, *r.Msg)
	}
	return r
}

// refused wants a code and its text.
func refused(t testing.TB, s *tusharesim.Server, api string, p params, code int, msg string) {
	t.Helper()
	r := call(t, s, api, p, "")
	if *r.Code != code || *r.Msg != msg || r.Data != nil {
		t.Errorf("%s %v: got %d %q (data %v), want %d %q", api, p, *r.Code, *r.Msg, r.Data != nil, code, msg)
	}
}

func mustFault(t testing.TB, s *tusharesim.Server, f tusharesim.Fault) int {
	t.Helper()
	id, err := s.AddFault(f)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// realdata returns the folder of recorded data, or skips aloud.
func realdata(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("AFTERBELL_REALDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "realdata")
	}
	if _, err := os.Stat(filepath.Join(dir, "daily")); err != nil {
		msg := fmt.Sprintf("SKIPPED: RECORDED DATA ABSENT at %s (set AFTERBELL_REALDATA); %s compares nothing", dir, t.Name())
		fmt.Fprintln(os.Stderr, msg)
		t.Skip(msg)
	}
	return dir
}
