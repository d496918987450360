package e2e_test

import (
	"path"
	"strings"
	"testing"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// VerifyRun reports a value that was changed in a pool's file, and the command that it names repairs
// it.
func TestVerifyTellsAValueThatWasChanged(t *testing.T) {
	t.Parallel()
	e := up(t, small())
	stocks, err := e.sim.Rows("stock_basic", map[string]string{"list_status": "L"}, "ts_code")
	if err != nil {
		t.Fatal(err)
	}
	var symbol string
	for _, row := range stocks.Rows { // which have moneyflow
		if s := row[0].(string); strings.HasSuffix(s, ".SH") {
			symbol = s
		}
	}
	e.setTargets(symbol)
	filled := e.run(&orchestratorv1.CreateRunRequest{})
	differences := func(pool marketv1.Pool, r *orchestratorv1.Run) []*orchestratorv1.Difference {
		t.Helper()
		answer, err := e.Runs().VerifyRun(t.Context(), &orchestratorv1.VerifyRunRequest{RunId: r.GetRunId()})
		if err != nil || answer.GetCheckedCount() == 0 {
			t.Fatalf("%s: VerifyRun = %v, %v", pool, answer, err)
		}
		return answer.GetDifferences()
	}
	for pool, r := range filled {
		if found := differences(pool, r); len(found) != 0 {
			t.Errorf("%s: before anything was changed: %v", pool, found)
		}
	}
	e.stopWorker()
	where := " where symbol = '" + symbol + "'"
	for _, file := range [][2]string{{"sqlite3", "targets.sqlite"}, {"duckdb", "analysis.duckdb"}} {
		db := open(t, file[0], e.path(file[1]))
		for _, statement := range []string{
			"update daily_moneyflows set net_mf_vol = 77" + where + " and trade_date = (select max(trade_date) from daily_moneyflows" + where + ")",
			"update instrument_meta set name = 'x'" + where,
		} {
			done, err := db.Exec(statement)
			if err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
			if n, err := done.RowsAffected(); err != nil || n != 1 {
				t.Fatalf("%s: %d rows, %v", statement, n, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	for pool, r := range filled {
		found := differences(pool, r)
		if len(found) != 2 {
			t.Fatalf("%s: VerifyRun returns %v, want money flow and stock list", pool, found)
		}
		var command string
		for _, d := range found {
			_, body, ok := strings.Cut(d.GetMessage(), "curl -X POST "+e.Config.HTTPAddr+"/v1/runs -d '")
			if body = strings.TrimSuffix(body, "'"); !ok || !d.GetAltered() || d.GetRowCount() != d.GetCoverageCount() || !strings.Contains(d.GetMessage(), "other values") {
				t.Errorf("%s: %v", pool, d)
			}
			if strings.HasPrefix(d.GetPartitionId(), "moneyflow") {
				command = body
			}
		}
		status, answer := e.rest("POST", "/v1/runs", command)
		if status != 200 {
			t.Fatalf("%s: %s is answered %d %v", pool, command, status, answer)
		}
		runs := answer["runs"].([]any)
		id := path.Base(runs[0].(map[string]any)["runId"].(string))
		again := e.follow(t.Context(), id)
		if again.GetOutcome() != orchestratorv1.Run_OUTCOME_SUCCEEDED || again.GetChangedCount() < 1 {
			t.Errorf("%s: fetched again as %s, %d rows changed: %v", pool, again.GetOutcome(), again.GetChangedCount(), again.GetIssues())
		}
		for _, r := range []*orchestratorv1.Run{r, again} {
			if left := differences(pool, r); len(left) != 0 {
				t.Errorf("%s: after it was fetched again: %v", pool, left)
			}
		}
	}
}
