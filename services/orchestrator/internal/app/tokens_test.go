package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// A token goes to the worker and appears nowhere else, and probes made with the one
// before are stale.
func TestTokens(t *testing.T) {
	const token = "c0ffee-a-token-that-nobody-may-read-c0ffee"
	r := start(t)
	run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	r.finish(t, run.GetRunId())
	probes := func() string {
		_, body := r.get(t, "GET", "/v1/probes", "")
		return body
	}
	if body := probes(); strings.Contains(body, `"stale":true`) || !strings.Contains(body, `"stale":false`) {
		t.Fatalf("after a run: %s", body)
	}
	call := func(method, path, body string, code int, want ...string) {
		t.Helper()
		resp, text := r.get(t, method, path, body)
		if resp.StatusCode != code {
			t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s %s lacks %s: %s", method, path, w, text)
			}
		}
		if strings.Contains(text, "c0ffee") {
			t.Errorf("%s %s shows the token: %s", method, path, text)
		}
	}
	call("GET", "/v1/tokens", "", 200, `"domainId":"stock","source":"SOURCE_ENVIRONMENT","fingerprint":"0123456789abcdef"`, `"stored":[]`)
	call("PUT", "/v1/tokens/main", `{"token":"`+token+`"}`, 200, `"source":"SOURCE_MAIN"`, `"callsPerMinute":200`, `"stored":["main"]`)
	r.worker.mu.Lock()
	if r.worker.given["main"] != token {
		t.Error("the worker got another token")
	}
	r.worker.mu.Unlock()
	if body := probes(); !strings.Contains(body, `"stale":true`) {
		t.Errorf("the probes are not stale: %s", body)
	}
	for _, body := range []string{`"` + token + `"`, `["` + token + `"]`, `{"token":{"c0ffee":"` + token + `"}}`, `{"token":["` + token + `"]}`, `{"token":""}`, `{}`,
		`{"token":"` + token + `","token":"` + token + `"}`, `{"token":"` + strings.Repeat("c0ffee", 1000) + `"}`} {
		call("PUT", "/v1/tokens/main", body, 400)
	}
	before := len(r.trail(t, "TokenService"))
	for _, method := range []string{"PUT", "DELETE"} { // the token in the place of the domain
		body := ""
		if method == "PUT" {
			body = `{"token":"` + token + `"}`
		}
		call(method, "/v1/tokens/"+token, body, 400, "domain_id: ", "allowed are main, stock, etf")
	}
	if after := len(r.trail(t, "TokenService")); after != before {
		t.Errorf("%d entries tell of what was refused", after-before)
	}
	call("PUT", "/v1/tokens/etf", `{"token":"`+token+`x"}`, 200, `"domainId":"etf","source":"SOURCE_DOMAIN"`, `"stored":["etf","main"]`)
	call("DELETE", "/v1/tokens/etf", "", 200, `"stored":["main"]`)
	call("DELETE", "/v1/tokens/etf", "", 404)
	call("DELETE", "/v1/tokens/main", "", 200, `"source":"SOURCE_ENVIRONMENT"`)
	call("GET", "/v1/audit", "", 200, "TokenService.SetToken", "TokenService.ClearToken")
	for _, path := range []string{"/metrics", "/readyz", "/openapi.json", "/v1/runs/" + run.GetRunId(), "/v1/runs/" + run.GetRunId() + ":watch", "/v1/limits", "/v1/readiness", "/v1/domains"} {
		call("GET", path, "", 200)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(r.log.String(), "c0ffee") {
		t.Error("the token is in the log")
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if raw, err := os.ReadFile(f); err == nil && bytes.Contains(raw, []byte("c0ffee")) {
			t.Errorf("the token is in %s", filepath.Base(f))
		}
	}
}
