package app

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/afterbell/afterbell/services/ingestworker/internal/config"
	"github.com/afterbell/afterbell/services/ingestworker/internal/vault"
	"github.com/afterbell/afterbell/services/internal/program"
)

// gcPercent lets garbage grow to half of the live heap. Most of the heap is responses in
// progress; the default of 100 would cost about 40 MB and save almost no time.
const gcPercent = 50

// Main is the program: it reads flags and the environment, serves until SIGINT or SIGTERM,
// and returns the exit code. An error that stops it is written to errout in one line.
func Main(ctx context.Context, args []string, env func(string) string, out, errout io.Writer) int {
	cfg, err := config.Parse(args, env, out)
	if errors.Is(err, flag.ErrHelp) {
		return program.ExitOK
	}
	if err != nil {
		return program.Stopped(errout, Service, err)
	}
	if env("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log := cfg.Logger(out)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a, err := New(cfg, Secrets{Token: vault.NewToken(env("AFTERBELL_TUSHARE_TOKEN")), TokenFile: env("AFTERBELL_TUSHARE_TOKEN_FILE"),
		VaultKey: vault.NewToken(env("AFTERBELL_VAULT_KEY")), VaultKeyFile: env("AFTERBELL_VAULT_KEY_FILE")}, log)
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
