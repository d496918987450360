// Package command is the command line of afterbell: it parses flags, calls the orchestrator
// with the Go client, and prints the response.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"google.golang.org/grpc/metadata"

	afterbell "github.com/afterbell/afterbell/clients/go"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// Streams are the outside of the command.
type Streams struct {
	// In, Out and Err are the standard streams.
	In io.Reader
	// Out gets the answers.
	Out io.Writer
	// Err gets the words.
	Err io.Writer
	// Env reads the environment.
	Env func(string) string
}

// System is the process's own outside.
func System() Streams { return Streams{os.Stdin, os.Stdout, os.Stderr, os.Getenv} }

// app is one invocation.
type app struct {
	Streams
	lang.Lang

	addr       string
	ca         string
	keyFile    string
	format     string
	langFlag   string
	quiet      bool
	noInput    bool
	command    *cobra.Command // that was asked for
	path       string         // of it
	timeout    time.Duration
	client     *afterbell.Client
	printer    *output.Printer
	errIsTerm  bool
	errColumns int
	now        func() time.Time
}

// Main runs one command line, without the program's name, and returns its exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	a := &app{Streams: s, now: time.Now}
	a.Lang = language(args, s.Env)
	a.errColumns, a.errIsTerm = terminal(s.Err)
	root := a.root(args)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if a.client != nil {
		_ = a.client.Close() // the answers are there already
	}
	return a.report(err)
}

// language is looked up before the flags are read, because their help is in it. A flag
// that is wrong is refused when the flags are read.
func language(args []string, env func(string) string) lang.Lang {
	chosen := env("AFTERBELL_LANG")
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if v, ok := strings.CutPrefix(arg, "--lang="); ok {
			chosen = v
		} else if arg == "--lang" && i+1 < len(args) {
			chosen = args[i+1]
		}
	}
	if l, err := lang.Parse(chosen); err == nil {
		return l
	}
	return lang.FromLocale(env)
}

// terminal is the width of a stream that is a terminal.
func terminal(stream any) (width int, is bool) {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width, true
	}
	return 80, true
}

func (a *app) root(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:           "afterbell",
		Short:         a.T("Query and control afterbell, the local copy of the A-share market"),
		SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage{a.T("There is no command %q.", args[0]), "afterbell --help"}
			}
			return nil
		},
	}
	version := root.Flags().Bool("version", false, a.T("print the version"))
	root.RunE = func(c *cobra.Command, args []string) error {
		if *version {
			return a.versionCommand().RunE(c, args)
		}
		return c.Help()
	}
	root.Long = root.Short + ".\n\n" + a.T("Exit codes: 0 complete or done, 1 wrong usage or another error, 2 blocked, 3 not complete, 4 not due yet, 5 unreachable.")
	f := root.PersistentFlags()
	f.StringVar(&a.addr, "orchestrator", "", a.T("`address` of the orchestrator's gRPC port (AFTERBELL_ORCHESTRATOR; default %s)", afterbell.DefaultAddr))
	f.StringVar(&a.ca, "ca", "", a.T("PEM `file` with the CA of the orchestrator's certificate, or system; connects with TLS (AFTERBELL_CA)"))
	f.StringVar(&a.keyFile, "key-file", "", a.T("`file` with the API key (AFTERBELL_KEY_FILE; AFTERBELL_KEY holds the key itself)"))
	f.StringVar(&a.format, "output", "", a.T("`format` of the output: table, json, ndjson or csv (AFTERBELL_OUTPUT; default table)"))
	f.StringVar(&a.langFlag, "lang", "", a.T("`language` of messages: en or zh (AFTERBELL_LANG; default: from the locale)"))
	f.BoolVarP(&a.quiet, "quiet", "q", false, a.T("print only results and errors"))
	f.BoolVar(&a.noInput, "no-input", false, a.T("never ask; fail if a confirmation is needed"))
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, a.T("`time` that one call may take"))
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage{a.flagWords(err), c.CommandPath() + " --help"}
	})
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.prepare(c) }
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help"})
	root.SetUsageFunc(a.usage)
	root.SetHelpFunc(a.help)
	root.AddCommand(a.commandsOf(args)...)
	a.helpFlag(root)
	giveOnce(root)
	return root
}

