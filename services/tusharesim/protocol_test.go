package tusharesim_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/tusharesim"
)

func TestEnvelope(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	r := good(t, s, "daily", params{"trade_date": "20260514"}, "")
	if *r.Data.Count != -1 || *r.Data.HasMore || *r.Msg != "" || len(r.Data.Items) < 350 {
		t.Errorf("count %d, has_more %v, msg %q, %d items", *r.Data.Count, *r.Data.HasMore, *r.Msg, len(r.Data.Items))
	}
	empty := good(t, s, "daily", params{"trade_date": "20260516"}, "")
	if len(empty.Data.Items) != 0 || *empty.Data.Count != 0 || len(empty.Data.Fields) != 11 {
		t.Errorf("a Saturday: %d items, count %d, fields %v", len(empty.Data.Items), *empty.Data.Count, empty.Data.Fields)
	}
}

func TestAddresses(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	body := request("daily", params{"trade_date": "20260514"}, "ts_code")
	noName := request("", params{"trade_date": "20260514"}, "ts_code")
	for path, b := range map[string]any{"": body, "/": body, "/dataapi": body, "/dataapi/daily": body, "/dataapi/daily?x=1": noName} {
		status, out, err := post(t, s.URL+path, b)
		if err != nil || status != 200 || len(parse(t, out).Data.Items) < 350 {
			t.Errorf("POST %s: %d %v %.100s", path, status, err, out)
		}
	}
	if status, out, _ := post(t, s.URL+"/nowhere", body); status != 404 || *parse(t, out).Code == 0 {
		t.Errorf("POST /nowhere: %d %s", status, out)
	}
	res, err := client(t).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
}

func TestDefaultColumns(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	for api, want := range map[string]string{
		"stock_basic": "ts_code,symbol,name,area,industry,cnspell,market,list_date,act_name,act_ent_type",
		"trade_cal":   "exchange,cal_date,is_open,pretrade_date",
		"daily":       "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount",
		"daily_basic": "ts_code,trade_date,close,turnover_rate,turnover_rate_f,volume_ratio,pe,pe_ttm,pb,ps,ps_ttm,dv_ratio,dv_ttm,total_share,float_share,free_share,total_mv,circ_mv",
		"moneyflow":   "ts_code,trade_date,buy_sm_vol,buy_sm_amount,sell_sm_vol,sell_sm_amount,buy_md_vol,buy_md_amount,sell_md_vol,sell_md_amount,buy_lg_vol,buy_lg_amount,sell_lg_vol,sell_lg_amount,buy_elg_vol,buy_elg_amount,sell_elg_vol,sell_elg_amount,net_mf_vol,net_mf_amount",
		"fund_daily":  "ts_code,trade_date,pre_close,open,high,low,close,change,pct_chg,vol,amount",
		"fund_basic":  "ts_code,name,management,custodian,fund_type,found_date,due_date,list_date,issue_date,delist_date,issue_amount,m_fee,c_fee,duration_year,p_value,min_amount,exp_return,benchmark,status,invest_type,type,trustee,purc_startdate,redm_startdate,market",
	} {
		p := params{}
		if !slices.Contains([]string{"stock_basic", "fund_basic", "trade_cal"}, api) {
			p["trade_date"] = "20260514"
		}
		r := good(t, s, api, p, "")
		if got := strings.Join(r.Data.Fields, ","); got != want {
			t.Errorf("%s defaults\n got %s\nwant %s", api, got, want)
		}
		for _, it := range r.Data.Items {
			if len(it) != len(r.Data.Fields) {
				t.Fatalf("%s: a row of %d for %d fields", api, len(it), len(r.Data.Fields))
			}
		}
	}
}

func TestFieldsAreHonoured(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	r := good(t, s, "daily", params{"trade_date": "20260514"}, "vol, nonsense,ts_code,,close,vol")
	if diff := cmp.Diff([]string{"vol", "ts_code", "close"}, r.Data.Fields); diff != "" {
		t.Error(diff)
	}
	full := good(t, s, "daily", params{"trade_date": "20260514"}, "")
	if diff := cmp.Diff(full.column(t, "vol"), r.column(t, "vol")); diff != "" {
		t.Errorf("a column differs when asked for alone: %s", diff)
	}
	extra := good(t, s, "stock_basic", params{}, "list_status,fullname,ts_code,delist_date,exchange,is_hs")
	if extra.column(t, "list_status")[0] != `"L"` || extra.column(t, "delist_date")[0] != "null" {
		t.Errorf("extra columns: %s", extra.Data.Items[0])
	}
	none := good(t, s, "daily", params{"trade_date": "20260514"}, "nonsense")
	if len(none.Data.Fields) != 0 || len(none.Data.Items) != 0 {
		t.Errorf("only unknown fields: %v, %d items", none.Data.Fields, len(none.Data.Items))
	}
}

