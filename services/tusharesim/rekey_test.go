package tusharesim_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// TestReviseColumns rewrites the share counts of one company over seven weeks.
func TestReviseColumns(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	span := func(code, from, to string) params {
		return params{"ts_code": code, "start_date": from, "end_date": to}
	}
	const fields = "ts_code,trade_date,close,total_share,total_mv,free_share"
	before := good(t, s, "daily_basic", span("600519.SH", "20250201", "20250501"), fields)
	others := good(t, s, "daily_basic", span("000001.SZ", "20250201", "20250501"), fields)
	var did tusharesim.Revised
	b := control(t, s, http.MethodPost, "revise", `{"api":"daily_basic","trade_date":"20250301","end_date":"20250418","codes":["600519.SH"],"columns":["total_share","total_mv"],"factor":10}`, http.StatusOK)
	if err := json.Unmarshal(b, &did); err != nil || !slices.Equal(did.Changed, []string{"600519.SH"}) {
		t.Fatalf("%s, %v", b, err)
	}
	after := good(t, s, "daily_basic", span("600519.SH", "20250201", "20250501"), fields)
	changed := 0
	for i, day := range after.column(t, "trade_date") {
		in := day >= `"20250301"` && day <= `"20250418"`
		for _, col := range []string{"close", "total_share", "total_mv", "free_share"} {
			was, is := float(t, before.column(t, col)[i]), float(t, after.column(t, col)[i])
			want := was
			if in && strings.HasPrefix(col, "total") {
				want = 10 * was
			}
			if is < want*(1-1e-9) || is > want*(1+1e-9) {
				t.Errorf("%s on %s: %v, was %v", col, day, is, was)
			}
		}
		if in {
			changed++
		}
	}
	if changed < 25 {
		t.Errorf("only %d days lie in the span", changed)
	}
	if got := good(t, s, "daily_basic", span("000001.SZ", "20250201", "20250501"), fields); !slices.Equal(got.column(t, "total_share"), others.column(t, "total_share")) {
		t.Error("another company changed")
	}
	equalTruth(t, s, "daily_basic", params{"trade_date": "20250403"})

	// Rows may go from a span as well, and all rows may change.
	control(t, s, http.MethodPost, "revise", `{"api":"daily","trade_date":"20250303","end_date":"20250305","codes":["000001.SZ"],"drop":1}`, http.StatusOK)
	if r := good(t, s, "daily", span("000001.SZ", "20250303", "20250306"), ""); len(r.Data.Items) != 1 {
		t.Errorf("%d rows left of four days", len(r.Data.Items))
	}
	vol := good(t, s, "daily", on("20250303"), "").byCode(t, "vol")
	control(t, s, http.MethodPost, "revise", `{"api":"daily","trade_date":"20250303","columns":["vol"],"factor":100}`, http.StatusOK)
	for code, v := range good(t, s, "daily", on("20250303"), "").byCode(t, "vol") {
		if v == vol[code] {
			t.Errorf("vol of %s did not change", code)
		}
	}
	control(t, s, http.MethodDelete, "revise", "", http.StatusOK)
	if got := good(t, s, "daily_basic", span("600519.SH", "20250201", "20250501"), fields); !slices.Equal(got.column(t, "total_mv"), before.column(t, "total_mv")) {
		t.Error("taken back, the values are others")
	}
	for _, x := range []string{
		`{"api":"daily","trade_date":"20250303","columns":["vol"]}`, `{"api":"daily","trade_date":"20250303","columns":["total_mv"],"factor":2}`,
		`{"api":"daily","trade_date":"20250303","columns":["ts_code"],"factor":2}`, `{"api":"daily","trade_date":"20250303","columns":["vol"],"factor":2,"drop":1}`,
		`{"api":"daily","trade_date":"20250303","end_date":"20250301","drop":1}`, `{"api":"daily","trade_date":"20250303","end_date":"20250305","codes":["999999.SH"],"drop":1}`,
		`{"api":"daily","trade_date":"20250301","columns":["vol"],"factor":2}`,
	} {
		control(t, s, http.MethodPost, "revise", x, http.StatusBadRequest)
	}
}

