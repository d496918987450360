package tushare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

func cal() ingest.Query { return ingest.Query{Dataset: catalog.Lookup(catalog.TradeCal)} }

// scripted answers the n-th call with the n-th body and repeats the last.
func scripted(calls *int, bodies ...string) roundTrip {
	return func(request) (*http.Response, error) {
		body := bodies[min(*calls, len(bodies)-1)]
		*calls++
		return answer(200, body), nil
	}
}

func days(from, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = from + i
	}
	return out
}

func TestRequestIsWhatTheProviderDocuments(t *testing.T) {
	for url, want := range map[string]string{
		"http://provider.test": "http://provider.test/", "http://provider.test/": "http://provider.test/", " https://provider.test/dataapi ": "https://provider.test/dataapi",
		"https://provider.test/dataapi/": "https://provider.test/dataapi",
	} {
		var got request
		c := newClient(t, Config{URL: url, Transport: roundTrip(func(r request) (*http.Response, error) {
			got = r
			return answer(200, dailyBody(2, 20260302)), nil
		})})
		q := ingest.Query{Dataset: catalog.Lookup(catalog.Daily), Params: map[string]string{"trade_date": "20260302"}}
		a, err := c.Fetch(t.Context(), q, nil)
		if err != nil || a.Batch.Len != 2 || a.Calls != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		if got.url != want || got.API != "daily" || got.Token != testToken || len(got.Params) != 1 || got.Params["trade_date"] != "20260302" {
			t.Errorf("%+v", got)
		}
		if got.Fields != "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount" {
			t.Errorf("fields %s", got.Fields)
		}
	}
}

func TestURLIsChecked(t *testing.T) {
	for _, u := range []string{"", "provider.test", "ftp://provider.test", "http://", "http://u:p@provider.test", "http://provider.test/?token=x", "http://provider.test/#x", "http://[::1", "http://:7790", "http://provider.test:99999", "http://provider.test:0", "http://provider.test/?"} {
		if _, err := New(Config{URL: u, Tokens: fixedToken("x"), Limiter: openGate{}}); !fault.Is(err, fault.InvalidArgument) || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v", u, err)
		}
	}
	if _, err := New(Config{URL: "http://provider.test"}); err == nil {
		t.Error("a client without tokens")
	}
}

func TestPagesUntilHasMoreIsFalse(t *testing.T) {
	var asked []string
	c := newClient(t, Config{Transport: roundTrip(func(r request) (*http.Response, error) {
		asked = append(asked, fmt.Sprintf("%d/%d", r.int("offset"), r.int("limit")))
		off := r.int("offset")
		return answer(200, calBody(days(off, min(30, 75-off)), off+30 < 75)), nil
	})})
	var seen []ingest.Progress
	a, err := c.Fetch(t.Context(), cal(), func(p ingest.Progress) { seen = append(seen, p) })
	if err != nil || a.Batch.Len != 75 || a.Calls != 3 || a.Repeated != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	if !slices.Equal(asked, []string{"0/0", "30/30", "60/30"}) {
		t.Errorf("asked %v", asked)
	}
	if len(seen) != 3 || seen[2].Rows != 75 || seen[2].Calls != 3 {
		t.Errorf("progress %+v", seen)
	}
	for i, d := range a.Batch.Column("cal_date").Dates {
		if i > 0 && d != a.Batch.Column("cal_date").Dates[i-1]+1 {
			t.Fatalf("row %d out of order", i)
		}
	}
}

// Truncation is silent: a reply as long as a cap is followed by one more call.
func TestOneMoreCallAfterAFullReply(t *testing.T) {
	for name, c := range map[string]struct{ cap, total, calls int }{
		"documented cap": {4000, 4100, 2}, "exactly the cap": {4000, 4000, 2}, "round thousand": {3000, 3500, 2}, "no cap": {4001, 4001, 1}, "twice": {2000, 4500, 3}, "none": {10, 0, 1},
	} {
		calls := 0
		client := newClient(t, Config{Transport: roundTrip(func(r request) (*http.Response, error) {
			calls++
			off := r.int("offset")
			n := max(0, min(c.cap, c.total-off))
			return answer(200, calBody(days(off, n), false)), nil
		})})
		a, err := client.Fetch(t.Context(), cal(), nil)
		if err != nil || a.Batch.Len != c.total || a.Calls != c.calls || calls != c.calls {
			t.Errorf("%s: %d rows in %d calls, %v", name, a.Batch.Len, a.Calls, err)
		}
	}
}

func TestCapIsLearntFromHasMore(t *testing.T) {
	truthful := true
	c := newClient(t, Config{Transport: roundTrip(func(r request) (*http.Response, error) {
		off := r.int("offset")
		n := max(0, min(37, 50-off))
		return answer(200, calBody(days(off, n), truthful && off+n < 50)), nil
	})})
	for _, truthful = range []bool{true, false} {
		a, err := c.Fetch(t.Context(), cal(), nil)
		if err != nil || a.Batch.Len != 50 || a.Calls != 2 {
			t.Errorf("has_more truthful %v: %d rows in %d calls, %v", truthful, a.Batch.Len, a.Calls, err)
		}
	}
}

