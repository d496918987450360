package tusharesim_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

func TestLimits(t *testing.T) {
	const more = "https://tushare.pro/document/1?doc_id=108。"
	now := time.Date(2026, 5, 15, 20, 0, 30, 0, tusharesim.Beijing)
	for _, c := range []struct {
		name  string
		l     tusharesim.Limit
		msg   string
		again time.Duration
	}{
		{"minute old", tusharesim.Limit{N: 2, Per: "minute"}, "抱歉，您每分钟最多访问该接口2次，权限的具体详情访问：" + more, 30 * time.Second},
		{"minute new", tusharesim.Limit{N: 2, Per: "minute", Text: "new"}, "抱歉，您访问接口(daily)频率超限(2次/分钟)，具体频次详情：" + more, 30 * time.Second},
		{"hour old", tusharesim.Limit{N: 2, Per: "hour"}, "抱歉，您每小时最多访问该接口2次，权限的具体详情访问：" + more, time.Hour - 30*time.Second},
		{"hour new", tusharesim.Limit{N: 2, Per: "hour", Text: "new"}, "抱歉，您访问接口(daily)频率超限(2次/小时)，具体频次详情：" + more, time.Hour - 30*time.Second},
		{"day old", tusharesim.Limit{N: 2, Per: "day"}, "抱歉，您每天最多访问该接口2次，权限的具体详情访问：" + more, 4*time.Hour - 30*time.Second},
		{"day new", tusharesim.Limit{N: 2, Per: "day", Text: "new"}, "抱歉，您访问接口(daily)频率超限(2次/天)，具体频次详情：" + more, 4*time.Hour - 30*time.Second},
		{"rolling minute", tusharesim.Limit{N: 2, Per: "minute", Rolling: true}, "抱歉，您每分钟最多访问该接口2次，权限的具体详情访问：" + more, time.Minute},
		{"one interface", tusharesim.Limit{API: "daily", N: 2, Per: "minute"}, "抱歉，您每分钟最多访问该接口2次，权限的具体详情访问：" + more, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := now
			o := small()
			o.Now = func() time.Time { return clock }
			o.Limits = []tusharesim.Limit{c.l}
			s := tusharesim.StartTest(t, o)
			good(t, s, "daily", thursday, "ts_code")
			good(t, s, "daily", thursday, "ts_code")
			refused(t, s, "daily", thursday, 40203, c.msg)
			good(t, s, "moneyflow", thursday, "ts_code")
			clock = now.Add(c.again - time.Second)
			refused(t, s, "daily", thursday, 40203, c.msg)
			clock = now.Add(c.again)
			good(t, s, "daily", thursday, "ts_code")
		})
	}
}

func TestLimitCountsRefusedWhenTold(t *testing.T) {
	clock := time.Date(2026, 5, 15, 20, 0, 0, 0, tusharesim.Beijing)
	o := small()
	o.Now = func() time.Time { return clock }
	o.Limits = []tusharesim.Limit{{N: 1, Per: "minute", Rolling: true, CountRefused: true}}
	s := tusharesim.StartTest(t, o)
	good(t, s, "daily", thursday, "ts_code")
	clock = clock.Add(40 * time.Second)
	if *call(t, s, "daily", thursday, "").Code != 40203 {
		t.Fatal("not refused")
	}
	clock = clock.Add(40 * time.Second)
	if *call(t, s, "daily", thursday, "").Code != 40203 {
		t.Error("the refused call did not count")
	}
}

