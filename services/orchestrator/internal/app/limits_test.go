package app

import (
	"encoding/json"
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

// A caller over its limit is told at once, over gRPC and REST alike.
func TestMoreStreamsThanAreAccepted(t *testing.T) {
	w, addr := startWorker(t)
	dir := t.TempDir()
	quiet(t, dir)
	r := startIn(t, dir, addr, func(c *config.Config) { c.Web.StreamsPerCaller, c.Web.MaxCalls = 1, 100 })
	r.worker = w
	w.mu.Lock()
	w.hold = make(chan struct{})
	w.mu.Unlock()
	run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	watch, err := r.runs().WatchRun(t.Context(), &orchestratorv1.WatchRunRequest{RunId: run.GetRunId()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	second, err := r.runs().WatchRun(t.Context(), &orchestratorv1.WatchRunRequest{RunId: run.GetRunId()})
	if err == nil {
		_, err = second.Recv()
	}
	faulttest.Produces(t, err, fault.TooManyCalls)
	open, err := r.http.Get("http://" + r.HTTPAddr() + "/v1/runs/" + run.GetRunId() + ":watch") // another caller: it came by REST
	if err != nil || open.StatusCode != 200 {
		t.Fatalf("%v %v", open, err)
	}
	defer open.Body.Close()
	if _, err := open.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	resp, body := r.get(t, "GET", "/v1/runs/"+run.GetRunId()+":watch", "")
	if resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, `"reason":"TOO_MANY_CALLS"`) || !strings.Contains(body, `"retryDelay"`) || resp.Header.Get("Retry-After") != "5" {
		t.Errorf("over REST: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	if resp, body := r.get(t, "GET", "/v1/runs", ""); resp.StatusCode != 200 {
		t.Errorf("a call that is no stream: %d %s", resp.StatusCode, body)
	}
	close(w.hold)
}
