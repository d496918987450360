package transport

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// The list in Go and the enum in the contract are the same list.
func TestReasonsAndEnumAgree(t *testing.T) {
	reasons := fault.Reasons()
	values := faultv1.Reason(0).Descriptor().Values()
	if values.Len() != len(reasons)+1 {
		t.Fatalf("%d reasons and %d enum values", len(reasons), values.Len()-1)
	}
	for n, r := range reasons {
		v := values.Get(n + 1)
		if string(v.Name()) != "REASON_"+string(r) || int(v.Number()) != n+1 {
			t.Errorf("place %d is %s in Go and %s = %d in the contract", n+1, r, v.Name(), v.Number())
		}
		if back := ReasonFromProto(ReasonToProto(r)); back != r {
			t.Errorf("%s comes back as %s", r, back)
		}
	}
	if ReasonToProto("NO_SUCH") != 0 || ReasonFromProto(0) != "" {
		t.Error("what is no reason must be unspecified")
	}
	faulttest.Produces(t, ReasonFromProto(9999), fault.Internal)
}

func TestIssueRoundTrip(t *testing.T) {
	for _, r := range fault.Reasons() {
		want := fault.NewIssue(r, "What was found.", "domain", "stock", "module", "stock.basic")
		want.RetryAt = time.UnixMilli(1_700_000_000_000).UTC()
		if diff := cmp.Diff(want, IssueFromProto(IssueToProto(want))); diff != "" {
			t.Errorf("%s: %s", r, diff)
		}
	}
	bare := IssueFromProto(&faultv1.Issue{Reason: faultv1.Reason_REASON_TOKEN_INVALID, Severity: 99})
	if bare.Severity != fault.Blocking || bare.Remedy == "" {
		t.Errorf("bare = %+v", bare)
	}
	if IssuesToProto(nil) != nil || IssuesFromProto(nil) != nil || len(IssuesFromProto(IssuesToProto([]fault.Issue{bare}))) != 1 {
		t.Error("lists must keep their length")
	}
	if got := IssueToProto(fault.Issue{Message: "\xff"}).GetMessage(); got != "\uFFFD" {
		t.Errorf("message = %q", got)
	}
}

func TestWordsRoundTrip(t *testing.T) {
	for _, p := range market.Pools() {
		if back, err := PoolFromProto("pool", PoolToProto(p)); err != nil || back != p {
			t.Errorf("%s comes back as %s, %v", p, back, err)
		}
	}
	for _, bad := range []marketv1.Pool{0, 99, -1} {
		_, err := PoolFromProto("pools[0]", bad)
		faulttest.Produces(t, err, fault.InvalidArgument)
	}
	for _, k := range []market.Kind{market.Stock, market.ETF, ""} {
		if back := KindFromProto(KindToProto(k)); back != k {
			t.Errorf("%s comes back as %s", k, back)
		}
	}
	for n := range marketv1.Verdict_name {
		if v := marketv1.Verdict(n); VerdictToProto(VerdictFromProto(v)) != v {
			t.Errorf("%s comes back as %s", v, VerdictToProto(VerdictFromProto(v)))
		}
	}
	if VerdictToProto("no_such") != 0 || VerdictFromProto(77) != "" {
		t.Error("what is no verdict must be unspecified")
	}
}

func TestDatesAndTimes(t *testing.T) {
	if d, err := DateFromProto("start_date", ""); err != nil || d != market.NoDate {
		t.Errorf("empty = %v, %v", d, err)
	}
	if d, err := DateFromProto("start_date", "2026-03-02"); err != nil || d.String() != "2026-03-02" {
		t.Errorf("date = %v, %v", d, err)
	}
	for _, bad := range []string{"2026-02-30", "20260302", "x", "2026-03-02\x00"} {
		_, err := DateFromProto("start_date", bad)
		faulttest.Produces(t, err, fault.InvalidArgument)
	}
	if TimeToProto(time.Time{}) != nil || !TimeFromProto(nil).IsZero() {
		t.Error("no time must stay no time")
	}
	now := time.Now().UTC()
	if back := TimeFromProto(TimeToProto(now)); !back.Equal(now) {
		t.Errorf("%v comes back as %v", now, back)
	}
}
