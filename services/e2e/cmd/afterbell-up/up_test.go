package main

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

func TestTheEnvironmentDecidesWhatIsStarted(t *testing.T) {
	for name, c := range map[string]struct {
		env         map[string]string
		url, data   string
		window, fix string
	}{
		"nothing set": {nil, "", "d/simulated", "90d", "90d"},
		"token":       {map[string]string{"AFTERBELL_TUSHARE_TOKEN": "s3cret"}, provider, "d/tushare", "90d", "90d"},
		"token file":  {map[string]string{"AFTERBELL_TUSHARE_TOKEN_FILE": "/t"}, provider, "d/tushare", "90d", "90d"},
		"other provider": {map[string]string{"AFTERBELL_TUSHARE_TOKEN": "s3cret", "AFTERBELL_TUSHARE_URL": "http://mirror.example:8080"},
			"http://mirror.example:8080", "d/mirror.example", "90d", "90d"},
		"window": {map[string]string{"AFTERBELL_UNIVERSE_WINDOW": "400d", "AFTERBELL_TARGETS_WINDOW": "40d"}, "", "d/simulated", "400d", "40d"},
	} {
		var out bytes.Buffer
		got, err := configure(options{data: "d"}, func(k string) string { return c.env[k] }, &out)
		if err != nil {
			t.Fatal(name, err)
		}
		want := []string{"--universe-window", c.window, "--targets-window", c.fix}
		if got.ProviderURL != c.url || got.Data != c.data || !slices.Equal(got.WorkerFlags[:4], want) {
			t.Errorf("%s: %+v", name, got)
		}
		if strings.Contains(out.String(), "s3cret") {
			t.Errorf("%s: the token is reported: %s", name, out.String())
		}
	}
	if _, err := configure(options{}, func(string) string { return "nonsense" }, &bytes.Buffer{}); err == nil {
		t.Error("nonsense passes for a URL")
	}
}

func TestTakenPortsAreNamedBeforeAnythingStarts(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	addr := lis.Addr().String()
	err = free(stack.Config{HTTPAddr: addr, GRPCAddr: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), addr+" (REST)") || !strings.Contains(err.Error(), "RUN_FLAGS=--free-ports") || strings.Contains(err.Error(), "gRPC") {
		t.Errorf("got %v", err)
	}
	if err := free(stack.Config{ProviderURL: "http://x", SimAddr: addr}); err != nil {
		t.Errorf("a simulator that is not started wants its port: %v", err)
	}
}
