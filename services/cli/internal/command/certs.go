package command

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/afterbell/afterbell/services/cli/internal/output"
	"github.com/afterbell/afterbell/services/internal/certs"
	"github.com/afterbell/afterbell/services/internal/fault"
)

func (a *app) certsCommand() *cobra.Command {
	var r certs.Request
	c := &cobra.Command{
		Use: "certs", Args: a.noArgs, Short: a.T("Create certificates for an orchestrator and a worker on two machines"),
		Long: a.T("Creates a private CA in a directory, and one certificate each for the orchestrator and the worker. In a directory that has a CA, it renews both certificates. Copy ca.crt and its own .crt and .key file to each machine; keep ca.key away from both. It calls no service."),
	}
	c.Flags().StringVar(&r.Dir, "dir", "certs", a.T("`directory` for the files; it is created if it does not exist"))
	c.Flags().StringSliceVar(&r.Orchestrator, "orchestrator-host", nil, a.T("`names` and IP addresses by which the orchestrator is reached, separated by commas"))
	c.Flags().StringSliceVar(&r.Worker, "worker-host", nil, a.T("`names` and IP addresses by which the worker is reached, separated by commas"))
	c.Flags().IntVar(&r.Days, "days", certs.DefaultDays, a.T("`number` of days that the certificates are valid, 1 to %d", certs.MaxDays))
	c.RunE = func(c *cobra.Command, _ []string) error {
		r.Now = a.now()
		if r.Days == 0 { // which would mean the default
			r.Days = -1
		}
		made, err := certs.Make(r)
		if f, ok := fault.As(err); ok {
			flag := map[string]string{"orchestrator": "orchestrator-host", "worker": "worker-host"}[f.Meta["field"]]
			return usage{"--" + cmp.Or(flag, f.Meta["field"]) + ": " + f.Fields[0].Problem, c.CommandPath() + " --help"}
		}
		if err != nil {
			return err
		}
		answer := output.Answer{Columns: []output.Column{{Key: "file", Title: a.T("file")}}}
		for _, f := range made.Files {
			answer.Rows = append(answer.Rows, []any{f})
			answer.Records = append(answer.Records, map[string]string{"file": f})
		}
		if err := a.printer.Print(answer); err != nil {
			return err
		}
		a.say(a.T("The orchestrator's certificate is for %s.", strings.Join(slices.Concat(made.Orchestrator, certs.Own), ", ")))
		a.say(a.T("The worker's certificate is for %s.", strings.Join(slices.Concat(made.Worker, certs.Own), ", ")))
		if !made.NewCA {
			a.say(a.T("The CA of the directory signed them."))
		}
		a.say(a.T("The certificates expire on %s.", made.Expires.In(a.printer.Zone).Format("2006-01-02")))
		return nil
	}
	return c
}
