package command

import (
	"cmp"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

type conditionFlags struct {
	pool, from, to string
	symbols        []string
	lacking        bool
}

func (a *app) conditionCommand() *cobra.Command {
	var f conditionFlags
	c := &cobra.Command{
		Use: "condition TABLE", Args: a.oneArg("TABLE", "afterbell condition --help"),
		ValidArgs: tableNames,
		Short:     a.T("Show the condition of a published table on each date, and when missing data is fetched next"),
		Long:      a.T("Shows for each dataset and trading day of a table whether it is available, short, pending or missing in the published version. The exit code is 0 if everything is available, 4 if all that is missing is not due yet, and 3 otherwise.") + "\n\n" + a.tablesHelp(),
		Example:   "  afterbell condition daily_prices --from 2026-11-02 --lacking",
	}
	c.Flags().StringVar(&f.pool, "pool", "universe", a.T("`pool` to read: targets or universe"))
	c.Flags().StringSliceVar(&f.symbols, "symbols", nil, a.T("`symbols`, as in 600519.SH; default: all"))
	c.Flags().StringVar(&f.from, "from", "", a.T("first trade `date`, YYYY-MM-DD or today"))
	c.Flags().StringVar(&f.to, "to", "", a.T("last trade `date`, YYYY-MM-DD or today"))
	c.Flags().BoolVar(&f.lacking, "lacking", false, a.T("list only what is incomplete"))
	c.RunE = func(c *cobra.Command, args []string) error {
		table, err := a.tableOf(c, args[0], &f.pool)
		if err != nil {
			return err
		}
		return a.condition(c, table, f)
	}
	return c
}

func (a *app) condition(c *cobra.Command, name string, f conditionFlags) error {
	list, err := a.pools(c.CommandPath(), "--pool", []string{f.pool})
	if err != nil {
		return err
	}
	req := &orchestratorv1.GetConditionRequest{Table: name, Pool: list[0], Symbols: f.symbols}
	if req.StartDate, req.EndDate, err = a.span(c.CommandPath(), f.from, f.to); err != nil {
		return err
	}
	client, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.call(c.Context())
	defer cancel()
	resp, err := client.Data.GetCondition(ctx, req)
	if err != nil {
		return err
	}
	answer := output.Answer{
		Columns: []output.Column{
			{Key: "dataset_id", Title: a.T("dataset")}, {Key: "trade_date", Title: a.T("date")}, {Key: "state", Title: a.T("state")},
			{Key: "verdict", Title: a.T("verdict"), Wide: true}, {Key: "rows", Title: a.T("rows"), Right: true},
			{Key: "expected", Title: a.T("expected"), Right: true, Drop: 1}, {Key: "next_time", Title: a.T("fetched next")}, {Key: "reason", Title: a.T("reason")},
		},
	}
	lacks, early, never := 0, 0, 0 // early: of a date that is not due yet; never: fetched by no scheduled run
	from, to := "", ""             // of what a run fetches; pending data is fetched automatically
	refetch := " --refetch"        // if all of it was accepted short
	var next time.Time
	held := ""  // the command that lets a run fetch what a user has paused or disabled
	other := "" // the command for a symbol that no run fetches
	for _, v := range resp.GetConditions() {
		if v.GetState() != marketv1.ConditionState_CONDITION_STATE_AVAILABLE {
			lacks++
			if notDue(v) {
				early++
			}
			if !v.GetAskedAgain() {
				never++
			}
			held = cmp.Or(held, release(f.pool, v.GetMessage()))
			if s := v.GetSymbol(); s != "" {
				other = cmp.Or(other, symbolLine(s, v.GetMessage()))
			}
			if t := v.GetNextAskTime(); t != nil && (next.IsZero() || t.AsTime().Before(next)) {
				next = t.AsTime()
			}
			if day := v.GetTradeDate(); v.GetState() != marketv1.ConditionState_CONDITION_STATE_PENDING && day != "" {
				if from == "" || day < from {
					from = day
				}
				to = max(to, day)
				if v.GetVerdict() != marketv1.Verdict_VERDICT_ACCEPTED_SHORT {
					refetch = ""
				}
			}
		} else if f.lacking {
			continue
		}
		answer.Rows = append(answer.Rows, []any{
			v.GetDatasetId(), v.GetTradeDate(), a.enum(v.GetState(), "CONDITION_STATE_"), a.enum(v.GetVerdict(), "VERDICT_"),
			v.GetRowCount(), v.GetExpectedCount(), v.GetNextAskTime(), a.why(v),
		})
		answer.Records = append(answer.Records, v)
	}
	if !f.lacking {
		answer.Document = output.Proto{Message: resp}
	}
	if len(answer.Rows) > 0 || a.printer.Format != output.Table {
		if err := a.printer.Print(answer); err != nil {
			return err
		}
	}
	a.say(a.T("Version %s.", resp.GetVersion()))
	if lacks > 0 {
		if early == lacks {
			a.say(a.N(lacks, "%d dataset and date is not due yet.", "%d datasets and dates are not due yet."))
			a.sayNext(next, lacks, never)
			a.hint(cmp.Or(held, "afterbell status --pool "+f.pool))
			return exit{ExitNotDue}
		}
		a.say(a.incomplete(lacks))
		a.sayNext(next, lacks, never)
		switch {
		case held != "":
			a.hint(held)
		case other != "":
			a.hint(other)
		case from == "":
			a.hint("afterbell status --pool " + f.pool)
		default:
			a.hint(a.runOrRemedy(c.Context(), client, f.pool, "afterbell run "+f.pool+" --from "+from+" --to "+to+refetch+" --watch"))
		}
		return exit{ExitNotWhole}
	}
	a.say(a.T("Nothing is incomplete."))
	return nil
}

// disabled finds what is disabled in the reason of a condition.
var disabled = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`The (module|domain) (\S+) is disabled\.$`) })

