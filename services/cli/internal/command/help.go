package command

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// help prints what a command does and how it is used. It uses no template: with
// text/template, the linker could not remove unused methods.
func (a *app) help(c *cobra.Command, _ []string) {
	if about := strings.TrimRight(cmp.Or(c.Long, c.Short), " \n"); about != "" {
		fmt.Fprint(c.OutOrStdout(), about+"\n\n")
	}
	fmt.Fprint(c.OutOrStdout(), c.UsageString())
}

// usage writes how a command is used, in the language.
func (a *app) usage(c *cobra.Command) error {
	var b strings.Builder
	b.WriteString(a.T("Usage:") + "\n")
	if c.Runnable() {
		b.WriteString("  " + c.UseLine() + "\n")
	}
	if c.HasAvailableSubCommands() {
		b.WriteString("  " + c.CommandPath() + " " + a.T("COMMAND") + "\n\n" + a.T("Commands:") + "\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-*s %s\n", c.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	if c.HasExample() {
		b.WriteString("\n" + a.T("Examples:") + "\n" + c.Example + "\n")
	}
	if c.HasAvailableLocalFlags() {
		b.WriteString("\n" + a.T("Flags:") + "\n" + a.flagTable(c.LocalFlags()))
	}
	if c.HasAvailableInheritedFlags() {
		b.WriteString("\n" + a.T("Flags of every command:") + "\n" + a.flagTable(c.InheritedFlags()))
	}
	_, err := io.WriteString(c.OutOrStderr(), b.String())
	return err
}

// flagTable lists flags in two columns. Those of pflag are aligned by bytes, and in
// English.
func (a *app) flagTable(flags *pflag.FlagSet) string {
	var names, about []string
	widest := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		value, text := pflag.UnquoteUsage(f)
		if a.Lang == lang.Chinese {
			text = besideHan().ReplaceAllString(text, "$1$2")
		}
		if value == "string" || value == "strings" {
			value = a.T("value")
		}
		if value != "" {
			name += " " + value
		}
		switch f.DefValue {
		case "", "0", "false", "[]", "0s":
		default:
			text += a.T(" (default %s)", f.DefValue)
		}
		names, about = append(names, name), append(about, text)
		widest = max(widest, output.Width(name))
	})
	var b strings.Builder
	for i, name := range names {
		b.WriteString(name + strings.Repeat(" ", widest-output.Width(name)+3) + about[i] + "\n")
	}
	return b.String()
}

// besideHan are spaces between Chinese characters, for example around a name that was in
// quotes.
var besideHan = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`([\p{Han}，。；：（）、]) +([\p{Han}，。；：（）、])`)
})
