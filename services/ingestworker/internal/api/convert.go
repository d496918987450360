package api

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// Limits of a request.
const (
	maxName    = 200
	maxSymbols = 20_000
	maxSpan    = 40_000 // days
	maxListed  = 1001   // revisions: a page of the public list, and one more
)

func modules() *ingestv1.ListModulesResponse {
	out := &ingestv1.ListModulesResponse{}
	for _, s := range catalog.Sources() {
		out.Providers = append(out.Providers, &marketv1.Provider{ProviderId: s.ID, Title: s.Title, Active: s.Active})
	}
	for _, d := range catalog.Domains() {
		out.Domains = append(out.Domains, &marketv1.Domain{DomainId: d.ID, Title: d.Title})
	}
	for _, m := range catalog.Modules() {
		x := &marketv1.Module{
			ModuleId: m.ID, DomainId: m.Domain, Title: m.Title, Pools: transport.PoolsToProto(m.Pools),
			SyncCapable: m.Built, EnabledByDefault: m.DefaultOn,
		}
		if len(m.Kinds) == 1 {
			x.InstrumentKind = transport.KindToProto(m.Kinds[0])
		}
		points := map[string]int{}
		for _, a := range m.APIs {
			points[a.Name] = a.Points
		}
		for _, id := range m.Datasets {
			d := catalog.Lookup(id)
			y := &marketv1.Dataset{DatasetId: d.ID, Table: d.Table, Snapshot: d.Snapshot, Points: int32(points[d.ID])}
			if !d.Snapshot {
				y.DueTime = fmt.Sprintf("%02d:%02d", int(d.Due.Hours()), int(d.Due.Minutes())%60)
			}
			x.Datasets = append(x.Datasets, y)
		}
		out.Modules = append(out.Modules, x)
	}
	return out
}

func span(startText, endText string) (start, end market.Date, err error) {
	if start, err = transport.DateFromProto("start_date", startText); err != nil {
		return start, end, err
	}
	if end, err = transport.DateFromProto("end_date", endText); err != nil {
		return start, end, err
	}
	if start != market.NoDate && end != market.NoDate && start > end {
		return start, end, fault.Invalid("end_date", "%s is before start_date %s", end, start)
	}
	return start, end, nil
}

func symbolList(field string, pool market.Pool, in []string) ([]string, error) {
	if pool != market.Targets {
		return nil, nil
	}
	if len(in) > maxSymbols {
		return nil, fault.Invalid(field, "has %d symbols; at most %d are allowed", len(in), maxSymbols)
	}
	out := make([]string, len(in))
	for n, s := range in {
		up, err := market.ParseSymbol(s)
		if err != nil {
			return nil, fault.Invalid(fmt.Sprintf("%s[%d]", field, n), "%v", err)
		}
		out[n] = up
	}
	return out, nil
}

// planToProto sends each list of several symbols once: most dates of a plan have the same
// symbols.
func planToProto(parts []coverage.Partition) (specs []*ingestv1.PartitionSpec, lists []*ingestv1.SymbolList) {
	numbers := map[uint64][]int32{} // of the lists, by hash
	for _, p := range parts {
		spec := partToProto(p)
		specs = append(specs, spec)
		if len(p.Symbols) < 2 {
			continue
		}
		h := fnv.New64a()
		for _, s := range p.Symbols {
			h.Write([]byte(s)) // a hash never fails
		}
		sum := h.Sum64()
		for _, n := range numbers[sum] {
			if slices.Equal(lists[n-1].GetSymbols(), p.Symbols) {
				spec.SymbolList = n
			}
		}
		if spec.SymbolList == 0 {
			lists = append(lists, &ingestv1.SymbolList{Symbols: p.Symbols})
			spec.SymbolList = int32(min(len(lists), math.MaxInt32))
			numbers[sum] = append(numbers[sum], spec.SymbolList)
		}
		spec.Symbols = nil
	}
	return specs, lists
}

func partToProto(p coverage.Partition) *ingestv1.PartitionSpec {
	out := &ingestv1.PartitionSpec{
		PartitionId: p.ID, DatasetId: p.Dataset, StartDate: p.Start.String(), EndDate: p.End.String(), Symbols: p.Symbols,
		EstimatedCallCount: int32(min(p.Calls, math.MaxInt32)), Repeat: p.Repeat, Recheck: p.Recheck,
	}
	if d := catalog.Lookup(p.Dataset); d != nil {
		out.ModuleId = d.Module
	}
	return out
}

