package tusharesim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

var thursday = params{"trade_date": "20260514"}

func TestTransportFaults(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	body := request("daily", thursday, "")
	for kind, want := range map[tusharesim.FaultKind]int{tusharesim.HTTP500: 500, tusharesim.HTTP502: 502, tusharesim.HTTP503: 503, tusharesim.HTTP403: 403} {
		mustFault(t, s, tusharesim.Fault{Kind: kind, Count: 1})
		if status, out, err := post(t, s.URL, body); err != nil || status != want || json.Valid(out) {
			t.Errorf("%s: %d %v %.80s", kind, status, err, out)
		}
	}
	for _, after := range []int{0, 30} {
		mustFault(t, s, tusharesim.Fault{Kind: tusharesim.HTTP429, RetryAfter: after, Count: 1})
		b, _ := json.Marshal(body)
		res, err := client(t).Post(s.URL, "application/json", strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if want := map[int]string{30: "30"}[after]; res.StatusCode != 429 || res.Header.Get("Retry-After") != want {
			t.Errorf("429: %d, Retry-After %q, want %q", res.StatusCode, res.Header.Get("Retry-After"), want)
		}
	}
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.HTMLPage, Count: 1})
	if status, out, err := post(t, s.URL, body); err != nil || status != 200 || !strings.Contains(string(out), "<html>") {
		t.Errorf("html: %d %v %.80s", status, err, out)
	}
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.MalformedJSON, Count: 1})
	if status, out, err := post(t, s.URL, body); err != nil || status != 200 || json.Valid(out) || len(out) < 1000 {
		t.Errorf("malformed: %d %v, valid %v", status, err, json.Valid(out))
	}
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.TruncatedBody, Count: 1})
	if _, out, err := post(t, s.URL, body); !errors.Is(err, io.ErrUnexpectedEOF) || len(out) < 1000 {
		t.Errorf("truncated: %v after %d bytes", err, len(out))
	}
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.Reset, Count: 1})
	if _, _, err := post(t, s.URL, body); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("reset: %v", err)
	}
	if left := s.Faults(); len(left) != 0 {
		t.Errorf("faults with a count are still there: %+v", left)
	}
	good(t, s, "daily", thursday, "")
}

func TestHang(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.Hang, API: "daily"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	done := make(chan int, 1)
	go func() {
		status, _, err := post(t, s.URL, request("daily", thursday, ""))
		if err != nil {
			status = -1
		}
		done <- status
	}()
	if err := s.WaitHanging(ctx, 1); err != nil {
		t.Fatal(err)
	}
	good(t, s, "moneyflow", thursday, "ts_code")
	s.ClearFaults()
	if got := <-done; got != 200 {
		t.Errorf("a released call ended with %d", got)
	}

	// A caller that goes away frees its call.
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.Hang})
	gone, leave := context.WithCancel(ctx)
	go func() {
		b, _ := json.Marshal(request("daily", thursday, ""))
		req, _ := http.NewRequestWithContext(gone, http.MethodPost, s.URL, strings.NewReader(string(b)))
		res, err := client(t).Do(req)
		if err == nil {
			res.Body.Close()
		}
		done <- 0
	}()
	if err := s.WaitHanging(ctx, 1); err != nil {
		t.Fatal(err)
	}
	leave()
	<-done
}

