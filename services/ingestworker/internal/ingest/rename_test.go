package ingest_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

func issuesOf(out []outcome, reason fault.Reason) (found []fault.Issue) {
	for _, o := range out {
		for _, i := range o.result.Issues {
			if i.Reason == reason {
				found = append(found, i)
			}
		}
	}
	return found
}

// When the provider gives a company a new code, that is reported once, its rows have only the new
// code, and neither a refetch nor a verification finds a difference.
func TestRekeyedCompaniesAreFollowed(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(15)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
	r.settle(w, 6)
	instruments, err := r.sinks[market.Universe].Instruments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	var old string
	for _, i := range instruments {
		if market.Exchange(i.Symbol) == "BJ" && i.Status == "L" && i.Listed < start && len(codes) < 3 {
			old = i.Symbol
			codes[old] = "9207" + string(rune('0'+len(codes))) + "5.BJ"
		}
	}
	if len(codes) != 3 {
		t.Fatalf("%d companies make no test", len(codes))
	}
	targets := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end, Symbols: []string{"600000.SH", old}}
	r.settle(targets, 6)
	if err := r.sim.Rekey(codes); err != nil {
		t.Fatal(err)
	}
	// The next day's lists. What is held is settled, so nothing else is asked for.
	lists := func(pool market.Pool) []outcome {
		t.Helper()
		x := w
		x.Pool, x.Refetch, x.Symbols = pool, true, targets.Symbols
		refs, err := r.ing.References(context.Background(), x)
		if err != nil {
			t.Fatal(err)
		}
		out := r.all(refs.Partitions, 1)
		for _, o := range out {
			if o.err != nil {
				t.Fatalf("%s: %v", o.part.ID, o.err)
			}
		}
		return out
	}
	for _, pool := range []market.Pool{market.Universe, market.Targets} {
		told := issuesOf(lists(pool), fault.SymbolRenamed)
		if want := map[market.Pool]int{market.Universe: 3, market.Targets: 3}[pool]; len(told) != want {
			t.Fatalf("%s: reported %v, want %d companies", pool, told, want)
		}
		for _, i := range told {
			faulttest.Produces(t, i, fault.SymbolRenamed)
			if codes[i.Meta["old_symbol"]] != i.Meta["new_symbol"] || i.Severity != fault.Warning || pool == market.Universe && i.Meta["count"] < "1" {
				t.Errorf("%s: %+v", pool, i)
			}
		}
		if again := lists(pool); len(issuesOf(again, fault.SymbolRenamed))+len(issuesOf(again, fault.UnknownSymbols)) != 0 {
			t.Errorf("%s: reported again", pool)
		}
	}
	r.sameAsProvider(start, end, everything)
	var parts []coverage.Partition
	x := w
	x.Refetch = true
	plan, err := r.ing.Data(context.Background(), x)
	if err != nil {
		t.Fatal(err)
	}
	parts = append(parts, plan.Partitions...)
	verify := func() {
		t.Helper()
		checks, err := r.ing.Verify(context.Background(), market.Universe, parts)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range checks {
			if c.Altered || c.Rows != c.Claimed || c.Duplicates != 0 {
				t.Errorf("%+v", c)
			}
		}
	}
	verify()
	for _, o := range r.all(parts, 4) {
		if h := o.result.Held; o.err != nil || h.New+h.Changed+h.Gone != 0 || h.Unknown != 0 || h.Verdict != coverage.Complete {
			t.Errorf("a refetch of %s: %d new, %d changed, %d gone, %s, %v", o.part.ID, h.New, h.Changed, h.Gone, h.Verdict, o.err)
		}
	}
	verify()
	r.sameAsProvider(start, end, everything)

	// The target list still has the old code: the plan names the new one.
	data, err := r.ing.Data(context.Background(), targets)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(data.Issues, func(i fault.Issue) bool { return i.Reason == fault.UnknownSymbols }); i < 0 ||
		!strings.Contains(data.Issues[i].Message, old+" is now "+codes[old]) {
		t.Errorf("the plan of targets has %+v", data.Issues)
	}
	targets.Symbols[1] = codes[old]
	r.settle(targets, 6)
	if c, ok := r.sinks[market.Targets].Held(coverage.Key{Dataset: catalog.Daily, Date: end, Symbol: codes[old]}); !ok || c.Rows != 1 || c.New != 0 {
		t.Errorf("the new code holds %+v, %v", c, ok)
	}
	if c, ok := r.sinks[market.Targets].Held(coverage.Key{Dataset: catalog.Daily, Date: end, Symbol: old}); ok {
		t.Errorf("the old code holds %+v", c)
	}
	r.targetsSameAsProvider(targets.Symbols, start, end)
}
