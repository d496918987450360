package universe

import (
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// A group ends where the next partition would exceed the rows that a table may have before
// a checkpoint.
func TestGroupsEndAtACheckpoint(t *testing.T) {
	prices, funds, basics := catalog.Lookup(catalog.Daily), catalog.Lookup(catalog.FundDaily), catalog.Lookup(catalog.DailyBasic)
	of := func(d *catalog.Dataset, rows int) *request {
		return &request{dataset: d, commit: &ingest.Commit{Batch: &table.Batch{Len: rows}}}
	}
	none := &request{dataset: basics, commit: &ingest.Commit{}}
	for _, c := range []struct {
		name   string
		logged map[string]int
		group  []*request
		want   int
	}{
		{"all", nil, []*request{of(prices, 60), of(basics, 100), of(funds, 40), none}, 4},
		{"two datasets share a table", nil, []*request{of(prices, 60), of(basics, 100), of(funds, 41), none}, 2},
		{"with earlier rows", map[string]int{basics.Table: 50}, []*request{of(prices, 60), of(basics, 51)}, 1},
		{"with earlier rows, the first", map[string]int{basics.Table: 50}, []*request{of(basics, 51), of(prices, 60)}, 0},
		{"a partition that is too large", nil, []*request{of(prices, 101), of(funds, 1)}, 1},
		{"a partition without rows", map[string]int{basics.Table: 100}, []*request{none}, 1},
		{"revisions", map[string]int{pool.RevisionsTable: 101}, []*request{of(prices, 1)}, 0},
	} {
		w := &writer{cfg: Config{CheckpointRows: 100}, logged: c.logged}
		if got := w.fitting(c.group); got != c.want {
			t.Errorf("%s: %d requests, want %d", c.name, got, c.want)
		}
	}
}
