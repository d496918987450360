package api

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/gate"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// DataServer implements ingestv1.DataServiceServer.
type DataServer struct {
	ingestv1.UnimplementedDataServiceServer
	stores map[market.Pool]*publish.Store
	reader *reader.Service
	gate   *gate.Gate
	stall  time.Duration
}

// NewData returns a DataServer for the published copies of the pools. The gate is informed
// of publications.
func NewData(stores map[market.Pool]*publish.Store, r *reader.Service, g *gate.Gate) *DataServer {
	return &DataServer{stores: stores, reader: r, gate: g, stall: transport.StallTimeout}
}

// PublishPool implements the contract.
func (s *DataServer) PublishPool(ctx context.Context, r *ingestv1.PublishPoolRequest) (*ingestv1.PublishPoolResponse, error) {
	pool, err := transport.PoolFromProto("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	if len(r.GetRunId()) > maxName {
		return nil, fault.Invalid("run_id", "must have at most %d characters", maxName)
	}
	st := s.stores[pool]
	if st == nil {
		return nil, fault.Invalid("pool", "%s is not published", pool)
	}
	defer s.gate.Begin().Last() // a run ends with it
	res, err := st.Publish(ctx, r.GetRunId())
	if err != nil {
		return nil, err
	}
	return &ingestv1.PublishPoolResponse{
		Version: res.Version, Published: res.Published, Repaired: res.Repaired, WrittenFileCount: int32(res.Written),
		LinkedFileCount: int32(res.Linked), ByteCount: res.Bytes, Duration: durationpb.New(res.Took),
	}, nil
}

// ReadRows implements the contract.
func (s *DataServer) ReadRows(r *ingestv1.ReadRowsRequest, stream ingestv1.DataService_ReadRowsServer) error {
	format, err := formatOf(r.GetFormat())
	if err != nil {
		return err
	}
	a, err := s.open(stream.Context(), r.GetQuery())
	if err != nil {
		return err
	}
	defer a.Close()
	head, err := a.Head(format)
	if err != nil {
		return err
	}
	first := &ingestv1.ReadRowsResponse{Data: head, Summary: summaryOf(a)}
	if err := transport.SendWithin(s.stall, func() error { return stream.Send(first) }); err != nil || r.GetHeadOnly() {
		return err
	}
	rows, err := a.Write(stream.Context(), format, func(data []byte, done func()) error {
		m := transport.NewBytes(data, done)
		return transport.SendWithin(s.stall, func() error { return stream.SendMsg(m) })
	})
	if err != nil {
		return err
	}
	return transport.SendWithin(s.stall, func() error { return stream.Send(&ingestv1.ReadRowsResponse{RowCount: rows}) })
}

// PrepareFile implements the contract.
func (s *DataServer) PrepareFile(ctx context.Context, r *ingestv1.PrepareFileRequest) (*ingestv1.PrepareFileResponse, error) {
	a, err := s.open(ctx, r.GetQuery())
	if err != nil {
		return nil, err
	}
	defer a.Close()
	made, err := a.File(ctx)
	if err != nil {
		return nil, err
	}
	return &ingestv1.PrepareFileResponse{FileId: made.ID, ByteCount: made.Bytes, RowCount: made.Rows, Sha256: made.SHA256[:], Summary: summaryOf(a)}, nil
}

// ReadFile implements the contract.
func (s *DataServer) ReadFile(r *ingestv1.ReadFileRequest, stream ingestv1.DataService_ReadFileServer) error {
	return s.reader.ReadFile(stream.Context(), r.GetFileId(), r.GetOffset(), r.GetLength(), func(data []byte, done func()) error {
		m := transport.NewBytes(data, done)
		return transport.SendWithin(s.stall, func() error { return stream.SendMsg(m) })
	})
}

