package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// warnBefore is how long before its expiry a certificate causes a warning.
const warnBefore = 14 * 24 * time.Hour

// TLSFiles are the PEM files of one side of a connection.
type TLSFiles struct {
	// Cert is the file of the certificate and its chain, Key that of its private key. Both are
	// empty for a client without a certificate.
	Cert, Key string
	// CA is the file of the CA certificates of the other side. Empty means the system's for a
	// client, and no client certificate for a server.
	CA string
	// CertFlag, KeyFlag and CAFlag name the flags in errors.
	CertFlag, KeyFlag, CAFlag string
}

// TLS is one side's certificate and the other side's CA, from files that are reloaded when
// they change. A change that cannot be used is logged, and the previous content stays in
// use.
type TLS struct {
	log   *slog.Logger
	files TLSFiles

	mu     sync.Mutex
	state  string // of the files that are in use
	refuse string // of the files that could not be used
	cert   *tls.Certificate
	pool   *x509.CertPool
	warned time.Time
}

// OpenTLS loads the files. INVALID_ARGUMENT names the flag of an unusable one, such as an
// expired certificate.
func OpenTLS(log *slog.Logger, files TLSFiles) (*TLS, error) {
	if (files.Cert == "") != (files.Key == "") {
		given, lacking := files.CertFlag, files.KeyFlag
		if files.Cert == "" {
			given, lacking = lacking, given
		}
		return nil, fault.Invalid(lacking, "is required with --%s", given)
	}
	t := &TLS{log: log, files: files, state: stateOf(files.paths()...)}
	var err error
	t.cert, t.pool, err = files.read(time.Now())
	return t, err
}

func (f TLSFiles) paths() []string { return []string{f.Cert, f.Key, f.CA} }

// stateOf changes when a file does.
func stateOf(paths ...string) string {
	var out strings.Builder
	for _, p := range paths {
		if p == "" {
			continue
		}
		st, err := os.Stat(p)
		if err != nil {
			fmt.Fprintf(&out, "%s: %v\n", p, err)
			continue
		}
		inode := uint64(0)
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			inode = sys.Ino
		}
		fmt.Fprintf(&out, "%s: %d %d %d\n", p, st.ModTime().UnixNano(), st.Size(), inode)
	}
	return out.String()
}

func (f TLSFiles) read(now time.Time) (*tls.Certificate, *x509.CertPool, error) {
	var cert *tls.Certificate
	if f.Cert != "" {
		chain, err := readPEM(f.CertFlag, f.Cert)
		if err != nil {
			return nil, nil, err
		}
		key, err := readPEM(f.KeyFlag, f.Key)
		if err != nil {
			return nil, nil, err
		}
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return nil, nil, fault.Invalid(f.CertFlag, "%s and %s do not match: %v", f.Cert, f.Key, err)
		}
		if now.After(pair.Leaf.NotAfter) {
			return nil, nil, fault.Invalid(f.CertFlag, "the certificate in %s expired at %s; create a new one: afterbell certs", f.Cert, pair.Leaf.NotAfter.Format(time.RFC3339))
		}
		cert = &pair
	}
	if f.CA == "" {
		return cert, nil, nil
	}
	text, err := readPEM(f.CAFlag, f.CA)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, nil, fault.Invalid(f.CAFlag, "%s contains no certificate", f.CA)
	}
	return cert, pool, nil
}

func readPEM(flag, path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(flag, path, err)
	}
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		return nil, fault.Invalid(flag, "%s is not a PEM file", path)
	}
	return text, nil
}

func unreadable(flag, path string, err error) error {
	var cause *os.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return fault.Invalid(flag, "%s cannot be read: %v", path, err)
}