func TestOverlapIsDroppedAndCounted(t *testing.T) {
	calls := 0
	c := newClient(t, Config{Transport: scripted(&calls, calBody(days(0, 20), true), calBody(days(15, 20), true), calBody(days(30, 19), false))})
	a, err := c.Fetch(t.Context(), cal(), nil)
	if err != nil || a.Batch.Len != 49 || a.Repeated != 10 {
		t.Fatalf("%d rows, %d repeated, %v", a.Batch.Len, a.Repeated, err)
	}
}

func TestDuplicatesInOneReplyAreDropped(t *testing.T) {
	calls := 0
	c := newClient(t, Config{Transport: scripted(&calls, calBody([]int{1, 2, 3, 2, 1, 4}, false))})
	a, err := c.Fetch(t.Context(), cal(), nil)
	if err != nil || a.Batch.Len != 4 || a.Repeated != 2 {
		t.Fatalf("%d rows, %d repeated, %v", a.Batch.Len, a.Repeated, err)
	}
}

// Which of two values is right is not for the client to say.
func TestOneKeyWithTwoValuesStaysTwice(t *testing.T) {
	row := func(close string) string { return `["600519.SH","20260302",` + close + `]` }
	page := func(rows ...string) string {
		return `{"code":0,"data":{"fields":["ts_code","trade_date","close"],"items":[` + strings.Join(rows, ",") + `],"has_more":` + fmt.Sprint(len(rows) > 2) + `}}`
	}
	calls := 0
	c := newClient(t, Config{Transport: scripted(&calls, page(row("1"), row("2"), row(`"x"`), row(`"y"`)), page(row(`"x"`), row("2")))})
	a, err := c.Fetch(t.Context(), ingest.Query{Dataset: catalog.Lookup(catalog.Daily)}, nil)
	if err != nil || a.Batch.Len != 4 || a.Repeated != 2 || len(a.Bad) != 2 {
		t.Fatalf("%d rows, %d repeated, bad %v, %v", a.Batch.Len, a.Repeated, a.Bad, err)
	}
	if a.Bad[0].Row != 2 || a.Bad[0].Raw != `"x"` || a.Bad[1].Row != 3 || a.Bad[1].Raw != `"y"` {
		t.Errorf("bad %v", a.Bad)
	}
}

func TestBadCellsFollowTheirRows(t *testing.T) {
	calls := 0
	c := newClient(t, Config{Transport: scripted(&calls,
		`{"code":0,"data":{`+calFields+`,"items":[["SSE","20260302",1,null],["SSE","20260302",1,null],["SSE","20260303","open",null]],"has_more":true}}`,
		`{"code":0,"data":{`+calFields+`,"items":[["SSE","20260303","open",null],["SSE","20260304",1,"`+testToken+`"]],"has_more":false}}`)})
	a, err := c.Fetch(t.Context(), cal(), nil)
	if err != nil || a.Batch.Len != 3 || a.Repeated != 2 || len(a.Bad) != 2 {
		t.Fatalf("%d rows, %d repeated, bad %v, %v", a.Batch.Len, a.Repeated, a.Bad, err)
	}
	if a.Bad[0].Row != 1 || a.Bad[1].Row != 2 || a.Bad[1].Raw != `"[token]"` {
		t.Errorf("bad %v", a.Bad)
	}
}

func TestProbeIsOneCall(t *testing.T) {
	var limits []int
	c := newClient(t, Config{Transport: roundTrip(func(r request) (*http.Response, error) {
		limits = append(limits, r.int("limit"))
		return answer(200, calBody(days(0, 1), true)), nil
	})})
	q := cal()
	q.MaxRows = 1
	if a, err := c.Fetch(t.Context(), q, nil); err != nil || a.Batch.Len != 1 || !slices.Equal(limits, []int{1}) {
		t.Errorf("%+v, %v, limits %v", a, err, limits)
	}
}

// reasonIs checks a failure: its reason, its metadata, and that it shows no token.
func reasonIs(t *testing.T, err error, want fault.Reason, keys ...string) *fault.Error {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Reason != want {
		t.Fatalf("err = %v (%s), want %s", err, fault.ReasonOf(err), want)
	}
	d, _ := fault.Describe(want)
	for k, v := range f.Meta {
		if !slices.Contains(d.Keys, k) {
			t.Errorf("metadata %s=%s is not documented for %s", k, v, want)
		}
	}
	for _, k := range keys {
		if f.Meta[k] == "" {
			t.Errorf("metadata lacks %s: %v", k, f.Meta)
		}
	}
	if !strings.HasSuffix(f.Message, ".") || strings.Contains(f.Message, "\n") || len(f.Message) > 600 {
		t.Errorf("not a sentence: %q", f.Message)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if s := fmt.Sprintf("%v %+v %#v", e, f.Meta, e); strings.Contains(s, testToken) {
			t.Errorf("the token shows: %s", s)
		}
	}
	return f
}

// refused fetches under a provider that answers every call alike, echoing the
// token as a hostile one would.
func refused(t *testing.T, code, msg string) (ingest.Answer, error) {
	t.Helper()
	calls := 0
	c := newClient(t, Config{Transport: scripted(&calls, `{"code":`+code+`,"data":null,"msg":"`+msg+` `+testToken+`"}`), Backoff: time.Nanosecond})
	a, err := c.Fetch(t.Context(), cal(), nil)
	if a.Calls != calls || a.Batch != nil {
		t.Errorf("counted %d of %d calls", a.Calls, calls)
	}
	return a, err
}

