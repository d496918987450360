package api

import (
	"slices"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/market"
)

// TestPlanNamesEachListOnce encodes dates that ask for the same symbols.
func TestPlanNamesEachListOnce(t *testing.T) {
	lists := [][]string{{"000001.SZ", "600519.SH"}, {"000001.SZ", "600519.SH"}, {"000001.SZ"}, {"000001.SZ", "000002.SZ"}, nil}
	var parts []coverage.Partition
	for n, symbols := range lists {
		d := market.NewDate(2026, 3, 2+n)
		parts = append(parts, coverage.Partition{ID: d.String(), Dataset: catalog.Daily, Start: d, End: d, Symbols: symbols})
	}
	specs, shared := planToProto(parts)
	if len(shared) != 2 {
		t.Errorf("%d lists, want 2", len(shared))
	}
	for n, spec := range specs {
		got := spec.GetSymbols()
		if at := spec.GetSymbolList(); at > 0 {
			if len(got) > 0 {
				t.Errorf("partition %d has symbols and a list", n)
			}
			got = shared[at-1].GetSymbols()
		}
		if !slices.Equal(got, lists[n]) {
			t.Errorf("partition %d asks for %v, want %v", n, got, lists[n])
		}
	}
}