// release is the command that lets a run fetch what a user has paused or disabled, by the
// reason of a condition. Empty if nothing is.
func release(pool, reason string) string {
	if m := disabled().FindStringSubmatch(reason); m != nil {
		return "afterbell " + m[1] + "s enable " + m[2]
	}
	if strings.HasSuffix(reason, "The pool is paused.") {
		return "afterbell resume " + pool
	}
	return ""
}

// symbolLine is the command for a symbol that no run fetches, by the reason of its condition:
// one that is not on the target list is added, another one is searched.
func symbolLine(symbol, reason string) string {
	if strings.HasSuffix(reason, "of the target list.") {
		return "afterbell targets add " + symbol
	}
	return "afterbell targets search " + symbol
}

// why says why a dataset and date is not available. An orchestrator of an older release has
// no Chinese; then its verdict is translated, followed by the English.
func (a *app) why(v *marketv1.DataCondition) string {
	said := a.commands(v.GetMessage())
	if a.Lang != lang.Chinese || said == "" {
		return said
	}
	if zh := v.GetLocalizedMessage(); zh != "" {
		return zh
	}
	var zh string
	switch verdict := v.GetVerdict(); {
	case notDue(v):
		zh = a.T("not due yet")
	case verdict == marketv1.Verdict_VERDICT_MISSING:
		zh = a.T("not fetched yet")
	default:
		zh = a.enum(verdict, "VERDICT_").Text
	}
	return zh + "（" + strings.TrimSuffix(said, ".") + "）"
}

// sayNext says when missing data is fetched next, and how much of it no scheduled run
// fetches.
func (a *app) sayNext(next time.Time, lacks, never int) {
	switch {
	case never == lacks:
		a.say(a.T("No scheduled run fetches what is missing."))
		return
	case next.IsZero():
		a.say(a.T("No scheduled run fetches it."))
	default:
		a.say(a.T("It is fetched next at %s.", a.moment(next)))
	}
	if never > 0 {
		a.say(a.T("No scheduled run fetches %d of them.", never))
	}
}

// notDue reports whether a pending date is not due yet. If it was fetched and is not
// published, it has a verdict instead.
func notDue(v *marketv1.DataCondition) bool {
	return v.GetState() == marketv1.ConditionState_CONDITION_STATE_PENDING && v.GetVerdict() == marketv1.Verdict_VERDICT_MISSING
}
