package e2e_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// datasets are the tables that are filled by trade date: the provider's API, the
// pool's table, its numbers by the provider's names, and which rows are its own.
var datasets = []struct {
	api, table, where string
	columns           []string
}{
	{"daily", "daily_prices", notETF, prices},
	{"fund_daily", "daily_prices", isETF, prices},
	{"daily_basic", "daily_basics", "true", strings.Fields("close turnover_rate turnover_rate_f volume_ratio pe pe_ttm pb ps ps_ttm dv_ratio dv_ttm total_share float_share free_share total_mv circ_mv")},
	{"moneyflow", "daily_moneyflows", "true", strings.Fields("buy_sm_vol buy_sm_amount sell_sm_vol sell_sm_amount buy_md_vol buy_md_amount sell_md_vol sell_md_amount buy_lg_vol buy_lg_amount sell_lg_vol sell_lg_amount buy_elg_vol buy_elg_amount sell_elg_vol sell_elg_amount net_mf_vol net_mf_amount")},
}

var prices = strings.Fields("open high low close pre_close change pct_chg vol amount")

const (
	isETF = `(symbol like '51%.SH' or symbol like '52%.SH' or symbol like '53%.SH' or symbol like '55%.SH'
		or symbol like '56%.SH' or symbol like '58%.SH' or symbol like '159%.SZ')`
	notETF = "not " + isETF
)

// stored reads a dataset's rows of one day from a pool, by symbol.
func stored(t *testing.T, db *sql.DB, api, date string) map[string][]any {
	t.Helper()
	for _, d := range datasets {
		if d.api != api {
			continue
		}
		columns := strings.ReplaceAll(strings.Join(d.columns, `", "`), `"vol"`, `"volume"`)
		rows, err := db.Query(fmt.Sprintf(`select symbol, "%s" from %s where trade_date = ? and %s`, columns, d.table, d.where), date)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		out := map[string][]any{}
		for rows.Next() {
			var symbol string
			values := make([]sql.NullFloat64, len(d.columns))
			into := []any{&symbol}
			for i := range values {
				into = append(into, &values[i])
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			row := make([]any, len(values))
			for i, v := range values {
				if v.Valid {
					row[i] = v.Float64
				}
			}
			if _, twice := out[symbol]; twice {
				t.Errorf("%s of %s holds %s twice", api, date, symbol)
			}
			out[symbol] = row
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Fatalf("unknown dataset %s", api)
	return nil
}

// provided is what the provider has of a dataset and day, ETFs only for fund_daily.
func provided(t *testing.T, sim *tusharesim.Server, api, date string) map[string][]any {
	t.Helper()
	for _, d := range datasets {
		if d.api != api {
			continue
		}
		table, err := sim.Rows(api, map[string]string{"trade_date": strings.ReplaceAll(date, "-", "")}, append([]string{"ts_code"}, d.columns...)...)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]any{}
		for _, row := range table.Rows {
			symbol := row[0].(string)
			if api == "fund_daily" && !etf(symbol) {
				continue
			}
			out[symbol] = row[1:]
		}
		return out
	}
	t.Fatalf("unknown dataset %s", api)
	return nil
}

func etf(symbol string) bool {
	switch symbol[:2] {
	case "51", "52", "53", "55", "56", "58":
		return strings.HasSuffix(symbol, ".SH")
	}
	return strings.HasPrefix(symbol, "159") && strings.HasSuffix(symbol, ".SZ")
}

// heldDays are the days that coverage calls complete.
func (e *env) heldDays(pool, dataset string) []string {
	e.t.Helper()
	answer, err := orchestratorv1.NewPoolServiceClient(e.Conn).ListCoverage(e.t.Context(), &orchestratorv1.ListCoverageRequest{Pool: pool})
	if err != nil {
		e.t.Fatal(err)
	}
	var days []string
	for _, c := range answer.GetCoverages() {
		if c.GetDatasetId() == dataset && c.GetVerdict() == marketv1.Verdict_VERDICT_COMPLETE {
			days = append(days, c.GetTradeDate())
		}
	}
	return days
}

func TestBothPoolsHoldWhatTheProviderHas(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	watch := []string{}
	table, err := e.sim.Rows("stock_basic", map[string]string{"list_status": "L"}, "ts_code")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows[:5] {
		watch = append(watch, row[0].(string))
	}
	funds, err := e.sim.Rows("fund_basic", map[string]string{"status": "L"}, "ts_code")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range funds.Rows {
		if s := row[0].(string); etf(s) && len(watch) < 8 {
			watch = append(watch, s)
		}
	}
	e.setTargets(watch...)
	planned, err := e.Runs().CreateRun(t.Context(), &orchestratorv1.CreateRunRequest{ValidateOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range planned.GetPlans() { // no calendar is held yet, and what a fill costs is asked before it
		if p.GetEstimatedCallCount() < 10 || len(p.GetIssues()) != 1 || p.GetIssues()[0].GetReason() != faultv1.Reason_REASON_CALENDAR_ENDED {
			t.Errorf("%s is planned as %d calls in %s: %v", p.GetPool(), p.GetEstimatedCallCount(), p.GetEstimatedDuration().AsDuration(), p.GetIssues())
		}
	}
	ended := e.run(&orchestratorv1.CreateRunRequest{})
	for pool, r := range ended {
		if r.GetOutcome() != orchestratorv1.Run_OUTCOME_SUCCEEDED {
			t.Errorf("%s ended %s: %v", pool, r.GetOutcome(), r.GetIssues())
		}
	}
	days := map[string][]string{}
	for _, d := range datasets {
		days[d.api] = e.heldDays("universe", d.api)
		if len(days[d.api]) < 5 {
			t.Errorf("%s: only %v are complete in a window of twelve days", d.api, days[d.api])
		}
	}
	again := e.run(&orchestratorv1.CreateRunRequest{})
	for pool, r := range again {
		if r.GetNewCount() != 0 || r.GetChangedCount() != 0 || r.GetGoneCount() != 0 {
			t.Errorf("%s: a second run changed %d, %d, %d rows", pool, r.GetNewCount(), r.GetChangedCount(), r.GetGoneCount())
		}
	}
	e.stopWorker()
	universe, targets := e.duckdb(), e.targetsDB()
	for _, d := range datasets {
		for _, day := range days[d.api] {
			want := provided(t, e.sim, d.api, day)
			if diff := cmp.Diff(want, stored(t, universe, d.api, day)); diff != "" {
				t.Errorf("universe %s %s differs from the provider (-provider +stored):\n%.2000s", d.api, day, diff)
			}
			watched := map[string][]any{}
			for _, s := range watch {
				if row, ok := want[s]; ok {
					watched[s] = row
				}
			}
			if diff := cmp.Diff(watched, stored(t, targets, d.api, day)); diff != "" {
				t.Errorf("targets %s %s differs from the provider (-provider +stored):\n%.2000s", d.api, day, diff)
			}
		}
	}
	if got := scalar[int](t, e.ledger(), "select count(*) from ingest_runs where status = 'success'"); got != 4 {
		t.Errorf("%d successful runs in the ledger, want 4", got)
	}
}

func TestNoTargetsIsUnchanged(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	r := e.run(&orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS}})[marketv1.Pool_POOL_TARGETS]
	if r.GetOutcome() != orchestratorv1.Run_OUTCOME_UNCHANGED {
		t.Errorf("ended %s: %v", r.GetOutcome(), r.GetIssues())
	}
	if got := scalar[string](t, e.ledger(), "select status from ingest_runs"); got != "success" {
		t.Errorf("status %s in the ledger, want success", got)
	}
}
