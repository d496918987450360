package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// bareFile is a DuckDB file that is written in the fastest known way: tables without a key, data
// chunks filled in place, and many partitions per transaction. It does not use package universe,
// so that a regression there does not slow the floor, too.
type bareFile struct {
	db        mapping.Database
	conn      mapping.Connection
	appenders map[string]*bareAppender
	dirty     int
}

type bareAppender struct {
	to    mapping.Appender
	chunk mapping.DataChunk
	types []mapping.LogicalType
}

var duckType = map[table.Type]string{table.Text: "VARCHAR", table.Date: "DATE", table.Number: "DOUBLE", table.Int: "INTEGER"}

// openBare creates the file with all columns of the three large tables.
func openBare(path string, o options) (*bareFile, error) {
	var config mapping.Config
	if mapping.CreateConfig(&config) == mapping.StateError {
		return nil, errors.New("duckdb: no configuration")
	}
	defer mapping.DestroyConfig(&config)
	for name, value := range map[string]string{
		"memory_limit": o.memory, "threads": strconv.Itoa(o.threads), "checkpoint_threshold": "100GB",
	} {
		if mapping.SetConfig(config, name, value) == mapping.StateError {
			return nil, fmt.Errorf("duckdb: %s = %s is refused", name, value)
		}
	}
	f := &bareFile{appenders: map[string]*bareAppender{}}
	var text string
	if mapping.OpenExt(path, &f.db, config, &text) == mapping.StateError {
		mapping.Close(&f.db)
		return nil, errors.New("duckdb: " + text)
	}
	if mapping.Connect(f.db, &f.conn) == mapping.StateError {
		mapping.Close(&f.db)
		return nil, errors.New("duckdb: no connection")
	}
	for _, t := range pool.Tables() {
		if t.Name == catalog.TableInstruments || t.Name == catalog.TableCalendar {
			continue
		}
		columns := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			columns[i] = strconv.Quote(c.Stored) + " " + duckType[c.Type]
		}
		if err := f.exec("CREATE TABLE " + t.Name + " (" + strings.Join(columns, ", ") + ")"); err != nil {
			return nil, errors.Join(err, f.close())
		}
		if err := f.appender(t.Name); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *bareFile) exec(sql string) error {
	var result mapping.Result
	defer mapping.DestroyResult(&result)
	if mapping.Query(f.conn, sql, &result) == mapping.StateError {
		return errors.New("duckdb: " + mapping.ResultError(&result))
	}
	return nil
}

func (f *bareFile) appender(name string) error {
	a := &bareAppender{}
	if mapping.AppenderCreate(f.conn, "main", name, &a.to) == mapping.StateError {
		err := errors.New("duckdb: " + mapping.AppenderError(a.to))
		mapping.AppenderDestroy(&a.to)
		return err
	}
	for i := range mapping.AppenderColumnCount(a.to) {
		a.types = append(a.types, mapping.AppenderColumnType(a.to, i))
	}
	a.chunk = mapping.CreateDataChunk(a.types)
	f.appenders[name] = a
	return nil
}

func (f *bareFile) begin() error { return f.exec("BEGIN") }

func (f *bareFile) commit() error {
	for _, a := range f.appenders {
		if mapping.AppenderFlush(a.to) == mapping.StateError {
			return errors.New("duckdb: " + mapping.AppenderError(a.to))
		}
	}
	return f.exec("COMMIT")
}

func (f *bareFile) checkpoint() error {
	f.dirty = 0
	return f.exec("CHECKPOINT")
}

func (f *bareFile) close() error {
	for _, a := range f.appenders {
		mapping.DestroyDataChunk(&a.chunk)
		for i := range a.types {
			mapping.DestroyLogicalType(&a.types[i])
		}
		mapping.AppenderDestroy(&a.to)
	}
	mapping.Disconnect(&f.conn)
	mapping.Close(&f.db)
	return nil
}

// add appends a batch to the table of its dataset, which has the same columns.
func (f *bareFile) add(d *catalog.Dataset, b *table.Batch) error {
	a := f.appenders[d.Table]
	if len(b.Columns) != len(a.types) {
		return fmt.Errorf("%s has %d columns, %s %d", d.ID, len(b.Columns), d.Table, len(a.types))
	}
	size := int(mapping.VectorSize())
	for off := 0; off < b.Len; off += size {
		n := min(size, b.Len-off)
		mapping.DataChunkSetSize(a.chunk, mapping.IdxT(n))
		for i := range b.Columns {
			fill(mapping.DataChunkGetVector(a.chunk, mapping.IdxT(i)), &b.Columns[i], off, n)
		}
		if mapping.AppendDataChunk(a.to, a.chunk) == mapping.StateError {
			return errors.New("duckdb: " + mapping.AppenderError(a.to))
		}
		mapping.DataChunkReset(a.chunk)
	}
	f.dirty += b.Len
	return nil
}

// A duckdb_string_t stores up to 12 bytes inline, after the length.
const (
	stringSize = 16
	inlineMax  = 12
)

func fill(v mapping.Vector, c *table.Column, off, n int) {
	data := mapping.VectorGetData(v)
	switch c.Type {
	case table.Text:
		for i, s := range c.Texts[off : off+n] {
			if len(s) > inlineMax {
				mapping.VectorAssignStringElement(v, mapping.IdxT(i), s)
				continue
			}
			at := unsafe.Add(data, i*stringSize)
			*(*uint32)(at) = uint32(len(s))
			to := (*[inlineMax]byte)(unsafe.Add(at, 4))
			clear(to[copy(to[:], s):])
		}
	case table.Date:
		copy(unsafe.Slice((*market.Date)(data), n), c.Dates[off:off+n])
	case table.Number:
		copy(unsafe.Slice((*float64)(data), n), c.Numbers[off:off+n])
	case table.Int:
		to := unsafe.Slice((*int32)(data), n)
		for i, x := range c.Numbers[off : off+n] {
			to[i] = int32(x)
		}
	}
	nulls := c.Null[off : off+n]
	if !slices.Contains(nulls, true) {
		return
	}
	mapping.VectorEnsureValidityWritable(v)
	words := unsafe.Slice((*uint64)(mapping.VectorGetValidity(v)), (n+63)/64)
	for i, null := range nulls {
		if null {
			words[i/64] &^= 1 << (i % 64)
		}
	}
}
