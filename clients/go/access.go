package afterbell

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// SystemCA in Access.CA means the CAs of the operating system.
const SystemCA = "system"

// ErrKey is returned if the API key is malformed or cannot be used with the address.
var ErrKey = errors.New("the API key cannot be used")

// Access has the caller's key and the orchestrator's CA. The zero Access is for a loopback
// listener without keys.
type Access struct {
	// Key is the API key. Empty means none.
	Key string
	// CA is the PEM file of the CA that signed the orchestrator's certificate, as
	// afterbell certs creates it, or SystemCA. Empty means a connection without TLS.
	CA string
}

// DialAs is Dial with an API key, over TLS. A key is never sent to another machine without
// TLS.
func DialAs(addr string, access Access, extra ...grpc.DialOption) (*Client, error) {
	if addr == "" {
		addr = DefaultAddr
	}
	if access.Key != "" && access.CA == "" && !loopback(addr) {
		return nil, fmt.Errorf("%w: it is sent to another machine over TLS only; name the CA of the orchestrator's certificate", ErrKey)
	}
	transport, err := access.TLS()
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if transport != nil {
		creds = credentials.NewTLS(transport)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	if access.Key != "" {
		if strings.ContainsFunc(access.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("%w: it contains a character that no key has; a key begins with abk_", ErrKey)
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer(access.Key)))
	}
	return Dial(addr, append(options, extra...)...)
}

// TLS is the configuration of a TLS connection to the orchestrator, also for REST. It is
// nil if CA is empty.
func (a Access) TLS() (*tls.Config, error) {
	switch a.CA {
	case "":
		return nil, nil
	case SystemCA:
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	text, err := os.ReadFile(a.CA)
	if err != nil {
		var cause *os.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, fmt.Errorf("the CA file %s cannot be read: %w", a.CA, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the CA file %s contains no certificate", a.CA)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// bearer sends a key with every call.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. DialAs ensures it:
// only loopback connections have no TLS.
func (bearer) RequireTransportSecurity() bool { return false }
