package command

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	afterbell "github.com/afterbell/afterbell/clients/go"
	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	"github.com/afterbell/afterbell/services/cli/internal/export"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

type exportFlags struct {
	format, file, pool, from, to, adjust, version, require, httpAddr string
	symbols, columns                                                 []string
}

// tableNames are the tables of both pools.
var tableNames = []string{"daily_prices", "daily_basics", "daily_moneyflows", "instrument_meta", "trade_calendar"}

// defaultHTTP is the default REST address.
const defaultHTTP = "127.0.0.1:7780"

func (a *app) exportCommand() *cobra.Command {
	var f exportFlags
	c := &cobra.Command{
		Use: "export TABLE -o FILE", Args: a.oneArg("TABLE", "afterbell export --help"), ValidArgs: tableNames,
		Short: a.T("Write a published table to a file: Parquet, Arrow, CSV or NDJSON"),
		Long: a.T("Downloads a table of one published version and compares its rows and its hash with those of the orchestrator. The file gets its name when it is complete. "+
			"An interrupted download is kept as FILE.part; the same command continues it if its version still exists, and never mixes two versions.") +
			"\n\n" + a.tablesHelp(),
		Example: "  afterbell export daily_prices -o prices.parquet\n  afterbell export targets.daily_prices -o prices.csv\n  afterbell export daily_prices -o prices.csv --symbols 600519.SH --from 2026-01-01 --adjust forward\n  afterbell export daily_basics -o basics.parquet --require complete",
	}
	c.Flags().StringVarP(&f.file, "file", "o", "", a.T("`file` to write; an existing file is replaced"))
	c.Flags().StringVar(&f.format, "format", "", a.T("`format` of the file: parquet, arrow, csv or ndjson; default: by the file's extension"))
	c.Flags().StringVar(&f.pool, "pool", "universe", a.T("`pool` to read: targets or universe"))
	c.Flags().StringSliceVar(&f.symbols, "symbols", nil, a.T("`symbols`, as in 600519.SH; default: all"))
	c.Flags().StringSliceVar(&f.columns, "columns", nil, a.T("`columns` by name; default: all"))
	c.Flags().StringVar(&f.from, "from", "", a.T("first trade `date`, YYYY-MM-DD or today"))
	c.Flags().StringVar(&f.to, "to", "", a.T("last trade `date`, YYYY-MM-DD or today"))
	c.Flags().StringVar(&f.adjust, "adjust", "", a.T("adjust prices for dividends: `none`, forward or backward"))
	c.Flags().StringVar(&f.version, "version", "", a.T("published `version` to read; default: the current one"))
	c.Flags().StringVar(&f.require, "require", "", a.T("with `complete`, no file is written if something is missing"))
	c.Flags().StringVar(&f.httpAddr, "http-addr", "", a.T("`address` of the orchestrator's REST port (AFTERBELL_HTTP_ADDR; default 127.0.0.1:7780)"))
	c.RunE = func(c *cobra.Command, args []string) error {
		table, err := a.tableOf(c, args[0], &f.pool)
		if err != nil {
			return err
		}
		return a.export(c, table, f)
	}
	return c
}

// tablesHelp says how a table is named.
func (a *app) tablesHelp() string {
	return a.T("TABLE is one of %s. A pool may be before it, as in targets.daily_prices.", strings.Join(tableNames, ", "))
}

// tableOf splits a table's argument. The pool before it, as in the REST API, replaces the
// default of --pool.
func (a *app) tableOf(c *cobra.Command, arg string, pool *string) (string, error) {
	name, table, ok := strings.Cut(arg, ".")
	if !ok || !slices.Contains(poolNames, name) {
		return arg, nil
	}
	if c.Flags().Changed("pool") && *pool != name {
		return "", usage{a.T("--pool: %q is not the pool of %s.", *pool, arg), c.CommandPath() + " --help"}
	}
	*pool = name
	return table, nil
}

