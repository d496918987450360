package e2e_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// get reads an address with headers, and answers with the whole body.
func (e *env) get(method, path string, header ...string) (*http.Response, []byte) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, e.restURL(path), nil)
	if err != nil {
		e.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp, body
}

// A Parquet response is a file with a length, ranges and a tag. The suffix or Accept selects the
// format. An invalid query names its field.
func TestRowsOverREST(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	e.run(&orchestratorv1.CreateRunRequest{})
	const file = "/v1/data/daily_prices.parquet?columns=symbol,close"
	resp, whole := e.get("GET", file)
	tag := resp.Header.Get("ETag")
	if resp.StatusCode != 200 || resp.ContentLength != int64(len(whole)) || !bytes.HasPrefix(whole, []byte("PAR1")) || tag == "" {
		t.Fatalf("%d, %d of %d bytes, tag %s", resp.StatusCode, len(whole), resp.ContentLength, tag)
	}
	if resp, part := e.get("GET", file, "Range", "bytes=-8"); resp.StatusCode != 206 || !bytes.Equal(part, whole[len(whole)-8:]) {
		t.Errorf("the last bytes: %d %q", resp.StatusCode, part)
	}
	if resp, part := e.get("GET", file, "Range", "bytes=4-99"); resp.StatusCode != 206 || !bytes.Equal(part, whole[4:100]) {
		t.Errorf("some bytes: %d, %d of them", resp.StatusCode, len(part))
	}
	if resp, _ := e.get("GET", file, "If-None-Match", tag); resp.StatusCode != 304 {
		t.Errorf("a copy that is current: %d", resp.StatusCode)
	}
	for _, path := range []string{file, "/v1/data/daily_prices.csv", "/v1/data/daily_prices.arrow"} {
		resp, body := e.get("HEAD", path)
		if resp.StatusCode != 200 || len(body) != 0 || resp.Header.Get("X-Afterbell-Version") == "" || resp.Header.Get("X-Afterbell-Complete") != "true" {
			t.Errorf("HEAD %s: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
	for accept, want := range map[string]string{
		"": "application/x-ndjson", "*/*": "application/x-ndjson", "text/csv": "text/csv", "application/vnd.apache.arrow.stream": "application/vnd.apache.arrow.stream",
		"application/vnd.apache.parquet;q=0.5, text/csv;q=0.9": "text/csv",
	} {
		resp, _ := e.get("HEAD", "/v1/data/daily_prices", "Accept", accept)
		if got, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); resp.StatusCode != 200 || got != want {
			t.Errorf("Accept %q: %d %s", accept, resp.StatusCode, got)
		}
	}
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/v1/data/nothing.csv":                                                    {404, `"kind":"table"`},
		"/v1/data/daily_prices.xls":                                               {400, `"field":"table"`},
		"/v1/data/daily_prices.csv?columns=close,nothing":                         {400, `"field":"columns[1]"`},
		"/v1/data/daily_prices.csv?symbols=600519":                                {400, `"field":"symbols[0]"`},
		"/v1/data/daily_prices.csv?start_date=2026-13-01":                         {400, `"field":"start_date"`},
		"/v1/data/daily_prices.csv?adjust=sideways":                               {400, `"field":"adjust"`},
		"/v1/data/daily_prices.csv?require=all":                                   {400, `"field":"require"`},
		"/v1/data/daily_prices.csv?colour=red":                                    {400, `"field":"colour"`},
		"/v1/data/daily_prices.csv?pool=nothing":                                  {400, `"field":"pool"`},
		"/v1/data/daily_prices.parquet?version=20200101T000000.000Z":              {404, `"kind":"version"`},
		"/v1/data/daily_prices.csv?require=complete&start_date=2020-01-02":        {412, `"reason":"DATA_INCOMPLETE"`},
		"/v1/data/daily_prices.csv?symbols=" + strings.Repeat("600519.SH,", 5001): {400, `"field":"symbols"`},
	} {
		if resp, body := e.get("GET", path); resp.StatusCode != want.code || !strings.Contains(string(body), want.text) {
			t.Errorf("%.90s: %d %.300s", path, resp.StatusCode, body)
		}
	}
	if resp, body := e.get("GET", "/v1/data/daily_prices", "Accept", "application/pdf"); resp.StatusCode != 406 || !strings.Contains(string(body), `"field":"accept"`) {
		t.Errorf("an unknown Accept: %d %.200s", resp.StatusCode, body)
	}
	if resp, _ := e.get("POST", "/v1/data/daily_prices.csv"); resp.StatusCode != 405 {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

// The next run recreates deleted files of the published copy and reports it, and the metrics count
// it.
func TestRunRepairsThePublishedCopy(t *testing.T) {
	t.Parallel()
	e := up(t, small(), func(c *stack.Config) { c.MetricsAddr = "127.0.0.1:0" })
	e.setTargets("600000.SH", "510300.SH")
	e.run(&orchestratorv1.CreateRunRequest{})
	if err := os.RemoveAll(e.path("published")); err != nil {
		t.Fatal(err)
	}
	if resp, _ := e.get("GET", "/v1/data/daily_prices.csv"); resp.StatusCode != 404 {
		t.Errorf("nothing is published, and the answer is %d", resp.StatusCode)
	}
	r := e.universe("", "")
	told := false
	for _, i := range r.GetIssues() {
		told = told || strings.Contains(i.GetReason().String(), "PUBLICATION_REPAIRED")
	}
	if !told {
		t.Errorf("%s %v", r.GetOutcome(), r.GetIssues())
	}
	if resp, body := e.get("GET", "/v1/data/daily_prices.csv"); resp.StatusCode != 200 || len(body) < 1000 {
		t.Errorf("after the repair: %d, %d bytes", resp.StatusCode, len(body))
	}
	e.metrics()
}
