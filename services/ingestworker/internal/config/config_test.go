package config

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
)

func none(string) string { return "" }

func TestDefaults(t *testing.T) {
	c, err := Parse(nil, none, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if c.GRPCAddr != "127.0.0.1:7701" || c.UniverseDays != 1095 || c.TargetsDays != 1095 || c.RateLimit != 200 ||
		c.TushareURL != "https://api.tushare.pro" || c.AcceptSource {
		t.Errorf("%+v", c)
	}
}

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	env := func(name string) string {
		return map[string]string{
			"AFTERBELL_UNIVERSE_WINDOW": "30d", "AFTERBELL_RATE_LIMIT": "many", "AFTERBELL_TUSHARE_URL": "http://127.0.0.1:7790",
		}[name]
	}
	c, err := Parse([]string{"--universe-window", "90d", "--rate-limit=0"}, env, &bytes.Buffer{})
	if err != nil || c.UniverseDays != 90 || c.RateLimit != 0 || c.TushareURL != "http://127.0.0.1:7790" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Parse(nil, env, &bytes.Buffer{}); !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), "AFTERBELL_RATE_LIMIT") {
		t.Errorf("a bad variable gave %v", err)
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	for _, args := range [][]string{
		{"--grpc-addr", "0.0.0.0:7701", "--tls-cert", "c", "--tls-key", "k"}, {"--grpc-addr", "0.0.0.0:7701", "--secret-file", "s"},
		{"--tls-cert", "", "--client-ca", "ca"}, {"--client-name", "", "--tls-cert", "c", "--tls-key", "k", "--client-ca", "ca"},
		{"--grpc-addr", "0.0.0.0:7701"}, {"--grpc-addr", "7701"}, {"--metrics-addr", "0.0.0.0:7702"}, {"--metrics-addr", "7702"}, {"--universe-window", "90"}, {"--universe-window", "-3d"},
		{"--targets-window", "1y"}, {"--rate-limit", "-1"}, {"--rate-limit", "many"}, {"--rate-limit", "1000001"}, {"--rate-limit"}, {"--log-level", "loud"}, {"--log-format", "xml"},
		{"--data-dir", ""}, {"--duckdb-memory", "lots"}, {"--duckdb-memory", "0MB"}, {"--duckdb-memory", "31MB"}, {"--duckdb-memory", "31999KB"}, {"--duckdb-memory", "1.5GB"}, {"--duckdb-memory", "64"}, {"--duckdb-threads", "x"}, {"--fetch-depth", "0"}, {"--commit-group", "0"},
		{"--call-timeout", "0s"}, {"--call-timeout", "soon"}, {"--stop-timeout", "-1s"}, {"--stop-timeout", "1h"}, {"--accept-source=maybe"},
	} {
		_, err := Parse(args, none, &bytes.Buffer{})
		f, ok := fault.As(err)
		name, _, _ := strings.Cut(strings.TrimPrefix(args[0], "--"), "=")
		if !ok || f.Reason != fault.InvalidArgument || strings.Contains(f.Message, "\n") || f.Meta["field"] != name {
			t.Errorf("%v gave %v", args, err)
		}
	}
	for _, arg := range []string{"--nonsense", "stray"} {
		if _, err := Parse([]string{arg}, none, &bytes.Buffer{}); !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), "--help") {
			t.Errorf("%s gave %v", arg, err)
		}
	}
	_, err := Parse([]string{"--grpc-addr", "0.0.0.0:7701"}, none, &bytes.Buffer{})
	if !strings.Contains(err.Error(), "authentication") {
		t.Errorf("refusal without the reason: %v", err)
	}
}

func TestPublishMemory(t *testing.T) {
	for given, want := range map[string]string{
		"": "", "24MB": "", "63999KB": "", "64MB": "64MB", "62MiB": "62MiB", "61MiB": "", "1GB": "1GB", "1TiB": "1TiB",
	} {
		if got := (Config{DuckDBMemory: given}).PublishMemory(64e6); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if _, err := Parse([]string{"--help"}, none, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "AFTERBELL_TUSHARE_URL") || !strings.Contains(out.String(), "AFTERBELL_TUSHARE_TOKEN_FILE") {
		t.Errorf("help lacks the variables:\n%s", out.String())
	}
}

// Another machine may reach a worker that knows its orchestrator.
func TestGuardedAddress(t *testing.T) {
	for _, guard := range [][]string{{"--client-ca", "ca"}, {"--secret-file", "s"}} {
		args := append([]string{"--grpc-addr", "0.0.0.0:7701", "--tls-cert", "c", "--tls-key", "k"}, guard...)
		if _, err := Parse(args, func(string) string { return "" }, &bytes.Buffer{}); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}
