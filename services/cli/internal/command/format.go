package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// poolNames are the names of the pools, in the order in which they run.
var poolNames = []string{"targets", "universe"}

// pool is the enum value of a pool's name, unspecified when it is none.
func pool(name string) marketv1.Pool {
	switch name {
	case "targets":
		return marketv1.Pool_POOL_TARGETS
	case "universe":
		return marketv1.Pool_POOL_UNIVERSE
	}
	return marketv1.Pool_POOL_UNSPECIFIED
}

// pools reads names; none means both. field is the flag or argument that has them.
func (a *app) pools(path, field string, names []string) ([]marketv1.Pool, error) {
	if len(names) == 0 {
		names = poolNames
	}
	var out []marketv1.Pool
	for _, n := range names {
		p := pool(n)
		if p == marketv1.Pool_POOL_UNSPECIFIED {
			return nil, usage{a.T("%s: %q is not a pool: allowed are %s.", field, n, strings.Join(poolNames, ", ")), path + " --help"}
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out, nil
}

// enum is a value of a contract's enum, shown without its prefix.
func (a *app) enum(v fmt.Stringer, prefix string) output.Word {
	short := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(v.String(), prefix), "_", " "))
	if short == "unspecified" {
		short = ""
	}
	return output.Word{Text: a.T(short), Raw: strings.ReplaceAll(short, " ", "_")}
}

func poolName(p marketv1.Pool) string {
	return strings.ToLower(strings.TrimPrefix(p.String(), "POOL_"))
}

func reason(r faultv1.Reason) string { return strings.TrimPrefix(r.String(), "REASON_") }

// sentences joins sentences, in English with blanks.
func (a *app) sentences(all ...string) string {
	if a.Lang == lang.Chinese {
		return strings.Join(all, "")
	}
	return strings.Join(all, " ")
}

// moment is a time in words, in Shanghai.
func (a *app) moment(t time.Time) string {
	return a.T("%s (Shanghai)", output.Moment(t, a.printer.Zone))
}

// incomplete says how much is incomplete.
func (a *app) incomplete(n int) string {
	return a.N(n, "%d dataset and date is incomplete.", "%d datasets and dates are incomplete.")
}

// span reads the flags --from and --to.
func (a *app) span(path, from, to string) (start, end string, err error) {
	if start, err = a.day(path, "from", from); err != nil {
		return "", "", err
	}
	end, err = a.day(path, "to", to)
	return start, end, err
}

// day reads a date flag: YYYY-MM-DD or today, which is the day in Shanghai.
func (a *app) day(path, flag, s string) (string, error) {
	if s == "today" {
		return a.now().In(a.printer.Zone).Format(time.DateOnly), nil
	}
	if _, err := time.Parse(time.DateOnly, s); s != "" && err != nil {
		return "", usage{a.T("--%s: %q is not a date: write YYYY-MM-DD or today.", flag, s), path + " --help"}
	}
	return s, nil
}
