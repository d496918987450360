package transport

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// guard is the one interceptor of the server. For every call it turns a panic into
// INTERNAL, refuses what is too big or unreadable, turns the error into a status
// and writes one log line. Bodies are never logged.
type guard struct {
	log      *slog.Logger
	maxBytes int
	say      func(string) string // see ServerConfig.Say
	// authorize is nil where everybody may call.
	authorize Authorize
	// limits and caller as in ServerConfig.
	limits *Limits
	caller func(context.Context) string
}

// quiet tells the methods of gRPC itself, as health checks.
func quiet(method string) bool { return strings.HasPrefix(method, "/grpc.") }

// admit asks who calls before anything else is looked at.
func (g guard) admit(ctx context.Context, method string) (context.Context, error) {
	if g.authorize == nil {
		return ctx, nil
	}
	return g.authorize(ctx, method)
}

func (g guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	start := time.Now()
	defer func() { err = g.finish(ctx, info.FullMethod, start, err, recover()) }()
	admitted, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	done, err := g.enter(admitted, info.FullMethod, false)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := g.check(req); err != nil {
		return nil, err
	}
	resp, err = handler(admitted, req)
	g.tell(resp)
	return resp, err
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
	defer func() { err = g.finish(ss.Context(), info.FullMethod, start, err, recover()) }()
	admitted, err := g.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	done, err := g.enter(admitted, info.FullMethod, true)
	if err != nil {
		return err
	}
	defer done()
	return handler(srv, checkedStream{ss, g, admitted})
}

type checkedStream struct {
	grpc.ServerStream
	guard guard
	ctx   context.Context
}

// Context implements grpc.ServerStream.
func (s checkedStream) Context() context.Context { return s.ctx }

// SendMsg implements grpc.ServerStream.
func (s checkedStream) SendMsg(m any) error {
	s.guard.tell(m)
	return s.ServerStream.SendMsg(m)
}

// RecvMsg implements grpc.ServerStream.
func (s checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.guard.check(m)
}

func (g guard) check(req any) error {
	if err := broken(req); err != nil {
		return err
	}
	if m, ok := req.(proto.Message); ok {
		if size := proto.Size(m); size > g.maxBytes {
			return fault.Invalid("request", "is %d bytes; at most %d are allowed", size, g.maxBytes)
		}
	}
	return nil
}

// finish handles the error once: it is logged with its cause here and leaves as a
// status.
func (g guard) finish(ctx context.Context, method string, start time.Time, err error, panicked any) error {
	quiet := quiet(method)
	attrs := []slog.Attr{slog.String("method", method)}
	if panicked != nil {
		attrs = append(attrs, slog.String("panic", fmt.Sprint(panicked)), slog.String("stack", string(debug.Stack())))
		err = fault.New(fault.Internal, InternalMessage)
	}
	if err == nil {
		if !quiet {
			g.log.LogAttrs(ctx, slog.LevelDebug, "call completed", append(attrs, slog.Duration("took", time.Since(start)))...)
		}
		return nil
	}
	if ctx.Err() != nil && panicked == nil {
		if _, ok := fault.As(err); !ok {
			err = status.FromContextError(ctx.Err()).Err() // the caller is gone, or its deadline passed
		}
	}
	s := g.tellStatus(ToStatus(err))
	level := slog.LevelInfo
	attrs = append(attrs, slog.String("code", s.Code().String()), slog.String("reason", string(fault.ReasonOf(err))),
		slog.Duration("took", time.Since(start)))
	switch {
	case s.Code() == codes.Internal || s.Code() == codes.Unknown:
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", chain(err)))
	case s.Code() == codes.Canceled || quiet || s.Code() == codes.Unauthenticated || fault.Is(err, fault.TooManyAttempts):
		// who knocks often must not fill the log; package access sums wrong keys up
		level = slog.LevelDebug
	}
	g.log.LogAttrs(ctx, level, "call failed", attrs...)
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
