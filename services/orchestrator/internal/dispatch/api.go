package dispatch

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// CreateRequest asks for runs, one per pool.
type CreateRequest struct {
	// Pools to update. Empty means both, or those that store the requested modules.
	Pools []market.Pool
	// Mode of the runs. Empty means manual, or on_demand when dates or modules are
	// given.
	Mode run.Mode
	// Source of the runs. Empty means manual.
	Source run.Source
	// Request of the runs. Each run gets the modules that its pool stores.
	Request run.Request
	// RequestID is the caller's own identifier. Empty means none.
	RequestID string
}

// Plan is what a run would do.
type Plan struct {
	// Run as it would be queued; its ID is empty.
	Run run.Run
	// Partitions in the order in which they would be ingested, references first.
	Partitions []run.Partition
	// Calls they are expected to spend.
	Calls int
	// Duration they are expected to take under the limits known.
	Duration time.Duration
	// LastTradeDate planned; NoDate when nothing is due.
	LastTradeDate market.Date
	// Issues are warnings about the plan.
	Issues []fault.Issue
}

// PoolStatus is a pool's state.
type PoolStatus struct {
	// Pool concerned.
	Pool market.Pool
	// Paused is true if the pool is paused.
	Paused bool
	// Note says who paused or resumed it last, and why. Empty if nobody did.
	Note string
	// NotedAt is when it was paused or resumed last. Zero if nobody did.
	NotedAt time.Time
	// Current is the run in progress or paused; nil when there is none.
	Current *run.Run
	// Queued runs in the order in which they start.
	Queued []run.Run
	// Last run that finished; nil when there is none.
	Last *run.Run
}

// Verification compares the partitions of a finished run with the pool's file.
type Verification struct {
	// Checked is the number of partitions read.
	Checked int
	// Differences found. Empty means that the file matches.
	Differences []Difference
}

// Difference is a partition whose rows in the file differ from what was committed.
type Difference struct {
	// PartitionID names it within its pool.
	PartitionID string
	// Rows in the file. Duplicates is the number of rows that share their key with another
	// row.
	Rows, Duplicates int64
	// Coverage is the number of rows by the pool's coverage, Claimed the number by the run.
	Coverage, Claimed int64
	// Altered is true if the rows are not the ones that were committed.
	Altered bool
	// Message says what differs, and which command fetches it again.
	Message string
}
