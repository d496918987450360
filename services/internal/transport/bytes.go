package transport

import (
	"encoding/binary"
	"iter"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// bytesField is the number of the field of bytes in a message of a stream of bytes.
const bytesField protowire.Number = 1

// Bytes is a message of a stream of bytes: one with bytes in field 1, such as
// ReadRowsResponse. It is sent and received without copying the bytes. Streams of this
// package's servers and clients accept it in SendMsg and RecvMsg.
type Bytes struct {
	wire mem.BufferSlice // the whole message
	head int             // the length before the bytes; 0 if it has other fields
}

// NewBytes returns a message with only data. done, unless it is nil, is called at most
// once, when data is no longer needed.
func NewBytes(data []byte, done func()) *Bytes {
	head := protowire.AppendVarint(protowire.AppendTag(nil, bytesField, protowire.BytesType), uint64(len(data)))
	var pool mem.BufferPool
	if done != nil {
		pool = donePool(done)
	}
	return &Bytes{wire: mem.BufferSlice{mem.SliceBuffer(head), mem.NewBuffer(&data, pool)}, head: len(head)}
}

// donePool calls done when a buffer is no longer needed.
type donePool func()

// Get implements mem.BufferPool.
func (donePool) Get(n int) *[]byte { b := make([]byte, n); return &b }

// Put implements mem.BufferPool.
func (done donePool) Put(*[]byte) { done() }

// received wraps a received message.
func (b *Bytes) received(data mem.BufferSlice) {
	data.Ref()
	b.wire, b.head = data, 0
	var begin [1 + binary.MaxVarintLen64]byte
	first := begin[:data.CopyTo(begin[:])]
	num, typ, tag := protowire.ConsumeTag(first)
	if tag < 0 || num != bytesField || typ != protowire.BytesType {
		return
	}
	size, n := protowire.ConsumeVarint(first[tag:])
	if n > 0 && size == uint64(data.Len()-tag-n) {
		b.head = tag + n
	}
}

// Only reports whether the message has nothing but bytes.
func (b *Bytes) Only() bool { return b.head > 0 }

// Chunks are the bytes of a message that has nothing else, in pieces. They are valid until
// the message is sent or freed.
func (b *Bytes) Chunks() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		skip := b.head
		for _, buffer := range b.wire {
			data := buffer.ReadOnlyData()
			n := min(skip, len(data))
			skip -= n
			if len(data) > n && !yield(data[n:]) {
				return
			}
		}
	}
}

// Reader reads the bytes of a message that has nothing else, instead of Chunks. The message
// then belongs to the reader, which must be closed.
func (b *Bytes) Reader() *mem.Reader {
	r := b.wire.Reader()
	_, _ = r.Discard(b.head) // it has them
	b.Free()
	return r
}

// Decode reads the message, whatever fields it has.
func (b *Bytes) Decode(m proto.Message) error { return proto.Unmarshal(b.wire.Materialize(), m) }

// Free releases the memory. A message that was sent has none any more.
func (b *Bytes) Free() {
	b.wire.Free()
	b.wire = nil
}

// bytesCodec is gRPC's own codec, extended by Bytes.
type bytesCodec struct{ encoding.CodecV2 }

func newBytesCodec() encoding.CodecV2 { return bytesCodec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2. gRPC owns the memory of Bytes from then on.
func (c bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*Bytes)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	wire := b.wire
	b.wire = nil
	return wire, nil
}

// Unmarshal implements encoding.CodecV2.
func (c bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if b, ok := v.(*Bytes); ok {
		b.received(data)
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}
