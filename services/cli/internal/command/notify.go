package command

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	afterbell "github.com/afterbell/afterbell/clients/go"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/fields"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// secretFields are never shown, and can be read from a file: a command line is seen by
// other users of the machine.
var secretFields = []string{"url", "secret"}

func (a *app) notifyCommand() *cobra.Command {
	c := a.group("notify", a.T("Show and change the channels for notices, and list notices"))
	list := &cobra.Command{Use: "list", Short: a.T("List the channels and their state"), Args: a.noArgs}
	list.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := a.call(c.Context())
		defer cancel()
		channels, err := a.channels(ctx)
		if err != nil {
			return err
		}
		if err := a.printChannels(channels...); err != nil {
			return err
		}
		if len(channels) == 0 {
			a.say(a.T("There are no channels, so no notices are sent."))
			a.hint("afterbell notify add --help")
		}
		a.sayChannels(channels)
		return nil
	}
	c.AddCommand(list, a.changeChannel("add", a.T("Add a channel")), a.changeChannel("set", a.T("Change a channel")), a.removeChannel(), a.testChannel(), a.noticeLog())
	return c
}

func (a *app) channels(ctx context.Context) ([]*orchestratorv1.Channel, error) {
	client, err := a.connect()
	if err != nil {
		return nil, err
	}
	resp, err := client.Notices.ListChannels(ctx, &orchestratorv1.ListChannelsRequest{})
	return resp.GetChannels(), err
}

func (a *app) printChannels(channels ...*orchestratorv1.Channel) error {
	answer := output.Answer{Columns: []output.Column{
		{Key: "channel", Title: a.T("channel")}, {Key: "kind", Title: a.T("kind")}, {Key: "host", Title: a.T("host"), Drop: 3},
		{Key: "language", Title: a.T("language"), Drop: 4}, {Key: "enabled", Title: a.T("on")},
		{Key: "waiting", Title: a.T("waiting"), Right: true}, {Key: "given_up", Title: a.T("given up"), Right: true, Drop: 2},
		{Key: "last_sent_time", Title: a.T("last delivery"), Drop: 1}, {Key: "error", Title: a.T("error")},
	}}
	for _, ch := range channels {
		var why any
		if ch.GetError() != "" {
			why = ch.GetError()
		}
		answer.Rows = append(answer.Rows, []any{
			ch.GetChannelId(), a.enum(ch.GetKind(), "KIND_"), ch.GetHost(), a.enum(ch.GetLanguage(), "LANGUAGE_"), a.yesNo(ch.GetEnabled()),
			ch.GetWaitingCount(), ch.GetGivenUpCount(), ch.GetLastSentTime(), why,
		})
		answer.Records = append(answer.Records, ch)
	}
	answer.Document = map[string]any{"channels": output.Protos(channels)}
	return a.printer.Print(answer)
}

func (a *app) yesNo(v bool) output.Word {
	if v {
		return output.Word{Text: a.T("yes"), Raw: "true"}
	}
	return output.Word{Text: a.T("no"), Raw: "false"}
}

// failing reports a channel through which something was not delivered.
func failing(c *orchestratorv1.Channel) bool {
	return c.GetFailingSinceTime() != nil || c.GetGivenUpCount() > 0
}

// sayChannels names the channels that do not deliver, in a line each.
func (a *app) sayChannels(channels []*orchestratorv1.Channel) {
	for _, c := range channels {
		switch {
		case c.GetFailingSinceTime() != nil:
			a.say(a.T("Notices through %s have failed since %s: %s", c.GetChannelId(), a.moment(c.GetFailingSinceTime().AsTime()), oneLine(c.GetError())))
		case c.GetGivenUpCount() > 0:
			a.say(a.N(int(c.GetGivenUpCount()), "%d notice through %s was not delivered in the last week: %s", "%d notices through %s were not delivered in the last week: %s", c.GetChannelId(), oneLine(c.GetError())))
		default:
			continue
		}
		a.hint("afterbell notify test " + c.GetChannelId())
	}
}

// failingChannels are the channels to report in status. It is empty if the orchestrator is
// older, or too slow to respond.
func (a *app) failingChannels(ctx context.Context, client *afterbell.Client) []*orchestratorv1.Channel {
	ctx, cancel := context.WithTimeout(ctx, min(a.timeout, 5*time.Second))
	defer cancel()
	resp, err := client.Notices.ListChannels(ctx, &orchestratorv1.ListChannelsRequest{})
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(resp.GetChannels(), func(c *orchestratorv1.Channel) bool { return !failing(c) })
}

// named requires the name of a channel.
func (a *app) named(c *cobra.Command, args []string) error {
	return a.oneArg("NAME", "afterbell notify list")(c, args)
}

