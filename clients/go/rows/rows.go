// Package rows reads the market's rows through an afterbell client: as Arrow record
// batches, as rows whose values are read by column, or as values of a struct.
//
// It is separate from package afterbell, so that a program that reads no rows does not
// build Arrow.
package rows

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"

	afterbell "github.com/afterbell/afterbell/clients/go"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// Query selects rows; see the contract for its fields.
type Query = marketv1.RowQuery

// Reader reads a response. It is for one goroutine. Close it if it is not read to its end.
type Reader struct {
	// Summary describes the response: version, columns with units, and what is not complete.
	// Set Summary.Version in the next query to read the same data again.
	Summary *marketv1.RowsSummary

	cancel context.CancelFunc
	in     *messages
	ipc    *ipc.Reader
}

// Read requests rows. The errors are those of package afterbell: ErrNotFound for a table or
// version that does not exist, ErrInvalidArgument for an invalid query, and the reason
// DATA_INCOMPLETE if the query requires complete data and some is missing.
func Read(ctx context.Context, c *afterbell.Client, q *Query) (*Reader, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.Data.ReadRows(ctx, &orchestratorv1.ReadRowsRequest{Query: q}, grpc.ForceCodecV2(newCodec()))
	if err != nil {
		cancel()
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		cancel()
		return nil, whole(err)
	}
	r := &Reader{Summary: first.GetSummary(), cancel: cancel, in: &messages{recv: stream.Recv, data: first.GetData()}}
	if r.ipc, err = ipc.NewReaderFromMessageReader(r.in); err != nil {
		cancel()
		return nil, fmt.Errorf("read the schema: %w", r.in.explain(err))
	}
	return r, nil
}

// Schema of the batches. Each field has its unit and description in its metadata.
func (r *Reader) Schema() *arrow.Schema { return r.ipc.Schema() }

// Close ends the response.
func (r *Reader) Close() {
	r.cancel()
	r.ipc.Release()
}

// Batches are the remaining rows, about 1 MiB at a time, by date and then by symbol. Retain
// a batch to use it after the loop's body. The sequence ends after the first error, and
// closes the reader at its end.
func (r *Reader) Batches() iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		defer r.Close()
		for r.ipc.Next() {
			if !yield(r.ipc.RecordBatch(), nil) {
				return
			}
		}
		if err := r.in.explain(r.ipc.Err()); err != nil {
			yield(nil, err)
		}
	}
}

// Rows are the remaining rows, one at a time. A Row is valid in the loop's body.
func (r *Reader) Rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for batch, err := range r.Batches() {
			if err != nil {
				yield(Row{}, err)
				return
			}
			row := Row{batch: batch}
			for row.at = range int(batch.NumRows()) {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// Row is one row of a response.
type Row struct {
	batch arrow.RecordBatch
	at    int
}

func (r Row) column(name string) arrow.Array {
	if i := r.batch.Schema().FieldIndices(name); len(i) == 1 {
		if c := r.batch.Column(i[0]); !c.IsNull(r.at) {
			return c
		}
	}
	return nil
}

// Float is the number in a column. ok is false if it is null, or if the response has no
// such column of numbers.
func (r Row) Float(column string) (value float64, ok bool) {
	switch c := r.column(column).(type) {
	case *array.Float64:
		return c.Value(r.at), true
	case *array.Int32:
		return float64(c.Value(r.at)), true
	}
	return 0, false
}

// Text is the text in a column, or a date as "YYYY-MM-DD". ok is false if it is null, or if
// the response has no such column of texts or dates.
func (r Row) Text(column string) (value string, ok bool) {
	switch c := r.column(column).(type) {
	case *array.String:
		return c.Value(r.at), true
	case *array.Date32:
		return date(c.Value(r.at)).Format(time.DateOnly), true
	}
	return "", false
}

// Date is the date in a column, at midnight UTC. ok is false if it is null, or if the
// response has no such column of dates.
func (r Row) Date(column string) (value time.Time, ok bool) {
	if c, is := r.column(column).(*array.Date32); is {
		return date(c.Value(r.at)), true
	}
	return time.Time{}, false
}

func date(d arrow.Date32) time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// whole makes an error of a stream that ended too early.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// messages are the Arrow messages of a response, in the memory in which they arrived.
type messages struct {
	recv func() (*orchestratorv1.ReadRowsResponse, error)
	data []byte // not taken yet
	err  error
	done bool
}

// Retain implements ipc.MessageReader.
func (m *messages) Retain() {}

// Release implements ipc.MessageReader.
func (m *messages) Release() {}

// Message implements ipc.MessageReader. A response that ends too early is
// io.ErrUnexpectedEOF.
func (m *messages) Message() (*ipc.Message, error) {
	message, err := m.next()
	if err != nil {
		m.err = err
		return nil, err
	}
	return message, nil
}

func (m *messages) next() (*ipc.Message, error) {
	if m.done {
		return nil, io.EOF
	}
	for len(m.data) == 0 {
		got, err := m.recv()
		if err != nil {
			return nil, whole(err)
		}
		m.data = got.GetData()
	}
	// Four bytes of continuation, the length of the metadata, the metadata, and the body,
	// whose length it contains.
	const head = 8
	if len(m.data) < head || binary.LittleEndian.Uint32(m.data) != 0xffffffff {
		return nil, errors.New("what came is no Arrow message")
	}
	n := int64(binary.LittleEndian.Uint32(m.data[4:]))
	if n == 0 {
		m.done = true
		_, err := m.recv() // how the stream ended
		return nil, err
	}
	if n > int64(len(m.data))-head {
		return nil, errors.New("an Arrow message is cut off")
	}
	about := memory.NewBufferBytes(m.data[head : head+n])
	size := ipc.NewMessage(about, memory.NewBufferBytes(nil)).BodyLen()
	rest := m.data[head+n:]
	if size < 0 || size > int64(len(rest)) {
		return nil, errors.New("an Arrow message is cut off")
	}
	m.data = rest[size:]
	return ipc.NewMessage(about, memory.NewBufferBytes(rest[:size:size])), nil
}

// explain is the original error of the stream if Arrow's reader has wrapped it in a text.
func (m *messages) explain(err error) error {
	if m.err != nil && !errors.Is(m.err, io.EOF) {
		return m.err
	}
	return err
}
