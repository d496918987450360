package ingest

import (
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

// Dump receives all that a pool has stored, in the order of its functions. An error of a
// function ends the dump.
type Dump struct {
	// Record gets the coverage, one record at a time.
	Record func(coverage.Record) error
	// Rows gets rows of a dataset, some at a time. The batch is valid until it returns.
	Rows func(d *catalog.Dataset, b *table.Batch) error
	// Reject gets a row that failed a check.
	Reject func(coverage.Reject) error
	// Revision gets a value that the provider changed, in the order of the IDs.
	Revision func(Revision) error
}
