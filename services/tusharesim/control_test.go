package tusharesim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/afterbell/afterbell/services/tusharesim"
)

func control(t *testing.T, s *tusharesim.Server, method, path, body string, want int) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/_sim/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want || !json.Valid(b) {
		t.Fatalf("%s %s %s: %d %v %s", method, path, body, res.StatusCode, err, b)
	}
	return b
}

func TestControl(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	code := func(api string) int { t.Helper(); return *call(t, s, api, thursday, "ts_code").Code }
	rows := func(api, date string) int {
		t.Helper()
		return len(good(t, s, api, params{"trade_date": date}, "ts_code").Data.Items)
	}
	var id struct{ ID int }
	if err := json.Unmarshal(control(t, s, "POST", "faults", `{"kind":"empty","api":"daily"}`, 200), &id); err != nil || id.ID == 0 {
		t.Fatalf("id %d, %v", id.ID, err)
	}
	if rows("daily", "20260514") != 0 {
		t.Error("the fault did not happen")
	}
	control(t, s, "DELETE", "faults/1", "", 200)
	control(t, s, "DELETE", "faults/1", "", 400)
	if rows("daily", "20260514") == 0 {
		t.Error("the fault is still there")
	}
	control(t, s, "POST", "faults", `{"kind":"empty"}`, 200)
	control(t, s, "DELETE", "faults", "", 200)
	control(t, s, "POST", "hangs/release", "", 200)

	control(t, s, "POST", "limits", `[{"api":"daily","n":0,"per":"day","text":"new"}]`, 200)
	if code("daily") != 40203 {
		t.Error("no limit")
	}
	control(t, s, "DELETE", "limits", "", 200)
	control(t, s, "POST", "permissions", `{"deny":["moneyflow"],"points":2000}`, 200)
	if code("moneyflow") != 40203 || code("fund_daily") != 40203 || code("daily") != 0 {
		t.Error("permissions")
	}
	control(t, s, "POST", "permissions", `{"allow":["moneyflow"],"points":0}`, 200)
	control(t, s, "POST", "tokens", `{"revoke_all":true}`, 200)
	if code("daily") != 40101 {
		t.Error("not revoked")
	}
	control(t, s, "POST", "tokens", `{"restore":true}`, 200)
	control(t, s, "POST", "tokens", `{"accept":{"only-this-one":{"points":2000}}}`, 200)
	if code("daily") != 40101 {
		t.Error("another token is accepted")
	}
	control(t, s, "POST", "tokens", `{"accept":{}}`, 200)

	control(t, s, "POST", "publish", `{"daily":"23:00"}`, 200)
	if rows("daily", "20260515") != 0 {
		t.Error("published too early")
	}
	control(t, s, "POST", "clock", `{"now":"2026-05-15T23:00:00+08:00"}`, 200)
	if rows("daily", "20260515") == 0 {
		t.Error("not published")
	}
	control(t, s, "POST", "clock", `{"offset":"-24h"}`, 200)
	if s.Today() != "20260514" {
		t.Errorf("today is %s", s.Today())
	}
	control(t, s, "POST", "clock", `{"offset":"0s"}`, 200)
	control(t, s, "POST", "caps", `{"daily":17}`, 200)
	if rows("daily", "20260514") != 17 {
		t.Error("cap")
	}
	control(t, s, "POST", "caps", `{"daily":0}`, 200)
	control(t, s, "POST", "latency", `{"latency":"1ms","jitter":"1ms"}`, 200)
	control(t, s, "POST", "latency", `{}`, 200)
	control(t, s, "POST", "withhold", `{"api":"daily","trade_date":"20260514"}`, 200)
	if rows("daily", "20260514") != 0 {
		t.Error("not withheld")
	}
	control(t, s, "POST", "release", `{"api":"daily","trade_date":"20260514"}`, 200)
	var rev tusharesim.Revised
	if err := json.Unmarshal(control(t, s, "POST", "revise", `{"api":"daily","trade_date":"20260514","drop":2,"change":1}`, 200), &rev); err != nil || len(rev.Dropped) != 2 {
		t.Errorf("revised %+v, %v", rev, err)
	}
	control(t, s, "DELETE", "revise", "", 200)

	var table struct {
		Fields []string
		Items  [][]any
	}
	if err := json.Unmarshal(control(t, s, "GET", "rows?api=daily&trade_date=20260514&fields=ts_code,close", "", 200), &table); err != nil || len(table.Items) != rows("daily", "20260514") || len(table.Fields) != 2 {
		t.Errorf("rows: %v %d, %v", table.Fields, len(table.Items), err)
	}
	var dates []string
	if err := json.Unmarshal(control(t, s, "GET", "open-dates?from=20260501&to=20260531", "", 200), &dates); err != nil || len(dates) != 18 {
		t.Errorf("open dates %v, %v", dates, err)
	}
	control(t, s, "GET", "open-dates", "", 200)

	for path, body := range map[string]string{
		"faults": `{"kind":"nonsense"}`, "limits": `[{"n":1,"per":"week"}]`, "publish": `{"daily":"25:00"}`, "caps": `{"daily":-1}`,
		"withhold": `{"api":"trade_cal","trade_date":"20260514"}`, "release": `{`, "revise": `{"api":"daily","trade_date":"20260514","drop":99999}`,
		"tokens": `{"accept":{"":{}}}`, "permissions": `{"deny":["x"]}`, "clock": `{}`, "latency": `{"latency":"long"}`,
	} {
		control(t, s, "POST", path, body, 400)
	}
	control(t, s, "GET", "rows?api=x", "", 400)
	control(t, s, "GET", "nonsense", "", 404)
	control(t, s, "PUT", "faults", "", 404)
}

func TestStats(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	n := len(good(t, s, "daily", thursday, "ts_code").Data.Items)
	good(t, s, "daily", thursday, "close")
	mustFault(t, s, tusharesim.Fault{Kind: tusharesim.HTTP500, Count: 1})
	post(t, s.URL, request("moneyflow", thursday, ""))
	refused(t, s, "nonsense", params{}, 50101, tusharesim.MsgUnknownAPI)
	var st tusharesim.Stats
	if err := json.Unmarshal(control(t, s, "GET", "stats", "", 200), &st); err != nil {
		t.Fatal(err)
	}
	if st.Total != 4 || st.ByAPI["daily"] != 2 || st.ByAPI["moneyflow"] != 1 || st.ByParams["daily trade_date=20260514"] != 2 || st.Rows != int64(2*n) {
		t.Errorf("stats %+v", st)
	}
	var calls []tusharesim.Call
	if err := json.Unmarshal(control(t, s, "GET", "calls", "", 200), &calls); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 4 || calls[0].Rows != n || calls[2].Fault != tusharesim.HTTP500 || calls[3].Code != 50101 {
		t.Errorf("calls %+v", calls)
	}
	control(t, s, "DELETE", "stats", "", 200)
	if st := s.Stats(); st.Total != 0 || len(s.Calls()) != 0 {
		t.Errorf("after a reset %+v", st)
	}
	handler := s.Handler()
	for range 10050 {
		handler.ServeHTTP(&recorder{head: http.Header{}}, mustRequest(t))
	}
	if c := s.Calls(); len(c) != 10000 || c[0].Seq != 51 || c[9999].Seq != 10050 {
		t.Errorf("the log holds %d calls, %d to %d", len(c), c[0].Seq, c[len(c)-1].Seq)
	}
}

func mustRequest(t *testing.T) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader([]byte(`{"api_name":"x","token":"y"}`)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
