package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// What callers may send, by kind of field. Some of it is right, so that the code
// behind the checks is reached as well.
func hostileTexts(runID string) []string {
	return []string{
		"", " ", "x", runID, "2026-02-30", "2026-02-27", "2026-03-02", "9999-12-31", "0001-01-01", "20260302", "2026-02-27.universe", "2026-02-30.universe",
		"targets", "universe", "TARGETS", "stock", "etf", "bond", "stock.basic", "bond.yield_curve", "600519.SH", "159915.sz", "AAPL",
		"tushare", "wind", "19:30", "25:00", "Asia/Shanghai", "Local", "../../etc/passwd", "' or 1=1 --", "a\x00b", "\u202e\u0000", "%00", "字字字",
		"0195f1a2-7c3e-7b1a-9d57-3f0a5c1e2b4d", strings.Repeat("n", 501), strings.Repeat("x", 300_000), "cnVuc3w=", "cnVuc3x8",
	}
}

func fill(m protoreflect.Message, texts []string, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if rand.IntN(3) == 0 {
			continue
		}
		if fd.IsList() {
			list := m.Mutable(fd).List()
			for range []int{0, 1, 2, 3, 70}[rand.IntN(5)] {
				if fd.Message() != nil {
					v := list.NewElement()
					fill(v.Message(), texts, depth+1)
					list.Append(v)
					continue
				}
				list.Append(hostile(fd, texts))
			}
			continue
		}
		if fd.Message() != nil {
			if depth < 3 {
				fill(m.Mutable(fd).Message(), texts, depth+1)
			}
			continue
		}
		m.Set(fd, hostile(fd, texts))
	}
}

func hostile(fd protoreflect.FieldDescriptor, texts []string) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(texts[rand.IntN(len(texts))])
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rand.IntN(2) == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum([]protoreflect.EnumNumber{-1, 0, 1, 2, 3, 99, math.MaxInt32}[rand.IntN(7)])
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32([]int32{-1, 0, 1, 5, 64, 501, math.MinInt32, math.MaxInt32}[rand.IntN(8)])
	default:
		return protoreflect.ValueOfInt64([]int64{-1, 0, 1, 600, 86_401, math.MinInt64, math.MaxInt64}[rand.IntN(7)])
	}
}

// Nothing a caller sends makes a panic or a server error, over gRPC or REST, and
// every refusal has a reason.
func TestHostileRequests(t *testing.T) {
	r := start(t)
	plain, err := transport.DialPlain(r.GRPCAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	known := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	r.finish(t, known.GetRunId())
	texts := hostileTexts(known.GetRunId())
	tried := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("afterbell.orchestrator.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				tried++
				for range 40 {
					req := dynamicpb.NewMessage(methods.Get(j).Input())
					fill(req, texts, 0)
					judge(t, methods.Get(j), req, call(t.Context(), t, plain, methods.Get(j), req))
				}
			}
		}
		return true
	})
	if tried < 50 {
		t.Errorf("only %d methods were tried", tried)
	}
	for _, path := range []string{"/v1/runs", "/v1/preflights:run", "/v1/targets:preview", "/v1/schedule:resume", "/v1/pools/universe:pause", "/v1/pools/everything:pause",
		"/v1/runs/" + known.GetRunId() + ":verify", "/v1/runs/%00:cancel", "/v1/runs/..%2f..:cancel", "/v1/runs/" + strings.Repeat("y", 30_000) + ":cancel"} {
		for _, body := range []string{"", "{}", "null", "[]", `"x"`, "{", `{"note":"` + strings.Repeat("z", 501) + `"}`, `{"pools":[99]}`, `{"pools":[null]}`,
			`{"startDate":"2026-02-30"}`, `{"startDate":"2026-03-02","endDate":"2026-02-27"}`, `{"moduleIds":["a\u0000b"]}`, `{"moduleIds":["no.such"]}`,
			`{"maxProbeAge":"-1s"}`, `{"maxProbeAge":"999999999999s"}`, `{"targets":{"symbols":["\ud83d\ude00"]}}`, `{"requestId":"not-a-uuid"}`} {
			resp, answer := r.get(t, "POST", path, body)
			if resp.StatusCode >= 500 || resp.StatusCode >= 400 && !strings.Contains(answer, `"reason":"`) {
				t.Errorf("POST %.60s %.60s: %d %.300s", path, body, resp.StatusCode, answer)
			}
			var told struct{ Error struct{ Message string } }
			if err := json.Unmarshal([]byte(answer), &told); resp.StatusCode >= 400 && err != nil || internals.MatchString(told.Error.Message) {
				t.Errorf("POST %.60s %.60s shows its internals: %.300s, %v", path, body, answer, err)
			}
		}
	}
	if log := r.log.String(); strings.Contains(log, "zzzzzzzzzz") || strings.Contains(log, "xxxxxxxxxxxxxxxxxxxx") {
		t.Error("a body was logged")
	}
}

func call(ctx context.Context, t *testing.T, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, req proto.Message) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	method := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	if !m.IsStreamingServer() {
		return conn.Invoke(ctx, method, req, dynamicpb.NewMessage(m.Output()))
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(req), stream.CloseSend()); err != nil {
		return err
	}
	for {
		if err := stream.RecvMsg(dynamicpb.NewMessage(m.Output())); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// internals must not appear in any response: paths, SQL, Go types and calls.
var internals = regexp.MustCompile(`/tmp/|\.go:\d|\.sqlite|(?i:\b(select|insert|update|delete) .*\b(from|into|set|where)\b)|goroutine|runtime error|\*[a-z]+\.[A-Z]|proto:`)

func judge(t *testing.T, m protoreflect.MethodDescriptor, req proto.Message, err error) {
	t.Helper()
	if err == nil {
		return
	}
	s := status.Convert(err)
	text := protojson.MarshalOptions{}.Format(req)
	switch s.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.AlreadyExists, codes.Aborted:
	default:
		t.Errorf("%s answers %s (%s) to %.300s", m.Name(), s.Code(), s.Message(), text)
	}
	if len(s.Message()) > 8000 || strings.ContainsRune(s.Message(), 0) {
		t.Errorf("%s answers with %d bytes of what was sent", m.Name(), len(s.Message()))
	}
	if inside := internals.FindString(s.Message()); inside != "" {
		t.Errorf("%s shows the internal %q: %s", m.Name(), inside, s.Message())
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == fault.Domain {
			if _, known := fault.Describe(fault.Reason(info.GetReason())); known {
				return
			}
		}
	}
	t.Errorf("%s refuses without a reason: %v", m.Name(), s)
}