func (a *app) changeChannel(verb, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " NAME", Short: short, Args: a.named}
	c.Long = short + ".\n\n" + a.T("Read the URL and the secret from files, because other users of this machine can see a command line. Both are stored in the ledger and never shown again.")
	c.Example = "  afterbell notify " + verb + " desk --kind dingtalk --language zh --url-file url.txt --secret-file secret.txt\n" +
		"  afterbell notify " + verb + " ops --kind mail --smtp-host smtp.example.com --smtp-user ops --secret-file pw.txt --from a@example.com --to b@example.com\n" +
		"  afterbell notify " + verb + " alive --kind heartbeat --url-file ping.txt --start true --fail true"
	blank := func() proto.Message {
		if verb == "add" {
			return &orchestratorv1.CreateChannelRequest{}
		}
		return &orchestratorv1.UpdateChannelRequest{}
	}
	given, files := map[string]*string{}, map[string]*string{}
	for _, name := range settingsOf(blank()) {
		given[name] = c.Flags().String(strings.ReplaceAll(name, "_", "-"), "", a.explained(a.aboutChannel(name), blank(), name))
	}
	for _, name := range secretFields {
		files[name] = c.Flags().String(name+"-file", "", a.T("read --%s from this `file`, or - for standard input", name))
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		req := blank()
		if err := a.fillChannel(c, req, given, files); err != nil {
			return err
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		var channel *orchestratorv1.Channel
		switch req := req.(type) {
		case *orchestratorv1.CreateChannelRequest:
			req.ChannelId = args[0]
			resp, callErr := client.Notices.CreateChannel(ctx, req)
			channel, err = resp.GetChannel(), callErr
		case *orchestratorv1.UpdateChannelRequest:
			req.ChannelId = args[0]
			resp, callErr := client.Notices.UpdateChannel(ctx, req)
			channel, err = resp.GetChannel(), callErr
		}
		if err != nil {
			return advised{err, "afterbell notify " + verb + " --help"}
		}
		if err := a.printChannels(channel); err != nil {
			return err
		}
		a.hint("afterbell notify test " + args[0])
		return nil
	}
	return c
}

// fillChannel sets the fields whose flags were given, and those that are read from files.
func (a *app) fillChannel(c *cobra.Command, req proto.Message, given, files map[string]*string) error {
	any := false
	set := func(flag, name, value string) error {
		any = true
		if err := fields.Set(req, name, value); err != nil {
			return usage{"--" + flag + ": " + a.notAllowed(err), c.CommandPath() + " --help"}
		}
		return nil
	}
	for name, value := range given {
		if flag := strings.ReplaceAll(name, "_", "-"); c.Flags().Changed(flag) {
			if err := set(flag, name, *value); err != nil {
				return err
			}
		}
	}
	for name, file := range files {
		if !c.Flags().Changed(name + "-file") {
			continue
		}
		if c.Flags().Changed(name) {
			return usage{a.T("--%s and --%s are given; one is enough.", name, name+"-file"), c.CommandPath() + " --help"}
		}
		text, err := a.readSecret(*file)
		if err != nil {
			return usage{"--" + name + "-file: " + err.Error(), c.CommandPath() + " --help"}
		}
		if err := set(name+"-file", name, text); err != nil {
			return err
		}
	}
	if !any {
		return usage{a.T("%s requires at least one flag with a new value.", c.CommandPath()), c.CommandPath() + " --help"}
	}
	return nil
}

// readSecret reads one line from a file.
func (a *app) readSecret(file string) (string, error) {
	const most = 4096
	var in = a.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return "", err
	}
	if len(text) > most {
		return "", errors.New(a.T("it is longer than %d bytes", most))
	}
	return strings.TrimSpace(string(text)), nil
}

// aboutChannel describes a field of a channel.
func (a *app) aboutChannel(name string) string {
	return map[string]string{
		"kind":      a.T("kind of channel"),
		"enabled":   a.T("whether it receives notices"),
		"language":  a.T("language of the sentences"),
		"url":       a.T("address of the webhook, robot or heartbeat, with its token"),
		"secret":    a.T("signing secret, token of a Telegram bot, or password of a mail server"),
		"chat_id":   a.T("chat of a Telegram bot, a number or @name"),
		"smtp_host": a.T("mail server"),
		"smtp_port": a.T("port of the mail server; 0 means 587 with STARTTLS"),
		"smtp_user": a.T("user of the mail server; empty: no authentication"),
		"from":      a.T("sender of a mail"),
		"to":        a.T("recipients of a mail"),
		"post":      a.T("whether a heartbeat is a POST"),
		"start":     a.T("whether a heartbeat is called with /start when an evening begins"),
		"fail":      a.T("whether a heartbeat is called with /fail when an evening is incomplete"),
	}[name]
}

