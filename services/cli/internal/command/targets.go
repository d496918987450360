package command

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	afterbell "github.com/afterbell/afterbell/clients/go"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) targetsCommand() *cobra.Command {
	c := a.group("targets", a.T("Show and change the target list"))
	list := &cobra.Command{Use: "list", Short: a.T("List the symbols and their kinds"), Args: a.noArgs}
	list.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := a.targets(ctx)
		if err != nil {
			return err
		}
		if len(resp.GetResolved()) == 0 {
			a.say(a.T("The list has no symbols."))
			a.hint("afterbell targets add 600519.SH")
		}
		return a.printTargets(resp.GetResolved())
	}
	c.AddCommand(list, a.addTargets(), a.removeTargets(), a.setCommand(), a.previewTargets(), a.targetSets(), a.replaceSet(), a.deleteSet(), a.search())
	return c
}

func (a *app) targets(ctx context.Context) (*orchestratorv1.GetTargetsResponse, error) {
	client, err := a.connect()
	if err != nil {
		return nil, err
	}
	return client.Targets.GetTargets(ctx, &orchestratorv1.GetTargetsRequest{})
}

// setsOf names the sets that have a symbol, and until when.
func (a *app) setsOf(t *orchestratorv1.ResolvedTarget) string {
	var names []string
	for _, m := range t.GetMemberships() {
		name := m.GetSetId()
		if at := m.GetExpireTime(); at != nil {
			name = a.T("%s until %s", name, a.moment(at.AsTime()))
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

func (a *app) printTargets(resolved []*orchestratorv1.ResolvedTarget) error {
	answer := output.Answer{Columns: []output.Column{
		{Key: "symbol", Title: a.T("symbol")}, {Key: "name", Title: a.T("name")}, {Key: "kind", Title: a.T("kind")}, {Key: "sets", Title: a.T("sets")},
	}}
	for _, t := range resolved {
		answer.Rows = append(answer.Rows, []any{t.GetSymbol(), t.GetName(), a.enum(t.GetKind(), "INSTRUMENT_KIND_"), a.setsOf(t)})
		answer.Records = append(answer.Records, t)
	}
	return a.printer.Print(answer)
}

// symbols are the arguments, or the words of standard input for "-", in upper case. Commas
// separate them, too. Empty standard input is an error, because the program that wrote it
// has failed.
func (a *app) symbols(c *cobra.Command, args []string) (out []string, err error) {
	text, from := strings.Join(args, " "), "SYMBOL"
	if len(args) == 1 && args[0] == "-" {
		var lines strings.Builder
		in := bufio.NewScanner(a.In)
		for in.Scan() {
			line, _, _ := strings.Cut(in.Text(), "#")
			lines.WriteString(line + "\n")
		}
		if err := in.Err(); err != nil {
			return nil, err
		}
		text, from = lines.String(), a.T("symbols on standard input")
	}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",;，、；", r) }) {
		if !symbolForm().MatchString(word) {
			if info, err := os.Stat(word); err == nil && info.Mode().IsRegular() {
				return nil, usage{a.T("%s is a file; symbols are read from standard input.", word), strings.Join(append(commandBefore(c, args), "-", "<", word), " ")}
			}
		}
		out = append(out, strings.ToUpper(word))
	}
	if len(out) == 0 {
		return nil, usage{a.T("%s requires %s.", c.CommandPath(), from), c.CommandPath() + " --help"}
	}
	return out, nil
}

