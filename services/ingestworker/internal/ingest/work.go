package ingest

import (
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Work is one dispatch of a partition.
type Work struct {
	// Partition to ingest.
	Partition coverage.Partition
	// RunID of the run. Stored with the coverage.
	RunID string
	// Epoch of the dispatch, Unix ms, strictly increasing over all dispatches.
	Epoch int64
}

// Stage of a partition.
type Stage int

// The stages, in their order.
const (
	// Extracting: calling the provider, or waiting for its limit.
	Extracting Stage = iota + 1
	// Normalizing: checking and judging rows, or waiting until that date's daily is judged.
	Normalizing
	// Committing: writing rows and coverage in one transaction.
	Committing
)

// Step is the progress of a partition.
type Step struct {
	// Stage it is in.
	Stage Stage
	// Rows received and Calls spent so far.
	Rows, Calls int
	// WaitAPI is the API whose limit is waited for, WaitUntil the end of the wait. Zero when
	// not waiting.
	WaitAPI   string
	WaitUntil time.Time
}

// Result is the result of ingesting a partition.
type Result struct {
	// Partition that was ingested.
	Partition coverage.Partition
	// Held summarizes what the pool now has of the partition. Its Key has no date if the range
	// is longer than a day, and never a symbol.
	Held coverage.Record
	// Found is the verdict on the response itself. It differs from that of Held if a worse
	// response left better rows in place.
	Found coverage.Verdict
	// Symbols is how many different symbols the committed rows have.
	Symbols int64
	// Calls spent at the provider.
	Calls int
	// Repeated rows came again in overlapping pages and were left out.
	Repeated int
	// Revised summarizes the stored values that the commit changed or removed.
	Revised Revised
	// Phases are how long each of them took.
	Phases Phases
	// Issues, worst first. If there are only warnings, nothing is missing.
	Issues []fault.Issue
}

// Phases are how long a dispatch spent in each phase.
type Phases struct {
	// Wait is the time in the queue, and waiting for the provider's limits.
	Wait time.Duration
	// Fetch is the time of the calls, Check that of checking and judging, and Commit that of
	// writing, including the wait for its group.
	Fetch, Check, Commit time.Duration
}

// stopwatch assigns the elapsed time to phases.
type stopwatch struct {
	Phases
	since time.Time
	phase *time.Duration // the time since is its
}

// turn begins a phase and returns the previous one.
func (w *stopwatch) turn(phase *time.Duration) (before *time.Duration) {
	at := time.Now()
	if w.phase != nil {
		*w.phase += at.Sub(w.since)
	}
	before, w.since, w.phase = w.phase, at, phase
	return before
}

// Active is a partition in progress.
type Active struct {
	// Work that is being done.
	Work Work
	// Since is when it was dispatched.
	Since time.Time
}

// Check compares the coverage with the pool's file.
type Check struct {
	// PartitionID that was counted.
	PartitionID string
	// Rows is their number in the file, and Duplicates the number of rows that share a key.
	Rows, Duplicates int64
	// Claimed is the number of rows by the coverage, with the worst Verdict and the run that
	// wrote last.
	Claimed int64
	Verdict coverage.Verdict
	RunID   string
	// Altered is true if the rows are not the ones that were committed: one is missing or
	// added, or a value differs.
	Altered bool
}

func (r *Result) warn(i ...fault.Issue) { r.Issues = append(r.Issues, i...) }

func dateText(p coverage.Partition) string {
	if p.Start == market.NoDate {
		return ""
	}
	if p.Start == p.End {
		return p.Start.String()
	}
	return p.Start.String() + ".." + p.End.String()
}
