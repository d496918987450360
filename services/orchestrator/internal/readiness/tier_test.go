package readiness

import (
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

func TestTierOf(t *testing.T) {
	module := func(id string, points int) catalog.Module {
		return catalog.Module{ID: id, SyncCapable: true, Datasets: []catalog.Dataset{{ID: id, Points: points}, {ID: id + "2"}}}
	}
	denied := []fault.Issue{fault.NewIssue(fault.PermissionDenied, "No.")}
	f := Facts{Catalog: &catalog.Catalog{Modules: []catalog.Module{module("a", 120), module("b", 2000), module("c", 5000), module("d", 10000), module("e", 0), module("f", 8000)}},
		Probes: map[string]Probe{
			"a": {Module: "a", Status: Pass, Fingerprint: "x"}, "b": {Module: "b", Status: Pass, Fingerprint: "x"},
			"c": {Module: "c", Status: Fail, Fingerprint: "x", Issues: denied}, "d": {Module: "d", Status: Fail, Fingerprint: "x", Issues: denied},
			"e": {Module: "e", Status: Pass, Fingerprint: "x"}, "f": {Module: "f", Status: Pass, Fingerprint: "y"},
		}}
	for fingerprint, want := range map[string]Tier{"x": {Min: 2000, Below: 5000}, "y": {Min: 8000}, "z": {}, "": {}} {
		if got := TierOf(f, fingerprint); got != want {
			t.Errorf("%q: %+v, not %+v", fingerprint, got, want)
		}
	}
	f.Probes["c"] = Probe{Module: "c", Status: Fail, Fingerprint: "x"} // the provider was down
	if got := TierOf(f, "x"); got.Below != 10000 {
		t.Errorf("a failure for another reason counts: %+v", got)
	}
}