func TestPaging(t *testing.T) {
	o := small()
	o.Caps = map[string]int{"daily": 150}
	s := tusharesim.StartTest(t, o)
	want, err := s.Rows("daily", map[string]string{"trade_date": "20260514"}, "ts_code")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		name          string
		limit, offset func(int) any
		step          int
	}{
		{"numbers", func(int) any { return 100 }, func(n int) any { return n }, 100},
		{"texts", func(int) any { return "100" }, func(n int) any { return fmt.Sprint(n) }, 100},
		{"no limit", func(int) any { return nil }, func(n int) any { return n }, 150},
		{"limit above the cap", func(int) any { return 100000 }, func(n int) any { return n }, 150},
	} {
		t.Run(p.name, func(t *testing.T) {
			var got []string
			for more := true; more; {
				r := good(t, s, "daily", params{"trade_date": "20260514", "limit": p.limit(0), "offset": p.offset(len(got))}, "ts_code")
				if more = *r.Data.HasMore; more && len(r.Data.Items) != p.step {
					t.Fatalf("a page of %d with more to come, want %d", len(r.Data.Items), p.step)
				}
				for _, c := range r.column(t, "ts_code") {
					got = append(got, strings.Trim(c, `"`))
				}
			}
			if len(got) != len(want.Rows) {
				t.Fatalf("%d rows paged, %d there", len(got), len(want.Rows))
			}
			for i, c := range got {
				if want.Rows[i][0] != c {
					t.Fatalf("row %d is %s, want %v", i, c, want.Rows[i][0])
				}
			}
		})
	}
	exact := good(t, s, "daily", params{"trade_date": "20260514", "limit": 100, "offset": len(want.Rows) - 100}, "ts_code")
	if len(exact.Data.Items) != 100 || *exact.Data.HasMore {
		t.Errorf("an exact last page: %d rows, has_more %v", len(exact.Data.Items), *exact.Data.HasMore)
	}
	beyond := good(t, s, "daily", params{"trade_date": "20260514", "offset": 100000}, "")
	if len(beyond.Data.Items) != 0 || *beyond.Data.HasMore {
		t.Errorf("beyond the end: %d rows", len(beyond.Data.Items))
	}
}

func TestBadParameters(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	const need = "必填参数, trade_date"
	refused(t, s, "daily", params{"offset": 100001}, 50101, tusharesim.MsgBadParameter)
	refused(t, s, "daily", params{"limit": "ten"}, 50101, tusharesim.MsgBadParameter)
	refused(t, s, "daily", params{"limit": -1}, 50101, tusharesim.MsgBadParameter)
	refused(t, s, "daily", params{"trade_date": "2026-05-14"}, 50101, tusharesim.MsgBadParameter)
	refused(t, s, "daily_basic", params{}, 50101, need)
	refused(t, s, "moneyflow", params{}, 50101, need)
	refused(t, s, "fund_daily", params{"start_date": "20260501"}, 50101, need)
	refused(t, s, "no_such", params{}, 50101, tusharesim.MsgUnknownAPI)
	refused(t, s, "", params{}, 50101, tusharesim.MsgUnknownAPI)
	// What does not exist is empty, what is unknown is ignored.
	for _, p := range []params{{"trade_date": "20260230"}, {"trade_date": "20260514", "ts_code": "999999.SH"}, {"trade_date": "20991231"}} {
		if r := good(t, s, "daily", p, ""); len(r.Data.Items) != 0 {
			t.Errorf("%v: %d rows", p, len(r.Data.Items))
		}
	}
	good(t, s, "daily_basic", params{"start_date": "20260514", "end_date": "20260514"}, "")
	if r := good(t, s, "daily", params{"trade_date": "20260514", "colour": "red", "deep": 1.5, "none": nil, "yes": true}, ""); len(r.Data.Items) < 350 {
		t.Errorf("unknown parameters: %d rows", len(r.Data.Items))
	}
	newest := good(t, s, "daily", params{"limit": 5}, "trade_date")
	if got := newest.column(t, "trade_date"); got[0] != `"20260515"` || !*newest.Data.HasMore {
		t.Errorf("no parameters: %v", got)
	}
}

func TestBadBodies(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	for _, b := range []string{"", "{", "[]", `"x"`, `{"api_name":{}}`, `{"params":[1]}`, `{"api_name":"daily","params":{"a":{"b":1}}}`, "\x00\xff"} {
		status, out, err := post(t, s.URL, []byte(b))
		if err != nil || status != 200 {
			t.Fatalf("%q: %d %v", b, status, err)
		}
		if r := parse(t, out); *r.Code != 50101 {
			t.Errorf("%q: code %d", b, *r.Code)
		}
	}
	big := append([]byte(`{"api_name":"daily","params":{"ts_code":"`), bytes.Repeat([]byte("x"), 10<<20)...)
	status, out, err := post(t, s.URL, append(big, `"}}`...))
	if err != nil || status != http.StatusRequestEntityTooLarge || !strings.Contains(*parse(t, out).Msg, "请求体过大") {
		t.Errorf("10 MB: %d %v %.200s", status, err, out)
	}
}

