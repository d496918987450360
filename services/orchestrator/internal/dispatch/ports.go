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

// Ledger stores runs, slots and settings. It returns NOT_FOUND for what does not exist.
type Ledger interface {
	Enqueue(ctx context.Context, runs []run.Run, req *run.CreateRecord) error
	RunsByRequestID(ctx context.Context, requestID string) (hash string, runs []run.Run, err error)
	// Save stores an update in one transaction and returns its events with their numbers.
	Save(ctx context.Context, u run.Update) ([]run.Event, error)
	Queue(ctx context.Context, pool market.Pool) ([]run.Run, error)
	// RepairQueue removes from the queue what a clock that was ahead left there, and returns
	// how many follow-ups of future days it dropped.
	RepairQueue(ctx context.Context, now time.Time) (dropped int, err error)
	// Ahead counts the records with a time after now that have not been reported, and marks
	// them as reported.
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
	// NextEpoch is higher than all that it returned before.
	NextEpoch(ctx context.Context, now time.Time) (int64, error)
	SaveCalendar(ctx context.Context, c slot.Calendar) error
	Calendar(ctx context.Context) (slot.Calendar, error)
	Settings(ctx context.Context) (settings.Settings, error)
	Schedule(ctx context.Context) (slot.Schedule, error)
	Targets(ctx context.Context) ([]string, error)
}

// Preflighter checks pools; *preflight.Runner implements it.
type Preflighter interface {
	// Recover ends preflights that a crash left running.
	Recover(ctx context.Context) error
	// Refresh reads the worker's catalog and state. It returns WORKER_UNREACHABLE if the
	// worker does not answer for Timing.WorkerWait.
	Refresh(ctx context.Context) error
	// Facts are the inputs of verdicts, from the ledger's copies.
	Facts(ctx context.Context, requested []string) (readiness.Facts, error)
	// Run runs the probes, decides, and emits each step.
	Run(ctx context.Context, opt preflight.Options, emit func(preflight.Event) error) (readiness.Preflight, error)
}

// Worker is the ingest-worker. Every error is a fault.Error; WORKER_UNREACHABLE if the
// worker cannot be reached.
type Worker interface {
	// CheckStore opens a pool's file for writing and returns what is wrong.
	CheckStore(ctx context.Context, pool market.Pool) (StoreCheck, error)
	// PlanPartitions returns the partitions that would make a pool complete.
	PlanPartitions(ctx context.Context, req PlanRequest) (WorkPlan, error)
	// IngestPartition ingests one partition. It returns when no write is in progress any more,
	// or ctx ended. progress is called from one goroutine for every progress message.
	IngestPartition(ctx context.Context, job Job, progress func(Progress)) (Result, error)
	// ActivePartitions are in progress for a run; empty means all runs.
	ActivePartitions(ctx context.Context, runID string) ([]Active, error)
	// VerifyPartitions reads partitions again from the pool's file.
	VerifyPartitions(ctx context.Context, pool market.Pool, partitions []run.Partition) ([]Check, error)
	// Calendar is the calendar that the worker has stored.
	Calendar(ctx context.Context) (slot.Calendar, error)
}

// StoreCheck is the state of a pool's file.
type StoreCheck struct {
	// FreeBytes on its volume; 0 when not known. FileBytes is its size.
	FreeBytes, FileBytes int64
	// Issues say what is wrong. Empty means that it can be written.
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
	// Refetch also plans what is complete.
	Refetch bool
	// Estimate plans from weekdays if no calendar is stored.
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
	// LastTradeDate that is due for any requested dataset; NoDate for references.
	LastTradeDate market.Date
	// Duration the calls are expected to take.
	Duration time.Duration
}

// Job is one dispatch of a partition.
type Job struct {
	// RunID of the run.
	RunID string
	// Pool to write.
	Pool market.Pool
	// Partition to ingest, as planned.
	Partition run.Partition
	// Epoch, Unix ms, higher than that of any dispatch before.
	Epoch int64
}

// Progress is a progress message of a partition.
type Progress struct {
	// Stage is "queued", "extracting", "normalizing" or "committing".
	Stage string
	// Rows received so far.
	Rows int64
	// Calls spent so far.
	Calls int
	// WaitingAPI is the API whose limit the partition waits for; empty when not waiting.
	WaitingAPI string
	// WaitUntil is when that wait ends.
	WaitUntil time.Time
}

// Result is the result of a partition from the worker.
type Result struct {
	// Committed is false when nothing was written.
	Committed bool
	// Verdict of the response. Empty when nothing was committed.
	Verdict market.Verdict
	// Rows stored and expected; New, Changed and Gone compared with the rows stored before.
	Rows, Expected, New, Changed, Gone int64
	// Revised summarizes the values that were changed or removed; nil for none.
	Revised *run.Revised
	// Symbols in the rows committed.
	Symbols int64
	// Calls spent.
	Calls int
	// Phases of the dispatch; nil if the worker did not measure them.
	Phases *run.Phases
	// Issues found, worst first.
	Issues []fault.Issue
}

// Active is a partition in progress at the worker.
type Active struct {
	// RunID of its run, and the partition.
	RunID, PartitionID string
	// Epoch of its dispatch.
	Epoch int64
}

// Check is what the pool's file has of a partition.
type Check struct {
	// PartitionID of the request.
	PartitionID string
	// Rows in the file. Duplicates is the number of rows that share their key with another
	// row; Coverage is the number by the coverage.
	Rows, Duplicates, Coverage int64
	// Verdict in the coverage.
	Verdict market.Verdict
	// RunID of the run that wrote the coverage last.
	RunID string
	// Altered is true if the rows are not the ones that were committed.
	Altered bool
}
