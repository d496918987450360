package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// guard is the one interceptor of the server. For every call it asks who calls and
// counts the call in before the request is read, turns a panic into INTERNAL, refuses
// what is too big or unreadable, turns the error into a status and writes one log line.
// Bodies are never logged.
type guard struct {
	cfg ServerConfig
	own *Limits // of the methods of gRPC itself
}

// healthCheck is the method that a caller without a key may always call.
const healthCheck = "/grpc.health.v1.Health/Check"

// quiet reports whether a method is one of gRPC itself, such as a health check.
func quiet(method string) bool { return strings.HasPrefix(method, "/grpc.") }

// admit asks who calls before anything else is looked at.
func (g guard) admit(ctx context.Context, method string) (context.Context, error) {
	if g.cfg.Authorize == nil {
		return ctx, nil
	}
	return g.cfg.Authorize(ctx, method)
}

// described is a service whose every method is a stream to gRPC, which looks the same to
// callers. gRPC reads and decodes the request of a unary method before any interceptor is
// asked, so that a caller without a key could make the server read many large ones.
func (g guard) described(desc *grpc.ServiceDesc) *grpc.ServiceDesc {
	out := *desc
	out.Methods, out.Streams = nil, slices.Clone(desc.Streams)
	for _, m := range desc.Methods {
		// gRPC passes only real streams through its interceptor.
		info := &grpc.StreamServerInfo{FullMethod: "/" + desc.ServiceName + "/" + m.MethodName}
		handle := func(srv any, ss grpc.ServerStream) error { return g.unary(srv, ss, m) }
		out.Streams = append(out.Streams, grpc.StreamDesc{StreamName: m.MethodName, Handler: func(srv any, ss grpc.ServerStream) error {
			return g.stream(srv, ss, info, handle)
		}})
	}
	return &out
}

// errSlow is the cause of a context that ended with CallTimeout.
var errSlow = errors.New("the call timeout passed")

// unary answers a call with one request and one response.
func (g guard) unary(srv any, ss grpc.ServerStream, m grpc.MethodDesc) error {
	ctx := ss.Context()
	if d := g.cfg.CallTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, errSlow)
		defer cancel()
	}
	resp, err := m.Handler(srv, ctx, ss.RecvMsg, g.cfg.Unary)
	switch {
	case err == nil:
		return ss.SendMsg(resp)
	case slow(ctx, err):
		return fault.Wrap(err, fault.CallTimeout, fmt.Sprintf("The call took longer than %s and was stopped.", g.cfg.CallTimeout), "seconds", fmt.Sprint(int(g.cfg.CallTimeout.Seconds())))
	}
	return err
}

// nearlySlow is how long before a call's deadline another service may report that it has passed: gRPC
// forwards the deadline, and the clocks are not read at the same time.
const nearlySlow = 100 * time.Millisecond

// slow reports whether a call failed because CallTimeout passed.
func slow(ctx context.Context, err error) bool {
	deadline, limited := ctx.Deadline()
	if limited && errors.Is(err, context.DeadlineExceeded) && time.Until(deadline) < nearlySlow {
		<-ctx.Done()
	}
	return errors.Is(context.Cause(ctx), errSlow)
}

// unknown answers a method that is not served; it is called through stream. The code
// stays that of gRPC, by which clients know the case.
func unknown(_ any, ss grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(ss)
	method = clean(method[:min(len(method), 200)])
	p := ToStatus(fault.New(fault.NotFound, "The method "+method+" is not implemented; use server reflection to list the methods.", "kind", "method", "id", method)).Proto()
	p.Code = int32(codes.Unimplemented)
	return status.FromProto(p).Err()
}

func (g guard) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	start := time.Now()
	checked := &checkedStream{ServerStream: ss, guard: g, ctx: ss.Context(), method: info.FullMethod, chinese: InChinese(ss.Context())}
	defer func() { err = g.finish(checked, start, err, recover()) }()
	if checked.ctx, err = g.admit(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	streams := info.IsServerStream || info.IsClientStream
	done, err := g.enter(checked.ctx, info.FullMethod, streams)
	if err != nil {
		return err
	}
	defer done()
	if streams && g.cfg.Stream != nil {
		return g.cfg.Stream(srv, checked, info, handler)
	}
	return handler(srv, checked)
}

