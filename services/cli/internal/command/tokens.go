package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// maxToken is how many bytes of standard input a token may have.
const maxToken = 4096

func (a *app) tokensCommand() *cobra.Command {
	c := a.group("tokens", a.T("Show, set and clear the provider's tokens"))
	c.AddCommand(a.listTokens(), a.setToken(), a.clearToken())
	return c
}

func (a *app) listTokens() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: a.T("Show where each domain's token comes from, never its value"), Args: a.noArgs}
	c.RunE = func(c *cobra.Command, _ []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := a.call(c.Context())
		defer cancel()
		resp, err := client.Tokens.ListTokens(ctx, &orchestratorv1.ListTokensRequest{})
		if err != nil {
			return err
		}
		return a.printTokens(resp.GetTokens(), resp.GetStored())
	}
	return c
}

func (a *app) printTokens(tokens []*orchestratorv1.Token, stored []string) error {
	answer := output.Answer{Columns: []output.Column{
		{Key: "domain", Title: a.T("domain")}, {Key: "source", Title: a.T("source")}, {Key: "fingerprint", Title: a.T("fingerprint")},
		{Key: "min_points", Title: a.T("points from"), Right: true}, {Key: "below_points", Title: a.T("points below"), Right: true},
		{Key: "calls_per_minute", Title: a.T("calls per minute"), Right: true},
	}}
	known := func(n int32) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	for _, t := range tokens {
		tier := t.GetTier()
		answer.Rows = append(answer.Rows, []any{t.GetDomainId(), a.enum(t.GetSource(), "SOURCE_"), t.GetFingerprint(),
			known(tier.GetMinPoints()), known(tier.GetBelowPoints()), known(tier.GetCallsPerMinute())})
		answer.Records = append(answer.Records, t)
	}
	if slices.ContainsFunc(tokens, func(t *orchestratorv1.Token) bool { return t.GetFingerprint() == "" }) {
		a.hint("afterbell tokens set < FILE")
	}
	if len(stored) > 0 {
		a.say(a.T("Stored tokens: %s.", strings.Join(stored, ", ")))
	}
	return a.printer.Print(answer)
}

// domainArg is the one argument of a command, "main" by default.
func domainArg(args []string) string {
	if len(args) == 0 {
		return "main"
	}
	return args[0]
}

func (a *app) setToken() *cobra.Command {
	c := &cobra.Command{
		Use: "set [DOMAIN]", Args: a.maybeArg,
		Short: a.T("Store the token on standard input, for all domains or for one; it replaces the stored one"),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if _, term := terminal(a.In); term {
			return usage{a.T("The token is read from standard input, so that it stays off the screen and out of the shell's history."), "afterbell tokens set < FILE"}
		}
		raw, err := io.ReadAll(io.LimitReader(a.In, maxToken+1))
		if err != nil {
			return err
		}
		token := strings.TrimSpace(string(raw))
		if token == "" || len(raw) > maxToken {
			return usage{a.T("Standard input must have one token of at most %d bytes.", maxToken), "afterbell tokens set < FILE"}
		}
		return a.changeToken(c.Context(), func(ctx context.Context) ([]*orchestratorv1.Token, []string, error) {
			resp, err := a.client.Tokens.SetToken(ctx, &orchestratorv1.SetTokenRequest{DomainId: domainArg(args), Token: token})
			return resp.GetTokens(), resp.GetStored(), err
		})
	}
	return c
}

func (a *app) clearToken() *cobra.Command {
	c := &cobra.Command{Use: "clear [DOMAIN]", Short: a.T("Delete a stored token"), Args: a.maybeArg}
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.changeToken(c.Context(), func(ctx context.Context) ([]*orchestratorv1.Token, []string, error) {
			resp, err := a.client.Tokens.ClearToken(ctx, &orchestratorv1.ClearTokenRequest{DomainId: domainArg(args)})
			return resp.GetTokens(), resp.GetStored(), err
		})
	}
	return c
}

func (a *app) changeToken(ctx context.Context, change func(ctx context.Context) ([]*orchestratorv1.Token, []string, error)) error {
	if _, err := a.connect(); err != nil {
		return err
	}
	ctx, cancel := a.call(ctx)
	defer cancel()
	tokens, stored, err := change(ctx)
	if err != nil {
		return advised{err, "afterbell tokens list"}
	}
	if err := a.printTokens(tokens, stored); err != nil {
		return err
	}
	a.hint("afterbell preflight")
	return nil
}
