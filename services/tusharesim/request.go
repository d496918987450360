package tusharesim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
)

// Codes of the provider.
const (
	// CodeOK also comes without rows.
	CodeOK = 0
	// CodeBadToken is an unknown, empty or revoked token.
	CodeBadToken = 40101
	// CodeRefused is a missing permission as well as any rate limit.
	CodeRefused = 40203
	// CodeTooManyIPs is a token used from too many addresses.
	CodeTooManyIPs = 40204
	// CodeBadParameter is an invalid call.
	CodeBadParameter = 50101
)

// Messages of the provider.
const (
	// MsgBadToken goes with CodeBadToken.
	MsgBadToken = "您的token不对，请确认。"
	// MsgTooManyIPs goes with CodeTooManyIPs.
	MsgTooManyIPs = "您的IP数量超限，最大数量为2个！"
	// MsgBadParameter goes with CodeBadParameter.
	MsgBadParameter = "查询数据失败，请确认参数！可以反馈管理员协助您排查问题"
	// MsgUnknownAPI also goes with CodeBadParameter.
	MsgUnknownAPI = "请指定正确的接口名"
)

func msgNoPermission(api string) string {
	return "抱歉，您没有接口(" + api + ")访问权限，权限的具体详情访问：" + detailsURL
}

// maxOffset is the largest offset that the provider accepts.
const maxOffset = 100000

// refusal is a reply with a code and no data.
type refusal struct {
	code int
	msg  string
}

var badParameter = &refusal{CodeBadParameter, MsgBadParameter}

// request is the body of a call, with all parameters as text.
type request struct {
	api    string
	token  string
	params map[string]string
	fields string
}

// parseRequest parses a body. Numbers, booleans and lists in params become text; a null is
// omitted.
func parseRequest(body []byte) (request, bool) {
	var raw struct {
		API    any            `json:"api_name"`
		Token  any            `json:"token"`
		Params map[string]any `json:"params"`
		Fields any            `json:"fields"`
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	if err := dec.Decode(&raw); err != nil {
		return request{}, false
	}
	r := request{params: make(map[string]string, len(raw.Params))}
	var ok [3]bool
	r.api, ok[0] = text(raw.API)
	r.token, ok[1] = text(raw.Token)
	r.fields, ok[2] = text(raw.Fields)
	if !ok[0] || !ok[1] || !ok[2] {
		return request{}, false
	}
	for k, v := range raw.Params {
		t, ok := text(v)
		if !ok {
			return request{}, false
		}
		if t != "" {
			r.params[k] = t
		}
	}
	return r, true
}

func text(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return strings.TrimSpace(v), true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			t, ok := text(e)
			if !ok {
				return "", false
			}
			parts = append(parts, t)
		}
		return strings.Join(parts, ","), true
	}
	return "", false
}

// query is a parsed request.
type query struct {
	api      *spec.API
	cols     []int
	names    []string
	codes    []string // sorted; nil = all
	from, to int32
	limit    int // 0 = none given
	offset   int
	params   map[string]string
}

// parseQuery checks the parameters of a call. It ignores unknown parameters and fields.
func parseQuery(api *spec.API, params map[string]string, fields string) (*query, *refusal) {
	q := &query{api: api, params: params, from: 0, to: 99991231}
	q.cols = columns(api, fields)
	q.names = make([]string, len(q.cols))
	for i, c := range q.cols {
		q.names[i] = api.Columns[c].Name
	}
	var ok bool
	if q.limit, ok = whole(params["limit"]); !ok {
		return nil, badParameter
	}
	if q.offset, ok = whole(params["offset"]); !ok || q.offset > maxOffset {
		return nil, badParameter
	}
	dates := [...]struct {
		name     string
		from, to bool
	}{{"trade_date", true, true}, {"cal_date", true, true}, {"start_date", true, false}, {"end_date", false, true}}
	for _, d := range dates {
		v := params[d.name]
		if v == "" || d.name == "cal_date" && api.Dated || d.name == "trade_date" && !api.Dated {
			continue
		}
		n, ok := calendar.Parse(v)
		if !ok && n == 0 {
			return nil, badParameter
		}
		// For a date that does not exist the provider returns no rows, not an error.
		if d.from {
			q.from = max(q.from, n)
		}
		if d.to {
			q.to = min(q.to, n)
		}
	}
	if c := params["ts_code"]; c != "" {
		q.codes = codeList(c)
	}
	hasDate := params["trade_date"] != ""
	hasRange := params["start_date"] != "" || params["end_date"] != ""
	switch {
	case q.codes != nil || hasDate:
	case api.NeedsKey == spec.NeedCodeOrDates && !hasRange, api.NeedsKey == spec.NeedCodeOrDate:
		return nil, &refusal{CodeBadParameter, "必填参数, trade_date"}
	}
	return q, nil
}

func columns(api *spec.API, fields string) []int {
	if strings.Trim(fields, ", ") == "" {
		return api.Defaults()
	}
	out := []int{}
	seen := map[int]bool{}
	for f := range strings.SplitSeq(fields, ",") {
		if i, ok := api.Index(strings.TrimSpace(f)); ok && !seen[i] {
			seen[i] = true
			out = append(out, i)
		}
	}
	return out
}

// whole parses a count that may be absent, a text or a number.
func whole(s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		f, ferr := strconv.ParseFloat(s, 64)
		if ferr != nil || f != float64(int(f)) {
			return 0, false
		}
		n = int(f)
	}
	return n, n >= 0
}

// codeList returns a list of ts_codes, sorted.
func codeList(s string) []string {
	out := sentCodes(s)
	slices.Sort(out)
	return out
}

// sentCodes returns a list of ts_codes in the order of the request, without repetitions.
func sentCodes(s string) []string {
	seen := map[string]bool{}
	out := []string{}
	for c := range strings.SplitSeq(s, ",") {
		if c = strings.TrimSpace(c); c != "" && !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	return out
}
