// Command ingest-worker fetches from the provider and keeps both pools, when the
// orchestrator tells it to.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/afterbell/afterbell/services/ingestworker/internal/app"
)

// gcPercent is how much the heap may grow between two collections, unless GOGC says
// otherwise. Most of it is rows on their way, which are garbage within a second: half
// of Go's own setting costs little CPU time and lowers the peak by a tenth.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(app.Main(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}
