package slot_test

import (
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// The command of a slot that a run covers names that run.
func TestCoveredByNamesItsRun(t *testing.T) {
	i := slot.CoveredBy("2026-03-02.universe", "R1", "The slot is covered by a run.")
	if i.Reason != fault.SlotCovered || i.Meta["run_id"] != "R1" || i.Command() != "curl localhost:7780/v1/runs/R1" {
		t.Errorf("%+v", i)
	}
}