func TestReasonTokenMissing(t *testing.T) {
	c := newClient(t, Config{Tokens: fixedToken(""), Transport: roundTrip(func(request) (*http.Response, error) {
		t.Error("a call without a token")
		return answer(200, ""), nil
	})})
	_, err := c.Fetch(t.Context(), cal(), nil)
	if f := reasonIs(t, err, fault.TokenMissing); f.Meta["domain"] != "stock" {
		t.Errorf("meta %v", f.Meta)
	}
}

func TestReasonTokenInvalid(t *testing.T) {
	for code, msg := range map[string]string{"40101": "您的token不对，请确认。", `"2002"`: "抱歉，您输入的TOKEN无效！"} {
		a, err := refused(t, code, msg)
		reasonIs(t, err, fault.TokenInvalid, "domain", "module", "api", "provider_code")
		if a.Calls != 1 {
			t.Errorf("asked %d times with a bad token", a.Calls)
		}
	}
}

func TestReasonPermissionDenied(t *testing.T) {
	a, err := refused(t, "40203", "抱歉，您没有接口(fund_daily)访问权限，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。")
	reasonIs(t, err, fault.PermissionDenied, "domain", "module", "api", "provider_code")
	if a.Calls != 1 {
		t.Errorf("asked %d times without permission", a.Calls)
	}
}

func TestReasonTooManyIPs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := refused(t, "40204", "您的IP数量超限，最大数量为2个！")
		f := reasonIs(t, err, fault.TooManyIPs, "domain", "module", "api", "provider_code")
		if a.Calls != 1 || time.Until(f.RetryAt) != 30*time.Minute {
			t.Errorf("%d calls, retry at %v", a.Calls, f.RetryAt)
		}
	})
}

// A refusal may be a failure of the provider, whatever its text: the call is retried, and then the
// provider is unavailable.
func TestARefusalMayPass(t *testing.T) {
	for _, c := range []struct{ code, msg string }{
		{"50101", strings.Repeat("查询数据失败，请确认参数！", 100)}, {"50101", ""}, {"50101", "系统繁忙，请稍后再试"}, {"50101", "MySQL server has gone away"},
		{"1", "必填参数, ts_code"}, {"-1", "请指定正确的接口名"}, {"-1000", "未知错误"}, {"-2001", "argument error"},
	} {
		a, err := refused(t, c.code, c.msg)
		f := reasonIs(t, stripCause(err), fault.ProviderUnavailable, "domain", "module", "api", "cause", "provider_code", "provider_message")
		if a.Calls != 3 || len(f.Meta["provider_message"]) > maxQuoted+3 {
			t.Errorf("%s %s: %d calls, message of %d bytes", c.code, c.msg, a.Calls, len(f.Meta["provider_message"]))
		}
		calls := 0
		client := newClient(t, Config{Backoff: time.Nanosecond, Transport: scripted(&calls, `{"code":`+c.code+`,"data":null,"msg":"`+c.msg+`"}`, goodCal)})
		if a, err := client.Fetch(t.Context(), cal(), nil); err != nil || a.Batch.Len != 2 || a.Calls != 2 {
			t.Errorf("%s %s passed: %+v, %v", c.code, c.msg, a, err)
		}
	}
}

// symbols asks for a list of symbols, which no documentation promises to work.
func symbols() ingest.Query {
	return ingest.Query{Dataset: catalog.Lookup(catalog.Daily), Params: map[string]string{
		"ts_code": "600000.SH,600519.SH", "start_date": "20260302", "end_date": "20260306",
	}}
}

// A refusal is believed when a kind of request that never worked was refused in the
// same words for an hour. One answer makes it doubtful again.
func TestReasonProviderRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		msg, calls := "查询数据失败，请确认参数！", 0
		c := newClient(t, Config{Transport: roundTrip(func(request) (*http.Response, error) {
			calls++
			if msg == "" {
				return answer(200, dailyBody(2, 20260302)), nil
			}
			return answer(200, `{"code":50101,"msg":"`+msg+` `+testToken+`"}`), nil
		})})
		fetch := func(q ingest.Query) (int, error) {
			a, err := c.Fetch(t.Context(), q, nil)
			return a.Calls, err
		}
		for try := range 5 {
			if try == 2 {
				msg = "请确认参数！" // another text starts the count again
			}
			n, err := fetch(symbols())
			reasonIs(t, stripCause(err), fault.ProviderUnavailable, "provider_message")
			if n != 3 {
				t.Errorf("try %d: %d calls", try, n)
			}
			if try < 4 {
				time.Sleep(29 * time.Minute)
			}
		}
		time.Sleep(5 * time.Minute)
		_, err := fetch(symbols())
		reasonIs(t, err, fault.ProviderRefused, "domain", "module", "api", "provider_code", "provider_message")
		faulttest.Produces(t, err, fault.ProviderRefused)
		if n, err := fetch(symbols()); n != 1 || !fault.Is(err, fault.ProviderRefused) {
			t.Errorf("a believed refusal cost %d calls: %v", n, err)
		}
		for range 2 { // a trade date is documented, so its refusal is never believed
			time.Sleep(time.Hour)
			n, err := fetch(ingest.Query{Dataset: catalog.Lookup(catalog.Daily), Params: map[string]string{"trade_date": "20260302"}})
			if n != 3 || !fault.Is(err, fault.ProviderUnavailable) {
				t.Errorf("%d calls, %v", n, err)
			}
		}
		msg = ""
		if n, err := fetch(symbols()); n != 1 || err != nil {
			t.Errorf("%d calls, %v", n, err)
		}
		msg = "请确认参数！"
		for range 6 {
			time.Sleep(time.Hour)
			if n, err := fetch(symbols()); n != 3 || !fault.Is(err, fault.ProviderUnavailable) {
				t.Errorf("after it worked: %d calls, %v", n, err)
			}
		}
	})
}