func (a *app) removeChannel() *cobra.Command {
	c := &cobra.Command{Use: "remove NAME", Short: a.T("Remove a channel and its secrets"), Args: a.named}
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		if _, err := client.Notices.DeleteChannel(ctx, &orchestratorv1.DeleteChannelRequest{ChannelId: args[0]}); err != nil {
			return advised{err, "afterbell notify list"}
		}
		a.say(a.T("%s was removed.", args[0]))
		return nil
	}
	return c
}

func (a *app) testChannel() *cobra.Command {
	c := &cobra.Command{Use: "test NAME", Short: a.T("Send a message through a channel at once"), Args: a.named}
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), max(a.timeout, 40*time.Second)) // a platform may take half a minute
		defer cancel()
		resp, err := client.Notices.TestChannel(ctx, &orchestratorv1.TestChannelRequest{ChannelId: args[0]})
		if err != nil {
			return advised{err, "afterbell notify list"}
		}
		if a.printer.Format != output.Table {
			if err := a.printer.Print(output.Answer{Document: output.Proto{Message: resp}, Records: []any{resp}}); err != nil {
				return err
			}
		}
		if !resp.GetDelivered() {
			return advised{errors.New(a.T("%s did not accept the message: %s", args[0], oneLine(resp.GetError()))), "afterbell notify set " + args[0] + " --help"}
		}
		a.say(a.T("%s accepted the message.", args[0]))
		return nil
	}
	return c
}

func (a *app) noticeLog() *cobra.Command {
	var number int
	var deliveries bool
	var channel string
	c := &cobra.Command{Use: "log", Short: a.T("List notices, newest first"), Args: a.noArgs}
	c.Flags().IntVarP(&number, "number", "n", 20, a.T("list at most this `number`, 1 to %d", mostRows))
	c.Flags().BoolVar(&deliveries, "deliveries", false, a.T("list the deliveries of each channel instead"))
	c.Flags().StringVar(&channel, "channel", "", a.T("only deliveries through this `channel`"))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if number < 1 || number > mostRows {
			return usage{a.T("--number: %d is not from 1 to %d.", number, mostRows), c.CommandPath() + " --help"}
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		if deliveries || channel != "" {
			resp, err := client.Notices.ListDeliveries(ctx, &orchestratorv1.ListDeliveriesRequest{ChannelId: channel, PageSize: int32(number)})
			if err != nil {
				return err
			}
			return a.printDeliveries(resp)
		}
		resp, err := client.Notices.ListNotices(ctx, &orchestratorv1.ListNoticesRequest{PageSize: int32(number)})
		if err != nil {
			return err
		}
		return a.printNotices(resp)
	}
	return c
}

func (a *app) printNotices(resp *orchestratorv1.ListNoticesResponse) error {
	answer := output.Answer{
		Columns: []output.Column{
			{Key: "create_time", Title: a.T("time")}, {Key: "kind", Title: a.T("kind"), Drop: 1}, {Key: "date", Title: a.T("date"), Wide: true},
			{Key: "text", Title: a.T("message")},
		},
		Document: output.Proto{Message: resp},
	}
	for _, n := range resp.GetNotices() {
		text := n.GetText()
		if a.Lang == lang.Chinese {
			text = n.GetTextZh()
		}
		var date any // none of a test
		if n.GetDate() != "" {
			date = n.GetDate()
		}
		answer.Rows = append(answer.Rows, []any{n.GetCreateTime(), a.enum(n.GetKind(), "KIND_"), date, text})
		answer.Records = append(answer.Records, n)
	}
	if len(resp.GetNotices()) == 0 {
		a.say(a.T("There are no notices yet."))
	}
	return a.printer.Print(answer)
}

func (a *app) printDeliveries(resp *orchestratorv1.ListDeliveriesResponse) error {
	answer := output.Answer{
		Columns: []output.Column{
			{Key: "create_time", Title: a.T("time")}, {Key: "channel", Title: a.T("channel")}, {Key: "state", Title: a.T("state")},
			{Key: "attempts", Title: a.T("attempts"), Right: true}, {Key: "end_time", Title: a.T("ended at"), Drop: 2},
			{Key: "next_time", Title: a.T("next attempt"), Drop: 1}, {Key: "error", Title: a.T("error")}, {Key: "notice", Title: a.T("message"), Wide: true},
		},
		Document: output.Proto{Message: resp},
	}
	for _, d := range resp.GetDeliveries() {
		var why any
		if d.GetError() != "" {
			why = d.GetError()
		}
		answer.Rows = append(answer.Rows, []any{
			d.GetCreateTime(), d.GetChannelId(), a.enum(d.GetState(), "STATE_"), d.GetAttemptCount(), d.GetEndTime(), d.GetNextTime(), why, d.GetNoticeId(),
		})
		answer.Records = append(answer.Records, d)
	}
	if len(resp.GetDeliveries()) == 0 {
		a.say(a.T("There are no notices yet."))
	}
	return a.printer.Print(answer)
}
