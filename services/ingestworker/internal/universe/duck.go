package universe

import (
	"regexp"
	"strconv"
	"strings"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/afterbell/afterbell/services/internal/market"
)

// duck is an open file and its one connection. The driver's database/sql interface is not
// used: rows are read and written by column, and a transaction is a few statements between
// BEGIN and COMMIT.
type duck struct {
	database mapping.Database
	conn     mapping.Connection
}

// duckError is an error of DuckDB.
type duckError struct {
	text  string
	fatal bool
}

func (e *duckError) Error() string { return e.text }

func newDuckError(text string, kind mapping.ErrorType) *duckError {
	return &duckError{text: text, fatal: kind == mapping.ErrorTypeFatal || kind == mapping.ErrorTypeInternal ||
		strings.Contains(text, "FATAL Error") || strings.Contains(text, "database has been invalidated")}
}

var holder = regexp.MustCompile(`PID (\d+)`)

// lockedBy reports whether another process has the file locked, and which one if DuckDB
// knows.
func (e *duckError) lockedBy() (pid int, locked bool) {
	if !strings.Contains(e.text, "lock") || !strings.Contains(e.text, "Could not set lock") && !strings.Contains(e.text, "Conflicting lock") {
		return 0, false
	}
	if m := holder.FindStringSubmatch(e.text); m != nil {
		pid, _ = strconv.Atoi(m[1])
	}
	return pid, true
}

func (e *duckError) full() bool {
	return strings.Contains(e.text, "No space left on device") || strings.Contains(e.text, "Disk quota exceeded")
}

// damaged reports whether the file's content is invalid: a retry does not help.
func (e *duckError) damaged() bool {
	return strings.Contains(e.text, "Corrupt database file") || strings.Contains(e.text, "Could not read enough bytes")
}

// foreign reports whether the file does not begin like one of DuckDB.
func (e *duckError) foreign() bool {
	return strings.Contains(e.text, "not a valid DuckDB database file")
}

func openDuck(path string, settings map[string]string) (*duck, error) {
	var config mapping.Config
	if mapping.CreateConfig(&config) == mapping.StateError {
		return nil, &duckError{text: "no configuration could be made"}
	}
	defer mapping.DestroyConfig(&config)
	for name, value := range settings {
		if mapping.SetConfig(config, name, value) == mapping.StateError {
			return nil, &duckError{text: "setting " + name + " = " + value + " is not accepted"}
		}
	}
	d := &duck{}
	var text string
	if mapping.OpenExt(path, &d.database, config, &text) == mapping.StateError {
		mapping.Close(&d.database)
		return nil, newDuckError(text, mapping.ErrorTypeErrorIO)
	}
	if err := d.connect(); err != nil {
		mapping.Close(&d.database)
		return nil, err
	}
	return d, nil
}

func (d *duck) connect() error {
	if mapping.Connect(d.database, &d.conn) == mapping.StateError {
		return &duckError{text: "no connection could be made"}
	}
	return nil
}

func (d *duck) close() {
	mapping.Disconnect(&d.conn)
	mapping.Close(&d.database)
}

// besides calls f with another connection to the same database.
func (d *duck) besides(f func(d *duck) error) error {
	other := &duck{database: d.database}
	if err := other.connect(); err != nil {
		return err
	}
	defer mapping.Disconnect(&other.conn)
	return f(other)
}

func (d *duck) exec(sql string) error { return d.query(sql, nil) }

// query runs one or more statements and passes the rows of the last one to each, chunk by
// chunk.
func (d *duck) query(sql string, each func(chunk rows) error) error {
	var result mapping.Result
	state := mapping.Query(d.conn, sql, &result)
	defer mapping.DestroyResult(&result)
	if state == mapping.StateError {
		return newDuckError(mapping.ResultError(&result), mapping.ResultErrorType(&result))
	}
	if each == nil {
		return nil
	}
	return eachChunk(result, each)
}

// eachChunk passes the rows of a result to each, chunk by chunk.
func eachChunk(result mapping.Result, each func(chunk rows) error) error {
	columns := int(mapping.ColumnCount(&result))
	for {
		chunk := mapping.FetchChunk(result)
		if chunk.Ptr == nil {
			if text := mapping.ResultError(&result); text != "" { // while a streamed result was read
				return newDuckError(text, mapping.ResultErrorType(&result))
			}
			return nil
		}
		view := rows{len: int(mapping.DataChunkGetSize(chunk)), columns: make([]vector, columns)}
		for i := range view.columns {
			v := mapping.DataChunkGetVector(chunk, mapping.IdxT(i))
			view.columns[i] = vector{mapping.VectorGetData(v), mapping.VectorGetValidity(v)}
		}
		err := each(view)
		mapping.DestroyDataChunk(&chunk)
		if err != nil {
			return err
		}
	}
}

// rows is one chunk of a result; it is invalid after each returns.
type rows struct {
	len     int
	columns []vector
}

// vector is one column of a chunk, in DuckDB's memory.
type vector struct{ data, valid unsafe.Pointer }

func (v vector) null(i int) bool {
	return v.valid != nil && *(*uint64)(unsafe.Add(v.valid, i/64*8))>>(i%64)&1 == 0
}

// nulls marks in room which values are null, or is nil if none is.
func (v vector) nulls(room []bool) []bool {
	if v.valid == nil {
		return nil
	}
	words := unsafe.Slice((*uint64)(v.valid), (len(room)+63)/64)
	any := false
	for i, word := range words {
		n := min(64, len(room)-64*i)
		if ^word<<(64-n) == 0 {
			clear(room[64*i : 64*i+n])
			continue
		}
		any = true
		for k := range n {
			room[64*i+k] = word>>k&1 == 0
		}
	}
	if !any {
		return nil
	}
	return room
}

// value reads a column of fixed width: DATE as int32, BIGINT as int64, and so on. The
// caller knows the type.
func value[T int32 | int64 | uint64 | float64](v vector, i int) T {
	if v.null(i) {
		return 0
	}
	return *(*T)(unsafe.Add(v.data, uintptr(i)*unsafe.Sizeof(T(0))))
}

func (v vector) date(i int) market.Date {
	if v.null(i) {
		return market.NoDate
	}
	return market.Date(value[int32](v, i))
}

// A DuckDB string is 16 bytes: its length, then either up to 12 bytes of text or
// four bytes of it and the address of the whole.
const (
	stringSize = 16
	inlineMax  = 12
)

func (v vector) text(i int) string {
	if v.null(i) {
		return ""
	}
	at := unsafe.Add(v.data, i*stringSize)
	n := *(*uint32)(at)
	if n <= inlineMax {
		return string(unsafe.Slice((*byte)(unsafe.Add(at, 4)), n))
	}
	return string(unsafe.Slice(*(**byte)(unsafe.Add(at, 8)), n))
}

// quote writes a text as an SQL literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// literal writes a date as an SQL literal.
func literal(d market.Date) string {
	if d == market.NoDate {
		return "NULL::DATE"
	}
	return "DATE '" + d.String() + "'"
}