// A null or a code may mean that there are no rows. The first time the call is repeated, because it
// may be a failure; if rows were announced, it is one.
func TestNoRowsWithoutAList(t *testing.T) {
	for _, none := range []string{`{"code":0,"msg":"","data":null}`, `{"data":null,"code":0}`, `{"code":-2001,"msg":"empty","data":null}`, `{"data":{` + calFields + `,"items":[],"has_more":true},"code":-2001,"msg":""}`} {
		calls := 0
		c := newClient(t, Config{Backoff: time.Nanosecond, Transport: scripted(&calls, none)})
		for _, want := range []int{2, 1} {
			a, err := c.Fetch(t.Context(), cal(), nil)
			if err != nil || a.Batch == nil || a.Batch.Len != 0 || a.Calls != want || len(a.Absent) > 0 {
				t.Errorf("%s: %+v, %v", none, a, err)
			}
		}
		calls = 0
		c = newClient(t, Config{Backoff: time.Nanosecond, Transport: scripted(&calls, none, goodCal)})
		a, err := c.Fetch(t.Context(), cal(), nil)
		if err != nil || a.Batch.Len != 2 || calls != 2 {
			t.Errorf("%s, once: %+v, %v", none, a, err)
		}
		calls = 0
		c = newClient(t, Config{Limiter: gate(t, 0), Backoff: time.Nanosecond, Transport: scripted(&calls, none, `{"code":40203,"msg":"频率超限(1次/小时)"}`)})
		suspended := ingest.Query{Dataset: catalog.Lookup(catalog.StockBasic), Params: map[string]string{"list_status": "P"}}
		if a, err = c.Fetch(t.Context(), suspended, nil); err != nil || a.Batch.Len != 0 || calls != 2 {
			t.Errorf("%s where none is usual: %+v, %v", none, a, err)
		}
		calls = 0
		c = newClient(t, Config{Backoff: time.Nanosecond, Transport: scripted(&calls, calBody(days(0, 30), true), none)})
		_, err = c.Fetch(t.Context(), cal(), nil)
		if reasonIs(t, err, fault.ProviderUnavailable, "cause"); calls != 4 {
			t.Errorf("%s in the middle: %d calls", none, calls)
		}
		calls = 0
		c = newClient(t, Config{Backoff: time.Nanosecond, Transport: scripted(&calls, calBody(days(0, 30), true), none, calBody(days(30, 7), false))})
		if a, err = c.Fetch(t.Context(), cal(), nil); err != nil || a.Batch.Len != 37 || calls != 3 {
			t.Errorf("%s in the middle, once: %+v, %v", none, a, err)
		}
	}
}

func TestReasonProviderRefusedBeyondTheLastOffset(t *testing.T) {
	c := newClient(t, Config{Transport: roundTrip(func(r request) (*http.Response, error) {
		if r.int("offset") > maxOffset {
			t.Errorf("offset %d", r.int("offset"))
		}
		return answer(200, calBody(days(r.int("offset"), 2000), true)), nil
	})})
	q := cal()
	wide := *q.Dataset
	wide.Columns = slices.Clone(wide.Columns)
	q.Dataset = &wide
	a, err := c.Fetch(t.Context(), q, nil)
	reasonIs(t, err, fault.ProviderRefused, "api", "provider_message")
	if a.Calls != 51 {
		t.Errorf("%d calls", a.Calls)
	}
}

func TestReasonModuleTestFailed(t *testing.T) {
	calls := 0
	c := newClient(t, Config{Transport: scripted(&calls, `{"code":0,"data":{"fields":["exchange","cal_date"],"items":[]}}`)})
	_, err := c.Fetch(t.Context(), cal(), nil)
	f := reasonIs(t, err, fault.ModuleTestFailed, "domain", "module", "api", "cause")
	if calls != 3 || !strings.Contains(f.Message, "is_open") {
		t.Errorf("%d calls, %s", calls, f.Message)
	}
}

// A missing field that existed before is a temporary failure.
func TestAFieldThatWasThereBefore(t *testing.T) {
	lacking := `{"code":0,"data":{"fields":["exchange","cal_date"],"items":[["SSE","20260302"]]}}`
	calls := 0
	c := newClient(t, Config{Backoff: time.Nanosecond, Transport: scripted(&calls, lacking, goodCal, lacking)})
	if a, err := c.Fetch(t.Context(), cal(), nil); err != nil || a.Batch.Len != 2 || len(a.Absent) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	_, err := c.Fetch(t.Context(), cal(), nil)
	if f := reasonIs(t, err, fault.ProviderUnavailable, "cause"); calls != 5 || !strings.Contains(f.Message, "is_open") {
		t.Errorf("%d calls, %s", calls, f.Message)
	}
}

