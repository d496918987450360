package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) watchCommand() *cobra.Command {
	var after int64
	c := &cobra.Command{
		Use: "watch RUN", Short: a.T("Follow a run to its end; the exit code is its result"), Args: a.oneArg("RUN", "afterbell runs"),
		Long: a.T("Follows a run from its first event until it ends, even if the orchestrator restarts. With --output ndjson, each event is one line. The exit code is 0 if the run succeeded or had nothing to do, 2 if it was blocked, and 3 otherwise."),
	}
	c.ValidArgsFunction = a.completeRuns
	c.Flags().Int64Var(&after, "after", 0, a.T("skip events up to and including this `number`"))
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		id, err := a.runID(ctx, args[0])
		if err != nil {
			return err
		}
		resp, err := client.Runs.GetRun(ctx, &orchestratorv1.GetRunRequest{RunId: id})
		if err != nil {
			return err
		}
		return a.follow(c.Context(), []*orchestratorv1.Run{resp.GetRun()}, after)
	}
	return c
}

// follow shows runs to their end, one after the other, and ends with the code of the
// worst.
func (a *app) follow(ctx context.Context, runs []*orchestratorv1.Run, after int64) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	code := ExitWhole
	var ended []*orchestratorv1.Run
	for _, r := range runs {
		v := a.newView(r)
		for event, err := range client.Events(ctx, r.GetRunId(), after) {
			if err != nil {
				v.clear()
				return advised{err, "afterbell watch " + r.GetRunId()}
			}
			if a.printer.Format == output.NDJSON {
				if err := a.printer.Line(event); err != nil {
					return err
				}
			}
			v.apply(event)
			if f := event.GetFinished(); f != nil {
				r = f
			}
		}
		v.clear()
		if r.GetState() != orchestratorv1.Run_STATE_FINISHED { // asked for after its last event
			resp, err := client.Runs.GetRun(ctx, &orchestratorv1.GetRunRequest{RunId: r.GetRunId()})
			if err != nil {
				return err
			}
			r = resp.GetRun()
		}
		ended = append(ended, r)
		switch own := outcomeExit(r); {
		case code == ExitBlocked:
		case own == ExitBlocked, own > code:
			code = own
		}
	}
	if a.printer.Format != output.NDJSON {
		if err := a.printRuns(ended); err != nil {
			return err
		}
	}
	for _, r := range ended {
		if succeeded(r) {
			continue
		}
		a.sayIssues(r.GetIssues())
		if at := r.GetRetryTime(); at != nil {
			a.say(a.T("A follow-up run starts at %s.", a.moment(at.AsTime())))
		}
		a.hint("afterbell show " + r.GetRunId())
	}
	if code != ExitWhole {
		return exit{code}
	}
	return nil
}

// sayEvery is how often a log hears of progress; a terminal hears of each event.
const sayEvery = 5 * time.Second

// view tells how a run goes on: in one line that changes on a terminal, as lines
// elsewhere.
type view struct {
	a          *app
	pool, id   string
	state      string
	planned    int
	settled    map[string]bool
	failed     map[string]bool
	rows       int64
	at         string
	said       time.Time
	lastLength int
}

func (a *app) newView(r *orchestratorv1.Run) *view {
	return &view{a: a, pool: poolName(r.GetPool()), id: r.GetRunId(), settled: map[string]bool{}, failed: map[string]bool{}}
}

func (v *view) apply(e *orchestratorv1.RunEvent) {
	a := v.a
	switch {
	case e.GetStateChanged() != nil:
		v.state = a.enum(e.GetStateChanged().GetToState(), "STATE_").Text
		line := fmt.Sprintf("%-8s  %s", v.pool, v.state)
		if note := e.GetStateChanged().GetNote(); note != "" {
			line += ": " + a.printer.Clean(oneLine(note))
		}
		v.line(line)
	case e.GetPreflight() != nil:
		v.line(fmt.Sprintf("%-8s  %s", v.pool, a.printer.Clean(oneLine(e.GetPreflight().GetMessage()))))
	case e.GetPlanned() != nil:
		if v.planned += int(e.GetPlanned().GetPartitionCount()); v.planned > 0 {
			v.progress()
		}
	case e.GetPartitionChanged() != nil:
		v.partition(e.GetPartitionChanged().GetPartition())
	case e.GetFinished() != nil && v.planned > 0:
		v.at, v.said = "", time.Time{}
		v.progress()
	}
}

func (v *view) partition(p *orchestratorv1.Partition) {
	a := v.a
	id := p.GetPartitionId()
	v.at = strings.TrimSpace(p.GetDatasetId() + " " + p.GetStartDate())
	switch p.GetState() {
	case orchestratorv1.Partition_STATE_COMPLETED:
		if !v.settled[id] {
			v.settled[id] = true
			v.rows += p.GetRowCount()
		}
		delete(v.failed, id)
	case orchestratorv1.Partition_STATE_FAILED:
		if !v.failed[id] {
			v.failed[id] = true
			line := fmt.Sprintf("%-8s  %s: %s", v.pool, v.at, a.enum(p.GetVerdict(), "VERDICT_").Text)
			if len(p.GetIssues()) > 0 {
				line += ": " + a.printer.Clean(oneLine(p.GetIssues()[0].GetMessage()))
			}
			v.line(line)
		}
	}
	v.progress()
}

// line tells something that stays.
func (v *view) line(text string) {
	v.clear()
	v.a.say(text)
}

// progress tells how far it is.
func (v *view) progress() {
	a := v.a
	if a.quiet {
		return
	}
	text := fmt.Sprintf("%-8s  %s", v.pool, a.T("%d of %d partitions, %s rows", len(v.settled), v.planned, output.Grouped(v.rows)))
	if v.at != "" {
		text += "  " + v.at
	}
	if a.live() {
		text = output.Cut(text, a.errColumns-1)
		fmt.Fprint(a.Err, "\r\x1b[K"+text)
		v.lastLength = len(text)
		return
	}
	if now := a.now(); now.Sub(v.said) >= sayEvery {
		v.said = now
		a.tell(text)
	}
}

// clear takes the line that changes away.
func (v *view) clear() {
	if v.lastLength > 0 {
		fmt.Fprint(v.a.Err, "\r\x1b[K")
		v.lastLength = 0
	}
}

// live reports whether words may be drawn in place.
func (a *app) live() bool { return a.errIsTerm && a.Env("TERM") != "dumb" }
