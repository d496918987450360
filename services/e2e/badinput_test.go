package e2e_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

func TestBadInputGetsAClearAnswer(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	huge := strings.Repeat("x", 10<<20)
	for _, c := range []struct {
		name, method, path, body, says string
		status                         int
	}{
		{"unknown run", "GET", "/v1/runs/nope", "", "nope", 404},
		{"unknown preflight", "GET", "/v1/preflights/nope", "", "nope", 404},
		{"unknown pool", "GET", "/v1/pools/mars", "", "targets and universe", 404},
		{"unknown module", "PATCH", "/v1/modules/stock.nothing", `{"enabled":true}`, "stock.nothing", 404},
		{"unknown domain", "PATCH", "/v1/domains/mars", `{"enabled":true}`, "mars", 404},
		{"module not built", "PATCH", "/v1/modules/futures.daily", `{"enabled":true}`, "not implemented", 400},
		{"planned provider", "PATCH", "/v1/domains/stock", `{"providerId":"wind"}`, "wind", 400},
		{"wrong enum", "POST", "/v1/runs", `{"pools":["POOL_MARS"]}`, "POOL_MARS", 400},
		{"wrong enum number", "POST", "/v1/runs", `{"pools":[77]}`, "pools", 400},
		{"no such day", "POST", "/v1/runs", `{"startDate":"2026-02-30"}`, "start_date", 400},
		{"turned round", "POST", "/v1/runs", `{"startDate":"2026-03-02","endDate":"2026-03-01"}`, "start_date", 400},
		{"future", "POST", "/v1/runs", `{"endDate":"2099-01-01"}`, "end_date", 400},
		{"unknown module of a run", "POST", "/v1/runs", `{"moduleIds":["stock.nothing"]}`, "module_ids", 400},
		{"no uuid", "POST", "/v1/runs", `{"requestId":"1"}`, "request_id", 400},
		{"unknown field", "POST", "/v1/runs", `{"poools":[]}`, "poools", 400},
		{"no JSON", "POST", "/v1/runs", `{`, "", 400},
		{"page size", "GET", "/v1/runs?page_size=-1", "", "page_size", 400},
		{"page token", "GET", "/v1/runs?page_token=%25%25", "", "page_token", 400},
		{"bad symbol", "PUT", "/v1/targets", `{"targets":{"symbols":["600519.SH","hello"]}}`, "symbols[1]", 400},
		{"bad time", "PATCH", "/v1/schedule", `{"runAt":"25:00"}`, "run_at", 400},
		{"bad zone", "PATCH", "/v1/schedule", `{"timeZone":"Local"}`, "time_zone", 400},
		{"bad setting", "PATCH", "/v1/settings", `{"dispatchWidth":1000}`, "dispatch_width", 400},
		{"unknown path", "GET", "/v1/nothing", "", "", 404},
		{"10 MB note", "POST", "/v1/pools/universe:pause", `{"note":"` + huge + `"}`, "", 400},
		{"10 MB symbol", "PUT", "/v1/targets", `{"targets":{"symbols":["` + huge + `"]}}`, "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &env{Stack: e.Stack, t: t, sim: e.sim}
			code, answer := e.rest(c.method, c.path, c.body)
			text := strings.ToLower(allText(answer))
			ok := code == c.status || c.status == 400 && code == 413 && len(c.body) > 1<<20
			if !ok || !strings.Contains(text, strings.ToLower(c.says)) {
				t.Errorf("%s %s answers %d %.400s; want %d saying %q", c.method, c.path, code, text, c.status, c.says)
			}
			if strings.Contains(text, "goroutine") || strings.Contains(text, ".go:") || len(text) > 4000 {
				t.Errorf("the answer shows too much: %.600s", text)
			}
		})
	}
	t.Run("grpc", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := e.Runs().CreateRun(ctx, &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{99}})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("an unknown enum answers %v", err)
		}
		_, err = e.Runs().CancelRun(ctx, &orchestratorv1.CancelRunRequest{RunId: "x", Note: huge})
		if c := status.Code(err); c != codes.InvalidArgument && c != codes.ResourceExhausted {
			t.Errorf("a field of 10 MB answers %v", c)
		}
		_, err = e.Runs().GetRun(ctx, &orchestratorv1.GetRunRequest{RunId: "\x00'; drop table ingest_runs"})
		if c := status.Code(err); c != codes.InvalidArgument && c != codes.NotFound {
			t.Errorf("an odd id answers %v", err)
		}
	})
	if n := scalar[int](t, e.ledger(), "select count(*) from ingest_runs"); n != 0 {
		t.Errorf("%d runs came of bad input", n)
	}
}

// allText returns all texts of a decoded response.
func allText(v any) string {
	switch v := v.(type) {
	case string:
		return v + " "
	case map[string]any:
		var b strings.Builder
		for key, inner := range v {
			b.WriteString(key + " " + allText(inner))
		}
		return b.String()
	case []any:
		var b strings.Builder
		for _, inner := range v {
			b.WriteString(allText(inner))
		}
		return b.String()
	}
	return ""
}
