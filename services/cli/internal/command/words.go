package command

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	afterbell "github.com/afterbell/afterbell/clients/go"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// errTwice is a flag with one value that was given two.
var errTwice = errors.New("given twice")

// once is a flag that can be given once. The last of two values would win without a word.
type once struct {
	pflag.Value
	given bool
}

// Set implements pflag.Value.
func (o *once) Set(s string) error {
	if o.given {
		return errTwice
	}
	o.given = true
	return o.Value.Set(s)
}

// places are flags that an alias may have, as the flags of every command.
var places = []string{"http-addr", "data-dir", "tushare-url"}

// giveOnce makes it an error to repeat a flag, except lists and the flags of an alias.
func giveOnce(c *cobra.Command) {
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if _, list := f.Value.(pflag.SliceValue); !list && f.Value.Type() != "bool" && !slices.Contains(places, f.Name) {
			f.Value = &once{Value: f.Value}
		}
	})
	for _, sub := range c.Commands() {
		giveOnce(sub)
	}
}

// flagWords says what is wrong with the flags of a command line.
func (a *app) flagWords(err error) string {
	var missing *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var value *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &missing):
		name := "--" + missing.GetSpecifiedName()
		if missing.GetSpecifiedShortnames() != "" {
			name = "-" + missing.GetSpecifiedName()[:1]
		}
		return a.T("There is no flag %s.", name)
	case errors.As(err, &bare):
		return a.T("--%s requires a value.", bare.GetFlag().Name)
	case errors.As(err, &syntax):
		return a.T("%q is not a flag.", syntax.GetSpecifiedFlag())
	case errors.As(err, &value):
		name := value.GetFlag().Name
		if errors.Is(err, errTwice) {
			return a.T("--%s is given twice.", name)
		}
		switch value.GetFlag().Value.Type() {
		case "duration":
			return a.T("--%s: %q is not a duration: write one such as 30s, 10m or 2h.", name, value.GetValue())
		case "int", "int32", "int64":
			return a.T("--%s: %q is not an integer.", name, value.GetValue())
		case "bool":
			return a.T("--%s: %q is not allowed: allowed are %s.", name, value.GetValue(), "true, false")
		}
		return a.T("--%s: %q is not allowed.", name, value.GetValue())
	}
	return err.Error()
}

// between accepts from least to most arguments, named what; a negative most means no limit.
// other is the command that lists valid arguments.
func (a *app) between(what, other string, least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		for i, arg := range args {
			if most == 0 && slices.ContainsFunc(a.makers(), func(m maker) bool { return m.name == arg }) {
				return usage{a.T("There is no command %q.", c.CommandPath()+" "+arg), "afterbell " + strings.Join(args, " ")}
			}
			if most == 0 {
				return usage{a.T("%s accepts no arguments, but got %q.", c.CommandPath(), arg), c.CommandPath() + " --help"}
			}
			if most > 0 && i >= most {
				return usage{a.T("%s accepts one argument, but also got %q.", c.CommandPath(), arg), c.CommandPath() + " --help"}
			}
			if i < max(least, 1) && strings.TrimSpace(arg) == "" {
				return usage{a.T("%s requires %s.", c.CommandPath(), what), other}
			}
		}
		if len(args) < least {
			return usage{a.T("%s requires %s.", c.CommandPath(), what), other}
		}
		return nil
	}
}

// noArgs refuses arguments.
func (a *app) noArgs(c *cobra.Command, args []string) error { return a.between("", "", 0, 0)(c, args) }

// oneArg requires one argument.
func (a *app) oneArg(what, other string) cobra.PositionalArgs { return a.between(what, other, 1, 1) }

// someArgs requires one argument or more.
func (a *app) someArgs(what, other string) cobra.PositionalArgs { return a.between(what, other, 1, -1) }

// maybeArg accepts one argument.
func (a *app) maybeArg(c *cobra.Command, args []string) error {
	return a.between("", "", 0, 1)(c, args)
}

// flagsOf are the flags and arguments that have another name than the field of the
// contract that they fill, in the order in which they are looked for.
var flagsOf = map[string][]string{
	"start_date": {"from"}, "end_date": {"to"}, "trade_date": {"date"}, "module_ids": {"modules"}, "dataset_id": {"dataset"},
	"page_size": {"number", "limit"}, "expire_time": {"until", "expires"}, "set_id": {"set", "NAME"}, "channel_id": {"NAME", "channel"},
	"name": {"NAME"}, "symbols": {"symbols", "SYMBOL"}, "run_id": {"RUN", "run"}, "slot_id": {"SLOT"}, "query": {"TEXT"},
	"module_id": {"MODULE"}, "domain_id": {"DOMAIN"}, "provider_apis": {"API"}, "key_id": {"KEY"}, "table": {"TABLE"},
	"pool": {"pool", "POOL"}, "pools": {"POOL"}, "after_sequence": {"after"}, "provider_id": {"provider"},
}

// restField is a field of a request as the orchestrator names it.
var restField = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\b[a-z]+(?:_[a-z]+)*(?:\[\d+\])?`) })

// fieldName is the name of a request's field in the current command: a flag or an argument.
// Other fields keep their name.
func (a *app) fieldName(field string) string {
	if a.command == nil || a.command.Name() == "apply" { // a file has the names of the contract
		return field
	}
	plain, _, _ := strings.Cut(field[strings.LastIndex(field, ".")+1:], "[")
	for _, name := range append(flagsOf[plain], strings.ReplaceAll(plain, "_", "-")) {
		if name == strings.ToUpper(name) {
			if strings.Contains(a.command.Use, name) {
				return name
			}
		} else if a.command.Flags().Lookup(name) != nil {
			return "--" + name
		}
	}
	return field
}

// inFlags is a message with the names of flags and commands instead of fields and REST
// calls.
func (a *app) inFlags(e *afterbell.Error) string {
	message := e.Message
	for _, f := range e.Fields {
		message = strings.Replace(message, f.Field+": "+f.Problem, a.fieldName(f.Field)+": "+a.renamed(f.Problem), 1)
	}
	return a.commands(message)
}

// renamed is the problem of a field, with the names of flags instead of fields.
func (a *app) renamed(problem string) string {
	return restField().ReplaceAllStringFunc(problem, func(word string) string {
		if len(flagsOf[word]) == 0 || !strings.Contains(word, "_") { // a word of the language
			return word
		}
		return a.fieldName(word)
	})
}

// wrongFields says in Chinese what is wrong with the fields of a request. Empty if a part
// has no Chinese.
func (a *app) wrongFields(e *afterbell.Error) string {
	if a.Lang != lang.Chinese {
		return ""
	}
	wrong := make([]fault.Violation, len(e.Fields))
	for i, f := range e.Fields {
		wrong[i] = fault.Violation{Field: a.fieldName(f.Field), Problem: f.Problem}
	}
	return a.renamed(fault.ChineseOf(wrong))
}

// pathless is an error of a file without its path.
func (a *app) pathless(err error) string {
	var cause *os.PathError
	var link *os.LinkError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a.T("it does not exist")
	case errors.Is(err, fs.ErrPermission):
		return a.T("access is denied")
	case errors.Is(err, syscall.EISDIR):
		return a.T("it is a directory")
	case errors.As(err, &cause):
		return cause.Err.Error()
	case errors.As(err, &link):
		return link.Err.Error()
	}
	return err.Error()
}
