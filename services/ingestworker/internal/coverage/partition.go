package coverage

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Partition is the unit that is planned, dispatched, retried and committed as a whole: one
// dataset of one trade date (universe), one snapshot, or one dataset of some symbols over a
// date range (targets).
type Partition struct {
	// ID names the partition within its pool, for example "daily/2026-03-02", "stock_basic" or
	// "daily/2026-01-05..2026-03-02/600519.SH". It is derived from the other fields and equal
	// for equal work.
	ID string
	// Pool of the partition.
	Pool market.Pool
	// Dataset is its name in the catalog.
	Dataset string
	// Start and End are the first and last trade date; both NoDate for a snapshot.
	Start, End market.Date
	// Symbols to fetch. Empty means every symbol (universe).
	Symbols []string
	// Calls is the estimated number of provider calls.
	Calls int
	// Repeat is true if the partition is complete and fetched once more, so that late rows and
	// revisions are seen.
	Repeat bool
	// Recheck is true if it is one of the old days of PlanRequest.Recheck.
	Recheck bool
}

// Reject is a row that failed a check, stored with the reason.
type Reject struct {
	// Key of its partition.
	Key
	// Reason is the check it failed, in a few words: "high < low".
	Reason string
	// Row is the row as JSON, by the provider's column names.
	Row string
	// RejectedAt is when it was rejected.
	RejectedAt time.Time
}
