package ledger

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
)

func TestTargetSets(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := must(Open(ctx, Config{Path: path}))(t)
		defer s.Close()
		if sets := must(s.TargetSets(ctx))(t); len(sets) != 1 || sets[0].ID != targetset.Default || !sets[0].UpdatedAt.IsZero() {
			t.Errorf("a new ledger has %+v", sets)
		}
		now := time.Now().Truncate(time.Millisecond).UTC()
		temporary := targetset.Make(targetset.Temporary, "", []targetset.Entry{{Symbol: "159915.SZ", Until: now.Add(time.Hour)}, {Symbol: "600519.SH", Until: now.Add(3 * time.Hour)}})
		holdings := targetset.Make("holdings", "from the book", []targetset.Entry{{Symbol: "600519.SH"}, {Symbol: "000001.SZ"}})
		for _, set := range []targetset.Set{temporary, targetset.Explicit("510300.SH"), targetset.Explicit("600000.SH"), holdings} {
			must(s.SaveTargetSet(ctx, set))(t)
		}
		want := []targetset.Set{targetset.Explicit("600000.SH"), holdings, temporary}
		for i := range want {
			want[i].UpdatedAt = now
		}
		if diff := cmp.Diff(want, must(s.TargetSets(ctx))(t)); diff != "" {
			t.Error(diff)
		}
		if got, all := must(s.Targets(ctx))(t), []string{"000001.SZ", "159915.SZ", "600000.SH", "600519.SH"}; !slices.Equal(got, all) {
			t.Errorf("the watch list is %v", got)
		}
		time.Sleep(time.Hour) // expired symbols are not targets, although nothing was written
		if got, left := must(s.Targets(ctx))(t), []string{"000001.SZ", "600000.SH", "600519.SH"}; !slices.Equal(got, left) {
			t.Errorf("after an hour the watch list is %v", got)
		}
		if sets := must(s.TargetSets(ctx))(t); !slices.Equal(sets[2].Symbols(), []string{"600519.SH"}) {
			t.Errorf("after an hour the set has %v", sets[2].Symbols())
		}
		if err := s.DeleteTargetSet(ctx, "holdings"); err != nil {
			t.Error(err)
		}
		if got := must(s.Targets(ctx))(t); !slices.Equal(got, []string{"600000.SH", "600519.SH"}) {
			t.Errorf("without the holdings the watch list is %v", got)
		}
		if err := s.DeleteTargetSet(ctx, "holdings"); !fault.Is(err, fault.NotFound) {
			t.Errorf("deleted twice: %v", err)
		}
	})
}

// The list of a ledger from before there were sets is the default set.
func TestTargetsOfAnOlderLedger(t *testing.T) {
	path := older(t, "0009", "INSERT INTO targets (symbol) VALUES ('600519.SH'), ('159915.SZ')")
	s := must(Open(t.Context(), Config{Path: path}))(t)
	defer s.Close()
	sets := must(s.TargetSets(t.Context()))(t)
	if len(sets) != 1 || sets[0].ID != targetset.Default || !slices.Equal(sets[0].Symbols(), []string{"159915.SZ", "600519.SH"}) || sets[0].UpdatedAt.IsZero() {
		t.Errorf("the sets are %+v", sets)
	}
}
