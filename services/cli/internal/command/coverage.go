package command

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	afterbell "github.com/afterbell/afterbell/clients/go"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// defaultDays is how many calendar days back coverage is shown without --from.
const defaultDays = 92

type coverageFlags struct {
	from, to string
	modules  []string
	require  string
	list     bool
	lacking  bool
}

func (a *app) coverageCommand() *cobra.Command {
	var f coverageFlags
	c := &cobra.Command{
		Use: "coverage [POOL]...", Short: a.T("Show a calendar of stored and missing data, per module"), Args: a.poolArgs, ValidArgs: poolNames,
		Long: a.T("Shows a calendar per module with one character per trading day: the worst of its datasets. Closed days and days that are not due are blank."),
	}
	c.Flags().StringVar(&f.from, "from", "", a.T("first trade `date`, YYYY-MM-DD (default: %d days back)", defaultDays))
	c.Flags().StringVar(&f.to, "to", "", a.T("last trade `date`, YYYY-MM-DD or today (default: the last that is due)"))
	c.Flags().StringSliceVar(&f.modules, "modules", nil, a.T("only these `modules`, separated by commas"))
	c.Flags().BoolVar(&f.list, "list", false, a.T("list datasets and dates as rows instead of a calendar"))
	c.Flags().BoolVar(&f.lacking, "lacking", false, a.T("list only what is incomplete"))
	c.Flags().StringVar(&f.require, "require", "", a.T("exit with code 3 if a date is not `state`: settled or complete"))
	c.RunE = func(c *cobra.Command, args []string) error { return a.coverage(c, args, f) }
	return c
}

func (a *app) coverage(c *cobra.Command, args []string, f coverageFlags) error {
	list, err := a.pools(c.CommandPath(), "POOL", args)
	if err != nil {
		return err
	}
	if f.require != "" && f.require != "complete" && f.require != "settled" {
		return usage{a.T("--require: %q is not allowed: allowed are settled, complete.", f.require), c.CommandPath() + " --help"}
	}
	from, to, err := a.span(c.CommandPath(), f.from, f.to)
	if err != nil {
		return err
	}
	oldest := from // of what is shown; without --from the pool's window may begin later
	if from == "" {
		end := a.now().In(a.printer.Zone)
		if to != "" {
			end, _ = time.Parse(time.DateOnly, to) // checked above
		}
		oldest = end.AddDate(0, 0, -defaultDays).Format(time.DateOnly)
	}
	client, err := a.connect()
	if err != nil {
		return err
	}
	answer := output.Answer{Columns: a.coverageColumns()}
	lacks := 0
	firstLack, lackingPool := "", ""
	for _, p := range list {
		ctx, cancel := a.call(c.Context())
		resp, err := client.Pools.ListCoverage(ctx, &orchestratorv1.ListCoverageRequest{
			Pool: poolName(p), ModuleIds: f.modules, StartDate: from, EndDate: to,
		})
		cancel()
		if err != nil {
			return err
		}
		shown := slices.DeleteFunc(resp.GetCoverages(), func(v *marketv1.Coverage) bool {
			return v.GetTradeDate() != "" && v.GetTradeDate() < oldest
		})
		for _, v := range shown {
			settled := afterbell.Settled(v.GetVerdict(), f.require == "complete")
			if !settled {
				lacks++
				if firstLack == "" {
					lackingPool, firstLack = poolName(p), poolName(p)+" --from "+cmp.Or(v.GetTradeDate(), oldest)
				}
			}
			if f.lacking && settled {
				continue
			}
			answer.Rows = append(answer.Rows, a.coverageRow(p, v))
			answer.Records = append(answer.Records, v)
		}
		if a.printer.Format == output.Table && !f.list && !f.lacking {
			a.calendar(poolName(p), shown)
		}
	}
	if a.printer.Format != output.Table || f.list || f.lacking {
		if err := a.printer.Print(answer); err != nil {
			return err
		}
	} else {
		a.say(a.T("# complete  ~ accepted short  . empty as expected  - short  ? not published  ! missing"))
	}
	if lacks == 0 {
		return nil
	}
	a.say(a.incomplete(lacks))
	if !a.quiet {
		a.hint(a.runOrRemedy(c.Context(), client, lackingPool, "afterbell run "+firstLack+" --watch"))
	}
	if f.require != "" {
		return exit{ExitNotWhole}
	}
	return nil
}

