package app

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/afterbell/afterbell/services/internal/program"
	"github.com/afterbell/afterbell/services/orchestrator/internal/config"
)

// Main is the program: "keys" creates and revokes keys while nothing serves; otherwise it
// reads flags and the environment, serves until SIGINT or SIGTERM, and returns the exit
// code. Logs go to out; an error that stops it is written to errout in one line.
func Main(ctx context.Context, args []string, env func(string) string, out, errout io.Writer) int {
	if len(args) > 0 && args[0] == "keys" {
		return keysMain(ctx, args[1:], env, out, errout)
	}
	cfg, err := config.Parse(args, env, out)
	if errors.Is(err, flag.ErrHelp) {
		return program.ExitOK
	}
	if err != nil {
		return program.Stopped(errout, Service, err)
	}
	cfg.LedgerKey, cfg.LedgerKeyFile = env("AFTERBELL_LEDGER_KEY"), env("AFTERBELL_LEDGER_KEY_FILE")
	log, err := cfg.Logger(out)
	if err != nil {
		return program.Stopped(errout, Service, err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a, err := New(ctx, cfg, log)
	if err != nil {
		return program.Stopped(errout, Service, err)
	}
	err = a.Run(ctx)
	log.Info("stopping", "service", Service)
	if err = errors.Join(err, a.Close()); err != nil {
		return program.Stopped(errout, Service, err)
	}
	log.Info("stopped", "service", Service)
	return program.ExitOK
}
