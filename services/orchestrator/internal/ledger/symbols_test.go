package ledger

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// TestLongListsAreStoredOnce saves many partitions that ask for the same symbols.
func TestLongListsAreStoredOnce(t *testing.T) {
	s := open(t)
	r := queued(market.Targets, base)
	if err := s.Enqueue(t.Context(), []run.Run{r}, nil); err != nil {
		t.Fatal(err)
	}
	r = begun(t, s, r)
	var all []string
	for n := range 1000 {
		all = append(all, fmt.Sprintf("%06d.SZ", n))
	}
	var want []run.Partition
	for n := range 200 {
		p := run.Partition{ID: fmt.Sprint("p", n), Ordinal: n, Start: monday, End: monday, State: run.PartitionPending, Symbols: all}
		switch n {
		case 0:
			p.Symbols = nil
		case 1:
			p.Symbols = all[:3]
		case 2:
			p.Symbols = all[500:]
		}
		want = append(want, p)
	}
	for range 2 {
		if _, err := s.Save(t.Context(), run.Update{Run: r, Partitions: want}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, must(s.Partitions(t.Context(), r.ID, 0, 0))(t)); diff != "" {
			t.Fatalf("partitions (-want +got):\n%s", diff)
		}
	}
	var lists, longest int
	err := s.db.Reader().QueryRow("SELECT (SELECT count(*) FROM symbol_lists), (SELECT max(length(symbols)) FROM run_partitions)").Scan(&lists, &longest)
	if err != nil || lists != 2 || longest > 100 {
		t.Errorf("%d lists, rows with symbols of up to %d characters: %v", lists, longest, err)
	}
}
