// Command ledger-years writes years of evenings into a new ledger: the first fill of
// both pools, and then each weekday's slots with their runs, partitions, events and
// follow-ups. What reads the ledger is measured on it.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

func main() {
	dir := flag.String("data-dir", "", "`folder` of the new ledger, which must have none")
	years := flag.Int("years", 10, "`number` of years up to yesterday, 1 to 20")
	flag.Parse()
	if err := write(context.Background(), *dir, *years); err != nil {
		fmt.Fprintln(os.Stderr, "ledger-years:", err)
		os.Exit(1)
	}
}

// datasets of a trade date, with their modules and how many rows they have.
var datasets = []struct {
	id, module string
	rows       int64
}{
	{"daily", "stock.market.daily", 5400}, {"daily_basic", "stock.market.daily", 5400}, {"moneyflow", "stock.moneyflow", 5100}, {"fund_daily", "etf.daily_quote", 1400},
}

// firstFill is how far back the first run of a pool reaches, in calendar days.
const firstFill = 1095

func write(ctx context.Context, dir string, years int) (err error) {
	if dir == "" || years < 1 || years > 20 {
		return fmt.Errorf("--data-dir must name a folder, and --years must be from 1 to 20")
	}
	path := filepath.Join(dir, ledger.FileName)
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s exists; name a folder without a ledger", path)
	}
	store, err := ledger.Open(ctx, ledger.Config{Path: path, Logger: logging.Discard()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	yesterday := market.DateOf(time.Now()) - 1
	first := market.DateOf(yesterday.Time().AddDate(-years, 0, 0))
	runs := 0
	for _, pool := range market.Pools() {
		for d := first; d <= yesterday; d++ {
			if d.Weekend() {
				continue
			}
			from := d
			if d < first+5 && runs < 2 {
				from = d - firstFill
			}
			n, err := evening(ctx, store, pool, from, d)
			if err != nil {
				return fmt.Errorf("%s %s: %w", pool, d, err)
			}
			runs += n
		}
	}
	fmt.Printf("%d runs of %d years in %s\n", runs, years, path)
	return nil
}

// evening writes the run of a day's slot for the dates from to d. On some evenings the
// money flow comes a day late, and a follow-up run fetches it.
func evening(ctx context.Context, store *ledger.Store, pool market.Pool, from, d market.Date) (runs int, err error) {
	due := d.At(19, 30, market.Shanghai)
	late := d%37 == 0
	scheduled := run.Run{
		ID: idAt(due), Pool: pool, Mode: run.Daily, Source: run.SourceSchedule, SlotID: slot.ID(d, pool), TriggerID: idAt(due), CreatedAt: due, State: run.Queued,
		Request: run.Request{Start: market.NoDate, End: market.NoDate}, AsOf: market.NoDate,
	}
	if err := save(ctx, store, scheduled, from, d, late); err != nil {
		return 0, err
	}
	fired := slot.Slot{ID: scheduled.SlotID, Pool: pool, Date: d, DueAt: due, State: slot.Fired, DecidedAt: due, RunID: scheduled.ID}
	if err := store.Settle(ctx, []slot.Slot{fired}, nil); err != nil || !late {
		return 1, err
	}
	follow := scheduled
	follow.ID, follow.Source, follow.SlotID, follow.Follows, follow.CreatedAt = idAt(due.Add(12*time.Hour)), run.SourceAuto, "", scheduled.ID, due.Add(12*time.Hour)
	return 2, save(ctx, store, follow, d, d, false)
}

// save stores a run as it went, in one step.
func save(ctx context.Context, store *ledger.Store, r run.Run, from, to market.Date, late bool) error {
	at := r.CreatedAt.Add(2 * time.Second)
	u := run.Update{Partitions: make([]run.Partition, 0, int(to-from+1)*len(datasets))} // never moved: events point into it
	move := func(next run.Run, e run.Event, err error) error {
		r = next
		u.Events = append(u.Events, e)
		return err
	}
	if err := move(run.Take(r, r.CreatedAt)); err != nil {
		return err
	}
	if err := move(run.Begin(r, at)); err != nil {
		return err
	}
	for d := from; d <= to; d++ {
		if d.Weekend() {
			continue
		}
		for _, ds := range datasets {
			p := run.Partition{
				ID: ds.id + "/" + d.String(), Ordinal: len(u.Partitions), Dataset: ds.id, Module: ds.module, Start: d, End: d, State: run.PartitionRunning, Attempts: 1,
			}
			running := p
			u.Events = append(u.Events, run.Event{Time: at, Partition: &running})
			p.State, p.Verdict, p.Rows, p.Expected, p.New, p.SymbolCount, p.Calls = run.PartitionCompleted, "complete", ds.rows, ds.rows, ds.rows, ds.rows, 1
			p.Phases = &run.Phases{Wait: 5, Fetch: 700 + int64(d%9)*30, Check: 40, Commit: 60}
			if late && d == to && ds.id == "moneyflow" {
				p.State, p.Verdict, p.Rows, p.New = run.PartitionFailed, "not_published", 0, 0
				p.Issues = []fault.Issue{fault.NewIssue(fault.NotPublished, "moneyflow of "+d.String()+" is not published yet.", "dataset", ds.id, "trade_date", d.String())}
			}
			u.Partitions = append(u.Partitions, p)
		}
		at = at.Add(time.Second)
		for i := len(u.Partitions) - len(datasets); i < len(u.Partitions); i++ {
			u.Events = append(u.Events, run.Event{Time: at, Partition: &u.Partitions[i]})
			r.Rows += u.Partitions[i].Rows
			r.Calls++
			if u.Partitions[i].State == run.PartitionCompleted {
				r.Completed++
			}
		}
	}
	r.Partitions, r.New, r.AsOf, r.Symbols = len(u.Partitions), r.Rows, to, 6800
	end := run.End{Outcome: run.OutcomeOf(u.Partitions, nil), Issues: run.IssuesOf(u.Partitions)}
	if err := move(run.Finish(r, at.Add(time.Second), end)); err != nil {
		return err
	}
	u.Run = r
	u.Events = append(u.Events, run.Event{Time: r.FinishedAt, Finished: &r})
	_, err := store.Save(ctx, u)
	return err
}

// idAt is an ID as ledger.NewID makes it at a moment.
func idAt(at time.Time) string {
	id := uuid.Must(uuid.NewV7())
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli())<<16)
	copy(id[:6], ms[:])
	return id.String()
}
