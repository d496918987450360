package program

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

type flags struct {
	dir  string
	stop time.Duration
	n    int
	on   bool
}

func parse(args []string, env map[string]string) (c flags, out string, err error) {
	var b bytes.Buffer
	fs := flag.NewFlagSet("thing", flag.ContinueOnError)
	fs.StringVar(&c.dir, "data-dir", "data", "`directory` of files")
	fs.DurationVar(&c.stop, "stop-timeout", time.Second, "how long")
	fs.IntVar(&c.n, "n", 7, "calls a minute; 0 for none")
	fs.BoolVar(&c.on, "schedule", true, "fire")
	err = ParseFlags(fs, args, func(name string) string { return env[name] }, &b, "thing does it.")
	return c, b.String(), err
}

func TestFlagWinsOverVariable(t *testing.T) {
	c, _, err := parse([]string{"--stop-timeout", "3s"}, map[string]string{
		"AFTERBELL_DATA_DIR": "/d", "AFTERBELL_STOP_TIMEOUT": "nonsense", "AFTERBELL_SCHEDULE": "false", "AFTERBELL_VERSION": "true",
	})
	if want := (flags{dir: "/d", stop: 3 * time.Second, n: 7}); err != nil || c != want {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestWhatIsWrongIsNamedInOneLine(t *testing.T) {
	for _, c := range []struct {
		args        []string
		env         map[string]string
		field, want string
	}{
		{args: []string{"--n", "abc"}, field: "n", want: `n: "abc", not a whole number (calls a minute; 0 for none)`},
		{args: []string{"--n="}, field: "n", want: `n: "", not a whole number (calls a minute; 0 for none)`},
		{args: []string{"--n", "99999999999999999999"}, field: "n", want: `n: "99999999999999999999", out of range (calls a minute; 0 for none)`},
		{args: []string{"--stop-timeout", "-x: 3\n"}, field: "stop-timeout", want: `stop-timeout: "-x: 3\n", not a duration such as 30s or 2m (how long)`},
		{args: []string{"--schedule=maybe"}, field: "schedule", want: `schedule: "maybe", neither true nor false (fire)`},
		{args: []string{"--n"}, field: "n", want: "n: a value is required (calls a minute; 0 for none)"},
		{args: []string{"--nope"}, field: "flags", want: `flags: there is no flag "-nope"; --help lists them`},
		{args: []string{"---n"}, field: "flags", want: "flags: there is no flag"},
		{args: []string{"--=x y"}, field: "flags", want: "flags: there is no flag"},
		{args: []string{"serve"}, field: "flags", want: `flags: "serve" is not a flag; --help lists them`},
		{env: map[string]string{"AFTERBELL_N": "many"}, field: "n", want: `n: AFTERBELL_N is "many", not a whole number (calls a minute; 0 for none)`},
	} {
		_, out, err := parse(c.args, c.env)
		f, ok := fault.As(err)
		if !ok || f.Reason != fault.InvalidArgument || f.Meta["field"] != c.field || !strings.HasPrefix(f.Message, c.want) ||
			strings.Contains(err.Error(), "\n") || out != "" {
			t.Errorf("%v %v: %v, written %q", c.args, c.env, err, out)
		}
		var told bytes.Buffer
		if code := Stopped(&told, "thing", err); code != ExitUsage || strings.Count(told.String(), "\n") != 1 {
			t.Errorf("exit %d with %q", code, told.String())
		}
	}
	var told bytes.Buffer
	if code := Stopped(&told, "thing", fault.New(fault.DataDirLocked, "It is held.")); code != ExitFailed ||
		told.String() != "thing: It is held. Stop that process, or use a different --data-dir. [DATA_DIR_LOCKED]\n" {
		t.Errorf("exit %d with %q", code, told.String())
	}
	told.Reset()
	if code := Stopped(&told, "thing", errors.Join(errors.New("one"), errors.New("two"))); code != ExitFailed || told.String() != "thing: one two\n" {
		t.Errorf("exit %d with %q", code, told.String())
	}
}

func TestHelpAndVersion(t *testing.T) {
	_, out, err := parse([]string{"--help"}, nil)
	if !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, want := range []string{"thing does it.", "--data-dir directory\n", "(default data; AFTERBELL_DATA_DIR)", "--version\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("help lacks %q:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 80 || strings.HasSuffix(line, " \n") {
			t.Errorf("line %q", line)
		}
	}
	_, out, err = parse([]string{"--version"}, nil)
	if !errors.Is(err, flag.ErrHelp) || !strings.HasPrefix(out, "thing commit ") || !strings.Contains(out, "go1.") {
		t.Errorf("version: %q, %v", out, err)
	}
}
