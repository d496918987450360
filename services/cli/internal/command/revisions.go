package command

import (
	"github.com/spf13/cobra"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// mostRevisions is the largest number of revisions per request.
const mostRevisions = 1000

type revisionFlags struct {
	dataset, symbol, from, to, run string
	n                              int32
}

func (a *app) revisionsCommand() *cobra.Command {
	var f revisionFlags
	c := &cobra.Command{
		Use: "revisions POOL", Args: a.oneArg("POOL (targets, universe)", "afterbell revisions --help"), ValidArgs: poolNames,
		Short: a.T("List values that the provider changed after they were stored"),
	}
	c.Flags().StringVar(&f.dataset, "dataset", "", a.T("only this `dataset`, as in daily_basic"))
	c.Flags().StringVar(&f.symbol, "symbol", "", a.T("only this `symbol`, as in 600519.SH"))
	c.Flags().StringVar(&f.from, "from", "", a.T("first trade `date`, YYYY-MM-DD or today"))
	c.Flags().StringVar(&f.to, "to", "", a.T("last trade `date`, YYYY-MM-DD or today"))
	c.Flags().StringVar(&f.run, "run", "", a.T("only what this `run` found; last is the newest"))
	c.Flags().Int32VarP(&f.n, "number", "n", 100, a.T("list at most this `number`, 1 to %d", mostRevisions))
	c.RunE = func(c *cobra.Command, args []string) error { return a.revisions(c, args[0], f) }
	return c
}

func (a *app) revisions(c *cobra.Command, name string, f revisionFlags) error {
	list, err := a.pools(c.CommandPath(), "POOL", []string{name})
	if err != nil {
		return err
	}
	if f.n < 1 || f.n > mostRevisions {
		return usage{a.T("--number: %d is not from 1 to %d.", f.n, mostRevisions), c.CommandPath() + " --help"}
	}
	req := &orchestratorv1.ListRevisionsRequest{Pool: list[0], DatasetId: f.dataset, Symbol: f.symbol, PageSize: f.n}
	if req.StartDate, req.EndDate, err = a.span(c.CommandPath(), f.from, f.to); err != nil {
		return err
	}
	client, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.call(c.Context())
	defer cancel()
	if f.run != "" {
		if req.RunId, err = a.runID(ctx, f.run); err != nil {
			return err
		}
	}
	resp, err := client.Runs.ListRevisions(ctx, req)
	if err != nil {
		return err
	}
	answer := output.Answer{Columns: []output.Column{
		{Key: "dataset_id", Title: a.T("dataset")}, {Key: "symbol", Title: a.T("symbol")}, {Key: "trade_date", Title: a.T("date")},
		{Key: "column", Title: a.T("column")}, {Key: "old_value", Title: a.T("before"), Right: true}, {Key: "new_value", Title: a.T("after"), Right: true},
		{Key: "change", Title: a.T("change")}, {Key: "seen_time", Title: a.T("seen at"), Drop: 1}, {Key: "run_id", Title: a.T("run"), Wide: true},
	}}
	for _, r := range resp.GetRevisions() {
		answer.Rows = append(answer.Rows, []any{
			r.GetDatasetId(), r.GetSymbol(), r.GetTradeDate(), r.GetColumn(), orNull(r.OldValue), orNull(r.NewValue),
			a.enum(r.GetChange(), "CHANGE_"), r.GetSeenTime(), r.GetRunId(),
		})
		answer.Records = append(answer.Records, r)
	}
	if err := a.printer.Print(answer); err != nil {
		return err
	}
	switch {
	case len(resp.GetRevisions()) == 0:
		a.say(a.T("There are no such revisions."))
	case resp.GetNextPageToken() != "":
		a.say(a.T("There are more; narrow the query or raise --number."))
	}
	return nil
}

// orNull is an optional text as a cell.
func orNull(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func (a *app) absentCommand() *cobra.Command {
	var dataset, date string
	c := &cobra.Command{
		Use: "absent POOL", Args: a.oneArg("POOL (targets, universe)", "afterbell absent --help"), ValidArgs: poolNames,
		Short: a.T("List listed symbols that have no row on a date"),
	}
	c.Flags().StringVar(&dataset, "dataset", "daily", a.T("`dataset` to list: daily, daily_basic, moneyflow or fund_daily"))
	c.Flags().StringVar(&date, "date", "", a.T("trade `date`, YYYY-MM-DD or today (required)"))
	c.RunE = func(c *cobra.Command, args []string) error {
		list, err := a.pools(c.CommandPath(), "POOL", args)
		if err != nil {
			return err
		}
		day, err := a.day(c.CommandPath(), "date", date)
		if err != nil {
			return err
		}
		if day == "" {
			return usage{a.T("%s requires %s.", c.CommandPath(), "--date"), c.CommandPath() + " --help"}
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Pools.ListAbsentSymbols(ctx, &orchestratorv1.ListAbsentSymbolsRequest{Pool: poolName(list[0]), DatasetId: dataset, TradeDate: day})
		if err != nil {
			return advised{err, "afterbell coverage " + poolName(list[0]) + " --from " + day + " --list"}
		}
		return a.printAbsent(resp.GetAbsentSymbols())
	}
	return c
}

func (a *app) printAbsent(symbols []*marketv1.AbsentSymbol) error {
	answer := output.Answer{Columns: []output.Column{
		{Key: "symbol", Title: a.T("symbol")}, {Key: "name", Title: a.T("name")}, {Key: "traded_before", Title: a.T("traded the day before")},
	}}
	for _, s := range symbols {
		answer.Rows = append(answer.Rows, []any{s.GetSymbol(), s.GetName(), s.GetTradedBefore()})
		answer.Records = append(answer.Records, s)
	}
	if err := a.printer.Print(answer); err != nil {
		return err
	}
	a.say(a.N(len(symbols), "%d symbol has no row.", "%d symbols have no row."))
	return nil
}
