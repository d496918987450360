// Package run defines a run as values: its states, the transitions between them, its
// partitions and its events. It does no I/O and reads no clock.
package run

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// State is the state of a run.
type State string

// The states. Each says how a run leaves it and what a crash in it means.
const (
	// Queued is in the queue table. The pool's loop takes it, CancelRun ends it. It survives a
	// crash.
	Queued State = "queued"
	// Checking resolves the token, probes, decides, and checks the pool's file. A crash ends
	// it as INTERRUPTED and queues one follow-up.
	Checking State = "checking"
	// Running has partitions planned or at the worker. A crash has the same effect as in
	// Checking.
	Running State = "running"
	// Paused has no partition at the worker. ResumePool returns it to Checking. It survives a
	// crash.
	Paused State = "paused"
	// Cancelling waits for the worker to confirm that it stopped. A crash ends it as
	// INTERRUPTED without a follow-up, because a user cancelled it.
	Cancelling State = "cancelling"
	// Finished has ended.
	Finished State = "finished"
)

// Outcome is how a finished run ended. Empty before.
type Outcome string

// The outcomes.
const (
	// Succeeded: every planned partition is settled.
	Succeeded Outcome = "succeeded"
	// Partial: some partitions or modules are not complete.
	Partial Outcome = "partial"
	// Blocked: a check stopped it; nothing was written.
	Blocked Outcome = "blocked"
	// Failed: none of its planned partitions is settled, or it was interrupted.
	Failed Outcome = "failed"
	// Cancelled: a user stopped it.
	Cancelled Outcome = "cancelled"
	// Unchanged: there was nothing to do.
	Unchanged Outcome = "unchanged"
)

// Mode is the purpose of a run; its text is ingest_runs.mode.
type Mode string

// The modes.
const (
	// Daily is the run of an evening, its catch-ups and its follow-ups.
	Daily Mode = "daily"
	// Bootstrap is the first fill of an empty pool.
	Bootstrap Mode = "bootstrap"
	// Manual updates the pool at the request of a user.
	Manual Mode = "manual"
	// OnDemand is for requested dates or modules.
	OnDemand Mode = "on_demand"
)

// Source is what started a run; its text is meta_json.source.
type Source string

// The sources.
const (
	// SourceManual is CreateRun.
	SourceManual Source = "manual"
	// SourceSchedule is a slot.
	SourceSchedule Source = "schedule"
	// SourceStartup is the start of the orchestrator.
	SourceStartup Source = "startup"
	// SourceAuto is a follow-up.
	SourceAuto Source = "auto"
)

// Stage is the check that stopped a blocked run; its text is meta_json.blockedStage. Empty
// if none did.
type Stage string

// The stages in order.
const (
	// StageToken: there is no token.
	StageToken Stage = "token"
	// StagePreflight: the preflight could not be carried out.
	StagePreflight Stage = "preflight"
	// StageReadiness: the verdict is RETRY or BLOCKED.
	StageReadiness Stage = "readiness"
	// StageAnalysisInit: the pool's file cannot be written. It is used for both pools.
	StageAnalysisInit Stage = "analysis_init"
)

// Request is what a run is asked to do.
type Request struct {
	// Start and End bound the trade dates, inclusive. NoDate means from the first
	// gap, and to the last due date.
	Start, End market.Date
	// Modules to ingest. Empty means every enabled module of the pool.
	Modules []string
	// Refetch also plans what is complete.
	Refetch bool
}

// Run is one attempt to bring one pool up to date.
type Run struct {
	// ID is server-assigned and sorts by creation time.
	ID string
	// Pool to update.
	Pool market.Pool
	// Mode of the run.
	Mode Mode
	// Source of the run.
	Source Source
	// SlotID is its slot, "YYYY-MM-DD.pool". Empty when it has none.
	SlotID string
	// TriggerID is equal for the runs of one trigger, so that the universe run can wait for
	// the targets run.
	TriggerID string
	// Follows is the earlier run that it follows up. Empty when none.
	Follows string
	// Attempt counts the consecutive follow-ups after a transient failure or a used-up quota,
	// 0 for the first run. It is reset when the provider responds again.
	Attempt int
	// Request that it fulfils.
	Request Request
	// State of the run.
	State State
	// Outcome of the run. Empty before it ends.
	Outcome Outcome
	// Stage is the check that stopped it.
	Stage Stage
	// PreflightID of the preflight that cleared or blocked it.
	PreflightID string
	// Issues are what prevented its success, and warnings, worst first.
	Issues []fault.Issue
	// Partitions planned, and how many of them are settled.
	Partitions, Completed int
	// Rows committed, and how many of them are New, Changed and Gone compared with the rows
	// stored before.
	Rows, New, Changed, Gone int64
	// Symbols is the number of symbols in the rows.
	Symbols int64
	// Calls spent at the provider.
	Calls int
	// AsOf is the last trade date that it covers; NoDate before it is planned. If it did not
	// succeed, the last date with rows, or else the last date that it tried.
	AsOf market.Date
	// CreatedAt, StartedAt and FinishedAt are zero until they happen.
	CreatedAt, StartedAt, FinishedAt time.Time
	// NotBefore is the earliest start of a follow-up. Zero means at once.
	NotBefore time.Time
	// RetryAt is when a follow-up is due. Zero when there is none.
	RetryAt time.Time
	// Note says who paused, resumed or cancelled it last, and why.
	Note string
	// Meta holds the other documented keys of meta_json: selectedDomains, selectedModules,
	// blockedModules, tokenSourcesByDomain, universeCounts, preflightUpdatedAt.
	Meta Meta
}

