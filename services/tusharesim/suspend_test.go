package tusharesim_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// TestSuspendD holds the list against daily: who is listed as suspended for the
// whole day has no row, and everybody else who is listed has one.
func TestSuspendD(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	listed := map[string]string{}
	for code, d := range good(t, s, "stock_basic", params{}, "ts_code,list_date").byCode(t, "list_date") {
		listed[code] = strings.Trim(d, `"`)
	}
	kinds := map[string]int{}
	before := map[string]string{}
	for _, day := range s.OpenDates("20260301", "20260515") {
		r := good(t, s, "suspend_d", on(day), "")
		if !slices.Equal(r.Data.Fields, []string{"ts_code", "trade_date", "suspend_timing", "suspend_type"}) {
			t.Fatalf("fields %v", r.Data.Fields)
		}
		timing, typ, rows := r.byCode(t, "suspend_timing"), r.byCode(t, "suspend_type"), good(t, s, "daily", on(day), "ts_code,close").byCode(t, "close")
		for code, date := range listed {
			if date > day {
				continue
			}
			kind := typ[code] + timing[code]
			kinds[kind]++
			if _, has := rows[code]; has == (kind == `"S"null`) {
				t.Errorf("%s on %s: row %v, suspend_d %s", code, day, has, kind)
			}
			if len(before) > 0 && (kind == `"R"null`) != (before[code] == "" && rows[code] != "" && date < day) {
				t.Errorf("%s on %s: suspend_d %s, close the day before %q", code, day, kind, before[code])
			}
		}
		before = rows
	}
	for _, kind := range []string{`"S"null`, `"R"null`, `"S""09:30-10:00"`} {
		if kinds[kind] == 0 {
			t.Errorf("no row of kind %s: %v", kind, kinds)
		}
	}
	// By symbol, span and type.
	r := good(t, s, "suspend_d", params{"start_date": "20260301", "end_date": "20260515", "suspend_type": "R"}, "")
	if slices.ContainsFunc(r.column(t, "suspend_type"), func(v string) bool { return v != `"R"` }) || len(r.Data.Items) == 0 {
		t.Error("suspend_type R gives others, or nothing")
	}
	code := strings.Trim(r.column(t, "ts_code")[0], `"`)
	one := good(t, s, "suspend_d", params{"ts_code": code + ",999999.SH", "start_date": "20260301", "end_date": "20260515"}, "")
	if !slices.Contains(one.column(t, "suspend_type"), `"R"`) || slices.ContainsFunc(one.column(t, "ts_code"), func(v string) bool { return v != `"`+code+`"` }) {
		t.Errorf("%s: %v", code, one.column(t, "ts_code"))
	}
	if r := good(t, s, "suspend_d", on("20260516"), ""); len(r.Data.Items) != 0 {
		t.Errorf("a Saturday has %d rows", len(r.Data.Items))
	}
	// Denied, empty and late like any interface.
	while(t, s, `{"kind":"empty","api":"suspend_d"}`, func() {
		if r := good(t, s, "suspend_d", on("20260514"), ""); len(r.Data.Items) != 0 {
			t.Error("not empty")
		}
	})
	if err := s.Withhold("suspend_d", "20260514"); err != nil {
		t.Fatal(err)
	}
	if r := good(t, s, "suspend_d", on("20260514"), ""); len(r.Data.Items) != 0 {
		t.Error("withheld, but shown")
	}
	if err := s.Deny("suspend_d"); err != nil {
		t.Fatal(err)
	}
	if r := call(t, s, "suspend_d", on("20260513"), ""); *r.Code != 40203 {
		t.Errorf("denied: code %d", *r.Code)
	}
}

