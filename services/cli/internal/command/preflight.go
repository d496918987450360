package command

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) preflightCommand() *cobra.Command {
	var modules []string
	var reuse time.Duration
	c := &cobra.Command{
		Use: "preflight [POOL]...", Short: a.T("Check whether data can be fetched now: probe each module"), Args: a.poolArgs, ValidArgs: poolNames,
		Long: a.T("Probes the modules of the pools and prints one line per module and a verdict per pool. The exit code is 0 if all pools can run, 2 if a pool cannot run at all, and 3 if some of its modules cannot."),
	}
	c.Flags().StringSliceVar(&modules, "modules", nil, a.T("only these `modules`, separated by commas"))
	c.Flags().DurationVar(&reuse, "reuse", 0, a.T("reuse successful probes up to this `age`, at most 24h"))
	c.RunE = func(c *cobra.Command, args []string) error {
		req := &orchestratorv1.RunPreflightRequest{Pools: poolOrBoth(args), ModuleIds: modules}
		if reuse != 0 {
			req.MaxProbeAge = durationpb.New(reuse)
		}
		return a.preflight(c, req)
	}
	return c
}

func (a *app) preflight(c *cobra.Command, req *orchestratorv1.RunPreflightRequest) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	stream, err := client.Preflights.RunPreflight(c.Context(), req)
	if err != nil {
		return err
	}
	columns := []output.Column{
		{Key: "module_id", Title: a.T("module")}, {Key: "status", Title: a.T("status")}, {Key: "latency_ms", Title: a.T("latency"), Right: true},
		{Key: "calls", Title: a.T("calls"), Right: true}, {Key: "rows", Title: a.T("rows"), Right: true}, {Key: "reused", Title: a.T("reused"), Drop: 1},
		{Key: "reason", Title: a.T("reason")},
	}
	answer := output.Answer{Columns: columns}
	code := ExitWhole
	var done *orchestratorv1.Preflight
	for done == nil {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New(a.T("The preflight was interrupted before its verdict."))
		}
		if err != nil {
			return err
		}
		event := message.GetEvent()
		if event == nil { // a keep-alive
			continue
		}
		if a.printer.Format == output.NDJSON {
			if err := a.printer.Line(event); err != nil {
				return err
			}
		}
		switch {
		case event.GetModuleStarted() != nil:
			if a.live() && !a.quiet {
				fmt.Fprint(a.Err, "\r\x1b[K"+a.T("checking %s", event.GetModuleStarted().GetModuleId()))
			}
		case event.GetModuleChecked() != nil:
			a.wipe()
			p := event.GetModuleChecked().GetProbe()
			answer.Rows = append(answer.Rows, a.probeRow(p, event.GetModuleChecked().GetReused()))
			answer.Records = append(answer.Records, p)
			line := fmt.Sprintf("%-20s %s", p.GetModuleId(), a.enum(p.GetStatus(), "STATUS_").Text)
			if len(p.GetIssues()) > 0 {
				line += "  " + reason(p.GetIssues()[0].GetReason()) + ": " + oneLine(p.GetIssues()[0].GetMessage())
			} else if event.GetModuleChecked().GetReused() {
				line += "  " + a.T("reused")
			} else {
				line += "  " + p.GetLatency().AsDuration().Round(time.Millisecond).String()
			}
			a.say(a.printer.Clean(line))
		case event.GetCompleted() != nil:
			done = event.GetCompleted()
		}
	}
	a.wipe()
	switch a.printer.Format {
	case output.Table:
		answer = a.verdictAnswer(done.GetVerdicts())
	case output.JSON:
		answer.Document = output.Proto{Message: done}
	}
	if a.printer.Format != output.NDJSON {
		if err := a.printer.Print(answer); err != nil {
			return err
		}
	}
	var issues []found
	for _, v := range done.GetVerdicts() {
		switch v.GetDecision() {
		case orchestratorv1.PoolVerdict_DECISION_READY:
			continue
		case orchestratorv1.PoolVerdict_DECISION_DEGRADED:
			if code == ExitWhole {
				code = ExitNotWhole
			}
		default:
			code = ExitBlocked
		}
		for _, i := range v.GetIssues() {
			issues = append(issues, found{poolName(v.GetPool()), i})
		}
	}
	a.sayFound(issues)
	if code != ExitWhole {
		a.hint(a.firstCommand(done.GetVerdicts()))
		return exit{code}
	}
	a.hint("afterbell run --watch")
	return nil
}

// firstCommand is the command of the first remedy that has one; otherwise the check itself,
// if waiting helps.
func (a *app) firstCommand(verdicts []*orchestratorv1.PoolVerdict) string {
	again := "afterbell doctor"
	for _, v := range verdicts {
		if command := a.remedyCommand(v.GetIssues()); command != "" {
			return command
		}
		if v.GetRetryTime() != nil {
			again = "afterbell preflight " + poolName(v.GetPool())
		}
	}
	return again
}

// commandIn is the command line that a remedy ends with, after its last colon.
func commandIn(remedy string) string {
	command := strings.TrimSpace(remedy[strings.LastIndex(remedy, ": ")+1:])
	for _, word := range []string{"afterbell ", "curl ", "bin/", "AFTERBELL_", "mv ", "df "} {
		if strings.HasPrefix(command, word) {
			return command
		}
	}
	return ""
}

// wipe takes the line that changes away.
func (a *app) wipe() {
	if a.live() && !a.quiet {
		fmt.Fprint(a.Err, "\r\x1b[K")
	}
}

func (a *app) probeRow(p *orchestratorv1.Probe, reused bool) []any {
	var why any
	if len(p.GetIssues()) > 0 {
		why = reason(p.GetIssues()[0].GetReason())
	}
	d := p.GetLatency().AsDuration()
	return []any{
		p.GetModuleId(), a.enum(p.GetStatus(), "STATUS_"), output.Word{Text: d.Round(time.Millisecond).String(), Raw: fmt.Sprint(d.Milliseconds())},
		p.GetCallCount(), p.GetRowCount(), reused, why,
	}
}

func (a *app) verdictAnswer(verdicts []*orchestratorv1.PoolVerdict) output.Answer {
	answer := output.Answer{Columns: []output.Column{
		{Key: "pool", Title: a.T("pool")}, {Key: "decision", Title: a.T("decision")}, {Key: "cleared", Title: a.T("can run"), Right: true},
		{Key: "blocked", Title: a.T("blocked modules"), Right: true}, {Key: "retry_time", Title: a.T("try again at")},
	}}
	for _, v := range verdicts {
		answer.Rows = append(answer.Rows, []any{
			poolName(v.GetPool()), a.enum(v.GetDecision(), "DECISION_"), len(v.GetClearedModuleIds()), len(v.GetBlockedModuleIds()), v.GetRetryTime(),
		})
		answer.Records = append(answer.Records, v)
	}
	return answer
}