// current is the content of the files, or the last usable content.
func (t *TLS) current() (*tls.Certificate, *x509.CertPool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if state := stateOf(t.files.paths()...); state != t.state {
		cert, pool, err := t.files.read(now)
		switch {
		case err == nil:
			t.cert, t.pool, t.state, t.refuse = cert, pool, state, ""
			t.log.Info("certificates were reloaded", "cert", t.files.Cert, "ca", t.files.CA)
		case state != t.refuse: // logged once; the files may be half written
			t.refuse = state
			t.log.Warn("certificates could not be reloaded; the previous ones stay in use", "error", err.Error())
		}
	}
	if t.cert != nil && now.Add(warnBefore).After(t.cert.Leaf.NotAfter) && now.Sub(t.warned) > 24*time.Hour {
		t.warned = now
		t.log.Warn("a certificate expires soon; create a new one: afterbell certs", "cert", t.files.Cert, "expires", t.cert.Leaf.NotAfter.Format(time.RFC3339))
	}
	return t.cert, t.pool
}

// Server is the configuration of a server. A client must have a certificate of the CA if
// one is given, unless optional is true.
func (t *TLS) Server(optional bool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		cert, pool := t.current()
		c := &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2", "http/1.1"},
			SessionTicketsDisabled: pool != nil, // so that every connection uses the current CA
		}
		if pool != nil {
			c.ClientCAs, c.ClientAuth = pool, tls.RequireAndVerifyClientCert
			if optional {
				c.ClientAuth = tls.VerifyClientCertIfGiven
			}
		}
		return c, nil
	}}
}

// client is the current configuration of a client.
func (t *TLS) client() *tls.Config {
	cert, pool := t.current()
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	if cert != nil {
		c.Certificates = []tls.Certificate{*cert}
	}
	return c
}

// clientCredentials reads the files for every connection.
type clientCredentials struct {
	credentials.TransportCredentials // for what does not depend on the files
	tls                              *TLS
}

func newClientCredentials(t *TLS) credentials.TransportCredentials {
	return &clientCredentials{credentials.NewTLS(t.client()), t}
}

// ClientHandshake implements credentials.TransportCredentials.
func (c *clientCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(c.tls.client()).ClientHandshake(ctx, authority, conn)
}

// Clone implements credentials.TransportCredentials.
func (c *clientCredentials) Clone() credentials.TransportCredentials {
	return newClientCredentials(c.tls)
}

// minSecret is the shortest shared secret, in characters.
const minSecret = 32

// Secret is shared by two services: one line of a file that is reloaded when it changes.
// After an invalid change, the previous one stays in use.
type Secret struct {
	log        *slog.Logger
	flag, path string

	mu     sync.Mutex
	state  string
	refuse string
	text   string
}

// OpenSecret loads the file. INVALID_ARGUMENT names the flag if it cannot be used.
func OpenSecret(log *slog.Logger, flag, path string) (*Secret, error) {
	s := &Secret{log: log, flag: flag, path: path, state: stateOf(path)}
	var err error
	s.text, err = s.read()
	return s, err
}

func (s *Secret) read() (string, error) {
	b, err := os.ReadFile(s.path)
	if err != nil {
		return "", unreadable(s.flag, s.path, err)
	}
	text := strings.TrimSpace(string(b))
	if len(text) < minSecret || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fault.Invalid(s.flag, "%s must contain one line of at least %d printable ASCII characters; create one: openssl rand -hex 32", s.path, minSecret)
	}
	return text, nil
}

func (s *Secret) current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := stateOf(s.path); state != s.state {
		text, err := s.read()
		switch {
		case err == nil:
			s.text, s.state, s.refuse = text, state, ""
			s.log.Info("the shared secret was reloaded", "file", s.path)
		case state != s.refuse:
			s.refuse = state
			s.log.Warn("the shared secret could not be reloaded; the previous one stays in use", "error", err.Error())
		}
	}
	return s.text
}

// Matches compares in constant time.
func (s *Secret) Matches(given string) bool {
	want, got := sha256.Sum256([]byte(s.current())), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (s *Secret) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + s.current()}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. DialSecure ensures it:
// only loopback connections have no TLS.
func (s *Secret) RequireTransportSecurity() bool { return false }