func TestRekey(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	list := good(t, s, "stock_basic", params{}, "ts_code,symbol,name,list_date")
	history := params{"ts_code": "920992.BJ", "start_date": "20240101", "end_date": "20260515"}
	before := good(t, s, "daily", history, "")
	day := good(t, s, "daily", on("20260514"), "ts_code,close").byCode(t, "close")
	if len(before.Data.Items) < 300 || day["920992.BJ"] == "" {
		t.Fatalf("%d rows", len(before.Data.Items))
	}
	control(t, s, http.MethodPost, "rekey", `{"920992.BJ":"830992.BJ","600519.SH":"605998.SH"}`, http.StatusOK)

	after := good(t, s, "stock_basic", params{}, "ts_code,symbol,name,list_date")
	names, dates, symbols := after.byCode(t, "name"), after.byCode(t, "list_date"), after.byCode(t, "symbol")
	if names["830992.BJ"] != list.byCode(t, "name")["920992.BJ"] || dates["830992.BJ"] != list.byCode(t, "list_date")["920992.BJ"] || symbols["830992.BJ"] != `"830992"` {
		t.Errorf("the new code has %s, %s, %s", names["830992.BJ"], dates["830992.BJ"], symbols["830992.BJ"])
	}
	for _, status := range []string{"L", "D", "P"} {
		if got := good(t, s, "stock_basic", params{"list_status": status}, "ts_code,name").byCode(t, "name"); got["920992.BJ"] != "" || got["600519.SH"] != "" {
			t.Errorf("status %s still lists an old code", status)
		}
	}
	if len(names) != len(list.Data.Items) {
		t.Errorf("%d stocks, had %d", len(names), len(list.Data.Items))
	}
	if r := good(t, s, "stock_basic", params{"ts_code": "830992.BJ"}, ""); len(r.Data.Items) != 1 {
		t.Errorf("asked by its new code: %d rows", len(r.Data.Items))
	}
	for _, api := range []string{"daily", "daily_basic"} {
		if r := good(t, s, api, history, ""); len(r.Data.Items) != 0 {
			t.Errorf("%s: the old code has %d rows", api, len(r.Data.Items))
		}
	}
	moved := params{"ts_code": "830992.BJ", "start_date": "20240101", "end_date": "20260515"}
	got := good(t, s, "daily", moved, "")
	if !slices.Equal(got.column(t, "close"), before.column(t, "close")) || got.column(t, "ts_code")[0] != `"830992.BJ"` {
		t.Errorf("the history under the new code has %d rows, was %d", len(got.Data.Items), len(before.Data.Items))
	}
	r := good(t, s, "daily", on("20260514"), "ts_code,close")
	if now := r.byCode(t, "close"); now["830992.BJ"] != day["920992.BJ"] || now["920992.BJ"] != "" || now["605998.SH"] != day["600519.SH"] || len(now) != len(day) {
		t.Error("a whole day is not re-keyed")
	}
	if !slices.IsSorted(r.column(t, "ts_code")) {
		t.Error("a day no longer comes by ts_code")
	}
	equalTruth(t, s, "daily", on("20260514"))
	equalTruth(t, s, "daily_basic", on("20260514"))

	// Everything else knows the new code alone.
	while(t, s, `{"kind":"drop_rows","api":"daily","codes":["830992.BJ","920992.BJ"]}`, func() {
		if n := len(good(t, s, "daily", on("20260514"), "").Data.Items); n != len(day)-1 {
			t.Errorf("%d rows of %d", n, len(day))
		}
	})
	control(t, s, http.MethodPost, "revise", `{"api":"daily","trade_date":"20260514","codes":["920992.BJ"],"drop":1}`, http.StatusBadRequest)
	control(t, s, http.MethodPost, "revise", `{"api":"daily","trade_date":"20260514","codes":["830992.BJ"],"columns":["vol"],"factor":3}`, http.StatusOK)
	if r := good(t, s, "daily", params{"ts_code": "830992.BJ", "trade_date": "20260514"}, "vol"); r.column(t, "vol")[0] == before.column(t, "vol")[1] {
		t.Error("a revision under the new code does nothing")
	}
	if b := string(control(t, s, http.MethodPost, "suspensions", `{"trade_date":"20260513","codes":["830992.BJ"]}`, http.StatusOK)); !strings.Contains(b, "830992.BJ") {
		t.Errorf("suspended: %s", b)
	}
	if r := good(t, s, "suspend_d", params{"trade_date": "20260513", "ts_code": "830992.BJ"}, ""); len(r.Data.Items) != 1 || r.column(t, "ts_code")[0] != `"830992.BJ"` {
		t.Errorf("suspend_d has %d rows", len(r.Data.Items))
	}
	// Once more, and back.
	control(t, s, http.MethodPost, "rekey", `{"830992.BJ":"920993.BJ"}`, http.StatusOK)
	if r := good(t, s, "daily", params{"ts_code": "920993.BJ,830992.BJ", "trade_date": "20260512"}, "ts_code"); !slices.Equal(r.column(t, "ts_code"), []string{`"920993.BJ"`}) {
		t.Errorf("twice: %v", r.column(t, "ts_code"))
	}
	for _, x := range []string{`{}`, `{"999999.SH":"999998.SH"}`, `{"000001.SZ":"605998.SH"}`, `{"000001.SZ":"1"}`, `{"920992.BJ":"920994.BJ"}`} {
		control(t, s, http.MethodPost, "rekey", x, http.StatusBadRequest)
	}
	control(t, s, http.MethodDelete, "rekey", "", http.StatusOK)
	if r := good(t, s, "stock_basic", params{"ts_code": "920992.BJ"}, ""); len(r.Data.Items) != 1 {
		t.Error("taken back, the old code is unknown")
	}
}
