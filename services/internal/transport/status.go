package transport

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// InternalMessage is all that a caller learns of an error without a reason.
const InternalMessage = "An unexpected error occurred; the service's log has the details."

// ToStatus converts err to a status with details: ErrorInfo with the reason and its metadata,
// BadRequest with field violations, RetryInfo if the wait is known, PreconditionFailure if a state
// prevents the call, and Help with the remedy. A status is returned unchanged. An error without a
// reason becomes INTERNAL without its text.
func ToStatus(err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	f, ok := fault.As(err)
	if !ok {
		var s interface{ GRPCStatus() *status.Status }
		if errors.As(err, &s) && s.GRPCStatus().Code() != codes.Unknown {
			return s.GRPCStatus()
		}
		f = fault.New(fault.Internal, InternalMessage)
	}
	d, ok := fault.Describe(f.Reason)
	if !ok {
		f = fault.New(fault.Internal, InternalMessage)
		d, _ = fault.Describe(fault.Internal)
	}
	s := status.New(codes.Code(d.Status), clean(f.Message))
	with, err := s.WithDetails(details(f, d)...)
	if err != nil { // only a detail that cannot be marshalled; the code and message still stand
		return s
	}
	return with
}

func details(f *fault.Error, d fault.Description) []protoadapt.MessageV1 {
	meta := make(map[string]string, len(f.Meta))
	for k, v := range f.Meta {
		meta[k] = clean(v)
	}
	all := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: string(f.Reason), Domain: fault.Domain, Metadata: meta}}
	if len(f.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range f.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: clean(v.Field), Description: clean(v.Problem), Reason: string(f.Reason),
			})
		}
		all = append(all, bad)
	}
	if !f.RetryAt.IsZero() {
		all = append(all, &errdetails.RetryInfo{RetryDelay: durationpb.New(max(0, time.Until(f.RetryAt)))})
	}
	if d.Status == fault.StatusFailedPrecondition {
		all = append(all, &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
			{Type: string(f.Reason), Subject: subject(meta), Description: clean(f.Message)},
		}})
	}
	return append(all, &errdetails.Help{Links: []*errdetails.Help_Link{{Description: fault.RemedyOf(f)}}})
}

// subject is the narrowest thing the metadata names.
func subject(meta map[string]string) string {
	for _, key := range []string{"run_id", "slot_id", "module", "domain", "pool", "path", "file"} {
		if v := meta[key]; v != "" {
			return key + "/" + v
		}
	}
	return "afterbell"
}

// clean makes text fit for a protobuf string.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// FromStatus rebuilds on the caller's side what ToStatus sent. peer is the address
// dialled. What is no fault of the other side keeps its kind: a call that the
// caller ended is its context's error, a connection that broke or a deadline that
// passed is WORKER_UNREACHABLE, and anything else without a reason is INTERNAL
// with the status as its cause.
func FromStatus(ctx context.Context, peer string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.As(err); ok {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	if f := rebuild(s); f != nil {
		if f.Reason == fault.Unauthenticated && f.Meta["cause"] == foreignClient { // this side's own fault, not its caller's
			return fault.Wrap(err, fault.WorkerUnreachable, "The ingest-worker at "+peer+
				" did not accept this orchestrator: compare --client-ca, --client-name and --secret-file there with --worker-cert and --worker-secret-file here.", "address", peer)
		}
		return f
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	switch s.Code() {
	case codes.DeadlineExceeded:
		return fault.Wrap(errors.Join(context.DeadlineExceeded, err), fault.WorkerUnreachable,
			"The ingest-worker at "+peer+" did not respond in time.", "address", peer)
	case codes.Unavailable, codes.Canceled:
		return fault.Wrap(err, fault.WorkerUnreachable,
			"The ingest-worker at "+peer+" cannot be reached, or the connection was lost.", "address", peer)
	}
	if s.Code() == codes.ResourceExhausted { // gRPC's own: the request is beyond what is read at all
		return fault.Wrap(err, fault.InvalidArgument, "request: too large", "field", "request")
	}
	return fault.Wrap(err, fault.Internal, InternalMessage)
}

// rebuild is the fault.Error a status carries, or nil when it carries none.
func rebuild(s *status.Status) *fault.Error {
	var f *fault.Error
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == fault.Domain {
			reason := fault.Reason(info.GetReason())
			if _, known := fault.Describe(reason); !known { // a newer peer; its class is not known here
				reason = fault.Internal
			}
			f = fault.Wrap(s.Err(), reason, s.Message())
			f.Meta = maps.Clone(info.GetMetadata())
		}
	}
	if f == nil {
		return nil
	}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				f.Fields = append(f.Fields, fault.Violation{Field: v.GetField(), Problem: v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			f.RetryAt = time.Now().Add(d.GetRetryDelay().AsDuration())
		case *errdetails.Help:
			if links := d.GetLinks(); len(links) > 0 && links[0].GetDescription() != fault.RemedyOf(f) {
				f.Remedy = links[0].GetDescription()
			}
		}
	}
	return f
}
