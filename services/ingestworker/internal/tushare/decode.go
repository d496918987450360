package tushare

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// reply is an envelope without its rows.
type reply struct {
	// code is the number as text; "0" means success. The provider sends a number; some
	// proxies quote it.
	code string
	// msg is the text next to the code; empty if null.
	msg string
	// hasMore reports whether the provider has more rows.
	hasMore bool
	// rows is the number of rows in the reply.
	rows int
	// missing is the first required field that the reply lacks; empty if there is none.
	missing string
	// none reports whether the code is 0 and data is null.
	none bool
}

// op says how the cells of a field are decoded.
type op uint8

const (
	opSkip op = iota
	opText
	opSymbol // an interned text
	opDate
	opNumber
	opInt
)

// cell says how one field of the reply is decoded.
type cell struct {
	op   op
	key  bool // whether it is the text of the row's key
	col  *table.Column
	last [8]byte     // the last date, as text
	date market.Date // and its value
}

// decoder decodes envelopes into a batch. One fetch uses it at a time. The next fetch
// reuses its buffer and its interned symbols.
type decoder struct {
	scanner
	symbols interner
	columns []catalog.Column
	keyText string // provider's name of the column
	keyDate string // likewise; empty if the key has no date

	batch   *table.Batch
	room    int     // length of every column while a page is decoded
	n       int     // number of decoded rows
	ids     []int32 // interned key text of each row, -1 if null
	bad     []table.BadCell
	plan    []cell // by field of the reply
	planned bool
	filled  []bool // columns that the reply has
	missing string

	seen table.Places // the last row of each key
	prev []int32      // the previous row with the same key, -1 if none
}

// begin prepares the decoder for a fetch of a dataset into batch.
func (d *decoder) begin(ds *catalog.Dataset, batch *table.Batch) {
	d.symbols.begin()
	d.columns, d.batch, d.n, d.room = ds.Columns, batch, 0, 0
	d.ids, d.prev, d.bad = d.ids[:0], d.prev[:0], nil
	clear(d.seen)
	d.keyText, d.keyDate = keyOf(ds.Columns)
}

// end drops all references to the fetch, whose rows now belong to the caller, and frees
// buffers that an unusually large body needed.
func (d *decoder) end() {
	d.batch, d.bad, d.r = nil, nil, nil
	if cap(d.buf) > maxKept {
		d.buf = nil
	}
	if cap(d.ids) > maxKept/4 {
		d.ids, d.prev, d.seen = nil, nil, nil
	}
}

// maxKept is the largest buffer, in bytes, that is kept between fetches.
const maxKept = 4 << 20

// keyOf returns the key columns: ts_code and trade_date, ts_code alone, or exchange and
// cal_date.
func keyOf(columns []catalog.Column) (text, date string) {
	for _, c := range columns {
		switch {
		case c.Provider == "ts_code", c.Provider == "exchange" && text == "":
			text = c.Provider
		case c.Provider == "trade_date", c.Provider == "cal_date":
			date = c.Provider
		}
	}
	return text, date
}

// page adds the rows of one body to the batch. An error, or a reply with a code other
// than 0, leaves the batch unchanged.
func (d *decoder) page(body io.Reader, limit int64) (rep reply, err error) {
	start, bad := d.batch.Len, len(d.bad)
	d.reset(body, limit)
	d.n, d.planned, d.missing, d.plan = start, false, "", d.plan[:0]
	d.room = start // the columns were trimmed
	rep, err = d.envelope()
	if err != nil || rep.code != "0" || rep.missing != "" || rep.none {
		d.undo(start, bad)
		return rep, err
	}
	for i := range d.batch.Columns {
		if !d.filled[i] {
			for r := start; r < d.n; r++ {
				setNull(&d.batch.Columns[i], r)
			}
		}
	}
	rep.rows = d.n - start
	d.trim(d.n)
	return rep, nil
}

