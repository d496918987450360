package e2e_test

import (
	"database/sql"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/realdatatest"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// recording returns the columns of a recorded file by symbol; an empty field is nil.
func recording(t *testing.T, path string, columns []string) map[string][]any {
	t.Helper()
	out := map[string][]any{}
	for _, fields := range realdatatest.Rows(t, path) {
		row := make([]any, len(columns))
		for i, name := range columns {
			if fields[name] == "" {
				continue
			}
			v, err := strconv.ParseFloat(fields[name], 64)
			if err != nil {
				t.Fatal(err)
			}
			row[i] = v
		}
		out[fields["ts_code"]] = row
	}
	return out
}

func columnsOf(api string) []string {
	for _, d := range datasets {
		if d.api == api {
			return d.columns
		}
	}
	return nil
}

// sameAsRecorded compares a stored day with its file, row for row.
func sameAsRecorded(t *testing.T, db *sql.DB, dir, api, date string) {
	t.Helper()
	want := recording(t, filepath.Join(dir, api, strings.ReplaceAll(date, "-", "")+".csv"), columnsOf(api))
	got := stored(t, db, api, date)
	if len(got) != len(want) {
		t.Errorf("%s %s: %d rows stored, %d recorded", api, date, len(got), len(want))
	}
	for _, name := range []string{"close", "vol", "amount"} {
		i := slices.Index(columnsOf(api), name)
		if i < 0 {
			continue
		}
		if g, w := sum(got, i), sum(want, i); math.Abs(g-w) > 1e-6*math.Abs(w) {
			t.Errorf("%s %s: the sum of %s is %v, recorded %v", api, date, name, g, w)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s %s differs from the recording (-recorded +stored):\n%.1500s", api, date, diff)
	}
}

func sum(rows map[string][]any, i int) float64 {
	total := 0.0
	for _, symbol := range slices.Sorted(mapKeys(rows)) {
		if v, ok := rows[symbol][i].(float64); ok {
			total += v
		}
	}
	return total
}

func mapKeys(m map[string][]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestReplayOfOneDayOf2026(t *testing.T) {
	t.Parallel()
	dir := realdatatest.Dir(t)
	e := up(t, tusharesim.Options{ReplayDir: dir})
	r := e.universe("2026-04-01", "2026-04-01", "stock.reference", "stock.basic", "stock.market.daily", "stock.moneyflow")
	if r.GetOutcome() != orchestratorv1.Run_OUTCOME_SUCCEEDED {
		t.Errorf("ended %s: %v", r.GetOutcome(), r.GetIssues())
	}
	probes, err := orchestratorv1.NewPreflightServiceClient(e.Conn).ListProbes(t.Context(), &orchestratorv1.ListProbesRequest{DomainId: "stock"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range probes.GetProbes() {
		if p.GetModuleId() == "stock.moneyflow" && (p.GetStatus() != orchestratorv1.Probe_STATUS_PASS || len(p.GetIssues()) == 0) {
			t.Errorf("the probe of %s is %s with %v; it must pass with a warning that it came empty", p.GetModuleId(), p.GetStatus(), p.GetIssues())
		}
	}
	e.stopWorker()
	db := e.duckdb()
	for _, api := range []string{"daily", "daily_basic", "moneyflow"} {
		sameAsRecorded(t, db, dir, api, "2026-04-01")
	}
	if n := scalar[int](t, db, "select count(*) from daily_basics where pe is null"); n == 0 {
		t.Error("no pe is NULL; the recorded nulls were lost")
	}
}

func TestReplayOf2019(t *testing.T) {
	t.Parallel()
	dir := realdatatest.Dir(t)
	e := up(t, tusharesim.Options{ReplayDir: dir, StockBasicVintage: "201911"})
	r := e.universe("2019-10-08", "2019-12-31")
	if r.GetOutcome() != orchestratorv1.Run_OUTCOME_PARTIAL {
		t.Errorf("ended %s; daily_basic and moneyflow of these days are not recorded, so it must be PARTIAL", r.GetOutcome())
	}
	complete := map[string]int{}
	lacking := map[string]int{}
	answer, err := orchestratorv1.NewPoolServiceClient(e.Conn).ListCoverage(t.Context(), &orchestratorv1.ListCoverageRequest{
		Pool: "universe", StartDate: "2019-10-08", EndDate: "2019-12-31",
	})
	if err != nil {
		t.Fatal(err)
	}
	var unknown int64
	for _, c := range answer.GetCoverages() {
		unknown += c.GetUnknownCount()
		if c.GetVerdict() == marketv1.Verdict_VERDICT_COMPLETE {
			complete[c.GetDatasetId()]++
		} else {
			lacking[c.GetDatasetId()]++
			if c.GetDatasetId() != "moneyflow" && c.GetDatasetId() != "daily_basic" {
				t.Errorf("%s %s is %s: %v", c.GetDatasetId(), c.GetTradeDate(), c.GetVerdict(), c.GetIssues())
			}
		}
	}
	if complete["daily"] != 61 || complete["fund_daily"] != 61 || complete["moneyflow"] != 0 || lacking["moneyflow"] != 61 {
		t.Errorf("complete %v, lacking %v; want all 61 days of daily and fund_daily, none of moneyflow", complete, lacking)
	}
	if unknown == 0 {
		t.Error("stocks listed after the list of 2019-11 must be counted as unknown")
	}
	e.stopWorker()
	db := e.duckdb()
	for _, api := range []string{"daily", "fund_daily"} {
		files, err := filepath.Glob(filepath.Join(dir, api, "2019*.csv"))
		if err != nil || len(files) != 61 {
			t.Fatalf("%d files of %s: %v", len(files), api, err)
		}
		for _, f := range files {
			name := strings.TrimSuffix(filepath.Base(f), ".csv")
			sameAsRecorded(t, db, dir, api, name[:4]+"-"+name[4:6]+"-"+name[6:])
		}
	}
	etfs := scalar[int](t, db, "select count(*) from instrument_meta where kind = 'etf'")
	listed := scalar[int](t, db, "select count(*) from instrument_meta where kind = 'etf' and list_status = 'L'")
	if etfs != 317 || listed != 293 {
		t.Errorf("%d ETFs, %d of them listed; the recorded list has 317 and 293", etfs, listed)
	}
	if n := scalar[int](t, db, "select count(distinct symbol) from daily_prices where "+isETF+" and symbol not in (select symbol from instrument_meta where kind = 'etf')"); n != 0 {
		t.Errorf("%d ETFs traded that the code ranges did not find in the list", n)
	}
}

func TestEveryVintageOfTheStockListLoads(t *testing.T) {
	t.Parallel()
	dir := realdatatest.Dir(t)
	for vintage, want := range map[string]int{"201911": 3694, "20250403": 5408, "202601": 5448} {
		t.Run(vintage, func(t *testing.T) {
			e := up(t, tusharesim.Options{ReplayDir: dir, StockBasicVintage: vintage})
			r := e.universe("2025-04-03", "2025-04-03", "stock.basic", "stock.reference")
			if r.GetOutcome() != orchestratorv1.Run_OUTCOME_SUCCEEDED {
				t.Errorf("ended %s: %v", r.GetOutcome(), r.GetIssues())
			}
			e.stopWorker()
			if got := scalar[int](t, e.duckdb(), "select count(*) from instrument_meta where kind = 'stock' and list_date is not null"); got != want {
				t.Errorf("%d stocks stored, %d recorded", got, want)
			}
		})
	}
}
