package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestWhatIsAccepted(t *testing.T) {
	for accept, want := range map[string]bool{
		"": true, "*/*": true, "application/*": true, "application/json": true, "APPLICATION/JSON": true, "text/html, */*;q=0.1": true,
		"application/xml": false, "text/csv": false, "application/json;q=0": false, "*/*, application/json;q=0": false, "application/json;q=0, application/*": false,
		"nonsense": false, "application/json;q=x": false, "text/html,application/xhtml+xml,*/*;q=0.8": true,
	} {
		if got := takes([]string{accept}, "application/json"); got != want {
			t.Errorf("%q takes JSON: %v", accept, got)
		}
	}
}

func TestFormsThatAreNotServed(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		method, path, accept string
		code                 int
	}{
		{"GET", "/v1/runs", "application/xml", 406}, {"GET", "/v1/runs", "text/event-stream", 406}, {"POST", "/v1/runs", "text/csv", 406},
		{"GET", "/v1/runs/r1:watch", "application/xml", 406}, {"GET", "/v1/runs/r1:watch", "text/event-stream", 200}, {"GET", "/v1/runs/r1:watch", "application/x-ndjson", 200},
		{"GET", "/v1/runs", "application/json", 200}, {"GET", "/v1/runs", "text/html, */*;q=0.8", 200}, {"GET", "/healthz", "text/plain", 200},
	} {
		resp, body := r.do(t, c.method, c.path, "", "Accept", c.accept)
		if resp.StatusCode != c.code || c.code == 406 && !strings.Contains(string(body), `"field":"accept"`) {
			t.Errorf("%s %s as %s: %d %s", c.method, c.path, c.accept, resp.StatusCode, body)
		}
	}
}

func TestHeadersAndPathsThatAreTooLong(t *testing.T) {
	r := start(t)
	resp, body := r.do(t, "GET", "/v1/runs", "", "X-Long", strings.Repeat("x", 70_000))
	if resp.StatusCode != 431 || !strings.Contains(string(body), `"field":"header"`) {
		t.Errorf("a long header: %d %.300s", resp.StatusCode, body)
	}
	resp, body = r.do(t, "GET", "/v1/runs/"+strings.Repeat("x", 70_000), "")
	if resp.StatusCode != 414 || !strings.Contains(string(body), `"field":"path"`) {
		t.Errorf("a long path: %d %.300s", resp.StatusCode, body)
	}
}

// A range outside of a file is refused with the usual form of errors.
func TestRangeOutsideTheFile(t *testing.T) {
	g := &gateway{stallTime: time.Second}
	w := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/v1/data/daily_prices.parquet", nil)
	req.Header.Set("Range", "bytes=100-")
	http.ServeContent(&patient{ResponseWriter: w, control: http.NewResponseController(w), gateway: g, request: req}, req, "", time.Time{}, strings.NewReader("short"))
	if w.Code != 416 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Content-Range") != "bytes */5" ||
		!strings.HasPrefix(w.Body.String(), `{"error":{"code":3,`) || strings.Count(w.Body.String(), "\n") != 1 {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
}

func TestSecurityHeaders(t *testing.T) {
	r := start(t)
	for _, path := range []string{"/v1/runs", "/v1/nothing", "/healthz", "/"} {
		resp, _ := r.do(t, "GET", path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'", "Access-Control-Allow-Origin": "", "Strict-Transport-Security": "",
		} {
			if got := resp.Header.Get(name); !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%s: %s is %q, not %q", path, name, got, want)
			}
		}
	}
}

func TestPagesOfOtherSites(t *testing.T) {
	const desk = "https://desk.example"
	plain, r := start(t), start(t, func(c *Config) { c.Origins = []string{desk} })
	ask := []string{"Origin", desk, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization"}
	if resp, _ := plain.do(t, "OPTIONS", "/v1/runs", "", ask...); resp.StatusCode < 400 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("by default: %d %v", resp.StatusCode, resp.Header)
	}
	resp, _ := r.do(t, "OPTIONS", "/v1/runs", "", ask...)
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != desk || !strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Authorization") || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("asked: %d %v", resp.StatusCode, resp.Header)
	}
	resp, body := r.do(t, "POST", "/v1/runs", "{}", "Origin", desk, "Sec-Fetch-Site", "cross-site")
	if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != desk || resp.Header.Get("Vary") != "Origin" {
		t.Errorf("called: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	ask[1] = "https://other.example"
	if resp, _ := r.do(t, "OPTIONS", "/v1/runs", "", ask...); resp.StatusCode < 400 || resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Vary") != "Origin" {
		t.Errorf("another site asked: %d %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := r.do(t, "POST", "/v1/runs", "{}", "Origin", ask[1], "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 {
		t.Errorf("another site called: %d", resp.StatusCode)
	}
}

func TestHostsOfAReverseProxy(t *testing.T) {
	r := start(t, func(c *Config) { c.PublicHosts = []string{"data.example", "other.example:8443"} })
	for host, code := range map[string]int{
		"data.example": 200, "DATA.example:443": 200, "other.example:8443": 200, "other.example": 421, "other.example:1": 421, "evil.example": 421, "localhost": 200,
	} {
		if resp, body := r.do(t, "GET", "/v1/runs", "", "Host", host); resp.StatusCode != code {
			t.Errorf("%s: %d %s", host, resp.StatusCode, body)
		}
	}
	for _, c := range [][3]string{{"GET", "/v1/runs/r1:watch", ""}, {"POST", "/v1/preflights:run", "{}"}, {"GET", "/v1/data/daily_prices.csv", ""}} {
		resp, _ := r.do(t, c[0], c[1], c[2], "Host", "data.example")
		if resp.Header.Get("X-Accel-Buffering") != "no" || !strings.Contains(resp.Header.Get("Cache-Control"), "no-transform") {
			t.Errorf("%s: a proxy may hold a stream back: %v", c[1], resp.Header)
		}
	}
}

func TestListsWithoutEntries(t *testing.T) {
	for _, query := range []string{"columns=,", "columns=", "symbols=,", "symbols=%20", "symbols=&symbols="} {
		req := httptest.NewRequest("GET", "/v1/data/daily_prices.csv?"+query, nil)
		field, _, _ := strings.Cut(query, "=")
		if _, _, code, err := rowRequest(req); code != 400 || err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %d %v", query, code, err)
		}
	}
}

// A parameter that is dropped would not limit the rows.
func TestParametersOfRowsAreNotDropped(t *testing.T) {
	r := start(t)
	for query, field := range map[string]string{
		"symbols=%zz": "query", "start_date=2026-03-02%": "query", "symbols=600519.SH&columns=%4": "query", "require=complete;adjust=forward": "query",
		"start_date=2026-03-02&startDate=2026-03-03": "start_date", "endDate=2026-03-02&end_date=2026-03-03": "end_date",
	} {
		resp, body := r.do(t, "GET", "/v1/data/daily_prices.csv?"+query, "")
		if resp.StatusCode != 400 || !strings.Contains(string(body), `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
}