func TestSuspend(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	last := good(t, s, "daily", on("20260511"), "")
	usual := good(t, s, "daily", on("20260513"), "ts_code").Data.Items
	var hit struct{ Codes []string }
	b := control(t, s, http.MethodPost, "suspensions", `{"trade_date":"20260512","end_date":"20260513","share":0.5,"exchange":"SZ"}`, http.StatusOK)
	if err := json.Unmarshal(b, &hit); err != nil || len(hit.Codes) < 40 {
		t.Fatalf("%s, %v", b, err)
	}
	for _, day := range []string{"20260512", "20260513"} {
		r := good(t, s, "suspend_d", params{"trade_date": day, "suspend_type": "S"}, "").byCode(t, "suspend_type")
		for _, api := range []string{"daily", "daily_basic", "moneyflow"} {
			rows := good(t, s, api, on(day), "ts_code,trade_date").byCode(t, "trade_date")
			for _, c := range hit.Codes {
				if !strings.HasSuffix(c, ".SZ") || rows[c] != "" || r[c] == "" {
					t.Errorf("%s %s on %s: row %q, suspend_d %q", api, c, day, rows[c], r[c])
				}
			}
			if api == "daily" && len(rows) < len(usual)-len(hit.Codes) {
				t.Errorf("%s: %d rows, %d usually, %d suspended", day, len(rows), len(usual), len(hit.Codes))
			}
		}
	}
	if r := good(t, s, "daily", params{"ts_code": hit.Codes[0], "start_date": "20260511", "end_date": "20260514"}, ""); len(r.Data.Items) > 2 {
		t.Errorf("a span of %s has %d rows", hit.Codes[0], len(r.Data.Items))
	}
	// Back with the last close; an ex-rights day may lower the reference.
	next, closes := good(t, s, "daily", on("20260514"), ""), last.byCode(t, "close")
	same, back := 0, 0
	pre, resumed := next.byCode(t, "pre_close"), good(t, s, "suspend_d", params{"trade_date": "20260514", "suspend_type": "R"}, "").byCode(t, "suspend_type")
	for _, c := range hit.Codes {
		if pre[c] == "" || closes[c] == "" {
			continue
		}
		back++
		if pre[c] == closes[c] {
			same++
		}
		if resumed[c] == "" {
			t.Errorf("%s came back and is not listed as resumed", c)
		}
	}
	if back < 40 || same < back-3 {
		t.Errorf("%d of %d came back with the last close as pre_close", same, back)
	}
	equalTruth(t, s, "daily", on("20260512"))
	if st := s.State(); len(st.Suspensions) != 1 || st.Suspensions[0].Share != 0.5 {
		t.Errorf("state %+v", st.Suspensions)
	}
	control(t, s, http.MethodDelete, "suspensions", "", http.StatusOK)
	if r := good(t, s, "daily", on("20260513"), "ts_code"); len(r.Data.Items) != len(usual) {
		t.Errorf("taken back, %d rows of %d", len(r.Data.Items), len(usual))
	}
	for _, x := range []string{`{"trade_date":"20260512"}`, `{"trade_date":"x","share":1}`, `{"trade_date":"20260512","share":2}`, `{"trade_date":"20260516","share":1}`, `{"trade_date":"20260512","end_date":"20260511","share":1}`} {
		control(t, s, http.MethodPost, "suspensions", x, http.StatusBadRequest)
	}
}

// TestWithholdUntil lets a Friday's moneyflow come on Saturday at 10:00.
func TestWithholdUntil(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	control(t, s, http.MethodPost, "withhold", `{"api":"moneyflow","trade_date":"20260515","until":"2026-05-16T10:00:00+08:00"}`, http.StatusOK)
	if st := s.State(); !slices.Equal(st.Withheld, []string{"moneyflow 20260515 until 2026-05-16T10:00:00+08:00"}) {
		t.Errorf("state %v", st.Withheld)
	}
	for _, c := range []struct {
		now  time.Time
		show bool
	}{
		{evening, false},
		{time.Date(2026, 5, 16, 9, 59, 59, 0, tusharesim.Beijing), false},
		{time.Date(2026, 5, 16, 10, 0, 0, 0, tusharesim.Beijing), true},
	} {
		s.SetTime(c.now)
		if r := good(t, s, "moneyflow", on("20260515"), "ts_code"); (len(r.Data.Items) > 0) != c.show {
			t.Errorf("%s: %d rows", c.now, len(r.Data.Items))
		}
		if r := good(t, s, "daily", on("20260515"), "ts_code"); len(r.Data.Items) == 0 {
			t.Errorf("%s: daily is withheld too", c.now)
		}
	}
	control(t, s, http.MethodPost, "withhold", `{"api":"moneyflow","trade_date":"20260515","until":"10:00"}`, http.StatusBadRequest)
	s.SetTime(evening)
	if err := s.Release("moneyflow", "20260515"); err != nil {
		t.Fatal(err)
	}
	if r := good(t, s, "moneyflow", on("20260515"), "ts_code"); len(r.Data.Items) == 0 {
		t.Error("released early, but not shown")
	}
}