// maker makes a command.
type maker struct {
	name string
	make func() *cobra.Command
}

// makers make all commands.
func (a *app) makers() []maker {
	return []maker{
		{"status", a.statusCommand}, {"run", a.runCommand}, {"runs", a.runsCommand}, {"show", a.showCommand}, {"watch", a.watchCommand},
		{"cancel", a.cancelCommand}, {"verify", a.verifyCommand}, {"preflight", a.preflightCommand}, {"explain", a.explainCommand},
		{"pause", a.pauseCommand}, {"resume", a.resumeCommand}, {"coverage", a.coverageCommand}, {"condition", a.conditionCommand},
		{"export", a.exportCommand}, {"revisions", a.revisionsCommand}, {"absent", a.absentCommand}, {"targets", a.targetsCommand},
		{"domains", a.domainsCommand}, {"modules", a.modulesCommand}, {"schedule", a.scheduleCommand}, {"settings", a.settingsCommand},
		{"limits", a.limitsCommand}, {"notify", a.notifyCommand}, {"apply", a.applyCommand}, {"keys", a.keysCommand}, {"tokens", a.tokensCommand}, {"audit", a.auditCommand}, {"certs", a.certsCommand}, {"doctor", a.doctorCommand}, {"mcp", a.mcpCommand},
		{"completion", a.completionCommand}, {"version", a.versionCommand},
	}
}

// commandsOf builds the commands that a command line needs: the one that it begins with, or
// all of them. Building all takes longer than most calls.
func (a *app) commandsOf(args []string) []*cobra.Command {
	makers := a.makers()
	all := make([]*cobra.Command, 0, len(makers))
	for _, m := range makers {
		if len(args) > 0 && args[0] == m.name && m.name != "completion" {
			return []*cobra.Command{m.make()}
		}
	}
	for _, m := range makers {
		all = append(all, m.make())
	}
	return all
}

// helpFlag says what --help does in the language.
func (a *app) helpFlag(c *cobra.Command) {
	c.Flags().BoolP("help", "h", false, a.T("show this help"))
	for _, sub := range c.Commands() {
		a.helpFlag(sub)
	}
}

// prepare reads the flags that every command has.
func (a *app) prepare(c *cobra.Command) error {
	a.command, a.path = c, c.CommandPath()
	wrong := func(name string, err error) error {
		return usage{"--" + name + ": " + err.Error(), c.CommandPath() + " --help"}
	}
	if a.langFlag != "" {
		if _, err := lang.Parse(a.langFlag); err != nil {
			return wrong("lang", errors.New(a.T("%q is not allowed: allowed are %s.", a.langFlag, "en, zh")))
		}
	}
	form := cmp.Or(a.format, a.Env("AFTERBELL_OUTPUT"), string(output.Table))
	format, err := output.ParseFormat(form)
	if err != nil {
		return wrong("output", errors.New(a.T("%q is not allowed: allowed are %s.", form, strings.Join(output.Formats(), ", "))))
	}
	if a.timeout <= 0 {
		return wrong("timeout", errors.New(a.T("must be longer than 0, as in 30s")))
	}
	if err := a.fullLists(c); err != nil {
		return err
	}
	width, isTerm := terminal(a.Out)
	zoned := func(title string) string { return a.T("%s (Shanghai)", title) }
	a.printer = &output.Printer{Out: a.Out, Format: format, Width: width, Zone: afterbell.Shanghai, Zoned: zoned, Color: isTerm && a.Env("NO_COLOR") == "" && a.Env("TERM") != "dumb"}
	return nil
}

