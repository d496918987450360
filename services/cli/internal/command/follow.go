package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	afterbell "github.com/afterbell/afterbell/clients/go"
	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
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
		r, err := a.followOne(ctx, client, r, after)
		if err != nil {
			return err
		}
		if r.GetState() != orchestratorv1.Run_STATE_FINISHED { // requested after its last event
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
	var list []found
	var starts, commands []string
	for _, r := range ended {
		issues := telling(r)
		if succeeded(r) && len(issues) == 0 {
			continue
		}
		for _, i := range issues {
			list = append(list, found{poolName(r.GetPool()), i})
		}
		if at := r.GetRetryTime(); at != nil && at.AsTime().After(a.now()) { // otherwise it is queued, and the issue says so
			starts = append(starts, a.T("A follow-up run starts at %s.", a.moment(at.AsTime())))
		}
		command := "afterbell show " + r.GetRunId()
		if r.GetOutcome() == orchestratorv1.Run_OUTCOME_BLOCKED && r.GetRetryTime() == nil {
			command = cmp.Or(a.remedyCommand(issues), command)
		}
		if !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	a.sayFound(list)
	for _, line := range starts {
		a.say(line)
	}
	for _, command := range commands {
		a.hint(command)
	}
	if code != ExitWhole {
		return exit{code}
	}
	return nil
}

// telling are the issues to print at the end of a run. For a run that succeeded, these are
// the warnings, such as symbols without a row.
func telling(r *orchestratorv1.Run) []*faultv1.Issue {
	if !succeeded(r) {
		return r.GetIssues()
	}
	return slices.DeleteFunc(slices.Clone(r.GetIssues()), func(i *faultv1.Issue) bool { return i.GetSeverity() < faultv1.Severity_SEVERITY_WARNING })
}

// followOne shows a run until it ends and returns the run of its last event.
func (a *app) followOne(ctx context.Context, client *afterbell.Client, r *orchestratorv1.Run, after int64) (*orchestratorv1.Run, error) {
	type heard struct {
		event *orchestratorv1.RunEvent
		err   error
	}
	listening, stop := context.WithCancel(a.inLanguage(ctx))
	events := make(chan heard)
	go func() {
		defer close(events)
		for event, err := range client.Events(listening, r.GetRunId(), after) {
			select {
			case events <- heard{event, err}:
			case <-listening.Done():
				return
			}
		}
	}()
	defer func() {
		stop()
		for range events { // until it has ended
		}
	}()
	v := a.newView(r)
	defer v.clear()
	silence := time.NewTicker(silentFor)
	defer silence.Stop()
	for {
		select {
		case h, ok := <-events:
			switch {
			case !ok:
				return r, nil
			case h.err != nil:
				return r, advised{h.err, "afterbell watch " + r.GetRunId()}
			}
			silence.Reset(silentFor)
			if a.printer.Format == output.NDJSON {
				if err := a.printer.Line(h.event); err != nil {
					return r, err
				}
			}
			v.apply(h.event)
			if f := h.event.GetFinished(); f != nil {
				r = f
			}
		case <-silence.C:
			v.silent(ctx, client)
		}
	}
}

// silentFor is how long a run may send no event before the reason is looked up.
const silentFor = 15 * time.Second

// silent prints why a run sends no events: usually it waits for a limit.
func (v *view) silent(ctx context.Context, client *afterbell.Client) {
	if v.a.quiet {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, silentFor/3)
	defer cancel()
	resp, err := client.Limits.ListLimits(ctx, &orchestratorv1.ListLimitsRequest{})
	if err == nil { // otherwise the orchestrator is restarting, and the events continue afterwards
		if waits := v.a.waits(resp); waits != "" && waits != v.waits {
			v.waits = waits
			v.line(fmt.Sprintf("%-8s  %s", v.pool, waits))
		}
	}
	if v.planned > 0 {
		v.progress()
	}
}

// waits says which limits delay calls now, and until when: those of the provider, and the
// worker's own. Empty if none does.
func (a *app) waits(resp *orchestratorv1.ListLimitsResponse) string {
	until := func(all []string, api string, t *timestamppb.Timestamp) []string {
		if at := t.AsTime(); t != nil && at.After(a.now()) {
			at, form := at.In(a.printer.Zone), "15:04:05"
			if at.Format(time.DateOnly) != a.now().In(a.printer.Zone).Format(time.DateOnly) {
				form = "2006-01-02 15:04"
			}
			all = append(all, a.T("%s until %s", api, a.T("%s (Shanghai)", at.Format(form))))
		}
		return all
	}
	var theirs, own, said []string
	for _, l := range resp.GetLimits() {
		if l.GetInForce() {
			theirs = until(theirs, l.GetProviderApi(), l.GetOpenTime())
		}
	}
	for _, w := range resp.GetOwnWaits() {
		own = until(own, w.GetProviderApi(), w.GetOpenTime())
	}
	if len(theirs) > 0 {
		said = append(said, a.T("Waits for the provider's limits: %s.", strings.Join(theirs, ", ")))
	}
	if len(own) > 0 {
		said = append(said, a.T("Waits for the limit that --rate-limit of the ingest-worker sets: %s.", strings.Join(own, ", ")))
	}
	return strings.Join(said, " ")
}

// sayEvery is how often a log hears of progress; a terminal hears of each event.
const sayEvery = 5 * time.Second

// view prints the progress of a run: in one changing line on a terminal, otherwise as
// lines.
type view struct {
	a          *app
	pool, id   string
	state      string
	planned    int
	settled    map[string]bool
	failed     map[string]bool
	rows       int64
	at         string
	waits      string // the limits that were printed last
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
		if e.GetStateChanged().GetToState() == orchestratorv1.Run_STATE_FINISHED {
			return // the last event has the outcome
		}
		v.state = a.enum(e.GetStateChanged().GetToState(), "STATE_").Text
		line := fmt.Sprintf("%-8s  %s", v.pool, v.state)
		if note := e.GetStateChanged().GetNote(); note != "" {
			line += ": " + a.printer.Clean(oneLine(note))
		}
		v.line(line)
	case e.GetPreflight() != nil:
		v.line(fmt.Sprintf("%-8s  %s", v.pool, a.printer.Clean(oneLine(cmp.Or(e.GetPreflight().GetLocalizedMessage(), e.GetPreflight().GetMessage())))))
	case e.GetPlanned() != nil:
		if v.planned += int(e.GetPlanned().GetPartitionCount()); v.planned > 0 {
			v.progress()
		}
	case e.GetPartitionChanged() != nil:
		v.partition(e.GetPartitionChanged().GetPartition())
	case e.GetFinished() != nil:
		if v.planned > 0 {
			v.at, v.said = "", time.Time{}
			v.progress()
		}
		v.line(fmt.Sprintf("%-8s  %s", v.pool, a.enum(e.GetFinished().GetOutcome(), "OUTCOME_").Text))
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
			parts := []string{v.at}
			if verdict := a.enum(p.GetVerdict(), "VERDICT_").Text; verdict != "" { // none if there was no response
				parts = append(parts, verdict)
			}
			if len(p.GetIssues()) > 0 {
				parts = append(parts, a.printer.Clean(oneLine(p.GetIssues()[0].GetMessage())))
			}
			v.line(fmt.Sprintf("%-8s  %s", v.pool, strings.Join(parts, ": ")))
		}
	}
	v.progress()
}

// line prints a permanent line.
func (v *view) line(text string) {
	v.clear()
	v.a.say(text)
}

// progress prints the progress.
func (v *view) progress() {
	a := v.a
	if a.quiet {
		return
	}
	done := a.T("%d of %d partitions, %s rows", len(v.settled), v.planned, output.Grouped(v.rows))
	if v.planned == 1 {
		done = a.T("%d of %d partition, %s rows", len(v.settled), v.planned, output.Grouped(v.rows))
	}
	text := fmt.Sprintf("%-8s  %s", v.pool, done)
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
