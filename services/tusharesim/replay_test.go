package tusharesim_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

func readCSV(t *testing.T, path string) (head []string, rows [][]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all[0], all[1:]
}

// equalFile compares a reply with a file, text by text.
func equalFile(t *testing.T, r *reply, path string) {
	t.Helper()
	head, rows := readCSV(t, path)
	if len(rows) != len(r.Data.Items) {
		t.Fatalf("%s: %d rows, %d recorded", path, len(r.Data.Items), len(rows))
	}
	for j, name := range head {
		got := r.column(t, name)
		for i, row := range rows {
			want := row[j]
			switch {
			case want == "":
				want = "null"
			case strings.HasPrefix(got[i], `"`):
				b, err := json.Marshal(want)
				if err != nil {
					t.Fatal(err)
				}
				want = strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(string(b))
			}
			if got[i] != want {
				t.Fatalf("%s row %d %s: got %s, want %s", path, i, name, got[i], want)
			}
		}
	}
	for _, f := range r.Data.Fields {
		if !slices.Contains(head, f) && slices.ContainsFunc(r.column(t, f), func(c string) bool { return c != "null" }) {
			t.Errorf("%s has no %s, yet it is not null", path, f)
		}
	}
}

func TestReplay(t *testing.T) {
	dir := realdata(t)
	clock := time.Date(2026, 11, 23, 20, 0, 0, 0, tusharesim.Beijing)
	s := tusharesim.StartTest(t, tusharesim.Options{ReplayDir: dir, Now: func() time.Time { return clock }})
	for _, f := range []string{"daily/20260401", "daily/20191008", "daily/20250403", "daily_basic/20260401", "daily_basic/20250403", "daily_basic/20191030", "moneyflow/20260401", "moneyflow/20260320", "fund_daily/20191231"} {
		api, date, _ := strings.Cut(f, "/")
		r := good(t, s, api, params{"trade_date": date}, "")
		equalFile(t, r, filepath.Join(dir, f+".csv"))
		equalTruth(t, s, api, params{"trade_date": date})
	}
	for _, p := range []params{{"trade_date": "20260402"}, {"trade_date": "20261120"}} {
		if r := good(t, s, "daily", p, ""); len(r.Data.Items) != 0 || len(r.Data.Fields) != 11 {
			t.Errorf("%v is not recorded but has %d rows", p, len(r.Data.Items))
		}
	}
	one := good(t, s, "daily", params{"ts_code": "000001.SZ", "start_date": "20191101", "end_date": "20191231"}, "ts_code,trade_date,close")
	if dates := one.column(t, "trade_date"); len(dates) != 43 || dates[0] != `"20191231"` {
		t.Errorf("one symbol: %d days, newest %s", len(dates), dates[0])
	}
	equalFile(t, good(t, s, "fund_basic", params{"market": "E"}, ""), filepath.Join(dir, "fund_basic", "fund_basic_E_202003.csv"))
	cut := good(t, s, "fund_basic", params{"market": "O"}, "ts_code")
	if len(cut.Data.Items) != 10000 || *cut.Data.HasMore {
		t.Errorf("market O: %d rows", len(cut.Data.Items))
	}
	for _, st := range []string{"D", "P"} {
		if r := good(t, s, "stock_basic", params{"list_status": st}, ""); len(r.Data.Items) != 0 {
			t.Errorf("status %s is not recorded but has %d rows", st, len(r.Data.Items))
		}
	}
	if sz := good(t, s, "stock_basic", params{"exchange": "SZSE"}, "ts_code"); len(sz.Data.Items) < 2800 {
		t.Errorf("exchange of a list without that column: %d", len(sz.Data.Items))
	}
	// No rows after today, whatever is recorded.
	clock = time.Date(2019, 12, 31, 15, 0, 0, 0, tusharesim.Beijing)
	if r := good(t, s, "daily", params{"trade_date": "20260401"}, ""); len(r.Data.Items) != 0 {
		t.Error("a later day is served")
	}
	if r := good(t, s, "daily", params{"trade_date": "20191231"}, ""); len(r.Data.Items) != 0 {
		t.Error("today is served before its hour")
	}
	for _, d := range good(t, s, "stock_basic", params{}, "list_date").column(t, "list_date") {
		if d > `"20191231"` {
			t.Fatalf("a stock listed on %s is there already", d)
		}
	}
}

