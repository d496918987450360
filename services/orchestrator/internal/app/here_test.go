package app

import (
	"strings"
	"testing"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// TestCommandsReachThisProcess: commands in responses have the address of this process's REST port.
// The ledger stores the default address, because the address may change.
func TestCommandsReachThisProcess(t *testing.T) {
	r := start(t)
	told := func(what, text string) {
		t.Helper()
		if strings.Contains(text, "localhost:7780") || !strings.Contains(text, r.HTTPAddr()+"/v1/") {
			t.Errorf("%s: %s", what, text)
		}
	}
	message := func(m proto.Message, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	modules := orchestratorv1.NewModuleServiceClient(r.conn)
	_, verdicts := r.get(t, "POST", "/v1/preflights:run", "{}")
	if !strings.Contains(verdicts, "completed") {
		t.Fatal(verdicts)
	}
	for _, domain := range []string{"stock", "etf"} {
		if _, err := modules.UpdateDomain(t.Context(), &orchestratorv1.UpdateDomainRequest{DomainId: domain, Enabled: new(bool)}); err != nil {
			t.Fatal(err)
		}
	}
	told("readiness", message(modules.GetReadiness(t.Context(), &orchestratorv1.GetReadinessRequest{})))
	_, verdicts = r.get(t, "POST", "/v1/preflights:run", "{}")
	told("preflight", verdicts)
	created := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	done, events := r.finish(t, created.GetRunId())
	if done.GetOutcome() != orchestratorv1.Run_OUTCOME_BLOCKED {
		t.Fatal(done)
	}
	told("finished", message(done, nil))
	told("last event", message(events[len(events)-1], nil))
	told("run", message(r.runs().GetRun(t.Context(), &orchestratorv1.GetRunRequest{RunId: created.GetRunId()})))
	told("runs", message(r.runs().ListRuns(t.Context(), &orchestratorv1.ListRunsRequest{})))

	_, err := r.runs().CancelRun(t.Context(), &orchestratorv1.CancelRunRequest{RunId: created.GetRunId()})
	told("error", message(status.Convert(err).Proto(), nil))
	_, body := r.get(t, "POST", "/v1/runs/"+created.GetRunId()+":cancel", "{}")
	told("error over REST", body)

	kept, err := r.ledger.Run(t.Context(), created.GetRunId())
	if err != nil || len(kept.Issues) == 0 || !strings.Contains(kept.Issues[0].Remedy, "localhost:7780") || kept.Issues[0].Reason != fault.NoSyncModuleSelected {
		t.Errorf("kept: %+v, %v", kept.Issues, err)
	}
}
