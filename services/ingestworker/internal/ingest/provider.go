package ingest

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// Priority says who gives way when a limit is near.
type Priority int

const (
	// Backfill leaves a reserve of every limit to the others.
	Backfill Priority = iota
	// Normal is the newest dates and the targets pool.
	Normal
	// Probe goes first.
	Probe
)

// Query asks the provider for rows of one dataset.
type Query struct {
	// Dataset asked; its columns are sent as `fields`.
	Dataset *catalog.Dataset
	// Params beside limit and offset: trade_date, ts_code, start_date, …
	Params map[string]string
	// Priority under the limiter.
	Priority Priority
	// MaxRows stops after one call of so many rows, as a probe does. 0 fetches
	// every page.
	MaxRows int
}

// Answer is what the provider has for a Query, every page of it.
type Answer struct {
	// Batch holds the rows of all pages in the order they came, with rows that
	// are equal in every column and came again by overlapping pages left out.
	Batch *table.Batch
	// Calls spent, refusals and repetitions included.
	Calls int
	// Repeated is how many rows came again and were left out.
	Repeated int
	// Bad lists the values that their columns cannot hold, in the order of the
	// rows; their rows are to be rejected with the raw text. Usually nil.
	Bad []table.BadCell
	// Absent are the columns that no reply with rows had. Usually nil. A column that
	// is there without any value is not among them: its cells are null, required or
	// not.
	Absent []Absence
	// Latency is the provider's time over all calls, waiting for quota left out.
	Latency time.Duration
}

// Absence is a column that an answer lacks altogether.
type Absence struct {
	// Column by the provider's name.
	Column string
	// Before is true where earlier answers had it, so that it may come back.
	Before bool
}

// Progress tells where a fetch is. Any field may stay as it was.
type Progress struct {
	// Rows received and Calls spent so far.
	Rows, Calls int
	// WaitAPI names the API whose limit is waited for, and WaitUntil the moment the
	// wait ends. Zero when not waiting.
	WaitAPI   string
	WaitUntil time.Time
}

// Provider fetches rows. The Tushare client implements it.
type Provider interface {
	// Fetch returns every row of the query or fails: with TOKEN_MISSING, TOKEN_INVALID, TOO_MANY_IPS,
	// PERMISSION_DENIED, QUOTA_EXHAUSTED with RetryAt, PROVIDER_UNAVAILABLE,
	// PROVIDER_REFUSED, or MODULE_TEST_FAILED when the replies lack a required
	// field that none had before. A refusal is PROVIDER_UNAVAILABLE, because the
	// provider blames the request for its own failures too; PROVIDER_REFUSED only
	// when a request of a kind that never worked was refused in the same words for an
	// hour. A per-minute limit is waited for and reported through progress
	// (RATE_LIMITED only when the provider goes on refusing after ten such waits); a
	// limit per hour or day is returned at once. When ctx ends, its error is
	// returned as it is. Calls of the Answer is set beside an error too. progress may
	// be nil, and is called from the calling goroutine.
	Fetch(ctx context.Context, q Query, progress func(Progress)) (Answer, error)
}
