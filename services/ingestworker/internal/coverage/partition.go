package coverage

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Partition is the unit that is planned, dispatched, retried and committed
// whole: one dataset × one trade date (universe), one snapshot, or one dataset ×
// symbols × span of dates (targets).
type Partition struct {
	// ID names the partition within its pool, as in "daily/2026-03-02",
	// "stock_basic", "daily/2026-01-05..2026-03-02/600519.SH". It is derived from
	// the other fields and equal for equal work.
	ID string
	// Pool is where it is stored.
	Pool market.Pool
	// Dataset is its name in the catalog.
	Dataset string
	// Start and End bound the trade dates, inclusive; both NoDate for a snapshot.
	Start, End market.Date
	// Symbols are the targets asked for. Empty means every symbol (universe).
	Symbols []string
	// Calls is how many provider calls it is expected to spend.
	Calls int
	// Repeat is true where the partition is held complete and fetched once more so
	// that late rows and revisions show.
	Repeat bool
	// Recheck is true where that is one of the old days of PlanRequest.Recheck.
	Recheck bool
}

// Reject is a row that failed a check, kept with its reason.
type Reject struct {
	// Key of the partition it came with.
	Key
	// Reason is the check it failed, in a few words: "high < low".
	Reason string
	// Row is the row as JSON, by the provider's column names.
	Row string
	// RejectedAt is when.
	RejectedAt time.Time
}
