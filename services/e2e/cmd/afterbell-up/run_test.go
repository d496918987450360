package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// programs is the directory of the built programs.
func programs(t *testing.T) string {
	if bin := os.Getenv("AFTERBELL_BIN"); bin != "" {
		return bin
	}
	const services = "github.com/afterbell/afterbell/services/"
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", services+"orchestrator/cmd/orchestrator",
		services+"ingestworker/cmd/ingest-worker", services+"tusharesim/cmd/tushare-sim")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the programs: %v\n%s", err, out)
	}
	return dir
}

// watched reports when a text was written.
type watched struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	text string
	seen chan struct{}
	once sync.Once
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.buf.Write(p)
	if strings.Contains(w.buf.String(), w.text) {
		w.once.Do(func() { close(w.seen) })
	}
	return n, err
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func TestFromNothingToServedAndAgain(t *testing.T) {
	bin, data := programs(t), t.TempDir()
	for name, value := range map[string]string{
		"AFTERBELL_TUSHARE_TOKEN": "", "AFTERBELL_TUSHARE_TOKEN_FILE": "", "AFTERBELL_TUSHARE_URL": "",
		"AFTERBELL_SIM_STOCKS": "400", "AFTERBELL_SIM_FUNDS": "190",
		"AFTERBELL_LOG_FORMAT": "text", // whatever the user's environment sets
	} {
		t.Setenv(name, value)
	}
	serve := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		out := &watched{text: "order by trade_date desc limit 12", seen: make(chan struct{})}
		ended := make(chan error, 1)
		go func() {
			ended <- run(ctx, []string{"--bin", bin, "--data", data, "--window", "12d", "--free-ports"}, out)
		}()
		select {
		case <-out.seen:
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("ended with %v", err)
			}
		case err := <-ended:
			t.Fatalf("ended before it served: %v\n%s", err, out)
		}
		return out.String()
	}
	first := serve()
	for _, want := range []string{
		"prices\nare invented", "targets   check  stock.moneyflow passed in ", "targets   succeeded ", "universe  succeeded ",
		"  stock.market.daily daily_basic ", "\n  targets   success   1\n  universe  success   1\n",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not reported:\n%s", want, first)
		}
	}
	if second := serve(); !strings.Contains(second, "universe  unchanged  nothing to do") {
		t.Errorf("a second start does not say that there is nothing to do:\n%s", second)
	}
}
