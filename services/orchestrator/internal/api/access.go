package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	authv1 "github.com/afterbell/afterbell/gen/afterbell/auth/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/access"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

// CallerMetadata is the metadata in which the gateway passes the caller, over a connection
// inside the process. From any other connection it is ignored.
const CallerMetadata = "afterbell-caller-bin"

// healthService is open to everybody: a load balancer has no key.
const healthService = "/grpc.health.v1.Health/"

// Access decides who may call what over gRPC, and writes changes to the audit trail.
type Access struct {
	keeper   *access.Keeper
	trail    Trail
	log      *slog.Logger
	required bool
	roles    map[string]auth.Role // by full method
}

// Trail stores the audit trail; *ledger.Store implements it.
type Trail interface {
	AddEntry(ctx context.Context, e auth.Entry) error
	Entries(ctx context.Context, f auth.EntryFilter) (entries []auth.Entry, more bool, err error)
}

// NewAccess reads the role of each method from its contract. With required, callers without
// a key may do nothing; otherwise they may do everything.
func NewAccess(keeper *access.Keeper, trail Trail, required bool, log *slog.Logger) *Access {
	a := &Access{keeper: keeper, trail: trail, required: required, log: log, roles: map[string]auth.Role{}}
	pkg := orchestratorv1.File_afterbell_orchestrator_v1_run_service_proto.Package()
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				a.roles["/"+string(service.FullName())+"/"+string(m.Name())] = roleOf(m)
			}
		}
		return true
	})
	return a
}

// roleOf is the minimum role of a method; empty, which nobody has, if it has none.
func roleOf(m protoreflect.MethodDescriptor) auth.Role {
	role, _ := proto.GetExtension(m.Options(), authv1.E_Role).(authv1.Role)
	return roleFromProto(role)
}

func roleFromProto(role authv1.Role) auth.Role {
	switch role {
	case authv1.Role_ROLE_VIEWER:
		return auth.Viewer
	case authv1.Role_ROLE_OPERATOR:
		return auth.Operator
	case authv1.Role_ROLE_ADMIN:
		return auth.Admin
	}
	return ""
}

func roleToProto(role auth.Role) authv1.Role {
	switch role {
	case auth.Viewer:
		return authv1.Role_ROLE_VIEWER
	case auth.Operator:
		return authv1.Role_ROLE_OPERATOR
	case auth.Admin:
		return authv1.Role_ROLE_ADMIN
	}
	return authv1.Role_ROLE_UNSPECIFIED
}

// Authorize implements transport.Authorize.
func (a *Access) Authorize(ctx context.Context, fullMethod string) (context.Context, error) {
	if strings.HasPrefix(fullMethod, healthService) {
		return ctx, nil
	}
	caller, err := a.caller(ctx)
	if err != nil {
		return nil, err
	}
	required, ours := a.roles[fullMethod]
	if !ours {
		required = auth.Viewer // reflection, and methods that are not served
	}
	if err := caller.May(required, label(fullMethod)); err != nil {
		return nil, err
	}
	return auth.WithCaller(ctx, caller), nil
}

func (a *Access) caller(ctx context.Context) (auth.Caller, error) {
	if transport.Inside(ctx) {
		md, _ := metadata.FromIncomingContext(ctx)
		if told := md.Get(CallerMetadata); len(told) == 1 {
			return auth.DecodeCaller(told[0])
		}
		return auth.Caller{}, auth.Refuse("missing")
	}
	address := transport.PeerAddress(ctx)
	if key, ok := transport.Bearer(ctx); ok {
		return a.keeper.ByKey(key, auth.ViaGRPC, address)
	}
	if a.required {
		return auth.Caller{}, auth.Refuse("missing")
	}
	return auth.Caller{Name: auth.Loopback, Role: auth.Admin, Via: auth.ViaGRPC, Address: address}, nil
}

// label is the name of a method for users: "RunService.CreateRun".
func label(fullMethod string) string {
	service, method, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	return service[strings.LastIndexByte(service, '.')+1:] + "." + method
}

// changes reports whether a method is audited: its minimum role is above viewer, and it
// does not only read.
func (a *Access) changes(fullMethod string) bool {
	role, ours := a.roles[fullMethod]
	if !ours || role == auth.Viewer {
		return false
	}
	name := fullMethod[strings.LastIndexByte(fullMethod, '/')+1:]
	return !strings.HasPrefix(name, "Get") && !strings.HasPrefix(name, "List")
}

// Unary audits a change.
func (a *Access) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if dry, ok := req.(interface{ GetValidateOnly() bool }); !a.changes(info.FullMethod) || ok && dry.GetValidateOnly() {
		return handler(ctx, req)
	}
	c := &auth.Change{Entry: auth.Entry{Caller: auth.CallerOf(ctx), Method: label(info.FullMethod), Request: recorded(req)}}
	resp, err := handler(auth.WithChange(ctx, c), req)
	a.finish(ctx, c, err)
	return resp, err
}

// finish audits a change that no write of the ledger has audited, and the result of one
// that has begun.
func (a *Access) finish(ctx context.Context, c *auth.Change, failed error) {
	entry := c.Entry
	switch {
	case c.Begun():
		entry = c.Outcome(failed)
	case failed != nil, c.Stored():
		return
	}
	if err := a.trail.AddEntry(context.WithoutCancel(ctx), entry); err != nil {
		a.log.Error("a change is not in the audit trail", "method", c.Entry.Method, "actor", c.Entry.Caller.Name, "error", err.Error())
	}
}

// Stream audits a change, and ends the stream when the caller's key ends.
func (a *Access) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := a.keeper.Until(ss.Context(), auth.CallerOf(ss.Context()))
	defer cancel()
	s := &callerStream{ServerStream: ss, ctx: ctx}
	if a.changes(info.FullMethod) {
		s.change = &auth.Change{Entry: auth.Entry{Caller: auth.CallerOf(ctx), Method: label(info.FullMethod)}}
		s.ctx = auth.WithChange(ctx, s.change)
	}
	err := handler(srv, s)
	if cause, ended := fault.As(context.Cause(ctx)); ended {
		err = cause // the key was revoked or has expired
	}
	if s.change != nil {
		a.finish(ctx, s.change, err)
	}
	return err
}

type callerStream struct {
	grpc.ServerStream
	ctx    context.Context
	change *auth.Change // nil if the method changes nothing
}

// Context implements grpc.ServerStream.
func (s *callerStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *callerStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil && s.change != nil {
		s.change.Entry.Request = recorded(m)
	}
	return err
}

// recorded is a request as the audit trail stores it: JSON without secrets.
func recorded(req any) string {
	m, ok := req.(proto.Message)
	if !ok {
		return ""
	}
	m = proto.Clone(m)
	redact(m.ProtoReflect())
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	var out bytes.Buffer
	if err != nil || json.Compact(&out, raw) != nil { // protojson's own spacing is random
		return ""
	}
	return out.String()
}

// redact clears the fields with secrets, by their option debug_redact or by their name.
func redact(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		options, _ := fd.Options().(*descriptorpb.FieldOptions)
		text := fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind
		switch {
		case options.GetDebugRedact(), text && auth.Secret(string(fd.Name())):
			m.Clear(fd)
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				if fd.MapValue().Message() != nil {
					redact(v.Message())
				} else if auth.Secret(k.String()) {
					m.Mutable(fd).Map().Clear(k)
				}
				return true
			})
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message())
			}
		default:
			redact(v.Message())
		}
		return true
	})
}
