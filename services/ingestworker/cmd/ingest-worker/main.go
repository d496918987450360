// Command ingest-worker fetches from the provider and keeps both pools, when the
// orchestrator tells it to.
package main

import (
	"context"
	"os"

	"github.com/afterbell/afterbell/services/ingestworker/internal/app"
)

func main() {
	os.Exit(app.Main(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}
