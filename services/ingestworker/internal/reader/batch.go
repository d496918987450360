package reader

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"math"
	mathbits "math/bits"
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
)

// batch has rows in Arrow's layout. DuckDB's vectors have the same layout except for texts,
// so most of it is copied.
type batch struct {
	columns []vector
	rows    int

	keys, other []rowKey // of sorting
	order       []int32
	ranges      []rowRange // of gathering
}

type vector struct {
	typ     table.Type
	fixed   []byte  // of numbers and dates
	offsets []int32 // of texts: one more than rows
	text    []byte
	valid   []byte // bits; nil if no value is null
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

// bytes is about the size of the batch.
func (b *batch) bytes() int {
	n := 0
	for i := range b.columns {
		v := &b.columns[i]
		n += len(v.fixed) + len(v.text) + 4*len(v.offsets) + len(v.valid)
	}
	return n
}

// reset empties the batch and ensures capacity for so many rows. It keeps its memory.
func (b *batch) reset(rows int) {
	b.rows = 0
	for i := range b.columns {
		v := &b.columns[i]
		v.fixed, v.text, v.valid, v.nulls = v.fixed[:0], v.text[:0], v.valid[:0], 0
		switch v.typ {
		case table.Text:
			v.offsets = slices.Grow(v.offsets[:1], rows)
			v.text = slices.Grow(v.text, rows*symbolBytes)
		case table.Number:
			v.fixed = slices.Grow(v.fixed, arrow.Float64Traits.BytesRequired(rows))
		default:
			v.fixed = slices.Grow(v.fixed, arrow.Int32Traits.BytesRequired(rows))
		}
	}
}

// symbolBytes is the length of a symbol; most texts are symbols.
const symbolBytes = 9

// add appends the rows of a chunk with the columns of the batch.
func (b *batch) add(c universe.Chunk) {
	for i := range b.columns {
		b.columns[i].add(c, i, b.rows)
	}
	b.rows += c.Len()
}

func (v *vector) add(c universe.Chunk, column, rows int) {
	switch v.typ {
	case table.Text:
		for i := range c.Len() {
			v.text = append(v.text, c.Bytes(column, i)...)
			v.offsets = append(v.offsets, int32(len(v.text)))
		}
	case table.Number:
		v.fixed = append(v.fixed, arrow.Float64Traits.CastToBytes(c.Floats(column))...)
	default:
		v.fixed = append(v.fixed, arrow.Int32Traits.CastToBytes(c.Ints(column))...)
	}
	valid := c.Valid(column)
	switch {
	case valid == nil && len(v.valid) == 0:
		return
	case valid != nil && rows%8 == 0:
		v.markAll(rows, valid, c.Len())
		return
	}
	for i := range c.Len() {
		v.mark(rows+i, !c.Null(column, i))
	}
}

// gather returns a batch of some rows, in the given order. source is the column for each of
// its columns; -1 leaves it empty.
func (b *batch) gather(columns []catalog.Column, source []int, order []int32) *batch {
	out := newBatch(columns)
	out.rows = len(order)
	b.ranges = appendRanges(b.ranges[:0], order)
	for i := range out.columns {
		if source[i] >= 0 {
			b.columns[source[i]].gather(&out.columns[i], order, b.ranges)
		}
	}
	return out
}

func (v *vector) gather(into *vector, order []int32, ranges []rowRange) {
	switch v.typ {
	case table.Text:
		into.offsets = make([]int32, len(order)+1)
		into.text = v.pickTexts(make([]byte, 0, v.pickOffsets(into.offsets, ranges)), ranges)
	case table.Number:
		into.fixed = make([]byte, arrow.Float64Traits.BytesRequired(len(order)))
		pick(arrow.Float64Traits.CastFromBytes(into.fixed), arrow.Float64Traits.CastFromBytes(v.fixed), ranges)
	default:
		into.fixed = make([]byte, arrow.Int32Traits.BytesRequired(len(order)))
		pick(arrow.Int32Traits.CastFromBytes(into.fixed), arrow.Int32Traits.CastFromBytes(v.fixed), ranges)
	}
	if v.nulls == 0 {
		return
	}
	for i, row := range order {
		into.mark(i, !v.null(int(row)))
	}
}

// rowRange is the rows from to to-1.
type rowRange struct{ from, to int32 }

// appendRanges appends the ranges that make up the order. Stored rows are mostly sorted, so
// the ranges are few and their values are copied together.
func appendRanges(ranges []rowRange, order []int32) []rowRange {
	for i := 0; i < len(order); {
		r := rowRange{order[i], order[i] + 1}
		for i++; i < len(order) && order[i] == r.to; i++ {
			r.to++
		}
		ranges = append(ranges, r)
	}
	return ranges
}

// pick writes the values of some rows, in the given order.
func pick[T int32 | float64](to, from []T, ranges []rowRange) {
	for _, r := range ranges {
		to = to[copy(to, from[r.from:r.to]):]
	}
}

// pickOffsets writes the offsets of the texts of some rows, and returns their total length.
func (v *vector) pickOffsets(to []int32, ranges []rowRange) (n int32) {
	for _, r := range ranges {
		begin := v.offsets[r.from]
		for i, offset := range v.offsets[r.from:r.to] {
			to[i] = n + offset - begin
		}
		to = to[r.to-r.from:]
		n += v.offsets[r.to] - begin
	}
	to[0] = n
	return n
}

// pickTexts appends the texts of some rows, in the given order.
func (v *vector) pickTexts(into []byte, ranges []rowRange) []byte {
	for _, r := range ranges {
		into = append(into, v.text[v.offsets[r.from]:v.offsets[r.to]]...)
	}
	return into
}

// rowKey is the sort key of a row: most texts differ in their first eight bytes, which are
// compared as a number.
type rowKey struct {
	head uint64
	day  uint32 // the days since 1970, with the sign bit inverted so that they sort as unsigned
	row  int32
}

// runRows is the average number of rows of sorted runs from which the runs are merged. Rows
// are sorted by date, and those of a date often by symbol.
const runRows = 64

// sorted is the order of the rows by a column of dates, unless it is -1, and then by one of
// texts. It is valid until the batch is sorted again.
func (b *batch) sorted(date, text int) []int32 {
	var days []int32
	if date >= 0 {
		days = arrow.Int32Traits.CastFromBytes(b.columns[date].fixed)
	}
	texts := &b.columns[text]
	b.keys, b.other = slices.Grow(b.keys[:0], b.rows)[:b.rows], slices.Grow(b.other[:0], b.rows)[:b.rows]
	keys, runs := b.keys, make([]int, 0, 64) // the beginning of each run
	for i := range keys {
		k := rowKey{row: int32(i)}
		if days != nil {
			k.day = uint32(days[i]) ^ 1<<31
		}
		var head [8]byte
		copy(head[:], texts.bytes(i))
		k.head = binary.BigEndian.Uint64(head[:])
		if i == 0 || texts.compare(keys[i-1], k) > 0 {
			runs = append(runs, i)
		}
		keys[i] = k
	}
	if len(runs) <= b.rows/runRows {
		keys = texts.merge(keys, b.other, runs)
	} else if len(runs) > 1 {
		keys = texts.sort(keys, b.other)
	}
	b.order = slices.Grow(b.order[:0], b.rows)[:b.rows]
	for i, k := range keys {
		b.order[i] = k.row
	}
	return b.order
}

// merge merges sorted runs, two at a time. other has capacity for the keys.
func (v *vector) merge(keys, other []rowKey, runs []int) []rowKey {
	for len(runs) > 1 {
		left := runs[:0] // remaining runs
		for i := 0; i < len(runs); i += 2 {
			from, middle, to := runs[i], len(keys), len(keys)
			if i+1 < len(runs) {
				middle = runs[i+1]
			}
			if i+2 < len(runs) {
				to = runs[i+2]
			}
			v.mergeTwo(keys[from:middle], keys[middle:to], other[from:to])
			left = append(left, from)
		}
		runs = left
		keys, other = other, keys
	}
	return keys
}

func (v *vector) mergeTwo(a, b, into []rowKey) {
	switch { // consecutive, like days, which a first fill stores newest first
	case len(a) == 0 || len(b) == 0 || v.compare(a[len(a)-1], b[0]) <= 0:
		copy(into[copy(into, a):], b)
		return
	case v.compare(b[len(b)-1], a[0]) < 0:
		copy(into[copy(into, b):], a)
		return
	}
	for len(a) > 0 && len(b) > 0 {
		n := v.leading(a, b[0], 0)
		into, a = into[copy(into, a[:n]):], a[n:]
		if len(a) == 0 {
			break
		}
		n = v.leading(b, a[0], -1)
		into, b = into[copy(into, b[:n]):], b[n:]
	}
	copy(into[copy(into, a):], b)
}

// leading is how many keys at the beginning of a run compare with k as at most so much: 0
// includes equal keys, -1 excludes them. It is fast for few and for many.
func (v *vector) leading(keys []rowKey, k rowKey, most int) int {
	end := 1
	for end <= len(keys) && v.compare(keys[end-1], k) <= most {
		end *= 2
	}
	from := end / 2
	return from + sort.Search(min(end-1, len(keys))-from, func(i int) bool { return v.compare(keys[from+i], k) > most })
}

func (v *vector) compare(x, y rowKey) int {
	switch {
	case x.day != y.day:
		return cmp.Compare(x.day, y.day)
	case x.head != y.head:
		return cmp.Compare(x.head, y.head)
	}
	return bytes.Compare(v.bytes(int(x.row)), v.bytes(int(y.row)))
}

// sort sorts byte by byte, the lowest first, in a third of the time of comparisons. Bytes
// that are equal in all keys, as most are, cost nothing. other has capacity for the keys.
func (v *vector) sort(keys, other []rowKey) []rowKey {
	for shift := 0; shift < 96; shift += 8 {
		digit := func(k *rowKey) byte {
			if shift < 64 {
				return byte(k.head >> shift)
			}
			return byte(k.day >> (shift - 64))
		}
		var at [256]int
		for i := range keys {
			at[digit(&keys[i])]++
		}
		if at[digit(&keys[0])] == len(keys) {
			continue
		}
		sum := 0
		for d, n := range at {
			at[d], sum = sum, sum+n
		}
		for i := range keys {
			d := digit(&keys[i])
			other[at[d]] = keys[i]
			at[d]++
		}
		keys, other = other, keys
	}
	for i := 0; i < len(keys); { // those with the same first bytes
		end := i + 1
		for end < len(keys) && keys[end].day == keys[i].day && keys[end].head == keys[i].head {
			end++
		}
		if end-i > 1 {
			slices.SortStableFunc(keys[i:end], v.compare)
		}
		i = end
	}
	return keys
}

// mark records whether the next row has a value. Before the first null there is nothing to
// write.
func (v *vector) mark(row int, there bool) {
	if len(v.valid) == 0 {
		if there {
			return
		}
		v.present(row)
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

// markAll is mark for many rows at once: DuckDB has the same bits. row is divisible by 8.
func (v *vector) markAll(row int, there []uint64, n int) {
	if len(v.valid) == 0 {
		v.present(row)
	}
	for at := 0; at < n; at += 64 {
		word, bits := there[at/64], min(64, n-at)
		if bits < 64 {
			word &= 1<<bits - 1
		}
		v.nulls += bits - mathbits.OnesCount64(word)
		for b := 0; b < bits; b += 8 {
			v.valid = append(v.valid, byte(word>>b))
		}
	}
}

// present records that all rows before row have values.
func (v *vector) present(row int) {
	for range row / 8 {
		v.valid = append(v.valid, 0xff)
	}
	if row%8 != 0 {
		v.valid = append(v.valid, byte(1<<(row%8)-1))
	}
}

func (v *vector) null(row int) bool { return len(v.valid) > 0 && v.valid[row/8]>>(row%8)&1 == 0 }

func (v *vector) float(row int) float64 { return arrow.Float64Traits.CastFromBytes(v.fixed)[row] }

// number is a float; NaN if it is null.
func (v *vector) number(row int) float64 {
	if v.null(row) {
		return math.NaN()
	}
	return v.float(row)
}

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

// array is the column as an Arrow array, with the same memory.
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
	return whole(&p, 0)
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
	return whole(&p, b.bytes())
}

// tail is the end of the stream: a message of length 0.
func (w *arrowWriter) tail() []byte { return []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0} }

// whole writes a payload; body is about the size of its values.
func whole(p *ipc.Payload, body int) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(body + 4<<10) // its metadata and the padding of the columns
	if _, err := p.WritePayload(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "" // cannot happen: it has only plain values
	}
	return string(text)
}

// scale multiplies a number in place.
func (v *vector) scale(row int, f float64) {
	numbers := arrow.Float64Traits.CastFromBytes(v.fixed)
	numbers[row] *= f
}

// drop makes a value null.
func (v *vector) drop(row int) {
	if len(v.valid) == 0 {
		v.present(len(v.fixed) / arrow.Float64SizeBytes)
	}
	v.valid[row/8] &^= 1 << (row % 8)
	v.nulls++
	v.scale(row, 0)
}
