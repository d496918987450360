// Command afterbell asks and steers the orchestrator over its public API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/afterbell/afterbell/services/cli/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command.Main(ctx, os.Args[1:], command.System())
	stop()
	os.Exit(code)
}