func (a *app) coverageColumns() []output.Column {
	return []output.Column{
		{Key: "pool", Title: a.T("pool")}, {Key: "module_id", Title: a.T("module"), Wide: true}, {Key: "dataset_id", Title: a.T("dataset")},
		{Key: "trade_date", Title: a.T("date")}, {Key: "verdict", Title: a.T("verdict")}, {Key: "rows", Title: a.T("rows"), Right: true},
		{Key: "expected", Title: a.T("expected"), Right: true}, {Key: "rejected", Title: a.T("rejected"), Right: true, Drop: 3},
		{Key: "commit_time", Title: a.T("committed at"), Drop: 4}, {Key: "run_id", Title: a.T("run"), Wide: true}, {Key: "reason", Title: a.T("reason")},
	}
}

func (a *app) coverageRow(p marketv1.Pool, v *marketv1.Coverage) []any {
	var why any
	if len(v.GetIssues()) > 0 {
		why = reason(v.GetIssues()[0].GetReason())
	}
	return []any{
		poolName(p), v.GetModuleId(), v.GetDatasetId(), v.GetTradeDate(), a.enum(v.GetVerdict(), "VERDICT_"), v.GetRowCount(),
		v.GetExpectedCount(), v.GetRejectedCount(), v.GetCommitTime(), v.GetRunId(), why,
	}
}

// marks are a day's character by its verdict, from the best to the worst.
var marks = []struct {
	verdict marketv1.Verdict
	mark    byte
}{
	{marketv1.Verdict_VERDICT_EXPECTED_EMPTY, '.'},
	{marketv1.Verdict_VERDICT_COMPLETE, '#'},
	{marketv1.Verdict_VERDICT_ACCEPTED_SHORT, '~'},
	{marketv1.Verdict_VERDICT_NOT_PUBLISHED, '?'},
	{marketv1.Verdict_VERDICT_INCOMPLETE, '-'},
	{marketv1.Verdict_VERDICT_EMPTY, '!'},
	{marketv1.Verdict_VERDICT_MISSING, '!'},
}

func rank(v marketv1.Verdict) int {
	for i, m := range marks {
		if m.verdict == v {
			return i
		}
	}
	return len(marks) - 1
}

// calendar draws a line for each month of each module.
func (a *app) calendar(name string, coverages []*marketv1.Coverage) {
	var modules []string
	days := map[string]map[string]int{} // the worst rank of each day, by module
	snapshots := map[string]int{}
	for _, v := range coverages {
		id := v.GetModuleId()
		if !slices.Contains(modules, id) {
			modules = append(modules, id)
			days[id] = map[string]int{}
			snapshots[id] = -1
		}
		own := rank(v.GetVerdict())
		if date := v.GetTradeDate(); date == "" {
			snapshots[id] = max(snapshots[id], own)
		} else {
			days[id][date] = max(days[id][date], own)
		}
	}
	for _, id := range modules {
		head := name + "  " + id
		if s := snapshots[id]; s >= 0 {
			head += "  " + a.colored(string(marks[s].mark), s)
		}
		io.WriteString(a.Out, head+"\n")
		var months []string
		for date := range days[id] {
			if !slices.Contains(months, date[:7]) {
				months = append(months, date[:7])
			}
		}
		slices.Sort(months)
		if len(months) > 0 {
			io.WriteString(a.Out, "           1        10        20        30\n")
		}
		for _, month := range months {
			var line strings.Builder
			line.WriteString("  " + month + "  ")
			blank := 0
			for day := 1; day <= 31; day++ {
				own, ok := days[id][fmt.Sprintf("%s-%02d", month, day)]
				if !ok {
					blank++
					continue
				}
				line.WriteString(strings.Repeat(" ", blank) + a.colored(string(marks[own].mark), own))
				blank = 0
			}
			io.WriteString(a.Out, line.String()+"\n")
		}
	}
}

// colored marks missing data red and accepted short yellow, if colours may be used.
func (a *app) colored(mark string, rank int) string {
	if !a.printer.Color {
		return mark
	}
	switch v := marks[rank].verdict; {
	case afterbell.Settled(v, true):
		return "\x1b[32m" + mark + "\x1b[0m"
	case afterbell.Settled(v, false), v == marketv1.Verdict_VERDICT_NOT_PUBLISHED:
		return "\x1b[33m" + mark + "\x1b[0m"
	}
	return "\x1b[31m" + mark + "\x1b[0m"
}