// symbolForm is how a symbol is written: a file of that name is not meant.
var symbolForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)^\d{6}\.(SH|SZ|BJ)$`) })

// commandBefore is the command line up to the symbols.
func commandBefore(c *cobra.Command, symbols []string) []string {
	given := c.Flags().Args()
	return append([]string{c.CommandPath()}, given[:len(given)-len(symbols)]...)
}

func (a *app) someSymbols(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage{a.T("%s requires symbols such as 600519.SH, or - to read them from standard input.", c.CommandPath()), "afterbell targets list"}
	}
	return nil
}

// changed prints the target list after a change, and which symbols were stored under
// another code.
func (a *app) changed(ctx context.Context, replaced []*orchestratorv1.ReplacedSymbol) error {
	a.tellReplaced(replaced)
	resp, err := a.targets(ctx)
	if err != nil {
		return err
	}
	if err := a.printTargets(resp.GetResolved()); err != nil {
		return err
	}
	a.hint("afterbell run targets --watch")
	return nil
}

func (a *app) tellReplaced(replaced []*orchestratorv1.ReplacedSymbol) {
	for _, r := range replaced {
		a.say(a.T("%s is now %s %s.", r.GetOldSymbol(), r.GetSymbol(), r.GetName()))
	}
}

// until adds the flag --until, and returns a function that parses it.
func (a *app) until(c *cobra.Command) func(now time.Time) (*timestamppb.Timestamp, error) {
	text := c.Flags().String("until", "", a.T("when they expire: a `date`, inclusive, in Shanghai, or a duration such as 7d"))
	return func(now time.Time) (*timestamppb.Timestamp, error) {
		if *text == "" {
			return nil, nil
		}
		if days, ok := strings.CutSuffix(*text, "d"); ok {
			if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 10_000 {
				return timestamppb.New(now.AddDate(0, 0, n)), nil
			}
		}
		if d, err := time.ParseDuration(*text); err == nil && d > 0 {
			return timestamppb.New(now.Add(d)), nil
		}
		if day, err := time.ParseInLocation(time.DateOnly, *text, afterbell.Shanghai); err == nil {
			return timestamppb.New(day.AddDate(0, 0, 1)), nil
		}
		return nil, usage{"--until: " + a.T("%q is neither a date such as 2026-12-31 nor a duration such as 7d or 36h", *text), c.CommandPath() + " --help"}
	}
}

func (a *app) setFlag(c *cobra.Command, about string) *string {
	return c.Flags().String("set", "", about)
}

func (a *app) unlistedFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("allow-unlisted", false, a.T("accept symbols that are not in the instrument list yet"))
}

func (a *app) addTargets() *cobra.Command {
	c := &cobra.Command{Use: "add SYMBOL...", Short: a.T("Add symbols to the list"), Args: a.someSymbols}
	set := a.setFlag(c, a.T("`name` of the set (default: default, or temporary with --until)"))
	until, unlisted := a.until(c), a.unlistedFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		given, err := a.symbols(c, args)
		if err != nil {
			return err
		}
		end, err := until(time.Now())
		if err != nil {
			return err
		}
		id := cmp.Or(*set, "default")
		if *set == "" && end != nil {
			id = "temporary"
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Targets.AddTargetSymbols(ctx, &orchestratorv1.AddTargetSymbolsRequest{SetId: id, Symbols: given, ExpireTime: end, AllowUnlisted: *unlisted})
		if err != nil {
			return advised{err, "afterbell targets list"}
		}
		return a.changed(ctx, resp.GetReplacedSymbols())
	}
	return c
}

func (a *app) removeTargets() *cobra.Command {
	c := &cobra.Command{Use: "remove SYMBOL...", Short: a.T("Remove symbols from the list; their rows stay"), Args: a.someSymbols}
	set := a.setFlag(c, a.T("`name` of the set (default: default and temporary)"))
	c.RunE = func(c *cobra.Command, args []string) error {
		given, err := a.symbols(c, args)
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		saved, err := a.targets(ctx)
		if err != nil {
			return err
		}
		from := map[string][]string{}
		for _, s := range given {
			i := slices.IndexFunc(saved.GetResolved(), func(t *orchestratorv1.ResolvedTarget) bool { return t.GetSymbol() == s })
			if i < 0 {
				return advised{errors.New(a.T("%s is not on the list.", s)), "afterbell targets list"}
			}
			found := false
			for _, m := range saved.GetResolved()[i].GetMemberships() {
				if id := m.GetSetId(); id == *set || *set == "" && (id == "default" || id == "temporary") {
					from[id], found = append(from[id], s), true
				}
			}
			if !found {
				in := saved.GetResolved()[i].GetMemberships()[0].GetSetId()
				return advised{errors.New(a.T("%s is on the list because of the set %s.", s, in)), "afterbell targets remove " + s + " --set " + in}
			}
		}
		for _, id := range slices.Sorted(maps.Keys(from)) {
			_, err := a.client.Targets.RemoveTargetSymbols(ctx, &orchestratorv1.RemoveTargetSymbolsRequest{SetId: id, Symbols: from[id]})
			if err != nil {
				return advised{err, "afterbell targets sets"}
			}
		}
		return a.changed(ctx, nil)
	}
	return c
}

func (a *app) setCommand() *cobra.Command {
	c := &cobra.Command{Use: "set SYMBOL...", Short: a.T("Replace the whole list"), Args: a.someSymbols}
	unlisted := a.unlistedFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		given, err := a.symbols(c, args)
		if err != nil {
			return err
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Targets.UpdateTargets(ctx, &orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: given}, AllowUnlisted: *unlisted})
		if err != nil {
			return advised{err, "afterbell targets list"}
		}
		return a.changed(ctx, resp.GetReplacedSymbols())
	}
	return c
}

func (a *app) previewTargets() *cobra.Command {
	c := &cobra.Command{Use: "preview SYMBOL...", Short: a.T("Show what targets set, or targets replace with --set, would change, without changing it"), Args: a.someSymbols}
	set := a.setFlag(c, a.T("`name` of the set that would have them (default: default)"))
	until, unlisted := a.until(c), a.unlistedFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		given, err := a.symbols(c, args)
		if err != nil {
			return err
		}
		end, err := until(time.Now())
		if err != nil {
			return err
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Targets.PreviewTargets(ctx, &orchestratorv1.PreviewTargetsRequest{
			Targets: &orchestratorv1.Targets{Symbols: given}, SetId: *set, ExpireTime: end, AllowUnlisted: *unlisted,
		})
		if err != nil {
			return advised{err, "afterbell targets list"}
		}
		a.tellReplaced(resp.GetReplacedSymbols())
		sets := map[string]string{}
		for _, t := range resp.GetResolved() {
			sets[t.GetSymbol()] = a.setsOf(t)
		}
		answer := output.Answer{
			Columns:  []output.Column{{Key: "change", Title: a.T("change")}, {Key: "symbol", Title: a.T("symbol")}, {Key: "sets", Title: a.T("sets")}},
			Document: output.Proto{Message: resp},
		}
		add := func(mark string, symbols []string) {
			for _, s := range symbols {
				answer.Rows = append(answer.Rows, []any{output.Word{Text: a.T(mark), Raw: mark}, s, sets[s]})
				answer.Records = append(answer.Records, map[string]string{"change": mark, "symbol": s, "sets": sets[s]})
			}
		}
		add("added", resp.GetAddedSymbols())
		add("removed", resp.GetRemovedSymbols())
		if err := a.printer.Print(answer); err != nil {
			return err
		}
		a.say(a.N(len(resp.GetResolved()), "The list would have %d symbol and need these modules: %s.", "The list would have %d symbols and need these modules: %s.", strings.Join(resp.GetModuleIds(), ", ")))
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