// A missing column that is not required is fetched again and then reported. A column that is null in
// all rows is not missing: its rows are returned, whether it is required or not.
func TestAbsentColumnsAreTold(t *testing.T) {
	page := func(field, value string) string {
		return `{"code":0,"data":{"fields":["ts_code","trade_date","close"` + field + `],"items":[["600519.SH","20260302",null` + value + `]]}}`
	}
	q := ingest.Query{Dataset: catalog.Lookup(catalog.Daily), Params: map[string]string{"trade_date": "20260302"}}
	absence := func(a ingest.Answer, column string) (found, before bool) {
		for _, x := range a.Absent {
			if x.Column == column {
				return true, x.Before
			}
		}
		return false, false
	}
	calls := 0
	c := newClient(t, Config{Backoff: time.Nanosecond, Transport: scripted(&calls, page("", ""), page(`,"vol"`, ",null"), page("", ""))})
	a, err := c.Fetch(t.Context(), q, nil)
	if found, before := absence(a, "vol"); err != nil || calls != 1 || !found || before {
		t.Fatalf("%+v after %d calls, %v", a, calls, err)
	}
	if found, _ := absence(a, "close"); found || a.Batch.Len != 1 || !a.Batch.Column("close").Null[0] || len(a.Bad) > 0 {
		t.Errorf("close is null, and reported as %+v", a)
	}
	if a, err = c.Fetch(t.Context(), q, nil); err != nil || calls != 2 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	if found, _ := absence(a, "vol"); found {
		t.Error("a column of nulls is reported as absent")
	}
	a, err = c.Fetch(t.Context(), q, nil)
	if found, before := absence(a, "vol"); err != nil || calls != 5 || !found || !before || a.Batch.Len != 1 {
		t.Errorf("%+v after %d calls, %v", a, calls, err)
	}
}

// HTTP 429 is a limit, which is waited for: as long as it says, or a minute.
func TestHTTP429IsALimit(t *testing.T) {
	for _, c := range []struct {
		name, header, body string
		wait               time.Duration
	}{
		{"bare", "", "slow down", time.Minute},
		{"seconds", "90", "<html>", 90 * time.Second},
		{"nothing to read", "soon", "", time.Minute},
		{"at once", "0", "", time.Second},
		{"rows all the same", "5", goodCal, 5 * time.Second},
		{"an unknown code", "7", `{"code":1,"msg":"x"}`, 7 * time.Second},
		{"a date", "Mon, 02 Mar 2026 10:00:40 GMT", "", 40 * time.Second},
		{"a date that has passed", "Mon, 02 Mar 2026 09:00:00 GMT", "", time.Second},
		{"a text and no header", "", `{"code":40203,"msg":"频率超限(500次/分钟)"}`, time.Minute + 250*time.Millisecond},
		{"a text and a longer header", "100", `{"code":40203,"msg":"频率超限(500次/分钟)"}`, 100 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			client := newClient(t, Config{Limiter: gate(t, 0), Transport: roundTrip(func(request) (*http.Response, error) {
				if calls++; calls > 1 {
					return answer(200, goodCal), nil
				}
				res := answer(429, c.body)
				res.Header.Set("Date", "Mon, 02 Mar 2026 10:00:00 GMT")
				if c.header != "" {
					res.Header.Set("Retry-After", c.header)
				}
				return res, nil
			})})
			start := time.Now()
			a, err := client.Fetch(t.Context(), cal(), nil)
			if took := time.Since(start); err != nil || a.Batch.Len != 2 || a.Calls != 2 || took != c.wait {
				t.Errorf("%s: %+v, %v after %v", c.name, a, err, took)
			}
		})
	}
}

// A long wait is not sat out, and is no failure of the provider.
func TestHTTP429OfALongTime(t *testing.T) {
	for header, want := range map[string]struct {
		window string
		wait   time.Duration
	}{"3000": {"hour", 50 * time.Minute}, "7200": {"day", 2 * time.Hour}, "99999999999999999999": {"day", 24 * time.Hour}, "999999999999": {"day", 24 * time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			c := newClient(t, Config{Limiter: gate(t, 0), Transport: roundTrip(func(request) (*http.Response, error) {
				if calls++; calls > 1 {
					return answer(200, goodCal), nil
				}
				res := answer(429, testToken)
				res.Header.Set("Retry-After", header)
				return res, nil
			})})
			start := time.Now()
			for range 2 { // the second is not even sent
				_, err := c.Fetch(t.Context(), cal(), nil)
				f := reasonIs(t, err, fault.QuotaExhausted, "api", "window")
				if calls != 1 || f.Meta["window"] != want.window || f.RetryAt.Sub(start) != want.wait {
					t.Errorf("%s: %d calls, %v, retry at +%v", header, calls, f.Meta, f.RetryAt.Sub(start))
				}
			}
			time.Sleep(want.wait)
			if _, err := c.Fetch(t.Context(), cal(), nil); err != nil || calls != 2 {
				t.Errorf("open again: %d calls, %v", calls, err)
			}
		})
	}
	calls := 0
	c := newClient(t, Config{Limiter: gate(t, 0), Transport: roundTrip(func(request) (*http.Response, error) {
		calls++
		return answer(429, `{"code":40203,"msg":"抱歉，您没有接口访问权限"}`), nil
	})})
	_, err := c.Fetch(t.Context(), cal(), nil)
	if reasonIs(t, err, fault.PermissionDenied); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// What may pass is asked for three times, and each time counts.
