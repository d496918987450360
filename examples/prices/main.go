// Command prices shows how a Go program reads afterbell: with --run it starts a run and
// follows it, with --wait it waits until the evening of a pool is complete, and it prints
// the forward adjusted closes of some symbols; with --complete only if nothing is missing.
//
//	go run ./examples/prices --symbols 600519.SH,510300.SH --from 2026-11-02
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	afterbell "github.com/afterbell/afterbell/clients/go"
	"github.com/afterbell/afterbell/clients/go/rows"
	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

func main() {
	addr := flag.String("orchestrator", afterbell.DefaultAddr, "`host:port` of the orchestrator's gRPC API")
	symbols := flag.String("symbols", "600519.SH,510300.SH", "symbols, separated by commas")
	from := flag.String("from", "", "first `date`, YYYY-MM-DD; empty means the first stored one")
	fill := flag.Bool("run", false, "start a run first, and follow it")
	wait := flag.Duration("wait", 0, "wait up to this long until the evening is complete")
	complete := flag.Bool("complete", false, "print nothing if something is missing, for example a symbol that no list has")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := afterbell.Dial(*addr)
	if err == nil {
		q := &rows.Query{Table: "daily_prices", Symbols: strings.Split(*symbols, ","), StartDate: *from, Adjust: marketv1.Adjustment_ADJUSTMENT_FORWARD}
		if *complete {
			q.Require = marketv1.Requirement_REQUIREMENT_COMPLETE
		}
		err = run(ctx, c, os.Stdout, q, *fill, *wait)
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "prices:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *afterbell.Client, out io.Writer, q *rows.Query, fill bool, wait time.Duration) error {
	if fill {
		if err := follow(ctx, c, out); err != nil {
			return err
		}
	}
	if wait > 0 {
		waiting, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if _, err := c.WaitEvening(waiting, afterbell.EveningRequest{Pool: marketv1.Pool_POOL_UNIVERSE}, nil); err != nil {
			return err
		}
	}
	return prices(ctx, c, out, q)
}

// follow starts a run of the universe and prints its outcome. An interrupted stream, for
// example when the orchestrator restarts, is resumed automatically.
func follow(ctx context.Context, c *afterbell.Client, out io.Writer) error {
	created, err := c.Runs.CreateRun(ctx, &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{marketv1.Pool_POOL_UNIVERSE}})
	if err != nil {
		return err
	}
	for event, err := range c.Events(ctx, created.GetRuns()[0].GetRunId(), 0) {
		if err != nil {
			return err
		}
		if run := event.GetFinished(); run != nil {
			fmt.Fprintf(out, "run %s: %s\n", run.GetRunId(), run.GetOutcome())
		}
	}
	return nil
}

// price is the part of a row that is printed.
type price struct {
	Symbol string    `afterbell:"symbol"`
	Date   time.Time `afterbell:"trade_date"`
	Close  *float64  `afterbell:"close"` // nil if it is unknown
}

func prices(ctx context.Context, c *afterbell.Client, out io.Writer, q *rows.Query) error {
	for p, err := range rows.Of[price](ctx, c, q) {
		switch {
		case errors.Is(err, afterbell.ErrNotFound):
			return errors.New("nothing is published yet; start a run with --run")
		case afterbell.Is(err, faultv1.Reason_REASON_DATA_INCOMPLETE):
			return fmt.Errorf("not complete: %w", err)
		case err != nil:
			return err
		}
		if p.Close == nil {
			fmt.Fprintf(out, "%s %s unknown\n", p.Symbol, p.Date.Format(time.DateOnly))
			continue
		}
		fmt.Fprintf(out, "%s %s %.4f\n", p.Symbol, p.Date.Format(time.DateOnly), *p.Close)
	}
	return nil
}
