package app

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	authv1 "github.com/afterbell/afterbell/gen/afterbell/auth/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/platformtest"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/config"
)

// trail returns the audit trail, oldest first: the method and the new value.
func (r *harness) trail(t *testing.T, method string) (told []string) {
	t.Helper()
	entries, _, err := r.ledger.Entries(t.Context(), auth.EntryFilter{Method: method, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(entries) {
		told = append(told, e.Method+" "+e.After)
	}
	return told
}

// Every method that changes something leaves entries that say who, from where, what, and
// what was and is there, without what is secret. A new method needs a row here.
func TestEveryChangeIsAudited(t *testing.T) {
	const secret = "hush-4711-nobody-may-read-this"
	k := startKeyed(t)
	p := platformtest.Start(t, nil)
	k.worker.list("600519.SH", "贵州茅台", "510300.SH", "沪深300ETF")
	finished := k.createAs(t, "admin")
	stream, err := k.runs().WatchRun(k.as(t.Context(), "admin"), &orchestratorv1.WatchRunRequest{RunId: finished})
	for err == nil {
		_, err = stream.Recv()
	}
	gate := make(chan struct{})
	k.worker.set(func() { k.worker.hold = gate })
	running := k.createAs(t, "admin")
	hook := p.URL + "/services/" + secret
	const outcome = `{"outcome":"begun"}|{"outcome":"done"}`
	changes := []struct{ method, request, before, after string }{
		{"SettingsService.UpdateSettings", `{"retentionDays":30}`, `"retentionDays":0`, `"retentionDays":30`},
		{"ScheduleService.UpdateSchedule", `{"runAt":"20:00"}`, `"runAt":"19:30"`, `"runAt":"20:00"`},
		{"ScheduleService.PauseSchedule", `{"note":"away"}`, `"paused":false`, `"paused":true`},
		{"ScheduleService.ResumeSchedule", `{"note":"back"}`, `"paused":true`, `"paused":false`},
		{"ModuleService.UpdateDomain", `{"domainId":"etf","enabled":false}`, `"enabled":true`, `"enabled":false`},
		{"ModuleService.UpdateModule", `{"moduleId":"stock.basic","enabled":false}`, `{"stock.basic":true}`, `{"stock.basic":false}`},
		{"TargetService.UpdateTargets", `{"targets":{"symbols":["600519.SH"]}}`, "", "600519.SH"},
		{"TargetService.ReplaceTargetSet", `{"setId":"holdings","symbols":["510300.SH"]}`, "", "510300.SH"},
		{"TargetService.AddTargetSymbols", `{"setId":"holdings","symbols":["600519.SH"]}`, "510300.SH", "600519.SH"},
		{"TargetService.RemoveTargetSymbols", `{"setId":"holdings","symbols":["510300.SH"]}`, "510300.SH", "600519.SH"},
		{"TargetService.DeleteTargetSet", `{"setId":"holdings"}`, "600519.SH", ""},
		{"PoolService.PausePool", `{"pool":"targets","note":"move"}`, `"Paused":false`, `"Paused":true`},
		{"PoolService.ResumePool", `{"pool":"targets"}`, `"Paused":true`, `"Paused":false`},
		{"RunService.CreateRun", `{"pools":["POOL_UNIVERSE"],"moduleIds":["stock.market.daily"],"refetch":true}`, "", "universe"},
		{"RunService.CancelRun", `{"runId":"` + running + `"}`, "", running},
		{"RunService.VerifyRun", `{"runId":"` + finished + `"}`, "", outcome},
		{"RunService.DeleteRun", `{"runId":"` + finished + `"}`, finished, ""},
		{"PreflightService.RunPreflight", `{"pools":["POOL_UNIVERSE"]}`, "", outcome},
		{"LimitService.ForgetLimits", `{}`, "", outcome},
		{"TokenService.SetToken", `{"domainId":"main","token":"` + secret + `"}`, "", outcome},
		{"TokenService.ClearToken", `{"domainId":"main"}`, "", outcome},
		{"KeyService.CreateKey", `{"name":"job","role":"ROLE_VIEWER"}`, "", `"Name":"job"`},
		{"KeyService.RevokeKey", `{"keyId":"` + k.ids["viewer"] + `"}`, k.ids["viewer"], "RevokedAt"},
		{"NoticeService.CreateChannel", `{"channelId":"desk","kind":"KIND_SLACK","url":"` + hook + `"}`, "", `"desk"`},
		{"NoticeService.UpdateChannel", `{"channelId":"desk","url":"` + hook + `2"}`, `"urlFingerprint":"`, `"urlFingerprint":"`},
		{"NoticeService.TestChannel", `{"channelId":"desk"}`, "", outcome},
		{"NoticeService.DeleteChannel", `{"channelId":"desk"}`, `"desk"`, ""},
	}
	plain, err := transport.DialPlain(k.GRPCAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	methods := map[string]protoreflect.MethodDescriptor{}
	everyMethod("afterbell.orchestrator.v1", func(m protoreflect.MethodDescriptor) {
		name := string(m.Name())
		if reads := strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List"); statedRole(m) > authv1.Role_ROLE_VIEWER && !reads {
			methods[string(m.Parent().Name())+"."+name] = m
		}
	})
	var newest int64
	for _, c := range changes {
		m := methods[c.method]
		if m == nil {
			t.Fatalf("%s is no method that changes something", c.method)
		}
		delete(methods, c.method)
		if entries, _, err := k.ledger.Entries(t.Context(), auth.EntryFilter{Limit: 1}); err != nil {
			t.Fatal(err)
		} else if len(entries) > 0 {
			newest = entries[0].ID
		}
		req := dynamicpb.NewMessage(m.Input())
		if err := protojson.Unmarshal([]byte(c.request), req); err != nil {
			t.Fatal(err)
		}
		if err := call(k.as(t.Context(), "admin"), t, plain, m, req); err != nil {
			t.Errorf("%s: %v", c.method, err)
			continue
		}
		entries, _, err := k.ledger.Entries(t.Context(), auth.EntryFilter{Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		var before, after []string
		for _, e := range slices.Backward(entries) {
			if e.ID <= newest {
				continue
			}
			before, after = append(before, e.Before), append(after, e.After)
			if e.Method != c.method || e.Caller.Name != "admin" || e.Caller.KeyID != k.ids["admin"] || e.Caller.Address != "127.0.0.1" || e.Caller.Via != auth.ViaGRPC ||
				e.Request == "" || time.Since(e.At) > time.Minute {
				t.Errorf("%s is reported as %+v", c.method, e)
			}
			if text := e.Request + e.Before + e.After; strings.Contains(text, secret) {
				t.Errorf("%s shows a secret: %s", c.method, text)
			}
		}
		want := 1 + strings.Count(c.after, "|")
		if got := strings.Join(after, "|"); len(after) != want || !strings.Contains(got, c.after) || (c.after == "") != (got == "") {
			t.Errorf("%s: %d entries, after %s; want %d, %s", c.method, len(after), got, want, c.after)
		}
		if got := strings.Join(before, ""); !strings.Contains(got, c.before) || (c.before == "") != (got == "") {
			t.Errorf("%s: before %s; want %s", c.method, got, c.before)
		}
	}
	for name := range methods {
		t.Errorf("%s changes something, and this test does not call it", name)
	}
	close(gate)
}

// What is changed outside the ledger is in the audit trail before it is done, and again
// with what became of it.
func TestTrailOfWhatIsOutsideTheLedger(t *testing.T) {
	r := start(t)
	p := platformtest.Start(t, nil)
	run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	r.finish(t, run.GetRunId())
	if resp, body := r.get(t, "POST", "/v1/channels", `{"channelId":"desk","kind":"KIND_SLACK","url":"`+p.URL+`/services/x"}`); resp.StatusCode != 200 {
		t.Fatal(body)
	}
	const begun, done = ` {"outcome":"begun"}`, ` {"outcome":"done"}`
	for _, c := range []struct {
		method, path, body, rpc, last string
		want                          int
	}{
		{"POST", "/v1/limits:forget", `{}`, "LimitService.ForgetLimits", done, 200},
		{"POST", "/v1/limits:forget", `{"providerApis":["weather"]}`, "LimitService.ForgetLimits", ` {"outcome":"failed","reason":"INVALID_ARGUMENT"}`, 400},
		{"PUT", "/v1/tokens/main", `{"token":"x"}`, "TokenService.SetToken", done, 200},
		{"DELETE", "/v1/tokens/main", "", "TokenService.ClearToken", done, 200},
		{"DELETE", "/v1/tokens/main", "", "TokenService.ClearToken", ` {"outcome":"failed","reason":"NOT_FOUND"}`, 404},
		{"POST", "/v1/runs/" + run.GetRunId() + ":verify", `{}`, "RunService.VerifyRun", done, 200},
		{"POST", "/v1/channels/desk:test", `{}`, "NoticeService.TestChannel", done, 200},
		{"POST", "/v1/preflights:run", `{}`, "PreflightService.RunPreflight", done, 200},
	} {
		before := len(r.trail(t, c.rpc))
		if resp, body := r.get(t, c.method, c.path, c.body); resp.StatusCode != c.want {
			t.Errorf("%s: %d %s", c.rpc, resp.StatusCode, body)
		}
		if got, want := r.trail(t, c.rpc)[before:], []string{c.rpc + begun, c.rpc + c.last}; !slices.Equal(got, want) {
			t.Errorf("the trail has %q, want %q", got, want)
		}
	}
	// A call that asks for nothing possible has not begun.
	before := len(r.trail(t, ""))
	for _, c := range [][3]string{{"PUT", "/v1/tokens/main", `{"token":""}`}, {"POST", "/v1/runs/x:verify", `{}`}, {"POST", "/v1/channels/nobody:test", `{}`}, {"POST", "/v1/preflights:run", `{"moduleIds":["no.such"]}`}} {
		if resp, body := r.get(t, c[0], c[1], c[2]); resp.StatusCode < 400 {
			t.Errorf("%s: %d %s", c[1], resp.StatusCode, body)
		}
	}
	if more := r.trail(t, "")[before:]; len(more) > 0 {
		t.Errorf("the trail has refused changes: %q", more)
	}
	// The entry exists before the worker has responded.
	r.worker.mu.Lock()
	before = len(r.trail(t, "TokenService"))
	answered := make(chan int, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://"+r.HTTPAddr()+"/v1/tokens/main", strings.NewReader(`{"token":"y"}`))
		resp, err := r.http.Do(req)
		if err != nil {
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	for len(r.trail(t, "TokenService")) == before {
		time.Sleep(time.Millisecond)
	}
	if more := r.trail(t, "TokenService")[before:]; !slices.Equal(more, []string{"TokenService.SetToken" + begun}) {
		t.Errorf("before the worker answers the trail has %q", more)
	}
	r.worker.mu.Unlock()
	if code := <-answered; code != 200 {
		t.Errorf("SetToken: %d", code)
	}
}

// The cancellation of an active run and its audit entry are written in one transaction.
func TestTrailOfACancellation(t *testing.T) {
	r := start(t)
	gate := make(chan struct{})
	r.worker.set(func() { r.worker.hold = gate })
	run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	watch, err := r.runs().WatchRun(t.Context(), &orchestratorv1.WatchRunRequest{RunId: run.GetRunId()})
	for err == nil {
		m, e := watch.Recv()
		if err = e; m.GetEvent().GetStateChanged().GetToState() == orchestratorv1.Run_STATE_RUNNING {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.runs().CancelRun(t.Context(), &orchestratorv1.CancelRunRequest{RunId: run.GetRunId()}); err != nil {
		t.Fatal(err)
	}
	want := []string{`RunService.CancelRun {"runId":"` + run.GetRunId() + `","state":"cancelling"}`}
	if got := r.trail(t, "RunService.CancelRun"); !slices.Equal(got, want) {
		t.Errorf("the trail has %q, want %q", got, want)
	}
	close(gate)
	r.finish(t, run.GetRunId())
	if got := r.trail(t, "RunService.CancelRun"); len(got) != 1 {
		t.Errorf("the trail has %q", got)
	}
}

// A call that takes too long ends with 504 and says what to do.
func TestCallsThatTakeTooLong(t *testing.T) {
	w, addr := startWorker(t)
	dir := t.TempDir()
	quiet(t, dir)
	r := startIn(t, dir, addr, func(c *config.Config) { c.Web.CallTimeout = time.Second })
	r.worker = w
	w.mu.Lock()
	resp, body := r.get(t, "GET", "/v1/limits", "")
	w.mu.Unlock()
	if resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(body, `"reason":"CALL_TIMEOUT"`) || !strings.Contains(body, "--call-timeout") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