func TestAccountFaults(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	const more = "https://tushare.pro/document/1?doc_id=108。"
	for _, c := range []struct {
		f    tusharesim.Fault
		code int
		msg  string
	}{
		{tusharesim.Fault{Kind: tusharesim.BadToken}, 40101, "您的token不对，请确认。"},
		{tusharesim.Fault{Kind: tusharesim.NoPermission}, 40203, "抱歉，您没有接口(fund_daily)访问权限，权限的具体详情访问：" + more},
		{tusharesim.Fault{Kind: tusharesim.TooManyIPs}, 40204, "您的IP数量超限，最大数量为2个！"},
		{tusharesim.Fault{Kind: tusharesim.BadRequest}, 50101, "查询数据失败，请确认参数！可以反馈管理员协助您排查问题"},
		{tusharesim.Fault{Kind: tusharesim.MinuteLimit}, 40203, "抱歉，您每分钟最多访问该接口200次，权限的具体详情访问：" + more},
		{tusharesim.Fault{Kind: tusharesim.HourLimit, N: 3, Text: "new"}, 40203, "抱歉，您访问接口(fund_daily)频率超限(3次/小时)，具体频次详情：" + more},
		{tusharesim.Fault{Kind: tusharesim.DayQuota, N: 8000}, 40203, "抱歉，您每天最多访问该接口8000次，权限的具体详情访问：" + more},
		{tusharesim.Fault{Kind: tusharesim.DayQuota, N: 5, Text: "new"}, 40203, "抱歉，您访问接口(fund_daily)频率超限(5次/天)，具体频次详情：" + more},
		{tusharesim.Fault{Kind: tusharesim.AnyCode, Code: 50101, Text: "系统内部错误 (MySQL server has gone away)"}, 50101, "系统内部错误 (MySQL server has gone away)"},
		{tusharesim.Fault{Kind: tusharesim.AnyCode, Code: 40201, Text: "每分钟最多访问该接口200次"}, 40201, "每分钟最多访问该接口200次"},
		{tusharesim.Fault{Kind: tusharesim.AnyCode, Code: -2001, Text: "empty"}, -2001, "empty"},
		{tusharesim.Fault{Kind: tusharesim.AnyCode, Code: -1000}, -1000, ""},
		{tusharesim.Fault{Kind: tusharesim.DataNull}, 0, ""},
	} {
		c.f.Count = 1
		mustFault(t, s, c.f)
		refused(t, s, "fund_daily", thursday, c.code, c.msg)
	}
}

func TestDataFaults(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	whole := good(t, s, "daily", thursday, "")
	n := len(whole.Data.Items)
	one := func(f tusharesim.Fault, p params) *reply {
		t.Helper()
		f.Count = 1
		mustFault(t, s, f)
		return good(t, s, "daily", p, "")
	}

	if r := one(tusharesim.Fault{Kind: tusharesim.Empty}, thursday); len(r.Data.Items) != 0 || *r.Data.HasMore {
		t.Errorf("empty: %d rows", len(r.Data.Items))
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.HalfDay}, thursday); len(r.Data.Items) != n/2 || *r.Data.HasMore {
		t.Errorf("half a day: %d of %d rows", len(r.Data.Items), n)
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.SilentTruncation, N: 100}, thursday); len(r.Data.Items) != 100 || *r.Data.HasMore {
		t.Errorf("silent truncation: %d rows, has_more %v", len(r.Data.Items), *r.Data.HasMore)
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.DuplicateRows, N: 7}, thursday); len(r.Data.Items) != n+7 || string(r.Data.Items[n+6][0]) != string(whole.Data.Items[6][0]) {
		t.Errorf("duplicate rows: %d of %d", len(r.Data.Items), n)
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.OtherDate}, thursday); slices.ContainsFunc(r.column(t, "trade_date"), func(d string) bool { return d != `"20260513"` }) {
		t.Error("other date: not all rows are of the day before")
	}

	// The second page is the first again, and the first page does not use it up.
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.RepeatedPage, Count: 1})
	first := good(t, s, "daily", params{"trade_date": "20260514", "limit": 50}, "")
	second := good(t, s, "daily", params{"trade_date": "20260514", "limit": 50, "offset": 50}, "")
	if !slices.Equal(first.column(t, "ts_code"), second.column(t, "ts_code")) || !*second.Data.HasMore {
		t.Error("repeated page: the second page differs from the first")
	}

	num := func(r *reply, col string, i int) float64 {
		v, err := strconv.ParseFloat(r.column(t, col)[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.WrongValue, N: 3}, thursday); !(num(r, "high", 0) < num(r, "low", 0) && num(r, "high", 2) < num(r, "low", 2) && num(r, "high", 3) >= num(r, "low", 3)) {
		t.Error("wrong value: high is not below low in the first three rows only")
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: "negative"}, thursday); num(r, "vol", 0) >= 0 {
		t.Error("wrong value: vol is not negative")
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: "null", Column: "open"}, thursday); r.column(t, "open")[0] != "null" {
		t.Error("wrong value: open is not null")
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: "text"}, thursday); r.column(t, "close")[0] != `"--"` {
		t.Error("wrong value: close is not text")
	}
	if r := one(tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: "tenfold"}, thursday); math.Abs(num(r, "close", 0)-10*num(whole, "close", 0)) > 1e-6 {
		t.Errorf("wrong value: close is %v", num(r, "close", 0))
	}
	for _, api := range []string{"daily_basic", "moneyflow"} {
		mustFault(t, s, tusharesim.Fault{Kind: tusharesim.WrongValue, Count: 1})
		col := map[string]string{"daily_basic": "turnover_rate", "moneyflow": "buy_sm_vol"}[api]
		if r := good(t, s, api, thursday, ""); num(r, col, 0) >= 0 {
			t.Errorf("wrong value: %s of %s is not negative", col, api)
		}
	}
	if got := good(t, s, "daily", thursday, ""); !slices.Equal(got.column(t, "close"), whole.column(t, "close")) {
		t.Error("after the faults the day is another")
	}
}

