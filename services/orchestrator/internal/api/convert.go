package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/scheduler"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

func runState(s run.State) orchestratorv1.Run_State {
	return enum[orchestratorv1.Run_State](orchestratorv1.Run_State_value, "STATE_", string(s))
}

func runOf(r run.Run) *orchestratorv1.Run {
	return &orchestratorv1.Run{
		RunId: r.ID, Pool: transport.PoolToProto(r.Pool),
		Mode:         enum[orchestratorv1.Run_Mode](orchestratorv1.Run_Mode_value, "MODE_", string(r.Mode)),
		Source:       enum[orchestratorv1.Run_Source](orchestratorv1.Run_Source_value, "SOURCE_", string(r.Source)),
		SlotId:       r.SlotID,
		FollowsRunId: r.Follows,
		StartDate:    r.Request.Start.String(), EndDate: r.Request.End.String(), ModuleIds: r.Request.Modules, Refetch: r.Request.Refetch,
		State:          runState(r.State),
		Outcome:        enum[orchestratorv1.Run_Outcome](orchestratorv1.Run_Outcome_value, "OUTCOME_", string(r.Outcome)),
		BlockedStage:   enum[orchestratorv1.Run_BlockedStage](orchestratorv1.Run_BlockedStage_value, "BLOCKED_STAGE_", string(r.Stage)),
		PreflightId:    r.PreflightID,
		Issues:         transport.IssuesToProto(r.Issues),
		PartitionCount: int32(r.Partitions), CompletedPartitionCount: int32(r.Completed),
		RowCount: r.Rows, NewCount: r.New, ChangedCount: r.Changed, GoneCount: r.Gone, CallCount: int32(r.Calls),
		AsOfTradeDate: r.AsOf.String(),
		CreateTime:    transport.TimeToProto(r.CreatedAt), StartTime: transport.TimeToProto(r.StartedAt), EndTime: transport.TimeToProto(r.FinishedAt),
		NotBeforeTime: transport.TimeToProto(r.NotBefore), RetryTime: transport.TimeToProto(r.RetryAt),
		Note: r.Note, Revisions: revisedOf(r.Meta.Revised),
	}
}

var changes = map[string]marketv1.Revision_Change{
	"changed": marketv1.Revision_CHANGE_CHANGED, "dropped": marketv1.Revision_CHANGE_DROPPED, "renamed": marketv1.Revision_CHANGE_RENAMED,
}

func revisionOf(r run.Revision) *marketv1.Revision {
	return &marketv1.Revision{
		RevisionId: r.ID, DatasetId: r.Dataset, Symbol: r.Symbol, TradeDate: r.Date.String(), Column: r.Column, OldValue: r.Old, NewValue: r.New,
		Change: changes[r.Change], SeenTime: transport.TimeToProto(r.SeenAt), RunId: r.RunID,
	}
}

func revisedOf(r *run.Revised) *marketv1.RevisionSummary {
	if r == nil {
		return nil
	}
	return &marketv1.RevisionSummary{ValueCount: r.Values, RowCount: r.Rows, Largest: revisionOf(r.Largest), LargestChange: r.Change}
}

func runsOf(runs []run.Run) []*orchestratorv1.Run { return each(runs, runOf) }

func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func partitionOf(p run.Partition) *orchestratorv1.Partition {
	return &orchestratorv1.Partition{
		PartitionId: p.ID, ModuleId: p.Module, DatasetId: p.Dataset, StartDate: p.Start.String(), EndDate: p.End.String(),
		State:   enum[orchestratorv1.Partition_State](orchestratorv1.Partition_State_value, "STATE_", string(p.State)),
		Verdict: transport.VerdictToProto(p.Verdict), AttemptCount: int32(p.Attempts),
		RowCount: p.Rows, ExpectedCount: p.Expected, NewCount: p.New, ChangedCount: p.Changed, GoneCount: p.Gone, CallCount: int32(p.Calls),
		RetryTime: transport.TimeToProto(p.RetryAt), Issues: transport.IssuesToProto(p.Issues), Symbols: p.Symbols,
		Revisions: revisedOf(p.Revised), Recheck: p.Recheck, Phases: phasesOf(p.Phases),
	}
}

func phasesOf(p *run.Phases) *marketv1.PartitionPhases {
	if p == nil {
		return nil
	}
	return &marketv1.PartitionPhases{WaitMs: p.Wait, FetchMs: p.Fetch, CheckMs: p.Check, CommitMs: p.Commit}
}

