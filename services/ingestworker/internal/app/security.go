package app

import (
	"log/slog"

	"google.golang.org/grpc/credentials"

	"github.com/afterbell/afterbell/services/ingestworker/internal/config"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// security loads the files that restrict the listener to the orchestrator. Both results are
// nil on a loopback listener without files.
func security(cfg config.Config, log *slog.Logger) (creds credentials.TransportCredentials, admit transport.Authorize, err error) {
	var secret *transport.Secret
	if cfg.SecretFile != "" {
		if secret, err = transport.OpenSecret(log, "secret-file", cfg.SecretFile); err != nil {
			return nil, nil, err
		}
	}
	if cfg.TLSCert != "" || cfg.TLSKey != "" {
		files, err := transport.OpenTLS(log, transport.TLSFiles{
			Cert: cfg.TLSCert, Key: cfg.TLSKey, CA: cfg.ClientCA, CertFlag: "tls-cert", KeyFlag: "tls-key", CAFlag: "client-ca",
		})
		if err != nil {
			return nil, nil, err
		}
		creds = credentials.NewTLS(files.Server(secret != nil))
	}
	name := ""
	if cfg.ClientCA != "" {
		name = cfg.ClientName
	}
	if name != "" || secret != nil {
		admit = transport.OneClient(name, secret)
	}
	return creds, admit, nil
}