func TestTokensAndPermissions(t *testing.T) {
	o := small()
	o.Tokens = map[string]tusharesim.Grant{"low-token-000000000": {Points: 2000}, "top-token-000000000": {Deny: []string{"fund_basic"}}}
	s := tusharesim.StartTest(t, o)
	as := func(token, api string) *reply {
		t.Helper()
		p := params{}
		if api == "fund_daily" {
			p = thursday
		}
		b := request(api, p, "ts_code")
		b["token"] = token
		_, out, err := post(t, s.URL, b)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" && bytes.Contains(out, []byte(token)) {
			t.Fatalf("the token is in the reply: %s", out)
		}
		return parse(t, out)
	}
	expect := func(token, api string, code int) {
		t.Helper()
		if r := as(token, api); *r.Code != code {
			t.Errorf("%s with %q: %d %s, want %d", api, token, *r.Code, *r.Msg, code)
		}
	}
	expect("", "stock_basic", 40101)
	expect("another-token-0000", "stock_basic", 40101)
	expect("low-token-000000000", "stock_basic", 0)
	expect("low-token-000000000", "fund_daily", 40203)
	expect("top-token-000000000", "fund_daily", 0)
	expect("top-token-000000000", "fund_basic", 40203)
	if r := as("low-token-000000000", "fund_daily"); *r.Msg != "抱歉，您没有接口(fund_daily)访问权限，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。" {
		t.Errorf("permission text %q", *r.Msg)
	}
	s.RevokeToken("top-token-000000000")
	expect("top-token-000000000", "fund_daily", 40101)
	expect("low-token-000000000", "stock_basic", 0)
	s.RevokeToken("")
	expect("low-token-000000000", "stock_basic", 40101)
	s.RestoreTokens()
	expect("top-token-000000000", "fund_daily", 0)
	if err := s.Deny("fund_daily"); err != nil {
		t.Fatal(err)
	}
	expect("top-token-000000000", "fund_daily", 40203)
	if err := s.Allow(); err != nil {
		t.Fatal(err)
	}
	expect("top-token-000000000", "fund_daily", 0)
	if err := s.SetTokens(nil); err != nil {
		t.Fatal(err)
	}
	expect("another-token-0000", "stock_basic", 0)
	expect("", "stock_basic", 40101)
}

// A caller may put its token anywhere; no output of the simulator has it.
func TestTokenIsNeverTold(t *testing.T) {
	const token = "secret-token-9f8e7d6c5b4a"
	o := small()
	o.Tokens = map[string]tusharesim.Grant{token: {}}
	s := tusharesim.StartTest(t, o)
	for _, b := range []map[string]any{
		{"api_name": "daily", "token": token, "params": params{"trade_date": "20260514", "token": token, "x": "has " + token, token: "k"}, "fields": "ts_code," + token},
		{"api_name": token, "token": token},
		{"api_name": "daily", "token": token, "params": params{"ts_code": token}},
	} {
		_, out, err := post(t, s.URL, b)
		if err != nil || bytes.Contains(out, []byte(token)) {
			t.Errorf("reply: %v %s", err, out)
		}
	}
	s.RevokeToken(token)
	post(t, s.URL+"/_sim/tokens", map[string]any{"revoke": token})
	for _, path := range []string{"/_sim/", "/_sim/stats", "/_sim/calls", "/_sim/faults"} {
		res, err := client(t).Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		b.ReadFrom(res.Body)
		res.Body.Close()
		if strings.Contains(b.String(), token) || !json.Valid(b.Bytes()) {
			t.Errorf("%s shows the token: %s", path, b.String())
		}
	}
	if _, out, _ := post(t, s.URL+"/_sim/tokens", []byte(`{"revoke":"`+token)); bytes.Contains(out, []byte(token)) {
		t.Errorf("an error shows the token: %s", out)
	}
	if _, out, _ := post(t, s.URL+"/_sim/tokens", []byte(`{"`+token+`":1}`)); bytes.Contains(out, []byte(token)) {
		t.Errorf("an error shows the token: %s", out)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := tusharesim.New(tusharesim.Options{Stocks: 50, Funds: -1, Latency: 100 * time.Millisecond, Jitter: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		took := func() time.Duration {
			start := time.Now()
			b, _ := json.Marshal(request("trade_cal", params{"limit": 1}, ""))
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(b))
			s.Handler().ServeHTTP(&recorder{head: http.Header{}}, r)
			return time.Since(start)
		}
		lo, hi := time.Hour, time.Duration(0)
		for range 50 {
			d := took()
			lo, hi = min(lo, d), max(hi, d)
		}
		if lo < 100*time.Millisecond || hi >= 150*time.Millisecond || hi-lo < 20*time.Millisecond {
			t.Errorf("latency between %v and %v", lo, hi)
		}
		s.SetLatency(0, 0)
		if _, err := s.AddFault(tusharesim.Fault{Kind: tusharesim.Slow, DelayMS: 3000, Count: 1}); err != nil {
			t.Fatal(err)
		}
		if d := took(); d != 3*time.Second {
			t.Errorf("slow: %v", d)
		}
		if d := took(); d != 0 {
			t.Errorf("afterwards: %v", d)
		}
	})
}
