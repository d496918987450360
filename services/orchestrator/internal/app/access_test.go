package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	authv1 "github.com/afterbell/afterbell/gen/afterbell/auth/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/config"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
)

// everyMethod calls f with each method of the public contract or of the worker's.
func everyMethod(pkg protoreflect.FullName, f func(protoreflect.MethodDescriptor)) {
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				f(methods.Get(j))
			}
		}
		return true
	})
}

func statedRole(m protoreflect.MethodDescriptor) authv1.Role {
	role, _ := proto.GetExtension(m.Options(), authv1.E_Role).(authv1.Role)
	return role
}

func TestEveryMethodStatesItsRole(t *testing.T) {
	seen := 0
	everyMethod("afterbell.orchestrator.v1", func(m protoreflect.MethodDescriptor) {
		seen++
		if r := statedRole(m); r < authv1.Role_ROLE_VIEWER || r > authv1.Role_ROLE_ADMIN {
			t.Errorf("%s states the role %s; write option (afterbell.auth.v1.role) = ROLE_VIEWER, ROLE_OPERATOR or ROLE_ADMIN", m.FullName(), r)
		}
	})
	everyMethod("afterbell.ingest.v1", func(m protoreflect.MethodDescriptor) {
		seen++
		if r := statedRole(m); r != authv1.Role_ROLE_SERVICE {
			t.Errorf("%s states the role %s; only the orchestrator calls it: write option (afterbell.auth.v1.role) = ROLE_SERVICE", m.FullName(), r)
		}
	})
	if seen < 60 {
		t.Errorf("only %d methods were seen", seen)
	}
}

// keyed is an orchestrator that asks for keys, with a key for each role and others that
// do not work.
type keyed struct {
	*harness
	secrets map[string]string // by name: viewer, operator, admin, expired, revoked, malformed, unknown
	ids     map[string]string
	said    bytes.Buffer // every answer
}

func startKeyed(t *testing.T, change ...func(*config.Config)) *keyed {
	t.Helper()
	w, addr := startWorker(t)
	dir := t.TempDir()
	quiet(t, dir)
	k := &keyed{secrets: map[string]string{"malformed": "abk_short", "unknown": "abk_aaaaaaaaaa_" + strings.Repeat("b", 52)}, ids: map[string]string{}}
	store, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(dir, ledger.FileName), Logger: logging.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(-time.Hour)
	for name, role := range map[string]auth.Role{"viewer": auth.Viewer, "operator": auth.Operator, "admin": auth.Admin, "expired": auth.Admin, "revoked": auth.Admin} {
		ttl := time.Duration(0)
		if name == "expired" {
			ttl = time.Minute
		}
		key, secret, err := auth.NewKey(name, role, ttl, "test", now)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.AddKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if name == "revoked" {
			if _, err := store.RevokeKey(t.Context(), key.ID, now); err != nil {
				t.Fatal(err)
			}
		}
		k.secrets[name], k.ids[name] = secret, key.ID
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	k.harness = startIn(t, dir, addr, append(change, func(c *config.Config) { c.RequireKeys = true })...)
	k.worker = w
	return k
}

func (k *keyed) as(ctx context.Context, name string) context.Context {
	if name == "nobody" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+k.secrets[name])
}

// rest calls over REST and returns the code and the reason.
func (k *keyed) rest(t *testing.T, name, method, path, body string, header ...string) (int, string) {
	t.Helper()
	if name != "nobody" {
		header = append(header, "Authorization", "Bearer "+k.secrets[name])
	}
	resp, answer := k.get(t, method, path, body, header...)
	k.said.WriteString(answer)
	for key, values := range resp.Header {
		fmt.Fprintln(&k.said, key, values)
	}
	return resp.StatusCode, reasonIn(answer)
}

func reasonIn(answer string) string {
	var e struct {
		Error struct{ Details []struct{ Reason string } }
	}
	_ = json.Unmarshal([]byte(answer), &e)
	for _, d := range e.Error.Details {
		if d.Reason != "" {
			return d.Reason
		}
	}
	return ""
}

var pathParameter = regexp.MustCompile(`\{[a-z_.]+\}`)