func (d *decoder) envelope() (rep reply, err error) {
	var message string
	code, data, null, usable := false, false, false, false
	err = d.object(func(key string) error {
		switch key {
		case "code":
			code = true
			return d.value(func(b []byte) (n int, err error) {
				rep.code, n, err = scanCode(b)
				return n, err
			})
		case "msg":
			return d.value(func(b []byte) (n int, err error) { rep.msg, n, err = scanText(b); return n, err })
		case "message":
			return d.value(func(b []byte) (n int, err error) { message, n, err = scanText(b); return n, err })
		case "data":
			if data {
				return d.fail(malformed(0, "second data"))
			}
			data, null = true, d.buf[d.pos] == 'n'
			if d.buf[d.pos] != '{' || code && rep.code != "0" {
				return d.skip()
			}
			usable = true
			return d.data(&rep)
		}
		return d.skip()
	})
	if err == nil {
		err = d.finish()
	}
	if rep.msg == "" {
		rep.msg = message
	}
	switch {
	case err != nil:
	case !code:
		err = d.fail(malformed(0, "object without code"))
	case rep.code == "0" && null:
		rep.none = true
	case rep.code == "0" && !usable:
		err = d.fail(malformed(0, "code 0 without data"))
	case rep.code == "0" && !d.planned:
		err = d.fail(malformed(0, "data without fields"))
	}
	rep.missing = d.missing
	return rep, err
}

func (d *decoder) skip() error {
	return d.value(func(b []byte) (int, error) { return skipValue(b, 0, 0) })
}

// data decodes the member that holds fields and items, in any order.
func (d *decoder) data(rep *reply) error {
	var early []byte // items before fields
	items := false
	err := d.object(func(key string) error {
		switch key {
		case "fields":
			if d.planned {
				return d.fail(malformed(0, "second fields"))
			}
			if d.buf[d.pos] == 'n' {
				return d.skip()
			}
			var fields []string
			if err := d.value(func(b []byte) (n int, err error) { fields, n, err = scanTexts(b); return n, err }); err != nil {
				return err
			}
			d.mapFields(fields)
			return nil
		case "items":
			if items {
				return d.fail(malformed(0, "second items"))
			}
			items = true
			switch {
			case d.buf[d.pos] == 'n':
				return d.skip()
			case d.planned:
				return d.rows(&d.scanner)
			}
			return d.value(func(b []byte) (int, error) {
				n, err := skipValue(b, 0, 0)
				if err == nil {
					early = append([]byte(nil), b[:n]...)
				}
				return n, err
			})
		case "has_more":
			return d.value(func(b []byte) (n int, err error) { rep.hasMore, n, err = scanBool(b); return n, err })
		}
		return d.skip()
	})
	if err != nil || early == nil || !d.planned {
		return err
	}
	return d.rows(&scanner{buf: early, end: len(early), eof: true, limit: math.MaxInt64})
}

// mapFields maps the fields of the reply to columns by name. If a field is repeated, the
// first is used.
func (d *decoder) mapFields(fields []string) {
	d.planned = true
	d.plan = make([]cell, len(fields))
	d.filled = make([]bool, len(d.columns))
	for i := range d.columns {
		name := d.columns[i].Provider
		for f := range fields {
			if fields[f] != name {
				continue
			}
			c := &d.plan[f]
			c.col, c.key, d.filled[i] = &d.batch.Columns[i], name == d.keyText, true
			switch d.columns[i].Type {
			case table.Text:
				c.op = opText
				if c.key || name == "exchange" {
					c.op = opSymbol
				}
			case table.Date:
				c.op = opDate
			case table.Number:
				c.op = opNumber
			default:
				c.op = opInt
			}
			break
		}
		if !d.filled[i] && d.columns[i].Required && d.missing == "" {
			d.missing = name
		}
	}
	if d.missing != "" { // the rows cannot be used: only check that they are JSON
		clear(d.plan)
	}
}

// rows decodes the list of items from s into the batch.
func (d *decoder) rows(s *scanner) error {
	if err := s.take('['); err != nil {
		return err
	}
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c == ']' {
		s.pos++
		return nil
	}
	for {
		if c, err = s.peek(); err != nil {
			return err
		}
		if c != '[' {
			return s.fail(malformed(0, "row that is not a list"))
		}
		if d.n == d.room {
			d.grow()
		}
		bad := len(d.bad)
		for {
			next, err := d.row(s.window(), d.n)
			if err == nil {
				s.pos += next
				break
			}
			d.bad = d.bad[:bad]
			if err != errShort {
				return s.fail(err)
			}
			if err := s.more(); err != nil {
				return err
			}
		}
		d.n++
		if c, err = s.peek(); err != nil {
			return err
		}
		s.pos++
		switch c {
		case ',':
		case ']':
			return nil
		default:
			s.pos--
			return s.fail(malformed(0, fmt.Sprintf("%q between rows instead of ','", c)))
		}
	}
}

