package command

import (
	"github.com/spf13/cobra"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) limitsCommand() *cobra.Command {
	c := a.group("limits", a.T("List and forget the limits learned from the provider's refusals"))
	list := &cobra.Command{Use: "list", Short: a.T("List the limits, and when calls are allowed again"), Args: a.noArgs}
	list.RunE = func(c *cobra.Command, _ []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Limits.ListLimits(ctx, &orchestratorv1.ListLimitsRequest{})
		if err != nil {
			return err
		}
		if len(resp.GetLimits()) == 0 {
			a.say(a.T("The provider has refused no call for a limit within a week."))
		}
		return a.printLimits(resp.GetLimits())
	}
	forget := &cobra.Command{
		Use: "forget [API]...", Short: a.T("Forget limits, so that the next call is tried at once; use it after you have upgraded the token"),
		Example: "  afterbell limits forget stock_basic",
	}
	forget.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Limits.ForgetLimits(ctx, &orchestratorv1.ForgetLimitsRequest{ProviderApis: args})
		if err != nil {
			return err
		}
		a.say(a.N(len(resp.GetLimits()), "%d limit is forgotten.", "%d limits are forgotten."))
		if len(resp.GetLimits()) > 0 {
			a.hint("afterbell run")
		}
		return a.printLimits(resp.GetLimits())
	}
	c.AddCommand(list, forget)
	return c
}

func (a *app) printLimits(limits []*marketv1.LearntLimit) error {
	answer := output.Answer{Columns: []output.Column{
		{Key: "provider_api", Title: a.T("interface")}, {Key: "calls", Title: a.T("calls"), Right: true}, {Key: "window", Title: a.T("per")},
		{Key: "in_force", Title: a.T("in force")}, {Key: "open_time", Title: a.T("opens")}, {Key: "learn_time", Title: a.T("learned"), Drop: 1},
	}}
	for _, l := range limits {
		var calls any
		if l.GetCallCount() > 0 {
			calls = l.GetCallCount()
		}
		answer.Rows = append(answer.Rows, []any{l.GetProviderApi(), calls, a.enum(l.GetWindow(), "WINDOW_"), l.GetInForce(), l.GetOpenTime(), l.GetLearnTime()})
		answer.Records = append(answer.Records, l)
	}
	return a.printer.Print(answer)
}