func partFromProto(field string, pool market.Pool, in *ingestv1.PartitionSpec) (p coverage.Partition, err error) {
	if in == nil {
		return p, fault.Invalid(field, "must be set")
	}
	if len(in.GetPartitionId()) > maxName {
		return p, fault.Invalid(field+".partition_id", "must have at most %d characters", maxName)
	}
	p = coverage.Partition{
		ID: in.GetPartitionId(), Pool: pool, Dataset: in.GetDatasetId(), Calls: int(in.GetEstimatedCallCount()), Repeat: in.GetRepeat(), Recheck: in.GetRecheck(),
	}
	if catalog.Lookup(p.Dataset) == nil {
		return p, fault.Invalid(field+".dataset_id", "there is no dataset %.60q", p.Dataset)
	}
	if p.Start, err = transport.DateFromProto(field+".start_date", in.GetStartDate()); err != nil {
		return p, err
	}
	if p.End, err = transport.DateFromProto(field+".end_date", in.GetEndDate()); err != nil {
		return p, err
	}
	if p.Start != market.NoDate && p.End != market.NoDate && (p.End < p.Start || int(p.End-p.Start) > maxSpan) {
		return p, fault.Invalid(field+".end_date", "%s..%s is not a valid date range", p.Start, p.End)
	}
	if p.Symbols, err = symbolList(field+".symbols", pool, in.GetSymbols()); err != nil {
		return p, err
	}
	if len(p.Symbols) == 0 {
		p.Symbols = nil
	}
	if want := coverage.PartitionID(p.Dataset, p.Start, p.End, p.Symbols); p.ID != want {
		return p, fault.Invalid(field+".partition_id", "%.80q does not match the partition, whose ID is %q; send partitions unchanged, as PlanPartitions returned them", p.ID, want)
	}
	return p, nil
}

func dayToProto(d coverage.Day) *marketv1.Coverage {
	return &marketv1.Coverage{
		DatasetId: d.Dataset, ModuleId: moduleOf(d.Dataset), TradeDate: d.Date.String(), RowCount: d.Rows, ExpectedCount: d.Expected,
		Verdict: transport.VerdictToProto(d.Verdict), CommitTime: transport.TimeToProto(d.CommittedAt), RunId: d.RunID,
		FilteredCount: d.Filtered, RejectedCount: d.Rejected, UnknownCount: d.Unknown, SameAnswerDayCount: int32(d.SameDays),
		Issues: transport.IssuesToProto(d.Issues), FetchedAgain: d.FetchedAgain,
	}
}

func moduleOf(dataset string) string {
	if d := catalog.Lookup(dataset); d != nil {
		return d.Module
	}
	return ""
}

func resultToProto(r ingest.Result) *ingestv1.PartitionResult {
	h := r.Held
	return &ingestv1.PartitionResult{
		Coverage: &marketv1.Coverage{
			DatasetId: h.Dataset, ModuleId: moduleOf(h.Dataset), TradeDate: h.Date.String(), RowCount: h.Rows, ExpectedCount: h.Expected,
			Verdict: transport.VerdictToProto(h.Verdict), CommitTime: transport.TimeToProto(h.CommittedAt.Truncate(time.Millisecond)), RunId: h.RunID,
			FilteredCount: h.Filtered, RejectedCount: h.Rejected, UnknownCount: h.Unknown, SameAnswerDayCount: int32(h.SameDays),
			Issues: transport.IssuesToProto(h.Issues),
		},
		NewCount: h.New, ChangedCount: h.Changed, GoneCount: h.Gone, CallCount: int32(r.Calls),
		Issues: transport.IssuesToProto(r.Issues), SymbolCount: r.Symbols, Revisions: revisedToProto(h.Changed+h.Gone, r.Revised),
		Phases: &marketv1.PartitionPhases{
			WaitMs: r.Phases.Wait.Milliseconds(), FetchMs: r.Phases.Fetch.Milliseconds(),
			CheckMs: r.Phases.Check.Milliseconds(), CommitMs: r.Phases.Commit.Milliseconds(),
		},
	}
}

func revisedToProto(rows int64, r ingest.Revised) *marketv1.RevisionSummary {
	if r.Cells == 0 {
		return nil
	}
	return &marketv1.RevisionSummary{ValueCount: r.Cells, RowCount: rows, Largest: revisionToProto(r.Largest), LargestChange: r.Change}
}

var changeKinds = map[ingest.ChangeKind]marketv1.Revision_Change{
	ingest.ValueChanged: marketv1.Revision_CHANGE_CHANGED, ingest.RowDropped: marketv1.Revision_CHANGE_DROPPED,
	ingest.CodeReplaced: marketv1.Revision_CHANGE_RENAMED,
}

func revisionToProto(r ingest.Revision) *marketv1.Revision {
	text := func(v ingest.Value) *string {
		if !v.Set {
			return nil
		}
		return &v.Text
	}
	return &marketv1.Revision{
		RevisionId: r.ID, DatasetId: r.Dataset, Symbol: r.Symbol, TradeDate: r.Date.String(), Column: r.Column,
		OldValue: text(r.Old), NewValue: text(r.New), Change: changeKinds[r.Kind], SeenTime: transport.TimeToProto(r.SeenAt), RunId: r.RunID,
	}
}
