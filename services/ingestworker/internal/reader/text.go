package reader

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// byteOrderMark makes Excel read a CSV file as UTF-8.
const byteOrderMark = "\ufeff"

// csvWriter writes a header and one line per row. A null is an empty field, an empty text
// is "".
type csvWriter struct {
	columns []catalog.Column
	dates   dates
}

func (w *csvWriter) head() ([]byte, error) {
	out := []byte(byteOrderMark)
	for i, c := range w.columns {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, c.Stored...)
	}
	return append(out, '\n'), nil
}

func (w *csvWriter) rows(b *batch) ([]byte, error) {
	out := make([]byte, 0, b.bytes()*3/2)
	for row := range b.rows {
		for i := range b.columns {
			if i > 0 {
				out = append(out, ',')
			}
			v := &b.columns[i]
			switch {
			case v.null(row):
			case v.typ == table.Text:
				out = appendField(out, v.bytes(row))
			case v.typ == table.Date:
				out = w.dates.append(out, v.int(row))
			case v.typ == table.Int:
				out = strconv.AppendInt(out, int64(v.int(row)), 10)
			default:
				out = appendNumber(out, v.float(row))
			}
		}
		out = append(out, '\n')
	}
	return out, nil
}

func (w *csvWriter) tail() []byte { return nil }

// appendField quotes a text if necessary.
func appendField(out, text []byte) []byte {
	if len(text) > 0 && !bytes.ContainsAny(text, ",\"\r\n") && text[0] != ' ' && text[len(text)-1] != ' ' {
		return append(out, text...)
	}
	out = append(out, '"')
	out = append(out, bytes.ReplaceAll(text, []byte(`"`), []byte(`""`))...)
	return append(out, '"')
}

// appendNumber writes the shortest text that parses to the same number. NaN and infinity
// are omitted, like null.
func appendNumber(out []byte, f float64) []byte {
	abs := math.Abs(f)
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return out
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		return strconv.AppendFloat(out, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(out, f, 'f', -1, 64)
}

// ndjsonWriter writes one object per line.
type ndjsonWriter struct {
	keys  [][]byte
	dates dates
}

func newNDJSONWriter(columns []catalog.Column) *ndjsonWriter {
	w := &ndjsonWriter{dates: dates{}}
	for i, c := range columns {
		key := "," + strconv.Quote(c.Stored) + ":"
		if i == 0 {
			key = "{" + key[1:]
		}
		w.keys = append(w.keys, []byte(key))
	}
	return w
}

func (w *ndjsonWriter) head() ([]byte, error) { return nil, nil }

func (w *ndjsonWriter) rows(b *batch) ([]byte, error) {
	out := make([]byte, 0, b.bytes()*3)
	for row := range b.rows {
		for i := range b.columns {
			out = append(out, w.keys[i]...)
			v := &b.columns[i]
			switch {
			case v.null(row):
				out = append(out, "null"...)
			case v.typ == table.Text:
				text, err := json.Marshal(string(v.bytes(row)))
				if err != nil {
					return nil, err
				}
				out = append(out, text...)
			case v.typ == table.Date:
				out = append(w.dates.append(append(out, '"'), v.int(row)), '"')
			case v.typ == table.Int:
				out = strconv.AppendInt(out, int64(v.int(row)), 10)
			default:
				before := len(out)
				if out = appendNumber(out, v.float(row)); len(out) == before {
					out = append(out, "null"...)
				}
			}
		}
		out = append(out, '}', '\n')
	}
	return out, nil
}

func (w *ndjsonWriter) tail() []byte { return nil }

// dates caches the texts of days.
type dates map[int32]string

func (d dates) append(out []byte, day int32) []byte {
	text, ok := d[day]
	if !ok {
		text = time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
		d[day] = text
	}
	return append(out, text...)
}
