// Package run holds the life of a run as values: its states, the transitions
// between them, its partitions and its events. It does no I/O and reads no clock.
package run

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// State is where a run is in its life.
type State string

// The states. Each says who leaves it and what a crash there means.
const (
	// Queued waits in the queue table. The pool's loop takes it, CancelRun ends it.
	// It survives a crash.
	Queued State = "queued"
	// Checking resolves the token, probes, judges and checks the pool's file. A
	// crash ends it as INTERRUPTED and queues one follow-up.
	Checking State = "checking"
	// Running has partitions planned or at the worker. A crash as in Checking.
	Running State = "running"
	// Paused has nothing at the worker. ResumePool sends it back to Checking. It
	// survives a crash.
	Paused State = "paused"
	// Cancelling waits for the worker to confirm that it stopped. A crash ends it as
	// INTERRUPTED without a follow-up, because a user asked for the end.
	Cancelling State = "cancelling"
	// Finished is over.
	Finished State = "finished"
)

// Outcome is how a finished run ended. Empty before.
type Outcome string

// The outcomes.
const (
	// Succeeded settled every planned partition.
	Succeeded Outcome = "succeeded"
	// Partial left partitions or modules not complete.
	Partial Outcome = "partial"
	// Blocked was refused by a check; nothing was written.
	Blocked Outcome = "blocked"
	// Failed settled none of its planned partitions, or was interrupted.
	Failed Outcome = "failed"
	// Cancelled was stopped by a user.
	Cancelled Outcome = "cancelled"
	// Unchanged had nothing to do.
	Unchanged Outcome = "unchanged"
)

// Mode is what a run is for; its text stands in ingest_runs.mode.
type Mode string

// The modes.
const (
	// Daily is the evening's run, its catch-ups and follow-ups.
	Daily Mode = "daily"
	// Bootstrap is the first fill of a pool that holds nothing.
	Bootstrap Mode = "bootstrap"
	// Manual brings the pool up to date because a user asked.
	Manual Mode = "manual"
	// OnDemand has dates or modules of its own.
	OnDemand Mode = "on_demand"
)

// Source is what asked for a run; its text stands in meta_json.source.
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

// Stage is the check that stopped a blocked run; its text stands in
// meta_json.blockedStage. Empty when none did.
type Stage string

// The stages in their order.
const (
	// StageToken found no token.
	StageToken Stage = "token"
	// StagePreflight could not carry the preflight out.
	StagePreflight Stage = "preflight"
	// StageReadiness reached the verdict RETRY or BLOCKED.
	StageReadiness Stage = "readiness"
	// StageAnalysisInit found the pool's file unfit. It is used for both pools.
	StageAnalysisInit Stage = "analysis_init"
)

// Request is what a run was asked to do.
type Request struct {
	// Start and End bound the trade dates, inclusive. NoDate means from the first
	// gap, and to the last due date.
	Start, End market.Date
	// Modules to ingest. Empty means every enabled module of the pool.
	Modules []string
	// Refetch plans what is held complete as well.
	Refetch bool
}

// Run is one attempt to bring one pool up to date.
type Run struct {
	// ID is server-assigned and sorts by creation time.
	ID string
	// Pool to bring up to date.
	Pool market.Pool
	// Mode is what it is for.
	Mode Mode
	// Source is what asked for it.
	Source Source
	// SlotID is the slot it answers, "YYYY-MM-DD.pool". Empty when none.
	SlotID string
	// TriggerID is equal for the runs of one trigger, so that universe can wait for
	// its targets.
	TriggerID string
	// Follows is the earlier run that it follows up. Empty when none.
	Follows string
	// Attempt counts the follow-ups in a row that a transient failure or a spent quota
	// asked for, 0 for the first run. It starts again once the provider answered.
	Attempt int
	// Request is what it was asked to do.
	Request Request
	// State is where it is.
	State State
	// Outcome is how it ended.
	Outcome Outcome
	// Stage is the check that stopped it.
	Stage Stage
	// PreflightID of the preflight that let it in or kept it out.
	PreflightID string
	// Issues are what kept it from succeeding, and warnings, worst first.
	Issues []fault.Issue
	// Partitions planned, and how many of them are settled.
	Partitions, Completed int
	// Rows committed; New, Changed and Gone against what was held before.
	Rows, New, Changed, Gone int64
	// Symbols is the number of symbols concerned.
	Symbols int64
	// Calls spent at the provider.
	Calls int
	// AsOf is the last trade date it covers; NoDate before it is planned. Where it did
	// not succeed, the last one of which rows came, or else the last it asked for.
	AsOf market.Date
	// CreatedAt, StartedAt and FinishedAt are zero until they happen.
	CreatedAt, StartedAt, FinishedAt time.Time
	// NotBefore is the earliest start of a follow-up. Zero means at once.
	NotBefore time.Time
	// RetryAt is when a follow-up is due. Zero when there is none.
	RetryAt time.Time
	// Note says who paused, resumed or cancelled it last, and why.
	Note string
	// Meta holds the further keys of meta_json that design names: selectedDomains,
	// selectedModules, blockedModules, tokenSourcesByDomain, universeCounts,
	// preflightUpdatedAt.
	Meta Meta
}

