package tushare

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// value is a cell as the oracle reads it. bad is the raw value where the column
// cannot hold it.
type value struct {
	null bool
	text string
	date market.Date
	bits uint64
	bad  string
}

var (
	errTwice    = errors.New("a member stands twice")
	jsonNumber  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	errNotValid = errors.New("not the envelope")
)

// oracle reads an envelope with encoding/json, slowly and plainly: what the
// decoder must agree with. It answers errTwice where JSON leaves the meaning open.
func oracle(body []byte, ds *catalog.Dataset) (rep reply, rows [][]value, err error) {
	if !utf8.Valid(body) {
		return rep, nil, errNotValid
	}
	top, err := members(body)
	if err != nil {
		return rep, nil, err
	}
	code := top["code"]
	switch {
	case len(code) == 0:
		return rep, nil, errNotValid
	case code[0] == '"':
		rep.code = strings.TrimSpace(str(code))
	case jsonNumber.Match(code):
		v, err := strconv.ParseFloat(string(code), 64)
		if err != nil {
			return rep, nil, errNotValid
		}
		rep.code = strconv.FormatFloat(v, 'f', -1, 64)
	}
	if rep.code == "-0" {
		rep.code = "0"
	}
	if rep.code == "" {
		return rep, nil, errNotValid
	}
	if rep.msg = str(top["msg"]); rep.msg == "" {
		rep.msg = str(top["message"])
	}
	if rep.code != "0" {
		return rep, nil, nil
	}
	if string(top["data"]) == "null" {
		rep.none = true
		return rep, nil, nil
	}
	data, err := members(top["data"])
	if err != nil {
		return rep, nil, err
	}
	switch string(data["has_more"]) {
	case "true", "1":
		rep.hasMore = true
	case "false", "0", "null", "":
	default:
		return rep, nil, errNotValid
	}
	var fields []json.RawMessage
	if raw := data["fields"]; len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &fields) != nil {
		return rep, nil, errNotValid
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		if f[0] != '"' {
			return rep, nil, errNotValid
		}
		names[i] = str(f)
	}
	var items []json.RawMessage
	if raw := data["items"]; len(raw) > 0 && string(raw) != "null" && (raw[0] != '[' || json.Unmarshal(raw, &items) != nil) {
		return rep, nil, errNotValid
	}
	for _, c := range ds.Columns {
		if c.Required && !slices.Contains(names, c.Provider) {
			rep.missing = c.Provider
			break
		}
	}
	for _, item := range items {
		var cells []json.RawMessage
		if item[0] != '[' || json.Unmarshal(item, &cells) != nil || len(cells) != len(names) {
			return rep, nil, errNotValid
		}
		row := make([]value, len(ds.Columns))
		for i, c := range ds.Columns {
			if f := slices.Index(names, c.Provider); f >= 0 {
				row[i] = read(c.Type, cells[f])
			} else {
				row[i] = value{null: true}
			}
		}
		rows = append(rows, row)
	}
	if rep.missing == "" {
		rep.rows = len(rows)
	}
	return rep, rows, nil
}

func read(typ table.Type, raw json.RawMessage) value {
	bad := value{null: true, bad: text(raw, true)}
	s := string(raw)
	switch {
	case s == "null":
		return value{null: true}
	case raw[0] == '"':
		s = str(raw)
	case !jsonNumber.MatchString(s):
		return bad
	}
	switch {
	case typ == table.Text:
		return value{text: s}
	case s == "":
		return value{null: true}
	case typ == table.Date:
		d, err := market.ParseCompact(s)
		if err != nil {
			return bad
		}
		return value{date: d}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !jsonNumber.MatchString(s) || typ == table.Int && v != math.Trunc(v) {
		return bad
	}
	return value{bits: math.Float64bits(v)}
}

// str is a string's value, the text of another value, and empty for null.
func str(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return s
}

func members(raw []byte) (map[string]json.RawMessage, error) {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 || raw[0] != '{' || !json.Valid(raw) {
		return nil, errNotValid
	}
	m := map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(raw))
	_, _ = d.Token()
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, errNotValid
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, errNotValid
		}
		if _, ok := m[k.(string)]; ok {
			return nil, errTwice
		}
		m[k.(string)] = v
	}
	return m, nil
}

// cellsOf turns a decoded batch into the oracle's form.
func cellsOf(b *table.Batch, bad []table.BadCell) [][]value {
	rows := make([][]value, b.Len)
	for r := range rows {
		rows[r] = make([]value, len(b.Columns))
		for i := range b.Columns {
			c := &b.Columns[i]
			switch v := &rows[r][i]; {
			case c.Null[r]:
				v.null = true
			case c.Type == table.Text:
				v.text = c.Texts[r]
			case c.Type == table.Date:
				v.date = c.Dates[r]
			default:
				v.bits = math.Float64bits(c.Numbers[r])
			}
		}
	}
	for _, c := range bad {
		for i := range b.Columns {
			if b.Columns[i].Name == c.Column {
				rows[c.Row][i].bad = c.Raw
			}
		}
	}
	return rows
}