// row decodes the row that begins at b[0] into row n of the batch.
func (d *decoder) row(b []byte, n int) (int, error) {
	i := 1
	d.ids[n] = -1
	for f := range d.plan {
		p := &d.plan[f]
		if f > 0 {
			if i = skipSpace(b, i); i >= len(b) {
				return i, errShort
			}
			if b[i] != ',' {
				return i, malformed(i, "row shorter than fields")
			}
			i++
		}
		if i = skipSpace(b, i); i >= len(b) {
			return i, errShort
		}
		switch c := b[i]; {
		case p.op >= opNumber && (c == '-' || c-'0' <= 9):
			v, next, err := scanNumber(b, i)
			switch {
			case err == nil && (p.op == opNumber || v == math.Trunc(v)):
				p.col.Numbers[n], p.col.Null[n] = v, false
			case err == nil || err == errRange:
				d.reject(p, n, b[i:next])
			default:
				return i, err
			}
			i = next
		case p.op == opSymbol && c == '"':
			raw, escaped, next, err := scanString(b, i)
			if err != nil {
				return i, err
			}
			if escaped {
				raw = []byte(text(raw, true))
			}
			id := d.symbols.id(raw)
			if p.key {
				d.ids[n] = id
			}
			p.col.Texts[n], p.col.Null[n] = d.symbols.texts[id], false
			i = next
		case p.op == opDate && c == '"' && i+9 < len(b) && b[i+9] == '"' && [8]byte(b[i+1:]) == p.last && p.date != 0:
			p.col.Dates[n], p.col.Null[n] = p.date, false
			i += 10
		default:
			next, err := d.cell(p, b, i, n)
			if err != nil {
				return i, err
			}
			i = next
		}
	}
	if i = skipSpace(b, i); i >= len(b) {
		return i, errShort
	}
	if b[i] != ']' {
		return i, malformed(i, "row longer than fields")
	}
	return i + 1, nil
}

// cell decodes a value in any form that its column accepts.
func (d *decoder) cell(p *cell, b []byte, i, n int) (int, error) {
	if p.op == opSkip {
		return skipValue(b, i, 0)
	}
	switch c := b[i]; {
	case c == '"':
		raw, escaped, next, err := scanString(b, i)
		if err != nil {
			return i, err
		}
		d.setText(p, n, text(raw, escaped), b[i:next])
		return next, nil
	case c == '-' || c-'0' <= 9:
		_, next, err := scanNumber(b, i)
		if err != nil && err != errRange {
			return i, err
		}
		d.setText(p, n, string(b[i:next]), b[i:next])
		return next, nil
	}
	next, err := skipValue(b, i, 0)
	if err != nil {
		return i, err
	}
	if b[i] == 'n' {
		setNull(p.col, n)
	} else {
		d.reject(p, n, b[i:next])
	}
	return next, nil
}

// setText stores a value that was sent as text, or as a number for a column of texts or
// dates. An empty text is null, except in a text column. A date may have dashes.
func (d *decoder) setText(p *cell, n int, s string, raw []byte) {
	switch p.op {
	case opText:
		p.col.Texts[n], p.col.Null[n] = s, false
	case opSymbol:
		id := d.symbols.id([]byte(s))
		if p.key {
			d.ids[n] = id
		}
		p.col.Texts[n], p.col.Null[n] = d.symbols.texts[id], false
	case opDate:
		if s == "" {
			setNull(p.col, n)
			return
		}
		v, err := market.ParseCompact(s)
		if err != nil && len(s) == len(time.DateOnly) {
			v, err = market.ParseDate(s)
			s = v.Compact()
		}
		if err != nil {
			d.reject(p, n, raw)
			return
		}
		copy(p.last[:], s)
		p.date = v
		p.col.Dates[n], p.col.Null[n] = v, false
	default:
		if s == "" {
			setNull(p.col, n)
			return
		}
		v, ok := parseNumber(s)
		if !ok || p.op == opInt && v != math.Trunc(v) {
			d.reject(p, n, raw)
			return
		}
		p.col.Numbers[n], p.col.Null[n] = v, false
	}
}

// maxRaw is the most bytes of a bad value that are kept before the token is redacted.
const maxRaw = 1024

