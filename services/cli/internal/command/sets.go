package command

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) targetSets() *cobra.Command {
	c := &cobra.Command{Use: "sets [NAME]", Short: a.T("List the sets of the target list, or the symbols of one set"), Args: a.maybeArg}
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		if len(args) == 1 {
			resp, err := client.Targets.GetTargetSet(ctx, &orchestratorv1.GetTargetSetRequest{SetId: args[0]})
			if err != nil {
				return advised{err, "afterbell targets sets"}
			}
			return a.printSet(resp.GetSet())
		}
		resp, err := client.Targets.ListTargetSets(ctx, &orchestratorv1.ListTargetSetsRequest{})
		if err != nil {
			return err
		}
		answer := output.Answer{Columns: []output.Column{
			{Key: "set", Title: a.T("set")}, {Key: "symbols", Title: a.T("symbols"), Right: true}, {Key: "changed", Title: a.T("changed")},
			{Key: "etag", Title: "etag"}, {Key: "note", Title: a.T("note")},
		}}
		for _, s := range resp.GetSets() {
			answer.Rows = append(answer.Rows, []any{s.GetSetId(), len(s.GetEntries()), a.at(s.GetUpdateTime()), s.GetEtag(), s.GetNote()})
			answer.Records = append(answer.Records, s)
		}
		return a.printer.Print(answer)
	}
	return c
}

func (a *app) printSet(s *orchestratorv1.TargetSet) error {
	answer := output.Answer{
		Columns:  []output.Column{{Key: "symbol", Title: a.T("symbol")}, {Key: "until", Title: a.T("until")}},
		Document: output.Proto{Message: s},
	}
	for _, e := range s.GetEntries() {
		answer.Rows = append(answer.Rows, []any{e.GetSymbol(), a.at(e.GetExpireTime())})
		answer.Records = append(answer.Records, e)
	}
	return a.printer.Print(answer)
}

func (a *app) replaceSet() *cobra.Command {
	c := &cobra.Command{
		Use: "replace NAME SYMBOL...", Short: a.T("Replace a set; - reads its symbols from standard input"),
		Example: "  afterbell targets replace holdings - < book.txt",
		Args:    a.someArgs("NAME", "afterbell targets sets"),
	}
	empty := c.Flags().Bool("empty", false, a.T("replace it by a set without symbols"))
	etag := c.Flags().String("etag", "", a.T("fail if the set does not have this `etag`"))
	note := c.Flags().String("note", "", a.T("`description` of the set"))
	until, unlisted := a.until(c), a.unlistedFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var given []string
		var err error
		switch {
		case *empty && len(args) > 1:
			return usage{a.T("%s accepts either symbols or --empty.", c.CommandPath()), c.CommandPath() + " --help"}
		case !*empty:
			if given, err = a.symbols(c, args[1:]); err != nil {
				return err
			}
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
		resp, err := client.Targets.ReplaceTargetSet(ctx, &orchestratorv1.ReplaceTargetSetRequest{
			SetId: args[0], Symbols: given, ExpireTime: end, Etag: *etag, Note: *note, AllowUnlisted: *unlisted,
		})
		if err != nil {
			return advised{err, "afterbell targets sets"}
		}
		a.tellReplaced(resp.GetReplacedSymbols())
		a.say(a.N(len(resp.GetAddedSymbols()), "%d symbol was added to the list.", "%d symbols were added to the list."))
		a.say(a.N(len(resp.GetRemovedSymbols()), "%d symbol was removed from the list.", "%d symbols were removed from the list."))
		return a.printSet(resp.GetSet())
	}
	return c
}

func (a *app) deleteSet() *cobra.Command {
	c := &cobra.Command{Use: "delete NAME", Short: a.T("Delete a set; its symbols leave the list unless another set has them"), Args: a.oneArg("NAME", "afterbell targets sets")}
	etag := c.Flags().String("etag", "", a.T("fail if the set does not have this `etag`"))
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		if _, err := client.Targets.DeleteTargetSet(ctx, &orchestratorv1.DeleteTargetSetRequest{SetId: args[0], Etag: *etag}); err != nil {
			return advised{err, "afterbell targets sets"}
		}
		return a.changed(ctx, nil)
	}
	return c
}

func (a *app) search() *cobra.Command {
	c := &cobra.Command{Use: "search TEXT", Short: a.T("Find stocks and ETFs by code, name or pinyin initials"), Args: a.someArgs("TEXT", "afterbell targets search --help")}
	delisted := c.Flags().Bool("delisted", false, a.T("also find delisted ones"))
	limit := c.Flags().Int32("limit", 20, a.T("list at most this `number`, 1 to 200"))
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Targets.SearchInstruments(ctx, &orchestratorv1.SearchInstrumentsRequest{
			Query: strings.Join(args, " "), PageSize: *limit, IncludeDelisted: *delisted,
		})
		if err != nil {
			return err
		}
		answer := output.Answer{Columns: []output.Column{
			{Key: "symbol", Title: a.T("symbol")}, {Key: "name", Title: a.T("name")}, {Key: "kind", Title: a.T("kind")},
			{Key: "listed", Title: a.T("listed")}, {Key: "delisted", Title: a.T("delisted")},
		}}
		for _, i := range resp.GetInstruments() {
			answer.Rows = append(answer.Rows, []any{i.GetSymbol(), i.GetName(), a.enum(i.GetKind(), "INSTRUMENT_KIND_"), i.GetListDate(), i.GetDelistDate()})
			answer.Records = append(answer.Records, i)
		}
		if resp.GetMore() {
			a.say(a.T("There are more; --limit shows them."))
		}
		if len(answer.Rows) == 0 {
			a.say(a.T("Nothing was found."))
		}
		return a.printer.Print(answer)
	}
	return c
}

// at formats a time for users, empty if there is none.
func (a *app) at(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return a.moment(t.AsTime())
}
