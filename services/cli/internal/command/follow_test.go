package command

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// The end of a successful run shows issues that need attention although nothing failed.
func TestFindingsOfARunThatSucceeded(t *testing.T) {
	r := &orchestratorv1.Run{Outcome: orchestratorv1.Run_OUTCOME_SUCCEEDED, Issues: []*faultv1.Issue{
		{Reason: faultv1.Reason_REASON_ROWS_REJECTED, Severity: faultv1.Severity_SEVERITY_WARNING}, {Reason: faultv1.Reason_REASON_SYMBOLS_MISSING},
	}}
	if got := telling(r); len(got) != 1 || got[0].GetReason() != faultv1.Reason_REASON_ROWS_REJECTED {
		t.Errorf("reported: %v", got)
	}
	a := &app{Lang: lang.English}
	if cells := a.runRow(r); cells[len(cells)-1] != "ROWS_REJECTED" {
		t.Errorf("the table's reason is %v", cells[len(cells)-1])
	}
}

// Only limits that delay calls now are waited for.
func TestWaits(t *testing.T) {
	now := time.Date(2026, 11, 27, 14, 20, 0, 0, time.UTC)
	shanghai := time.FixedZone("Shanghai", 8*3600)
	a := &app{Lang: lang.English, now: func() time.Time { return now }, printer: &output.Printer{Zone: shanghai}}
	limit := func(api string, in time.Duration, force bool) *marketv1.LearntLimit {
		return &marketv1.LearntLimit{ProviderApi: api, InForce: force, OpenTime: timestamppb.New(now.Add(in))}
	}
	own := []*marketv1.OwnLimitWait{
		{ProviderApi: "fund_daily", CallCount: 200, WaitingCount: 3, OpenTime: timestamppb.New(now.Add(30 * time.Second))},
		{ProviderApi: "daily", CallCount: 200, WaitingCount: 1, OpenTime: timestamppb.New(now)},
	}
	for want, resp := range map[string]*orchestratorv1.ListLimitsResponse{
		"": {Limits: []*marketv1.LearntLimit{limit("daily", -time.Second, true), limit("daily", time.Minute, false), {ProviderApi: "daily", InForce: true}}},
		"Waits for the provider's limits: daily until 22:21:00 (Shanghai), moneyflow until 2026-11-28 00:20 (Shanghai). Waits for the limit that --rate-limit of the ingest-worker sets: fund_daily until 22:20:30 (Shanghai).": {
			Limits: []*marketv1.LearntLimit{limit("daily", time.Minute, true), limit("moneyflow", 2*time.Hour, true)}, OwnWaits: own,
		},
		"Waits for the limit that --rate-limit of the ingest-worker sets: fund_daily until 22:20:30 (Shanghai).": {OwnWaits: own},
	} {
		if got := a.waits(resp); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