// fullLists refuses a list with an empty name, as a blank after a comma makes one, and
// removes blanks around names.
func (a *app) fullLists(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		list, ok := f.Value.(pflag.SliceValue)
		if !ok || err != nil {
			return
		}
		names := list.GetSlice()
		for i, name := range names {
			if names[i] = strings.TrimSpace(name); names[i] == "" {
				err = usage{a.T("--%s: a name is empty: write names with commas and no blanks between them, as in a,b.", f.Name), c.CommandPath() + " --help"}
				return
			}
		}
		err = list.Replace(names)
	})
	return err
}

// connect is the client of the orchestrator.
func (a *app) connect() (*afterbell.Client, error) {
	if a.client == nil {
		access, err := a.access()
		if err != nil {
			return nil, err
		}
		if _, err := access.TLS(); err != nil {
			return nil, usage{"--ca: " + err.Error(), "afterbell --help"}
		}
		c, err := afterbell.DialAs(cmp.Or(a.addr, a.Env("AFTERBELL_ORCHESTRATOR")), access)
		if err != nil {
			return nil, a.cannotDial("orchestrator", err)
		}
		a.client = c
	}
	return a.client, nil
}

// cannotDial is an address or a key that cannot be used; flag names the address.
func (a *app) cannotDial(flag string, err error) error {
	if errors.Is(err, afterbell.ErrKey) {
		flag = "key-file"
		if a.keyFile == "" && a.Env("AFTERBELL_KEY") != "" {
			return usage{"AFTERBELL_KEY: " + err.Error(), a.path + " --help"}
		}
	}
	if addr := cmp.Or(a.addr, a.Env("AFTERBELL_ORCHESTRATOR")); flag == "orchestrator" && addr != "" {
		if _, port, wrong := net.SplitHostPort(addr); wrong != nil || port == "" {
			return usage{a.T("--orchestrator: %q is not an address: write host:port, as in %s.", addr, afterbell.DefaultAddr), a.path + " --help"}
		}
	}
	return usage{"--" + flag + ": " + err.Error(), a.path + " --help"}
}

// maxKeyFile is the largest file that is read for a key, in bytes.
const maxKeyFile = 4096

// access is the API key and the CA of the invocation.
func (a *app) access() (afterbell.Access, error) {
	access := afterbell.Access{Key: strings.TrimSpace(a.Env("AFTERBELL_KEY")), CA: cmp.Or(a.ca, a.Env("AFTERBELL_CA"))}
	path := a.keyFile
	if path == "" && access.Key == "" {
		path = a.Env("AFTERBELL_KEY_FILE")
	}
	if path == "" {
		return access, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return access, usage{a.T("--key-file: %s cannot be read: %s", path, a.pathless(err)), a.path + " --help"}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return access, usage{a.T("--key-file: %s cannot be read: %s", path, a.pathless(err)), a.path + " --help"}
	}
	if access.Key = strings.TrimSpace(string(text)); access.Key == "" {
		return access, usage{a.T("--key-file: %s is empty", path), a.path + " --help"}
	}
	return access, nil
}

// call limits one call to --timeout.
func (a *app) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.inLanguage(ctx), a.timeout)
}

// inLanguage asks for responses in the language.
func (a *app) inLanguage(ctx context.Context) context.Context {
	if a.Lang == lang.Chinese {
		return metadata.AppendToOutgoingContext(ctx, "accept-language", "zh")
	}
	return ctx
}

// tell writes a line of words.
func (a *app) tell(line string) { fmt.Fprintln(a.Err, line) }

// say writes a line of words unless --quiet.
func (a *app) say(line string) {
	if !a.quiet {
		a.tell(line)
	}
}

// next names the next command to type.
func (a *app) next(line string) { a.tell(a.T("Next: %s", line)) }

// hint prints the next command, unless --quiet is set or there is none.
func (a *app) hint(line string) {
	if !a.quiet && line != "" {
		a.next(oneLine(line))
	}
}
