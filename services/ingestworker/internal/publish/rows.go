package publish

import (
	"context"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Rows is a pool that is not a DuckDB file.
type Rows interface {
	// Coverage calls yield for every record, see ingest.Sink.
	Coverage(ctx context.Context, datasets []string, start, end market.Date, yield func(coverage.Record) bool) error
	// Dump passes on all data.
	Dump(ctx context.Context, to ingest.Dump) error
	// Exists reports whether the pool has a file.
	Exists() bool
}

// FromRows returns a Source for a pool that is not a DuckDB file. Its copy is built anew
// each time, which is fast enough for a short list. host is that of the provider; memory
// limits DuckDB.
func FromRows(r Rows, host, memory string) Source { return rowSource{r, host, memory} }

type rowSource struct {
	Rows
	host, memory string
}

// Copy implements Source.
func (s rowSource) Copy(ctx context.Context, path string, _ func(bytes int64), yield func(coverage.Record)) error {
	if !s.Exists() {
		return universe.ErrEmpty
	}
	return universe.Build(ctx, path, s.host, universe.ReaderConfig{Memory: s.memory}, func(to ingest.Dump) error {
		write := to.Record
		to.Record = func(r coverage.Record) error {
			yield(r)
			return write(r)
		}
		return s.Dump(ctx, to)
	})
}
