package auth

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Role is what a caller may do. The zero Role may do nothing.
type Role string

// The roles of keys. Each may do what the one before may.
const (
	// Viewer may read everything but keys and the audit trail.
	Viewer Role = "viewer"
	// Operator may also start and steer runs, pools and the list of targets.
	Operator Role = "operator"
	// Admin may do everything.
	Admin Role = "admin"
)

var ranks = map[Role]int{Viewer: 1, Operator: 2, Admin: 3}

// ParseRole reads a role's name.
func ParseRole(text string) (Role, error) {
	if ranks[Role(text)] == 0 {
		return "", fmt.Errorf("%.40q is no role: allowed are viewer, operator, admin", text)
	}
	return Role(text), nil
}

// Allows tells whether the role may do what asks for the required one. Nobody may do
// what asks for an unknown role.
func (r Role) Allows(required Role) bool {
	return ranks[required] > 0 && ranks[r] >= ranks[required]
}

// How a caller came.
const (
	// ViaGRPC is a call over gRPC.
	ViaGRPC = "grpc"
	// ViaREST is a call over REST.
	ViaREST = "rest"
	// ViaConsole is a call over REST with the cookie of a session.
	ViaConsole = "console"
	// ViaHost is a command on the orchestrator's host.
	ViaHost = "host"
)

// Names of callers without a key.
const (
	// Loopback is a caller on a loopback listener that asks for no key.
	Loopback = "loopback"
	// Host is a command on the orchestrator's host.
	Host = "host"
)

// Caller is who calls.
type Caller struct {
	// Name is the name of the key, Loopback or Host.
	Name string
	// KeyID is the key's; empty without one.
	KeyID string
	// Role that the caller has.
	Role Role
	// Via tells how it came.
	Via string
	// Address it came from, without the port. Empty means the host itself.
	Address string
}

// May returns ROLE_REQUIRED unless the caller's role allows what asks for the
// required one; what names it in the sentence.
func (c Caller) May(required Role, what string) error {
	if c.Role.Allows(required) {
		return nil
	}
	return fault.New(fault.RoleRequired, fmt.Sprintf("%s requires the role %s; the caller has the role %s.", what, required, c.Role),
		"role", string(c.Role), "required_role", string(required))
}

// Account is what the limits per caller count by: the key, however and from wherever it is
// used, or the address of a caller without one.
func (c Caller) Account() string {
	if c.KeyID != "" {
		return c.KeyID
	}
	return c.Address
}

// Encode is the caller as one part of the process tells it to another.
func (c Caller) Encode() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain strings always marshal
	}
	return string(text)
}

// DecodeCaller reads what Encode wrote.
func DecodeCaller(text string) (c Caller, err error) {
	err = json.Unmarshal([]byte(text), &c)
	return c, err
}

type callerKey struct{}

// WithCaller is a context that knows who calls.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf tells who calls; the zero Caller where nobody said.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