// ListTables implements the contract.
func (s *DataServer) ListTables(ctx context.Context, r *ingestv1.ListTablesRequest) (*ingestv1.ListTablesResponse, error) {
	pool, err := poolOrUniverse("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	m, tables, err := s.reader.Tables(ctx, pool, r.GetVersion())
	if err != nil {
		return nil, err
	}
	out := &ingestv1.ListTablesResponse{Version: m.Version}
	for _, t := range tables {
		x := &marketv1.DataTable{Table: t.Name, Description: t.Doc, Columns: columnsOf(t.Columns), KeyColumns: t.Key}
		for _, d := range catalog.Datasets() {
			if d.Table == t.Name {
				x.DatasetIds = append(x.DatasetIds, d.ID)
			}
		}
		if i := slices.IndexFunc(m.Tables, func(have publish.TableInfo) bool { return have.Name == t.Name }); i >= 0 {
			x.RowCount, x.FirstDate, x.LastDate = m.Tables[i].Rows, m.Tables[i].FirstDate, m.Tables[i].LastDate
		}
		out.Tables = append(out.Tables, x)
	}
	return out, nil
}

// GetCondition implements the contract.
func (s *DataServer) GetCondition(ctx context.Context, r *ingestv1.GetConditionRequest) (*ingestv1.GetConditionResponse, error) {
	pool, err := poolOrUniverse("pool", r.GetPool())
	if err != nil {
		return nil, err
	}
	start, end, err := span(r.GetStartDate(), r.GetEndDate())
	if err != nil {
		return nil, err
	}
	version, conditions, err := s.reader.Conditions(ctx, reader.Query{Pool: pool, Table: r.GetTable(), Symbols: r.GetSymbols(), Start: start, End: end, Version: r.GetVersion()})
	if err != nil {
		return nil, err
	}
	return &ingestv1.GetConditionResponse{Version: version, Conditions: conditionsOf(conditions)}, nil
}

func (s *DataServer) open(ctx context.Context, in *marketv1.RowQuery) (*reader.Answer, error) {
	q := reader.Query{Table: in.GetTable(), Symbols: in.GetSymbols(), Columns: in.GetColumns(), Version: in.GetVersion()}
	var err error
	if q.Pool, err = poolOrUniverse("pool", in.GetPool()); err != nil {
		return nil, err
	}
	if q.Start, q.End, err = span(in.GetStartDate(), in.GetEndDate()); err != nil {
		return nil, err
	}
	switch in.GetAdjust() {
	case marketv1.Adjustment_ADJUSTMENT_UNSPECIFIED, marketv1.Adjustment_ADJUSTMENT_NONE:
	case marketv1.Adjustment_ADJUSTMENT_FORWARD:
		q.Adjust = reader.Forward
	case marketv1.Adjustment_ADJUSTMENT_BACKWARD:
		q.Adjust = reader.Backward
	default:
		return nil, fault.Invalid("adjust", "%s is not allowed: allowed are ADJUSTMENT_NONE, ADJUSTMENT_FORWARD, ADJUSTMENT_BACKWARD", in.GetAdjust())
	}
	switch in.GetRequire() {
	case marketv1.Requirement_REQUIREMENT_UNSPECIFIED:
	case marketv1.Requirement_REQUIREMENT_COMPLETE:
		q.Complete = true
	default:
		return nil, fault.Invalid("require", "%s is not allowed: allowed is REQUIREMENT_COMPLETE", in.GetRequire())
	}
	return s.reader.Open(ctx, q)
}

func poolOrUniverse(field string, p marketv1.Pool) (market.Pool, error) {
	if p == marketv1.Pool_POOL_UNSPECIFIED {
		return market.Universe, nil
	}
	return transport.PoolFromProto(field, p)
}

func formatOf(f ingestv1.RowFormat) (reader.Format, error) {
	switch f {
	case ingestv1.RowFormat_ROW_FORMAT_UNSPECIFIED, ingestv1.RowFormat_ROW_FORMAT_ARROW:
		return reader.Arrow, nil
	case ingestv1.RowFormat_ROW_FORMAT_CSV:
		return reader.CSV, nil
	case ingestv1.RowFormat_ROW_FORMAT_NDJSON:
		return reader.NDJSON, nil
	}
	return 0, fault.Invalid("format", "%s is not a format", f)
}

func summaryOf(a *reader.Answer) *marketv1.RowsSummary {
	m := a.Version.Manifest
	out := &marketv1.RowsSummary{
		Pool: transport.PoolToProto(m.Pool), Table: a.Table(), Version: m.Version, RunId: m.RunID, Columns: columnsOf(a.Columns),
		Complete: a.Complete, Lacks: conditionsOf(a.Lacks), LackCount: int64(a.LackCount), BrokenLinkCount: int64(a.BrokenCount),
	}
	for _, b := range a.Broken {
		out.BrokenLinks = append(out.BrokenLinks, &marketv1.BrokenLink{Symbol: b.Symbol, FromDate: b.From.String(), ToDate: b.To.String(), Problem: b.Problem})
	}
	return out
}

var columnTypes = map[table.Type]string{table.Text: "text", table.Date: "date", table.Number: "double", table.Int: "int32"}

func columnsOf(columns []catalog.Column) []*marketv1.TableColumn {
	out := make([]*marketv1.TableColumn, len(columns))
	for i, c := range columns {
		out[i] = &marketv1.TableColumn{Name: c.Stored, Type: columnTypes[c.Type], Unit: c.Unit(), Description: c.Doc}
	}
	return out
}

func conditionsOf(conditions []reader.Condition) []*marketv1.DataCondition {
	states := map[reader.State]marketv1.ConditionState{
		reader.Available: marketv1.ConditionState_CONDITION_STATE_AVAILABLE, reader.Short: marketv1.ConditionState_CONDITION_STATE_SHORT,
		reader.Pending: marketv1.ConditionState_CONDITION_STATE_PENDING, reader.Missing: marketv1.ConditionState_CONDITION_STATE_MISSING,
	}
	out := make([]*marketv1.DataCondition, len(conditions))
	for i, c := range conditions {
		out[i] = &marketv1.DataCondition{
			DatasetId: c.Dataset, TradeDate: c.Date.String(), Symbol: c.Symbol, State: states[c.State], Verdict: transport.VerdictToProto(c.Verdict),
			RowCount: c.Rows, ExpectedCount: c.Expected, CommitTime: transport.TimeToProto(c.CommittedAt), Message: c.Message, LocalizedMessage: c.Chinese, AskedAgain: c.AskedAgain,
		}
	}
	return out
}