func runEventOf(ctx context.Context, e run.Event) *orchestratorv1.RunEvent {
	out := &orchestratorv1.RunEvent{RunId: e.RunID, Sequence: e.Sequence, EventTime: transport.TimeToProto(e.Time)}
	switch {
	case e.StateChanged != nil:
		out.Event = &orchestratorv1.RunEvent_StateChanged{StateChanged: &orchestratorv1.RunStateChanged{
			FromState: runState(e.StateChanged.From), ToState: runState(e.StateChanged.To), Note: e.StateChanged.Note}}
	case e.Preflight != nil:
		out.Event = &orchestratorv1.RunEvent_Preflight{Preflight: &orchestratorv1.PreflightNote{
			PreflightId: e.Preflight.PreflightID, ModuleId: e.Preflight.Module, Message: e.Preflight.Message,
			Issues: transport.IssuesToProto(e.Preflight.Issues)}}
		if transport.InChinese(ctx) {
			out.GetPreflight().LocalizedMessage = e.Preflight.Text().Zh
		}
	case e.Planned != nil:
		out.Event = &orchestratorv1.RunEvent_Planned{Planned: &orchestratorv1.RunPlanned{
			PartitionCount: int32(e.Planned.Partitions), EstimatedCallCount: int32(e.Planned.Calls), LastTradeDate: e.Planned.LastTradeDate.String()}}
	case e.Partition != nil:
		out.Event = &orchestratorv1.RunEvent_PartitionChanged{PartitionChanged: &orchestratorv1.PartitionChanged{Partition: partitionOf(*e.Partition)}}
	case e.Finished != nil:
		out.Event = &orchestratorv1.RunEvent_Finished{Finished: runOf(*e.Finished)}
	}
	return out
}

// maxPlanned is how many partitions of a plan are returned.
const maxPlanned = 1000

// maxNamed is how many symbols the partitions of one response have, so that it stays below
// the 4 MiB that a gRPC client accepts by default.
const maxNamed = 100_000

// fitting is how many of the partitions fit into one response, at least one.
func fitting(partitions []run.Partition, limit int) int {
	named := 0
	for i, p := range partitions {
		if named += len(p.Symbols); i == limit || i > 0 && named > maxNamed {
			return i
		}
	}
	return len(partitions)
}

func planOf(p dispatch.Plan) *orchestratorv1.Plan {
	shown := p.Partitions[:fitting(p.Partitions, maxPlanned)]
	return &orchestratorv1.Plan{
		Pool: transport.PoolToProto(p.Run.Pool), Partitions: each(shown, partitionOf), PartitionCount: int32(len(p.Partitions)),
		EstimatedCallCount: int32(p.Calls), EstimatedDuration: durationpb.New(p.Duration), LastTradeDate: p.LastTradeDate.String(),
		Issues: transport.IssuesToProto(p.Issues),
	}
}

func verdictOf(v readiness.Verdict) *orchestratorv1.PoolVerdict {
	return &orchestratorv1.PoolVerdict{
		Pool:             transport.PoolToProto(v.Pool),
		Decision:         enum[orchestratorv1.PoolVerdict_Decision](orchestratorv1.PoolVerdict_Decision_value, "DECISION_", string(v.Decision)),
		ClearedModuleIds: v.Cleared, BlockedModuleIds: v.Blocked,
		Issues: transport.IssuesToProto(v.Issues), RetryTime: transport.TimeToProto(v.RetryAt),
	}
}

func preflightOf(p readiness.Preflight) *orchestratorv1.Preflight {
	return &orchestratorv1.Preflight{
		PreflightId: p.ID, RunId: p.RunID,
		State:     enum[orchestratorv1.Preflight_State](orchestratorv1.Preflight_State_value, "STATE_", string(p.State)),
		StartTime: transport.TimeToProto(p.StartedAt), EndTime: transport.TimeToProto(p.EndedAt),
		Verdicts: each(p.Verdicts, verdictOf), CallCount: int32(p.Calls),
	}
}

func probeOf(p readiness.Probe, domain string, stale bool) *orchestratorv1.Probe {
	out := &orchestratorv1.Probe{
		ModuleId: p.Module, DomainId: domain,
		Status: enum[orchestratorv1.Probe_Status](orchestratorv1.Probe_Status_value, "STATUS_", string(p.Status)),
		Stale:  stale, ProbeTime: transport.TimeToProto(p.At), RowCount: p.Rows, CallCount: int32(p.Calls), Issues: transport.IssuesToProto(p.Issues),
	}
	if !p.At.IsZero() {
		out.Latency = durationpb.New(p.Latency)
	}
	return out
}

// preflightEventOf converts an event; domains returns the domain of a module.
func preflightEventOf(e preflight.Event, domains func(module string) string) *orchestratorv1.PreflightEvent {
	out := &orchestratorv1.PreflightEvent{PreflightId: e.PreflightID, Sequence: e.Sequence, EventTime: transport.TimeToProto(e.Time)}
	switch {
	case e.Started != nil:
		out.Event = &orchestratorv1.PreflightEvent_Started{Started: &orchestratorv1.PreflightStarted{
			Pools: transport.PoolsToProto(e.Started.Pools), ModuleIds: e.Started.Modules, TradeDate: e.Started.TradeDate.String()}}
	case e.ModuleStarted != nil:
		out.Event = &orchestratorv1.PreflightEvent_ModuleStarted{ModuleStarted: &orchestratorv1.ModuleStarted{
			ModuleId: e.ModuleStarted.Module, ProviderApis: e.ModuleStarted.APIs}}
	case e.ModuleChecked != nil:
		out.Event = &orchestratorv1.PreflightEvent_ModuleChecked{ModuleChecked: &orchestratorv1.ModuleChecked{
			Probe: probeOf(e.ModuleChecked.Probe, domains(e.ModuleChecked.Probe.Module), false), Reused: e.ModuleChecked.Reused}}
	case e.PoolDecided != nil:
		out.Event = &orchestratorv1.PreflightEvent_PoolDecided{PoolDecided: verdictOf(*e.PoolDecided)}
	case e.Completed != nil:
		out.Event = &orchestratorv1.PreflightEvent_Completed{Completed: preflightOf(*e.Completed)}
	}
	return out
}

