package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

type runService struct {
	orchestratorv1.UnimplementedRunServiceServer
	*base
}

// CreateRun implements orchestratorv1.RunServiceServer.
func (s *runService) CreateRun(ctx context.Context, req *orchestratorv1.CreateRunRequest) (*orchestratorv1.CreateRunResponse, error) {
	facts, err := s.Preflight.Facts(ctx, nil)
	if err != nil {
		return nil, err
	}
	var p problems
	create := dispatch.CreateRequest{
		Pools:     p.pools("pools", req.GetPools()),
		Mode:      run.Mode(p.choice("mode", req.GetMode(), "MODE_")),
		Source:    run.SourceManual,
		RequestID: strings.ToLower(req.GetRequestId()), // a UUID is the same in either case
	}
	create.Request.Start, create.Request.End = p.dates(req.GetStartDate(), req.GetEndDate(), drill.Now())
	create.Request.Modules = p.modules("module_ids", req.GetModuleIds(), facts.Catalog)
	slices.Sort(create.Request.Modules) // equal requests in any order, so that a request_id is recognized
	create.Request.Refetch = req.GetRefetch()
	p.requestID("request_id", req.GetRequestId())
	if err := p.err(); err != nil {
		return nil, err
	}
	if req.GetValidateOnly() {
		plans, err := s.Dispatcher.Plan(ctx, create)
		if err != nil {
			return nil, err
		}
		resp := &orchestratorv1.CreateRunResponse{}
		for _, plan := range plans {
			r := runOf(plan.Run)
			r.RunId = ""
			resp.Runs = append(resp.Runs, r)
			resp.Plans = append(resp.Plans, planOf(plan))
		}
		return resp, nil
	}
	runs, err := s.Dispatcher.Create(ctx, create)
	if err != nil {
		return nil, err
	}
	resp := &orchestratorv1.CreateRunResponse{Runs: runsOf(runs)}
	for i, r := range resp.Runs { // what it waits for, for example a paused pool
		if err := s.explain(ctx, runs[i], r); err != nil { // it is queued; an error would make the caller repeat it
			s.Logger.WarnContext(ctx, "A run was queued, but cannot be explained.", "run", r.GetRunId(), "error", err)
		}
	}
	return resp, nil
}

// found reads a run by its ID.
func (s *runService) found(ctx context.Context, id string) (run.Run, error) {
	var p problems
	if p.id("run_id", id); p.err() != nil {
		return run.Run{}, p.err()
	}
	return s.Ledger.Run(ctx, id)
}

// GetRun implements orchestratorv1.RunServiceServer.
func (s *runService) GetRun(ctx context.Context, req *orchestratorv1.GetRunRequest) (*orchestratorv1.GetRunResponse, error) {
	r, err := s.found(ctx, req.GetRunId())
	if err != nil {
		return nil, err
	}
	out := runOf(r)
	if err := s.explain(ctx, r, out); err != nil {
		return nil, err
	}
	return &orchestratorv1.GetRunResponse{Run: out}, nil
}

// explain adds what happened to a run to its message.
func (s *runService) explain(ctx context.Context, r run.Run, out *orchestratorv1.Run) error {
	said, next, err := s.Scheduler.ExplainRun(ctx, r)
	if err != nil {
		return err
	}
	out.Explanation, out.LocalizedExplanation, out.NextCommand = bilingual.In(said, false), chinese(ctx, said), next
	return nil
}

// chinese returns the text for a caller who prefers Chinese.
func chinese(ctx context.Context, said []bilingual.Text) []string {
	if !transport.InChinese(ctx) {
		return nil
	}
	return bilingual.In(said, true)
}

// ListRuns implements orchestratorv1.RunServiceServer.
func (s *runService) ListRuns(ctx context.Context, req *orchestratorv1.ListRunsRequest) (*orchestratorv1.ListRunsResponse, error) {
	var p problems
	f := run.Filter{
		Pool:    p.pool("pool", req.GetPool()),
		State:   run.State(p.choice("state", req.GetState(), "STATE_")),
		Outcome: run.Outcome(p.choice("outcome", req.GetOutcome(), "OUTCOME_")),
	}
	filter := fmt.Sprintf("%s,%s,%s", f.Pool, f.State, f.Outcome)
	limit, before := p.page(req.GetPageSize(), 50, 500, req.GetPageToken(), "runs", filter)
	if err := p.err(); err != nil {
		return nil, err
	}
	f.Limit, f.Before = limit+1, before
	runs, err := s.Ledger.Runs(ctx, f)
	if err != nil {
		return nil, err
	}
	runs, next := pageOf(runs, limit, "runs", filter, func(r run.Run) string { return r.ID })
	return &orchestratorv1.ListRunsResponse{Runs: runsOf(runs), NextPageToken: next}, nil
}

