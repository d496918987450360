// Package config reads the orchestrator's flags and environment. A flag takes precedence
// over its variable; --data-dir is AFTERBELL_DATA_DIR, and so on.
package config

import (
	"flag"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/program"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// Config is the configuration of the orchestrator at start. Settings that change while it
// runs are in package settings.
type Config struct {
	// DataDir is the directory of market-cache.sqlite; absolute.
	DataDir string
	// GRPCAddr and HTTPAddr are the addresses to listen on; loopback only, unless TLSCert is
	// set. Port 0 picks a free port.
	GRPCAddr, HTTPAddr string
	// WorkerAddr is the address of the ingest-worker; loopback only, unless WorkerCA is set.
	WorkerAddr string
	// TLSCert and TLSKey are the files of the certificate of both listeners. Empty means no
	// TLS.
	TLSCert, TLSKey string
	// RequireKeys requires a key on loopback, too. Beyond loopback a key is always required.
	RequireKeys bool
	// WorkerCA is the file of the CA of the worker's certificate. WorkerCert and WorkerKey are
	// the orchestrator's own certificate, and WorkerSecret the file of the shared secret; the
	// worker requires one of the two.
	WorkerCA, WorkerCert, WorkerKey, WorkerSecret string
	// LedgerKey is the age identity that encrypts the secrets of notice channels, and
	// LedgerKeyFile the path of a file with it, from the environment. If both are empty, the
	// one in the data directory is used.
	LedgerKey, LedgerKeyFile string
	// Web limits what callers may send, and from where.
	Web Web
	// StopTimeout is how long calls and partitions in progress may continue after a signal.
	StopTimeout time.Duration
	// Schedule false starts no scheduled and no start-up run in this process. Slots that
	// become due are decided at the next start with true.
	Schedule bool
	// LogLevel is debug, info, warn or error; LogFormat json or text.
	LogLevel, LogFormat string
}

// Parse reads args (without the program's name) and the environment. It returns
// flag.ErrHelp after it has written the help or the version to out, and INVALID_ARGUMENT
// naming the flag if one is invalid.
func Parse(args []string, env func(string) string, out io.Writer) (Config, error) {
	var c Config
	fs := flag.NewFlagSet("orchestrator", flag.ContinueOnError)
	fs.StringVar(&c.DataDir, "data-dir", "data", "`directory` of market-cache.sqlite; it is created if it does not exist")
	fs.StringVar(&c.GRPCAddr, "grpc-addr", "127.0.0.1:7700", "`address` for gRPC; port 0 picks a free port; an address beyond loopback needs --tls-cert and an admin key")
	fs.StringVar(&c.HTTPAddr, "http-addr", "127.0.0.1:7780", "`address` for REST; port 0 picks a free port; an address beyond loopback needs --tls-cert and an admin key")
	fs.StringVar(&c.WorkerAddr, "worker-addr", "127.0.0.1:7701", "`address` of the ingest-worker; an address beyond loopback needs --worker-ca")
	fs.StringVar(&c.TLSCert, "tls-cert", "", "PEM `file` with the certificate of both listeners; it is reloaded when it changes")
	fs.StringVar(&c.TLSKey, "tls-key", "", "PEM `file` with the private key of --tls-cert")
	fs.BoolVar(&c.RequireKeys, "require-keys", false, "require an API key on loopback listeners too; set it behind a reverse proxy")
	fs.StringVar(&c.WorkerCA, "worker-ca", "", "PEM `file` with the CA that signed the worker's certificate")
	fs.StringVar(&c.WorkerCert, "worker-cert", "", "PEM `file` with the client certificate for the worker")
	fs.StringVar(&c.WorkerKey, "worker-key", "", "PEM `file` with the private key of --worker-cert")
	fs.StringVar(&c.WorkerSecret, "worker-secret-file", "", "`file` with the secret that the worker shares")
	web := c.Web.flags(fs)
	fs.BoolVar(&c.Schedule, "schedule", true, "start scheduled runs and the start-up run; if false, slots stay pending until a process without it starts")
	fs.DurationVar(&c.StopTimeout, "stop-timeout", 10*time.Second, "how long work in progress may continue after a signal")
	fs.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&c.LogFormat, "log-format", "json", "json or text")
	err := program.ParseFlags(fs, args, env, out,
		"orchestrator schedules and supervises the ingest-worker, keeps the run ledger,\nand serves the gRPC and REST APIs.")
	if err != nil {
		return c, err
	}
	web()
	return c, c.check()
}

func (c *Config) check() error {
	if c.DataDir == "" || strings.ContainsRune(c.DataDir, 0) {
		return fault.Invalid("data-dir", "must not be empty")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fault.Invalid("data-dir", "%v", err)
	}
	c.DataDir = dir
	for _, a := range []struct{ name, addr string }{{"grpc-addr", c.GRPCAddr}, {"http-addr", c.HTTPAddr}} {
		if err := transport.CheckGuarded(a.name, a.addr, c.TLSCert != "", "set --tls-cert and --tls-key (afterbell certs creates the files), or use 127.0.0.1"); err != nil {
			return err
		}
	}
	if err := transport.CheckGuarded("worker-addr", c.WorkerAddr, c.WorkerCA != "" && (c.WorkerCert != "" || c.WorkerSecret != ""),
		"set --worker-ca with --worker-cert and --worker-key, or with --worker-secret-file"); err != nil {
		return err
	}
	if c.WorkerCA == "" && c.WorkerCert != "" {
		return fault.Invalid("worker-ca", "is required with --worker-cert")
	}
	if err := c.Web.check(c.RequireKeys); err != nil {
		return err
	}
	if c.StopTimeout <= 0 || c.StopTimeout > 10*time.Minute {
		return fault.Invalid("stop-timeout", "%s is outside 1ns to 10m", c.StopTimeout)
	}
	if _, err := logging.ParseLevel(c.LogLevel); err != nil {
		return fault.Invalid("log-level", "%v", err)
	}
	if _, err := logging.New(io.Discard, c.LogLevel, c.LogFormat); err != nil {
		return fault.Invalid("log-format", "%v", err)
	}
	return nil
}

// Logger returns the logger that the flags configure, writing to w.
func (c Config) Logger(w io.Writer) (*slog.Logger, error) {
	return logging.New(w, c.LogLevel, c.LogFormat)
}
