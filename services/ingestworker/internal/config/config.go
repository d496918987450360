// Package config reads the worker's flags and environment. A flag takes precedence over its
// variable; --data-dir is AFTERBELL_DATA_DIR, and so on.
package config

import (
	"flag"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/program"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// Config is the configuration of the worker. It does not contain the token, which the vault
// reads from the environment.
type Config struct {
	// DataDir has both pools' files, the limiter's file and the vault's key.
	DataDir string
	// GRPCAddr is the address to listen on; loopback only, unless TLSCert and ClientCA or
	// SecretFile are set. Port 0 picks a free port.
	GRPCAddr string
	// MetricsAddr is the address of the metrics; loopback only. Empty means none. Port 0 picks
	// a free port.
	MetricsAddr string
	// TLSCert and TLSKey are the files of the listener's certificate. Empty means no TLS.
	TLSCert, TLSKey string
	// ClientCA is the file of the CA that signed the orchestrator's certificate, and
	// ClientName the DNS name that the certificate must contain. SecretFile has the shared
	// secret. A caller needs one of the two; if neither is set, every caller on loopback is
	// accepted.
	ClientCA, ClientName, SecretFile string
	// TushareURL is the provider's URL.
	TushareURL string
	// UniverseDays and TargetsDays are how many calendar days back each pool
	// reaches.
	UniverseDays, TargetsDays int
	// RateLimit is the number of calls per minute and API until the provider states one; 0
	// means no limit.
	RateLimit int
	// AcceptSource accepts the configured provider host for files that were filled from
	// another one.
	AcceptSource bool
	// LogLevel is debug, info, warn or error; LogFormat json or text.
	LogLevel, LogFormat string
	// FetchDepth is how many partitions may be in progress at once. 0 means the default.
	FetchDepth int
	// CallTimeout is the timeout of one call to the provider.
	CallTimeout time.Duration
	// StopTimeout is how long work in progress may continue after a signal.
	StopTimeout time.Duration
	// DuckDBMemory is DuckDB's memory_limit for the universe pool, for example "160MB";
	// DuckDBThreads its threads; CommitGroup how many partitions one transaction has. Empty
	// and 0 mean the pool's defaults.
	DuckDBMemory  string
	DuckDBThreads int
	CommitGroup   int
	// Parquet is the compression of the published Parquet files: "snappy" or "zstd".
	// Empty means snappy.
	Parquet string
}

// Parse reads args (without the program's name) and the environment. It returns
// flag.ErrHelp after it has written the help or the version to out, and INVALID_ARGUMENT
// naming the flag if one is invalid.
func Parse(args []string, env func(string) string, out io.Writer) (Config, error) {
	var c Config
	fs := flag.NewFlagSet("ingest-worker", flag.ContinueOnError)
	var universe, targets string
	fs.StringVar(&c.DataDir, "data-dir", "data", "`directory` of both pools' files; it is created if it does not exist")
	fs.StringVar(&c.GRPCAddr, "grpc-addr", "127.0.0.1:7701", "`address` to listen on; port 0 picks a free port; an address beyond loopback needs --tls-cert, and --client-ca or --secret-file")
	fs.StringVar(&c.TLSCert, "tls-cert", "", "PEM `file` with the certificate of the listener; it is reloaded when it changes")
	fs.StringVar(&c.TLSKey, "tls-key", "", "PEM `file` with the private key of --tls-cert")
	fs.StringVar(&c.ClientCA, "client-ca", "", "PEM `file` with the CA that signed the orchestrator's client certificate")
	fs.StringVar(&c.ClientName, "client-name", "afterbell-orchestrator", "DNS `name` that the client certificate must contain")
	fs.StringVar(&c.SecretFile, "secret-file", "", "`file` with the secret that the orchestrator shares; it replaces or supplements --client-ca")
	fs.StringVar(&c.MetricsAddr, "metrics-addr", "", "loopback `address` of /metrics for Prometheus, as in 127.0.0.1:7702; port 0 picks a free port; empty means no metrics")
	fs.StringVar(&c.TushareURL, "tushare-url", "https://api.tushare.pro", "`URL` of the provider")
	fs.StringVar(&universe, "universe-window", "1095d", "how many calendar `days` back universe is filled, as in 90d")
	fs.StringVar(&targets, "targets-window", "1095d", "how many calendar `days` back targets is filled, as in 90d")
	fs.IntVar(&c.RateLimit, "rate-limit", 200, "calls per minute and API until the provider states a limit; 0 means no limit")
	fs.BoolVar(&c.AcceptSource, "accept-source", false, "accept pool files that were filled from a different provider host")
	fs.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&c.LogFormat, "log-format", "json", "json or text")
	fs.IntVar(&c.FetchDepth, "fetch-depth", 24, "partitions that are processed at the same time")
	fs.DurationVar(&c.CallTimeout, "call-timeout", 30*time.Second, "timeout of one call to the provider")
	fs.DurationVar(&c.StopTimeout, "stop-timeout", 10*time.Second, "how long work in progress may continue after a signal")
	fs.StringVar(&c.DuckDBMemory, "duckdb-memory", "", "DuckDB's memory limit for writing, as in 160MB (default 80MB); publishing has at least 64MB, or 48MB per thread, which is its default; readers have 64MB")
	fs.IntVar(&c.DuckDBThreads, "duckdb-threads", 1, "DuckDB's threads for writing; waiting threads use CPU time; readers have at least two")
	fs.IntVar(&c.CommitGroup, "commit-group", 20, "maximum number of partitions in one DuckDB transaction")
	fs.StringVar(&c.Parquet, "parquet-compression", "snappy", "compression of the published Parquet files: snappy, which all readers support, or zstd")
	err := program.ParseFlags(fs, args, env, out,
		"ingest-worker fetches data from the provider and stores it in the two pools, as the\norchestrator requests.\n"+
			"The token comes from AFTERBELL_TUSHARE_TOKEN or the file that\nAFTERBELL_TUSHARE_TOKEN_FILE names.")
	if err != nil {
		return c, err
	}
	if c.UniverseDays, err = days("universe-window", universe); err != nil {
		return c, err
	}
	if c.TargetsDays, err = days("targets-window", targets); err != nil {
		return c, err
	}
	return c, c.check()
}

