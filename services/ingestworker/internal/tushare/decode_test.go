package tushare

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/realdatatest"
)

// decode reads one body with a fresh decoder.
func decode(api string, body io.Reader) (reply, *table.Batch, []table.BadCell, error) {
	ds := catalog.Lookup(api)
	b := table.New(ds.Specs(), 4)
	var d decoder
	d.begin(ds, b)
	rep, err := d.page(body, 1<<30)
	return rep, b, d.bad, err
}

// Columns of trade_cal make short bodies.
const calFields = `"fields":["exchange","cal_date","is_open","pretrade_date"]`

var calRow = []value{{text: "SSE"}, {date: market.NewDate(2026, 3, 2)}, {bits: math.Float64bits(1)}, {date: market.NewDate(2026, 2, 27)}}

func TestFormsThatAreAccepted(t *testing.T) {
	for name, body := range map[string]string{
		"plain":               `{"request_id":"x","code":0,"data":{` + calFields + `,"items":[["SSE","20260302",1,"20260227"]],"has_more":false,"count":-1},"msg":"","detail":"..."}`,
		"null msg first":      `{"msg":null,"code":0,"data":{` + calFields + `,"items":[["SSE","20260302",1,"20260227"]]}}`,
		"code last":           `{"data":{` + calFields + `,"items":[["SSE","20260302",1,"20260227"]],"has_more":false},"code":0}`,
		"items before":        `{"code":0,"data":{"items":[["SSE","20260302",1,"20260227"]],"has_more":false,` + calFields + `}}`,
		"white space":         " {\n\t\"code\" : 0 , \"data\" : { \"fields\" : [ \"exchange\" , \"cal_date\",\"is_open\",\"pretrade_date\" ] , \"items\" : [ [ \"SSE\" , \"20260302\" , 1 , \"20260227\" ] ] } }\r\n ",
		"other order":         `{"code":0,"data":{"fields":["pretrade_date","is_open","exchange","cal_date"],"items":[["20260227",1,"SSE","20260302"]]}}`,
		"more fields":         `{"code":0,"data":{"fields":["a","exchange","cal_date","b","is_open","pretrade_date","c"],"items":[[null,"SSE","20260302",{"x":[1,"]"]},1,"20260227",1.5e3]]}}`,
		"dates as numbers":    `{"code":0,"data":{` + calFields + `,"items":[["SSE",20260302,1,20260227]]}}`,
		"is_open as text":     `{"code":0,"data":{` + calFields + `,"items":[["SSE","20260302","1","20260227"]]}}`,
		"is_open as 1.0":      `{"code":0,"data":{` + calFields + `,"items":[["SSE","20260302",1.0,"20260227"]]}}`,
		"escapes":             `{"code":0,"data":{"fields":["exch\u0061nge","cal_date","is_open","pretrade_date"],"items":[["\u0053SE","2026030\u0032",1,"20260227"]]}}`,
		"code as text":        `{"code":"0","data":{` + calFields + `,"items":[["SSE","20260302",1,"20260227"]]}}`,
		"unknown keys":        `{"code":0,"x":{"y":[[],{},"\"",-1.5e-3,true,false,null]},"data":{"z":[{}],` + calFields + `,"items":[["SSE","20260302",1,"20260227"]]},"message":"m"}`,
		"a field named twice": `{"code":0,"data":{"fields":["exchange","cal_date","is_open","pretrade_date","exchange"],"items":[["SSE","20260302",1,"20260227","SZSE"]]}}`,
	} {
		for kind, r := range map[string]io.Reader{"whole": strings.NewReader(body), "byte by byte": iotest.OneByteReader(strings.NewReader(body)), "end with data": iotest.DataErrReader(strings.NewReader(body))} {
			rep, b, bad, err := decode(catalog.TradeCal, r)
			if err != nil || rep.code != "0" || rep.rows != 1 || rep.hasMore || rep.missing != "" {
				t.Errorf("%s, %s: %+v, %v", name, kind, rep, err)
				continue
			}
			if got := cellsOf(b, bad); !reflect.DeepEqual(got, [][]value{calRow}) {
				t.Errorf("%s, %s: %+v", name, kind, got)
			}
		}
	}
}

