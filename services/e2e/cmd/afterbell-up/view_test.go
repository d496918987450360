package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

func planned(n int) (all []*orchestratorv1.Partition) {
	for i := range n {
		all = append(all, &orchestratorv1.Partition{
			PartitionId: fmt.Sprintf("daily/2026-11-%02d", i+1), ModuleId: "stock.market.daily", DatasetId: "daily",
			State: orchestratorv1.Partition_STATE_PENDING,
		})
	}
	return all
}

func TestBarsShowWhatIsPlanned(t *testing.T) {
	var out bytes.Buffer
	v := newView(&out, []*orchestratorv1.Run{{RunId: "r", Pool: marketv1.Pool_POOL_UNIVERSE, State: orchestratorv1.Run_STATE_RUNNING}})
	done := &orchestratorv1.Partition{PartitionId: "daily/2026-11-01", ModuleId: "stock.market.daily", DatasetId: "daily",
		State: orchestratorv1.Partition_STATE_COMPLETED, RowCount: 5400}
	v.apply(&orchestratorv1.RunEvent{RunId: "r", Event: &orchestratorv1.RunEvent_PartitionChanged{
		PartitionChanged: &orchestratorv1.PartitionChanged{Partition: done}}})
	v.know("r", planned(4)) // the plan is older than the event
	v.draw(false)
	if got := out.String(); !strings.Contains(got, "1/4") || !strings.Contains(got, "5400 rows") {
		t.Errorf("drawn: %s", got)
	}
}

func TestDrawingOnATerminalNeverWraps(t *testing.T) {
	var out bytes.Buffer
	v := newView(&out, []*orchestratorv1.Run{{RunId: "r", Pool: marketv1.Pool_POOL_UNIVERSE, State: orchestratorv1.Run_STATE_RUNNING}})
	v.terminal = true
	v.know("r", planned(2))
	v.draw(false)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[?7l") || !strings.HasSuffix(got, "\x1b[?7h") {
		t.Errorf("a line may wrap: %q", got)
	}
	out.Reset()
	v.draw(true)
	if got := out.String(); strings.Contains(got, "?7l") || !strings.HasPrefix(got, "\x1b[2A") {
		t.Errorf("the last drawing is cut or lands elsewhere: %q", got)
	}
}
