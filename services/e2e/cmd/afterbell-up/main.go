// Command afterbell-up starts the simulator (or uses the real provider), the ingest-worker and
// the orchestrator on loopback, brings both pools up to date while it shows progress, and serves
// until it is interrupted. `make run` runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "afterbell-up:", err)
		os.Exit(1)
	}
}