func TestReplayStockLists(t *testing.T) {
	dir := realdata(t)
	for vintage, file := range map[string]string{"": "stock_basic_L_202601_6cols.csv", "202601": "stock_basic_L_202601_6cols.csv", "20250403": "stock_basic_L_20250403.csv", "201911": "stock_basic_L_201911.csv"} {
		s := tusharesim.StartTest(t, tusharesim.Options{ReplayDir: dir, StockBasicVintage: vintage})
		all := strings.Join(tusharesim.Columns("stock_basic"), ",")
		equalFile(t, good(t, s, "stock_basic", params{}, all), filepath.Join(dir, "stock_basic", file))
	}
	s := tusharesim.StartTest(t, tusharesim.Options{ReplayDir: dir, StockBasicVintage: "20250618"})
	r := good(t, s, "stock_basic", params{"list_status": "L"}, strings.Join(tusharesim.Columns("stock_basic"), ","))
	raw, err := os.ReadFile(filepath.Join(dir, "raw_replies", "stock_basic_20250618.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want reply
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for _, f := range want.Data.Fields {
		got, recorded := r.column(t, f), want.column(t, f)
		for i, c := range recorded {
			recorded[i] = strings.ReplaceAll(c, `\u0026`, "&")
		}
		if len(got) != 5418 || !slices.Equal(got, recorded) {
			t.Fatalf("%s differs from the recorded reply (%d rows, %d recorded)", f, len(got), len(recorded))
		}
	}
	if _, err := tusharesim.New(tusharesim.Options{ReplayDir: dir, StockBasicVintage: "1999"}); err == nil || !strings.Contains(err.Error(), "201911") {
		t.Errorf("a vintage that is not there: %v", err)
	}
	if _, err := tusharesim.New(tusharesim.Options{ReplayDir: filepath.Join(dir, "nowhere")}); err == nil {
		t.Error("a folder that is not there was accepted")
	}
}

// The synthetic calendar is the recorded one from 1990 to 2026.
func TestCalendarIsTheRecordedOne(t *testing.T) {
	dir := realdata(t)
	_, rows := readCSV(t, filepath.Join(dir, "trade_cal", "trade_cal_SSE_1990_2026.csv"))
	slices.Reverse(rows)
	for _, o := range []tusharesim.Options{{Stocks: 1, Funds: 1, Now: at(evening)}, {ReplayDir: dir, Now: at(evening)}} {
		s := tusharesim.StartTest(t, o)
		var got [][]string
		for more := true; more; {
			r := good(t, s, "trade_cal", params{"offset": len(got)}, "")
			for _, it := range r.Data.Items {
				row := make([]string, len(it))
				for i, c := range it {
					row[i] = strings.Trim(strings.ReplaceAll(string(c), "null", ""), `"`)
				}
				got = append(got, row)
			}
			more = *r.Data.HasMore
		}
		if len(got) != len(rows) {
			t.Fatalf("%s: %d days, %d recorded", s.Source(), len(got), len(rows))
		}
		for i := range rows {
			if !slices.Equal(got[i], rows[i]) {
				t.Fatalf("%s: got %v, recorded %v", s.Source(), got[i], rows[i])
			}
		}
		if n := len(s.OpenDates("20150101", "20261231")); n != 2914 && n != len(s.OpenDates("20150101", "20251231"))+242 {
			t.Errorf("%s: %d open days", s.Source(), n)
		}
	}
}