// routesTo are the REST calls of a method, with "x" for each parameter of the path.
func routesTo(m protoreflect.MethodDescriptor) (out [][2]string) {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil {
		return nil
	}
	for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		for method, path := range map[string]string{"GET": r.GetGet(), "POST": r.GetPost(), "PUT": r.GetPut(), "PATCH": r.GetPatch(), "DELETE": r.GetDelete()} {
			if path != "" {
				out = append(out, [2]string{method, pathParameter.ReplaceAllString(path, "x")})
			}
		}
	}
	return out
}

// Every method, over gRPC and REST, by everybody: exactly those may call it whom its
// contract names.
func TestWhoMayCallWhat(t *testing.T) {
	k := startKeyed(t)
	plain, err := transport.DialPlain(k.GRPCAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	ranks := map[string]authv1.Role{"viewer": authv1.Role_ROLE_VIEWER, "operator": authv1.Role_ROLE_OPERATOR, "admin": authv1.Role_ROLE_ADMIN}
	overREST := 0
	everyMethod("afterbell.orchestrator.v1", func(m protoreflect.MethodDescriptor) {
		for _, who := range []string{"nobody", "expired", "revoked", "viewer", "operator", "admin"} {
			want, wantHTTP, reason := codes.OK, 200, ""
			switch rank, is := ranks[who]; {
			case !is:
				want, wantHTTP, reason = codes.Unauthenticated, 401, "UNAUTHENTICATED"
			case rank < statedRole(m):
				want, wantHTTP, reason = codes.PermissionDenied, 403, "ROLE_REQUIRED"
			}
			err := k.call(k.as(t.Context(), who), plain, m)
			got := status.Code(err)
			if refused := got == codes.Unauthenticated || got == codes.PermissionDenied; refused != (want != codes.OK) || refused && got != want {
				t.Errorf("%s by %s over gRPC: %v, want %s", m.FullName(), who, err, want)
			}
			for _, route := range routesTo(m) {
				overREST++
				code, said := k.rest(t, who, route[0], route[1], bodyFor(route[0]))
				if refused := code == 401 || code == 403; refused != (want != codes.OK) || refused && (code != wantHTTP || said != reason) {
					t.Errorf("%s %s by %s: %d %s, want %d %s", route[0], route[1], who, code, said, wantHTTP, reason)
				}
			}
		}
	})
	if overREST < 200 {
		t.Errorf("only %d calls were made over REST", overREST)
	}
	// What is not an RPC.
	for _, path := range []string{"/openapi.json", "/readyz", "/v1/data/daily_prices.csv", "/v1/nothing", "/metrics"} {
		if code, reason := k.rest(t, "nobody", "GET", path, ""); code != 401 || reason != "UNAUTHENTICATED" {
			t.Errorf("GET %s without a key: %d %s", path, code, reason)
		}
		if code, _ := k.rest(t, "viewer", "GET", path, ""); code == 401 || code == 403 {
			t.Errorf("GET %s by a viewer: %d", path, code)
		}
	}
	for _, path := range []string{"/", "/healthz", "/v1/session"} {
		if code, _ := k.rest(t, "nobody", "GET", path, ""); code != 200 {
			t.Errorf("GET %s without a key: %d", path, code)
		}
	}
	if _, err := healthgrpc.NewHealthClient(plain).Check(t.Context(), &healthgrpc.HealthCheckRequest{}); err != nil {
		t.Errorf("health without a key: %v", err)
	}
	// Calls that need a real connection.
	faked := metadata.AppendToOutgoingContext(t.Context(), "afterbell-caller-bin", auth.Caller{Name: "fake", Role: auth.Admin}.Encode())
	if _, err := orchestratorv1.NewRunServiceClient(k.conn).ListRuns(faked, &orchestratorv1.ListRunsRequest{}); fault.ReasonOf(err) != fault.Unauthenticated {
		t.Errorf("a caller that only says who it is: %v", err)
	}
	if code, _ := k.rest(t, "nobody", "GET", "/v1/runs", "", "Grpc-Metadata-Afterbell-Caller-Bin", "e30", "Afterbell-Caller-Bin", "e30"); code != 401 {
		t.Errorf("a caller that only says who it is, over REST: %d", code)
	}
	// A malformed or unknown key is reported as such, until there are too many.
	runs := orchestratorv1.NewRunServiceClient(k.conn)
	_, err = runs.ListRuns(k.as(t.Context(), "malformed"), &orchestratorv1.ListRunsRequest{})
	faulttest.Produces(t, err, fault.Unauthenticated)
	_, err = runs.CancelRun(k.as(t.Context(), "viewer"), &orchestratorv1.CancelRunRequest{RunId: "x"})
	faulttest.Produces(t, err, fault.RoleRequired)
	for range auth.MaxFailures {
		_, err = runs.ListRuns(k.as(t.Context(), "unknown"), &orchestratorv1.ListRunsRequest{})
	}
	faulttest.Produces(t, err, fault.TooManyAttempts)
	if f, _ := fault.As(err); time.Until(f.RetryAt) <= 0 {
		t.Errorf("the caller does not learn when to retry: %v", f.RetryAt)
	}
	if code, reason := k.rest(t, "unknown", "GET", "/v1/runs", ""); code != 429 || reason != "TOO_MANY_ATTEMPTS" {
		t.Errorf("too many wrong keys over REST: %d %s", code, reason)
	}
	if _, err := runs.ListRuns(k.as(t.Context(), "viewer"), &orchestratorv1.ListRunsRequest{}); err != nil {
		t.Errorf("a right key after wrong ones: %v", err)
	}
	// No method takes a wrong key, however many came before.
	everyMethod("afterbell.orchestrator.v1", func(m protoreflect.MethodDescriptor) {
		for _, who := range []string{"malformed", "unknown"} {
			if code := status.Code(k.call(k.as(t.Context(), who), plain, m)); code != codes.Unauthenticated && code != codes.ResourceExhausted {
				t.Errorf("%s with a key that is %s over gRPC: %s", m.FullName(), who, code)
			}
			for _, route := range routesTo(m) {
				if code, said := k.rest(t, who, route[0], route[1], bodyFor(route[0])); (code != 401 || said != "UNAUTHENTICATED") && (code != 429 || said != "TOO_MANY_ATTEMPTS") {
					t.Errorf("%s %s with a key that is %s: %d %s", route[0], route[1], who, code, said)
				}
			}
		}
	})
	k.nothingLeaks(t)
}

func bodyFor(method string) string {
	if method == "GET" || method == "DELETE" {
		return ""
	}
	return "{}"
}

// call calls a method with an empty request and keeps what it answers.
func (k *keyed) call(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, resp := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	method := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	keep := func(err error) error {
		fmt.Fprintln(&k.said, resp, status.Convert(err).Proto())
		return err
	}
	if !m.IsStreamingServer() {
		return keep(conn.Invoke(ctx, method, req, resp))
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(req), stream.CloseSend()); err != nil {
		return err
	}
	for err == nil {
		err = keep(stream.RecvMsg(resp))
	}
	return err
}

// nothingLeaks searches the log, every answer and every file for the keys.
func (k *keyed) nothingLeaks(t *testing.T) {
	t.Helper()
	places := map[string]string{"the log": k.log.String(), "an answer": k.said.String()}
	err := filepath.WalkDir(k.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		places[d.Name()] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range k.secrets {
		if name == "malformed" {
			continue
		}
		for place, text := range places {
			if strings.Contains(text, secret) || strings.Contains(text, secret[len(secret)-52:]) {
				t.Errorf("the key %s is in %s", name, place)
			}
		}
	}
	if len(places) < 3 {
		t.Errorf("only %d places were searched", len(places))
	}
}

// The life of a key: it works, shows its use, is in the audit trail, and when it is revoked, its
// sessions and streams end.
func TestLifeOfAKey(t *testing.T) {
	k := startKeyed(t)
	admin := k.as(t.Context(), "admin")
	keys := orchestratorv1.NewKeyServiceClient(k.conn)
	made, err := keys.CreateKey(admin, &orchestratorv1.CreateKeyRequest{Name: "nightly job", Role: authv1.Role_ROLE_OPERATOR, Ttl: durationpb.New(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	k.secrets["job"] = made.GetSecret()
	if _, err := keys.CreateKey(admin, &orchestratorv1.CreateKeyRequest{Name: "nightly job", Role: authv1.Role_ROLE_VIEWER}); fault.ReasonOf(err) != fault.InvalidArgument {
		t.Errorf("a second key of the same name: %v", err)
	}
	run := k.createAs(t, "job")
	stream, err := k.runs().WatchRun(k.as(t.Context(), "job"), &orchestratorv1.WatchRunRequest{RunId: run})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil || m.GetEvent().GetFinished() != nil {
			break
		}
	}
	deleted := orchestratorv1.DeleteRunRequest{RunId: run}
	if _, err := k.runs().DeleteRun(k.as(t.Context(), "job"), &deleted); err != nil {
		t.Fatal(err)
	}
	listed, err := keys.ListKeys(admin, &orchestratorv1.ListKeysRequest{})
	if err != nil || len(listed.GetKeys()) != 6 || listed.GetKeys()[0].GetName() != "nightly job" {
		t.Fatalf("listed %v, %v", listed, err)
	}
	if job := listed.GetKeys()[0]; job.GetLastUseTime() == nil || job.GetLastUseAddress() != "127.0.0.1" || job.GetCreator() != "admin" || !job.GetActive() {
		t.Errorf("the key shows %v", job)
	}
	// A stream that is open when the key is revoked ends.
	gate := make(chan struct{})
	k.worker.set(func() { k.worker.hold = gate })
	held := k.createAs(t, "job")
	open, err := k.runs().WatchRun(k.as(t.Context(), "job"), &orchestratorv1.WatchRunRequest{RunId: held})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open.Recv(); err != nil {
		t.Fatal(err)
	}
	overREST, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+k.HTTPAddr()+"/v1/runs/"+held+":watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	overREST.Header.Set("Authorization", "Bearer "+made.GetSecret())
	lines, err := k.http.Do(overREST)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Body.Close()
	read := bufio.NewReader(lines.Body)
	if first, err := read.ReadString('\n'); err != nil || !strings.Contains(first, `"result"`) {
		t.Fatalf("%s, %v", first, err)
	}
	if _, err := keys.RevokeKey(admin, &orchestratorv1.RevokeKeyRequest{KeyId: made.GetKey().GetKeyId()}); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(read); err != nil || !strings.HasSuffix(strings.TrimSpace(string(rest)), "}") || !strings.Contains(string(rest), `"reason":"UNAUTHENTICATED"`) {
		t.Errorf("the stream over REST ends with %s, %v", rest, err)
	}
	for err == nil {
		_, err = open.Recv()
	}
	faulttest.Produces(t, err, fault.Unauthenticated)
	if _, err := k.runs().ListRuns(k.as(t.Context(), "job"), &orchestratorv1.ListRunsRequest{}); fault.ReasonOf(err) != fault.Unauthenticated {
		t.Errorf("a revoked key: %v", err)
	}
	trail, err := orchestratorv1.NewAuditServiceClient(k.conn).ListAuditEntries(admin, &orchestratorv1.ListAuditEntriesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range trail.GetEntries() {
		told = append(told, e.GetActor()+" "+e.GetVia()+" "+e.GetMethod())
	}
	want := []string{"admin grpc KeyService.RevokeKey", "nightly job grpc RunService.CreateRun", "nightly job grpc RunService.DeleteRun",
		"nightly job grpc RunService.CreateRun", "admin grpc KeyService.CreateKey"}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("the audit trail has\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	if e := trail.GetEntries()[2]; !strings.Contains(e.GetRequest(), run) || !strings.Contains(e.GetBefore(), run) || e.GetAddress() != "127.0.0.1" || e.GetKeyId() != made.GetKey().GetKeyId() {
		t.Errorf("the deletion is reported as %v", e)
	}
	close(gate)
	k.nothingLeaks(t)
}

// The last admin key that works is revoked by force only, where keys are required.
func TestLastAdminKeyStays(t *testing.T) {
	k := startKeyed(t)
	keys := orchestratorv1.NewKeyServiceClient(k.conn)
	admin := k.as(t.Context(), "admin")
	_, err := keys.RevokeKey(admin, &orchestratorv1.RevokeKeyRequest{KeyId: k.ids["admin"]})
	faulttest.Produces(t, transport.FromStatus(t.Context(), "", err), fault.WrongState)
	if f, _ := fault.As(transport.FromStatus(t.Context(), "", err)); !strings.Contains(fault.RemedyOf(f), `:revoke -d '{"force":true}'`) || status.Code(err) != codes.FailedPrecondition {
		t.Errorf("the refusal does not say how to force it: %v", err)
	}
	path := "/v1/keys/" + k.ids["admin"] + ":revoke"
	if code, reason := k.rest(t, "admin", "POST", path, "{}"); code != http.StatusBadRequest || reason != "WRONG_STATE" {
		t.Errorf("over REST: %d %s", code, reason)
	}
	// Keys that are not admin keys, revoked or expired do not count.
	for _, name := range []string{"operator", "revoked", "expired"} {
		if _, err := keys.RevokeKey(admin, &orchestratorv1.RevokeKeyRequest{KeyId: k.ids[name]}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With a second admin key the first is revoked without force.
	made, err := keys.CreateKey(admin, &orchestratorv1.CreateKeyRequest{Name: "second", Role: authv1.Role_ROLE_ADMIN})
	if err != nil {
		t.Fatal(err)
	}
	k.secrets["second"] = made.GetSecret()
	if code, reason := k.rest(t, "second", "POST", path, "{}"); code != http.StatusOK {
		t.Errorf("with a second admin key: %d %s", code, reason)
	}
	if code, reason := k.rest(t, "second", "POST", "/v1/keys/"+made.GetKey().GetKeyId()+":revoke", `{"force":true}`); code != http.StatusOK {
		t.Errorf("by force: %d %s", code, reason)
	}
	if code, reason := k.rest(t, "second", "GET", "/v1/runs", ""); code != http.StatusUnauthorized {
		t.Errorf("after it was revoked: %d %s", code, reason)
	}
}

// session logs the console in by a key and returns the token and the cookie of the session.
func (k *keyed) session(t *testing.T, who string) (token, cookie string) {
	t.Helper()
	resp, answer := k.get(t, "POST", "/v1/session", `{"key":"`+k.secrets[who]+`"}`)
	var s struct {
		CSRFToken string `json:"csrfToken"`
	}
	if err := json.Unmarshal([]byte(answer), &s); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s: %v", resp.StatusCode, answer, err)
	}
	cookie, _, _ = strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	return s.CSRFToken, cookie
}

func (k *keyed) createAs(t *testing.T, who string) string {
	t.Helper()
	resp, err := k.runs().CreateRun(k.as(t.Context(), who), &orchestratorv1.CreateRunRequest{Pools: universe, Refetch: true})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetRuns()[0].GetRunId()
}

// The console logs in by a key and changes things by the cookie and its token.
func TestSessionOfTheConsole(t *testing.T) {
	k := startKeyed(t)
	login := func(body string, header ...string) (*http.Response, map[string]any) {
		t.Helper()
		resp, answer := k.get(t, "POST", "/v1/session", body, header...)
		k.said.WriteString(answer)
		var out map[string]any
		if err := json.Unmarshal([]byte(answer), &out); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		return resp, out
	}
	for body, want := range map[string]int{`{"key":"abk_nonsense"}`: 401, `{"key":"` + k.secrets["expired"] + `"}`: 401, `{}`: 400, `{"key":3}`: 400, `[`: 400,
		`{"key":"` + k.secrets["viewer"] + `","x":1}`: 400} {
		if resp, answer := login(body); resp.StatusCode != want || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("POST %s: %d %v", body, resp.StatusCode, answer)
		}
	}
	if resp, _ := login(`{"key":"`+k.secrets["admin"]+`"}`, "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 {
		t.Errorf("a log-in from another site: %d", resp.StatusCode)
	}
	resp, who := login(`{"key":"` + k.secrets["admin"] + `"}`)
	cookie := resp.Header.Get("Set-Cookie")
	if resp.StatusCode != 200 || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || who["role"] != "ROLE_ADMIN" ||
		who["name"] != "admin" || who["authRequired"] != true {
		t.Fatalf("%d %q %v", resp.StatusCode, cookie, who)
	}
	if strings.Contains(cookie, "Secure") {
		t.Errorf("over plain HTTP the cookie is %q", cookie)
	}
	if resp, _ := login(`{"key":"`+k.secrets["viewer"]+`"}`, "X-Forwarded-Proto", "https"); !strings.Contains(resp.Header.Get("Set-Cookie"), "Secure") {
		t.Errorf("behind a proxy with TLS the cookie is %q", resp.Header.Get("Set-Cookie"))
	}
	cookie, _, _ = strings.Cut(cookie, ";")
	token := who["csrfToken"].(string)
	if code, reason := k.rest(t, "nobody", "PATCH", "/v1/settings", `{"retentionDays":30}`, "Cookie", cookie); code != 403 || reason != "ROLE_REQUIRED" {
		t.Errorf("a change without the token: %d %s", code, reason)
	}
	if code, _ := k.rest(t, "nobody", "PATCH", "/v1/settings", `{"retentionDays":30}`, "Cookie", cookie, "X-CSRF-Token", token); code != 200 {
		t.Errorf("a change by cookie and token: %d", code)
	}
	if code, _ := k.rest(t, "nobody", "GET", "/v1/settings", "", "Cookie", cookie); code != 200 {
		t.Errorf("reading by cookie: %d", code)
	}
	_, answer := k.get(t, "GET", "/v1/session", "", "Cookie", cookie)
	if !strings.Contains(answer, token) || !strings.Contains(answer, `"name":"admin"`) {
		t.Errorf("GET /v1/session: %s", answer)
	}
	trail, err := orchestratorv1.NewAuditServiceClient(k.conn).ListAuditEntries(k.as(t.Context(), "admin"), &orchestratorv1.ListAuditEntriesRequest{Method: "SettingsService"})
	if err != nil || len(trail.GetEntries()) != 1 {
		t.Fatalf("%v, %v", trail, err)
	}
	if e := trail.GetEntries()[0]; e.GetVia() != "console" || e.GetActor() != "admin" || !strings.Contains(e.GetAfter(), "30") {
		t.Errorf("the change is reported as %v", e)
	}
	if code, _ := k.rest(t, "nobody", "DELETE", "/v1/session", "", "Cookie", cookie); code != 403 {
		t.Errorf("a log-out without the token: %d", code)
	}
	if code, _ := k.rest(t, "nobody", "DELETE", "/v1/session", "", "Cookie", cookie, "X-CSRF-Token", token); code != 200 {
		t.Errorf("a log-out: %d", code)
	}
	if code, reason := k.rest(t, "nobody", "GET", "/v1/settings", "", "Cookie", cookie); code != 401 || reason != "UNAUTHENTICATED" {
		t.Errorf("reading after the log-out: %d %s", code, reason)
	}
	// Too many wrong keys, and a right one after them.
	for range auth.MaxFailures {
		login(`{"key":"` + k.secrets["unknown"] + `"}`)
	}
	if resp, answer := login(`{"key":"` + k.secrets["unknown"] + `"}`); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a log-in after many wrong ones: %d %v", resp.StatusCode, answer)
	}
	if resp, answer := login(`{"key":"` + k.secrets["viewer"] + `"}`); resp.StatusCode != http.StatusOK {
		t.Errorf("a right key after wrong ones: %d %v", resp.StatusCode, answer)
	}
	k.secrets["cookie"] = strings.TrimPrefix(cookie, "afterbell_session=")
	k.nothingLeaks(t)
}

// Without keys, loopback needs no key. An invalid key is refused nevertheless, and a page of another
// site cannot call the API.
func TestLoopbackWithoutKeys(t *testing.T) {
	r := start(t)
	if _, answer := r.get(t, "GET", "/v1/session", ""); !strings.Contains(answer, `"role":"ROLE_ADMIN"`) || !strings.Contains(answer, `"authRequired":false`) {
		t.Errorf("GET /v1/session: %s", answer)
	}
	if resp, _ := r.get(t, "GET", "/v1/keys", ""); resp.StatusCode != 200 {
		t.Errorf("loopback without a key: %d", resp.StatusCode)
	}
	if resp, answer := r.get(t, "POST", "/v1/keys", `{"name":"x","role":"viewer"}`); resp.StatusCode != 400 || !strings.Contains(answer, "allowed are ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN\"") {
		t.Errorf("a role that keys do not have: %s", answer)
	}
	if resp, _ := r.get(t, "GET", "/v1/keys", "", "Authorization", "Bearer abk_wrong"); resp.StatusCode != 401 {
		t.Errorf("loopback with a wrong key: %d", resp.StatusCode)
	}
	if resp, _ := r.get(t, "POST", "/v1/keys", `{"name":"x","role":"ROLE_ADMIN"}`, "Origin", "http://evil.example"); resp.StatusCode != 403 {
		t.Errorf("a page of another site: %d", resp.StatusCode)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.HTTPAddr()+"/v1/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another host name: %d", resp.StatusCode)
	}
}

// The first key is made on the host; a listener beyond loopback is refused without.
func TestFirstKeyOnTheHost(t *testing.T) {
	dir := t.TempDir()
	env := func(string) string { return "" }
	refused := func(args ...string) string {
		t.Helper()
		var out, errout bytes.Buffer
		if code := Main(t.Context(), append([]string{"--data-dir", dir}, args...), env, &out, &errout); code == 0 || strings.Count(errout.String(), "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, errout.String())
		}
		return errout.String()
	}
	if said := refused("--grpc-addr", "0.0.0.0:0"); !strings.Contains(said, "--tls-cert") {
		t.Errorf("without TLS: %s", said)
	}
	for flag, args := range map[string][]string{
		"tls-cert": {"--tls-cert", "none.crt", "--tls-key", "none.key"}, "tls-key": {"--tls-cert", "none.crt"}, "worker-ca": {"--worker-ca", "none.crt"},
		"worker-secret-file": {"--worker-secret-file", "none"}, "worker-cert": {"--worker-ca", "access_test.go", "--worker-cert", "none.crt", "--worker-key", "none.key"},
	} {
		if said := refused(args...); !strings.Contains(said, flag+":") {
			t.Errorf("%v: %s", args, said)
		}
	}
	if said := refused("--require-keys"); !strings.Contains(said, "orchestrator keys create") {
		t.Errorf("without a key: %s", said)
	}
	var out, errout bytes.Buffer
	if code := Main(t.Context(), []string{"keys", "create", "desk", "--role", "admin", "--expires", "90d", "--data-dir", dir}, env, &out, &errout); code != 0 {
		t.Fatalf("exit %d: %s", code, errout.String())
	}
	secret := strings.TrimSpace(out.String())
	id, _, ok := auth.SplitKey(secret)
	if !ok || strings.Contains(errout.String(), secret) {
		t.Fatalf("wrote %q and %q", secret, errout.String())
	}
	out.Reset()
	if code := Main(t.Context(), []string{"keys", "list", "--data-dir", dir}, env, &out, &errout); code != 0 || !strings.Contains(out.String(), id) || strings.Contains(out.String(), secret) {
		t.Errorf("list: %s", out.String())
	}
	r := startIn(t, dir, "127.0.0.1:1", func(c *config.Config) { c.RequireKeys = true })
	for _, want := range []int{200, 401} {
		if resp, answer := r.get(t, "GET", "/v1/keys", "", "Authorization", "Bearer "+secret); resp.StatusCode != want {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
		if want == 200 {
			if _, err := r.keeper.Revoke(t.Context(), id, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	errout.Reset()
	if code := Main(t.Context(), []string{"keys", "list", "--data-dir", dir}, env, &out, &errout); code == 0 || !strings.Contains(errout.String(), "afterbell keys list") {
		t.Errorf("while the orchestrator runs: %s", errout.String())
	}
	for _, args := range [][]string{{"keys"}, {"keys", "create", "--role", "admin"}, {"keys", "create", "x", "--role", "boss"}, {"keys", "create", "x", "--role", "viewer", "--expires", "soon"}} {
		errout.Reset()
		if code := Main(t.Context(), append(args, "--data-dir", t.TempDir()), env, &out, &errout); code != 2 || strings.Count(errout.String(), "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, errout.String())
		}
	}
}
