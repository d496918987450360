package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// mostRows is the largest number of rows of a list.
const mostRows = 500

func (a *app) runColumns() []output.Column {
	return []output.Column{
		{Key: "run_id", Title: a.T("run")}, {Key: "pool", Title: a.T("pool")}, {Key: "source", Title: a.T("requested by"), Drop: 5},
		{Key: "mode", Title: a.T("mode"), Wide: true}, {Key: "state", Title: a.T("state")}, {Key: "outcome", Title: a.T("outcome"), Wide: true},
		{Key: "blocked_stage", Title: a.T("blocked at"), Wide: true},
		{Key: "completed", Title: a.T("done"), Right: true}, {Key: "partitions", Title: a.T("of"), Right: true},
		{Key: "new_rows", Title: a.T("new rows"), Right: true, Drop: 4}, {Key: "as_of", Title: a.T("as of"), Drop: 1},
		{Key: "create_time", Title: a.T("requested at"), Drop: 3}, {Key: "end_time", Title: a.T("ended at"), Wide: true},
		{Key: "retry_time", Title: a.T("fetched next"), Drop: 2}, {Key: "reason", Title: a.T("reason")},
	}
}

func (a *app) runRow(r *orchestratorv1.Run) []any {
	var why any
	if issues := telling(r); len(issues) > 0 {
		why = reason(issues[0].GetReason())
	}
	next := r.GetRetryTime()
	if next == nil && r.GetState() == orchestratorv1.Run_STATE_QUEUED {
		next = r.GetNotBeforeTime()
	}
	state := a.enum(r.GetState(), "STATE_")
	if r.GetState() == orchestratorv1.Run_STATE_FINISHED {
		state.Text = a.enum(r.GetOutcome(), "OUTCOME_").Text
	}
	return []any{
		r.GetRunId(), poolName(r.GetPool()), a.enum(r.GetSource(), "SOURCE_"), a.enum(r.GetMode(), "MODE_"),
		state, a.enum(r.GetOutcome(), "OUTCOME_"), a.enum(r.GetBlockedStage(), "BLOCKED_STAGE_"),
		r.GetCompletedPartitionCount(), r.GetPartitionCount(), r.GetNewCount(), r.GetAsOfTradeDate(),
		r.GetCreateTime(), r.GetEndTime(), next, why,
	}
}

func succeeded(r *orchestratorv1.Run) bool {
	return r.GetOutcome() == orchestratorv1.Run_OUTCOME_SUCCEEDED || r.GetOutcome() == orchestratorv1.Run_OUTCOME_UNCHANGED
}

func (a *app) printRuns(runs []*orchestratorv1.Run) error {
	answer := output.Answer{Columns: a.runColumns()}
	for _, r := range runs {
		answer.Rows = append(answer.Rows, a.runRow(r))
		answer.Records = append(answer.Records, r)
	}
	return a.printer.Print(answer)
}

// outcomeExit is the exit code of a finished run.
func outcomeExit(r *orchestratorv1.Run) int {
	switch r.GetOutcome() {
	case orchestratorv1.Run_OUTCOME_SUCCEEDED, orchestratorv1.Run_OUTCOME_UNCHANGED:
		return ExitWhole
	case orchestratorv1.Run_OUTCOME_BLOCKED:
		return ExitBlocked
	}
	return ExitNotWhole
}

func (a *app) runsCommand() *cobra.Command {
	var only string
	var n int32
	c := &cobra.Command{Use: "runs", Short: a.T("List runs, newest first"), Args: a.noArgs}
	c.Flags().StringVar(&only, "pool", "", a.T("only this `pool`: targets or universe"))
	c.Flags().Int32VarP(&n, "number", "n", 20, a.T("list at most this `number` of runs, 1 to %d", mostRows))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if n < 1 || n > mostRows {
			return usage{a.T("--number: %d is not from 1 to %d.", n, mostRows), c.CommandPath() + " --help"}
		}
		req := &orchestratorv1.ListRunsRequest{PageSize: n}
		if only != "" {
			list, err := a.pools(c.CommandPath(), "--pool", []string{only})
			if err != nil {
				return err
			}
			req.Pool = list[0]
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Runs.ListRuns(ctx, req)
		if err != nil {
			return err
		}
		if len(resp.GetRuns()) == 0 {
			a.say(a.T("There are no runs yet."))
			a.hint("afterbell run --watch")
		}
		return a.printRuns(resp.GetRuns())
	}
	return c
}

