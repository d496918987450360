package worker

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Timeouts of the calls. The stream of a partition has none: package dispatch decides about
// silence, and keep-alives detect a dead connection within 20 s.
const (
	askTimeout    = 10 * time.Second
	storeTimeout  = 30 * time.Second // opening may wait for a lock
	planTimeout   = 60 * time.Second
	verifyTimeout = 5 * time.Minute
	probeSlack    = 15 * time.Second // in addition to the probes' own time
)

var (
	_ dispatch.Worker    = (*Client)(nil)
	_ dispatch.Publisher = (*Client)(nil)
	_ preflight.Worker   = (*Client)(nil)
)

// Client is a client of the ingest-worker. Safe for concurrent use.
type Client struct {
	addr string
	conn *grpc.ClientConn
	rpc  ingestv1.IngestServiceClient
	data ingestv1.DataServiceClient
}

// Dial returns a client of the worker at addr; it does not connect yet. sec secures the
// connection to another machine. extra may replace the dialer.
func Dial(addr string, sec transport.Security, extra ...grpc.DialOption) (*Client, error) {
	conn, err := transport.DialSecure(addr, sec, extra...)
	if err != nil {
		return nil, err
	}
	return &Client{addr: addr, conn: conn, rpc: ingestv1.NewIngestServiceClient(conn), data: ingestv1.NewDataServiceClient(conn)}, nil
}

// WithTimeout sets a deadline for calls that are not streams and have none.
func WithTimeout(d time.Duration) grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if _, limited := ctx.Deadline(); d > 0 && !limited {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			defer cancel()
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	})
}

// Close closes the connection; calls in progress fail.
func (c *Client) Close() error { return c.conn.Close() }

// Addr is the address dialled.
func (c *Client) Addr() string { return c.addr }

// Ping reports whether the worker responds within five seconds. It does not use GetInfo,
// which reads files and publications: this call is answered from memory.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := c.rpc.ListActivePartitions(ctx, &ingestv1.ListActivePartitionsRequest{RunId: "ping"})
	return err
}

// Info describes the worker and the published versions.
func (c *Client) Info(ctx context.Context) (*marketv1.ServiceInfo, []*marketv1.Publication, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.GetInfo(ctx, &ingestv1.GetInfoRequest{})
	return resp.GetWorker(), resp.GetPublications(), err
}

// Catalog is the worker's catalog.
func (c *Client) Catalog(ctx context.Context) (catalog.Catalog, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.ListModules(ctx, &ingestv1.ListModulesRequest{})
	if err != nil {
		return catalog.Catalog{}, err
	}
	return catalogOf(resp)
}

// Provider is the URL of the provider that the worker calls.
func (c *Client) Provider(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.ListTokens(ctx, &ingestv1.ListTokensRequest{})
	return resp.GetProviderUrl(), err
}

// Calendar is the worker's calendar; the zero value if it has none.
func (c *Client) Calendar(ctx context.Context) (slot.Calendar, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.ListCalendarDays(ctx, &ingestv1.ListCalendarDaysRequest{})
	if err != nil {
		return slot.Calendar{}, err
	}
	return calendarOf(resp)
}

// ProbeModules probes one module after the other.
func (c *Client) ProbeModules(ctx context.Context, req preflight.ProbeRequest, started func(preflight.ModuleStarted) error, finished func(readiness.Probe) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(req.Modules))*req.Timeout+probeSlack)
	defer cancel()
	stream, err := c.rpc.ProbeModules(ctx, &ingestv1.ProbeModulesRequest{
		ModuleIds: req.Modules, TradeDate: req.TradeDate.String(), ProbeTimeout: durationpb.New(req.Timeout),
	})
	if err != nil {
		return err
	}
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch e := msg.GetEvent().(type) {
		case *ingestv1.ProbeModulesResponse_Started:
			err = started(preflight.ModuleStarted{Module: e.Started.GetModuleId(), APIs: e.Started.GetProviderApis()})
		case *ingestv1.ProbeModulesResponse_Finished:
			err = finished(probeOf(e.Finished))
		}
		if err != nil {
			return err
		}
	}
}

// CheckStore opens a pool's file for writing.
func (c *Client) CheckStore(ctx context.Context, pool market.Pool) (dispatch.StoreCheck, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	resp, err := c.rpc.CheckStore(ctx, &ingestv1.CheckStoreRequest{Pool: transport.PoolToProto(pool)})
	if err != nil {
		return dispatch.StoreCheck{}, err
	}
	return dispatch.StoreCheck{
		FreeBytes: resp.GetFreeBytes(), FileBytes: resp.GetFileBytes(), Issues: transport.IssuesFromProto(resp.GetIssues()),
	}, nil
}

// PlanPartitions returns the partitions that would make a pool complete.
func (c *Client) PlanPartitions(ctx context.Context, req dispatch.PlanRequest) (dispatch.WorkPlan, error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	stage := ingestv1.PlanStage_PLAN_STAGE_DATA
	if req.References {
		stage = ingestv1.PlanStage_PLAN_STAGE_REFERENCES
	}
	resp, err := c.rpc.PlanPartitions(ctx, &ingestv1.PlanPartitionsRequest{
		Pool: transport.PoolToProto(req.Pool), Stage: stage, ModuleIds: req.Modules,
		StartDate: req.Start.String(), EndDate: req.End.String(), Symbols: req.Symbols, Refetch: req.Refetch, Estimate: req.Estimate,
		RecheckDays: int32(req.RecheckDays),
	})
	if err != nil {
		return dispatch.WorkPlan{}, err
	}
	return planOf(resp, req.References)
}

