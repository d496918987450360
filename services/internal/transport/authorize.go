package transport

import (
	"context"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Authorize admits a call, or rejects it with a fault. It returns the context of the call.
type Authorize func(ctx context.Context, fullMethod string) (context.Context, error)

// Bearer is the token of the call's metadata "authorization: Bearer TOKEN"; ok is false if
// there is none, and the token is empty for another scheme.
func Bearer(ctx context.Context) (token string, ok bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) == 0 {
		return "", false
	}
	return BearerOf(values[0]), true
}

// BearerOf is the token of an Authorization header. It is empty for another scheme.
func BearerOf(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// PeerAddress is the address of the caller, without the port.
func PeerAddress(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return HostOf(p.Addr.String())
}

// HostOf is an address without the port.
func HostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// OneClient admits a single client: the one whose certificate, of the server's client CA,
// has the DNS name; or the one that sends the secret. An empty name or a nil secret admits
// nobody.
func OneClient(name string, secret *Secret) Authorize {
	return func(ctx context.Context, _ string) (context.Context, error) {
		if p, ok := peer.FromContext(ctx); ok && name != "" {
			if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 &&
				slices.Contains(info.State.VerifiedChains[0][0].DNSNames, name) {
				return ctx, nil
			}
		}
		if token, ok := Bearer(ctx); ok && secret != nil && secret.Matches(token) {
			return ctx, nil
		}
		return nil, fault.New(fault.Unauthenticated,
			"This service accepts only its orchestrator, which must present its client certificate or the shared secret.", "cause", foreignClient)
	}
}

// foreignClient is the cause of OneClient's error.
const foreignClient = "certificate"

// inside is the network of connections inside the process.
const inside = "inside"

// insideBuffer is the buffer of such a connection in bytes, each way.
const insideBuffer = 1 << 20

// Inside reports whether a call came from inside the process, through DialInside.
func Inside(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	_, ok = p.AuthInfo.(insideInfo)
	return ok
}

type insideInfo struct{ credentials.CommonAuthInfo }

// AuthType implements credentials.AuthInfo.
func (insideInfo) AuthType() string { return inside }

type insideListener struct{ *bufconn.Listener }

type insideConn struct{ net.Conn }

// Accept implements net.Listener.
func (l insideListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return insideConn{conn}, nil
}

// serverCredentials accept connections from inside and pass others to the credentials of
// the network.
type serverCredentials struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (c serverCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if _, ok := conn.(insideConn); ok {
		return conn, insideInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

// DialInside returns a client of the server in the same process. Nobody else can make such
// a connection: see Inside. Errors are statuses, for a proxy that forwards them.
func (s *Server) DialInside() (*grpc.ClientConn, error) {
	return newClient(inside, insecure.NewCredentials(), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return s.inside.DialContext(ctx)
	}))
}