func TestOrder(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	day := params{"trade_date": "20260514"}
	if !sort.StringsAreSorted(good(t, s, "daily", day, "").column(t, "ts_code")) {
		t.Error("daily by date is not in ts_code order")
	}
	basic := good(t, s, "daily_basic", day, "").column(t, "ts_code")
	again := good(t, s, "daily_basic", day, "").column(t, "ts_code")
	if sort.StringsAreSorted(basic) || !slices.Equal(basic, again) {
		t.Error("daily_basic by date should be unsorted and stable")
	}
	span := params{"ts_code": "600519.SH", "start_date": "20260401", "end_date": "20260514"}
	for _, api := range []string{"daily", "daily_basic", "moneyflow"} {
		dates := good(t, s, api, span, "").column(t, "trade_date")
		if len(dates) < 20 || !slices.IsSortedFunc(dates, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Errorf("%s of one symbol: %v", api, dates)
		}
	}
	cal := good(t, s, "trade_cal", params{"start_date": "20260501", "end_date": "20260510"}, "").column(t, "cal_date")
	if len(cal) != 10 || cal[0] != `"20260510"` {
		t.Errorf("trade_cal: %v", cal)
	}
	two := good(t, s, "daily", params{"trade_date": "20260514", "ts_code": "600519.SH,000001.SZ,600519.SH"}, "").column(t, "ts_code")
	if diff := cmp.Diff([]string{`"000001.SZ"`, `"600519.SH"`}, two); diff != "" {
		t.Error(diff)
	}
}

func TestLists(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	l := good(t, s, "stock_basic", params{}, "ts_code,list_status,exchange,market")
	d := good(t, s, "stock_basic", params{"list_status": "D"}, "ts_code,delist_date,list_date")
	p := good(t, s, "stock_basic", params{"list_status": "P"}, "")
	if len(l.Data.Items) < 380 || len(d.Data.Items) == 0 || len(p.Data.Items) != 0 {
		t.Fatalf("L %d, D %d, P %d", len(l.Data.Items), len(d.Data.Items), len(p.Data.Items))
	}
	for _, c := range l.column(t, "list_status") {
		if c != `"L"` {
			t.Fatalf("default list_status gave %s", c)
		}
	}
	for i, c := range d.column(t, "delist_date") {
		if c == "null" || c > `"20260515"` || c <= d.column(t, "list_date")[i] {
			t.Errorf("delisted on %s", c)
		}
	}
	bj := good(t, s, "stock_basic", params{"exchange": "BSE"}, "ts_code,market")
	for i, c := range bj.column(t, "ts_code") {
		if !strings.HasSuffix(c, `.BJ"`) || bj.column(t, "market")[i] != `"北交所"` {
			t.Errorf("BSE gave %s", c)
		}
	}
	all := good(t, s, "fund_basic", params{}, "ts_code,status,market")
	listed := good(t, s, "fund_basic", params{"market": "E", "status": "L"}, "ts_code,status")
	if len(listed.Data.Items) >= len(all.Data.Items) || len(listed.Data.Items) < 150 {
		t.Errorf("funds: %d, of which L %d", len(all.Data.Items), len(listed.Data.Items))
	}
	if o := good(t, s, "fund_basic", params{"market": "O"}, ""); len(o.Data.Items) != 0 {
		t.Errorf("market O: %d", len(o.Data.Items))
	}
	open := good(t, s, "trade_cal", params{"start_date": "20260501", "end_date": "20260531", "is_open": 1}, "is_open,cal_date,exchange")
	if len(open.Data.Items) != 18 || open.column(t, "is_open")[0] != "1" || open.column(t, "exchange")[0] != `"SSE"` {
		t.Errorf("May 2026: %d open days", len(open.Data.Items))
	}
}

