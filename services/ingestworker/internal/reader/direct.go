package reader

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// messages is the memory of sent messages.
var messages = sync.Pool{New: func() any { return new([]byte) }}

// gather writes the rows of src in the given order as one message, each value directly to
// its place in the message. source is as in batch.gather. The memory is reused after done.
func (w *arrowWriter) gather(src *batch, source []int, order []int32) (out []byte, done func(), err error) {
	// The metadata is written last, into reserved space.
	room := 512 + 64*len(source)
	memo, _ := messages.Get().(*[]byte)
	m := message{buffer: slices.Grow((*memo)[:0], room+len(order)*(src.bytes()/max(1, src.rows)+1)+16*len(source))[:room]}
	columns := make([][3]span, len(source)) // validity, and up to two buffers
	nulls := make([]int, len(source))
	src.ranges = appendRanges(src.ranges[:0], order)
	for i, from := range source {
		v := &src.columns[from]
		columns[i][0], nulls[i] = m.valid(v, order)
		switch v.typ {
		case table.Text:
			columns[i][1], columns[i][2] = m.texts(v, src.ranges, len(order))
		case table.Number:
			columns[i][1] = m.numbers(v, src.ranges, len(order))
		default:
			columns[i][1] = m.ints(v, src.ranges, len(order))
		}
	}
	arrays := make([]arrow.Array, len(source))
	for i, from := range source {
		buffers := make([]*memory.Buffer, 2, 3)
		if nulls[i] > 0 {
			buffers[0] = memory.NewBufferBytes(m.at(columns[i][0]))
		}
		buffers[1] = memory.NewBufferBytes(m.at(columns[i][1]))
		typ := src.columns[from].typ
		if typ == table.Text {
			buffers = append(buffers, memory.NewBufferBytes(m.at(columns[i][2])))
		}
		data := array.NewData(arrowTypes[typ], len(order), buffers, nil, nulls[i], 0)
		arrays[i] = array.MakeFromData(data)
		data.Release()
	}
	record := array.NewRecordBatch(w.schema, arrays, int64(len(order)))
	defer record.Release()
	for _, c := range arrays {
		c.Release()
	}
	p, err := ipc.GetRecordBatchPayload(record)
	if err != nil {
		return nil, nil, err
	}
	defer p.Release()
	about := p.Meta()
	defer about.Release()
	// Four bytes of continuation, the length of the metadata, the metadata, padding.
	length := (about.Len() + 7) &^ 7
	begin := room - 8 - length
	if body := int64(len(m.buffer) - room); begin < 0 || ipc.NewMessage(about, memory.NewBufferBytes(nil)).BodyLen() != body {
		out, err := whole(&p, len(m.buffer)) // another version of Arrow has a different layout
		return out, nil, err
	}
	head := m.buffer[begin:room]
	clear(head)
	binary.LittleEndian.PutUint32(head, 0xffffffff)
	binary.LittleEndian.PutUint32(head[4:], uint32(length))
	copy(head[8:], about.Bytes())
	*memo = m.buffer
	return m.buffer[begin:], func() { messages.Put(memo) }, nil
}

// message is the body of an Arrow message that is being built.
type message struct{ buffer []byte }

// span is the position of a buffer in a message.
type span struct{ from, to int }

func (m *message) at(s span) []byte { return m.buffer[s.from:s.to:s.to] }

// take reserves space for a buffer. The next one begins at a multiple of eight.
func (m *message) take(n int) span {
	from := len(m.buffer)
	m.buffer = slices.Grow(m.buffer, n+7)[:from+n]
	return span{from, from + n}
}

// pad pads to a multiple of eight.
func (m *message) pad() {
	for len(m.buffer)%8 != 0 {
		m.buffer = append(m.buffer, 0)
	}
}

// valid writes which values are not null; nothing if none is null.
func (m *message) valid(v *vector, order []int32) (s span, nulls int) {
	if v.nulls == 0 {
		return s, 0
	}
	s = m.take((len(order) + 7) / 8)
	into := m.at(s)
	for i := range into {
		var b byte
		for k, row := range order[8*i : min(8*i+8, len(order))] {
			b |= (v.valid[row/8] >> (row % 8) & 1) << k
		}
		into[i] = b
		nulls -= bits.OnesCount8(b)
	}
	nulls += len(order)
	switch nulls {
	case 0:
		m.buffer = m.buffer[:s.from]
		return span{}, 0
	case len(order): // then Arrow writes its own bits, with more padding
		m.buffer = m.buffer[:s.from]
		s = m.take((s.to - s.from + 63) &^ 63)
		clear(m.at(s))
		return s, nulls
	}
	m.pad()
	return s, nulls
}

func (m *message) numbers(v *vector, ranges []rowRange, rows int) span {
	s := m.take(arrow.Float64Traits.BytesRequired(rows))
	pick(arrow.Float64Traits.CastFromBytes(m.at(s)), arrow.Float64Traits.CastFromBytes(v.fixed), ranges)
	return s
}

func (m *message) ints(v *vector, ranges []rowRange, rows int) span {
	s := m.take(arrow.Int32Traits.BytesRequired(rows))
	pick(arrow.Int32Traits.CastFromBytes(m.at(s)), arrow.Int32Traits.CastFromBytes(v.fixed), ranges)
	m.pad()
	return s
}

func (m *message) texts(v *vector, ranges []rowRange, rows int) (offsets, text span) {
	offsets = m.take(arrow.Int32Traits.BytesRequired(rows + 1))
	n := v.pickOffsets(arrow.Int32Traits.CastFromBytes(m.at(offsets)), ranges)
	m.pad()
	text = m.take(int(n))
	v.pickTexts(m.at(text)[:0], ranges)
	m.pad()
	return offsets, text
}
