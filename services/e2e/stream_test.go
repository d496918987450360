package e2e_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// follow runs a command and notes when each line arrives.
type arrival struct {
	text string
	at   time.Time
}

func arrivals(t *testing.T, name string, args ...string) []arrival {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var got []arrival
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		got = append(got, arrival{lines.Text(), time.Now()})
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return got
}

// spaced checks that the module_checked events came one after the other and not
// together. A busy machine may read one of them late, and so the next soon after it;
// events that were held back come within a millisecond.
func spaced(t *testing.T, checked []time.Time) {
	t.Helper()
	if len(checked) != 6 {
		t.Fatalf("%d modules checked, want 6", len(checked))
	}
	for i := 1; i < len(checked); i++ {
		if gap := checked[i].Sub(checked[i-1]); gap < 50*time.Millisecond {
			t.Errorf("events %d and %d are %s apart; a call takes 500 ms, so they were held back", i-1, i, gap)
		}
	}
	if all := checked[5].Sub(checked[0]); all < 2*time.Second {
		t.Errorf("six events came within %s; five calls of 500 ms lie between them", all)
	}
}

func TestPreflightStreams(t *testing.T) {
	t.Parallel()
	sim := small()
	sim.Latency = 500 * time.Millisecond
	e := up(t, sim)
	t.Run("curl", func(t *testing.T) {
		got := arrivals(t, "curl", "-sSN", "-X", "POST", "http://"+e.Config.HTTPAddr+"/v1/preflights:run", "-d", "{}")
		var kinds []string
		var checked []time.Time
		for _, line := range got {
			var message struct {
				Result struct {
					Event map[string]json.RawMessage
				}
			}
			if err := json.Unmarshal([]byte(line.text), &message); err != nil || message.Result.Event == nil {
				t.Fatalf("not one {\"result\":{\"event\":…}} per line: %s", line.text)
			}
			for _, kind := range []string{"started", "moduleStarted", "moduleChecked", "poolDecided", "completed"} {
				if _, ok := message.Result.Event[kind]; ok {
					kinds = append(kinds, kind)
					if kind == "moduleChecked" {
						checked = append(checked, line.at)
					}
				}
			}
		}
		spaced(t, checked)
		if kinds[0] != "started" || kinds[len(kinds)-1] != "completed" || count(kinds, "poolDecided") != 2 || count(kinds, "moduleStarted") != 6 {
			t.Errorf("events %v", kinds)
		}
	})
	t.Run("grpcurl", func(t *testing.T) {
		grpcurl := os.Getenv("AFTERBELL_GRPCURL")
		if grpcurl == "" {
			t.Skip("AFTERBELL_GRPCURL is not set; make test sets it")
		}
		got := arrivals(t, grpcurl, "-plaintext", "-d", "{}", e.Config.GRPCAddr, "afterbell.orchestrator.v1.PreflightService/RunPreflight")
		var checked []time.Time
		var last string
		for _, line := range got {
			for _, kind := range []string{"moduleChecked", "completed", "poolDecided"} {
				if strings.Contains(line.text, `"`+kind+`"`) {
					if last = kind; kind == "moduleChecked" {
						checked = append(checked, line.at)
					}
				}
			}
		}
		spaced(t, checked)
		if last != "completed" {
			t.Errorf("the last event is %s, want completed", last)
		}
	})
	t.Run("sse", func(t *testing.T) {
		got := arrivals(t, "curl", "-sSN", "-X", "POST", "-H", "Accept: text/event-stream", "http://"+e.Config.HTTPAddr+"/v1/preflights:run",
			"-d", `{"maxProbeAge":"3600s"}`)
		data := 0
		for _, line := range got {
			if strings.HasPrefix(line.text, "data: {") {
				data++
			}
		}
		if data < 8 {
			t.Errorf("%d events as server-sent events: %v", data, got)
		}
	})
}

func count(all []string, what string) int {
	return len(slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s != what }))
}
