package command

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/afterbell/afterbell/services/cli/internal/doctor"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) doctorCommand() *cobra.Command {
	var f doctor.Options
	c := &cobra.Command{
		Use: "doctor", Args: a.noArgs, Short: a.T("Find problems of the installation and say what to do"),
		Long: a.T("Checks addresses, builds, clock, time zone, disk, files and their locks, token and schedule, and says what to do about each finding. It changes nothing. The exit code is 0 if nothing is wrong, 5 if a service cannot be reached, and 1 otherwise."),
	}
	c.Flags().StringVar(&f.DataDir, "data-dir", "", a.T("data `directory` of the services (AFTERBELL_DATA_DIR; default the one that the orchestrator uses, or data)"))
	c.Flags().StringVar(&f.HTTPAddr, "http-addr", "", a.T("`address` of the orchestrator's REST port (AFTERBELL_HTTP_ADDR; default 127.0.0.1:7780)"))
	c.Flags().StringVar(&f.ProviderURL, "tushare-url", "", a.T("`address` of the provider, for the clock (AFTERBELL_TUSHARE_URL; default the one that the worker calls)"))
	c.RunE = func(c *cobra.Command, _ []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		if f.Access, err = a.access(); err != nil {
			return err
		}
		f.DataDir = cmp.Or(f.DataDir, a.Env("AFTERBELL_DATA_DIR"))
		if f.HTTPAddr, err = a.restAddr(c, f.HTTPAddr); err != nil {
			return err
		}
		f.ProviderURL = cmp.Or(f.ProviderURL, a.Env("AFTERBELL_TUSHARE_URL"))
		f.Client, f.Lang, f.Now, f.Zone, f.Commands, f.Translate = client, a.Lang, a.now, a.printer.Zone, a.commands, a.translated
		return a.doctor(c.Context(), f)
	}
	return c
}

// doctorTime bounds all checks together.
const doctorTime = time.Minute

func (a *app) doctor(ctx context.Context, f doctor.Options) error {
	checking, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	findings := doctor.Examine(checking, f)
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	answer := output.Answer{Columns: []output.Column{
		{Key: "check", Title: a.T("check")}, {Key: "state", Title: a.T("state")}, {Key: "remedy", Title: a.T("what to do"), Wide: true}, {Key: "found", Title: a.T("found")},
	}}
	code, wrong, remedy := ExitWhole, 0, ""
	for _, d := range findings {
		answer.Rows = append(answer.Rows, []any{
			output.Word{Text: a.T(d.Check), Raw: d.Check}, output.Word{Text: a.T(string(d.State)), Raw: string(d.State)}, d.Remedy, d.Found,
		})
		answer.Records = append(answer.Records, d)
		if d.State != doctor.Wrong {
			continue
		}
		wrong++
		if remedy == "" {
			remedy = d.Remedy
		}
		switch {
		case d.Unreachable:
			code = ExitUnreachable
		case code == ExitWhole:
			code = ExitFailed
		}
	}
	if err := a.printer.Print(answer); err != nil {
		return err
	}
	told := map[string]bool{} // many findings may have one remedy
	for _, d := range findings {
		if d.State != doctor.Fine && d.Remedy != "" && !told[d.Remedy] {
			told[d.Remedy] = true
			a.say(a.T(d.Check) + ": " + d.Remedy)
		}
	}
	if wrong == 0 {
		a.say(a.T("Nothing is wrong."))
		return nil
	}
	if command := commandIn(remedy); command != "" {
		a.next(command)
	}
	return exit{code}
}