// reject makes a cell null and records the value that it cannot store. Escapes are
// resolved, so that a token in the value is found.
func (d *decoder) reject(p *cell, n int, raw []byte) {
	setNull(p.col, n)
	shown := text(raw, bytes.IndexByte(raw, '\\') >= 0)
	d.bad = append(d.bad, table.BadCell{Row: n, Column: p.col.Name, Raw: cut(shown, maxRaw)})
}

func setNull(c *table.Column, n int) {
	c.Null[n] = true
	switch c.Type {
	case table.Text:
		c.Texts[n] = ""
	case table.Date:
		c.Dates[n] = market.NoDate
	default:
		c.Numbers[n] = 0
	}
}

// grow lengthens every column. While a page is decoded, the columns have room rows and
// are written by index.
func (d *decoder) grow() {
	d.room = max(2*d.n, 256)
	if len(d.batch.Columns) > 0 {
		d.room = max(d.room, cap(d.batch.Columns[0].Null))
	}
	for i := range d.batch.Columns {
		c := &d.batch.Columns[i]
		c.Null = extend(c.Null, d.room)
		switch c.Type {
		case table.Text:
			c.Texts = extend(c.Texts, d.room)
		case table.Date:
			c.Dates = extend(c.Dates, d.room)
		default:
			c.Numbers = extend(c.Numbers, d.room)
		}
	}
	d.ids = extend(d.ids, d.room)
}

// undo removes the rows of a page.
func (d *decoder) undo(start, bad int) {
	d.trim(start)
	d.bad = d.bad[:bad]
}

// trim truncates every column to n rows.
func (d *decoder) trim(n int) {
	for i := range d.batch.Columns {
		c := &d.batch.Columns[i]
		c.Null = c.Null[:n]
		switch c.Type {
		case table.Text:
			c.Texts = c.Texts[:n]
		case table.Date:
			c.Dates = c.Dates[:n]
		default:
			c.Numbers = c.Numbers[:n]
		}
	}
	d.ids = d.ids[:n]
	d.batch.Len, d.n = n, n
}

func extend[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	grown := make([]T, n)
	copy(grown, s[:cap(s)])
	return grown
}

// scanCode reads the code: a number, possibly quoted.
func scanCode(b []byte) (code string, n int, err error) {
	if len(b) > 0 && b[0] == '"' {
		code, n, err = scanText(b)
		code = strings.TrimSpace(code)
	} else {
		var v float64
		if v, n, err = scanNumber(b, 0); err == nil {
			code = strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	switch {
	case err == errRange, err == nil && code == "":
		return "", 0, malformed(0, "invalid code")
	case code == "-0":
		code = "0"
	}
	return code, n, err
}

// scanText reads a string; null is "". It returns any other value as its JSON.
func scanText(b []byte) (s string, n int, err error) {
	if len(b) > 0 && b[0] == '"' {
		raw, escaped, n, err := scanString(b, 0)
		if err != nil {
			return "", 0, err
		}
		return text(raw, escaped), n, nil
	}
	if n, err = skipValue(b, 0, 0); err != nil || b[0] == 'n' {
		return "", n, err
	}
	return string(b[:n]), n, nil
}

// scanBool reads true, false, 1, 0 or null.
func scanBool(b []byte) (v bool, n int, err error) {
	if n, err = skipValue(b, 0, 0); err != nil {
		return false, n, err
	}
	switch string(b[:n]) {
	case "true", "1":
		return true, n, nil
	case "false", "0", "null":
		return false, n, nil
	}
	return false, 0, malformed(0, "has_more is not a boolean")
}

// scanTexts reads a list of strings.
func scanTexts(b []byte) (list []string, n int, err error) {
	if len(b) == 0 {
		return nil, 0, errShort
	}
	if b[0] != '[' {
		return nil, 0, malformed(0, "a list is missing")
	}
	i := skipSpace(b, 1)
	if i < len(b) && b[i] == ']' {
		return nil, i + 1, nil
	}
	for {
		raw, escaped, next, err := scanString(b, skipSpace(b, i))
		if err != nil {
			return nil, 0, err
		}
		list = append(list, text(raw, escaped))
		if i = skipSpace(b, next); i >= len(b) {
			return nil, 0, errShort
		}
		switch b[i] {
		case ']':
			return list, i + 1, nil
		case ',':
			i++
		default:
			return nil, 0, malformed(i, "a comma is missing")
		}
	}
}

// cut truncates a text to max bytes, at the end of a character.
func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max] + "…"
}