// Meta is what a run keeps for people's SQL beside its columns.
type Meta struct {
	// SelectedDomains and SelectedModules were chosen by configuration.
	SelectedDomains []string `json:"selectedDomains,omitempty"`
	// SelectedModules are the modules the pool selected.
	SelectedModules []string `json:"selectedModules,omitempty"`
	// BlockedModules were blocked by the gate.
	BlockedModules []string `json:"blockedModules,omitempty"`
	// TokenSources says where each domain's token came from.
	TokenSources map[string]string `json:"tokenSourcesByDomain,omitempty"`
	// UniverseCounts are rows committed per dataset; universe only.
	UniverseCounts map[string]int64 `json:"universeCounts,omitempty"`
	// Revised sums up the values that the run changed or removed; nil when there are
	// none.
	Revised *Revised `json:"revised,omitempty"`
	// PreflightUpdatedAt is the newest probe used, Unix ms; 0 when none.
	PreflightUpdatedAt int64 `json:"preflightUpdatedAt,omitempty"`
}

// PartitionState is where a partition is.
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
	// PartitionFailed was given up, or its answer is not complete.
	PartitionFailed PartitionState = "failed"
	// PartitionCancelled was not done because its run ended.
	PartitionCancelled PartitionState = "cancelled"
)

// Partition is the unit of a run.
type Partition struct {
	// ID names it within its pool.
	ID string
	// Ordinal is its place in the plan, from 0.
	Ordinal int
	// Dataset and Module it belongs to.
	Dataset, Module string
	// Start and End bound its trade dates; NoDate for a snapshot.
	Start, End market.Date
	// Symbols asked for. Empty means all.
	Symbols []string
	// Reference is true for calendar and lists.
	Reference bool
	// Repeat is true where it is held complete and fetched once more. Recheck is true
	// where that is an old date of the setting RecheckDays; it never counts against the
	// run's outcome.
	Repeat, Recheck bool
	// State is where it is.
	State PartitionState
	// Verdict of the last answer. Empty before.
	Verdict market.Verdict
	// Attempts is how often it was dispatched.
	Attempts int
	// Rows committed and called for; New, Changed and Gone against before.
	Rows, Expected, New, Changed, Gone int64
	// Revised sums up the values that it changed or removed; nil when there are none.
	Revised *Revised
	// Symbols in the rows committed.
	SymbolCount int64
	// Calls spent; before the first dispatch the estimate.
	Calls int
	// RetryAt is when it is tried again, while waiting.
	RetryAt time.Time
	// Phases of the last dispatch. Nil unless that committed, and where an earlier
	// release did not measure them.
	Phases *Phases `json:",omitempty"`
	// Issues of the last attempt.
	Issues []fault.Issue
}

// Phases are how long the worker spent on each phase of a partition, in ms.
type Phases struct {
	// Wait is the time before its turn and for the provider's limits, Fetch that of the
	// calls, Check that of checking and judging, and Commit that of writing.
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
	// Planned tells that partitions were added.
	Planned *Planned `json:"planned,omitempty"`
	// Partition is a partition as it became.
	Partition *Partition `json:"partition,omitempty"`
	// Finished is the run as it ended; the last event.
	Finished *Run `json:"finished,omitempty"`
}

// StateChanged is a transition of a run.
type StateChanged struct {
	// From and To are the states left and entered.
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
	// Message says what happened.
	Message string
	// Issues found.
	Issues []fault.Issue
}

// Planned tells that partitions were added to a run.
type Planned struct {
	// Partitions added, and the calls they are expected to spend.
	Partitions, Calls int
	// LastTradeDate planned; NoDate for references.
	LastTradeDate market.Date
}

// Update is one step of a run with everything that must be stored with it, in one
// transaction.
type Update struct {
	// Run as it becomes. Leaving Queued writes its ingest_runs row and removes it
	// from the queue.
	Run Run
	// Partitions that are new or changed, by ID.
	Partitions []Partition
	// Events to append; the ledger numbers them.
	Events []Event
	// Enqueue are follow-ups to add to the queue.
	Enqueue []Run
	// Superseded are the IDs of queued follow-ups to remove, which those of Enqueue
	// make needless.
	Superseded []string
}
