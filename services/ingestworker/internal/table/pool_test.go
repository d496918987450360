package table

import "testing"

func TestReleasedBatchesAreUsedAgain(t *testing.T) {
	specs := []Spec{{"ts_code", Text}, {"close", Number}}
	var p Pool
	for round := range 100 {
		b := p.New(specs, 10)
		if b.Len != 0 || len(b.Columns) != 2 || len(b.Columns[0].Texts) != 0 || len(b.Columns[1].Null) != 0 {
			t.Fatalf("round %d: a new batch holds %+v", round, b)
		}
		b.Columns[0].AppendText("600519.SH")
		b.Columns[1].AppendNumber(float64(round))
		b.Len = 1
		b.Release()
		if b.Len != 0 || b.Columns != nil {
			t.Fatalf("round %d: a released batch still has its rows", round)
		}
	}
	if b := p.New(specs, 1000); cap(b.Columns[1].Numbers) < 1000 {
		t.Errorf("room for %d rows, want 1000", cap(b.Columns[1].Numbers))
	}
	alone := New(specs, 1)
	alone.Release()
	if len(alone.Columns) != 2 {
		t.Error("a batch without a pool was emptied")
	}
}
