package worker

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// CoverageQuery asks what a pool holds.
type CoverageQuery struct {
	// Pool to read.
	Pool market.Pool
	// Modules to read. Empty means all that the pool holds.
	Modules []string
	// Start and End bound the trade dates, inclusive. NoDate means the pool's
	// window, and the last due date.
	Start, End market.Date
	// Symbols of the targets list; nil for universe.
	Symbols []string
}

// Coverage is what a pool holds of one dataset and date.
type Coverage struct {
	// Dataset and Module it belongs to.
	Dataset, Module string
	// Date of the rows; NoDate for a snapshot.
	Date market.Date
	// Rows held and Expected; Expected is 0 when not known.
	Rows, Expected int64
	// Verdict of the last answer.
	Verdict market.Verdict
	// CommittedAt is zero when missing.
	CommittedAt time.Time
	// RunID on whose behalf. Empty when missing.
	RunID string
	// Filtered rows are left out by rule, Rejected ones failed a check, Unknown ones
	// are held for symbols that no list knows.
	Filtered, Rejected, Unknown int64
	// SameAnswerDays counts the days on which the same short answer came.
	SameAnswerDays int
	// Issues of the last answer.
	Issues []fault.Issue
	// FetchedAgain tells whether a run without dates fetches it.
	FetchedAgain bool
}

// Settled reports whether the day leaves nothing to fetch.
func (c Coverage) Settled() bool { return c.Verdict.Settled() }

// AbsentSymbol is an instrument that was listed on a date and has no row.
type AbsentSymbol struct {
	// Symbol and Name of the instrument; Name may be empty.
	Symbol, Name string
	// TradedBefore is whether it has a row on the open day before.
	TradedBefore bool
}
