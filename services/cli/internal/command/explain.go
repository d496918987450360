package command

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	afterbell "github.com/afterbell/afterbell/clients/go"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "explain [SLOT|DATE]", Short: a.T("Explain why an evening's run did or did not happen"),
		Long: a.T("Explains step by step what happened with an evening and why. A SLOT is a date and a pool, as in 2026-11-27.universe. For a DATE, both pools are explained. The default is the last evening that was due."),
		Args: a.maybeArg,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := a.call(c.Context())
		defer cancel()
		var ids []string
		var err error
		if len(args) == 1 {
			ids, err = a.slotIDs(c.CommandPath(), args[0])
		} else {
			ids, err = a.lastSlots(ctx)
		}
		if err != nil {
			return err
		}
		return a.explain(ctx, ids)
	}
	return c
}

// slotIDs are the slots that an argument names.
func (a *app) slotIDs(path, arg string) ([]string, error) {
	date, name, one := strings.Cut(arg, ".")
	if date == "today" {
		date = a.now().In(a.printer.Zone).Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return nil, usage{a.T("%q is neither a date nor a slot: write YYYY-MM-DD or YYYY-MM-DD.universe.", arg), path + " --help"}
	}
	if one {
		if _, err := a.pools(path, "SLOT", []string{name}); err != nil {
			return nil, err
		}
		return []string{date + "." + name}, nil
	}
	var ids []string
	for _, p := range poolNames {
		ids = append(ids, date+"."+p)
	}
	return ids, nil
}

// lastSlots are the newest slots that came due, one for each pool.
func (a *app) lastSlots(ctx context.Context) (ids []string, err error) {
	client, err := a.connect()
	if err != nil {
		return nil, err
	}
	var coming []string
	for _, name := range poolNames {
		resp, err := client.Schedule.ListSlots(ctx, &orchestratorv1.ListSlotsRequest{Pool: pool(name)})
		if err != nil {
			return nil, err
		}
		next := ""
		for _, s := range resp.GetSlots() {
			if !s.GetDueTime().AsTime().After(a.now()) {
				ids = append(ids, s.GetSlotId())
				break
			}
			next = s.GetSlotId()
		}
		if next != "" {
			coming = append(coming, next)
		}
	}
	if len(ids) == 0 { // a new installation: the first one to come
		ids = coming
	}
	if len(ids) == 0 {
		return nil, advised{errors.New(a.T("There are no slots yet.")), "afterbell schedule show"}
	}
	return ids, nil
}

func (a *app) explain(ctx context.Context, ids []string) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	answer := output.Answer{Columns: []output.Column{
		{Key: "slot_id", Title: a.T("slot")}, {Key: "state", Title: a.T("state")}, {Key: "due_time", Title: a.T("due at")},
		{Key: "run_id", Title: a.T("run")}, {Key: "next_command", Title: a.T("next"), Wide: true},
	}}
	var found []*orchestratorv1.ExplainSlotResponse
	var missing error
	for _, id := range ids {
		resp, err := client.Schedule.ExplainSlot(ctx, &orchestratorv1.ExplainSlotRequest{SlotId: id})
		if errors.Is(err, afterbell.ErrNotFound) && len(ids) > 1 {
			missing = err
			continue
		}
		if err != nil {
			return err
		}
		found = append(found, resp)
		s := resp.GetSlot()
		answer.Rows = append(answer.Rows, []any{s.GetSlotId(), a.enum(s.GetState(), "STATE_"), s.GetDueTime(), s.GetRunId(), a.commands(resp.GetNextCommand())})
		answer.Records = append(answer.Records, resp)
	}
	if len(found) == 0 {
		return missing
	}
	if err := a.printer.Print(answer); err != nil {
		return err
	}
	if a.printer.Format == output.Table {
		for n, resp := range found {
			a.story(resp.GetExplanation(), resp.GetLocalizedExplanation())
			same := func(later *orchestratorv1.ExplainSlotResponse) bool {
				return later.GetNextCommand() == resp.GetNextCommand()
			}
			if !slices.ContainsFunc(found[n+1:], same) { // once for both pools
				a.hint(a.commands(resp.GetNextCommand()))
			}
		}
	}
	return nil
}
