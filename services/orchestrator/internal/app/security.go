package app

import (
	"crypto/tls"
	"log/slog"

	"google.golang.org/grpc/credentials"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/access"
	"github.com/afterbell/afterbell/services/orchestrator/internal/config"
)

// security has the TLS configuration of the listeners and of the connection to the worker.
type security struct {
	tls    *transport.TLS // of the listeners; nil means no TLS
	worker transport.Security
	// grpcKeys and httpKeys are true if callers of a listener need a key.
	grpcKeys, httpKeys bool
}

// openSecurity loads the files of the flags. A listener beyond loopback needs TLS, which
// config has checked, and an active admin key.
func openSecurity(cfg config.Config, keys *access.Keeper, log *slog.Logger) (s security, err error) {
	if cfg.TLSCert != "" || cfg.TLSKey != "" {
		s.tls, err = transport.OpenTLS(log, transport.TLSFiles{Cert: cfg.TLSCert, Key: cfg.TLSKey, CertFlag: "tls-cert", KeyFlag: "tls-key"})
		if err != nil {
			return s, err
		}
	}
	if cfg.WorkerCA != "" {
		s.worker.TLS, err = transport.OpenTLS(log, transport.TLSFiles{
			Cert: cfg.WorkerCert, Key: cfg.WorkerKey, CA: cfg.WorkerCA, CertFlag: "worker-cert", KeyFlag: "worker-key", CAFlag: "worker-ca",
		})
		if err != nil {
			return s, err
		}
	}
	if cfg.WorkerSecret != "" {
		if s.worker.Secret, err = transport.OpenSecret(log, "worker-secret-file", cfg.WorkerSecret); err != nil {
			return s, err
		}
	}
	s.grpcKeys = cfg.RequireKeys || !transport.IsLoopback(cfg.GRPCAddr)
	s.httpKeys = cfg.RequireKeys || !transport.IsLoopback(cfg.HTTPAddr)
	if (s.grpcKeys || s.httpKeys) && !keys.HasAdmin() {
		flag := "require-keys"
		switch {
		case !transport.IsLoopback(cfg.GRPCAddr):
			flag = "grpc-addr"
		case !transport.IsLoopback(cfg.HTTPAddr):
			flag = "http-addr"
		}
		return s, fault.Invalid(flag, "requires an API key, and no active admin key exists; create one with the same --data-dir: orchestrator keys create NAME --role admin")
	}
	return s, nil
}

// credentials of the gRPC listener.
func (s security) credentials() credentials.TransportCredentials {
	if s.tls == nil {
		return nil
	}
	return credentials.NewTLS(s.tls.Server(false))
}

// server is the configuration of the REST listener.
func (s security) server() *tls.Config {
	if s.tls == nil {
		return nil
	}
	return s.tls.Server(false)
}
