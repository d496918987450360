package tusharesim_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// while sends calls with one fault, given as JSON, and removes it.
func while(t *testing.T, s *tusharesim.Server, fault string, fn func()) {
	t.Helper()
	control(t, s, http.MethodPost, "faults", fault, http.StatusOK)
	fn()
	s.ClearFaults()
}

// byCode maps ts_code to a column.
func (r *reply) byCode(t testing.TB, column string) map[string]string {
	t.Helper()
	out := map[string]string{}
	values := r.column(t, column)
	for i, c := range r.column(t, "ts_code") {
		out[strings.Trim(c, `"`)] = values[i]
	}
	return out
}

func float(t testing.TB, cell string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func on(date string) params { return params{"trade_date": date} }

func TestStaleDay(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	for _, api := range []string{"daily", "daily_basic", "moneyflow", "fund_daily"} {
		before, today := good(t, s, api, on("20260513"), ""), good(t, s, api, on("20260514"), "")
		while(t, s, `{"kind":"stale","trade_date":"20260514"}`, func() {
			got := good(t, s, api, on("20260514"), "")
			if !slices.Equal(got.column(t, "ts_code"), before.column(t, "ts_code")) {
				t.Errorf("%s: the symbols are not those of the day before", api)
			}
			for i, it := range got.Data.Items {
				for j, cell := range it {
					want := string(before.Data.Items[i][j])
					if got.Data.Fields[j] == "trade_date" {
						want = `"20260514"`
					}
					if string(cell) != want {
						t.Fatalf("%s row %d %s: %s, want %s", api, i, got.Data.Fields[j], cell, want)
					}
				}
			}
			if next := good(t, s, api, on("20260515"), ""); len(next.Data.Items) == 0 || next.column(t, "trade_date")[0] != `"20260515"` {
				t.Errorf("%s: another day is hit", api)
			}
		})
		if again := good(t, s, api, on("20260514"), ""); !slices.Equal(again.column(t, "ts_code"), today.column(t, "ts_code")) {
			t.Errorf("%s: removing the fault does not heal the day", api)
		}
	}

	// A span holds the same rows as the calls for its dates, and pages agree.
	while(t, s, `{"kind":"stale","api":"daily","trade_date":"20260514","source_date":"20260512"}`, func() {
		p := params{"ts_code": "000001.SZ", "start_date": "20260512", "end_date": "20260515"}
		span := good(t, s, "daily", p, "trade_date,close")
		if got := span.column(t, "trade_date"); !slices.Equal(got, []string{`"20260515"`, `"20260514"`, `"20260513"`, `"20260512"`}) {
			t.Fatalf("span: %v", got)
		}
		if c := span.column(t, "close"); c[1] != c[3] || c[1] == c[2] {
			t.Errorf("span: closes %v, want the second as the last", c)
		}
		whole := good(t, s, "daily", on("20260514"), "ts_code,close").byCode(t, "close")
		paged := map[string]string{}
		for offset := 0; ; offset += 50 {
			r := good(t, s, "daily", params{"trade_date": "20260514", "limit": 50, "offset": offset}, "ts_code,close")
			for c, v := range r.byCode(t, "close") {
				paged[c] = v
			}
			if !*r.Data.HasMore {
				break
			}
		}
		if fmt.Sprint(paged) != fmt.Sprint(whole) {
			t.Error("the pages of a stale day hold other rows than the whole")
		}
	})
	// Today's rows, stale or not, do not show before the hour of publication.
	s.SetTime(time.Date(2026, 5, 15, 15, 0, 0, 0, tusharesim.Beijing))
	while(t, s, `{"kind":"stale","trade_date":"20260515"}`, func() {
		if r := good(t, s, "daily", on("20260515"), ""); len(r.Data.Items) != 0 {
			t.Errorf("%d stale rows at 15:00", len(r.Data.Items))
		}
	})
}

func TestStaleColumns(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	const fields = "ts_code,close,total_mv,circ_mv,turnover_rate,total_share"
	before, today := good(t, s, "daily_basic", on("20260513"), fields), good(t, s, "daily_basic", on("20260514"), fields)
	while(t, s, `{"kind":"stale","api":"daily_basic","trade_date":"20260514","columns":["close","total_mv","circ_mv"]}`, func() {
		got := good(t, s, "daily_basic", on("20260514"), fields)
		if !slices.Equal(got.column(t, "ts_code"), today.column(t, "ts_code")) {
			t.Fatal("the symbols are not those of the day")
		}
		differ := 0
		for _, col := range []string{"close", "total_mv", "circ_mv", "turnover_rate"} {
			old, now := before.byCode(t, col), today.byCode(t, col)
			for code, v := range got.byCode(t, col) {
				want := now[code]
				if was, ok := old[code]; ok && col != "turnover_rate" {
					want = was
				}
				if v != want {
					t.Errorf("%s of %s: %s, want %s", col, code, v, want)
				}
				if v != now[code] {
					differ++
				}
			}
		}
		if differ < len(got.Data.Items) {
			t.Errorf("only %d values are stale", differ)
		}
		one := good(t, s, "daily_basic", params{"ts_code": "600519.SH", "start_date": "20260514", "end_date": "20260514"}, fields)
		if one.byCode(t, "close")["600519.SH"] != before.byCode(t, "close")["600519.SH"] {
			t.Error("a call for one symbol has not the stale close")
		}
	})
	while(t, s, `{"kind":"stale","api":"daily_basic","columns":["*"],"codes":["600519.SH"]}`, func() {
		got := good(t, s, "daily_basic", on("20260514"), fields)
		for code, v := range got.byCode(t, "total_mv") {
			if stale := v != today.byCode(t, "total_mv")[code]; stale != (code == "600519.SH") {
				t.Errorf("%s: stale %v", code, stale)
			}
		}
	})
}

func TestScaleAndNull(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	today := good(t, s, "daily", on("20260514"), "")
	n := len(today.Data.Items)
	count := func(column string, factor float64) (hit []string) {
		t.Helper()
		got := good(t, s, "daily", on("20260514"), "")
		was := today.byCode(t, column)
		for code, v := range got.byCode(t, column) {
			switch {
			case v == was[code]:
			case math.Abs(float(t, v)-factor*float(t, was[code])) < 1e-6:
				hit = append(hit, code)
			default:
				t.Errorf("%s of %s: %s, was %s", column, code, v, was[code])
			}
		}
		return hit
	}
	while(t, s, `{"kind":"scale_column","api":"daily","trade_date":"20260514","columns":["vol"],"factor":100}`, func() {
		if got := count("vol", 100); len(got) != n {
			t.Errorf("vol × 100: %d of %d rows", len(got), n)
		}
		if got := good(t, s, "daily", on("20260513"), "vol"); float(t, got.column(t, "vol")[0]) > 1e9 {
			t.Error("another day is scaled")
		}
	})
	while(t, s, `{"kind":"scale_column","column":"amount","factor":0.001,"n":3}`, func() {
		if got := count("amount", 0.001); len(got) != 3 {
			t.Errorf("amount × 0.001 of 3 rows: %v", got)
		}
	})
	while(t, s, `{"kind":"scale_column","columns":["amount","vol"],"factor":10,"codes":["000001.SZ","600519.SH"]}`, func() {
		if got := count("amount", 10); len(got) != 2 {
			t.Errorf("amount of 2 codes: %v", got)
		}
		if got := count("vol", 10); len(got) != 2 {
			t.Errorf("vol of 2 codes: %v", got)
		}
	})
	while(t, s, `{"kind":"scale_column","api":"moneyflow","columns":["buy_sm_vol"],"factor":100}`, func() {
		for _, v := range good(t, s, "moneyflow", on("20260514"), "").column(t, "buy_sm_vol") {
			if strings.Contains(v, ".") || !strings.HasSuffix(v, "00") && v != "0" {
				t.Fatalf("a whole number × 100 is %s", v)
			}
		}
	})
	nulls := func(api, column string) (n int) {
		for _, v := range good(t, s, api, on("20260514"), "").column(t, column) {
			if v == "null" {
				n++
			}
		}
		return n
	}
	while(t, s, `{"kind":"null_column","api":"daily","columns":["close"]}`, func() {
		if got := nulls("daily", "close"); got != n {
			t.Errorf("close null in %d of %d rows", got, n)
		}
		if got := nulls("daily", "open"); got != 0 {
			t.Errorf("open null in %d rows", got)
		}
	})
	while(t, s, `{"kind":"null_column","api":"daily","columns":["close"],"codes":["600519.SH"]}`, func() {
		if got := nulls("daily", "close"); got != 1 {
			t.Errorf("close null in %d rows", got)
		}
	})
	while(t, s, `{"kind":"null_column","api":"daily_basic","trade_date":"20260514","columns":["*"]}`, func() {
		for _, c := range tusharesim.Columns("daily_basic")[2:18] {
			got := good(t, s, "daily_basic", on("20260514"), "")
			if slices.ContainsFunc(got.column(t, c), func(v string) bool { return v != "null" }) || got.column(t, "ts_code")[0] == "null" {
				t.Errorf("%s is not null throughout", c)
			}
		}
	})
}

func TestMangledAndDropped(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	today := good(t, s, "daily", on("20260514"), "ts_code,close").byCode(t, "close")
	span := func(code string) params {
		return params{"ts_code": code, "start_date": "20260513", "end_date": "20260515"}
	}
	for fault, code := range map[string]string{
		`{"kind":"mangled_code","api":"daily","trade_date":"20260514","codes":["600519.SH"]}`:                    "1600519.SH",
		`{"kind":"mangled_code","api":"daily","trade_date":"20260514","codes":["600519.SH"],"to":["600591.SH"]}`: "600591.SH",
	} {
		while(t, s, fault, func() {
			got := good(t, s, "daily", on("20260514"), "ts_code,close").byCode(t, "close")
			if _, ok := got["600519.SH"]; ok || len(got) != len(today) || got[code] != today["600519.SH"] {
				t.Errorf("%s: %d rows, %q under the new code, old one there %v", fault, len(got), got[code], ok)
			}
			if r := good(t, s, "daily", span("600519.SH"), "trade_date"); len(r.Data.Items) != 2 {
				t.Errorf("%s: the span of the true code has %d rows", fault, len(r.Data.Items))
			}
			if r := good(t, s, "daily", span(code), "ts_code,trade_date"); len(r.Data.Items) != 1 || r.column(t, "ts_code")[0] != `"`+code+`"` {
				t.Errorf("%s: the span of the mangled code has %d rows", fault, len(r.Data.Items))
			}
		})
	}
	while(t, s, `{"kind":"drop_rows","api":"daily","trade_date":"20260514","codes":["600519.SH","000001.SZ"]}`, func() {
		got := good(t, s, "daily", on("20260514"), "ts_code,close").byCode(t, "close")
		if got["600519.SH"] != "" || got["000001.SZ"] != "" || len(got) != len(today)-2 {
			t.Errorf("%d rows of %d, %q and %q still there", len(got), len(today), got["600519.SH"], got["000001.SZ"])
		}
		if r := good(t, s, "daily", span("600519.SH"), "trade_date"); !slices.Equal(r.column(t, "trade_date"), []string{`"20260515"`, `"20260513"`}) {
			t.Errorf("span: %v", r.column(t, "trade_date"))
		}
		if r := good(t, s, "daily_basic", params{"trade_date": "20260514", "ts_code": "600519.SH"}, "close"); len(r.Data.Items) != 1 {
			t.Error("another dataset is hit")
		}
	})
	while(t, s, `{"kind":"drop_rows","api":"stock_basic","codes":["600519.SH"]}`, func() {
		if got := good(t, s, "stock_basic", params{}, "").byCode(t, "name"); got["600519.SH"] != "" || len(got) < 100 {
			t.Errorf("stock_basic: %q among %d", got["600519.SH"], len(got))
		}
	})
	while(t, s, `{"kind":"drop_rows","trade_date":"20260512","end_date":"20260514","share":0.2,"exchange":"SH"}`, func() {
		r := good(t, s, "daily", on("20260514"), "ts_code,close")
		got := r.byCode(t, "close")
		lost, sh := 0, 0
		for code := range today {
			if strings.HasSuffix(code, ".SH") {
				sh++
			}
			if got[code] == "" {
				lost++
				if !strings.HasSuffix(code, ".SH") {
					t.Errorf("%s is lost", code)
				}
			}
		}
		if lost < sh/10 || lost > sh*3/10 {
			t.Errorf("%d of %d are lost, want about a fifth", lost, sh)
		}
		again := good(t, s, "daily", on("20260514"), "ts_code")
		if !slices.Equal(again.column(t, "ts_code"), r.column(t, "ts_code")) {
			t.Error("another call loses other rows")
		}
		if len(good(t, s, "daily", on("20260515"), "").Data.Items) < len(today)-3 {
			t.Error("a day after the span is hit")
		}
	})
}

func TestClosedDays(t *testing.T) {
	o := small()
	o.Now = at(time.Date(2026, 5, 18, 21, 0, 0, 0, tusharesim.Beijing))
	s := tusharesim.StartTest(t, o)
	friday := good(t, s, "daily_basic", on("20260515"), "")
	while(t, s, `{"kind":"closed_days","trade_date":"20260516"}`, func() {
		got := good(t, s, "daily_basic", on("20260516"), "")
		if len(got.Data.Items) != len(friday.Data.Items) || got.column(t, "trade_date")[0] != `"20260516"` || !slices.Equal(got.column(t, "close"), friday.column(t, "close")) {
			t.Errorf("Saturday has %d rows, Friday %d", len(got.Data.Items), len(friday.Data.Items))
		}
		if r := good(t, s, "daily_basic", on("20260517"), ""); len(r.Data.Items) != 0 {
			t.Errorf("Sunday has %d rows", len(r.Data.Items))
		}
	})
	span := params{"ts_code": "000001.SZ", "start_date": "20260514", "end_date": "20260518"}
	while(t, s, `{"kind":"closed_days","api":"daily"}`, func() {
		r := good(t, s, "daily", span, "trade_date,close")
		if got := r.column(t, "trade_date"); !slices.Equal(got, []string{`"20260518"`, `"20260517"`, `"20260516"`, `"20260515"`, `"20260514"`}) {
			t.Fatalf("span: %v", got)
		}
		if c := r.column(t, "close"); c[1] != c[3] || c[2] != c[3] || c[0] == c[1] {
			t.Errorf("span: closes %v", c)
		}
	})
	while(t, s, `{"kind":"closed_days","mode":"as_is","codes":["000001.SZ"]}`, func() {
		r := good(t, s, "daily", on("20260517"), "")
		if len(r.Data.Items) != 1 || r.column(t, "trade_date")[0] != `"20260515"` || r.column(t, "ts_code")[0] != `"000001.SZ"` {
			t.Errorf("as it is: %d rows", len(r.Data.Items))
		}
		if r := good(t, s, "daily", span, ""); len(r.Data.Items) != 3 {
			t.Errorf("as it is: the span has %d rows", len(r.Data.Items))
		}
		if fs := s.Faults(); fs[0].Happened != 1 {
			t.Errorf("it happened %d times, want 1: open days and spans do not count", fs[0].Happened)
		}
	})
}

func TestLongLists(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	codes := []string{}
	for _, c := range good(t, s, "daily", on("20260514"), "ts_code").column(t, "ts_code") {
		codes = append(codes, strings.Trim(c, `"`))
	}
	slices.Reverse(codes)
	list := func(n int) params {
		return params{"ts_code": strings.Join(codes[:n], ","), "start_date": "20260514", "end_date": "20260514"}
	}
	while(t, s, `{"kind":"long_list","api":"daily"}`, func() {
		if r := good(t, s, "daily", list(100), ""); len(r.Data.Items) != 100 {
			t.Errorf("100 codes: %d rows", len(r.Data.Items))
		}
		refused(t, s, "daily", list(101), 50101, "查询数据失败，请确认参数！可以反馈管理员协助您排查问题")
	})
	while(t, s, `{"kind":"long_list","n":20,"code":-2001,"text":"列表过长"}`, func() {
		refused(t, s, "daily", list(21), -2001, "列表过长")
	})
	while(t, s, `{"kind":"long_list","mode":"cut","n":20}`, func() {
		r := good(t, s, "daily", list(60), "ts_code")
		got := []string{}
		for _, c := range r.column(t, "ts_code") {
			got = append(got, strings.Trim(c, `"`))
		}
		want := slices.Sorted(slices.Values(codes[:20]))
		if !slices.Equal(got, want) || *r.Data.HasMore {
			t.Errorf("cut: %v, want %v", got, want)
		}
	})
}

func TestRowFaultsRefused(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	for _, f := range []string{
		`{"kind":"scale_column","columns":["vol"]}`, `{"kind":"scale_column","factor":2}`, `{"kind":"null_column"}`,
		`{"kind":"null_column","api":"daily","columns":["total_mv"]}`, `{"kind":"drop_rows"}`, `{"kind":"mangled_code"}`,
		`{"kind":"mangled_code","codes":["000001.SZ"],"to":["1","2"]}`, `{"kind":"stale","api":"stock_basic"}`,
		`{"kind":"stale","source_date":"today"}`, `{"kind":"stale","end_date":"20260514"}`,
		`{"kind":"stale","trade_date":"20260514","end_date":"20260513"}`, `{"kind":"drop_rows","share":2}`,
		`{"kind":"stale","mode":"cut"}`, `{"kind":"empty","mode":"as_is"}`,
		`{"kind":"swap_columns","columns":["pe"]}`, `{"kind":"round_column","columns":["pe"]}`,
	} {
		status, out, err := post(t, s.URL+"/_sim/faults", []byte(f))
		var e struct{ Error string }
		if err != nil || status != http.StatusBadRequest || json.Unmarshal(out, &e) != nil || e.Error == "" {
			t.Errorf("%s: HTTP %d %s", f, status, out)
		}
	}
}

func TestRowFaultsOnRecordedData(t *testing.T) {
	s := tusharesim.StartTest(t, tusharesim.Options{ReplayDir: realdata(t), Now: at(evening)})
	day := map[string]string{"trade_date": "20260401"}
	n, err := s.RowCount("daily", day)
	if err != nil || n < 5000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	control(t, s, http.MethodPost, "suspensions", `{"trade_date":"20260401","share":0.5}`, http.StatusBadRequest)
	while(t, s, `{"kind":"drop_rows","api":"daily","codes":["600519.SH"]}`, func() {
		if r := good(t, s, "daily", on("20260401"), "ts_code"); len(r.Data.Items) != n-1 {
			t.Errorf("%d rows of %d", len(r.Data.Items), n)
		}
	})
	while(t, s, `{"kind":"stale","api":"daily","trade_date":"20260401"}`, func() {
		r := good(t, s, "daily", on("20260401"), "ts_code,trade_date")
		if r.column(t, "trade_date")[0] != `"20260401"` || len(r.Data.Items) == n {
			t.Errorf("%d rows, as many as the true day", len(r.Data.Items))
		}
	})
	while(t, s, `{"kind":"closed_days","api":"daily","source_date":"20260401"}`, func() {
		if r := good(t, s, "daily", on("20260404"), "ts_code"); len(r.Data.Items) != n {
			t.Errorf("Saturday has %d rows, want %d", len(r.Data.Items), n)
		}
	})
}

// TestOddAnswers: values set, dates with dashes, a day of the calendar turned over,
// everybody suspended, pages late and without end, a mark before the reply, a redirect.
func TestOddAnswers(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	plain := good(t, s, "daily", on("20260514"), "")
	while(t, s, `{"kind":"set_column","api":"daily","columns":["close"],"text":"\"-\"","n":2}`, func() {
		for i, c := range good(t, s, "daily", on("20260514"), "").column(t, "close") {
			if (c == `"-"`) != (i < 2) {
				t.Errorf("close %d is %s", i, c)
			}
		}
	})
	while(t, s, `{"kind":"dashed_dates","api":"daily"}`, func() {
		if got := good(t, s, "daily", on("20260514"), "").column(t, "trade_date")[0]; got != `"2026-05-14"` {
			t.Errorf("trade_date is %s", got)
		}
	})
	while(t, s, `{"kind":"flipped_day","trade_date":"20260514"}`, func() {
		got := good(t, s, "trade_cal", params{"start_date": "20260513", "end_date": "20260515"}, "")
		if open := got.column(t, "is_open"); strings.Join(open, "") != "101" {
			t.Errorf("is_open is %v", open)
		}
	})
	while(t, s, `{"kind":"all_suspended"}`, func() {
		got, listed := good(t, s, "suspend_d", on("20260514"), ""), good(t, s, "stock_basic", nil, "ts_code")
		if !slices.Equal(got.column(t, "ts_code"), listed.column(t, "ts_code")) {
			t.Errorf("%d of %d are suspended", len(got.Data.Items), len(listed.Data.Items))
		}
	})
	while(t, s, `{"kind":"late_page","api":"daily"}`, func() {
		second := good(t, s, "daily", params{"trade_date": "20260514", "limit": 10, "offset": 10}, "")
		if !slices.Equal(second.column(t, "ts_code"), plain.column(t, "ts_code")[:10]) {
			t.Errorf("the second page is %v", second.column(t, "ts_code"))
		}
	})
	while(t, s, `{"kind":"endless","api":"daily"}`, func() {
		if got := good(t, s, "daily", on("20260514"), ""); got.Data.HasMore == nil || !*got.Data.HasMore {
			t.Error("has_more is false")
		}
	})
	while(t, s, `{"kind":"bom"}`, func() {
		if _, b, err := post(t, s.URL, request("daily", on("20260514"), "")); err != nil || !strings.HasPrefix(string(b), "\ufeff{") {
			t.Errorf("%v %.20q", err, b)
		}
	})
	while(t, s, `{"kind":"redirect"}`, func() {
		b, _ := json.Marshal(request("daily", on("20260514"), ""))
		res, err := http.DefaultTransport.RoundTrip(newRequest(t, s.URL, string(b)))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusFound || res.Header.Get("Location") == "" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	})
	for _, bad := range []string{`{"kind":"set_column","columns":["close"],"text":"-"}`, `{"kind":"set_column","text":"1"}`, `{"kind":"flipped_day"}`} {
		control(t, s, http.MethodPost, "faults", bad, http.StatusBadRequest)
	}
}

func newRequest(t *testing.T, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestMovedColumns: columns of the row before, of each other, and rounded.
func TestMovedColumns(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	clean := good(t, s, "daily_basic", on("20260514"), "")
	codes, pb := clean.column(t, "ts_code"), clean.column(t, "pb")
	pe, ttm := clean.column(t, "pe"), clean.column(t, "pe_ttm")
	while(t, s, `{"kind":"shift_column","api":"daily_basic","columns":["pb"],"trade_date":"20260514"}`, func() {
		got := good(t, s, "daily_basic", on("20260514"), "")
		if !slices.Equal(got.column(t, "ts_code"), codes) || !slices.Equal(got.column(t, "pb")[1:], pb[:len(pb)-1]) || !slices.Equal(got.column(t, "pe"), pe) {
			t.Error("pb is not that of the row before, or another column changed")
		}
		one := good(t, s, "daily_basic", params{"trade_date": "20260514", "ts_code": strings.Trim(codes[5], `"`)}, "")
		if one.column(t, "pb")[0] != pb[4] {
			t.Error("a call for one code has another pb")
		}
	})
	while(t, s, `{"kind":"swap_columns","api":"daily_basic","columns":["pe","pe_ttm"],"trade_date":"20260514"}`, func() {
		got := good(t, s, "daily_basic", on("20260514"), "")
		if !slices.Equal(got.column(t, "pe"), ttm) || !slices.Equal(got.column(t, "pe_ttm"), pe) {
			t.Error("pe and pe_ttm are not exchanged")
		}
	})
	while(t, s, `{"kind":"round_column","api":"daily_basic","columns":["pb"],"factor":0.1,"trade_date":"20260514"}`, func() {
		for i, cell := range good(t, s, "daily_basic", on("20260514"), "").column(t, "pb") {
			if pb[i] == "null" {
				continue
			}
			if v := float(t, cell); math.Abs(v-float(t, pb[i])) > 0.05001 || math.Abs(10*v-math.Round(10*v)) > 1e-6 {
				t.Fatalf("%s became %s", pb[i], cell)
			}
		}
	})
	if code := strings.Trim(codes[3], `"`); code != "" {
		while(t, s, `{"kind":"all_suspended","codes":["`+code+`"]}`, func() {
			if got := good(t, s, "suspend_d", on("20260514"), "").column(t, "ts_code"); len(got) != 1 || got[0] != codes[3] {
				t.Errorf("suspended are %v", got)
			}
		})
	}
}
