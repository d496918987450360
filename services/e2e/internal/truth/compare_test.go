package truth_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/truth"
	"github.com/afterbell/afterbell/services/tusharesim"
)

var now = time.Date(2026, 3, 18, 20, 0, 0, 0, tusharesim.Beijing)

// copied fills a file with what the provider has of one dataset, and with coverage
// that says so.
func copied(t *testing.T, sim *tusharesim.Sim, symbols []string) (path string, db *sql.DB) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "targets.sqlite")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	must := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	db.SetMaxOpenConns(1) // one transaction over all of it
	must("begin")
	must(`create table instrument_meta (symbol, name, list_status, list_date)`)
	must(`create table trade_calendar (cal_date, is_open)`)
	must(`create table coverage (dataset, trade_date, row_count)`)
	for _, d := range []struct{ api, table, columns string }{
		{"daily", "daily_prices", "open high low close pre_close change pct_chg vol amount"},
		{"fund_daily", "daily_prices", ""},
		{"daily_basic", "daily_basics", "close turnover_rate turnover_rate_f volume_ratio pe pe_ttm pb ps ps_ttm dv_ratio dv_ttm total_share float_share free_share total_mv circ_mv"},
		{"moneyflow", "daily_moneyflows", "buy_sm_vol buy_sm_amount sell_sm_vol sell_sm_amount buy_md_vol buy_md_amount sell_md_vol sell_md_amount buy_lg_vol buy_lg_amount " +
			"sell_lg_vol sell_lg_amount buy_elg_vol buy_elg_amount sell_elg_vol sell_elg_amount net_mf_vol net_mf_amount"},
	} {
		if d.columns == "" {
			continue // no fund is followed
		}
		columns := strings.Fields(d.columns)
		must(fmt.Sprintf(`create table %s (symbol, trade_date, "%s")`, d.table, strings.Replace(strings.Join(columns, `", "`), `"vol"`, `"volume"`, 1)))
		for _, day := range sim.OpenDates("20260315", "20260318") {
			rows, err := sim.Rows(d.api, map[string]string{"trade_date": day, "ts_code": strings.Join(symbols, ",")}, append([]string{"ts_code"}, columns...)...)
			if err != nil {
				t.Fatal(err)
			}
			dashed := day[:4] + "-" + day[4:6] + "-" + day[6:]
			for _, row := range rows.Rows {
				must(fmt.Sprintf("insert into %s values (?%s)", d.table, strings.Repeat(", ?", len(columns)+1)), append([]any{row[0], dashed}, row[1:]...)...)
			}
			must("insert into coverage values (?, ?, ?)", d.api, dashed, len(rows.Rows))
		}
	}
	calendar, err := sim.Rows("trade_cal", map[string]string{"exchange": "SSE"}, "cal_date", "is_open")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range calendar.Rows {
		day := row[0].(string)
		must("insert into trade_calendar values (?, ?)", day[:4]+"-"+day[4:6]+"-"+day[6:], row[1])
	}
	for _, status := range []string{"L", "D", "P"} {
		list, err := sim.Rows("stock_basic", map[string]string{"list_status": status}, "ts_code", "name", "list_status", "list_date")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range list.Rows {
			day := row[3].(string)
			must("insert into instrument_meta values (?, ?, ?, ?)", row[0], row[1], row[2], day[:4]+"-"+day[4:6]+"-"+day[6:])
		}
	}
	must("commit")
	return path, db
}