type checkedStream struct {
	grpc.ServerStream
	guard  guard
	ctx    context.Context
	method string
	// chinese is whether the caller reads Chinese, broken whether the request did not
	// arrive whole.
	chinese, broken bool
}

// Context implements grpc.ServerStream.
func (s *checkedStream) Context() context.Context { return s.ctx }

// SendMsg implements grpc.ServerStream.
func (s *checkedStream) SendMsg(m any) error {
	s.guard.tell(m)
	if p, ok := m.(proto.Message); ok && s.chinese {
		localize(p.ProtoReflect())
	}
	return s.ServerStream.SendMsg(m)
}

// RecvMsg implements grpc.ServerStream.
func (s *checkedStream) RecvMsg(m any) error {
	if err := s.receive(m); err != nil {
		s.broken = !errors.Is(err, io.EOF)
		return err
	}
	return s.guard.check(m)
}

// receive reads a message, in time. The handler must return after an error: that ends the
// stream, and with it the read that was given up.
func (s *checkedStream) receive(m any) error {
	d := s.guard.cfg.ReceiveTimeout
	if d <= 0 || quiet(s.method) && s.method != healthCheck {
		return s.ServerStream.RecvMsg(m)
	}
	done := make(chan error, 1)
	go func() { done <- s.ServerStream.RecvMsg(m) }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fault.Invalid("request", "did not arrive within %s", d)
	}
}

func (g guard) check(req any) error {
	if err := broken(req); err != nil {
		return err
	}
	if m, ok := req.(proto.Message); ok {
		if size := proto.Size(m); size > g.cfg.MaxRequest {
			return fault.Invalid("request", "is %d bytes; at most %d are allowed", size, g.cfg.MaxRequest)
		}
	}
	return nil
}

// finish handles the error once: it is logged with its cause here and leaves as a
// status.
func (g guard) finish(call *checkedStream, start time.Time, err error, panicked any) error {
	ctx, method := call.ServerStream.Context(), call.method
	quiet := quiet(method)
	attrs := []slog.Attr{slog.String("method", method)}
	if panicked != nil {
		attrs = append(attrs, slog.String("panic", fmt.Sprint(panicked)), slog.String("stack", string(debug.Stack())))
		err = fault.New(fault.Internal, InternalMessage)
	}
	if err == nil {
		if !quiet {
			g.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "call completed", append(attrs, slog.Duration("took", time.Since(start)))...)
		}
		return nil
	}
	if ctx.Err() != nil && panicked == nil {
		if _, ok := fault.As(err); !ok {
			err = status.FromContextError(ctx.Err()).Err() // the caller is gone, or its deadline passed
		}
	}
	s := g.tellStatus(ToStatus(err))
	if call.chinese {
		s = LocalizeStatus(s)
	}
	level := slog.LevelInfo
	attrs = append(attrs, slog.String("code", s.Code().String()), slog.String("reason", string(fault.ReasonOf(err))),
		slog.Duration("took", time.Since(start)))
	switch {
	case call.broken && panicked == nil: // caused by the caller, whatever gRPC's code
		level = slog.LevelDebug
	case s.Code() == codes.Internal || s.Code() == codes.Unknown:
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", chain(err)))
	case s.Code() == codes.Canceled || quiet || s.Code() == codes.Unauthenticated || fault.Is(err, fault.TooManyAttempts):
		// who knocks often must not fill the log; package access sums wrong keys up
		level = slog.LevelDebug
	}
	g.cfg.Logger.LogAttrs(ctx, level, "call failed", attrs...)
	return s.Err()
}

// chain is an error with its causes, for the log.
func chain(err error) string {
	var parts []string
	for e := err; e != nil; {
		if text := e.Error(); len(parts) == 0 || parts[len(parts)-1] != text {
			parts = append(parts, text)
		}
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = u.Unwrap()
	}
	return strings.Join(parts, ": ")
}
