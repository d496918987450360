package app

import (
	"context"
	"errors"
	"io"
	"net/http"
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

// patience is how long a fuzzed call may stay open: streams last as long as their run.
const patience = 3 * time.Second

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
	f.Fuzz(func(t *testing.T, method, target, body, accept string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
		req, err := http.NewRequestWithContext(ctx, method, "http://"+r.HTTPAddr()+target, strings.NewReader(body))
		if err != nil {
			return // no client can send it
		}
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		resp, err := r.http.Do(req)
		if err != nil {
			if strings.Contains(err.Error(), "net/http: ") || ctx.Err() != nil {
				return // refused by the client itself, or a stream that was quiet
			}
			t.Fatalf("%q %q: %v", method, target, err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil && ctx.Err() == nil {
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
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		m := methods[int(which)%len(methods)]
		ctx, cancel := context.WithTimeout(t.Context(), patience)
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
		if code := status.Code(err); errors.Is(err, io.EOF) || code == codes.DeadlineExceeded || code == codes.Unavailable && strings.Contains(err.Error(), "WORKER") {
			return // a stream that lasts, or ended
		}
		judge(t, m, dynamicpb.NewMessage(m.Input()), err)
	})
}
