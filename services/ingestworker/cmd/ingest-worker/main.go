// Command ingest-worker fetches from the provider and stores both pools, on request of the
// orchestrator.
package main

import (
	"context"
	"os"

	"github.com/afterbell/afterbell/services/ingestworker/internal/app"
)

func main() {
	os.Exit(app.Main(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}