// runID is the run that an argument names; "last" is the newest.
func (a *app) runID(ctx context.Context, arg string) (string, error) {
	if arg != "last" {
		return arg, nil
	}
	client, err := a.connect()
	if err != nil {
		return "", err
	}
	resp, err := client.Runs.ListRuns(ctx, &orchestratorv1.ListRunsRequest{PageSize: 1})
	if err != nil {
		return "", err
	}
	if len(resp.GetRuns()) == 0 {
		return "", advised{errors.New(a.T("There are no runs yet.")), "afterbell run --watch"}
	}
	return resp.GetRuns()[0].GetRunId(), nil
}

func (a *app) showCommand() *cobra.Command {
	var partitions bool
	c := &cobra.Command{Use: "show RUN", Short: a.T("Show everything about a run; last is the newest"), Args: a.oneArg("RUN", "afterbell runs")}
	c.ValidArgsFunction = a.completeRuns
	c.Flags().BoolVar(&partitions, "partitions", false, a.T("list its partitions"))
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
		if partitions {
			return a.printPartitions(ctx, id)
		}
		resp, err := client.Runs.GetRun(ctx, &orchestratorv1.GetRunRequest{RunId: id})
		if err != nil {
			return err
		}
		r := resp.GetRun()
		if a.printer.Format != output.Table {
			return a.printer.Print(output.Answer{Columns: a.runColumns(), Rows: [][]any{a.runRow(r)}, Records: []any{r}, Document: output.Proto{Message: r}})
		}
		if err := a.printRuns([]*orchestratorv1.Run{r}); err != nil {
			return err
		}
		if a.story(r.GetExplanation(), r.GetLocalizedExplanation()); len(r.GetExplanation()) == 0 { // it lists them differently
			a.sayIssues(r.GetIssues())
		}
		a.hint(a.commands(r.GetNextCommand()))
		return nil
	}
	return c
}

// story prints an explanation, in the language if the orchestrator has it.
func (a *app) story(english, localized []string) {
	if a.Lang == lang.Chinese && len(localized) > 0 {
		a.lines(localized)
		return
	}
	a.lines(english)
}

// lines writes sentences to standard output, each on a line.
func (a *app) lines(sentences []string) {
	for _, s := range sentences {
		io.WriteString(a.Out, "  "+a.printer.Clean(oneLine(a.commands(s)))+"\n")
	}
}

func (a *app) partitionColumns() []output.Column {
	return []output.Column{
		{Key: "dataset_id", Title: a.T("dataset")}, {Key: "start_date", Title: a.T("from")}, {Key: "end_date", Title: a.T("to")},
		{Key: "state", Title: a.T("state")}, {Key: "verdict", Title: a.T("verdict")}, {Key: "attempts", Title: a.T("attempts"), Right: true, Drop: 5},
		{Key: "rows", Title: a.T("rows"), Right: true}, {Key: "expected", Title: a.T("expected"), Right: true},
		{Key: "symbols", Title: a.T("symbols"), Right: true, Drop: 6}, {Key: "retry_time", Title: a.T("fetched next"), Drop: 2}, {Key: "reason", Title: a.T("reason")},
		{Key: "partition_id", Title: a.T("partition"), Wide: true},
	}
}

func (a *app) partitionAnswer(list []*orchestratorv1.Partition) output.Answer {
	answer := output.Answer{Columns: a.partitionColumns()}
	for _, p := range list {
		var why, symbols any
		if len(p.GetIssues()) > 0 {
			why = reason(p.GetIssues()[0].GetReason())
		}
		if n := len(p.GetSymbols()); n > 0 {
			symbols = n
		}
		answer.Rows = append(answer.Rows, []any{
			p.GetDatasetId(), p.GetStartDate(), p.GetEndDate(), a.enum(p.GetState(), "STATE_"), a.enum(p.GetVerdict(), "VERDICT_"),
			p.GetAttemptCount(), p.GetRowCount(), p.GetExpectedCount(), symbols, p.GetRetryTime(), why, p.GetPartitionId(),
		})
		answer.Records = append(answer.Records, p)
	}
	return answer
}

