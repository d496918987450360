package afterbell

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
)

// domain is the ErrorInfo domain of afterbell's errors.
const domain = "afterbell"

// The most frequent errors. Use errors.Is; every *Error matches the one of its reason. Is
// tests for any other reason.
var (
	// ErrUnreachable: the orchestrator cannot be reached, or did not respond in time.
	ErrUnreachable = errors.New("the orchestrator cannot be reached")
	// ErrWorkerUnreachable: the orchestrator responds, and the ingest-worker does not.
	ErrWorkerUnreachable = errors.New("the ingest-worker cannot be reached")
	// ErrNotFound: the run, pool, module, slot or preflight does not exist.
	ErrNotFound = errors.New("not found")
	// ErrInvalidArgument: a field of the request is invalid; Error.Fields names it.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrTLS: the TLS connection failed, for example because of the wrong CA, or TLS is
	// required. It also matches ErrUnreachable.
	ErrTLS = errors.New("the TLS connection failed")
	// ErrNotOrchestrator: something else listens at the address, for example the
	// orchestrator's REST port. It also matches ErrUnreachable.
	ErrNotOrchestrator = errors.New("another program listens there")
	// ErrUnauthenticated: the call needs an API key, or the key is not valid.
	ErrUnauthenticated = errors.New("no valid API key")
	// ErrRoleRequired: the role of the API key does not allow the call.
	ErrRoleRequired = errors.New("not allowed to the role of the API key")
	// ErrWrongState: the request is not allowed in the current state.
	ErrWrongState = errors.New("not allowed in the present state")
)

// Error is an error that the orchestrator returned, or the lack of a response.
type Error struct {
	// Reason of the error. Unspecified if the orchestrator did not respond, if something other
	// than afterbell responded, or if the reason is newer than this client; see ReasonName.
	Reason faultv1.Reason
	// ReasonName is the reason as it was sent, for example "NOT_FOUND". Empty if none was.
	ReasonName string
	// Code is the gRPC code.
	Code codes.Code
	// Message is one sentence for users.
	Message string
	// Remedy says what to do. Empty if unknown.
	Remedy string
	// Fields are the invalid fields of the request, with ErrInvalidArgument.
	Fields []FieldViolation
	// Metadata has the values in the message and further details, such as "run_id"; the keys
	// are documented at faultv1.Reason.
	Metadata map[string]string
	// RetryAfter is the time to wait before a retry. 0 if unknown.
	RetryAfter time.Duration
	// Addr is the address that was called.
	Addr string

	unreachable, tls, other bool
	cause                   error
}

// FieldViolation is one invalid field of a request.
type FieldViolation struct {
	// Field is its name in the contract.
	Field string
	// Problem says what is wrong and what is allowed.
	Problem string
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Unwrap is the status that was received.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus is the status that was received.
func (e *Error) GRPCStatus() *status.Status { return status.Convert(e.cause) }

// Is matches the errors of this package.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrUnreachable:
		return e.unreachable
	case ErrWorkerUnreachable:
		return e.Reason == faultv1.Reason_REASON_WORKER_UNREACHABLE
	case ErrNotFound:
		return e.Reason == faultv1.Reason_REASON_NOT_FOUND
	case ErrInvalidArgument:
		return e.Reason == faultv1.Reason_REASON_INVALID_ARGUMENT
	case ErrTLS:
		return e.tls
	case ErrNotOrchestrator:
		return e.other
	case ErrUnauthenticated:
		return e.Reason == faultv1.Reason_REASON_UNAUTHENTICATED
	case ErrRoleRequired:
		return e.Reason == faultv1.Reason_REASON_ROLE_REQUIRED
	case ErrWrongState:
		return e.Reason == faultv1.Reason_REASON_WRONG_STATE
	}
	return false
}

// Is reports whether err has this reason.
func Is(err error, reason faultv1.Reason) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == reason
}

// convert makes an *Error from an error of gRPC. A call that the caller cancelled returns
// the context's error; io.EOF and nil are returned unchanged.
func convert(ctx context.Context, addr string, err error) error {
	var done *Error
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &done) {
		return err
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	e := &Error{Code: s.Code(), Message: s.Message(), Addr: addr, cause: err}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == domain {
				e.ReasonName = d.GetReason()
				e.Reason = faultv1.Reason(faultv1.Reason_value["REASON_"+d.GetReason()])
				e.Metadata = maps.Clone(d.GetMetadata())
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, FieldViolation{Field: v.GetField(), Problem: v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		case *errdetails.Help:
			for _, l := range d.GetLinks() {
				e.Remedy = strings.TrimSpace(e.Remedy + " " + l.GetDescription())
			}
		}
	}
	if e.ReasonName != "" {
		return e
	}
	switch e.Code {
	case codes.Unavailable:
		e.unreachable = true
		e.Message = "The orchestrator at " + addr + " cannot be reached, or the connection broke."
		if _, cause, ok := strings.Cut(s.Message(), "authentication handshake failed: "); ok {
			e.tls = true
			e.Message = "The TLS connection to the orchestrator at " + addr + " failed: " + strings.Trim(cause, `"`) + "."
		} else if strings.Contains(s.Message(), "HTTP/1.1 header") {
			e.other = true
			e.Message = "What listens at " + addr + " is not the orchestrator's gRPC port; perhaps it is its REST port, or another program."
		} else if strings.Contains(s.Message(), "server preface") && requiresTLS(ctx, addr) {
			e.tls = true
			e.Message = "What listens at " + addr + " requires TLS, but the connection was made without it."
		}
	case codes.DeadlineExceeded:
		e.unreachable = true
		e.Message = "The orchestrator at " + addr + " did not answer in time."
	case codes.Unimplemented:
		e.Message = "What answers at " + addr + " does not know this call; it is an older orchestrator, or another program."
	}
	return e
}

// tlsTime bounds the question whether a listener speaks TLS.
const tlsTime = 2 * time.Second

// requiresTLS reports whether a listener that closed a plain connection speaks TLS. A
// program that is being stopped closes connections too. Nothing is sent but the
// handshake.
func requiresTLS(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, tlsTime)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // no data is exchanged; only the protocol is detected
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close() // it has answered the question
		return true
	}
	var refused tls.AlertError
	return errors.As(err, &refused)
}

func unaryErrors(addr string, reached *atomic.Bool) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := convert(ctx, addr, invoke(ctx, method, req, reply, cc, opts...))
		var answer *Error
		if err == nil || errors.As(err, &answer) && answer.ReasonName != "" {
			reached.Store(true)
		}
		return err
	}
}

func streamErrors(addr string) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := open(ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, convert(ctx, addr, err)
		}
		return errorStream{s, ctx, addr}, nil
	}
}

type errorStream struct {
	grpc.ClientStream
	caller context.Context // the stream's own ends with the stream and says nothing of the caller
	addr   string
}

// RecvMsg implements grpc.ClientStream.
func (s errorStream) RecvMsg(m any) error {
	return convert(s.caller, s.addr, s.ClientStream.RecvMsg(m))
}

// SendMsg implements grpc.ClientStream.
func (s errorStream) SendMsg(m any) error {
	return convert(s.caller, s.addr, s.ClientStream.SendMsg(m))
}
