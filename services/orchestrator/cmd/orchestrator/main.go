// Command orchestrator decides when and what is ingested, keeps the ledger of it,
// and serves the public API over gRPC and REST.
package main

import (
	"context"
	"os"

	"github.com/afterbell/afterbell/services/orchestrator/internal/app"
)

func main() {
	os.Exit(app.Main(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}
