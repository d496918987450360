package worker

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// CoverageQuery selects coverage.
type CoverageQuery struct {
	// Pool to read.
	Pool market.Pool
	// Modules to read. Empty means all of the pool.
	Modules []string
	// Start and End are the first and last trade date. NoDate means the pool's window, and the
	// last due date.
	Start, End market.Date
	// Symbols of the target list; nil for universe.
	Symbols []string
}

// Coverage is what is stored of one dataset and date.
type Coverage struct {
	// Dataset and Module it belongs to.
	Dataset, Module string
	// Date of the rows; NoDate for a snapshot.
	Date market.Date
	// Rows stored and Expected; Expected is 0 if unknown.
	Rows, Expected int64
	// Verdict of the last response.
	Verdict market.Verdict
	// CommittedAt is zero if missing.
	CommittedAt time.Time
	// RunID of the run that committed it. Empty if missing.
	RunID string
	// Filtered rows are left out by rule, Rejected rows failed a check, Unknown rows are
	// stored for symbols that no list has.
	Filtered, Rejected, Unknown int64
	// SameAnswerDays is on how many days the same incomplete response came.
	SameAnswerDays int
	// Issues of the last response.
	Issues []fault.Issue
	// FetchedAgain is true if a run without dates fetches it.
	FetchedAgain bool
}

// Settled reports whether nothing of the day is left to fetch.
func (c Coverage) Settled() bool { return c.Verdict.Settled() }

// AbsentSymbol is an instrument that was listed on a date and has no row.
type AbsentSymbol struct {
	// Symbol and Name of the instrument; Name may be empty.
	Symbol, Name string
	// TradedBefore is whether it has a row on the previous trading day.
	TradedBefore bool
}
