package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/program"
	"github.com/afterbell/afterbell/services/orchestrator/internal/access"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
)

const keysUsage = `orchestrator keys creates, lists and revokes API keys on the orchestrator's host while the
orchestrator is stopped. While it runs, use "afterbell keys".

  orchestrator keys create NAME --role admin
  orchestrator keys list
  orchestrator keys revoke KEY_ID

Standard output contains only the new key.`

// keysMain is "orchestrator keys …", mainly for the first key of an installation.
func keysMain(ctx context.Context, args []string, env func(string) string, out, errout io.Writer) int {
	verb, operand := "", ""
	for _, into := range []*string{&verb, &operand} {
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			*into, args = args[0], args[1:]
		}
	}
	fs := flag.NewFlagSet("orchestrator keys", flag.ContinueOnError)
	dir := fs.String("data-dir", "data", "`directory` of market-cache.sqlite; it is created if it does not exist")
	role := fs.String("role", "", "`role` of the new key: viewer, operator or admin")
	expires := fs.String("expires", "", "`time` until the new key expires, as in 90d or 12h; without it, the key does not expire")
	err := program.ParseFlags(fs, args, env, out, keysUsage)
	if errors.Is(err, flag.ErrHelp) {
		return program.ExitOK
	}
	if err == nil {
		err = keysDo(ctx, verb, operand, *dir, auth.Role(*role), *expires, out, errout)
	}
	if err != nil {
		return program.Stopped(errout, Service, err)
	}
	return program.ExitOK
}

func keysDo(ctx context.Context, verb, operand, dir string, role auth.Role, expires string, out, errout io.Writer) error {
	wants := map[string]string{"create": "NAME", "list": "", "revoke": "KEY_ID"}
	want, ok := wants[verb]
	switch {
	case !ok:
		return fault.Invalid("keys", "%.40q is not a command; use create, list or revoke (see --help)", verb)
	case want != "" && operand == "":
		return fault.Invalid("keys", "%s needs a %s: orchestrator keys %s %s", verb, want, verb, want)
	case want == "" && operand != "":
		return fault.Invalid("keys", "%s takes no %.40q", verb, operand)
	}
	ttl, err := lifetime(expires)
	if err != nil {
		return err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return fault.Invalid("data-dir", "%v", err)
	}
	store, err := ledger.Open(ctx, ledger.Config{Path: filepath.Join(dir, ledger.FileName), Logger: logging.Discard(), LeaveSecrets: true})
	if fault.Is(err, fault.DataDirLocked) {
		return fmt.Errorf("%w While the orchestrator runs, use: afterbell keys %s", err, verb)
	}
	if err != nil {
		return err
	}
	return errors.Join(keysIn(ctx, store, verb, operand, role, ttl, out, errout), store.Close())
}

func keysIn(ctx context.Context, store *ledger.Store, verb, operand string, role auth.Role, ttl time.Duration, out, errout io.Writer) error {
	keeper, err := access.Open(ctx, store, logging.Discard())
	if err != nil {
		return err
	}
	change := func(method string) context.Context {
		return auth.WithChange(ctx, &auth.Change{Entry: auth.Entry{
			Caller: auth.Caller{Name: auth.Host, Role: auth.Admin, Via: auth.ViaHost}, Method: method,
		}})
	}
	switch verb {
	case "create":
		k, secret, err := keeper.Create(change("KeyService.CreateKey"), operand, role, ttl, auth.Host)
		if err != nil {
			return err
		}
		fmt.Fprintf(errout, "Created the key %s (%s, %s). It is shown only once; save it in a file that only its user can read.\n", k.ID, k.Name, k.Role)
		fmt.Fprintln(out, secret)
	case "revoke":
		k, err := keeper.Revoke(change("KeyService.RevokeKey"), operand, false)
		if err != nil {
			return err
		}
		fmt.Fprintf(errout, "Revoked the key %s (%s, %s).\n", k.ID, k.Name, k.Role)
		if !keeper.HasAdmin() {
			fmt.Fprintln(errout, "No active admin key is left. An orchestrator that requires keys does not start until you create one: orchestrator keys create NAME --role admin")
		}
	case "list":
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "KEY_ID\tNAME\tROLE\tCREATED\tEXPIRES\tREVOKED\tLAST USE")
		for _, k := range keeper.List() {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Role, shown(k.CreatedAt), shown(k.ExpiresAt), shown(k.RevokedAt), shown(k.UsedAt))
		}
		return w.Flush()
	}
	return nil
}

func shown(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// lifetime parses a duration, which may be in days.
func lifetime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if n, ok := strings.CutSuffix(text, "d"); ok {
		var days int
		days, err = strconv.Atoi(n)
		d = time.Duration(min(max(days, 0), 100_000)) * 24 * time.Hour
	}
	if err != nil || d < auth.MinTTL || d > auth.MaxTTL {
		return 0, fault.Invalid("expires", "%.40q is not a length of time from 1m to 3650d, as in 90d or 12h", text)
	}
	return d, nil
}