func moduleOf(m catalog.Module) *marketv1.Module {
	return &marketv1.Module{
		ModuleId: m.ID, DomainId: m.Domain, Title: m.Title, Pools: transport.PoolsToProto(m.Pools), SyncCapable: m.SyncCapable,
		InstrumentKind: transport.KindToProto(m.Kind), EnabledByDefault: m.EnabledByDefault,
		Datasets: each(m.Datasets, func(d catalog.Dataset) *marketv1.Dataset {
			return &marketv1.Dataset{DatasetId: d.ID, Table: d.Table, Snapshot: d.Snapshot, DueTime: d.DueTime, Points: int32(d.Points)}
		}),
	}
}

func providerOf(p catalog.Provider) *marketv1.Provider {
	return &marketv1.Provider{ProviderId: p.ID, Title: p.Title, Active: p.Active}
}

func poolStatusOf(s dispatch.PoolStatus, dates []*orchestratorv1.ModuleDate) *orchestratorv1.PoolStatus {
	out := &orchestratorv1.PoolStatus{
		Pool: transport.PoolToProto(s.Pool), Paused: s.Paused, Note: s.Note, NoteTime: transport.TimeToProto(s.NotedAt),
		QueuedRuns: runsOf(s.Queued), ModuleDates: dates,
	}
	if s.Current != nil {
		out.CurrentRun = runOf(*s.Current)
	}
	if s.Last != nil {
		out.LastRun = runOf(*s.Last)
	}
	return out
}

func catchUpOf(c slot.CatchUp) orchestratorv1.CatchUp {
	return enum[orchestratorv1.CatchUp](orchestratorv1.CatchUp_value, "CATCH_UP_", string(c))
}

func scheduleOf(v scheduler.View) *orchestratorv1.Schedule {
	s := v.Schedule
	return &orchestratorv1.Schedule{
		Enabled: s.Enabled, RunAt: s.RunAt, TimeZone: s.TimeZone, Pools: transport.PoolsToProto(s.Pools), RunOnStartup: s.RunOnStartup,
		CatchUp: catchUpOf(s.CatchUp), TradingDaysOnly: s.TradingDaysOnly, Paused: s.Paused, Note: s.Note,
		NoteTime: transport.TimeToProto(s.NotedAt), NextTime: transport.TimeToProto(v.NextAt), Issues: transport.IssuesToProto(v.Issues),
		Etag: scheduleEtag(s),
	}
}

func slotOf(s slot.Slot) *orchestratorv1.Slot {
	return &orchestratorv1.Slot{
		SlotId: s.ID, Pool: transport.PoolToProto(s.Pool), Date: s.Date.String(), DueTime: transport.TimeToProto(s.DueAt),
		State:      enum[orchestratorv1.Slot_State](orchestratorv1.Slot_State_value, "STATE_", string(s.State)),
		DecideTime: transport.TimeToProto(s.DecidedAt), RunId: s.RunID, Issues: transport.IssuesToProto(s.Issues),
		LateSeconds: int64(s.Late / time.Second), LateNote: s.LateNote,
	}
}

func settingsOf(s settings.Settings) *orchestratorv1.Settings {
	return &orchestratorv1.Settings{
		PreflightPolicy: enum[orchestratorv1.PreflightPolicy](orchestratorv1.PreflightPolicy_value, "PREFLIGHT_POLICY_", string(s.Preflight)),
		ReadinessPolicy: enum[orchestratorv1.ReadinessPolicy](orchestratorv1.ReadinessPolicy_value, "READINESS_POLICY_", string(s.Readiness)),
		OrderWait:       durationpb.New(s.OrderWait), DispatchWidth: int32(s.DispatchWidth), RetentionDays: int32(s.RetentionDays),
		FollowUpDeadline: s.FollowUpDeadline, MaxFollowUps: int32(s.MaxFollowUps), RecheckDays: int32(s.RecheckDays), LateAt: s.LateAt,
		Etag: etagOf(s),
	}
}

func coverageOf(c worker.Coverage) *marketv1.Coverage {
	return &marketv1.Coverage{
		DatasetId: c.Dataset, ModuleId: c.Module, TradeDate: c.Date.String(), RowCount: c.Rows, ExpectedCount: c.Expected,
		Verdict: transport.VerdictToProto(c.Verdict), CommitTime: transport.TimeToProto(c.CommittedAt), RunId: c.RunID,
		FilteredCount: c.Filtered, RejectedCount: c.Rejected, UnknownCount: c.Unknown,
		SameAnswerDayCount: int32(c.SameAnswerDays), Issues: transport.IssuesToProto(c.Issues), FetchedAgain: c.FetchedAgain,
	}
}