// Limits of sensible values.
const (
	maxRate    = 1_000_000
	maxTimeout = 10 * time.Minute
)

func (c *Config) check() error {
	if c.DataDir == "" {
		return fault.Invalid("data-dir", "must not be empty")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fault.Invalid("data-dir", "%v", err)
	}
	c.DataDir = dir
	if c.ClientCA != "" && c.TLSCert == "" {
		return fault.Invalid("tls-cert", "is required with --client-ca")
	}
	if c.ClientCA != "" && c.ClientName == "" {
		return fault.Invalid("client-name", "must not be empty")
	}
	if err := transport.CheckGuarded("grpc-addr", c.GRPCAddr, c.TLSCert != "" && (c.ClientCA != "" || c.SecretFile != ""),
		"set --tls-cert and --tls-key, and --client-ca or --secret-file (afterbell certs creates the files), or use 127.0.0.1"); err != nil {
		return err
	}
	if c.MetricsAddr != "" {
		if err := transport.CheckLoopback("metrics-addr", c.MetricsAddr); err != nil {
			return err
		}
	}
	if c.RateLimit < 0 || c.RateLimit > maxRate {
		return fault.Invalid("rate-limit", "%d is not from 0 to %d; 0 means no limit until the provider states one", c.RateLimit, maxRate)
	}
	if c.FetchDepth < 1 || c.FetchDepth > 256 {
		return fault.Invalid("fetch-depth", "%d is not from 1 to 256", c.FetchDepth)
	}
	if c.DuckDBThreads < 1 || c.DuckDBThreads > 256 {
		return fault.Invalid("duckdb-threads", "%d is not from 1 to 256", c.DuckDBThreads)
	}
	if c.CommitGroup < 1 || c.CommitGroup > 1000 {
		return fault.Invalid("commit-group", "%d is not from 1 to 1000", c.CommitGroup)
	}
	if c.Parquet != "" && c.Parquet != "snappy" && c.Parquet != "zstd" {
		return fault.Invalid("parquet-compression", "%.30q is not allowed: allowed are snappy, zstd", c.Parquet)
	}
	if c.CallTimeout <= 0 || c.CallTimeout > maxTimeout {
		return fault.Invalid("call-timeout", "%v is not longer than 0 and at most %v, as in 30s", c.CallTimeout, maxTimeout)
	}
	if c.StopTimeout <= 0 || c.StopTimeout > maxTimeout {
		return fault.Invalid("stop-timeout", "%v is not longer than 0 and at most %v, as in 10s", c.StopTimeout, maxTimeout)
	}
	if c.DuckDBMemory != "" {
		switch n := memoryBytes(c.DuckDBMemory); {
		case n == 0:
			return fault.Invalid("duckdb-memory", "%.30q is not a size as in 160MB or 1GB", c.DuckDBMemory)
		case n < 32e6: // with 24MB DuckDB cannot write a checkpoint of a month of the market
			return fault.Invalid("duckdb-memory", "%s is less than 32MB", c.DuckDBMemory)
		}
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
func (c Config) Logger(w io.Writer) *slog.Logger {
	l, err := logging.New(w, c.LogLevel, c.LogFormat)
	if err != nil {
		return slog.New(slog.NewJSONHandler(w, nil)) // validated before
	}
	return l
}

// days parses "1095d".
func days(field, s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(s, "d"))
	if err != nil || !strings.HasSuffix(s, "d") || n < 1 || n > 40_000 {
		return 0, fault.Invalid(field, "%.30q is not a number of days from 1d to 40000d, as in 90d", s)
	}
	return n, nil
}

// PublishMemory is DuckDB's memory_limit for publishing universe: DuckDBMemory, unless it is
// below least, with which a month of the market may not fit. Empty means the default.
func (c Config) PublishMemory(least int64) string {
	if memoryBytes(c.DuckDBMemory) < least {
		return ""
	}
	return c.DuckDBMemory
}

var memoryUnits = map[string]int64{
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// memoryBytes parses "160MB". 0 if it is no size.
func memoryBytes(s string) int64 {
	number := strings.TrimRight(s, "KMGTiB")
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return n * memoryUnits[s[len(number):]] // 0 for any other unit
}
