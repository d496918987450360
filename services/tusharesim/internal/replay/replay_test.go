package replay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
)

// folder writes a directory of recorded data, so that the rules are tested without the real data.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFolder(t *testing.T) {
	dir := folder(t, map[string]string{
		"daily/20260401.csv":                       "ts_code,trade_date,close,vol\n600000.SH,20260401,10.0,\n000001.SZ,20260401,11.15,918925.39\n",
		"daily/notes.txt":                          "not data",
		"stock_basic/stock_basic_L_201911.csv":     "ts_code,name,list_date\n000001.SZ,\"A, B\",19910403\n",
		"stock_basic/stock_basic_L_202601_few.csv": "ts_code,name,list_date\n000001.SZ,A,19910403\n688001.SH,B,20260102\n",
		"stock_basic/stock_basic_D_202601.csv":     "ts_code,name,list_date,delist_date\n000003.SZ,C,19910114,20020614\n",
		"trade_cal/trade_cal_SSE.csv":              "exchange,cal_date,is_open,pretrade_date\nSSE,20261231,1,20261230\nSSE,20270101,0,20261231\n",
	})
	s, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	daily := spec.Get(spec.Daily)
	refs, err := s.Select(nil, daily, 20260401, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	a := s.Appender(daily, []int{0, 5, 9, 2})
	for _, r := range refs {
		got = append(got, string(a.AppendRow(nil, r)))
	}
	want := []string{`["600000.SH",10.0,null,null]`, `["000001.SZ",11.15,918925.39,null]`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if refs, err = s.Select(nil, daily, 20260401, []string{"000001.SZ", "999999.SH"}); err != nil || len(refs) != 1 || s.Code(daily, refs[0]) != "000001.SZ" {
		t.Errorf("by code: %v, %v", refs, err)
	}
	if refs, err = s.Select(nil, daily, 20260402, nil); err != nil || refs != nil {
		t.Errorf("a day not recorded: %v, %v", refs, err)
	}
	status := func(today int32) map[string]string {
		t.Helper()
		tab, err := s.Snapshot(spec.Get(spec.StockBasic), "", today)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, m := range tab.Meta {
			out[m.Code] = m.Status
		}
		return out
	}
	if diff := cmp.Diff(map[string]string{"000001.SZ": "L", "688001.SH": "L", "000003.SZ": "D"}, status(20261123)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"000001.SZ": "L", "000003.SZ": "D"}, status(20260101)); diff != "" {
		t.Errorf("before the listing: %s", diff)
	}
	for today, want := range map[int32]int{20261130: 1, 20261201: 2} {
		if tab, _ := s.Snapshot(spec.Get(spec.TradeCal), "SSE", today); len(tab.Rows) != want {
			t.Errorf("on %d the calendar has %d days", today, len(tab.Rows))
		}
	}
	if diff := cmp.Diff([]string{"201911", "202601"}, s.Vintages()); diff != "" || s.Vintage() != "202601" {
		t.Errorf("vintages %s, in use %s", diff, s.Vintage())
	}
}

func TestBrokenFolder(t *testing.T) {
	for name, text := range map[string]string{"not a number": "ts_code,trade_date,close\n000001.SZ,20260401,true\n", "empty": "", "ragged": "ts_code,close\n1,2,3\n"} {
		s, err := Open(folder(t, map[string]string{"daily/20260401.csv": text}), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Select(nil, spec.Get(spec.Daily), 20260401, nil); err == nil || !strings.Contains(err.Error(), "daily/20260401.csv") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(folder(t, map[string]string{"a": ""}), "201911"); err == nil {
		t.Error("a vintage that is not there was accepted")
	}
}
