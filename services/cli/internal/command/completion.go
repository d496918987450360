package command

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	afterbell "github.com/afterbell/afterbell/clients/go"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

func (a *app) completionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "completion SHELL", Short: a.T("Write a completion script: bash, zsh, fish or powershell"), ValidArgs: shells,
		Args:    a.oneArg("SHELL ("+strings.Join(shells, ", ")+")", "afterbell completion --help"),
		Example: "  source <(afterbell completion bash)",
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		root := c.Root()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(a.Out, true)
		case "zsh":
			return root.GenZshCompletion(a.Out)
		case "fish":
			return root.GenFishCompletion(a.Out, true)
		case "powershell":
			return root.GenPowerShellCompletionWithDesc(a.Out)
		}
		return usage{a.T("%q is not a supported shell: allowed are %s.", args[0], strings.Join(shells, ", ")), c.CommandPath() + " --help"}
	}
	return c
}

// completeTime is the timeout of a completion's call.
const completeTime = time.Second

// completeRuns offers the newest runs.
func (a *app) completeRuns(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	out := []cobra.Completion{"last"}
	if client, err := a.connect(); err == nil {
		ctx, cancel := context.WithTimeout(c.Context(), completeTime)
		defer cancel()
		if resp, err := client.Runs.ListRuns(ctx, &orchestratorv1.ListRunsRequest{PageSize: 20}); err == nil {
			for _, r := range resp.GetRuns() {
				out = append(out, cobra.CompletionWithDesc(r.GetRunId(), poolName(r.GetPool())+" "+a.T("%s (Shanghai)", output.Moment(r.GetCreateTime().AsTime(), afterbell.Shanghai))))
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeModules offers the modules that are built, and domains their names.
func (a *app) completeModules(domains bool) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var out []cobra.Completion
		if client, err := a.connect(); err == nil {
			ctx, cancel := context.WithTimeout(c.Context(), completeTime)
			defer cancel()
			if resp, err := client.Modules.ListDomains(ctx, &orchestratorv1.ListDomainsRequest{}); err == nil {
				for _, d := range resp.GetDomains() {
					if domains {
						out = append(out, cobra.CompletionWithDesc(d.GetDomain().GetDomainId(), d.GetDomain().GetTitle()))
						continue
					}
					for _, m := range d.GetModules() {
						if m.GetModule().GetSyncCapable() {
							out = append(out, cobra.CompletionWithDesc(m.GetModule().GetModuleId(), m.GetModule().GetTitle()))
						}
					}
				}
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
