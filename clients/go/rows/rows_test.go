package rows_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	afterbell "github.com/afterbell/afterbell/clients/go"
	"github.com/afterbell/afterbell/clients/go/rows"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// orchestrator answers each read with the messages it holds and then with err.
type orchestrator struct {
	orchestratorv1.UnimplementedDataServiceServer
	messages [][]byte
	err      error
	asked    *marketv1.RowQuery
	endless  bool
	left     chan struct{} // closed when the stream of an endless answer ended
}

func (o *orchestrator) ReadRows(req *orchestratorv1.ReadRowsRequest, s grpc.ServerStreamingServer[orchestratorv1.ReadRowsResponse]) error {
	o.asked = req.GetQuery()
	for i, data := range o.messages {
		m := &orchestratorv1.ReadRowsResponse{Data: data}
		if i == 0 {
			m.Summary = &marketv1.RowsSummary{Version: "v1"}
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
	for o.endless {
		if err := s.Send(&orchestratorv1.ReadRowsResponse{Data: o.messages[1]}); err != nil {
			close(o.left)
			return err
		}
	}
	return o.err
}

func dial(t *testing.T, o *orchestrator) *afterbell.Client {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer()
	orchestratorv1.RegisterDataServiceServer(s, o)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := afterbell.Dial("orchestrator:1", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		<-served
	})
	return c
}

// stream is an answer of two batches, the schema first, message by message, with the
// stream's end last.
func stream(t *testing.T) [][]byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "symbol", Type: arrow.BinaryTypes.String}, {Name: "trade_date", Type: arrow.FixedWidthTypes.Date32},
		{Name: "close", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "is_open", Type: arrow.PrimitiveTypes.Int32},
	}, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	cut := []int{}
	for i := range 2 {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for _, s := range []string{"000001.SZ", "600519.SH"} {
			b.Field(0).(*array.StringBuilder).Append(s)
			b.Field(1).(*array.Date32Builder).Append(arrow.Date32(20514 + i))
			b.Field(3).(*array.Int32Builder).Append(1)
		}
		b.Field(2).(*array.Float64Builder).Append(12.34)
		b.Field(2).(*array.Float64Builder).AppendNull()
		if err := w.Write(b.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
		cut = append(cut, out.Len())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	all := out.Bytes()
	// The writer sends the schema before the first batch; its length is in the header.
	n := 8 + int(all[4]) + int(all[5])<<8
	return [][]byte{all[:n], all[n:cut[0]], all[cut[0]:cut[1]], all[cut[1]:]}
}

type price struct {
	Symbol string    `afterbell:"symbol"`
	Date   time.Time `afterbell:"trade_date"`
	Close  *float64  `afterbell:"close"`
	Note   string
}

func TestRowsAndStructs(t *testing.T) {
	o := &orchestrator{messages: stream(t)}
	c := dial(t, o)
	r, err := rows.Read(t.Context(), c, &rows.Query{Table: "daily_prices"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Summary.GetVersion() != "v1" || r.Schema().NumFields() != 4 {
		t.Errorf("version %q, %d fields", r.Summary.GetVersion(), r.Schema().NumFields())
	}
	n := 0
	for row, err := range r.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		symbol, _ := row.Text("symbol")
		day, _ := row.Text("trade_date")
		when, _ := row.Date("trade_date")
		closes, held := row.Float("close")
		open, _ := row.Float("is_open")
		if want := []string{"2026-03-02", "2026-03-03"}[n/2]; day != want || when.Format(time.DateOnly) != want || open != 1 {
			t.Errorf("row %d is of %s and %s", n, day, when)
		}
		if even := n%2 == 0; held != even || even && closes != 12.34 || symbol != map[bool]string{true: "000001.SZ", false: "600519.SH"}[even] {
			t.Errorf("row %d: %s %v %v", n, symbol, closes, held)
		}
		if _, ok := row.Float("nothing"); ok {
			t.Error("a column that is not there has a value")
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d rows", n)
	}
	n = 0
	for p, err := range rows.Of[price](t.Context(), c, &rows.Query{Table: "daily_prices"}) {
		if err != nil {
			t.Fatal(err)
		}
		if (p.Close == nil) != (n%2 == 1) || n%2 == 0 && *p.Close != 12.34 || p.Date.Day() != 2+n/2 || len(p.Symbol) != 9 {
			t.Errorf("row %d: %+v", n, p)
		}
		n++
	}
	if got := strings.Join(o.asked.GetColumns(), ","); n != 4 || got != "symbol,trade_date,close" {
		t.Errorf("%d rows, and asked for %s", n, got)
	}
}

func TestStructsThatDoNotFit(t *testing.T) {
	c := dial(t, &orchestrator{messages: stream(t)})
	q := &rows.Query{Table: "daily_prices"}
	check := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	check(last(rows.Of[int](t.Context(), c, q)), "is none")
	check(last(rows.Of[struct{ A string }](t.Context(), c, q)), "has a tag")
	check(last(rows.Of[struct {
		A uint8 `afterbell:"close"`
	}](t.Context(), c, q)), "is uint8")
	check(last(rows.Of[struct {
		A float64 `afterbell:"close"`
	}](t.Context(), c, q)), "make field A a *float64")
	check(last(rows.Of[struct {
		A float64 `afterbell:"symbol"`
	}](t.Context(), c, q)), "does not fit")
	check(last(rows.Of[struct {
		A float64 `afterbell:"volume"`
	}](t.Context(), c, q)), `no column "volume"`)
	check(last(rows.Of[struct{ *price }](t.Context(), c, q)), "is a pointer")
}

func last[T any](of func(func(T, error) bool)) (err error) {
	for _, e := range of {
		err = e
	}
	return err
}

// A response that is interrupted in any way is an error and never a shorter result.
func TestBrokenAnswers(t *testing.T) {
	whole := stream(t)
	for name, c := range map[string]struct {
		o    *orchestrator
		want func(error) bool
	}{
		"refused":          {&orchestrator{err: status.Error(codes.Unavailable, "away")}, func(err error) bool { return errors.Is(err, afterbell.ErrUnreachable) }},
		"cut by an error":  {&orchestrator{messages: whole[:2], err: status.Error(codes.Unavailable, "away")}, func(err error) bool { return errors.Is(err, afterbell.ErrUnreachable) }},
		"cut between":      {&orchestrator{messages: whole[:3]}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"error at the end": {&orchestrator{messages: whole, err: status.Error(codes.Unavailable, "away")}, func(err error) bool { return errors.Is(err, afterbell.ErrUnreachable) }},
		"half a message":   {&orchestrator{messages: [][]byte{whole[0], whole[1][:200]}}, func(err error) bool { return strings.Contains(err.Error(), "cut off") }},
		"no Arrow":         {&orchestrator{messages: [][]byte{[]byte("symbol,close\n")}}, func(err error) bool { return strings.Contains(err.Error(), "no Arrow message") }},
		"nothing":          {&orchestrator{}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := rows.Read(t.Context(), dial(t, c.o), &rows.Query{})
			if err == nil {
				err = last(r.Batches())
			}
			if err == nil || !c.want(err) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A reader that stops in the middle ends the answer at the orchestrator.
func TestReaderThatStopsEndsTheAnswer(t *testing.T) {
	o := &orchestrator{messages: stream(t)[:2], endless: true, left: make(chan struct{})}
	c := dial(t, o)
	for p, err := range rows.Of[price](t.Context(), c, &rows.Query{Table: "daily_prices", Columns: []string{"symbol", "trade_date", "close"}}) {
		if err != nil || !proto.Equal(o.asked, &rows.Query{Table: "daily_prices", Columns: []string{"symbol", "trade_date", "close"}}) {
			t.Errorf("%+v, %v", p, err)
		}
		break
	}
	<-o.left
}
