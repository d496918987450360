package command

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) targetsCommand() *cobra.Command {
	c := a.group("targets", a.T("Show and change the list that the targets pool follows"))
	list := &cobra.Command{Use: "list", Short: a.T("List the symbols and what they are"), Args: a.noArgs}
	list.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := a.targets(ctx)
		if err != nil {
			return err
		}
		if len(resp.GetTargets().GetSymbols()) == 0 {
			a.say(a.T("The list has no symbols."))
			a.hint("afterbell targets add 600519.SH")
		}
		return a.printTargets(resp.GetResolved())
	}
	c.AddCommand(list,
		a.changeTargets("add", a.T("Put symbols on the list"), func(saved, given []string) []string {
			return append(saved, given...)
		}),
		a.changeTargets("remove", a.T("Take symbols off the list; their rows stay"), func(saved, given []string) []string {
			return slices.DeleteFunc(saved, func(s string) bool { return slices.Contains(given, s) })
		}),
		a.changeTargets("set", a.T("Replace the whole list"), func(_, given []string) []string { return given }),
		a.previewTargets(),
	)
	return c
}

func (a *app) targets(ctx context.Context) (*orchestratorv1.GetTargetsResponse, error) {
	client, err := a.connect()
	if err != nil {
		return nil, err
	}
	return client.Targets.GetTargets(ctx, &orchestratorv1.GetTargetsRequest{})
}

func (a *app) printTargets(resolved []*orchestratorv1.ResolvedTarget) error {
	answer := output.Answer{Columns: []output.Column{
		{Key: "symbol", Title: a.T("symbol")}, {Key: "kind", Title: a.T("kind")}, {Key: "reasons", Title: a.T("why")},
	}}
	for _, t := range resolved {
		answer.Rows = append(answer.Rows, []any{t.GetSymbol(), a.enum(t.GetKind(), "INSTRUMENT_KIND_"), strings.Join(t.GetReasons(), ",")})
		answer.Records = append(answer.Records, t)
	}
	return a.printer.Print(answer)
}

// symbols are arguments, or the words of standard input for "-", in upper case.
func (a *app) symbols(args []string) ([]string, error) {
	if len(args) == 1 && args[0] == "-" {
		args = nil
		in := bufio.NewScanner(a.In)
		for in.Scan() {
			line, _, _ := strings.Cut(in.Text(), "#")
			args = append(args, strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t,;", r) })...)
		}
		if err := in.Err(); err != nil {
			return nil, err
		}
	}
	out := make([]string, len(args))
	for i, s := range args {
		out[i] = strings.ToUpper(strings.TrimSpace(s))
	}
	return out, nil
}

func (a *app) someSymbols(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage{a.T("%s needs symbols, as in 600519.SH, or - to read them from standard input.", c.CommandPath()), "afterbell targets list"}
	}
	return nil
}

func (a *app) changeTargets(name, short string, change func(saved, given []string) []string) *cobra.Command {
	c := &cobra.Command{Use: name + " SYMBOL...", Short: short, Args: a.someSymbols}
	c.RunE = func(c *cobra.Command, args []string) error {
		given, err := a.symbols(args)
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		saved, err := a.targets(ctx)
		if err != nil {
			return err
		}
		if name == "remove" {
			for _, s := range given {
				if !slices.Contains(saved.GetTargets().GetSymbols(), s) {
					return advised{errors.New(a.T("%s is not on the list.", s)), "afterbell targets list"}
				}
			}
		}
		symbols := change(slices.Clone(saved.GetTargets().GetSymbols()), given)
		resp, err := a.client.Targets.UpdateTargets(ctx, &orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: symbols}})
		if err != nil {
			return advised{err, "afterbell targets list"}
		}
		if err := a.printTargets(resp.GetResolved()); err != nil {
			return err
		}
		a.hint("afterbell run targets --watch")
		return nil
	}
	return c
}

func (a *app) previewTargets() *cobra.Command {
	c := &cobra.Command{Use: "preview SYMBOL...", Short: a.T("Show what a list would change, and change nothing"), Args: a.someSymbols}
	c.RunE = func(c *cobra.Command, args []string) error {
		given, err := a.symbols(args)
		if err != nil {
			return err
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Targets.PreviewTargets(ctx, &orchestratorv1.PreviewTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: given}})
		if err != nil {
			return advised{err, "afterbell targets list"}
		}
		answer := output.Answer{
			Columns:  []output.Column{{Key: "change", Title: a.T("change")}, {Key: "symbol", Title: a.T("symbol")}},
			Document: output.Proto{Message: resp},
		}
		add := func(mark string, symbols []string) {
			for _, s := range symbols {
				answer.Rows = append(answer.Rows, []any{output.Word{Text: a.T(mark), Raw: mark}, s})
				answer.Records = append(answer.Records, map[string]string{"change": mark, "symbol": s})
			}
		}
		add("added", resp.GetAddedSymbols())
		add("removed", resp.GetRemovedSymbols())
		if err := a.printer.Print(answer); err != nil {
			return err
		}
		a.say(a.T("The list would have %d symbols and need these modules: %s.", len(resp.GetResolved()), strings.Join(resp.GetModuleIds(), ", ")))
		return nil
	}
	return c
}

// group is a command that only has others below it.
func (a *app) group(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage{a.T("There is no command %q.", c.CommandPath()+" "+args[0]), c.CommandPath() + " --help"}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
}
