package worker

import (
	"fmt"
	"slices"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// unreadable is an error for a response that violates the contract: it is the worker's
// fault, not that of the caller's request.
func unreadable(err error) error {
	return fault.Wrap(err, fault.Internal, "The ingest-worker's response cannot be decoded; run both services at the same version.")
}

func catalogOf(resp *ingestv1.ListModulesResponse) (catalog.Catalog, error) {
	var c catalog.Catalog
	for _, p := range resp.GetProviders() {
		c.Providers = append(c.Providers, catalog.Provider{ID: p.GetProviderId(), Title: p.GetTitle(), Active: p.GetActive()})
	}
	for _, d := range resp.GetDomains() {
		c.Domains = append(c.Domains, catalog.Domain{ID: d.GetDomainId(), Title: d.GetTitle()})
	}
	for _, m := range resp.GetModules() {
		module := catalog.Module{
			ID: m.GetModuleId(), Domain: m.GetDomainId(), Title: m.GetTitle(), SyncCapable: m.GetSyncCapable(),
			Kind: transport.KindFromProto(m.GetInstrumentKind()), EnabledByDefault: m.GetEnabledByDefault(),
		}
		for _, p := range m.GetPools() {
			pool, err := transport.PoolFromProto("pools", p)
			if err != nil {
				return catalog.Catalog{}, unreadable(err)
			}
			module.Pools = append(module.Pools, pool)
		}
		for _, d := range m.GetDatasets() {
			module.Datasets = append(module.Datasets, catalog.Dataset{
				ID: d.GetDatasetId(), Table: d.GetTable(), Snapshot: d.GetSnapshot(), DueTime: d.GetDueTime(), Points: int(d.GetPoints()),
			})
		}
		c.Modules = append(c.Modules, module)
	}
	return c, nil
}

func calendarOf(resp *ingestv1.ListCalendarDaysResponse) (slot.Calendar, error) {
	c := slot.Calendar{First: market.NoDate, Last: market.NoDate}
	for _, s := range resp.GetOpenDates() {
		d, err := transport.DateFromProto("open_dates", s)
		if err != nil {
			return slot.Calendar{}, unreadable(err)
		}
		c.Open = append(c.Open, d)
	}
	slices.Sort(c.Open)
	if len(c.Open) == 0 {
		return slot.Calendar{}, nil
	}
	var err error
	if c.First, err = transport.DateFromProto("first_date", resp.GetFirstDate()); err != nil {
		return slot.Calendar{}, unreadable(err)
	}
	if c.Last, err = transport.DateFromProto("last_date", resp.GetLastDate()); err != nil {
		return slot.Calendar{}, unreadable(err)
	}
	return c, nil
}

func probeOf(p *ingestv1.ModuleProbe) readiness.Probe {
	status := readiness.Fail
	if p.GetPassed() {
		status = readiness.Pass
	}
	return readiness.Probe{
		Module: p.GetModuleId(), Status: status, At: transport.TimeFromProto(p.GetProbeTime()), Latency: p.GetLatency().AsDuration(),
		Rows: p.GetRowCount(), Calls: int(p.GetCallCount()), Issues: transport.IssuesFromProto(p.GetIssues()),
		Fingerprint: p.GetTokenFingerprint(),
	}
}

func planOf(resp *ingestv1.PlanPartitionsResponse, reference bool) (dispatch.WorkPlan, error) {
	plan := dispatch.WorkPlan{
		Issues: transport.IssuesFromProto(resp.GetIssues()), Duration: resp.GetEstimatedDuration().AsDuration(),
		Partitions: make([]run.Partition, 0, len(resp.GetPartitions())),
	}
	var err error
	if plan.LastTradeDate, err = transport.DateFromProto("last_trade_date", resp.GetLastTradeDate()); err != nil {
		return dispatch.WorkPlan{}, unreadable(err)
	}
	lists := resp.GetSymbolLists()
	for n, s := range resp.GetPartitions() {
		symbols := s.GetSymbols()
		if at := int(s.GetSymbolList()); at > 0 && at <= len(lists) {
			symbols = lists[at-1].GetSymbols() // shared: read-only
		} else if at != 0 {
			return dispatch.WorkPlan{}, unreadable(fmt.Errorf("partition %.80q refers to list %d of %d", s.GetPartitionId(), at, len(lists)))
		}
		p := run.Partition{
			ID: s.GetPartitionId(), Ordinal: n, Dataset: s.GetDatasetId(), Module: s.GetModuleId(), Symbols: symbols,
			Reference: reference, Repeat: s.GetRepeat(), Recheck: s.GetRecheck(), State: run.PartitionPending, Calls: int(s.GetEstimatedCallCount()),
		}
		if p.Start, err = transport.DateFromProto("start_date", s.GetStartDate()); err != nil {
			return dispatch.WorkPlan{}, unreadable(err)
		}
		if p.End, err = transport.DateFromProto("end_date", s.GetEndDate()); err != nil {
			return dispatch.WorkPlan{}, unreadable(err)
		}
		plan.Partitions = append(plan.Partitions, p)
	}
	return plan, nil
}

func specOf(p run.Partition) *ingestv1.PartitionSpec {
	return &ingestv1.PartitionSpec{
		PartitionId: p.ID, DatasetId: p.Dataset, ModuleId: p.Module, StartDate: p.Start.String(), EndDate: p.End.String(),
		Symbols: p.Symbols, EstimatedCallCount: int32(min(p.Calls, 1<<30)), Repeat: p.Repeat, Recheck: p.Recheck,
	}
}

func progressOf(h *ingestv1.IngestPartitionResponse_Heartbeat) dispatch.Progress {
	stage := ""
	switch h.GetStage() {
	case ingestv1.IngestPartitionResponse_STAGE_EXTRACTING:
		stage = "extracting"
	case ingestv1.IngestPartitionResponse_STAGE_NORMALIZING:
		stage = "normalizing"
	case ingestv1.IngestPartitionResponse_STAGE_COMMITTING:
		stage = "committing"
	case ingestv1.IngestPartitionResponse_STAGE_QUEUED:
		stage = "queued"
	}
	return dispatch.Progress{
		Stage: stage, Rows: h.GetRowCount(), Calls: int(h.GetCallCount()),
		WaitingAPI: h.GetWaitingApi(), WaitUntil: transport.TimeFromProto(h.GetWaitUntilTime()),
	}
}

func resultOf(r *ingestv1.PartitionResult) dispatch.Result {
	c := r.GetCoverage()
	return dispatch.Result{
		Committed: c != nil, Verdict: transport.VerdictFromProto(c.GetVerdict()), Rows: c.GetRowCount(), Expected: c.GetExpectedCount(),
		New: r.GetNewCount(), Changed: r.GetChangedCount(), Gone: r.GetGoneCount(), Symbols: r.GetSymbolCount(),
		Calls: int(r.GetCallCount()), Issues: transport.IssuesFromProto(r.GetIssues()), Revised: revisedOf(r.GetRevisions()),
		Phases: phasesOf(r.GetPhases()),
	}
}

func phasesOf(p *marketv1.PartitionPhases) *run.Phases {
	if p == nil {
		return nil
	}
	return &run.Phases{Wait: p.GetWaitMs(), Fetch: p.GetFetchMs(), Check: p.GetCheckMs(), Commit: p.GetCommitMs()}
}

func revisedOf(s *marketv1.RevisionSummary) *run.Revised {
	if s.GetValueCount() == 0 {
		return nil
	}
	largest, err := revisionOf(s.GetLargest())
	if err != nil {
		largest = run.Revision{Date: market.NoDate} // the count is more important than the example
	}
	return &run.Revised{Values: s.GetValueCount(), Rows: s.GetRowCount(), Largest: largest, Change: s.GetLargestChange()}
}

var changes = map[marketv1.Revision_Change]string{
	marketv1.Revision_CHANGE_CHANGED: "changed", marketv1.Revision_CHANGE_DROPPED: "dropped", marketv1.Revision_CHANGE_RENAMED: "renamed",
}

func revisionOf(r *marketv1.Revision) (run.Revision, error) {
	date, err := transport.DateFromProto("trade_date", r.GetTradeDate())
	if err != nil {
		return run.Revision{}, unreadable(err)
	}
	out := run.Revision{
		ID: r.GetRevisionId(), Dataset: r.GetDatasetId(), Symbol: r.GetSymbol(), Date: date, Column: r.GetColumn(),
		Change: changes[r.GetChange()], SeenAt: transport.TimeFromProto(r.GetSeenTime()), RunID: r.GetRunId(),
	}
	if r != nil {
		out.Old, out.New = r.OldValue, r.NewValue
	}
	return out, nil
}

func coveragesOf(list []*marketv1.Coverage) ([]Coverage, error) {
	out := make([]Coverage, 0, len(list))
	for _, c := range list {
		date, err := transport.DateFromProto("trade_date", c.GetTradeDate())
		if err != nil {
			return nil, unreadable(err)
		}
		out = append(out, Coverage{
			Dataset: c.GetDatasetId(), Module: c.GetModuleId(), Date: date, Rows: c.GetRowCount(), Expected: c.GetExpectedCount(),
			Verdict: transport.VerdictFromProto(c.GetVerdict()), CommittedAt: transport.TimeFromProto(c.GetCommitTime()), RunID: c.GetRunId(),
			Filtered: c.GetFilteredCount(), Rejected: c.GetRejectedCount(), Unknown: c.GetUnknownCount(),
			SameAnswerDays: int(c.GetSameAnswerDayCount()), Issues: transport.IssuesFromProto(c.GetIssues()), FetchedAgain: c.GetFetchedAgain(),
		})
	}
	return out, nil
}
