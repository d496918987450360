package dispatch

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// CreateRequest asks for runs, one per pool.
type CreateRequest struct {
	// Pools to bring up to date. Empty means both, or those that can hold the
	// modules asked for.
	Pools []market.Pool
	// Mode of the runs. Empty means manual, or on_demand when dates or modules are
	// given.
	Mode run.Mode
	// Source of the runs. Empty means manual.
	Source run.Source
	// Request is what the runs are to do. Each run keeps the modules that its pool
	// can hold.
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
	// Paused says whether it is held.
	Paused bool
	// Note says who held or released it last, and why; NotedAt when. Empty and zero
	// when nobody did.
	Note string
	// NotedAt is when it was held or released last.
	NotedAt time.Time
	// Current is the run in progress or paused; nil when there is none.
	Current *run.Run
	// Queued runs in the order in which they start.
	Queued []run.Run
	// Last run that finished; nil when there is none.
	Last *run.Run
}

// Verification is a finished run's claims against the pool's file.
type Verification struct {
	// Checked is the number of partitions read.
	Checked int
	// Differences found. Empty means file and claims agree.
	Differences []Difference
}

// Difference is a partition whose rows in the file differ from what is claimed.
type Difference struct {
	// PartitionID names it within its pool.
	PartitionID string
	// Rows in the file, of which Duplicates share their key with another.
	Rows, Duplicates int64
	// Coverage is what the pool's coverage claims, Claimed what the run claims.
	Coverage, Claimed int64
	// Altered is true where the rows are not those that were committed.
	Altered bool
	// Message says what differs, and which command fetches it again.
	Message string
}