func TestFaultMatching(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	status := func(api string, p params) int {
		st, _, err := post(t, s.URL, request(api, p, ""))
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	id := mustFault(t, s, tusharesim.Fault{Kind: tusharesim.HTTP500, API: "daily", TradeDate: "20260514"})
	for _, c := range []struct {
		api  string
		p    params
		want int
	}{
		{"daily", thursday, 500},
		{"daily", params{"trade_date": "20260513"}, 200},
		{"daily", params{"ts_code": "000001.SZ", "start_date": "20260501", "end_date": "20260515"}, 500},
		{"daily", params{"ts_code": "000001.SZ", "start_date": "20260515"}, 200},
		{"daily", params{"ts_code": "000001.SZ", "end_date": "20260514"}, 500},
		{"daily_basic", thursday, 200},
	} {
		if got := status(c.api, c.p); got != c.want {
			t.Errorf("%s %v: %d, want %d", c.api, c.p, got, c.want)
		}
	}
	if fs := s.Faults(); len(fs) != 1 || fs[0].Happened != 3 {
		t.Errorf("faults %+v", fs)
	}
	if !s.RemoveFault(id) || s.RemoveFault(id) {
		t.Error("removing twice")
	}
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.HTTP502, Skip: 2, Count: 1})
	var got []int
	for range 4 {
		got = append(got, status("daily", thursday))
	}
	if !slices.Equal(got, []int{200, 200, 502, 200}) {
		t.Errorf("skip 2, count 1: %v", got)
	}
	draw := func() (hits []int) {
		o := small()
		o.Seed = 7
		s := tusharesim.StartTest(t, o)
		mustFault(t, s, tusharesim.Fault{Kind: tusharesim.Empty, Probability: 0.3})
		for i := range 60 {
			if len(good(t, s, "daily", thursday, "ts_code").Data.Items) == 0 {
				hits = append(hits, i)
			}
		}
		return hits
	}
	a, b := draw(), draw()
	if !slices.Equal(a, b) || len(a) < 8 || len(a) > 30 {
		t.Errorf("probability 0.3 of 60: %v and %v", a, b)
	}
	for _, f := range []tusharesim.Fault{{Kind: "no"}, {Kind: "empty", API: "no"}, {Kind: "empty", TradeDate: "today"}, {Kind: "empty", Probability: 2}, {Kind: "empty", Count: -1}, {Kind: "wrong_value", Mode: "no"}, {Kind: "day_quota", Text: "no"}, {Kind: "code"}, {Kind: "empty", Text: "no"}} {
		if _, err := s.AddFault(f); err == nil {
			t.Errorf("%+v was accepted", f)
		}
	}
}

