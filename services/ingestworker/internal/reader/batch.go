package reader

import (
	"bytes"
	"encoding/json"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
)

// batch is rows in Arrow's form: what DuckDB holds in its vectors is the same but for
// texts, so most of it is copied as it is.
type batch struct {
	columns []vector
	rows    int
}

type vector struct {
	typ     table.Type
	fixed   []byte  // of numbers and dates
	offsets []int32 // of texts: one more than rows
	text    []byte
	valid   []byte // bits; nil while no value is null
	nulls   int
}

func newBatch(columns []catalog.Column) *batch {
	b := &batch{columns: make([]vector, len(columns))}
	for i, c := range columns {
		b.columns[i].typ = c.Type
		if c.Type == table.Text {
			b.columns[i].offsets = []int32{0}
		}
	}
	return b
}

// bytes is about how large the batch is.
func (b *batch) bytes() int {
	n := 0
	for i := range b.columns {
		v := &b.columns[i]
		n += len(v.fixed) + len(v.text) + 4*len(v.offsets) + len(v.valid)
	}
	return n
}

// add appends rows [from, to) of a chunk. source says which column of the chunk each
// column is.
func (b *batch) add(c universe.Chunk, source []int, from, to int) {
	for i := range b.columns {
		if source[i] >= 0 {
			b.columns[i].add(c, source[i], from, to, b.rows)
		}
	}
	b.rows += to - from
}

func (v *vector) add(c universe.Chunk, column, from, to, rows int) {
	switch v.typ {
	case table.Text:
		for i := from; i < to; i++ {
			v.text = append(v.text, c.Bytes(column, i)...)
			v.offsets = append(v.offsets, int32(len(v.text)))
		}
	case table.Number:
		v.fixed = append(v.fixed, arrow.Float64Traits.CastToBytes(c.Floats(column)[from:to])...)
	default:
		v.fixed = append(v.fixed, arrow.Int32Traits.CastToBytes(c.Ints(column)[from:to])...)
	}
	if c.Valid(column) == nil {
		if v.valid != nil {
			for i := from; i < to; i++ {
				v.mark(rows+i-from, true)
			}
		}
		return
	}
	for i := from; i < to; i++ {
		v.mark(rows+i-from, !c.Null(column, i))
	}
}

// mark says of the next row whether its value is there. Before the first null there is
// nothing to write.
func (v *vector) mark(row int, there bool) {
	if v.valid == nil {
		if there {
			return
		}
		v.valid = bytes.Repeat([]byte{0xff}, (row+7)/8)
		if row%8 != 0 {
			v.valid[row/8] = byte(1<<(row%8) - 1)
		}
	}
	if row%8 == 0 {
		v.valid = append(v.valid, 0)
	}
	if there {
		v.valid[row/8] |= 1 << (row % 8)
	} else {
		v.nulls++
	}
}

func (v *vector) null(row int) bool { return v.valid != nil && v.valid[row/8]>>(row%8)&1 == 0 }

func (v *vector) float(row int) float64 { return arrow.Float64Traits.CastFromBytes(v.fixed)[row] }

func (v *vector) int(row int) int32 { return arrow.Int32Traits.CastFromBytes(v.fixed)[row] }

func (v *vector) bytes(row int) []byte { return v.text[v.offsets[row]:v.offsets[row+1]] }

// put appends a number; NaN is null.
func (v *vector) put(row int, f float64) {
	there := !math.IsNaN(f)
	if !there {
		f = 0
	}
	v.fixed = append(v.fixed, arrow.Float64Traits.CastToBytes([]float64{f})...)
	v.mark(row, there)
}

var arrowTypes = map[table.Type]arrow.DataType{
	table.Text: arrow.BinaryTypes.String, table.Date: arrow.FixedWidthTypes.Date32,
	table.Number: arrow.PrimitiveTypes.Float64, table.Int: arrow.PrimitiveTypes.Int32,
}

// array is the column as Arrow has it, over the same memory.
func (v *vector) array(rows int) arrow.Array {
	var valid *memory.Buffer
	if v.nulls > 0 {
		valid = memory.NewBufferBytes(v.valid)
	}
	buffers := []*memory.Buffer{valid, memory.NewBufferBytes(v.fixed)}
	if v.typ == table.Text {
		buffers = []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(v.offsets)), memory.NewBufferBytes(v.text)}
	}
	data := array.NewData(arrowTypes[v.typ], rows, buffers, nil, v.nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// arrowWriter writes an Arrow IPC stream, message by message.
type arrowWriter struct{ schema *arrow.Schema }

func newArrowWriter(columns []catalog.Column, meta map[string]string) *arrowWriter {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		keys, values := []string{"description"}, []string{c.Doc}
		if u := c.Unit(); u != "" {
			keys, values = append(keys, "unit"), append(values, u)
		}
		fields[i] = arrow.Field{Name: c.Stored, Type: arrowTypes[c.Type], Nullable: true, Metadata: arrow.NewMetadata(keys, values)}
	}
	m := arrow.MetadataFrom(meta)
	return &arrowWriter{arrow.NewSchema(fields, &m)}
}

func (w *arrowWriter) head() ([]byte, error) {
	p := ipc.GetSchemaPayload(w.schema, memory.DefaultAllocator)
	defer p.Release()
	return message(&p)
}

func (w *arrowWriter) rows(b *batch) ([]byte, error) {
	columns := make([]arrow.Array, len(b.columns))
	for i := range b.columns {
		columns[i] = b.columns[i].array(b.rows)
	}
	record := array.NewRecordBatch(w.schema, columns, int64(b.rows))
	defer record.Release()
	for _, c := range columns {
		c.Release()
	}
	p, err := ipc.GetRecordBatchPayload(record)
	if err != nil {
		return nil, err
	}
	defer p.Release()
	return message(&p)
}

// tail is the end of the stream: a message of length 0.
func (w *arrowWriter) tail() []byte { return []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0} }

func message(p *ipc.Payload) ([]byte, error) {
	var out bytes.Buffer
	if _, err := p.WritePayload(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "" // cannot be: it holds plain values
	}
	return string(text)
}

// scale multiplies a number in place.
func (v *vector) scale(row int, f float64) {
	numbers := arrow.Float64Traits.CastFromBytes(v.fixed)
	numbers[row] *= f
}

// drop makes a value that is there null.
func (v *vector) drop(row int) {
	if v.valid == nil {
		rows := len(v.fixed) / arrow.Float64SizeBytes
		v.valid = bytes.Repeat([]byte{0xff}, (rows+7)/8)
		if rows%8 != 0 {
			v.valid[rows/8] = byte(1<<(rows%8) - 1)
		}
	}
	v.valid[row/8] &^= 1 << (row % 8)
	v.nulls++
	v.scale(row, 0)
}
