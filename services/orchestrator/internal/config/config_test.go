package config

import (
	"bytes"
	"errors"
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestDefaultsAreThoseThatPeopleRelyOn(t *testing.T) {
	c, err := Parse(nil, env(), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("data")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{DataDir: dir, GRPCAddr: "127.0.0.1:7700", HTTPAddr: "127.0.0.1:7780", WorkerAddr: "127.0.0.1:7701",
		StopTimeout: 10 * time.Second, Schedule: true, LogLevel: "info", LogFormat: "json",
		Web: Web{MaxRequest: 1 << 20, MaxStreams: 1024, StreamsPerCaller: 64, MaxCalls: 512, MaxRate: 500, BodyTimeout: 20 * time.Second, StallTimeout: 30 * time.Second, CallTimeout: 10 * time.Minute}}
	if diff := cmp.Diff(want, c, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestWebFlags(t *testing.T) {
	c, err := Parse([]string{"--require-keys", "--public-hosts", "data.example, data.example:8443", "--cors-origins=https://desk.example,http://localhost:5173", "--max-streams-per-caller=0"},
		env(), &bytes.Buffer{})
	if err != nil || len(c.Web.PublicHosts) != 2 || c.Web.PublicHosts[1] != "data.example:8443" || len(c.Web.Origins) != 2 || c.Web.StreamsPerCaller != 0 {
		t.Errorf("%+v, %v", c.Web, err)
	}
}

func TestFlagWinsOverVariable(t *testing.T) {
	e := env("AFTERBELL_GRPC_ADDR", "127.0.0.1:1", "AFTERBELL_HTTP_ADDR", "127.0.0.1:2", "AFTERBELL_STOP_TIMEOUT", "nonsense")
	c, err := Parse([]string{"--http-addr=127.0.0.1:0", "--stop-timeout", "3s"}, e, &bytes.Buffer{})
	if err != nil || c.GRPCAddr != "127.0.0.1:1" || c.HTTPAddr != "127.0.0.1:0" || c.StopTimeout != 3*time.Second {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestWrongValuesAreNamedInOneLine(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		env   func(string) string
		field string
	}{
		"unknown flag":     {[]string{"--port=1"}, env(), "flags"},
		"word":             {[]string{"serve"}, env(), "flags"},
		"no value":         {[]string{"--data-dir"}, env(), "data-dir"},
		"empty directory":  {[]string{"--data-dir="}, env(), "data-dir"},
		"not loopback":     {[]string{"--grpc-addr=0.0.0.0:7700"}, env(), "grpc-addr"},
		"every interface":  {[]string{"--http-addr=:7780"}, env(), "http-addr"},
		"worker, CA only":  {[]string{"--worker-addr=10.0.0.1:7701", "--worker-ca=ca"}, env(), "worker-addr"},
		"worker, no CA":    {[]string{"--worker-addr=10.0.0.1:7701", "--worker-secret-file=s"}, env(), "worker-addr"},
		"client, no CA":    {[]string{"--worker-cert=c", "--worker-key=k"}, env(), "worker-ca"},
		"worker elsewhere": {[]string{"--worker-addr=10.0.0.1:7701"}, env(), "worker-addr"},
		"no port":          {[]string{"--http-addr=localhost"}, env(), "http-addr"},
		"level":            {[]string{"--log-level=loud"}, env(), "log-level"},
		"format":           {[]string{"--log-format=xml"}, env(), "log-format"},
		"timeout":          {[]string{"--stop-timeout=-1s"}, env(), "stop-timeout"},
		"timeout text":     {[]string{"--stop-timeout=soon"}, env(), "stop-timeout"},
		"schedule":         {[]string{"--schedule=sometimes"}, env(), "schedule"},
		"outer host":       {[]string{"--require-keys", "--public-hosts=a.example,https://b.example"}, env(), "public-hosts"},
		"host, no keys":    {[]string{"--public-hosts=a.example"}, env(), "public-hosts"},
		"origin":           {[]string{"--require-keys", "--cors-origins=https://a.example/"}, env(), "cors-origins"},
		"every origin":     {[]string{"--require-keys", "--cors-origins=*"}, env(), "cors-origins"},
		"origin, no keys":  {[]string{"--cors-origins=https://a.example"}, env(), "cors-origins"},
		"request size":     {[]string{"--max-request=1"}, env(), "max-request"},
		"streams":          {[]string{"--max-streams=-1"}, env(), "max-streams"},
		"body timeout":     {[]string{"--body-timeout=0s"}, env(), "body-timeout"},
		"call timeout":     {[]string{"--call-timeout=25h"}, env(), "call-timeout"},
		"variable":         {nil, env("AFTERBELL_STOP_TIMEOUT", "soon"), "stop-timeout"},
		"variable address": {nil, env("AFTERBELL_HTTP_ADDR", "0.0.0.0:1"), "http-addr"},
	} {
		_, err := Parse(c.args, c.env, &bytes.Buffer{})
		faulttest.Produces(t, err, fault.InvalidArgument)
		f, ok := fault.As(err)
		if !ok || f.Meta["field"] != c.field || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want field %s in one line", name, err, c.field)
		}
	}
}

// Other machines may reach what is guarded.
func TestGuardedAddresses(t *testing.T) {
	for _, args := range [][]string{
		{"--grpc-addr=0.0.0.0:7700", "--http-addr=:7780", "--tls-cert=c", "--tls-key=k"},
		{"--worker-addr=10.0.0.1:7701", "--worker-ca=ca", "--worker-cert=c", "--worker-key=k"},
		{"--worker-addr=desk2:7701", "--worker-ca=ca", "--worker-secret-file=s"},
	} {
		if _, err := Parse(args, env(), &bytes.Buffer{}); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestHelpListsEveryFlagAndVariable(t *testing.T) {
	var out bytes.Buffer
	if _, err := Parse([]string{"--help"}, env(), &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("err = %v", err)
	}
	for _, want := range []string{"--data-dir", "--grpc-addr", "--http-addr", "--worker-addr", "AFTERBELL_WORKER_ADDR", "127.0.0.1:7780"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %s", want)
		}
	}
}