func TestRevise(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	day := map[string]string{"trade_date": "20260514"}
	for _, api := range []string{"daily", "daily_basic", "moneyflow", "fund_daily"} {
		before, err := s.Rows(api, day)
		if err != nil {
			t.Fatal(err)
		}
		rev, err := s.Revise(tusharesim.Revision{API: api, TradeDate: "20260514", Change: 4, Drop: 3, Withhold: 2})
		if err != nil || len(rev.Changed) != 4 || len(rev.Dropped) != 3 || len(rev.Withheld) != 2 {
			t.Fatalf("%s: %+v, %v", api, rev, err)
		}
		after, err := s.Rows(api, day)
		if err != nil {
			t.Fatal(err)
		}
		if len(after.Rows) != len(before.Rows)-3 {
			t.Errorf("%s: the truth has %d rows, had %d", api, len(after.Rows), len(before.Rows))
		}
		changed := 0
		old := map[any][]any{}
		for _, r := range before.Rows {
			old[r[0]] = r
		}
		for _, r := range after.Rows {
			if !slices.Equal(r, old[r[0]]) {
				changed++
				if !slices.Contains(rev.Changed, r[0].(string)) {
					t.Errorf("%s: %v changed unasked", api, r[0])
				}
			}
		}
		if changed != 4 {
			t.Errorf("%s: %d rows changed", api, changed)
		}
		shown := len(good(t, s, api, thursday, "").Data.Items)
		if shown != len(after.Rows)-2 {
			t.Errorf("%s: %d rows shown of %d", api, shown, len(after.Rows))
		}
		if err := s.Release(api, "20260514"); err != nil {
			t.Fatal(err)
		}
		if shown = len(good(t, s, api, thursday, "").Data.Items); shown != len(after.Rows) {
			t.Errorf("%s: released, %d rows shown of %d", api, shown, len(after.Rows))
		}
		equalTruth(t, s, api, thursday)
	}
	s.ClearRevisions()
	if _, err := s.Revise(tusharesim.Revision{API: "daily", TradeDate: "20260514", Drop: 1, Codes: []string{"999999.SH"}}); err == nil {
		t.Error("a code without a row was accepted")
	}
	if _, err := s.Revise(tusharesim.Revision{API: "daily", TradeDate: "20260516", Drop: 1}); err == nil {
		t.Error("a closed day was accepted")
	}
	if _, err := s.Revise(tusharesim.Revision{API: "stock_basic", TradeDate: "20260514"}); err == nil {
		t.Error("a list was accepted")
	}
}

// equalTruth compares a reply with the truth, value by value.
func equalTruth(t *testing.T, s *tusharesim.Server, api string, p params) {
	t.Helper()
	text := map[string]string{}
	for k, v := range p {
		text[k] = v.(string)
	}
	want, err := s.Rows(api, text)
	if err != nil {
		t.Fatal(err)
	}
	got := good(t, s, api, p, "")
	if len(got.Data.Items) != len(want.Rows) || !slices.Equal(got.Data.Fields, want.Fields) {
		t.Fatalf("%s %v: %d rows of %v, want %d of %v", api, p, len(got.Data.Items), got.Data.Fields, len(want.Rows), want.Fields)
	}
	for i, it := range got.Data.Items {
		for j, raw := range it {
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			if v != want.Rows[i][j] {
				t.Fatalf("%s row %d %s: got %v, want %v", api, i, want.Fields[j], v, want.Rows[i][j])
			}
		}
	}
}

func TestTruthEqualsReplies(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	for _, api := range []string{"daily", "daily_basic", "moneyflow", "fund_daily"} {
		equalTruth(t, s, api, thursday)
		equalTruth(t, s, api, params{"ts_code": map[bool]string{true: "510300.SH", false: "000001.SZ"}[api == "fund_daily"], "start_date": "20200101", "end_date": "20260515"})
	}
	for _, api := range []string{"stock_basic", "fund_basic"} {
		equalTruth(t, s, api, params{})
	}
	equalTruth(t, s, "trade_cal", params{"start_date": "20200101"})
	if _, err := s.Rows("daily", nil, "nonsense"); err == nil {
		t.Error("an unknown column was accepted")
	}
	if _, err := s.Rows("nonsense", nil); err == nil {
		t.Error("an unknown interface was accepted")
	}
}
