// Package program has what the programs share on the command line: flags that are also
// environment variables, help, version, and the final error.
package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Exit codes of a program.
const (
	// ExitOK is the exit code after a requested stop.
	ExitOK = 0
	// ExitFailed is the exit code for any other reason.
	ExitFailed = 1
	// ExitUsage is the exit code for an invalid flag, variable or file.
	ExitUsage = 2
)

// Variable is the environment variable of a flag: AFTERBELL_DATA_DIR for data-dir.
func Variable(name string) string {
	return "AFTERBELL_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// ParseFlags sets fs from the environment and from args, which take precedence. It returns
// flag.ErrHelp after it has written the help, preceded by intro, or the version; any other
// error is INVALID_ARGUMENT and names the flag.
func ParseFlags(fs *flag.FlagSet, args []string, env func(string) string, out io.Writer, intro string) error {
	fs.Init(fs.Name(), flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	version := fs.Bool("version", false, "print the version and exit")
	var refused error // of the flag whose value was refused last
	restore := map[*flag.Flag]flag.Value{}
	fs.VisitAll(func(f *flag.Flag) {
		restore[f] = f.Value
		f.Value = &checked{f, f.Value, &refused}
	})
	err := fs.Parse(args)
	for f, v := range restore {
		f.Value = v
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		help(fs, out, intro)
		return err
	case refused != nil:
		return refused
	case err != nil:
		return unknown(fs, err)
	case fs.NArg() > 0:
		return fault.Invalid("flags", "%.60q is not a flag; --help lists them", fs.Arg(0))
	case *version:
		fmt.Fprintln(out, fs.Name(), Version())
		return flag.ErrHelp
	}
	given := map[string]bool{"version": true} // it has no variable
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	fs.VisitAll(func(f *flag.Flag) {
		v := env(Variable(f.Name))
		if v == "" || given[f.Name] || refused != nil {
			return
		}
		if err := f.Value.Set(v); err != nil {
			refused = refusal(f, Variable(f.Name)+" is ", v, err)
		}
	})
	return refused
}

func help(fs *flag.FlagSet, out io.Writer, intro string) {
	fmt.Fprintf(out, "%s\n\nEach flag is also an environment variable. The flag takes precedence.\n\n", intro)
	fs.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		head := strings.TrimRight("  --"+f.Name+" "+kind, " ")
		if f.Name == "version" {
			fmt.Fprintf(out, "%s\n        %s\n", head, usage)
			return
		}
		source := Variable(f.Name)
		if f.DefValue != "" {
			source = "default " + f.DefValue + "; " + source
		}
		fmt.Fprintf(out, "%s\n        %s\n        (%s)\n", head, usage, source)
	})
}

// Version is the commit of the build and its Go version, as far as they were recorded.
func Version() string {
	set, goVersion, ok := buildFacts()
	if !ok {
		return "unknown"
	}
	text := "commit " + Commit()
	if at := set["vcs.time"]; at != "" {
		text += " of " + at
	}
	return text + ", " + goVersion
}

// Commit is the commit of the build, shortened, and whether files were changed after it:
// "1a2b3c4d5e6f with changes". "unknown" if the build did not record it.
func Commit() string {
	set, _, _ := buildFacts()
	commit := "unknown"
	if v := set["vcs.revision"]; v != "" {
		commit = v[:min(12, len(v))]
	}
	if set["vcs.modified"] == "true" {
		commit += " with changes"
	}
	return commit
}

// CommitTime is the time of that commit; zero if the build did not record it.
func CommitTime() time.Time {
	set, _, _ := buildFacts()
	at, _ := time.Parse(time.RFC3339, set["vcs.time"])
	return at
}

func buildFacts() (set map[string]string, goVersion string, ok bool) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, "", false
	}
	set = map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	return set, info.GoVersion, true
}

// Stopped writes one line about why a program ends, and returns its exit code.
func Stopped(w io.Writer, name string, err error) int {
	code, line := ExitFailed, oneLine(err)
	if f, ok := fault.As(err); ok {
		if f.Reason == fault.InvalidArgument { // its message says what to correct
			code = ExitUsage
		} else if d, ok := fault.Describe(f.Reason); ok {
			line += " " + d.Remedy
		}
		line += " [" + string(f.Reason) + "]"
	}
	fmt.Fprintf(w, "%s: %s\n", name, line)
	return code
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// checked remembers why a value was invalid, because the text of package flag says neither
// what is allowed nor which flag it was.
type checked struct {
	f *flag.Flag
	flag.Value
	refused *error
}

// Set passes a value on.
func (c *checked) Set(v string) error {
	err := c.Value.Set(v)
	if err != nil {
		*c.refused = refusal(&flag.Flag{Name: c.f.Name, Usage: c.f.Usage, Value: c.Value}, "", v, err)
	}
	return err
}

// IsBoolFlag is true if the flag needs no value.
func (c *checked) IsBoolFlag() bool {
	b, ok := c.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func refusal(f *flag.Flag, before, v string, err error) error {
	kind, usage := flag.UnquoteUsage(f)
	problem := err.Error()
	switch {
	case strings.Contains(problem, "out of range"):
		problem = "out of range"
	case kind == "int":
		problem = "not a whole number"
	case kind == "duration":
		problem = "not a duration such as 30s or 2m"
	case kind == "":
		problem = "neither true nor false"
	}
	return fault.Invalid(f.Name, "%s%.60q, %s (%s)", before, v, problem, usage)
}

// unknown is the error for a flag that does not exist or has no value.
func unknown(fs *flag.FlagSet, err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		_, usage := flag.UnquoteUsage(fs.Lookup(name))
		return fault.Invalid(name, "a value is required (%s)", usage)
	}
	_, arg, _ := strings.Cut(err.Error(), ": ")
	return fault.Invalid("flags", "there is no flag %.60q; --help lists them", arg)
}