func TestNullIsNotZeroAndAbsentIsNull(t *testing.T) {
	rep, b, bad, err := decode(catalog.Daily, strings.NewReader(
		`{"code":0,"data":{"fields":["ts_code","trade_date","close","vol","amount","high"],"items":[["600519.SH","20260302",1500.5,0,null,""],["000001.SZ","20260302","10.25",null,0,"11"]],"has_more":true}}`))
	if err != nil || !rep.hasMore || len(bad) > 0 || b.Len != 2 {
		t.Fatalf("%+v, %v, bad %v", rep, err, bad)
	}
	want := map[string][]any{
		"close": {1500.5, 10.25}, "vol": {0.0, nil}, "amount": {nil, 0.0}, "high": {nil, 11.0}, "low": {nil, nil}, "pct_chg": {nil, nil},
	}
	for name, values := range want {
		c := b.Column(name)
		for i, v := range values {
			var got any = c.Numbers[i]
			if c.Null[i] {
				got = nil
			}
			if got != v || c.Null[i] && c.Numbers[i] != 0 {
				t.Errorf("%s[%d] = %v, want %v", name, i, got, v)
			}
		}
	}
}

func TestEmptyDateIsNullAndEmptyTextIsText(t *testing.T) {
	_, b, bad, err := decode(catalog.StockBasic, strings.NewReader(
		`{"code":0,"data":{"fields":["ts_code","name","delist_date","is_hs"],"items":[["600519.SH","","",5]]}}`))
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	if n := b.Column("name"); n.Null[0] || n.Texts[0] != "" {
		t.Error("an empty name became null")
	}
	if d := b.Column("delist_date"); !d.Null[0] || d.Dates[0] != market.NoDate {
		t.Error("an empty date is not null")
	}
	if h := b.Column("is_hs"); h.Texts[0] != "5" {
		t.Errorf("a number in a text column became %q", h.Texts[0])
	}
}

func TestBadValuesAreListedAndNull(t *testing.T) {
	_, b, bad, err := decode(catalog.Daily, strings.NewReader(
		`{"code":0,"data":{"fields":["ts_code","trade_date","open","close","vol","amount"],"items":[`+
			`["600519.SH","20260302",1,2,3,4],["600519.SH","20260230","abc",1e999,[1,"x"],true],["600519.SH","20260303","1,5",{},"NaN"," 7"]]}}`))
	if err != nil || b.Len != 3 {
		t.Fatal(err)
	}
	want := []table.BadCell{
		{Row: 1, Column: "trade_date", Raw: `"20260230"`}, {Row: 1, Column: "open", Raw: `"abc"`}, {Row: 1, Column: "close", Raw: "1e999"},
		{Row: 1, Column: "vol", Raw: `[1,"x"]`}, {Row: 1, Column: "amount", Raw: "true"},
		{Row: 2, Column: "open", Raw: `"1,5"`}, {Row: 2, Column: "close", Raw: "{}"}, {Row: 2, Column: "vol", Raw: `"NaN"`}, {Row: 2, Column: "amount", Raw: `" 7"`},
	}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Error(diff)
	}
	for _, c := range bad {
		if !b.Column(c.Column).Null[c.Row] {
			t.Errorf("%s of row %d is not null", c.Column, c.Row)
		}
	}
	if b.Column("trade_date").Null[0] || b.Column("open").Numbers[0] != 1 {
		t.Error("the good row suffered")
	}
}

func TestMissingRequiredFieldIsNamed(t *testing.T) {
	for _, body := range []string{
		`{"code":0,"data":{"fields":["ts_code","trade_date","open"],"items":[["600519.SH","20260302",1]]}}`,
		`{"code":0,"data":{"items":[["600519.SH","20260302",1]],"fields":["ts_code","trade_date","open"]}}`,
		`{"code":0,"data":{"fields":["ts_code","trade_date"],"items":[]}}`,
	} {
		rep, b, _, err := decode(catalog.Daily, strings.NewReader(body))
		if err != nil || rep.missing != "close" || b.Len != 0 {
			t.Errorf("%s: %+v, %v, %d rows", body, rep, err, b.Len)
		}
	}
	rep, _, _, err := decode(catalog.Daily, strings.NewReader(`{"data":{"fields":[],"items":[]},"code":40203,"msg":"m"}`))
	if err != nil || rep.code != "40203" || rep.msg != "m" {
		t.Errorf("a refusal with empty data: %+v, %v", rep, err)
	}
}