// Meta is stored for users who query the ledger with SQL.
type Meta struct {
	// SelectedDomains were selected by the settings.
	SelectedDomains []string `json:"selectedDomains,omitempty"`
	// SelectedModules were selected by the settings.
	SelectedModules []string `json:"selectedModules,omitempty"`
	// BlockedModules were blocked by the checks.
	BlockedModules []string `json:"blockedModules,omitempty"`
	// TokenSources says where each domain's token came from.
	TokenSources map[string]string `json:"tokenSourcesByDomain,omitempty"`
	// UniverseCounts are rows committed per dataset; universe only.
	UniverseCounts map[string]int64 `json:"universeCounts,omitempty"`
	// Revised summarizes the values that the run changed or removed; nil when there are none.
	Revised *Revised `json:"revised,omitempty"`
	// PreflightUpdatedAt is the newest probe used, Unix ms; 0 when none.
	PreflightUpdatedAt int64 `json:"preflightUpdatedAt,omitempty"`
}

// PartitionState is the state of a partition.
type PartitionState string

// The states of partitions.
const (
	// PartitionPending is planned and not dispatched.
	PartitionPending PartitionState = "pending"
	// PartitionRunning is at the worker.
	PartitionRunning PartitionState = "running"
	// PartitionWaiting waits for RetryAt or for a limit.
	PartitionWaiting PartitionState = "waiting"
	// PartitionCompleted is settled.
	PartitionCompleted PartitionState = "completed"
	// PartitionFailed was given up, or its response is not complete.
	PartitionFailed PartitionState = "failed"
	// PartitionCancelled was not processed because its run ended.
	PartitionCancelled PartitionState = "cancelled"
)

// Partition is the unit of work of a run.
type Partition struct {
	// ID names it within its pool.
	ID string
	// Ordinal is its place in the plan, from 0.
	Ordinal int
	// Dataset and Module it belongs to.
	Dataset, Module string
	// Start and End bound its trade dates; NoDate for a snapshot.
	Start, End market.Date
	// Symbols to fetch. Empty means all.
	Symbols []string
	// Reference is true for calendar and lists.
	Reference bool
	// Repeat is true if the stored data is complete and fetched again. Recheck is true if it
	// is also an old date of the setting RecheckDays; it never counts against the run's
	// outcome.
	Repeat, Recheck bool
	// State of the partition.
	State PartitionState
	// Verdict of the last response. Empty before.
	Verdict market.Verdict
	// Attempts is how often it was dispatched.
	Attempts int
	// Rows committed and expected; New, Changed and Gone compared with the rows stored before.
	Rows, Expected, New, Changed, Gone int64
	// Revised summarizes the values that it changed or removed; nil when there are none.
	Revised *Revised
	// Symbols in the rows committed.
	SymbolCount int64
	// Calls spent; before the first dispatch the estimate.
	Calls int
	// RetryAt is when it is retried, while waiting.
	RetryAt time.Time
	// Phases of the last dispatch. Nil if it did not commit, or was done by a release that did
	// not measure them.
	Phases *Phases `json:",omitempty"`
	// Issues of the last attempt.
	Issues []fault.Issue
}

// Phases are the durations of a partition's phases in the worker, in ms.
type Phases struct {
	// Wait is the time in the worker's queue and waiting for the provider's limits, Fetch the
	// time of the calls, Check the time of checks and verdict, and Commit the time of writing.
	Wait, Fetch, Check, Commit int64
}

// Event is one step of a run. Exactly one of the payloads is set.
type Event struct {
	// RunID it belongs to.
	RunID string `json:"-"`
	// Sequence counts from 1 without gaps; the ledger assigns it.
	Sequence int64 `json:"-"`
	// Time is when it happened.
	Time time.Time `json:"-"`
	// StateChanged is a transition.
	StateChanged *StateChanged `json:"stateChanged,omitempty"`
	// Preflight is a step of the check.
	Preflight *PreflightNote `json:"preflight,omitempty"`
	// Planned says that partitions were added.
	Planned *Planned `json:"planned,omitempty"`
	// Partition is the new state of a partition.
	Partition *Partition `json:"partition,omitempty"`
	// Finished is the run as it ended; it is the last event.
	Finished *Run `json:"finished,omitempty"`
}

// StateChanged is a transition of a run.
type StateChanged struct {
	// From and To are the old and the new state.
	From, To State
	// Note says why, for a user.
	Note string
}

// PreflightNote is a step of a run's preflight.
type PreflightNote struct {
	// PreflightID it belongs to.
	PreflightID string
	// Module concerned; empty for the verdict.
	Module string
	// Message is a sentence.
	Message string
	// Issues found.
	Issues []fault.Issue
}

// Planned says that partitions were added to a run.
type Planned struct {
	// Partitions added, and the calls they are expected to spend.
	Partitions, Calls int
	// LastTradeDate planned; NoDate for references.
	LastTradeDate market.Date
}

// Update is one step of a run, with everything that must be stored in the same transaction.
type Update struct {
	// Run in its new state. When it leaves Queued, its ingest_runs row is written and it is
	// removed from the queue.
	Run Run
	// Partitions that are new or changed, by ID.
	Partitions []Partition
	// Events to append; the ledger numbers them.
	Events []Event
	// Enqueue are follow-ups to add to the queue.
	Enqueue []Run
	// Superseded are the IDs of queued follow-ups to remove because those of Enqueue replace
	// them.
	Superseded []string
}
