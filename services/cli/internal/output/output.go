// Package output writes the result of a command to standard output: as a table for users,
// or as JSON, NDJSON or CSV for programs. It does not depend on any command.
package output

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Format is how an answer is written.
type Format string

// The formats.
const (
	// Table is for users: aligned columns, cut to the width of the terminal.
	Table Format = "table"
	// JSON is one document.
	JSON Format = "json"
	// NDJSON is one JSON object a line, one per row.
	NDJSON Format = "ndjson"
	// CSV is a header and one line per row, by RFC 4180, in UTF-8.
	CSV Format = "csv"
)

// Formats lists them.
func Formats() []string { return []string{string(Table), string(JSON), string(NDJSON), string(CSV)} }

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	for _, f := range Formats() {
		if f == s {
			return Format(s), nil
		}
	}
	return "", fmt.Errorf("%.20q is not a format: allowed are %s", s, strings.Join(Formats(), ", "))
}

// Column is a column of a table.
type Column struct {
	// Key names it in CSV.
	Key string
	// Title of the column in a table.
	Title string
	// Right aligns it to the right, as numbers are.
	Right bool
	// Wide is for CSV only: a table leaves it out.
	Wide bool
	// Drop is how soon a table leaves it out on a terminal that is too narrow: the
	// highest first, and 0 never.
	Drop int
}

// Word is a value with different forms for users and programs.
type Word struct {
	// Text is for users.
	Text string
	// Raw is for programs.
	Raw string
}

// Answer is the result of a command.
type Answer struct {
	// Columns and Rows are the table. A cell is a string, Word, bool, number, time or
	// timestamp; nil is empty.
	Columns []Column
	// Rows have a cell for each column.
	Rows [][]any
	// Records are the rows as JSON: protobuf messages or values for encoding/json.
	Records []any
	// Document is the whole as JSON. Nil means the array of Records.
	Document any
}

// Printer writes answers.
type Printer struct {
	// Out is standard output.
	Out io.Writer
	// Format of the answers.
	Format Format
	// Width is the width of the terminal in cells; 0 means not limited.
	Width int
	// Color is whether tables may be coloured.
	Color bool
	// Zone is the zone of the times in tables.
	Zone *time.Location
	// Zoned is the title of a column with times: it names the zone. Nil leaves the title.
	Zoned func(title string) string
}

// Print writes an answer.
func (p *Printer) Print(a Answer) error {
	switch p.Format {
	case JSON:
		return p.document(a)
	case NDJSON:
		for _, r := range a.Records {
			if err := p.Line(r); err != nil {
				return err
			}
		}
		return nil
	case CSV:
		return p.csv(a)
	}
	return p.table(a)
}

// Line writes one JSON object on a line of its own.
func (p *Printer) Line(v any) error {
	b, err := Marshal(v)
	if err != nil {
		return err
	}
	_, err = p.Out.Write(append(b, '\n'))
	return err
}

func (p *Printer) document(a Answer) error {
	doc := a.Document
	if doc == nil {
		doc = a.Records
		if len(a.Records) == 0 {
			doc = []any{}
		}
	}
	b, err := Marshal(doc)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = p.Out.Write(out.Bytes())
	return err
}

// Proto is a message as a value for encoding/json, in the form that REST gives it.
type Proto struct{ proto.Message }

// MarshalJSON implements json.Marshaler.
func (m Proto) MarshalJSON() ([]byte, error) {
	return protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m.Message)
}

// Protos are messages as values for encoding/json; no message gives an empty list.
func Protos[M proto.Message](list []M) []Proto {
	out := make([]Proto, len(list))
	for i, m := range list {
		out[i] = Proto{m}
	}
	return out
}

// Marshal is a value as compact JSON.
func Marshal(v any) ([]byte, error) {
	switch t := v.(type) {
	case proto.Message:
		v = Proto{t}
	case []any:
		list := make([]any, len(t))
		for i, e := range t {
			if m, ok := e.(proto.Message); ok {
				e = Proto{m}
			}
			list[i] = e
		}
		v = list
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

func (p *Printer) csv(a Answer) error {
	w := csv.NewWriter(p.Out)
	head := make([]string, len(a.Columns))
	for i, c := range a.Columns {
		head[i] = c.Key
	}
	if err := w.Write(head); err != nil {
		return err
	}
	for _, row := range a.Rows {
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = raw(v)
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// raw is a cell for programs: times in UTC by RFC 3339, enums by their names.
func raw(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	case Word:
		return t.Raw
	case time.Time:
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	case *timestamppb.Timestamp:
		if t == nil {
			return ""
		}
		return raw(t.AsTime())
	}
	return fmt.Sprint(v)
}

// text is a cell for users.
func (p *Printer) text(v any) string {
	switch t := v.(type) {
	case nil:
		return "-"
	case string:
		if t == "" {
			return "-"
		}
		return p.Clean(t)
	case Word:
		return p.text(t.Text)
	case bool:
		if t {
			return "✓"
		}
		return "-"
	case time.Time:
		if t.IsZero() {
			return "-"
		}
		return Moment(t, p.Zone)
	case *timestamppb.Timestamp:
		if t == nil {
			return "-"
		}
		return p.text(t.AsTime())
	case int64:
		return Grouped(t)
	case int32:
		return Grouped(int64(t))
	case int:
		return Grouped(int64(t))
	}
	return fmt.Sprint(v)
}

// isTime reports whether a cell is a time, even if it is unset.
func isTime(v any) bool {
	switch v.(type) {
	case time.Time, *timestamppb.Timestamp:
		return true
	}
	return false
}

// Clean removes from a foreign text what would control a terminal.
func (p *Printer) Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// Moment formats a time for users.
func Moment(t time.Time, zone *time.Location) string { return t.In(zone).Format("2006-01-02 15:04") }

// Grouped is a number with a comma before each three digits.
func Grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