// exportRequest reads the flags.
func (a *app) exportRequest(c *cobra.Command, table string, f exportFlags) (r export.Request, err error) {
	wrong := func(flag string, allowed []string, value string) error {
		return usage{a.T("--%s: %q is not allowed: allowed are %s.", flag, value, strings.Join(allowed, ", ")), c.CommandPath() + " --help"}
	}
	if f.file == "" {
		return r, usage{a.T("%s requires %s.", c.CommandPath(), "-o FILE"), c.CommandPath() + " --help"}
	}
	switch {
	case f.file == "-":
		return r, usage{a.T("--file: standard output is not supported; name a file."), c.CommandPath() + " " + table + " -o " + table + ".csv"}
	case f.format == "" && filepath.Ext(f.file) == "":
		return r, usage{a.T("--format is required, because %s has no extension: allowed are %s.", f.file, strings.Join(export.Formats, ", ")), c.CommandPath() + " --help"}
	}
	if f.format == "" {
		f.format = strings.ToLower(strings.TrimPrefix(filepath.Ext(f.file), "."))
	}
	if !slices.Contains(export.Formats, f.format) {
		return r, wrong("format", export.Formats, f.format)
	}
	if f.require != "" && f.require != "complete" {
		return r, wrong("require", []string{"complete"}, f.require)
	}
	if adjusts := []string{"none", "forward", "backward"}; f.adjust != "" && !slices.Contains(adjusts, f.adjust) {
		return r, wrong("adjust", adjusts, f.adjust)
	}
	pools, err := a.pools(c.CommandPath(), "--pool", []string{f.pool})
	if err != nil {
		return r, err
	}
	if f.from, f.to, err = a.span(c.CommandPath(), f.from, f.to); err != nil {
		return r, err
	}
	if info, err := os.Stat(f.file); err == nil && !info.Mode().IsRegular() {
		return r, usage{a.T("--file: %s is not a file.", f.file), c.CommandPath() + " --help"}
	}
	if info, err := os.Stat(filepath.Dir(f.file)); err != nil || !info.IsDir() {
		return r, usage{a.T("--file: the directory %s does not exist.", filepath.Dir(f.file)), "mkdir -p " + filepath.Dir(f.file)}
	}
	query := url.Values{}
	for name, value := range map[string]string{
		"symbols": strings.ToUpper(strings.Join(f.symbols, ",")), "columns": strings.Join(f.columns, ","), "start_date": f.from, "end_date": f.to,
		"adjust": f.adjust, "require": f.require,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	r, err = a.exporter(c, f.httpAddr)
	r.Table, r.Format, r.Query, r.Version, r.Path = poolName(pools[0])+"."+table, f.format, query, f.version, f.file
	return r, err
}

// restAddr is the address of the REST port, from the flag, the environment or the default.
func (a *app) restAddr(c *cobra.Command, given string) (string, error) {
	addr := cmp.Or(given, a.Env("AFTERBELL_HTTP_ADDR"), defaultHTTP)
	if u, err := url.Parse("http://" + addr); err != nil || u.Port() == "" || u.Path != "" {
		return "", usage{a.T("--http-addr: %q is not an address: write host:port, as in %s.", addr, defaultHTTP), c.CommandPath() + " --help"}
	}
	return addr, nil
}

// exporter is a request to the REST port, without the query.
func (a *app) exporter(c *cobra.Command, httpAddr string) (r export.Request, err error) {
	addr, err := a.restAddr(c, httpAddr)
	if err != nil {
		return r, err
	}
	access, err := a.access()
	if err != nil {
		return r, err
	}
	tls, err := access.TLS()
	if err != nil {
		return r, usage{"--ca: " + err.Error(), c.CommandPath() + " --help"}
	}
	same, err := afterbell.DialAs(addr, access) // it says to whom a key may be sent
	if err != nil {
		return r, a.cannotDial("http-addr", err)
	}
	_ = same.Close() // it was never connected
	return export.Request{
		Addr: addr, TLS: tls != nil, Key: access.Key,
		Client: &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: tls, DisableCompression: true, ResponseHeaderTimeout: exportWait,
		}},
	}, nil
}

// exportWait is how long the orchestrator may take until the first byte: it makes a
// Parquet file of many years first.
const exportWait = 15 * time.Minute

