package command

import (
	"context"

	"github.com/spf13/cobra"

	afterbell "github.com/afterbell/afterbell/clients/go"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) domainsCommand() *cobra.Command {
	c := a.group("domains", a.T("List, enable and disable domains"))
	a.domainList(c)
	list := &cobra.Command{Use: "list", Short: a.T("List domains and modules (the default)")}
	a.domainList(list)
	c.AddCommand(list)
	var provider string
	set := &cobra.Command{Use: "set DOMAIN", Short: a.T("Change a domain's provider"), Args: a.oneArg("DOMAIN", "afterbell domains")}
	set.Flags().StringVar(&provider, "provider", "", a.T("`provider` to use, as in tushare"))
	set.RunE = func(c *cobra.Command, args []string) error {
		if provider == "" {
			return usage{a.T("%s requires %s.", c.CommandPath(), "--provider"), c.CommandPath() + " --help"}
		}
		return a.updateDomain(c.Context(), &orchestratorv1.UpdateDomainRequest{DomainId: args[0], ProviderId: &provider})
	}
	c.AddCommand(set)
	for _, on := range []bool{true, false} {
		one := &cobra.Command{Use: switchName(on) + " DOMAIN...", Args: a.someArgs("DOMAIN", "afterbell domains"), ValidArgsFunction: a.completeModules(true)}
		one.Short = map[bool]string{true: a.T("Enable domains"), false: a.T("Disable domains")}[on]
		one.RunE = func(c *cobra.Command, args []string) error {
			for _, id := range args {
				if err := a.updateDomain(c.Context(), &orchestratorv1.UpdateDomainRequest{DomainId: id, Enabled: &on}); err != nil {
					return err
				}
			}
			return a.printDomains(c.Context(), false)
		}
		c.AddCommand(one)
	}
	return c
}

func (a *app) modulesCommand() *cobra.Command {
	c := a.group("modules", a.T("List, enable and disable modules"))
	a.domainList(c)
	list := &cobra.Command{Use: "list", Short: a.T("List domains and modules (the default)")}
	a.domainList(list)
	c.AddCommand(list)
	for _, on := range []bool{true, false} {
		one := &cobra.Command{Use: switchName(on) + " MODULE...", Args: a.someArgs("MODULE", "afterbell modules"), ValidArgsFunction: a.completeModules(false)}
		one.Short = map[bool]string{true: a.T("Enable modules"), false: a.T("Disable modules")}[on]
		one.RunE = func(c *cobra.Command, args []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			for _, id := range args {
				ctx, cancel := a.call(c.Context())
				_, err := client.Modules.UpdateModule(ctx, &orchestratorv1.UpdateModuleRequest{ModuleId: id, Enabled: &on})
				cancel()
				if err != nil {
					return advised{err, "afterbell modules --all"}
				}
			}
			return a.printDomains(c.Context(), false)
		}
		c.AddCommand(one)
	}
	return c
}

// domainList lets a command list the domains and their modules.
func (a *app) domainList(c *cobra.Command) {
	c.Args = a.noArgsOrCommand
	all := c.Flags().Bool("all", false, a.T("also list modules that are not implemented"))
	c.RunE = func(c *cobra.Command, _ []string) error { return a.printDomains(c.Context(), *all) }
}

func switchName(on bool) string {
	if on {
		return "enable"
	}
	return "disable"
}

func (a *app) noArgsOrCommand(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage{a.T("There is no command %q.", c.CommandPath()+" "+args[0]), c.CommandPath() + " --help"}
	}
	return nil
}

func (a *app) updateDomain(ctx context.Context, req *orchestratorv1.UpdateDomainRequest) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.call(ctx)
	defer cancel()
	if _, err := client.Modules.UpdateDomain(ctx, req); err != nil {
		return advised{err, "afterbell domains --all"}
	}
	return nil
}

func (a *app) printDomains(ctx context.Context, all bool) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.call(ctx)
	defer cancel()
	resp, err := client.Modules.ListDomains(ctx, &orchestratorv1.ListDomainsRequest{})
	if err != nil {
		return err
	}
	answer := output.Answer{
		Columns: []output.Column{
			{Key: "domain_id", Title: a.T("domain")}, {Key: "domain_enabled", Title: a.T("domain on"), Drop: 1}, {Key: "provider_id", Title: a.T("provider"), Drop: 3},
			{Key: "module_id", Title: a.T("module")}, {Key: "enabled", Title: a.T("on")}, {Key: "built", Title: a.T("built"), Wide: !all},
			{Key: "probe", Title: a.T("probe")}, {Key: "probe_time", Title: a.T("probed at"), Drop: 4}, {Key: "stale", Title: a.T("stale"), Drop: 2}, {Key: "reason", Title: a.T("reason")},
		},
		Document: output.Proto{Message: resp},
	}
	for _, d := range resp.GetDomains() {
		for _, m := range d.GetModules() {
			if !m.GetModule().GetSyncCapable() && !all && a.printer.Format == output.Table {
				continue
			}
			var why any
			if issues := m.GetProbe().GetIssues(); len(issues) > 0 {
				why = reason(issues[0].GetReason())
			}
			answer.Rows = append(answer.Rows, []any{
				d.GetDomain().GetDomainId(), d.GetEnabled(), d.GetProviderId(), m.GetModule().GetModuleId(), m.GetEnabled(), m.GetModule().GetSyncCapable(),
				a.enum(m.GetProbe().GetStatus(), "STATUS_"), m.GetProbe().GetProbeTime(), m.GetProbe().GetStale(), why,
			})
			answer.Records = append(answer.Records, m)
		}
	}
	if err := a.printer.Print(answer); err != nil {
		return err
	}
	var list []found
	failed, stale := false, false
	for _, d := range resp.GetDomains() {
		for _, m := range d.GetModules() {
			p := m.GetProbe()
			for _, i := range p.GetIssues() {
				list = append(list, found{m.GetModule().GetModuleId(), i})
			}
			if d.GetEnabled() && m.GetEnabled() && p.GetStatus() == orchestratorv1.Probe_STATUS_FAIL {
				failed, stale = true, stale || p.GetStale()
			}
		}
	}
	a.sayFound(list)
	switch {
	case stale: // the token or the configuration has changed since, or it is long ago
		a.hint("afterbell preflight")
	case failed:
		a.hint(a.remedyNow(ctx, client))
	}
	return nil
}

// remedyNow is the command that unblocks a pool, or one that checks the pools.
func (a *app) remedyNow(ctx context.Context, client *afterbell.Client) string {
	resp, err := client.Modules.GetReadiness(ctx, &orchestratorv1.GetReadinessRequest{})
	if err != nil {
		return "afterbell preflight"
	}
	for _, v := range resp.GetVerdicts() {
		if v.GetDecision() == orchestratorv1.PoolVerdict_DECISION_READY {
			continue
		}
		if command := a.remedyCommand(v.GetIssues()); command != "" {
			return command
		}
	}
	return "afterbell preflight"
}
