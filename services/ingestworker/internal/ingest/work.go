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
	// RunID on whose behalf. Recorded with the coverage.
	RunID string
	// Epoch of the dispatch, Unix ms, strictly increasing over all dispatches.
	Epoch int64
}

// Stage is where a partition is.
type Stage int

// The stages, in their order.
const (
	// Extracting is calling the provider, or waiting for its limit.
	Extracting Stage = iota + 1
	// Normalizing is checking and judging rows, or waiting for that date's daily to
	// be judged first.
	Normalizing
	// Committing is writing rows and coverage in one transaction.
	Committing
)

// Step is the progress of a partition.
type Step struct {
	// Stage it is in.
	Stage Stage
	// Rows received and Calls spent so far.
	Rows, Calls int
	// WaitAPI names the API whose limit is waited for, WaitUntil when the wait
	// ends. Zero when not waiting.
	WaitAPI   string
	WaitUntil time.Time
}

// Result is how ingesting a partition ended.
type Result struct {
	// Partition that was ingested.
	Partition coverage.Partition
	// Held sums up what the pool holds of the partition now. Its Key has no date
	// when the span is longer than a day, and never a symbol.
	Held coverage.Record
	// Found is the verdict on the answer itself, which differs from Held's when a
	// worse answer left better rows in place.
	Found coverage.Verdict
	// Symbols is how many different symbols the rows committed have.
	Symbols int64
	// Calls spent at the provider.
	Calls int
	// Repeated rows came again by overlapping pages and were left out.
	Repeated int
	// Revised sums up the values that were held and that the commit changed or took
	// away.
	Revised Revised
	// Phases are how long each of them took.
	Phases Phases
	// Issues, worst first. Warnings alone mean that nothing is missing.
	Issues []fault.Issue
}

// Phases are how long a dispatch spent in each phase.
type Phases struct {
	// Wait is the time before its turn, and for the provider's limits.
	Wait time.Duration
	// Fetch is the time of the calls, Check that of checking and judging, and Commit
	// that of writing, the wait for its group included.
	Fetch, Check, Commit time.Duration
}

// stopwatch adds the time that passes to one phase after the other.
type stopwatch struct {
	Phases
	since time.Time
	phase *time.Duration // the time since is its
}

// turn begins a phase and returns the one before.
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

// Check compares what coverage claims with what the pool's file holds.
type Check struct {
	// PartitionID that was counted.
	PartitionID string
	// Rows in the file, and Duplicates among them that share a key.
	Rows, Duplicates int64
	// Claimed are the rows that coverage claims, with the worst Verdict and the run
	// that wrote last.
	Claimed int64
	Verdict coverage.Verdict
	RunID   string
	// Altered is true where the rows are not those that were committed: one is
	// missing or added, or a value is another.
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
