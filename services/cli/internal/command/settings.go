package command

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/fields"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) scheduleCommand() *cobra.Command {
	c := a.group("schedule", a.T("Show and change the schedule"))
	show := &cobra.Command{Use: "show", Short: a.T("Show the schedule and its next start"), Args: a.noArgs}
	show.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.schedule(c.Context())
		if err != nil {
			return err
		}
		return a.printSchedule(s)
	}
	set := &cobra.Command{Use: "set", Short: a.T("Change the schedule"), Args: a.noArgs}
	given := a.fieldFlags(set, &orchestratorv1.UpdateScheduleRequest{})
	set.RunE = func(c *cobra.Command, _ []string) error {
		req := &orchestratorv1.UpdateScheduleRequest{}
		if err := a.fill(c, req, given); err != nil {
			return err
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Schedule.UpdateSchedule(ctx, req)
		if err != nil {
			return advised{err, "afterbell schedule set --help"}
		}
		return a.printSchedule(resp.GetSchedule())
	}
	var note, catchUp string
	pause := &cobra.Command{Use: "pause", Short: a.T("Pause the schedule: slots that are due are skipped"), Args: a.noArgs}
	pause.Flags().StringVar(&note, "note", "", a.T("who does this and why, at most 500 characters"))
	pause.RunE = func(c *cobra.Command, _ []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Schedule.PauseSchedule(ctx, &orchestratorv1.PauseScheduleRequest{Note: note})
		if err != nil {
			return err
		}
		return a.printSchedule(resp.GetSchedule())
	}
	resume := &cobra.Command{Use: "resume", Short: a.T("Resume the schedule"), Args: a.noArgs}
	resume.Flags().StringVar(&note, "note", "", a.T("who does this and why, at most 500 characters"))
	choices, _ := fields.Allowed(&orchestratorv1.ResumeScheduleRequest{}, "catch_up")
	resume.Flags().StringVar(&catchUp, "catch-up", "", a.T("what to do with missed slots: %s (default: as in the schedule)", choices))
	resume.RunE = func(c *cobra.Command, _ []string) error {
		req := &orchestratorv1.ResumeScheduleRequest{Note: note}
		if catchUp != "" {
			if err := fields.Set(req, "catch_up", catchUp); err != nil {
				return usage{"--catch-up: " + a.notAllowed(err), c.CommandPath() + " --help"}
			}
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Schedule.ResumeSchedule(ctx, req)
		if err != nil {
			return err
		}
		return a.printSchedule(resp.GetSchedule())
	}
	c.AddCommand(show, set, pause, resume)
	return c
}

func (a *app) schedule(ctx context.Context) (*orchestratorv1.Schedule, error) {
	client, err := a.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.call(ctx)
	defer cancel()
	resp, err := client.Schedule.GetSchedule(ctx, &orchestratorv1.GetScheduleRequest{})
	return resp.GetSchedule(), err
}

func (a *app) printSchedule(s *orchestratorv1.Schedule) error {
	if err := a.printFields(s); err != nil {
		return err
	}
	if at := s.GetNextTime(); at != nil {
		a.say(a.T("The next start is at %s.", a.moment(at.AsTime())))
	} else {
		a.say(a.T("No run will start."))
	}
	a.sayIssues(s.GetIssues())
	switch {
	case s.GetPaused():
		a.hint("afterbell schedule resume")
	case !s.GetEnabled():
		a.hint("afterbell schedule set --enabled=true")
	}
	return nil
}

func (a *app) settingsCommand() *cobra.Command {
	c := a.group("settings", a.T("Show and change the policies of runs"))
	show := &cobra.Command{Use: "show", Short: a.T("Show the settings"), Args: a.noArgs}
	show.RunE = func(c *cobra.Command, _ []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Settings.GetSettings(ctx, &orchestratorv1.GetSettingsRequest{})
		if err != nil {
			return err
		}
		return a.printFields(resp.GetSettings())
	}
	set := &cobra.Command{Use: "set", Short: a.T("Change settings"), Args: a.noArgs}
	given := a.fieldFlags(set, &orchestratorv1.UpdateSettingsRequest{})
	set.RunE = func(c *cobra.Command, _ []string) error {
		req := &orchestratorv1.UpdateSettingsRequest{}
		if err := a.fill(c, req, given); err != nil {
			return err
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Settings.UpdateSettings(ctx, req)
		if err != nil {
			return advised{err, "afterbell settings set --help"}
		}
		return a.printFields(resp.GetSettings())
	}
	c.AddCommand(show, set)
	return c
}

// printFields is a message as a table of its fields.
func (a *app) printFields(m proto.Message) error {
	answer := output.Answer{
		Columns:  []output.Column{{Key: "setting", Title: a.T("setting")}, {Key: "value", Title: a.T("value")}},
		Document: output.Proto{Message: m}, Records: []any{m},
	}
	for _, name := range fields.Names(m) {
		answer.Rows = append(answer.Rows, []any{name, fields.Get(m, name)})
	}
	return a.printer.Print(answer)
}

// fieldFlags gives a command a flag for each field of a request.
func (a *app) fieldFlags(c *cobra.Command, req proto.Message) map[string]*string {
	given := map[string]*string{}
	for _, name := range settingsOf(req) {
		given[name] = c.Flags().String(strings.ReplaceAll(name, "_", "-"), "", a.explained(a.about(name), req, name))
	}
	given["etag"] = c.Flags().String("etag", "", a.T("fail if the `etag` differs, because it was changed since"))
	return given
}

// settingsOf are the fields of a request that a user can set, without those that control
// the call.
func settingsOf(req proto.Message) []string {
	return slices.DeleteFunc(fields.Names(req), func(name string) bool {
		return slices.Contains([]string{"etag", "validate_only", "channel_id"}, name)
	})
}

// explained describes a field and its values, for the help of its flag.
func (a *app) explained(about string, req proto.Message, name string) string {
	allowed := a.allowed(fields.Allowed(req, name))
	if about != "" && allowed != "" {
		about = a.T("%s: %s", about, allowed)
	}
	return cmp.Or(about, allowed)
}

// allowed is fields.Allowed in the language.
func (a *app) allowed(allowed string, list bool) string {
	switch allowed {
	case "text":
		allowed = ""
	case "true or false":
		allowed = a.T("true or false")
	case "an integer":
		allowed = a.T("an integer")
	case "a duration such as 30s or 10m":
		allowed = a.T("a duration such as 30s or 10m")
	}
	if list {
		allowed = strings.TrimPrefix(allowed+a.T("; separate several with commas"), "; ")
	}
	return allowed
}

// notAllowed says in the language why a field does not accept a text.
func (a *app) notAllowed(err error) string {
	var refused *fields.Refused
	if errors.As(err, &refused) {
		return a.T("%q is not allowed: write %s.", refused.Text, cmp.Or(a.allowed(refused.What, refused.List), "-"))
	}
	return err.Error()
}

// about describes a field, if the command knows it.
func (a *app) about(name string) string {
	return map[string]string{
		"enabled":            a.T("whether the schedule is enabled"),
		"run_at":             a.T("local time of day, as in 19:30"),
		"time_zone":          a.T("time zone of run-at, as in Asia/Shanghai"),
		"pools":              a.T("pools it runs"),
		"run_on_startup":     a.T("whether the orchestrator starts a run when it starts"),
		"catch_up":           a.T("what to do with missed slots"),
		"trading_days_only":  a.T("whether it runs on trading days only"),
		"preflight_policy":   a.T("when a run probes modules"),
		"readiness_policy":   a.T("how a blocked module affects its pool"),
		"order_wait":         a.T("how long universe waits for targets"),
		"dispatch_width":     a.T("partitions dispatched at the same time, 1 to 64"),
		"retention_days":     a.T("days that finished runs are kept; 0 means forever"),
		"follow_up_deadline": a.T("time of day until which unpublished data is fetched again every 15 minutes"),
		"recheck_days":       a.T("old dates that each evening's run fetches again, 0 to 100"),
		"late_at":            a.T("time of day in Shanghai after which an incomplete pool is reported as late; empty: never"),
		"max_follow_ups":     a.T("later attempts after a transient failure, 0 to 20"),
	}[name]
}

// fill sets the fields whose flags were given, at least one.
func (a *app) fill(c *cobra.Command, req proto.Message, given map[string]*string) error {
	changed := false
	for name, value := range given {
		flag := strings.ReplaceAll(name, "_", "-")
		if !c.Flags().Changed(flag) {
			continue
		}
		changed = true
		if err := fields.Set(req, name, *value); err != nil {
			return usage{"--" + flag + ": " + a.notAllowed(err), c.CommandPath() + " --help"}
		}
	}
	if !changed {
		return usage{a.T("%s requires at least one flag with a new value.", c.CommandPath()), c.CommandPath() + " --help"}
	}
	return nil
}