func TestReasonProviderUnavailable(t *testing.T) {
	html := "<html>" + testToken + "</html>"
	for name, make := range map[string]func() (*http.Response, error){
		"HTTP 500": func() (*http.Response, error) { return answer(500, html), nil },
		"HTTP 502": func() (*http.Response, error) { return answer(502, goodCal), nil },
		"HTTP 503 JSON": func() (*http.Response, error) {
			return answer(503, `{"code":40203,"msg":"抱歉，您没有接口访问权限"}`), nil
		},
		"HTTP 403 HTML":      func() (*http.Response, error) { return answer(403, html), nil },
		"HTTP 404 with rows": func() (*http.Response, error) { return answer(404, goodCal), nil },
		"redirect":           func() (*http.Response, error) { return answer(308, ""), nil },
		"HTML":               func() (*http.Response, error) { return answer(200, html), nil },
		"truncated":          func() (*http.Response, error) { return answer(200, goodCal[:90]), nil },
		"empty body":         func() (*http.Response, error) { return answer(200, ""), nil },
		"unknown code": func() (*http.Response, error) {
			return answer(200, `{"code":99999,"msg":"系统繁忙 `+testToken+`"}`), nil
		},
		"reset": func() (*http.Response, error) { return nil, errors.New("connection reset by peer " + testToken) },
	} {
		calls := 0
		c := newClient(t, Config{Backoff: time.Nanosecond, Transport: roundTrip(func(request) (*http.Response, error) {
			calls++
			return make()
		})})
		a, err := c.Fetch(t.Context(), cal(), nil)
		f := reasonIs(t, stripCause(err), fault.ProviderUnavailable, "domain", "module", "api", "cause")
		if calls != 3 || a.Calls != 3 {
			t.Errorf("%s: made %d calls, counted %d", name, calls, a.Calls)
		}
		if strings.Contains(f.Meta["cause"], testToken) {
			t.Errorf("%s: %s", name, f.Meta["cause"])
		}
	}
}

// stripCause leaves out the error of the transport itself, which is given to the
// program and never shown.
func stripCause(err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	return &fault.Error{Reason: f.Reason, Message: f.Message, Meta: f.Meta, RetryAt: f.RetryAt}
}

func TestReasonProviderUnavailableTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Config{Timeout: 30 * time.Second, Transport: roundTrip(func(r request) (*http.Response, error) {
			<-r.ctx.Done()
			return nil, r.ctx.Err()
		})})
		start := time.Now()
		a, err := c.Fetch(t.Context(), cal(), nil)
		f := reasonIs(t, err, fault.ProviderUnavailable, "cause")
		if took := time.Since(start); a.Calls != 3 || took < 90*time.Second || took > 95*time.Second || !strings.Contains(f.Message, "30s") {
			t.Errorf("%d calls in %v: %s", a.Calls, took, f.Message)
		}
	})
}

func TestReasonProviderUnavailableWhenOffsetIsIgnored(t *testing.T) {
	calls := 0
	c := newClient(t, Config{Transport: scripted(&calls, calBody(days(0, 20), true))})
	_, err := c.Fetch(t.Context(), cal(), nil)
	reasonIs(t, err, fault.ProviderUnavailable, "cause")
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
	calls = 0
	c = newClient(t, Config{Transport: scripted(&calls, calBody(nil, true))})
	if _, err = c.Fetch(t.Context(), cal(), nil); !fault.Is(err, fault.ProviderUnavailable) || calls != 1 {
		t.Errorf("no rows and more announced: %v after %d calls", err, calls)
	}
	// Nothing more is announced: the same page again is the end.
	calls = 0
	c = newClient(t, Config{Transport: scripted(&calls, calBody(days(0, 2000), false))})
	if a, err := c.Fetch(t.Context(), cal(), nil); err != nil || a.Batch.Len != 2000 || a.Repeated != 2000 || calls != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAPageOfManyIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := newClient(t, Config{Transport: roundTrip(func(r request) (*http.Response, error) {
			if calls++; calls%3 != 0 {
				return answer(200, goodCal[:calls]), nil
			}
			off := r.int("offset")
			return answer(200, calBody(days(off, min(30, 290-off)), off < 270)), nil
		})})
		a, err := c.Fetch(t.Context(), cal(), nil)
		if err != nil || a.Batch.Len != 290 || a.Calls != 30 || calls != 30 {
			t.Errorf("%d rows, %d calls, %v", a.Batch.Len, a.Calls, err)
		}
	})
}

func TestEndOfContextIsReturnedAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := roundTrip(func(r request) (*http.Response, error) { <-r.ctx.Done(); return nil, r.ctx.Err() })
		fail := roundTrip(func(request) (*http.Response, error) { return answer(500, ""), nil })
		for name, rt := range map[string]roundTrip{"in a call": hang, "between attempts": fail} {
			c := newClient(t, Config{Transport: rt, Backoff: time.Hour})
			for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				if want == context.Canceled {
					time.AfterFunc(time.Second, cancel)
				}
				_, err := c.Fetch(ctx, cal(), nil)
				if _, isFault := fault.As(err); !errors.Is(err, want) || isFault {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
				cancel()
			}
		}
	})
}

func gate(t *testing.T, perMinute int) *limiter.Limiter {
	t.Helper()
	l, err := limiter.Open(limiter.Config{Settings: quota.DefaultSettings(perMinute), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// provider allows n calls in any rolling minute, counts refused ones, and says so
// in the given text.
func provider(n int, text string) (roundTrip, *[]time.Time) {
	var mu sync.Mutex
	var times []time.Time
	return func(r request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		recent := 0
		for _, at := range times {
			if now.Sub(at) < time.Minute {
				recent++
			}
		}
		times = append(times, now)
		if recent >= n {
			return answer(200, `{"code":40203,"data":null,"msg":"`+text+`"}`), nil
		}
		return answer(200, calBody(days(0, 3), false)), nil
	}, &times
}

func TestMinuteLimitIsWaitedForAndReported(t *testing.T) {
	for _, text := range []string{"抱歉，您每分钟最多访问该接口5次，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。", "抱歉，您访问接口(trade_cal)频率超限(5次/分钟)，具体频次详情"} {
		synctest.Test(t, func(t *testing.T) {
			rt, times := provider(5, text)
			c := newClient(t, Config{Limiter: gate(t, 0), Transport: rt})
			start := time.Now()
			calls, waited := 0, false
			for range 12 {
				q := cal()
				q.Priority = ingest.Probe
				a, err := c.Fetch(t.Context(), q, func(p ingest.Progress) {
					if p.WaitAPI == catalog.TradeCal && p.WaitUntil.After(time.Now()) {
						waited = true
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if calls += a.Calls; a.Latency != 0 {
					t.Errorf("waiting counted as latency: %v", a.Latency)
				}
			}
			// One refusal teaches; the rest is never refused.
			if calls != 13 || len(*times) != 13 || !waited {
				t.Errorf("%d calls for 12 fetches, waited %v", calls, waited)
			}
			if took := time.Since(start); took > 2*time.Minute+2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// Somebody else spends the whole allowance: a run must not hang on it forever.
func TestReasonRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := newClient(t, Config{Limiter: gate(t, 0), Transport: scripted(&calls, `{"code":40203,"msg":"频率超限(500次/分钟) `+testToken+`"}`)})
		start := time.Now()
		a, err := c.Fetch(t.Context(), cal(), nil)
		f := reasonIs(t, err, fault.RateLimited, "api", "limit", "window")
		faulttest.Produces(t, err, fault.RateLimited)
		if took := time.Since(start); a.Calls != maxWaits+1 || took < maxWaits*time.Minute || took > (maxWaits+1)*time.Minute || !f.RetryAt.After(time.Now()) {
			t.Errorf("%d calls in %v, retry at %v", a.Calls, took, f.RetryAt)
		}
	})
}

func TestReasonQuotaExhausted(t *testing.T) {
	for _, w := range []struct {
		text, window, limit string
		longest             time.Duration
	}{
		{"抱歉，您访问接口(trade_cal)频率超限(1次/小时)", "hour", "1", time.Hour + time.Minute},
		{"抱歉，您每天最多访问该接口8000次，权限的具体详情访问", "day", "8000", 24 * time.Hour},
		{"抱歉，每天最多访问太多", "day", "", 24 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			l := gate(t, 0)
			c := newClient(t, Config{Limiter: l, Transport: scripted(&calls, `{"code":40203,"msg":"`+w.text+` `+testToken+`"}`, goodCal)})
			start := time.Now()
			var f *fault.Error
			for try := range 3 { // the second and third are not even sent
				a, err := c.Fetch(t.Context(), cal(), nil)
				f = reasonIs(t, err, fault.QuotaExhausted, "domain", "module", "api", "window")
				if f.Meta["window"] != w.window || f.Meta["limit"] != w.limit || !f.RetryAt.After(start) || f.RetryAt.Sub(start) > w.longest || a.Calls != (1-min(try, 1)) {
					t.Errorf("%+v after %d calls", f, a.Calls)
				}
			}
			if calls != 1 || time.Since(start) > 0 {
				t.Errorf("%d calls in %v", calls, time.Since(start))
			}
			if at := f.RetryAt.In(market.Shanghai).Format("at 2006-01-02 15:04:05 +08:00."); !strings.HasSuffix(f.Message, at) {
				t.Errorf("%s, want that it ends with %q", f.Message, at)
			}
			time.Sleep(time.Until(f.RetryAt))
			if _, err := c.Fetch(t.Context(), cal(), nil); err != nil {
				t.Errorf("open again: %v", err)
			}
		})
	}
}

// 500 calls a minute: a backfill within 5 % of calls ÷ limit.
func TestBackfillKeepsPaceWithTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, times := provider(500, "频率超限(500次/分钟)")
		c := newClient(t, Config{Limiter: gate(t, 500), Transport: roundTrip(func(r request) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			return rt(r)
		})})
		start := time.Now()
		const n = 2190
		work := make(chan int, n)
		for i := range n {
			work <- i
		}
		close(work)
		done := make(chan error)
		const workers = 4
		for range workers {
			go func() {
				var err error
				for range work {
					if err == nil {
						_, err = c.Fetch(t.Context(), cal(), nil)
					}
				}
				done <- err
			}()
		}
		for range workers {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		took, bound := time.Since(start), time.Duration(n)*time.Minute/500
		if float64(took) > 1.05*float64(bound) || len(*times) != n {
			t.Errorf("%d calls took %v, bound %v", len(*times), took, bound)
		}
	})
}

func TestLogShowsParametersAndNoToken(t *testing.T) {
	var out bytes.Buffer
	calls := 0
	c := newClient(t, Config{
		Backoff: time.Nanosecond, Log: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Transport: scripted(&calls, `{"code":77,"msg":"`+testToken+`"}`, "<html>"+testToken, goodCal),
	})
	q := cal()
	q.Params = map[string]string{"exchange": "SSE"}
	if _, err := c.Fetch(t.Context(), q, nil); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, testToken) || strings.Count(s, "retrying") != 2 || !strings.Contains(s, `"rows":2`) || !strings.Contains(s, "SSE") {
		t.Error(s)
	}
}

// One connection serves one fetch after another, failed calls included.
func TestConnectionsAreUsedAgain(t *testing.T) {
	var opened, calls atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%3 == 0 {
			http.Error(w, "busy", http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, goodCal)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := newClient(t, Config{URL: srv.URL, Backoff: time.Nanosecond})
	for range 20 {
		if _, err := c.Fetch(t.Context(), cal(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for %d calls", n, calls.Load())
	}
}

// A redirect would carry the token to another host.
func TestRedirectIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusPermanentRedirect))
	defer srv.Close()
	_, err := newClient(t, Config{URL: srv.URL, Attempts: 1}).Fetch(t.Context(), cal(), nil)
	if f := reasonIs(t, err, fault.ProviderUnavailable); !strings.Contains(f.Message, "--tushare-url") {
		t.Error(f.Message)
	}
}

// A refusal whose window opens after the time that the call has is no silence of the
// provider.
func TestReasonRateLimitedWhenTheCallHasLessTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := newClient(t, Config{Limiter: gate(t, 0), Transport: scripted(&calls, `{"code":40203,"msg":"频率超限(500次/分钟)"}`)})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Fetch(ctx, cal(), nil)
		f := reasonIs(t, err, fault.RateLimited, "api", "limit", "window")
		if calls != 1 || time.Since(start) > 0 || f.RetryAt.Sub(start) < time.Minute || f.RetryAt.Sub(start) > time.Minute+time.Second {
			t.Errorf("%d calls in %v, retry at %v", calls, time.Since(start), f.RetryAt)
		}
	})
}