func (a *app) printPartitions(ctx context.Context, id string) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	var all []*orchestratorv1.Partition
	for token := ""; ; {
		resp, err := client.Runs.ListPartitions(ctx, &orchestratorv1.ListPartitionsRequest{RunId: id, PageSize: 2000, PageToken: token})
		if err != nil {
			return err
		}
		all = append(all, resp.GetPartitions()...)
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	return a.printer.Print(a.partitionAnswer(all))
}

type runFlags struct {
	from, to string
	modules  []string
	refetch  bool
	dryRun   bool
	watch    bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use: "run [POOL]...", Short: a.T("Update pools; default: both"), Args: a.poolArgs, ValidArgs: poolNames,
		Example: "  afterbell run universe --from 2026-11-02 --to 2026-11-06 --refetch --watch",
	}
	c.Flags().StringVar(&f.from, "from", "", a.T("first trade `date`, YYYY-MM-DD or today (default: the first gap)"))
	c.Flags().StringVar(&f.to, "to", "", a.T("last trade `date`, YYYY-MM-DD or today (default: the last that is due)"))
	c.Flags().StringSliceVar(&f.modules, "modules", nil, a.T("only these `modules`, separated by commas"))
	c.Flags().BoolVar(&f.refetch, "refetch", false, a.T("also fetch dates that are already complete"))
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, a.T("show the plan and its cost, without starting a run"))
	c.Flags().BoolVarP(&f.watch, "watch", "w", false, a.T("follow the runs; the exit code is their result"))
	c.RunE = func(c *cobra.Command, args []string) error { return a.run(c, args, f) }
	return c
}

func (a *app) run(c *cobra.Command, args []string, f runFlags) (err error) {
	req := &orchestratorv1.CreateRunRequest{ModuleIds: f.modules, Refetch: f.refetch, ValidateOnly: f.dryRun}
	if len(args) > 0 {
		if req.Pools, err = a.pools(c.CommandPath(), "POOL", args); err != nil {
			return err
		}
	}
	if req.StartDate, req.EndDate, err = a.span(c.CommandPath(), f.from, f.to); err != nil {
		return err
	}
	client, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.call(c.Context())
	defer cancel()
	resp, err := client.Runs.CreateRun(ctx, req)
	if err != nil {
		return err
	}
	switch {
	case f.dryRun:
		return a.printPlans(resp.GetPlans())
	case f.watch:
		if err := a.sayPaused(ctx, resp.GetRuns()); err != nil {
			return err
		}
		return a.follow(c.Context(), resp.GetRuns(), 0)
	}
	if err := a.printRuns(resp.GetRuns()); err != nil {
		return err
	}
	if err := a.sayPaused(ctx, resp.GetRuns()); err != nil {
		return err
	}
	for _, r := range resp.GetRuns() {
		a.hint("afterbell watch " + r.GetRunId())
	}
	return nil
}

// sayPaused says which runs wait because their pool is paused.
func (a *app) sayPaused(ctx context.Context, runs []*orchestratorv1.Run) error {
	resp, err := a.client.Pools.ListPools(ctx, &orchestratorv1.ListPoolsRequest{})
	if err != nil {
		return err
	}
	for _, p := range resp.GetPools() {
		if p.GetPaused() && slices.ContainsFunc(runs, func(r *orchestratorv1.Run) bool { return r.GetPool() == p.GetPool() }) {
			a.say(a.T("%s is paused, so its runs wait until it is resumed.", poolName(p.GetPool())))
			a.hint("afterbell resume " + poolName(p.GetPool()))
		}
	}
	return nil
}

func (a *app) printPlans(plans []*orchestratorv1.Plan) error {
	answer := output.Answer{Columns: []output.Column{
		{Key: "pool", Title: a.T("pool")}, {Key: "partitions", Title: a.T("partitions"), Right: true}, {Key: "calls", Title: a.T("calls"), Right: true},
		{Key: "seconds", Title: a.T("about"), Right: true}, {Key: "last_trade_date", Title: a.T("up to")},
	}}
	for _, p := range plans {
		d := p.GetEstimatedDuration().AsDuration().Round(time.Second)
		answer.Rows = append(answer.Rows, []any{
			poolName(p.GetPool()), p.GetPartitionCount(), p.GetEstimatedCallCount(),
			output.Word{Text: d.String(), Raw: fmt.Sprint(int64(d.Seconds()))}, p.GetLastTradeDate(),
		})
		answer.Records = append(answer.Records, p)
	}
	if err := a.printer.Print(answer); err != nil {
		return err
	}
	for _, p := range plans {
		a.sayIssues(p.GetIssues())
	}
	return nil
}

