package ingest

import (
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// Dump takes all that a pool holds, in the order of its functions. An error of a
// function ends the dump.
type Dump struct {
	// Record takes the coverage, one record at a time.
	Record func(coverage.Record) error
	// Rows takes rows of a dataset, some at a time. The batch is good until it returns.
	Rows func(d *catalog.Dataset, b *table.Batch) error
	// Reject takes a row that failed a check.
	Reject func(coverage.Reject) error
	// Revision takes a value that the provider changed; they come in the order of their
	// ids.
	Revision func(Revision) error
}