func TestRefusals(t *testing.T) {
	for body, want := range map[string]reply{
		`{"request_id":"1","code":40203,"data":null,"msg":"抱歉","detail":""}`: {code: "40203", msg: "抱歉"},
		`{"code":"40101","msg":null,"message":"old"}`:                        {code: "40101", msg: "old"},
		`{"msg":"\u62b1","code":-2001,"data":[]}`:                            {code: "-2001", msg: "抱"},
		`{"code":50101,"data":{"fields":3,"items":"x"},"msg":5}`:             {code: "50101", msg: "5"},
		`{"code":"ERR_X","msg":"m"}`:                                         {code: "ERR_X", msg: "m"},
	} {
		rep, b, _, err := decode(catalog.Daily, strings.NewReader(body))
		if err != nil || rep != want || b.Len != 0 {
			t.Errorf("%s: %+v, %v", body, rep, err)
		}
	}
}

const goodCal = `{"code":0,"msg":"好","data":{` + calFields + `,"items":[["SSE","20260302",1,"20260227"],["SSE","20260303",1,null]],"has_more":false}}`

func TestBodiesThatAreNotTheEnvelope(t *testing.T) {
	bodies := map[string]string{
		"empty": "", "space": "  ", "html": "<html><body>403 Forbidden</body></html>", "text": "busy", "null": "null", "list": "[]", "number": "12",
		"no code": `{"msg":"x"}`, "code null": `{"code":null}`, "code huge": `{"code":1e999}`, "no data": `{"code":0}`,
		"data list": `{"code":0,"data":[]}`, "no fields": `{"code":0,"data":{"items":[]}}`, "items before no fields": `{"code":0,"data":{"items":[[1]]}}`, "fields null": `{"code":0,"data":{"fields":null,"items":[]}}`,
		"fields of numbers": `{"code":0,"data":{"fields":[1],"items":[]}}`, "items object": `{"code":0,"data":{` + calFields + `,"items":{}}}`, "row object": `{"code":0,"data":{` + calFields + `,"items":[{}]}}`,
		"row null": `{"code":0,"data":{` + calFields + `,"items":[null]}}`, "row short": `{"code":0,"data":{` + calFields + `,"items":[["SSE","20260302",1]]}}`, "row empty": `{"code":0,"data":{` + calFields + `,"items":[[]]}}`,
		"row long": `{"code":0,"data":{` + calFields + `,"items":[["SSE","20260302",1,null,2]]}}`, "comma at end": `{"code":0,"data":{` + calFields + `,"items":[["SSE","20260302",1,null],]}}`,
		"garbage after": goodCal + "x", "two objects": goodCal + goodCal, "not UTF-8": strings.Replace(goodCal, "好", "\xba\xc3", 1), "not UTF-8 in a row": strings.Replace(goodCal, "SSE", "S\xffE", 1),
		"has_more text": `{"code":0,"data":{` + calFields + `,"items":[],"has_more":"yes"}}`, "data twice": `{"code":0,"data":{` + calFields + `},"data":{` + calFields + `}}`,
		"items twice": `{"code":0,"data":{` + calFields + `,"items":[],"items":[]}}`, "fields twice": `{"code":0,"data":{` + calFields + `,` + calFields + `}}`,
		"single quotes": `{'code':0}`, "NaN": strings.Replace(goodCal, `1,"20260227"`, `NaN,"20260227"`, 1), "leading zero": strings.Replace(goodCal, `1,"20260227"`, `01,"20260227"`, 1),
		"deep": `{"code":0,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, "control": "{\"code\":0,\"msg\":\"a\x01\"}", "BOM": "\ufeff" + goodCal,
	}
	for name, body := range bodies {
		rep, b, bad, err := decode(catalog.TradeCal, strings.NewReader(body))
		var m *malformedError
		if !errors.As(err, &m) {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
		if b.Len != 0 || len(bad) != 0 || len(b.Columns[0].Null) != 0 {
			t.Errorf("%s left %d rows behind", name, b.Len)
		}
	}
}

func TestEveryTruncationIsFound(t *testing.T) {
	for n := range len(goodCal) {
		var m *malformedError
		if _, b, _, err := decode(catalog.TradeCal, strings.NewReader(goodCal[:n])); !errors.As(err, &m) || b.Len != 0 {
			t.Errorf("cut after %d bytes: %v, %d rows", n, err, b.Len)
		}
	}
}

func TestSizeIsBounded(t *testing.T) {
	ds := catalog.Lookup(catalog.TradeCal)
	for limit := range int64(len(goodCal) + 2) {
		var d decoder
		d.begin(ds, table.New(ds.Specs(), 0))
		_, err := d.page(strings.NewReader(goodCal), limit)
		if (err == nil) != (limit >= int64(len(goodCal))) {
			t.Errorf("limit %d of %d: %v", limit, len(goodCal), err)
		}
	}
	endless := io.MultiReader(strings.NewReader(`{"code":0,"x":"`), endlessReader{})
	var d decoder
	d.begin(ds, table.New(ds.Specs(), 0))
	if _, err := d.page(endless, 1<<20); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("an endless body: %v", err)
	}
}

type endlessReader struct{}

func (endlessReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestBrokenPageLeavesTheBatchAsItWas(t *testing.T) {
	ds := catalog.Lookup(catalog.TradeCal)
	b := table.New(ds.Specs(), 0)
	var d decoder
	d.begin(ds, b)
	if _, err := d.page(strings.NewReader(goodCal), 1<<20); err != nil {
		t.Fatal(err)
	}
	d.dedupe(0, 0)
	before := fmt.Sprint(cellsOf(b, d.bad))
	for _, broken := range []string{
		goodCal[:len(goodCal)-20], `{"code":40203,"msg":"m"}`, `{"data":` + goodCal[strings.Index(goodCal, `{"fields`):len(goodCal)-1] + `,"code":40203}`,
		strings.Replace(goodCal, `"20260303",1`, `"x","y"`, 1) + "x",
	} {
		_, _ = d.page(strings.NewReader(broken), 1<<20)
		if after := fmt.Sprint(cellsOf(b, d.bad)); after != before {
			t.Errorf("after %s: %s", broken, after)
		}
	}
	if _, err := d.page(strings.NewReader(strings.Replace(goodCal, "202603", "202604", 2)), 1<<20); err != nil {
		t.Fatal(err)
	}
	if repeated, within := d.dedupe(2, 0); repeated != 0 || within != 0 || b.Len != 4 {
		t.Errorf("%d rows, %d repeated", b.Len, repeated)
	}
}

func TestSymbolsAreShared(t *testing.T) {
	ds := catalog.Lookup(catalog.Daily)
	var d decoder
	var got [2]*table.Batch
	for i := range got {
		got[i] = table.New(ds.Specs(), 0)
		d.begin(ds, got[i])
		if _, err := d.page(strings.NewReader(dailyBody(1, 20260302)), 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := got[0].Column("ts_code").Texts[0], got[1].Column("ts_code").Texts[0]; a != b || unsafeData(a) != unsafeData(b) {
		t.Error("two fetches keep two copies of a symbol")
	}
}

func TestRecordedReplies(t *testing.T) {
	dir := filepath.Join(realdatatest.Dir(t), "raw_replies")
	raw, err := os.ReadFile(filepath.Join(dir, "stock_basic_20250618.json"))
	if err != nil {
		t.Fatal(err)
	}
	ds := catalog.Lookup(catalog.StockBasic)
	_, want, err := oracle(raw, ds)
	if err != nil {
		t.Fatal(err)
	}
	rep, b, bad, err := decode(catalog.StockBasic, strings.NewReader(string(raw)))
	if err != nil || rep.rows != 5418 || rep.hasMore || len(bad) > 0 {
		t.Fatalf("%+v, %v, %d bad", rep, err, len(bad))
	}
	if !reflect.DeepEqual(cellsOf(b, bad), want) {
		t.Error("the recorded stock_basic differs from what encoding/json reads")
	}
	if raw, err = os.ReadFile(filepath.Join(dir, "err_permission_40203.json")); err != nil {
		t.Fatal(err)
	}
	if rep, _, _, err = decode(catalog.FundDaily, strings.NewReader(string(raw))); err != nil || classify(rep.code, rep.msg).kind != kindPermission {
		t.Errorf("the recorded refusal: %+v, %v", rep, err)
	}
	if raw, err = os.ReadFile(filepath.Join(dir, "ok_empty_stk_mins.json")); err != nil {
		t.Fatal(err)
	}
	if rep, _, _, err = decode(catalog.Daily, strings.NewReader(string(raw))); err != nil || rep.code != "0" || rep.missing != "trade_date" {
		t.Errorf("the recorded empty reply of another API: %+v, %v", rep, err)
	}
}