func (a *app) cancelCommand() *cobra.Command {
	var note string
	c := &cobra.Command{Use: "cancel RUN", Short: a.T("Cancel a run; what it has committed stays"), Args: a.oneArg("RUN", "afterbell runs")}
	c.ValidArgsFunction = a.completeRuns
	c.Flags().StringVar(&note, "note", "", a.T("who does this and why, at most 500 characters"))
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
		resp, err := client.Runs.CancelRun(ctx, &orchestratorv1.CancelRunRequest{RunId: id, Note: note})
		if err != nil {
			return err
		}
		if err := a.printRuns([]*orchestratorv1.Run{resp.GetRun()}); err != nil {
			return err
		}
		if resp.GetRun().GetState() != orchestratorv1.Run_STATE_FINISHED {
			a.hint("afterbell watch " + id)
		}
		return nil
	}
	return c
}

func (a *app) verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "verify RUN", Args: a.oneArg("RUN", "afterbell runs"),
		Short:             a.T("Compare the rows in the file with what a run committed"),
		Long:              a.T("Reads the partitions of a finished run from the pool's file again and compares the number and the values of their rows with what was committed. The exit code is 0 if they agree and 3 if they differ."),
		ValidArgsFunction: a.completeRuns,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx := c.Context() // reading a pool of years may take longer than one call
		id, err := a.runID(ctx, args[0])
		if err != nil {
			return err
		}
		resp, err := client.Runs.VerifyRun(ctx, &orchestratorv1.VerifyRunRequest{RunId: id})
		if err != nil {
			return err
		}
		answer := output.Answer{
			Columns: []output.Column{
				{Key: "partition_id", Title: a.T("partition")}, {Key: "rows", Title: a.T("in the file"), Right: true},
				{Key: "claimed", Title: a.T("by the run"), Right: true}, {Key: "coverage", Title: a.T("by coverage"), Right: true},
				{Key: "duplicates", Title: a.T("twice"), Right: true}, {Key: "altered", Title: a.T("altered")}, {Key: "message", Title: a.T("what differs")},
			},
			Document: output.Proto{Message: resp},
		}
		for _, d := range resp.GetDifferences() {
			answer.Rows = append(answer.Rows, []any{
				d.GetPartitionId(), d.GetRowCount(), d.GetClaimedCount(), d.GetCoverageCount(), d.GetDuplicateCount(), d.GetAltered(), a.commands(d.GetMessage()),
			})
			answer.Records = append(answer.Records, d)
		}
		if len(resp.GetDifferences()) > 0 || a.printer.Format != output.Table {
			if err := a.printer.Print(answer); err != nil {
				return err
			}
		}
		if n := len(resp.GetDifferences()); n > 0 {
			a.say(a.N(n, "%d of %d partitions differs.", "%d of %d partitions differ.", resp.GetCheckedCount()))
			a.hint("afterbell run " + a.poolOf(ctx, id) + " --refetch --watch")
			return exit{ExitNotWhole}
		}
		if n := int(resp.GetCheckedCount()); n > 0 {
			a.say(a.N(n, "%d partition agrees.", "All %d partitions agree."))
		} else {
			a.say(a.T("The run committed nothing, so there is nothing to compare."))
		}
		return nil
	}
	return c
}

// poolOf is the pool of a run, empty if unknown.
func (a *app) poolOf(ctx context.Context, id string) string {
	client, err := a.connect()
	if err != nil {
		return ""
	}
	resp, err := client.Runs.GetRun(ctx, &orchestratorv1.GetRunRequest{RunId: id})
	if err != nil {
		return ""
	}
	return poolName(resp.GetRun().GetPool())
}

// poolArgs takes names of pools.
func (a *app) poolArgs(c *cobra.Command, args []string) error {
	_, err := a.pools(c.CommandPath(), "POOL", args)
	return err
}

// poolOrBoth is the pools of arguments, for requests in which none means both.
func poolOrBoth(list []string) (out []marketv1.Pool) {
	for _, name := range list {
		out = append(out, pool(name))
	}
	return out
}
