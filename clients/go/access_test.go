package afterbell

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// authority is a certificate for localhost and the file of its CA: itself.
func authority(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// keyed answers ListKeys to those who send its key.
type keyed struct {
	orchestratorv1.UnimplementedKeyServiceServer
}

func (keyed) ListKeys(ctx context.Context, _ *orchestratorv1.ListKeysRequest) (*orchestratorv1.ListKeysResponse, error) {
	if md, _ := metadata.FromIncomingContext(ctx); strings.Join(md.Get("authorization"), ",") != "Bearer abk_right" {
		return nil, status.Error(codes.Unauthenticated, "no")
	}
	return &orchestratorv1.ListKeysResponse{}, nil
}

func TestDialAs(t *testing.T) {
	cert, ca := authority(t)
	_, other := authority(t)
	serve := func(options ...grpc.ServerOption) string {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer(options...)
		orchestratorv1.RegisterKeyServiceServer(s, keyed{})
		go func() { _ = s.Serve(lis) }()
		t.Cleanup(s.Stop)
		return lis.Addr().String()
	}
	secure, plain := serve(grpc.Creds(credentials.NewServerTLSFromCert(&cert))), serve()
	for name, c := range map[string]struct {
		addr   string
		access Access
		want   error
		code   codes.Code
	}{
		"key over TLS":            {secure, Access{Key: "abk_right", CA: ca}, nil, codes.OK},
		"key on loopback":         {plain, Access{Key: "abk_right"}, nil, codes.OK},
		"wrong key":               {secure, Access{Key: "abk_wrong", CA: ca}, nil, codes.Unauthenticated},
		"no key":                  {secure, Access{CA: ca}, nil, codes.Unauthenticated},
		"another CA":              {secure, Access{Key: "abk_right", CA: other}, ErrTLS, codes.Unavailable},
		"the system's CAs":        {secure, Access{Key: "abk_right", CA: SystemCA}, ErrTLS, codes.Unavailable},
		"TLS to a plain listener": {plain, Access{Key: "abk_right", CA: ca}, ErrTLS, codes.Unavailable},
		"plain to a TLS listener": {secure, Access{Key: "abk_right"}, ErrTLS, codes.Unavailable},
	} {
		client, err := DialAs(c.addr, c.access)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err = client.Keys.ListKeys(ctx, &orchestratorv1.ListKeysRequest{})
		cancel()
		client.Close()
		var e *Error
		if (err == nil) != (c.code == codes.OK) || err != nil && (!errors.As(err, &e) || e.Code != c.code) || c.want != nil && !(errors.Is(err, c.want) && errors.Is(err, ErrUnreachable)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	closing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closing.Close()
	go func() { // as a program that is being stopped
		for conn, err := closing.Accept(); err == nil; conn, err = closing.Accept() {
			conn.Close()
		}
	}()
	for name, c := range map[string]struct {
		addr  string
		other bool
	}{"a REST port": {web.Listener.Addr().String(), true}, "a listener that closes connections": {closing.Addr().String(), false}} {
		client, err := DialAs(c.addr, Access{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Keys.ListKeys(t.Context(), &orchestratorv1.ListKeysRequest{})
		client.Close()
		if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrTLS) || errors.Is(err, ErrNotOrchestrator) != c.other {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		addr   string
		access Access
	}{
		"a key over the network in plain": {"10.0.0.5:7700", Access{Key: "abk_right"}}, "no file": {plain, Access{CA: ca + "x"}},
		"no certificate": {plain, Access{CA: os.Args[0]}}, "a key of two lines": {plain, Access{Key: "abk\nx"}},
	} {
		if client, err := DialAs(c.addr, c.access); err == nil || strings.Contains(err.Error(), "abk_right") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, client, err)
		}
	}
}