// The day is not served before its hour, and no later day ever.
func TestToday(t *testing.T) {
	now := time.Date(2026, 5, 15, 15, 59, 0, 0, tusharesim.Beijing)
	o := small()
	o.Now = func() time.Time { return now }
	s := tusharesim.StartTest(t, o)
	rows := func(api string) int {
		return len(good(t, s, api, params{"trade_date": "20260515"}, "ts_code").Data.Items)
	}
	check := func(when string, want ...bool) {
		t.Helper()
		for i, api := range []string{"daily", "daily_basic", "fund_daily", "moneyflow"} {
			if got := rows(api) > 0; got != want[i] {
				t.Errorf("%s: %s served %v, want %v", when, api, got, want[i])
			}
		}
	}
	check("15:59", false, false, false, false)
	now = now.Add(time.Minute)
	check("16:00", true, false, false, false)
	now = now.Add(time.Hour)
	check("17:00", true, true, true, false)
	now = now.Add(2 * time.Hour)
	check("19:00", true, true, true, true)
	if err := s.SetPublish("moneyflow", "20:10"); err != nil {
		t.Fatal(err)
	}
	check("19:00 with moneyflow at 20:10", true, true, true, false)
	if err := s.Withhold("daily", "20260515"); err != nil {
		t.Fatal(err)
	}
	check("daily withheld", false, true, true, false)
	if n, err := s.RowCount("daily", map[string]string{"trade_date": "20260515"}); err != nil || n == 0 {
		t.Errorf("the truth of a withheld day: %d rows, %v", n, err)
	}
	if err := s.Release("daily", "20260515"); err != nil {
		t.Fatal(err)
	}
	check("daily released", true, true, true, false)

	r := good(t, s, "daily", params{"ts_code": "000001.SZ", "start_date": "20260501", "end_date": "20261231"}, "trade_date")
	if got := r.column(t, "trade_date"); got[0] != `"20260515"` {
		t.Errorf("the newest day is %s", got[0])
	}
	if n, _ := s.RowCount("daily", map[string]string{"trade_date": "20260518"}); n != 0 {
		t.Errorf("Rows has a later day: %d rows", n)
	}
	last := func() string { return good(t, s, "trade_cal", params{"limit": 1}, "cal_date").column(t, "cal_date")[0] }
	if got := last(); got != `"20261231"` {
		t.Errorf("in May the calendar ends %s", got)
	}
	s.SetTime(time.Date(2026, 12, 1, 0, 0, 0, 0, tusharesim.Beijing))
	if got := last(); got != `"20271231"` {
		t.Errorf("in December the calendar ends %s", got)
	}
	if s.Today() != "20261201" {
		t.Errorf("today is %s", s.Today())
	}
}

// Null is null, nought is nought, and both occur.
func TestNullIsNotZero(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	r := good(t, s, "daily_basic", params{"trade_date": "20260514"}, "")
	count := func(col, v string) int {
		n := 0
		for _, c := range r.column(t, col) {
			if c == v {
				n++
			}
		}
		return n
	}
	for _, col := range []string{"pe", "pe_ttm", "dv_ratio", "dv_ttm"} {
		if n := count(col, "null"); n < 20 || n > 250 {
			t.Errorf("%s: %d nulls", col, n)
		}
	}
	if count("dv_ratio", "0.0") < 20 || count("dv_ttm", "0.0") != 0 {
		t.Errorf("dv_ratio has %d noughts", count("dv_ratio", "0.0"))
	}
	for _, col := range []string{"close", "total_mv", "turnover_rate", "total_share"} {
		if count(col, "null") != 0 {
			t.Errorf("%s has nulls", col)
		}
	}
	list := good(t, s, "stock_basic", params{}, "act_name,name,delist_date")
	if n := strings.Count(strings.Join(list.column(t, "act_name"), " "), "null"); n < 100 {
		t.Errorf("act_name: %d nulls", n)
	}
	for _, it := range list.Data.Items {
		for _, c := range it {
			if string(c) == `""` {
				t.Fatal("an empty text")
			}
		}
	}
}

func FuzzBody(f *testing.F) {
	s, err := tusharesim.New(tusharesim.Options{Stocks: 30, Funds: 20, Now: at(evening)})
	if err != nil {
		f.Fatal(err)
	}
	h := s.Handler()
	f.Add(`{"api_name":"daily","token":"t","params":{"trade_date":"20260514","limit":"3","offset":1}}`)
	f.Add(`{"api_name":"stock_basic","token":"t","params":{"list_status":"L,D","exchange":"SSE"},"fields":"is_hs,name"}`)
	f.Add(`{"api_name":"trade_cal","token":"t","params":{"start_date":"20260101","is_open":1,"exchange":"SZSE"}}`)
	f.Add(`{"api_name":"daily","token":"t","params":{"ts_code":",,,","start_date":"99999999","limit":1e300}}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := &recorder{head: http.Header{}}
		r, err := http.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		h.ServeHTTP(w, r)
		if w.status != http.StatusOK && w.status != http.StatusRequestEntityTooLarge {
			t.Fatalf("HTTP %d for %q: %s", w.status, body, w.body.Bytes())
		}
		parse(t, w.body.Bytes())
	})
}

type recorder struct {
	head   http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.head }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
