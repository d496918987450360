package auth

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Role says what a caller may do. The zero Role may do nothing.
type Role string

// The roles of keys, in ascending order.
const (
	// Viewer may read everything except keys and the audit trail.
	Viewer Role = "viewer"
	// Operator may also control runs and pools and change the target list.
	Operator Role = "operator"
	// Admin may do everything.
	Admin Role = "admin"
)

var ranks = map[Role]int{Viewer: 1, Operator: 2, Admin: 3}

// ParseRole reads a role's name.
func ParseRole(text string) (Role, error) {
	if ranks[Role(text)] == 0 {
		return "", fmt.Errorf("%.40q is not a role: allowed are viewer, operator, admin", text)
	}
	return Role(text), nil
}

// Allows reports whether the role is at least the required one. An unknown role is never
// enough.
func (r Role) Allows(required Role) bool {
	return ranks[required] > 0 && ranks[r] >= ranks[required]
}

// How a call arrived.
const (
	// ViaGRPC is a call over gRPC.
	ViaGRPC = "grpc"
	// ViaREST is a call over REST.
	ViaREST = "rest"
	// ViaConsole is a call over REST with a session cookie.
	ViaConsole = "console"
	// ViaHost is a command on the orchestrator's host.
	ViaHost = "host"
)

// Names of callers without a key.
const (
	// Loopback is a caller on a loopback listener that requires no key.
	Loopback = "loopback"
	// Host is a command on the orchestrator's host.
	Host = "host"
)

// Caller is who makes a call.
type Caller struct {
	// Name is the name of the key, Loopback or Host.
	Name string
	// KeyID is the ID of the key; empty without one.
	KeyID string
	// Role of the caller.
	Role Role
	// Via says how the call arrived.
	Via string
	// Address of the caller, without the port. Empty means the host itself.
	Address string
}

// May returns ROLE_REQUIRED unless the caller's role is at least the required one. what
// names the action in the message.
func (c Caller) May(required Role, what string) error {
	if c.Role.Allows(required) {
		return nil
	}
	return fault.New(fault.RoleRequired, fmt.Sprintf("%s requires the role %s; the caller has the role %s.", what, required, c.Role),
		"role", string(c.Role), "required_role", string(required))
}

// Account is the unit of the limits per caller: the key, from any address, or the address
// of a caller without a key.
func (c Caller) Account() string {
	if c.KeyID != "" {
		return c.KeyID
	}
	return c.Address
}

// Encode serializes the caller for another part of the process.
func (c Caller) Encode() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain strings always marshal
	}
	return string(text)
}

// DecodeCaller parses the result of Encode.
func DecodeCaller(text string) (c Caller, err error) {
	err = json.Unmarshal([]byte(text), &c)
	return c, err
}

type callerKey struct{}

// WithCaller returns a context with the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller of a context; the zero Caller if it has none.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