// ListPartitions implements orchestratorv1.RunServiceServer.
func (s *runService) ListPartitions(ctx context.Context, req *orchestratorv1.ListPartitionsRequest) (*orchestratorv1.ListPartitionsResponse, error) {
	var p problems
	p.id("run_id", req.GetRunId())
	limit, cursor := p.page(req.GetPageSize(), 200, 2000, req.GetPageToken(), "partitions", req.GetRunId())
	offset := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if offset = n; err != nil || n < 0 {
			p.add("page_token", "was not returned by this list")
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if _, err := s.Ledger.Run(ctx, req.GetRunId()); err != nil {
		return nil, err
	}
	partitions, err := s.Ledger.Partitions(ctx, req.GetRunId(), offset, limit+1)
	if err != nil {
		return nil, err
	}
	fit := fitting(partitions, limit)
	partitions, next := pageOf(partitions, fit, "partitions", req.GetRunId(), func(run.Partition) string { return strconv.Itoa(offset + fit) })
	return &orchestratorv1.ListPartitionsResponse{Partitions: each(partitions, partitionOf), NextPageToken: next}, nil
}

// WatchRun implements orchestratorv1.RunServiceServer.
func (s *runService) WatchRun(req *orchestratorv1.WatchRunRequest, ss grpc.ServerStreamingServer[orchestratorv1.WatchRunResponse]) error {
	var p problems
	p.id("run_id", req.GetRunId())
	if n := req.GetAfterSequence(); n < 0 {
		p.add("after_sequence", "%d is negative; 0 means from the first event", n)
	}
	if err := p.err(); err != nil {
		return err
	}
	if _, err := s.Ledger.Run(ss.Context(), req.GetRunId()); err != nil {
		return err
	}
	last := req.GetAfterSequence()
	ctx := ss.Context()
	err := relay(ctx, s.base, func(ctx context.Context, tell func(run.Event) error) error {
		return s.Dispatcher.Watch(ctx, req.GetRunId(), req.GetAfterSequence(), tell)
	}, func(e run.Event) error {
		last = e.Sequence
		return ss.Send(&orchestratorv1.WatchRunResponse{Event: runEventOf(ctx, e)})
	}, func() error {
		return ss.Send(&orchestratorv1.WatchRunResponse{KeepAlive: true})
	})
	if err != nil && s.stopping() && ss.Context().Err() == nil {
		return fault.Wrap(err, fault.Interrupted,
			fmt.Sprintf("The orchestrator is shutting down; watch again with after_sequence=%d after it has restarted.", last), "run_id", req.GetRunId())
	}
	return err
}

// VerifyRun implements orchestratorv1.RunServiceServer.
func (s *runService) VerifyRun(ctx context.Context, req *orchestratorv1.VerifyRunRequest) (*orchestratorv1.VerifyRunResponse, error) {
	if _, err := s.found(ctx, req.GetRunId()); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	v, err := s.Dispatcher.Verify(ctx, req.GetRunId())
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.VerifyRunResponse{
		CheckedCount: int32(v.Checked),
		Differences: each(v.Differences, func(d dispatch.Difference) *orchestratorv1.Difference {
			return &orchestratorv1.Difference{
				PartitionId: d.PartitionID, RowCount: d.Rows, DuplicateCount: d.Duplicates,
				CoverageCount: d.Coverage, ClaimedCount: d.Claimed, Altered: d.Altered, Message: d.Message,
			}
		}),
	}, nil
}

// calendarExchange takes the place of the symbol in the calendar's revisions.
const calendarExchange = "SSE"

// ListRevisions implements orchestratorv1.RunServiceServer.
func (s *runService) ListRevisions(ctx context.Context, req *orchestratorv1.ListRevisionsRequest) (*orchestratorv1.ListRevisionsResponse, error) {
	var p problems
	q := worker.RevisionQuery{Pool: p.pool("pool", req.GetPool()), Dataset: req.GetDatasetId(), Symbol: strings.ToUpper(req.GetSymbol()), RunID: req.GetRunId()}
	if req.GetPool() == marketv1.Pool_POOL_UNSPECIFIED {
		p.add("pool", "is required: allowed are POOL_TARGETS, POOL_UNIVERSE")
	}
	for _, f := range [][2]string{{"dataset_id", q.Dataset}, {"symbol", q.Symbol}, {"run_id", q.RunID}} {
		if f[1] != "" {
			p.id(f[0], f[1])
		}
	}
	if _, err := market.ParseSymbol(q.Symbol); err != nil && q.Symbol != "" && q.Symbol != calendarExchange {
		p.add("symbol", "%v; or %s, for the calendar", err, calendarExchange)
	}
	q.Start, q.End = p.dates(req.GetStartDate(), req.GetEndDate(), drill.Now())
	filter := fmt.Sprintf("%s,%s,%s,%s,%s,%s", q.Pool, q.Dataset, q.Symbol, q.RunID, q.Start, q.End)
	limit, cursor := p.page(req.GetPageSize(), 100, 1000, req.GetPageToken(), "revisions", filter)
	if cursor != "" {
		before, err := strconv.ParseInt(cursor, 10, 64)
		if q.Before = before; err != nil || before < 1 {
			p.add("page_token", "was not returned by this list")
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	q.Limit = limit + 1
	found, err := s.Worker.Revisions(ctx, q)
	if err != nil {
		return nil, err
	}
	found, next := pageOf(found, limit, "revisions", filter, func(r run.Revision) string { return strconv.FormatInt(r.ID, 10) })
	return &orchestratorv1.ListRevisionsResponse{Revisions: each(found, revisionOf), NextPageToken: next}, nil
}

// CancelRun implements orchestratorv1.RunServiceServer.
func (s *runService) CancelRun(ctx context.Context, req *orchestratorv1.CancelRunRequest) (*orchestratorv1.CancelRunResponse, error) {
	var p problems
	p.id("run_id", req.GetRunId())
	p.note("note", req.GetNote())
	if err := p.err(); err != nil {
		return nil, err
	}
	r, err := s.Dispatcher.Cancel(ctx, req.GetRunId(), req.GetNote())
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.CancelRunResponse{Run: runOf(r)}, nil
}

// DeleteRun implements orchestratorv1.RunServiceServer.
func (s *runService) DeleteRun(ctx context.Context, req *orchestratorv1.DeleteRunRequest) (*orchestratorv1.DeleteRunResponse, error) {
	if _, err := s.found(ctx, req.GetRunId()); err != nil {
		return nil, err
	}
	return &orchestratorv1.DeleteRunResponse{}, s.Dispatcher.Delete(ctx, req.GetRunId())
}
