package api

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Every word of the core has a value in the contract, and every value a word.
func TestWordsAndEnumsAgree(t *testing.T) {
	for _, c := range []struct {
		enum   protoreflect.Enum
		prefix string
		words  []string
	}{
		{orchestratorv1.Run_State(0), "STATE_", words(run.States())},
		{orchestratorv1.Run_Outcome(0), "OUTCOME_", words(run.Outcomes())},
		{orchestratorv1.Run_Mode(0), "MODE_", words([]run.Mode{run.Daily, run.Bootstrap, run.Manual, run.OnDemand})},
		{orchestratorv1.Run_Source(0), "SOURCE_", words([]run.Source{run.SourceManual, run.SourceSchedule, run.SourceStartup, run.SourceAuto})},
		{orchestratorv1.Run_BlockedStage(0), "BLOCKED_STAGE_", words([]run.Stage{run.StageToken, run.StagePreflight, run.StageReadiness, run.StageAnalysisInit})},
		{orchestratorv1.Partition_State(0), "STATE_", words([]run.PartitionState{run.PartitionPending, run.PartitionRunning, run.PartitionWaiting,
			run.PartitionCompleted, run.PartitionFailed, run.PartitionCancelled})},
		{orchestratorv1.PoolVerdict_Decision(0), "DECISION_", words([]readiness.Decision{readiness.Ready, readiness.Degraded, readiness.Retry, readiness.Blocked})},
		{orchestratorv1.Preflight_State(0), "STATE_", words([]readiness.PreflightState{readiness.PreflightRunning, readiness.PreflightCompleted, readiness.PreflightCancelled})},
		{orchestratorv1.Probe_Status(0), "STATUS_", words([]readiness.ProbeStatus{readiness.Untested, readiness.Pass, readiness.Fail, readiness.Unsupported})},
		{orchestratorv1.PreflightPolicy(0), "PREFLIGHT_POLICY_", words([]readiness.PreflightPolicy{readiness.StaleOnly, readiness.Always, readiness.ReadinessOnly})},
		{orchestratorv1.ReadinessPolicy(0), "READINESS_POLICY_", words([]readiness.Policy{readiness.Strict, readiness.Lenient})},
		{orchestratorv1.Slot_State(0), "STATE_", words(slot.States())},
		{orchestratorv1.CatchUp(0), "CATCH_UP_", words([]slot.CatchUp{slot.CatchUpLast, slot.CatchUpAll, slot.CatchUpNone})},
	} {
		d := c.enum.Descriptor()
		if d.Values().Len() != len(c.words)+1 {
			t.Errorf("%s has %d values for %d words", d.FullName(), d.Values().Len()-1, len(c.words))
		}
		values := map[string]int32{}
		for i := range d.Values().Len() {
			values[string(d.Values().Get(i).Name())] = int32(d.Values().Get(i).Number())
		}
		for _, w := range c.words {
			n := enum[int32](values, c.prefix, w)
			v := number{d, protoreflect.EnumNumber(n)}
			if back, ok := word(v, c.prefix); n == 0 || !ok || back != w {
				t.Errorf("%s: %q is %d and comes back as %q", d.FullName(), w, n, back)
			}
		}
		if enum[int32](values, c.prefix, "") != 0 || enum[int32](values, c.prefix, "no_such") != 0 {
			t.Errorf("%s: what is no word must be unspecified", d.FullName())
		}
		if _, ok := word(number{d, 99}, c.prefix); ok {
			t.Errorf("%s: 99 has a word", d.FullName())
		}
	}
}

type number struct {
	d protoreflect.EnumDescriptor
	n protoreflect.EnumNumber
}

func (n number) Descriptor() protoreflect.EnumDescriptor { return n.d }
func (n number) Type() protoreflect.EnumType             { return nil }
func (n number) Number() protoreflect.EnumNumber         { return n.n }

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