// stalled returns its bytes, and then blocks until the call ends.
type stalled struct {
	io.Reader
	ctx context.Context
}

func (s stalled) Read(p []byte) (int, error) {
	if n, err := s.Reader.Read(p); err == nil {
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// An error in a response is reported soon, even if the response never ends.
func TestAnAnswerThatStallsIsNamedByWhatItHolds(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, want string
		longest    time.Duration
	}{
		{502, "<html>", "HTTP 502", drainTime},
		{200, "<html>", "malformed", drainTime},
		{200, goodCal[:50], "within 30s", 30 * time.Second},
		{200, goodCal, "within 30s", 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(t, Config{Attempts: 1, Transport: roundTrip(func(r request) (*http.Response, error) {
				res := answer(c.status, "")
				res.Body = io.NopCloser(stalled{strings.NewReader(c.body), r.ctx})
				return res, nil
			})})
			start := time.Now()
			_, err := client.Fetch(t.Context(), cal(), nil)
			f := reasonIs(t, stripCause(err), fault.ProviderUnavailable, "cause")
			if took := time.Since(start); took > c.longest || !strings.Contains(f.Message, c.want) {
				t.Errorf("%d %q: %s after %v", c.status, c.body, f.Message, took)
			}
		})
	}
}

// A token that the provider returns as data is in no row and in no rejected value, in any encoding.
func TestTokenEchoedAsDataIsTakenOut(t *testing.T) {
	escaped := ""
	for _, c := range testToken {
		escaped += fmt.Sprintf(`\u%04x`, c)
	}
	calls := 0
	c := newClient(t, Config{Transport: scripted(&calls, `{"code":0,"data":{`+calFields+`,"items":[["SSE","20260303",1,null],["`+testToken+`","20260304",1,null],["`+escaped+`","20260305",1,"`+testToken+`"],["x `+testToken+` y","20260306","`+escaped+`",null]],"has_more":false}}`)})
	a, err := c.Fetch(t.Context(), cal(), nil)
	if err != nil || a.Batch.Len != 4 || len(a.Bad) != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	if got := a.Batch.Column("exchange").Texts; !slices.Equal(got, []string{"SSE", "[token]", "[token]", "x [token] y"}) {
		t.Errorf("texts %q", got)
	}
	for _, b := range a.Bad {
		if b.Raw != `"[token]"` {
			t.Errorf("kept aside: %s", b.Raw)
		}
	}
}
