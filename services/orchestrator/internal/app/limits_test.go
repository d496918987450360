package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/orchestrator/internal/config"
)

// A change on what was read before somebody else's change is refused, and one on what is
// there now is made.
func TestChangesOnWhatWasReadBefore(t *testing.T) {
	r := start(t)
	for _, c := range []struct{ path, read, etagOf, first, second string }{
		{"/v1/settings", "/v1/settings", "settings", `"maxFollowUps":3`, `"maxFollowUps":4`},
		{"/v1/schedule", "/v1/schedule", "schedule", `"runAt":"20:00"`, `"runAt":"21:00"`},
		{"/v1/domains/etf", "/v1/domains", "domains.1", `"enabled":false`, `"enabled":true`},
		{"/v1/modules/stock.market.daily", "/v1/domains", "domains.0.modules.1", `"enabled":false`, `"enabled":true`},
	} {
		etag := func() string {
			resp, body := r.get(t, "GET", c.read, "")
			var at any
			if err := json.Unmarshal([]byte(body), &at); err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s: %d %s", c.read, resp.StatusCode, body)
			}
			for key := range strings.SplitSeq(c.etagOf, ".") {
				if list, ok := at.([]any); ok {
					at = list[key[0]-'0']
				} else {
					at = at.(map[string]any)[key]
				}
			}
			text, _ := at.(map[string]any)["etag"].(string)
			if text == "" {
				t.Fatalf("%s has no etag: %s", c.read, body)
			}
			return text
		}
		read := etag()
		change := func(what, etag string, code int) {
			t.Helper()
			if resp, body := r.get(t, "PATCH", c.path, `{`+what+`,"etag":"`+etag+`"}`); resp.StatusCode != code {
				t.Errorf("%s with %s: %d %s", c.path, what, resp.StatusCode, body)
			}
		}
		change(c.first, read, 200)
		change(c.second, read, http.StatusConflict)
		if now := etag(); now == read {
			t.Errorf("%s kept its etag", c.path)
		} else {
			change(c.second, now, 200)
		}
	}
	resp, body := r.get(t, "POST", "/v1/schedule:pause", `{"note":"away"}`)
	if resp.StatusCode != 200 {
		t.Fatal(body)
	}
}

// What is no RPC counts as a call as well, unless everybody may ask for it.
func TestPagesAreLimited(t *testing.T) {
	k := startKeyed(t, func(c *config.Config) { c.Web.MaxCalls = 1 })
	if code, reason := k.rest(t, "viewer", "GET", "/openapi.json", ""); code != 200 {
		t.Errorf("alone: %d %s", code, reason)
	}
	k.worker.mu.Lock() // so that a call lasts
	held := make(chan int, 1)
	go func() {
		code := http.StatusTooManyRequests
		for code == http.StatusTooManyRequests { // one of the calls below was in progress
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+k.HTTPAddr()+"/v1/limits", nil)
			req.Header.Set("Authorization", "Bearer "+k.secrets["operator"])
			resp, err := k.http.Do(req)
			if err != nil {
				t.Error(err)
				break
			}
			resp.Body.Close()
			code = resp.StatusCode
		}
		held <- code
	}()
	for {
		code, reason := k.rest(t, "viewer", "GET", "/openapi.json", "")
		if code == http.StatusTooManyRequests && reason == "TOO_MANY_CALLS" {
			break
		}
		if code != 200 || len(held) > 0 {
			t.Fatalf("beside another call: %d %s", code, reason)
		}
	}
	if code, reason := k.rest(t, "nobody", "GET", "/healthz", ""); code != 200 {
		t.Errorf("what everybody may ask: %d %s", code, reason)
	}
	k.worker.mu.Unlock()
	if code := <-held; code != 200 {
		t.Errorf("the call that lasted: %d", code)
	}
}

