package targetset

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 27, 11, 30, 0, 0, time.UTC)

func TestResolveIsTheUnionWithReasons(t *testing.T) {
	soon, later, past := now.Add(time.Hour), now.Add(48*time.Hour), now
	sets := []Set{
		Make("holdings", "", []Entry{{Symbol: "600519.SH"}, {Symbol: "000001.SZ", Until: later}}),
		Make(Default, "", []Entry{{Symbol: "600519.SH"}}),
		Make(Temporary, "", []Entry{{Symbol: "000001.SZ", Until: soon}, {Symbol: "300750.SZ", Until: past}, {Symbol: "000001.SZ", Until: soon.Add(-time.Minute)}}),
	}
	got := Resolve(sets, now)
	want := []Target{
		{"000001.SZ", []Member{{"holdings", later}, {Temporary, soon}}},
		{"600519.SH", []Member{{Default, time.Time{}}, {"holdings", time.Time{}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if !got[0].Until().Equal(later) || !got[1].Until().IsZero() {
		t.Errorf("they end at %v and %v", got[0].Until(), got[1].Until())
	}
	if diff := cmp.Diff([]string{"holdings until 2026-11-29 19:30", "temporary until 2026-11-27 20:30"}, got[0].Reasons()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"explicit", "holdings"}, got[1].Reasons()); diff != "" {
		t.Error(diff)
	}
	after := Resolve(With(Without(sets, "holdings"), Make(Default, "", []Entry{{Symbol: "688981.SH"}})), now)
	added, removed := Diff(got, after)
	if !slices.Equal(added, []string{"688981.SH"}) || !slices.Equal(removed, []string{"600519.SH"}) {
		t.Errorf("added %v, removed %v", added, removed)
	}
}

func TestOfARepeatedSymbolTheLastEndCounts(t *testing.T) {
	a, b := Entry{Symbol: "600519.SH", Until: now}, Entry{Symbol: "600519.SH", Until: now.Add(time.Hour)}
	for _, entries := range [][]Entry{{a, b}, {b, a}} {
		if until, ok := Make("x", "", entries).Until("600519.SH"); !ok || !until.Equal(b.Until) {
			t.Errorf("it ends at %v, %v", until, ok)
		}
	}
	for _, entries := range [][]Entry{{a, {Symbol: "600519.SH"}}, {{Symbol: "600519.SH"}, a}} {
		if until, ok := Make("x", "", entries).Until("600519.SH"); !ok || !until.IsZero() {
			t.Errorf("what stays ends at %v, %v", until, ok)
		}
	}
}

func TestEtagFollowsTheContent(t *testing.T) {
	base := Make("x", "n", []Entry{{Symbol: "600519.SH"}})
	seen := map[string]bool{base.Etag(): true}
	for _, other := range []Set{
		Make("x", "m", []Entry{{Symbol: "600519.SH"}}), Make("x", "n", nil), Make("x", "n", []Entry{{Symbol: "600519.SH", Until: now}}),
		Make("x", "n", []Entry{{Symbol: "600519.SH"}, {Symbol: "000001.SZ"}}),
	} {
		if seen[other.Etag()] {
			t.Errorf("%+v has the etag of another", other)
		}
		seen[other.Etag()] = true
	}
	same := base
	same.UpdatedAt = now
	if same.Etag() != base.Etag() {
		t.Error("the time of a change is in the etag")
	}
}

func TestCheckID(t *testing.T) {
	for _, id := range []string{"holdings", "watchlist:core", "a", "0-x.y_z", strings.Repeat("a", 64)} {
		if err := CheckID(id); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{"", ":x", "Holdings", "a b", "a/b", "持仓", strings.Repeat("a", 65), "a\n"} {
		if CheckID(id) == nil {
			t.Errorf("%q is taken", id)
		}
	}
}
