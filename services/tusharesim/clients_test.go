package tusharesim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// pagingClient behaves as the public Go client does: it always sends limit and
// offset, follows has_more by advancing offset by its limit, takes msg as a plain
// text, and any status but 200 or any code but 0 is an error.
type pagingClient struct {
	url   string
	limit int
	http  *http.Client
}

func (c *pagingClient) query(api string, p map[string]any, fields string) (names []string, items [][]any, err error) {
	for offset := 0; ; offset += c.limit {
		params := map[string]any{"limit": c.limit, "offset": offset}
		for k, v := range p {
			params[k] = v
		}
		b, err := json.Marshal(struct {
			API    string         `json:"api_name"`
			Token  string         `json:"token"`
			Params map[string]any `json:"params,omitempty"`
			Fields string         `json:"fields,omitempty"`
		}{api, "a-token", params, fields})
		if err != nil {
			return nil, nil, err
		}
		res, err := c.http.Post(c.url, "application/json", bytes.NewReader(b))
		if err != nil {
			return nil, nil, err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return nil, nil, err
		}
		if res.StatusCode != http.StatusOK {
			return nil, nil, fmt.Errorf("status %d", res.StatusCode)
		}
		var r struct {
			Code int
			Msg  string
			Data struct {
				Fields  []string
				Items   [][]any
				HasMore bool `json:"has_more"`
			}
		}
		if err := json.Unmarshal(body, &r); err != nil {
			return nil, nil, err
		}
		if r.Code != 0 {
			return nil, nil, fmt.Errorf("%d: %s", r.Code, r.Msg)
		}
		names, items = r.Data.Fields, append(items, r.Data.Items...)
		if !r.Data.HasMore {
			return names, items, nil
		}
	}
}

func TestPagingGoClient(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	c := &pagingClient{url: s.URL, limit: 37, http: client(t)}
	for _, api := range []string{"daily", "daily_basic", "moneyflow", "fund_daily"} {
		_, items, err := c.query(api, thursday, "")
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.Rows(api, map[string]string{"trade_date": "20260514"})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[any]bool{}
		for i, it := range items {
			seen[it[0]] = true
			if it[0] != want.Rows[i][0] {
				t.Fatalf("%s row %d: %v, want %v", api, i, it[0], want.Rows[i][0])
			}
		}
		if len(items) != len(want.Rows) || len(seen) != len(items) {
			t.Errorf("%s: %d rows, %d symbols, want %d", api, len(items), len(seen), len(want.Rows))
		}
	}
	c.limit = 5000
	if _, items, err := c.query("stock_basic", map[string]any{"list_status": "L"}, "ts_code"); err != nil || len(items) < 380 {
		t.Errorf("stock_basic: %d, %v", len(items), err)
	}
	if _, _, err := c.query("nonsense", nil, ""); err == nil || err.Error() != "50101: 请指定正确的接口名" {
		t.Errorf("unknown interface: %v", err)
	}
}

// frame is what the public Python client makes of a reply: it sends api_name, token,
// params (Python values as they are) and fields, ignores status and has_more, raises
// msg when code is not 0, and builds a table from data.items with data.fields.
func frame(c *http.Client, url, api, fields string, kwargs map[string]any) (columns []string, rows [][]any, err error) {
	b, err := json.Marshal(map[string]any{"api_name": api, "token": "a-token", "params": kwargs, "fields": fields})
	if err != nil {
		return nil, nil, err
	}
	res, err := c.Post(url, "application/json", bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	var result map[string]any
	if err := json.NewDecoder(res.Body).Decode(&result); err != nil {
		return nil, nil, err
	}
	if result["code"].(float64) != 0 {
		return nil, nil, errors.New(result["msg"].(string))
	}
	data := result["data"].(map[string]any)
	for _, f := range data["fields"].([]any) {
		columns = append(columns, f.(string))
	}
	for _, it := range data["items"].([]any) {
		row := it.([]any)
		if len(row) != len(columns) {
			return nil, nil, fmt.Errorf("%d columns passed, passed data had %d columns", len(columns), len(row))
		}
		rows = append(rows, row)
	}
	return columns, rows, nil
}

func TestPublicPythonClient(t *testing.T) {
	s := tusharesim.StartTest(t, small())
	c := client(t)
	c.Timeout = 10 * time.Second
	// The older release posts to the base address, the current one appends the
	// interface to <base>/dataapi.
	for _, url := range []func(api string) string{
		func(string) string { return s.URL },
		func(string) string { return s.URL + "/" },
		func(api string) string { return s.URL + "/dataapi/" + api },
	} {
		cols, rows, err := frame(c, url("daily"), "daily", "", map[string]any{"trade_date": "20260514"})
		if err != nil || cols[0] != "ts_code" || len(rows) < 350 {
			t.Errorf("daily: %v %d %v", cols, len(rows), err)
		}
		cols, rows, err = frame(c, url("stock_basic"), "stock_basic", "ts_code,name,list_date", map[string]any{"exchange": "", "list_status": "L"})
		if err != nil || len(cols) != 3 || len(rows) < 380 {
			t.Errorf("stock_basic: %v %d %v", cols, len(rows), err)
		}
		_, rows, err = frame(c, url("trade_cal"), "trade_cal", "", map[string]any{"exchange": "", "start_date": "20260101", "end_date": "20261231", "is_open": "1"})
		if err != nil || len(rows) != 242 {
			t.Errorf("trade_cal: %d %v", len(rows), err)
		}
		_, rows, err = frame(c, url("daily"), "daily", "", map[string]any{"trade_date": "20260516", "limit": nil})
		if err != nil || len(rows) != 0 {
			t.Errorf("a Saturday: %d %v", len(rows), err)
		}
		if _, _, err = frame(c, url("fund_dailyy"), "fund_dailyy", "", map[string]any{}); err == nil || err.Error() != tusharesim.MsgUnknownAPI {
			t.Errorf("unknown: %v", err)
		}
	}
}
