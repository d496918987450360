package command

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	afterbell "github.com/afterbell/afterbell/clients/go"
	authv1 "github.com/afterbell/afterbell/gen/afterbell/auth/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// roleNames are the roles that a key may have.
var roleNames = []string{"viewer", "operator", "admin"}

func (a *app) keysCommand() *cobra.Command {
	c := a.group("keys", a.T("Create, list and revoke API keys"))
	c.AddCommand(a.createKey(), a.listKeys(), a.revokeKey())
	return c
}

func (a *app) createKey() *cobra.Command {
	var role, expires string
	c := &cobra.Command{
		Use: "create NAME", Short: a.T("Create an API key and write it to standard output, this once"),
		Args: a.oneArg("NAME", "afterbell keys create --help"),
	}
	c.Flags().StringVar(&role, "role", "viewer", a.T("`role` of the key: viewer, operator or admin"))
	c.Flags().StringVar(&expires, "expires", "", a.T("`time` until the key expires, as in 90d or 12h; without it, the key does not expire"))
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleNames, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	c.RunE = func(c *cobra.Command, args []string) error {
		number, ok := authv1.Role_value["ROLE_"+strings.ToUpper(role)]
		if !ok || !slices.Contains(roleNames, role) {
			return usage{a.T("--role: %q is not a role: allowed are %s.", role, strings.Join(roleNames, ", ")), c.CommandPath() + " --help"}
		}
		req := &orchestratorv1.CreateKeyRequest{Name: args[0], Role: authv1.Role(number)}
		if expires != "" {
			d, err := lifetime(expires)
			if err != nil {
				return usage{a.T("--expires: %q is not a duration such as 90d or 12h.", expires), c.CommandPath() + " --help"}
			}
			req.Ttl = durationpb.New(d)
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Keys.CreateKey(ctx, req)
		if err != nil {
			return err
		}
		a.say(a.T("Created the key %s. It is shown only once; save it in a file that only its user can read.", resp.GetKey().GetKeyId()))
		if a.printer.Format == output.Table {
			fmt.Fprintln(a.Out, resp.GetSecret())
			return nil
		}
		return a.printer.Print(output.Answer{
			Columns:  []output.Column{{Key: "key_id", Title: a.T("key")}, {Key: "secret", Title: a.T("secret")}},
			Rows:     [][]any{{resp.GetKey().GetKeyId(), resp.GetSecret()}},
			Records:  []any{resp},
			Document: output.Proto{Message: resp},
		})
	}
	return c
}

// lifetime reads a length of time, which may be in days.
func lifetime(text string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(text, "d"); ok {
		days, err := strconv.Atoi(n)
		if err != nil || days < 1 || days > 100_000 {
			return 0, errors.New("not a number of days")
		}
		return time.Duration(days) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("not longer than 0")
	}
	return d, err
}

func (a *app) listKeys() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: a.T("List the API keys, newest first"), Args: a.noArgs}
	c.RunE = func(c *cobra.Command, _ []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Keys.ListKeys(ctx, &orchestratorv1.ListKeysRequest{})
		if err != nil {
			return err
		}
		if len(resp.GetKeys()) == 0 {
			a.say(a.T("There are no API keys."))
			a.hint("afterbell keys create NAME --role viewer")
		}
		return a.printKeys(resp.GetKeys())
	}
	return c
}

func (a *app) printKeys(keys []*orchestratorv1.Key) error {
	answer := output.Answer{Columns: []output.Column{
		{Key: "key_id", Title: a.T("key")}, {Key: "name", Title: a.T("name")}, {Key: "role", Title: a.T("role")}, {Key: "state", Title: a.T("state")},
		{Key: "last_use_time", Title: a.T("last use")}, {Key: "last_use_address", Title: a.T("address"), Drop: 1}, {Key: "expire_time", Title: a.T("expires"), Drop: 2},
	}}
	for _, k := range keys {
		state := "active"
		switch {
		case k.GetRevokeTime() != nil:
			state = "revoked"
		case !k.GetActive():
			state = "expired"
		}
		answer.Rows = append(answer.Rows, []any{
			k.GetKeyId(), k.GetName(), a.enum(k.GetRole(), "ROLE_"), output.Word{Text: a.T(state), Raw: state},
			k.GetLastUseTime(), k.GetLastUseAddress(), k.GetExpireTime(),
		})
		answer.Records = append(answer.Records, k)
	}
	return a.printer.Print(answer)
}

func (a *app) revokeKey() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "revoke KEY", Short: a.T("Revoke an API key; its sessions and streams end"),
		Args: a.oneArg("KEY", "afterbell keys list"),
	}
	c.Flags().BoolVar(&force, "force", false, a.T("revoke it even if it is the last active admin key"))
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Keys.RevokeKey(ctx, &orchestratorv1.RevokeKeyRequest{KeyId: args[0], Force: force})
		if errors.Is(err, afterbell.ErrNotFound) {
			return advised{err, "afterbell keys list"}
		}
		if err != nil {
			return err
		}
		return a.printKeys([]*orchestratorv1.Key{resp.GetKey()})
	}
	return c
}

// mostEntries is the largest number of audit entries per request.
const mostEntries = 500

func (a *app) auditCommand() *cobra.Command {
	req := &orchestratorv1.ListAuditEntriesRequest{}
	c := &cobra.Command{Use: "audit", Short: a.T("List what was changed, when and by whom, newest first"), Args: a.noArgs}
	c.Flags().StringVar(&req.Actor, "actor", "", a.T("only changes by the key with this `name`, loopback or host"))
	c.Flags().StringVar(&req.Method, "method", "", a.T("only this `method`, such as RunService.CreateRun, or service, such as RunService"))
	c.Flags().Int32VarP(&req.PageSize, "number", "n", 50, a.T("list at most this `number`, 1 to %d", mostEntries))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if req.PageSize < 1 || req.PageSize > mostEntries {
			return usage{a.T("--number: %d is not from 1 to %d.", req.PageSize, mostEntries), c.CommandPath() + " --help"}
		}
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Audit.ListAuditEntries(ctx, req)
		if err != nil {
			return err
		}
		answer := output.Answer{Columns: []output.Column{
			{Key: "time", Title: a.T("time")}, {Key: "actor", Title: a.T("actor")}, {Key: "via", Title: a.T("via")}, {Key: "address", Title: a.T("address"), Drop: 1},
			{Key: "method", Title: a.T("method")}, {Key: "request", Title: a.T("request"), Wide: true}, {Key: "before", Title: a.T("before"), Wide: true},
			{Key: "after", Title: a.T("after"), Wide: true},
		}}
		for _, e := range resp.GetEntries() {
			answer.Rows = append(answer.Rows, []any{
				e.GetTime(), e.GetActor(), e.GetVia(), e.GetAddress(), e.GetMethod(), e.GetRequest(), e.GetBefore(), e.GetAfter(),
			})
			answer.Records = append(answer.Records, e)
		}
		if err := a.printer.Print(answer); err != nil {
			return err
		}
		switch {
		case len(resp.GetEntries()) == 0:
			a.say(a.T("There are no such changes."))
		case resp.GetNextPageToken() != "":
			a.say(a.T("There are more; narrow the query or raise --number."))
		}
		return nil
	}
	return c
}