// If many callers change the same resource at the same time, one succeeds and the others fail.
func TestChangesAtOnce(t *testing.T) {
	r := start(t)
	read := func(path string) string {
		t.Helper()
		resp, body := r.get(t, "GET", path, "")
		_, rest, ok := strings.Cut(body, `"etag":"`)
		if resp.StatusCode != 200 || !ok {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
		}
		text, _, _ := strings.Cut(rest, `"`)
		return text
	}
	put := func(method, path, body string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.HTTPAddr()+path, strings.NewReader(body))
		if err != nil {
			return 0
		}
		resp, err := r.http.Do(req)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := put("PUT", "/v1/targets/sets/holdings", `{"symbols":["600519.SH"]}`); code != 200 {
		t.Fatal(code)
	}
	for _, c := range []struct{ method, path, change string }{
		{"PATCH", "/v1/settings", `"retentionDays":10%d`},
		{"PATCH", "/v1/schedule", `"runAt":"20:0%d"`},
		{"PUT", "/v1/targets", `"targets":{"symbols":["60000%d.SH"]}`},
		{"PUT", "/v1/targets/sets/holdings", `"symbols":["60000%d.SH"]`},
	} {
		const many = 8
		etag, codes := read(c.path), make(chan int, many)
		for i := range many {
			go func() { codes <- put(c.method, c.path, `{`+fmt.Sprintf(c.change, i)+`,"etag":"`+etag+`"}`) }()
		}
		got := map[int]int{}
		for range many {
			got[<-codes]++
		}
		if got[200] != 1 || got[http.StatusConflict] != many-1 {
			t.Errorf("%s: %v", c.path, got)
		}
	}
}

// A caller over its limit is refused at once, over gRPC and REST. A key is one caller, from any address
// and with either protocol.
func TestMoreStreamsThanAreAccepted(t *testing.T) {
	k := startKeyed(t, func(c *config.Config) { c.Web.StreamsPerCaller, c.Web.MaxCalls = 1, 100 })
	gate := make(chan struct{})
	k.worker.set(func() { k.worker.hold = gate })
	run := k.createAs(t, "admin")
	_, cookie := k.session(t, "viewer")
	far := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}}
	defer far.CloseIdleConnections()
	watch := func(client *http.Client, header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+k.HTTPAddr()+"/v1/runs/"+run+":watch", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header[0], header[1])
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	stream, err := k.runs().WatchRun(k.as(t.Context(), "viewer"), &orchestratorv1.WatchRunRequest{RunId: run})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	second, err := k.runs().WatchRun(k.as(t.Context(), "viewer"), &orchestratorv1.WatchRunRequest{RunId: run})
	if err == nil {
		_, err = second.Recv()
	}
	faulttest.Produces(t, err, fault.TooManyCalls)
	for name, resp := range map[string]*http.Response{
		"REST":            watch(k.http, "Authorization", "Bearer "+k.secrets["viewer"]),
		"another address": watch(far, "Authorization", "Bearer "+k.secrets["viewer"]),
		"the console":     watch(k.http, "Cookie", cookie),
	} {
		body, err := io.ReadAll(io.LimitReader(resp.Body, 2000)) // a stream does not end
		if resp.Body.Close(); err != nil || resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(body), `"reason":"TOO_MANY_CALLS"`) ||
			!strings.Contains(string(body), `"retryDelay"`) || resp.Header.Get("Retry-After") != "5" {
			t.Errorf("by %s: %d %v %s, %v", name, resp.StatusCode, resp.Header, body, err)
		}
	}
	other := watch(k.http, "Authorization", "Bearer "+k.secrets["operator"])
	defer other.Body.Close()
	if _, err := other.Body.Read(make([]byte, 1)); err != nil || other.StatusCode != 200 {
		t.Errorf("another key: %d %v", other.StatusCode, err)
	}
	if code, reason := k.rest(t, "viewer", "GET", "/v1/runs", ""); code != 200 {
		t.Errorf("a call that is no stream: %d %s", code, reason)
	}
	close(gate)
}
