package pool

import (
	"slices"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

func TestTablesHoldEveryColumn(t *testing.T) {
	tables := Tables()
	if len(tables) != 5 {
		t.Errorf("%d tables, want 5", len(tables))
	}
	for _, d := range catalog.Datasets() {
		i := slices.IndexFunc(tables, func(t Table) bool { return t.Name == d.Table })
		if i < 0 || tables[i].Doc == "" {
			t.Fatalf("%s has no table, or one without a description", d.ID)
		}
		for _, c := range d.Columns {
			at := slices.IndexFunc(tables[i].Columns, func(have catalog.Column) bool { return have.Stored == c.Stored })
			if at < 0 || tables[i].Columns[at].Type != c.Type {
				t.Errorf("%s.%s is not stored, or as another type", d.ID, c.Stored)
			}
		}
	}
}

func TestCompareSeesAKeyThatWasDoubled(t *testing.T) {
	d := catalog.Lookup(catalog.TradeCal)
	day := func(dates ...market.Date) *table.Batch {
		b := table.New(d.Specs(), 0)
		for _, date := range dates {
			b.Len++
			b.Columns[0].AppendText("SSE")
			b.Columns[1].AppendDate(date)
			b.Columns[2].AppendNumber(1)
			b.Columns[3].AppendNull()
		}
		return b
	}
	if diff := Compare(d, day(1, 2), day(2, 1)); !diff.Empty() {
		t.Errorf("the order of rows is no difference: %+v", diff)
	}
	if diff := Compare(d, day(1, 1, 2), day(1, 2)); diff.Empty() {
		t.Error("a key held twice must be written again")
	}
}

func TestFaultsNameTheFileWithoutItsFolder(t *testing.T) {
	f := NewFaults(market.Universe, "/secret/place/analysis.duckdb")
	for _, err := range []error{
		f.Locked(nil, 12), f.Unfit(nil, "why"), f.Source("a", "b"), f.Full(nil, 1<<20), f.Failed(nil, "why"),
	} {
		e, ok := fault.As(err)
		if !ok || e.Meta["file"] != "analysis.duckdb" || e.Meta["pool"] != "universe" {
			t.Errorf("%v: %+v", err, e)
		}
		described, _ := fault.Describe(e.Reason)
		for key := range e.Meta {
			if !slices.Contains(described.Keys, key) {
				t.Errorf("%s carries %q, which the catalog does not list", e.Reason, key)
			}
		}
	}
}
