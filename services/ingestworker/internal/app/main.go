package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/afterbell/afterbell/services/ingestworker/internal/config"
	"github.com/afterbell/afterbell/services/ingestworker/internal/vault"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// Exit codes of the program.
const (
	exitOK     = 0
	exitFailed = 1
	// exitUsage is for a flag, variable or file that is wrong.
	exitUsage = 2
)

// Main is the program: it reads flags and the environment, serves until SIGINT or
// SIGTERM, and returns the exit code. What stops it is told in one line on errout.
func Main(ctx context.Context, args []string, env func(string) string, out, errout io.Writer) int {
	cfg, err := config.Parse(args, env, out)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return stopped(errout, err)
	}
	log := cfg.Logger(out)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a, err := New(cfg, Secrets{Token: vault.NewToken(env("AFTERBELL_TUSHARE_TOKEN")), TokenFile: env("AFTERBELL_TUSHARE_TOKEN_FILE")}, log)
	if err != nil {
		return stopped(errout, err)
	}
	err = a.Run(ctx)
	log.Info("stopping", "service", Service)
	if err = errors.Join(err, a.Close()); err != nil {
		return stopped(errout, err)
	}
	log.Info("stopped", "service", Service)
	return exitOK
}

func stopped(w io.Writer, err error) int {
	line := strings.ReplaceAll(err.Error(), "\n", "; ")
	if f, ok := fault.As(err); ok {
		line = fmt.Sprintf("%s [%s]", line, f.Reason)
		if f.Reason == fault.InvalidArgument {
			fmt.Fprintln(w, Service+": "+line)
			return exitUsage
		}
	}
	fmt.Fprintln(w, Service+": "+line)
	return exitFailed
}
