// Package program is what the pair's programs share on the command line: flags that
// are also variables of the environment, help, version, and how an end is told.
package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Exit codes of a program.
const (
	// ExitOK is the end that was asked for.
	ExitOK = 0
	// ExitFailed is an end for any other reason.
	ExitFailed = 1
	// ExitUsage is for a flag, variable or file that is wrong.
	ExitUsage = 2
)

// Variable is the environment's name for a flag: AFTERBELL_DATA_DIR for data-dir.
func Variable(name string) string {
	return "AFTERBELL_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// ParseFlags sets fs from the environment and from args, which win. It returns
// flag.ErrHelp once it has written the help, headed by intro, or the version that
// was asked for; any other error is INVALID_ARGUMENT and names the flag.
func ParseFlags(fs *flag.FlagSet, args []string, env func(string) string, out io.Writer, intro string) error {
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	var broken []string // flags whose variable cannot be read
	fs.VisitAll(func(f *flag.Flag) {
		if v := env(Variable(f.Name)); v != "" && f.Value.Set(v) != nil {
			broken = append(broken, f.Name)
		}
	})
	version := fs.Bool("version", false, "say which build this is")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			help(fs, out, intro)
			return err
		}
		return fault.Invalid("flags", "%s; --help lists them", oneLine(err))
	}
	if fs.NArg() > 0 {
		return fault.Invalid("flags", "%.60q is not a flag; --help lists them", fs.Arg(0))
	}
	if *version {
		fmt.Fprintln(out, fs.Name(), Version())
		return flag.ErrHelp
	}
	fs.Visit(func(f *flag.Flag) { // a flag that is given repairs its variable
		broken = slices.DeleteFunc(broken, func(name string) bool { return name == f.Name })
	})
	for _, name := range broken {
		return fault.Invalid(name, "%s is %.60q, which cannot be read", Variable(name), env(Variable(name)))
	}
	return nil
}

func help(fs *flag.FlagSet, out io.Writer, intro string) {
	fmt.Fprintf(out, "%s\n\nEach flag is also a variable of the environment; the flag wins.\n\n", intro)
	fs.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		head := strings.TrimRight("  --"+f.Name+" "+kind, " ")
		if f.Name == "version" {
			fmt.Fprintf(out, "%s\n        %s\n", head, usage)
			return
		}
		fmt.Fprintf(out, "%s\n        %s\n        (default %s; %s)\n", head, usage, f.DefValue, Variable(f.Name))
	})
}

// Version is the commit that the program was built from and the Go it was built
// with, as far as the build recorded them.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	commit := "unknown"
	if v := set["vcs.revision"]; v != "" {
		commit = v[:min(12, len(v))]
	}
	if set["vcs.modified"] == "true" {
		commit += " with changes"
	}
	text := "commit " + commit
	if at := set["vcs.time"]; at != "" {
		text += " of " + at
	}
	return text + ", " + info.GoVersion
}

// Stopped tells in one line why a program ends, and is its exit code.
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