func (a *app) export(c *cobra.Command, table string, f exportFlags) error {
	r, err := a.exportRequest(c, table, f)
	if err != nil {
		return err
	}
	v := &view{a: a}
	begun := a.now()
	r.Progress = func(came, all int64) {
		if now := a.now(); a.quiet || now.Sub(v.said) < 200*time.Millisecond {
			return
		} else if a.live() {
			v.said = now
		} else if now.Sub(begun) < sayEvery || now.Sub(v.said) < sayEvery {
			return // a log hears of long downloads only
		} else {
			v.said = now
		}
		text := a.T("%s received", bytesText(came))
		if all > 0 {
			text = a.T("%s of %s received", bytesText(came), bytesText(all))
		}
		if a.live() {
			fmt.Fprint(a.Err, "\r\x1b[K"+output.Cut(text, a.errColumns-1))
			v.lastLength = len(text)
			return
		}
		a.tell(text)
	}
	r.Restarted = func(reason string) {
		v.line(a.T("The partial file %s is discarded: %s.", f.file, a.T(reason)))
	}
	result, err := export.Run(c.Context(), r)
	v.clear()
	var refused *export.Refused
	switch {
	case errors.As(err, &refused):
		return a.exportRefused(refused, table, f)
	case errors.Is(err, export.ErrWrong):
		return advised{err, c.CommandPath() + " " + table + " -o " + f.file}
	case err != nil && c.Context().Err() == nil:
		var disk *os.PathError
		if errors.As(err, &disk) {
			return usage{a.T("%s cannot be written: %s", f.file, a.pathless(err)), c.CommandPath() + " " + table + " -o FILE"}
		}
		var cause *net.OpError
		if errors.As(err, &cause) { // the rest of it names the request
			err = cause.Err
		}
		a.tell("afterbell: " + a.T("The orchestrator's REST port at %s cannot be read: %s", r.Addr, oneLine(sysText(err))))
		a.next("afterbell doctor --http-addr " + r.Addr)
		return exit{ExitUnreachable}
	case err != nil:
		if info, held := os.Stat(f.file + ".part"); held == nil && info.Size() > 0 {
			a.say(a.T("%s are kept in %s; the same command continues from there.", bytesText(info.Size()), f.file+".part"))
		}
		return err
	}
	answer := output.Answer{
		Columns: []output.Column{
			{Key: "file", Title: a.T("file")}, {Key: "version", Title: a.T("version")}, {Key: "rows", Title: a.T("rows"), Right: true},
			{Key: "bytes", Title: a.T("bytes"), Right: true}, {Key: "complete", Title: a.T("complete")}, {Key: "sha256", Title: "sha256", Wide: true},
		},
		Rows: [][]any{{f.file, result.Version, result.Rows, result.Bytes, result.Complete, result.SHA256}},
	}
	answer.Records = []any{struct {
		File string `json:"file"`
		export.Result
	}{f.file, result}}
	if err := a.printer.Print(answer); err != nil {
		return err
	}
	if result.Resumed > 0 {
		a.say(a.T("%s of it were already downloaded.", bytesText(result.Resumed)))
	}
	if result.Rows == 0 {
		a.say(a.T("No row matches: the file has no rows."))
	}
	unknown := slices.DeleteFunc(slices.Clone(result.Lacks), func(lack string) bool { return strings.Contains(lack, "/") }) // it is a dataset's
	switch {
	case len(unknown) > 0 && int64(len(unknown)) == result.LackCount:
		a.say(a.T("The instrument list does not have %s.", strings.Join(unknown, ", ")))
		a.hint("afterbell targets search " + unknown[0])
	case !result.Complete:
		a.say(a.incomplete(int(result.LackCount)))
		a.hint(conditionLine(table, f))
	case result.Rows == 0 && len(f.symbols) > 0:
		a.hint("afterbell targets search " + strings.ToUpper(f.symbols[0]))
	}
	return nil
}

// conditionLine is the command that lists what lacks of the dates of an export.
func conditionLine(table string, f exportFlags) string {
	line := "afterbell condition " + table + " --pool " + f.pool
	if f.pool == "targets" && len(f.symbols) > 0 { // the pool lacks nothing of a symbol that is not on its list
		line += " --symbols " + strings.ToUpper(strings.Join(f.symbols, ","))
	}
	if f.from != "" {
		line += " --from " + f.from
	}
	if f.to != "" {
		line += " --to " + f.to
	}
	return line + " --lacking"
}

// exportRefused is the error of a response that is not the table, in the form of other
// calls.
func (a *app) exportRefused(r *export.Refused, table string, f exportFlags) error {
	answer := &afterbell.Error{
		Reason: faultv1.Reason(faultv1.Reason_value["REASON_"+r.Reason]), ReasonName: r.Reason, Message: r.Message, Remedy: r.Remedy,
		Metadata: r.Metadata,
	}
	for _, v := range r.Fields {
		answer.Fields = append(answer.Fields, afterbell.FieldViolation{Field: v[0], Problem: v[1]})
	}
	if r.Reason != "DATA_INCOMPLETE" {
		return answer
	}
	message, _ := a.answered(answer)
	a.tell("afterbell: " + oneLine(message))
	// The orchestrator knows what helps: a run, another symbol, a module that is enabled.
	a.next(cmp.Or(commandIn(a.commands(r.Remedy)), conditionLine(table, f)))
	return exit{ExitNotWhole}
}

// sysText is an error of the system without the name of its call.
func sysText(err error) string {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err.Error()
	}
	return err.Error()
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d kB", (n+999)/1000)
}
