package universe

import (
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// appender writes rows to one table in the current transaction. Chunks are filled in place,
// column by column, which makes fetching and writing about 1.4 times faster than single
// values.
type appender struct {
	to      mapping.Appender
	chunk   mapping.DataChunk
	types   []mapping.LogicalType
	kinds   []mapping.Type
	rows    int // filled in the chunk by appendRow
	pending bool
}

var chunkRows = int(mapping.VectorSize())

func newAppender(d *duck, name string) (*appender, error) {
	a := &appender{}
	if mapping.AppenderCreate(d.conn, "main", name, &a.to) == mapping.StateError {
		err := a.failure()
		mapping.AppenderDestroy(&a.to)
		return nil, err
	}
	for i := range mapping.AppenderColumnCount(a.to) {
		t := mapping.AppenderColumnType(a.to, i)
		a.types = append(a.types, t)
		a.kinds = append(a.kinds, mapping.GetTypeId(t))
	}
	a.chunk = mapping.CreateDataChunk(a.types)
	return a, nil
}

func (a *appender) failure() error {
	data := mapping.AppenderErrorData(a.to)
	defer mapping.DestroyErrorData(&data)
	return newDuckError(mapping.ErrorDataMessage(data), mapping.ErrorDataErrorType(data))
}

// destroy destroys the appender. Rows that were not flushed are dropped first: the
// destruction would write them outside of any transaction.
func (a *appender) destroy() {
	if a.pending {
		mapping.AppenderClear(a.to)
	}
	mapping.DestroyDataChunk(&a.chunk)
	for i := range a.types {
		mapping.DestroyLogicalType(&a.types[i])
	}
	mapping.AppenderDestroy(&a.to)
}

// flush writes everything to the table, visible to this transaction.
func (a *appender) flush() error {
	if err := a.push(); err != nil {
		return err
	}
	if !a.pending {
		return nil
	}
	if mapping.AppenderFlush(a.to) == mapping.StateError {
		return a.failure()
	}
	a.pending = false
	return nil
}

// push passes on a chunk that was filled row by row.
func (a *appender) push() error {
	if a.rows == 0 {
		return nil
	}
	n := a.rows
	a.rows = 0
	return a.send(n)
}

func (a *appender) send(n int) error {
	mapping.DataChunkSetSize(a.chunk, mapping.IdxT(n))
	a.pending = true
	if mapping.AppendDataChunk(a.to, a.chunk) == mapping.StateError {
		return a.failure()
	}
	mapping.DataChunkReset(a.chunk)
	return nil
}

// source is what fills one column of a table: a column of a batch, the same text in every
// row, or null.
type source struct {
	column   *table.Column
	constant string
}

// appendBatch adds n rows, with one source per column of the table.
func (a *appender) appendBatch(from []source, n int) error {
	if len(from) != len(a.kinds) {
		return fmt.Errorf("%d columns for a table of %d", len(from), len(a.kinds))
	}
	if err := a.push(); err != nil {
		return err
	}
	for off := 0; off < n; off += chunkRows {
		m := min(chunkRows, n-off)
		mapping.DataChunkSetSize(a.chunk, mapping.IdxT(m))
		for i, s := range from {
			v := mapping.DataChunkGetVector(a.chunk, mapping.IdxT(i))
			if err := fill(v, a.kinds[i], s, off, m); err != nil {
				return fmt.Errorf("column %d: %w", i, err)
			}
		}
		if err := a.send(m); err != nil {
			return err
		}
	}
	return nil
}

func fill(v mapping.Vector, kind mapping.Type, s source, off, n int) error {
	if s.column == nil && s.constant == "" {
		setNull(v, n, func(int) bool { return true })
		return nil
	}
	data := mapping.VectorGetData(v)
	if s.column == nil {
		for i := range n {
			setText(v, data, i, s.constant)
		}
		return nil
	}
	c := s.column
	switch {
	case kind == mapping.TypeVarchar && c.Type == table.Text:
		for i, text := range c.Texts[off : off+n] {
			setText(v, data, i, text)
		}
	case kind == mapping.TypeDate && c.Type == table.Date:
		copy(unsafe.Slice((*market.Date)(data), n), c.Dates[off:off+n])
	case kind == mapping.TypeDouble && c.Type == table.Number:
		copy(unsafe.Slice((*float64)(data), n), c.Numbers[off:off+n])
	case kind == mapping.TypeInteger && c.Type == table.Int:
		to := unsafe.Slice((*int32)(data), n)
		for i, x := range c.Numbers[off : off+n] {
			to[i] = int32(x)
		}
	default:
		return fmt.Errorf("type %d of the batch does not go into type %d of the table", c.Type, kind)
	}
	if nulls := c.Null[off : off+n]; slices.Contains(nulls, true) {
		setNull(v, n, func(i int) bool { return nulls[i] })
	}
	return nil
}

func setText(v mapping.Vector, data unsafe.Pointer, i int, s string) {
	if len(s) > inlineMax {
		mapping.VectorAssignStringElement(v, mapping.IdxT(i), s)
		return
	}
	at := unsafe.Add(data, i*stringSize)
	*(*uint32)(at) = uint32(len(s))
	to := (*[inlineMax]byte)(unsafe.Add(at, 4))
	clear(to[copy(to[:], s):])
}

func setNull(v mapping.Vector, n int, null func(i int) bool) {
	mapping.VectorEnsureValidityWritable(v)
	words := unsafe.Slice((*uint64)(mapping.VectorGetValidity(v)), (n+63)/64)
	for i := range n {
		if null(i) {
			words[i/64] &^= 1 << (i % 64)
		}
	}
}

// appendRow adds one row of a small table. An empty text, NoDate, the zero time, an unset
// Value and nil are null.
func (a *appender) appendRow(values ...any) error {
	if len(values) != len(a.kinds) {
		return fmt.Errorf("%d values for a table of %d columns", len(values), len(a.kinds))
	}
	if a.rows == chunkRows {
		if err := a.push(); err != nil {
			return err
		}
	}
	i := a.rows
	mapping.DataChunkSetSize(a.chunk, mapping.IdxT(i+1))
	for c, value := range values {
		v := mapping.DataChunkGetVector(a.chunk, mapping.IdxT(c))
		data := mapping.VectorGetData(v)
		null := value == nil
		switch x := value.(type) {
		case string:
			if null = x == ""; !null {
				setText(v, data, i, x)
			}
		case ingest.Value:
			if null = !x.Set; !null {
				setText(v, data, i, x.Text)
			}
		case int64:
			*(*int64)(unsafe.Add(data, i*8)) = x
		case uint64:
			*(*uint64)(unsafe.Add(data, i*8)) = x
		case market.Date:
			if null = x == market.NoDate; !null {
				*(*market.Date)(unsafe.Add(data, i*4)) = x
			}
		case time.Time:
			if null = x.IsZero(); !null {
				*(*int64)(unsafe.Add(data, i*8)) = x.UnixMicro()
			}
		}
		if null {
			mapping.VectorEnsureValidityWritable(v)
			*(*uint64)(unsafe.Add(mapping.VectorGetValidity(v), i/64*8)) &^= 1 << (i % 64)
		}
	}
	a.rows++
	return nil
}