// IngestPartition ingests one partition.
func (c *Client) IngestPartition(ctx context.Context, job dispatch.Job, progress func(dispatch.Progress)) (dispatch.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // releases the stream after its result
	stream, err := c.rpc.IngestPartition(ctx, &ingestv1.IngestPartitionRequest{
		RunId: job.RunID, Pool: transport.PoolToProto(job.Pool), Partition: specOf(job.Partition), Epoch: job.Epoch,
	})
	if err != nil {
		return dispatch.Result{}, err
	}
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return dispatch.Result{}, fault.New(fault.WorkerUnreachable,
				"The ingest-worker at "+c.addr+" closed a partition's stream without a result.", "address", c.addr)
		}
		if err != nil {
			return dispatch.Result{}, err
		}
		switch e := msg.GetEvent().(type) {
		case *ingestv1.IngestPartitionResponse_Heartbeat_:
			progress(progressOf(e.Heartbeat))
		case *ingestv1.IngestPartitionResponse_Result:
			return resultOf(e.Result), nil
		}
	}
}

// ActivePartitions are the partitions in progress.
func (c *Client) ActivePartitions(ctx context.Context, runID string) ([]dispatch.Active, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.ListActivePartitions(ctx, &ingestv1.ListActivePartitionsRequest{RunId: runID})
	if err != nil {
		return nil, err
	}
	active := make([]dispatch.Active, 0, len(resp.GetPartitions()))
	for _, p := range resp.GetPartitions() {
		active = append(active, dispatch.Active{RunID: p.GetRunId(), PartitionID: p.GetPartitionId(), Epoch: p.GetEpoch()})
	}
	return active, nil
}

// VerifyPartitions reads partitions again from the pool's file.
func (c *Client) VerifyPartitions(ctx context.Context, pool market.Pool, partitions []run.Partition) ([]dispatch.Check, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	req := &ingestv1.VerifyPartitionsRequest{Pool: transport.PoolToProto(pool)}
	for _, p := range partitions {
		req.Partitions = append(req.Partitions, specOf(p))
	}
	resp, err := c.rpc.VerifyPartitions(ctx, req)
	if err != nil {
		return nil, err
	}
	checks := make([]dispatch.Check, 0, len(resp.GetChecks()))
	for _, k := range resp.GetChecks() {
		checks = append(checks, dispatch.Check{
			PartitionID: k.GetPartitionId(), Rows: k.GetRowCount(), Duplicates: k.GetDuplicateCount(), Coverage: k.GetCoverageCount(),
			Verdict: transport.VerdictFromProto(k.GetVerdict()), RunID: k.GetRunId(), Altered: k.GetAltered(),
		})
	}
	return checks, nil
}

// RevisionQuery selects revisions of a pool; empty fields mean all.
type RevisionQuery struct {
	// Pool to read.
	Pool market.Pool
	// Dataset, Symbol and RunID as in run.Revision.
	Dataset, Symbol, RunID string
	// Start and End are the first and last trade date; NoDate means no bound.
	Start, End market.Date
	// Before selects revisions with a lower ID; 0 means from the newest.
	Before int64
	// Limit is the largest number of revisions to return.
	Limit int
}

// Revisions lists values that the provider changed or removed, newest first.
func (c *Client) Revisions(ctx context.Context, q RevisionQuery) ([]run.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	resp, err := c.rpc.ListRevisions(ctx, &ingestv1.ListRevisionsRequest{
		Pool: transport.PoolToProto(q.Pool), DatasetId: q.Dataset, Symbol: q.Symbol, RunId: q.RunID,
		StartDate: q.Start.String(), EndDate: q.End.String(), BeforeRevisionId: q.Before, Limit: int32(q.Limit),
	})
	if err != nil {
		return nil, err
	}
	out := make([]run.Revision, 0, len(resp.GetRevisions()))
	for _, r := range resp.GetRevisions() {
		x, err := revisionOf(r)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// AbsentSymbols lists the instruments that were listed on a date and have no row of a
// dataset; symbols are those of the target list, nil for universe.
func (c *Client) AbsentSymbols(ctx context.Context, pool market.Pool, dataset string, d market.Date, symbols []string) ([]AbsentSymbol, error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	resp, err := c.rpc.ListAbsentSymbols(ctx, &ingestv1.ListAbsentSymbolsRequest{
		Pool: transport.PoolToProto(pool), DatasetId: dataset, TradeDate: d.String(), Symbols: symbols,
	})
	if err != nil {
		return nil, err
	}
	out := make([]AbsentSymbol, 0, len(resp.GetAbsentSymbols()))
	for _, a := range resp.GetAbsentSymbols() {
		out = append(out, AbsentSymbol{Symbol: a.GetSymbol(), Name: a.GetName(), TradedBefore: a.GetTradedBefore()})
	}
	return out, nil
}

// Coverage lists what is stored and missing in a pool.
func (c *Client) Coverage(ctx context.Context, q CoverageQuery) ([]Coverage, error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	resp, err := c.rpc.ListCoverage(ctx, &ingestv1.ListCoverageRequest{
		Pool: transport.PoolToProto(q.Pool), ModuleIds: q.Modules, StartDate: q.Start.String(), EndDate: q.End.String(), Symbols: q.Symbols,
	})
	if err != nil {
		return nil, err
	}
	return coveragesOf(resp.GetCoverages())
}
