package ingest

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// Priority decides which calls yield when a limit is near.
type Priority int

const (
	// Backfill leaves a reserve of every limit to the others.
	Backfill Priority = iota
	// Normal is the newest dates and the targets pool.
	Normal
	// Probe goes first.
	Probe
)

// Query is a request for rows of one dataset.
type Query struct {
	// Dataset to fetch; its columns are sent as `fields`.
	Dataset *catalog.Dataset
	// Params in addition to limit and offset: trade_date, ts_code, start_date, …
	Params map[string]string
	// Priority under the limiter.
	Priority Priority
	// MaxRows stops after one call with so many rows, for a probe. 0 fetches every page.
	MaxRows int
}

// Answer is the provider's response to a Query, with all pages.
type Answer struct {
	// Batch has the rows of all pages in the order of arrival, without identical rows that
	// were repeated by overlapping pages. The caller may release it.
	Batch *table.Batch
	// Calls made, including refusals and retries.
	Calls int
	// Repeated is how many repeated rows were left out.
	Repeated int
	// Bad lists the values that their columns cannot store, in the order of the rows; their
	// rows must be rejected with the raw text. Usually nil.
	Bad []table.BadCell
	// Absent are the columns that no response with rows had. Usually nil. A column that exists
	// without any value is not among them: its cells are null, required or not.
	Absent []Absence
	// Latency is the provider's time over all calls, without waiting for limits.
	Latency time.Duration
}

// Absence is a column that a response does not have at all.
type Absence struct {
	// Column by the provider's name.
	Column string
	// Before is true if earlier responses had it, so that it may come back.
	Before bool
}

// Progress is the progress of a fetch. Any field may be unchanged.
type Progress struct {
	// Rows received and Calls spent so far.
	Rows, Calls int
	// WaitAPI is the API whose limit is waited for, and WaitUntil the end of the wait. Zero
	// when not waiting.
	WaitAPI   string
	WaitUntil time.Time
}

// Provider fetches rows. The Tushare client implements it.
type Provider interface {
	// Fetch returns every row of the query, or an error: TOKEN_MISSING, TOKEN_INVALID,
	// TOO_MANY_IPS, PERMISSION_DENIED, QUOTA_EXHAUSTED with RetryAt, PROVIDER_UNAVAILABLE,
	// PROVIDER_REFUSED, or MODULE_TEST_FAILED if the responses lack a required field that none
	// had before. A refusal is PROVIDER_UNAVAILABLE, because the provider also blames the
	// request for its own failures; it is PROVIDER_REFUSED only if a request of a kind that
	// never worked was refused with the same text for an hour. A limit per minute is waited
	// for and reported through progress (RATE_LIMITED only if the provider still refuses after
	// ten such waits); a limit per hour or day is returned at once. When ctx ends, its error
	// is returned unchanged. Calls of the Answer is also set with an error. progress may be
	// nil, and is called from the calling goroutine.
	Fetch(ctx context.Context, q Query, progress func(Progress)) (Answer, error)
}