func TestCompareFindsEveryDifference(t *testing.T) {
	sim, err := tusharesim.New(tusharesim.Options{Stocks: 40, Funds: -1, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	list, err := sim.Rows("daily", map[string]string{"trade_date": "20260318"}, "ts_code")
	if err != nil {
		t.Fatal(err)
	}
	var symbols []string
	for _, row := range list.Rows[:6] {
		symbols = append(symbols, row[0].(string))
	}
	one := symbols[0]
	cases := []struct {
		name, tamper string
		args         []any
		want         truth.Report
	}{
		{name: "equal", tamper: "select 1"},
		{name: "lost", tamper: "delete from daily_prices where symbol = ? and trade_date = '2026-03-17'", args: []any{one}, want: truth.Report{Lost: 1, Miscounted: 1}},
		{name: "a whole day lost", tamper: "delete from daily_basics where trade_date = '2026-03-18'", want: truth.Report{Lost: 6, Miscounted: 1}},
		{name: "doubled", tamper: "insert into daily_prices select * from daily_prices where symbol = ? and trade_date = '2026-03-17'", args: []any{one},
			want: truth.Report{Doubled: 1, Miscounted: 1}},
		{name: "wrong", tamper: "update daily_prices set volume = volume + 1 where symbol = ? and trade_date = '2026-03-17'", args: []any{one}, want: truth.Report{Wrong: 1}},
		{name: "null for a value", tamper: "update daily_basics set total_mv = null where symbol = ? and trade_date = '2026-03-17'", args: []any{one}, want: truth.Report{Wrong: 1}},
		{name: "alien", tamper: "insert into daily_prices select '999999.SH', trade_date, open, high, low, close, pre_close, change, pct_chg, volume, amount from daily_prices where symbol = ? and trade_date = '2026-03-17'",
			args: []any{one}, want: truth.Report{Alien: 1, Miscounted: 1}},
		{name: "a day that is no trading day", tamper: "update daily_prices set trade_date = '2026-03-15' where symbol = ? and trade_date = '2026-03-17'", args: []any{one},
			want: truth.Report{Lost: 1, Alien: 1, Miscounted: 2}},
		{name: "coverage that claims too much", tamper: "update coverage set row_count = row_count + 1 where dataset = 'moneyflow' and trade_date = '2026-03-17'", want: truth.Report{Miscounted: 1}},
		{name: "an instrument lost", tamper: "delete from instrument_meta where symbol = ?", args: []any{one}, want: truth.Report{Lost: 1}},
		{name: "the calendar wrong", tamper: "update trade_calendar set is_open = 0 where cal_date = '2026-03-18'", want: truth.Report{Wrong: 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path, db := copied(t, sim, symbols)
			if _, err := db.Exec(c.tamper, c.args...); err != nil {
				t.Fatal(err)
			}
			pool, err := truth.OpenTargets(path, symbols)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			got, err := pool.Compare(context.Background(), sim, now, 4)
			if err != nil {
				t.Fatal(err)
			}
			if clean := c.want.Lost+c.want.Doubled+c.want.Wrong+c.want.Alien+c.want.Miscounted == 0; got.Clean() != clean {
				t.Errorf("Clean = %v: %v", got.Clean(), got.Examples)
			}
			if got.Rows < 50 {
				t.Errorf("only %d rows were looked for", got.Rows)
			}
			each := got.Lost + got.Wrong + got.Alien + got.Miscounted + got.Doubled
			if int64(len(got.Differences)) != each {
				t.Errorf("lists %v, %d differences", got.Differences, each)
			}
			got.Rows, got.Examples, got.Differences = 0, nil, nil
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestRequiredWaitsForTheHour(t *testing.T) {
	sim, err := tusharesim.New(tusharesim.Options{Stocks: 10, Funds: -1, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range truth.Datasets() {
		before := d.Required(sim, time.Date(2026, 3, 18, d.Due-1, 59, 0, 0, tusharesim.Beijing), 3)
		after := d.Required(sim, time.Date(2026, 3, 18, d.Due, 0, 0, 0, tusharesim.Beijing), 3)
		if fmt.Sprint(before) != "[2026-03-16 2026-03-17]" || fmt.Sprint(after) != "[2026-03-16 2026-03-17 2026-03-18]" {
			t.Errorf("%s: %v before its hour, %v after", d.API, before, after)
		}
	}
}
