package universe_test

import (
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
)

// BenchmarkSink commits dates of the whole market, all columns, to a new file.
func BenchmarkSink(b *testing.B) {
	for name, dates := range map[string]int{"60dates": 60, "730dates": 730} {
		b.Run(name, func(b *testing.B) { sinktest.Bench(b, harnessWith(universe.Config{}), dates) })
	}
}
