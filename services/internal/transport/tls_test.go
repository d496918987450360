package transport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/certs"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
)

func makeCerts(t *testing.T, dir string) {
	t.Helper()
	if _, err := certs.Make(certs.Request{Dir: dir, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, cfg ServerConfig, impl ...*scripted) *Server {
	t.Helper()
	lis, err := Listen(cfg.Logger, "test", "grpc", "grpc-addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listener, cfg.StopTimeout = lis, time.Second
	s := NewServer(cfg)
	for _, i := range impl {
		ingestv1.RegisterIngestServiceServer(s, i)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// check calls the server once over a new connection.
func check(t *testing.T, dial func() (*grpc.ClientConn, error)) error {
	t.Helper()
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = healthgrpc.NewHealthClient(conn).Check(ctx, &healthgrpc.HealthCheckRequest{})
	return err
}

func TestWorkerServesItsOrchestratorOnly(t *testing.T) {
	log := slog.New(slog.NewTextHandler(&buffer{}, nil))
	dir, other := t.TempDir(), t.TempDir()
	makeCerts(t, dir)
	makeCerts(t, other)
	in := func(dir, name string) string { return filepath.Join(dir, name) }
	secretFile := in(dir, "secret")
	if err := os.WriteFile(secretFile, []byte(strings.Repeat("s", 40)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret, err := OpenSecret(log, "secret-file", secretFile)
	if err != nil {
		t.Fatal(err)
	}
	server, err := OpenTLS(log, TLSFiles{Cert: in(dir, "worker.crt"), Key: in(dir, "worker.key"), CA: in(dir, "ca.crt")})
	if err != nil {
		t.Fatal(err)
	}
	strict := serve(t, ServerConfig{Logger: log, Credentials: credentials.NewTLS(server.Server(false)), Authorize: OneClient(certs.ClientName, nil)})
	either := serve(t, ServerConfig{Logger: log, Credentials: credentials.NewTLS(server.Server(true)), Authorize: OneClient(certs.ClientName, secret)})
	client := func(ca, cert string, s *Secret) Security {
		t.Helper()
		f := TLSFiles{CA: ca}
		if cert != "" {
			f.Cert, f.Key = cert+".crt", cert+".key"
		}
		c, err := OpenTLS(log, f)
		if err != nil {
			t.Fatal(err)
		}
		return Security{TLS: c, Secret: s}
	}
	for name, c := range map[string]struct {
		sec            Security
		strict, either bool
	}{
		"its orchestrator":            {client(in(dir, "ca.crt"), in(dir, "orchestrator"), nil), true, true},
		"no certificate":              {client(in(dir, "ca.crt"), "", nil), false, false},
		"the worker's own":            {client(in(dir, "ca.crt"), in(dir, "worker"), nil), false, false},
		"an orchestrator of another":  {client(in(dir, "ca.crt"), in(other, "orchestrator"), nil), false, false},
		"it does not know the worker": {client(in(other, "ca.crt"), in(dir, "orchestrator"), nil), false, false},
		"the secret":                  {client(in(dir, "ca.crt"), "", secret), false, true},
		"plain":                       {Security{Secret: secret}, false, false},
	} {
		for which, want := range map[*Server]bool{strict: c.strict, either: c.either} {
			err := check(t, func() (*grpc.ClientConn, error) { return DialSecure(which.Addr(), c.sec) })
			if (err == nil) != want {
				t.Errorf("%s (strict: %v): %v", name, which == strict, err)
			}
			if !want { // it is this side's own fault, not that of who asked it
				faulttest.Produces(t, err, fault.WorkerUnreachable)
			}
		}
	}
	// A certificate of the right CA under another name.
	named := serve(t, ServerConfig{Logger: log, Credentials: credentials.NewTLS(server.Server(false)), Authorize: OneClient("another", nil)})
	err = check(t, func() (*grpc.ClientConn, error) {
		return DialSecure(named.Addr(), client(in(dir, "ca.crt"), in(dir, "orchestrator"), nil))
	})
	if err == nil || !strings.Contains(err.Error(), "--client-name") {
		t.Errorf("another name: %v", err)
	}
}

// Files are read again when they change; what cannot be used leaves what was there.
func TestFilesAreReloaded(t *testing.T) {
	out := &buffer{}
	log := slog.New(slog.NewTextHandler(out, nil))
	dir, next := t.TempDir(), t.TempDir()
	makeCerts(t, dir)
	makeCerts(t, next)
	move := func(from, name string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".new"), text, 0o600)
		}
		if err == nil {
			err = os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	server, err := OpenTLS(log, TLSFiles{Cert: filepath.Join(dir, "worker.crt"), Key: filepath.Join(dir, "worker.key"), CertFlag: "tls-cert", KeyFlag: "tls-key"})
	if err != nil {
		t.Fatal(err)
	}
	clientTLS, err := OpenTLS(log, TLSFiles{CA: filepath.Join(dir, "ca.crt"), CAFlag: "worker-ca"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, ServerConfig{Logger: log, Credentials: credentials.NewTLS(server.Server(false))})
	works := func() bool {
		return check(t, func() (*grpc.ClientConn, error) { return DialSecure(s.Addr(), Security{TLS: clientTLS}) }) == nil
	}
	if !works() {
		t.Fatal("the first certificate is not taken")
	}
	move(next, "worker.crt") // half of the change: certificate and key do not fit
	if !works() || strings.Count(out.String(), "could not be reloaded") != 1 {
		t.Errorf("half of a change is used, or not reported once: %s", out)
	}
	move(next, "worker.key")
	if works() {
		t.Error("the new certificate is not shown")
	}
	move(next, "ca.crt")
	if !works() {
		t.Error("the new CA is not read")
	}
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if !works() {
		t.Error("a file that is gone takes what was read along")
	}
	path := filepath.Join(dir, "secret")
	for _, text := range []string{strings.Repeat("a", 40), strings.Repeat("b", 41), "short"} {
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if text[0] == 'a' {
			continue
		}
		secret := &Secret{log: log, flag: "secret-file", path: path, text: strings.Repeat("b", 41), state: "before"}
		if !secret.Matches(strings.Repeat("b", 41)) || secret.Matches(strings.Repeat("a", 40)) || secret.Matches("") {
			t.Errorf("after %q", text)
		}
	}
}

func TestBadFilesAreNamedInOneLine(t *testing.T) {
	log := slog.New(slog.NewTextHandler(&buffer{}, nil))
	dir := t.TempDir()
	makeCerts(t, dir)
	in := func(name string) string { return filepath.Join(dir, name) }
	old := t.TempDir()
	if _, err := certs.Make(certs.Request{Dir: old, Now: time.Now().AddDate(0, 0, -10), Days: 1}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files TLSFiles
		field string
	}{
		{TLSFiles{Cert: in("worker.crt")}, "tls-key"}, {TLSFiles{Key: in("worker.key")}, "tls-cert"}, {TLSFiles{Cert: in("none"), Key: in("worker.key")}, "tls-cert"},
		{TLSFiles{Cert: in("worker.crt"), Key: in("none")}, "tls-key"}, {TLSFiles{Cert: in("empty"), Key: in("worker.key")}, "tls-cert"},
		{TLSFiles{Cert: in("worker.crt"), Key: in("orchestrator.key")}, "tls-cert"}, {TLSFiles{Cert: filepath.Join(old, "worker.crt"), Key: filepath.Join(old, "worker.key")}, "tls-cert"},
		{TLSFiles{CA: in("none")}, "client-ca"}, {TLSFiles{CA: in("empty")}, "client-ca"}, {TLSFiles{CA: in("ca.key")}, "client-ca"}, {TLSFiles{CA: dir}, "client-ca"},
	} {
		c.files.CertFlag, c.files.KeyFlag, c.files.CAFlag = "tls-cert", "tls-key", "client-ca"
		_, err := OpenTLS(log, c.files)
		if f, ok := fault.As(err); !ok || f.Meta["field"] != c.field || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want field %s", c.files, err, c.field)
		}
	}
	for _, path := range []string{in("none"), in("empty"), dir} {
		_, err := OpenSecret(log, "secret-file", path)
		if f, ok := fault.As(err); !ok || f.Meta["field"] != "secret-file" {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := DialSecure("10.0.0.1:7701", Security{}); !strings.Contains(err.Error(), "loopback") {
		t.Errorf("a plain connection to another machine: %v", err)
	}
}

// A connection inside the process, which no other process can open, does not use the listener's TLS.
func TestInside(t *testing.T) {
	log := slog.New(slog.NewTextHandler(&buffer{}, nil))
	dir := t.TempDir()
	makeCerts(t, dir)
	files, err := OpenTLS(log, TLSFiles{Cert: filepath.Join(dir, "orchestrator.crt"), Key: filepath.Join(dir, "orchestrator.key")})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan bool, 16)
	s := serve(t, ServerConfig{Logger: log, Credentials: credentials.NewTLS(files.Server(false)), Authorize: func(ctx context.Context, method string) (context.Context, error) {
		seen <- Inside(ctx)
		if token, ok := Bearer(ctx); ok && token != "right" {
			return nil, fault.New(fault.Unauthenticated, "No.")
		}
		return ctx, nil
	}})
	if err := check(t, s.DialInside); err != nil {
		t.Error(err)
	}
	outside := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	dial := func() (*grpc.ClientConn, error) {
		return grpc.NewClient(s.Addr(), grpc.WithTransportCredentials(outside))
	}
	if err := check(t, dial); err != nil {
		t.Error(err)
	}
	if first, second := <-seen, <-seen; !first || second {
		t.Errorf("seen from within: %v, %v", first, second)
	}
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for header, want := range map[string]codes.Code{"Bearer right": codes.OK, "bearer  right ": codes.OK, "Bearer wrong": codes.Unauthenticated, "Basic right": codes.Unauthenticated, "right": codes.Unauthenticated} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", header)
		if _, err := healthgrpc.NewHealthClient(conn).Check(ctx, &healthgrpc.HealthCheckRequest{}); status.Code(err) != want {
			t.Errorf("%q: %v", header, err)
		}
		stream, err := healthgrpc.NewHealthClient(conn).Watch(ctx, &healthgrpc.HealthCheckRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != want {
			t.Errorf("a stream of %q: %v", header, err)
		}
	}
}
