package dispatch

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Ledger is what the dispatcher keeps and reads. What does not exist is NOT_FOUND.
type Ledger interface {
	Enqueue(ctx context.Context, runs []run.Run, req *run.CreateRecord) error
	RunsByRequestID(ctx context.Context, requestID string) (hash string, runs []run.Run, err error)
	// Save stores an update in one transaction and returns its events numbered.
	Save(ctx context.Context, u run.Update) ([]run.Event, error)
	Queue(ctx context.Context, pool market.Pool) ([]run.Run, error)
	// RepairQueue frees the queue of what a clock that was ahead left there, and says how
	// many follow-ups of days to come were dropped.
	RepairQueue(ctx context.Context, now time.Time) (dropped int, err error)
	// Ahead counts the records stamped after now that nobody was told of, and counts
	// them as told.
	Ahead(ctx context.Context, now time.Time) (count int, latest time.Time, err error)
	Run(ctx context.Context, id string) (run.Run, error)
	Unfinished(ctx context.Context) ([]run.Run, error)
	LastFinished(ctx context.Context, pool market.Pool) (run.Run, bool, error)
	DeleteRun(ctx context.Context, id string) error
	CancelQueued(ctx context.Context, id, note string, at time.Time) (run.Run, error)
	Partitions(ctx context.Context, runID string, offset, limit int) ([]run.Partition, error)
	Events(ctx context.Context, runID string, after int64, limit int) ([]run.Event, error)
	PauseState(ctx context.Context, pool market.Pool) (run.PauseState, error)
	SetPauseState(ctx context.Context, pool market.Pool, h run.PauseState) error
	// NextEpoch is higher than any it ever returned.
	NextEpoch(ctx context.Context, now time.Time) (int64, error)
	SaveCalendar(ctx context.Context, c slot.Calendar) error
	Calendar(ctx context.Context) (slot.Calendar, error)
	Settings(ctx context.Context) (settings.Settings, error)
	Schedule(ctx context.Context) (slot.Schedule, error)
	Targets(ctx context.Context) ([]string, error)
}

// Preflighter checks pools; *preflight.Runner is one.
type Preflighter interface {
	// Recover ends preflights that a crash left running.
	Recover(ctx context.Context) error
	// Refresh takes over what the worker tells of itself, and fails with
	// WORKER_UNREACHABLE when it does not answer for Timing.WorkerWait.
	Refresh(ctx context.Context) error
	// Facts are what verdicts are made from, by the ledger's copies.
	Facts(ctx context.Context, requested []string) (readiness.Facts, error)
	// Run probes and judges, and emits each step.
	Run(ctx context.Context, opt preflight.Options, emit func(preflight.Event) error) (readiness.Preflight, error)
}

// Worker is what the dispatcher asks of the ingest-worker. Every error is a
// fault.Error; a worker that is unreachable is WORKER_UNREACHABLE.
type Worker interface {
	// CheckStore opens a pool's file for writing and answers with what is wrong.
	CheckStore(ctx context.Context, pool market.Pool) (StoreCheck, error)
	// PlanPartitions answers what would make a pool complete.
	PlanPartitions(ctx context.Context, req PlanRequest) (WorkPlan, error)
	// IngestPartition ingests one partition and returns when nothing writes any
	// more, or ctx ended. progress is called from one goroutine for every sign of
	// life.
	IngestPartition(ctx context.Context, job Job, progress func(Progress)) (Result, error)
	// ActivePartitions are at work at this moment for a run; empty means all runs.
	ActivePartitions(ctx context.Context, runID string) ([]Active, error)
	// VerifyPartitions reads partitions again from the pool's file.
	VerifyPartitions(ctx context.Context, pool market.Pool, partitions []run.Partition) ([]Check, error)
	// Calendar is the calendar that the worker holds.
	Calendar(ctx context.Context) (slot.Calendar, error)
}

// StoreCheck is a pool's file as the worker found it.
type StoreCheck struct {
	// FreeBytes on its volume; 0 when not known. FileBytes is its size.
	FreeBytes, FileBytes int64
	// Issues say what is wrong. Empty means fit for writing.
	Issues []fault.Issue
}

// PlanRequest asks for a plan.
type PlanRequest struct {
	// Pool to complete.
	Pool market.Pool
	// References asks for calendar and lists; otherwise data is planned.
	References bool
	// Modules to complete.
	Modules []string
	// Start and End bound the trade dates; NoDate as in run.Request.
	Start, End market.Date
	// Symbols of the targets list; nil for universe.
	Symbols []string
	// Refetch plans what is held complete as well.
	Refetch bool
	// Estimate plans from weekdays while no calendar is held.
	Estimate bool
	// RecheckDays is how many old days are fetched again.
	RecheckDays int
}

// WorkPlan is the worker's answer to a PlanRequest.
type WorkPlan struct {
	// Partitions, pending, in the order in which they should be ingested. Calls
	// holds the estimate.
	Partitions []run.Partition
	// Issues are warnings about the plan.
	Issues []fault.Issue
	// LastTradeDate due for any dataset asked for; NoDate for references.
	LastTradeDate market.Date
	// Duration the calls are expected to take.
	Duration time.Duration
}

// Job is one dispatch of a partition.
type Job struct {
	// RunID on whose behalf.
	RunID string
	// Pool to write.
	Pool market.Pool
	// Partition to ingest, as planned.
	Partition run.Partition
	// Epoch, Unix ms, higher than that of any dispatch before.
	Epoch int64
}

// Progress is a sign of life of a partition.
type Progress struct {
	// Stage is "queued", "extracting", "normalizing" or "committing".
	Stage string
	// Rows received and Calls spent so far.
	Rows int64
	// Calls spent so far.
	Calls int
	// WaitingAPI is the API whose limit is waited for; empty when not waiting.
	WaitingAPI string
	// WaitUntil is when that wait ends.
	WaitUntil time.Time
}

// Result is how a partition ended at the worker.
type Result struct {
	// Committed is false when nothing was written.
	Committed bool
	// Verdict of the answer. Empty when nothing was committed.
	Verdict market.Verdict
	// Rows held and called for; New, Changed and Gone against before.
	Rows, Expected, New, Changed, Gone int64
	// Revised sums up the values that were changed or taken away; nil for none.
	Revised *run.Revised
	// Symbols in the rows committed.
	Symbols int64
	// Calls spent.
	Calls int
	// Phases of the dispatch; nil where the worker did not measure them.
	Phases *run.Phases
	// Issues found, worst first.
	Issues []fault.Issue
}

// Active is a partition in the worker's hand.
type Active struct {
	// RunID on whose behalf, and the partition.
	RunID, PartitionID string
	// Epoch of its dispatch.
	Epoch int64
}

// Check is what the pool's file holds of a partition.
type Check struct {
	// PartitionID as asked.
	PartitionID string
	// Rows in the file, of which Duplicates share their key with another; Coverage
	// is what coverage claims.
	Rows, Duplicates, Coverage int64
	// Verdict that coverage claims.
	Verdict market.Verdict
	// RunID wrote the coverage last.
	RunID string
	// Altered is true where the rows are not those that were committed.
	Altered bool
}
