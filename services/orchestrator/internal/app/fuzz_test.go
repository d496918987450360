package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/afterbell/afterbell/services/internal/transport"
)

const (
	// patience is how long a fuzzed stream is read: it lasts as long as its run.
	patience = 200 * time.Millisecond
	// answerTime is how long any other call may take on a busy machine.
	answerTime = 30 * time.Second
)

// growth checks whether the memory of a fuzzed process grows.
type growth struct {
	harness    *harness
	calls      int
	goroutines int
	heap       uint64
}

const (
	// weighEvery is after how many calls it is looked at.
	weighEvery = 3000
	// moreGoroutines and moreHeap, in bytes, are what it may have more than after the first
	// look.
	moreGoroutines = 100
	moreHeap       = 64 << 20
)

// called counts a call, and looks now and then.
func (g *growth) called(t *testing.T) {
	t.Helper()
	g.calls++
	if g.calls%weighEvery != 0 {
		return
	}
	g.harness.log.reset(t) // the test itself keeps it
	var goroutines int
	var now runtime.MemStats
	for end := time.Now().Add(answerTime); ; time.Sleep(100 * time.Millisecond) { // what was cancelled is still ending
		runtime.GC()
		runtime.ReadMemStats(&now)
		goroutines = runtime.NumGoroutine()
		if g.heap == 0 {
			g.goroutines, g.heap = goroutines, now.HeapAlloc
		}
		if goroutines <= g.goroutines+moreGoroutines && now.HeapAlloc <= g.heap+moreHeap {
			return
		}
		if time.Now().After(end) {
			break
		}
	}
	stacks := make([]byte, 1<<20)
	t.Fatalf("after %d calls there are %d goroutines, %d before, and %d bytes in use, %d before\n%s", g.calls, goroutines, g.goroutines, now.HeapAlloc, g.heap,
		stacks[:runtime.Stack(stacks, true)])
}

// reset empties the log, once it has no panic.
func (b *lockedBuffer) reset(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes.Contains(b.b.Bytes(), []byte(`"panic"`)) {
		t.Errorf("something panicked: %s", &b.b)
	}
	b.b = bytes.Buffer{}
}

// Whatever is sent by REST is answered: never with an internal error, and every refusal
// in the shape of all errors.
func FuzzREST(f *testing.F) {
	r := start(f)
	for _, s := range [][4]string{
		{"GET", "/v1/runs?page_size=2&pool=universe", "", "application/json"}, {"POST", "/v1/runs", `{"pools":["POOL_UNIVERSE"],"validateOnly":true}`, ""},
		{"POST", "/v1/preflights:run", "{}", "text/event-stream"}, {"PUT", "/v1/targets", `{"targets":{"symbols":["600519.SH"]},"etag":"x"}`, ""},
		{"PUT", "/v1/targets/sets/watchlist:core", `{"symbols":["830799.BJ"],"expireTime":"2026-12-31T00:00:00Z"}`, ""}, {"POST", "/v1/targets/sets/temporary:add", `{"symbols":[]}`, ""},
		{"PATCH", "/v1/settings", `{"orderWait":"5m","maxFollowUps":3}`, ""}, {"PATCH", "/v1/schedule", `{"runAt":"25:00","timeZone":"Local"}`, ""},
		{"GET", "/v1/instruments?query=%E8%8C%85", "", "*/*"}, {"PUT", "/v1/tokens/main", `{"token":["x"]}`, ""}, {"GET", "/v1/pools/universe/coverage?start_date=2026-02-30", "", ""},
		{"DELETE", "/v1/runs/%00", "", ""}, {"OPTIONS", "/v1/runs", "", ""}, {"GET", "/openapi.json", "", "text/html"}, {"PATCH", "/v1/domains/etf", `{"enabled":null,"enabled":true}`, ""},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	g := &growth{harness: r}
	f.Fuzz(func(t *testing.T, method, target, body, accept string) {
		g.called(t)
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
		wait, stream := answerTime, lasts(target)
		if stream {
			wait = patience
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, "http://"+r.HTTPAddr()+target, strings.NewReader(body))
		if err != nil {
			return // no client can send it
		}
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		resp, err := r.http.Do(req)
		if err != nil {
			if strings.Contains(err.Error(), "net/http: ") || stream && ctx.Err() != nil {
				return // refused by the client itself, or a stream that was quiet
			}
			t.Fatalf("%q %q: %v", method, target, err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil && (!stream || ctx.Err() == nil) {
			t.Errorf("%q %q: %d, then %v", method, target, resp.StatusCode, err)
		}
		switch {
		case resp.StatusCode == http.StatusInternalServerError || strings.Contains(string(text), `"reason":"INTERNAL"`) && !strings.HasPrefix(target, "/v1/data"):
			t.Errorf("%q %q %q: %d %s", method, target, body, resp.StatusCode, text)
		case resp.StatusCode >= 400 && req.Method != http.MethodHead && err == nil && strings.HasPrefix(req.URL.Path, "/v1/") && !strings.Contains(string(text), `"reason":"`):
			t.Errorf("%q %q: %d without a reason: %s", method, target, resp.StatusCode, text)
		}
	})
}

// lasts reports whether a target may respond with a stream.
func lasts(target string) bool {
	u, err := url.Parse(target)
	return err != nil || strings.HasSuffix(u.Path, ":watch") || strings.HasSuffix(u.Path, ":run") || strings.HasPrefix(u.Path, "/v1/data/")
}

// raw sends bytes as they are in the place of a message.
type raw struct{}

// Marshal implements encoding.Codec.
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

// Unmarshal implements encoding.Codec.
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }

// Name implements encoding.Codec.
func (raw) Name() string { return "proto" }

// Whatever bytes a method gets, it answers, and every refusal has a reason.
func FuzzGRPC(f *testing.F) {
	r := start(f)
	plain, err := transport.DialPlain(r.GRPCAddr())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = plain.Close() })
	var methods []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("afterbell.orchestrator.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				methods = append(methods, file.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
	for i := range methods {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte("\x0a\x09600519.SH\x12\x00"))
	}
	f.Add(uint8(0), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add(uint8(3), []byte("\x0a\xff\xff\xff\x7f"))
	g := &growth{harness: r}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		g.called(t)
		m := methods[int(which)%len(methods)]
		wait := answerTime
		if m.IsStreamingServer() {
			wait = patience
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		var answer []byte
		name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
		stream, err := plain.NewStream(ctx, &grpc.StreamDesc{ServerStreams: m.IsStreamingServer()}, name, grpc.ForceCodec(raw{}))
		if err == nil {
			err = errors.Join(stream.SendMsg(&data), stream.CloseSend())
		}
		for err == nil {
			if err = stream.RecvMsg(&answer); !m.IsStreamingServer() {
				break
			}
		}
		if code := status.Code(err); errors.Is(err, io.EOF) || m.IsStreamingServer() && code == codes.DeadlineExceeded || code == codes.Unavailable && strings.Contains(err.Error(), "WORKER") {
			return // a stream that lasts, or ended
		}
		judge(t, m, dynamicpb.NewMessage(m.Input()), err)
	})
}
