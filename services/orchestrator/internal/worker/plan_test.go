package worker

import (
	"slices"
	"testing"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
)

// TestPlanSharesItsLists reads a plan whose partitions refer to lists.
func TestPlanSharesItsLists(t *testing.T) {
	resp := &ingestv1.PlanPartitionsResponse{
		SymbolLists: []*ingestv1.SymbolList{{Symbols: []string{"000001.SZ", "600519.SH"}}},
		Partitions: []*ingestv1.PartitionSpec{
			{PartitionId: "a", SymbolList: 1}, {PartitionId: "b", SymbolList: 1}, {PartitionId: "c", Symbols: []string{"510300.SH"}}, {PartitionId: "d"},
		},
	}
	plan, err := planOf(resp, false)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range [][]string{{"000001.SZ", "600519.SH"}, {"000001.SZ", "600519.SH"}, {"510300.SH"}, nil} {
		if got := plan.Partitions[n].Symbols; !slices.Equal(got, want) {
			t.Errorf("partition %d asks for %v, want %v", n, got, want)
		}
	}
	if &plan.Partitions[0].Symbols[0] != &plan.Partitions[1].Symbols[0] {
		t.Error("the list is held twice")
	}
	for _, bad := range []int32{2, -1} {
		resp.Partitions[0].SymbolList = bad
		if _, err := planOf(resp, false); err == nil {
			t.Errorf("a reference to list %d is taken", bad)
		}
	}
}
