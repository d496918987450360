package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

func planned(n int) (all []*orchestratorv1.Partition) {
	for i := range n {
		day := fmt.Sprintf("2026-11-%02d", i+1)
		all = append(all, &orchestratorv1.Partition{
			PartitionId: "daily_basic/" + day, ModuleId: "stock.market.daily", DatasetId: "daily_basic", StartDate: day,
			State: orchestratorv1.Partition_STATE_RUNNING, RowCount: 123456,
		})
	}
	return all
}

func started(out *bytes.Buffer, terminal bool) *view {
	v := newView(newScreen(out), []*orchestratorv1.Run{{RunId: "r", Pool: marketv1.Pool_POOL_UNIVERSE, State: orchestratorv1.Run_STATE_RUNNING}})
	v.screen.terminal = terminal
	return v
}

func TestBarsShowWhatIsPlanned(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var out bytes.Buffer
		v := started(&out, terminal)
		done := planned(1)[0]
		done.State, done.RowCount = orchestratorv1.Partition_STATE_COMPLETED, 5400
		v.apply(&orchestratorv1.RunEvent{RunId: "r", Event: &orchestratorv1.RunEvent_PartitionChanged{
			PartitionChanged: &orchestratorv1.PartitionChanged{Partition: done}}})
		v.know("r", planned(2)) // the plan arrives after the event
		v.draw(false)
		for _, want := range []string{"stock.market.daily", "1/2", "128856 rows", "2026-11-02"} {
			if got := out.String(); !strings.Contains(got, want) {
				t.Errorf("%q is not drawn: %s", want, got)
			}
		}
		if strings.Contains(out.String(), "\x1b") != terminal || strings.Contains(out.String(), "█") != terminal {
			t.Errorf("terminal %v: %q", terminal, out.String())
		}
	}
}

func TestNothingIsWiderThanATerminal(t *testing.T) {
	var out bytes.Buffer
	v := started(&out, false)
	v.know("r", planned(20))
	v.draw(true)
	issue := func(reason faultv1.Reason, message string) *faultv1.Issue {
		return &faultv1.Issue{Reason: reason, Message: message, Remedy: "No action is needed: the call is retried automatically. If the error persists, check the network and --tushare-url."}
	}
	long := "Tushare could not be read for daily: the connection failed: dial tcp: lookup api.tushare.pro: no such host."
	v.apply(&orchestratorv1.RunEvent{RunId: "r", Event: &orchestratorv1.RunEvent_Finished{Finished: &orchestratorv1.Run{
		Outcome: orchestratorv1.Run_OUTCOME_PARTIAL, PartitionCount: 2924, CompletedPartitionCount: 2900, NewCount: 12345678, AsOfTradeDate: "2026-11-26",
		Issues: []*faultv1.Issue{
			issue(faultv1.Reason_REASON_PROVIDER_UNAVAILABLE, long), issue(faultv1.Reason_REASON_PROVIDER_UNAVAILABLE, long),
			issue(faultv1.Reason_REASON_INCOMPLETE, "x"),
		},
	}}})
	v.draw(true)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
			t.Errorf("%d wide: %s", n, line)
		}
	}
	if got := out.String(); strings.Count(got, "could not be read") != 1 || !strings.Contains(got, "(and 1 more)") || !strings.Contains(got, "INCOMPLETE: x") {
		t.Errorf("an issue is not printed exactly once:\n%s", got)
	}
}

func TestWrapKeepsACommandWhole(t *testing.T) {
	command := "curl -N -X POST localhost:7780/v1/preflights:run -d '{}' # and on and on and on and on"
	got := wrap("Run a preflight: "+command+" ; or wait.", "    ")
	if len(got) != 3 || got[0] != "    Run a preflight:" || got[1] != "    "+command || got[2] != "    or wait." {
		t.Errorf("%q", got)
	}
	for _, line := range wrap(strings.Repeat("a rejected token: 您的token不对，请确认。 ", 5), "    ") {
		if columns(line) > width {
			t.Errorf("%d wide: %s", columns(line), line)
		}
	}
	if got := wrap("", ""); len(got) != 0 {
		t.Errorf("nothing gave %q", got)
	}
}

func TestDrawingOnATerminalNeverWrapsAndDrawsOver(t *testing.T) {
	var out bytes.Buffer
	v := started(&out, true)
	v.know("r", planned(2))
	v.draw(false)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[?7l") || !strings.HasSuffix(got, "\x1b[?7h") {
		t.Errorf("a line may wrap: %q", got)
	}
	out.Reset()
	v.draw(false)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[2A\x1b[J") {
		t.Errorf("the next drawing lands elsewhere: %q", got)
	}
	fmt.Fprintln(v.screen, "something happened")
	out.Reset()
	v.draw(false)
	if got := out.String(); strings.Contains(got, "A\x1b[J") {
		t.Errorf("what was written is drawn over: %q", got)
	}
	out.Reset()
	v.draw(true)
	if got := out.String(); strings.Contains(got, "?7l") || !strings.HasPrefix(got, "\x1b[2A\x1b[J") {
		t.Errorf("the last drawing is cut or lands elsewhere: %q", got)
	}
}
