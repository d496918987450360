package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	afterbell "github.com/afterbell/afterbell/clients/go"
	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/doctor"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
	"github.com/afterbell/afterbell/services/internal/fault"
)

type statusFlags struct {
	pools   []string
	date    string
	from    string
	require string
	wait    time.Duration
}

func (a *app) statusCommand() *cobra.Command {
	var f statusFlags
	c := &cobra.Command{
		Use: "status", Short: a.T("Show whether the evening's data is complete; the exit code is the answer"), Args: a.noArgs,
		Long: a.T("Shows for each pool whether a trade date is complete, what is missing, and when it is fetched next. The default date is the last evening that was due. If the exchange was closed on the date, the previous trading day is used.") +
			"\n\n" + a.T("Exit codes: 0 complete or done, 1 wrong usage or another error, 2 blocked, 3 not complete, 4 not due yet, 5 unreachable."),
		Example: "  afterbell status --require complete --pool universe --date today --wait 2h && python train.py",
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return a.status(c.Context(), c.CommandPath(), f) }
	c.Flags().StringSliceVar(&f.pools, "pool", nil, a.T("`pool` to judge: targets or universe (default both)"))
	c.Flags().StringVar(&f.date, "date", "", a.T("trade `date` to judge: YYYY-MM-DD or today"))
	c.Flags().StringVar(&f.from, "from", "", a.T("check all trading days from this `date` to --date"))
	c.Flags().StringVar(&f.require, "require", "settled", a.T("`state` that counts as complete: settled, or complete, which excludes dates that were accepted short"))
	c.Flags().DurationVar(&f.wait, "wait", 0, a.T("wait up to this `time` until the data is complete"))
	return c
}

// verdictUnreachable is a verdict in addition to those of the client.
const verdictUnreachable = "unreachable"

// exitOf is the exit code of a verdict; worst is the order in which one pool's outdoes
// the other's.
var (
	exitOf = map[string]int{
		string(afterbell.Whole): ExitWhole, string(afterbell.Blocked): ExitBlocked, string(afterbell.NotWhole): ExitNotWhole,
		string(afterbell.NotDue): ExitNotDue, string(afterbell.Empty): ExitNotWhole, verdictUnreachable: ExitUnreachable,
	}
	worst = []string{verdictUnreachable, string(afterbell.Blocked), string(afterbell.NotWhole), string(afterbell.NotDue), string(afterbell.Empty), string(afterbell.Whole)}
)

// statusJSON is the answer for programs.
type statusJSON struct {
	Verdict  string       `json:"verdict"`
	ExitCode int          `json:"exitCode"`
	Message  string       `json:"message,omitempty"`
	Pools    []poolStatus `json:"pools"`
	// FailingChannels are those through which notices do not arrive.
	FailingChannels []output.Proto `json:"failingChannels"`
}

type poolStatus struct {
	Pool            string         `json:"pool"`
	Verdict         string         `json:"verdict"`
	Date            string         `json:"date,omitempty"`
	ClosedDate      string         `json:"closedDate,omitempty"`
	Settled         int            `json:"settled"`
	Counted         int            `json:"counted"`
	Lacking         []output.Proto `json:"lacking"`
	PendingDatasets []string       `json:"pendingDatasets"`
	DisabledModules []string       `json:"disabledModules"`
	RunID           string         `json:"runId,omitempty"`
	Paused          bool           `json:"paused"`
	Issues          []output.Proto `json:"issues"`
	NextTime        *time.Time     `json:"nextTime,omitempty"`
	NextRunTime     *time.Time     `json:"nextRunTime,omitempty"`
	NextCommand     string         `json:"nextCommand,omitempty"`
}

// add adds a pool; the worst verdict is that of the whole. Targets without symbols count
// only if they are requested by name.
func (s *statusJSON) add(p poolStatus, named bool) {
	if (named || p.Verdict != string(afterbell.Empty)) && slices.Index(worst, p.Verdict) < slices.Index(worst, s.Verdict) {
		s.Verdict = p.Verdict
	}
	s.ExitCode = exitOf[s.Verdict]
	s.Pools = append(s.Pools, p)
}

func (a *app) status(ctx context.Context, path string, f statusFlags) error {
	pools, err := a.pools(path, "--pool", f.pools)
	if err != nil {
		return err
	}
	req := afterbell.EveningRequest{Strict: f.require == "complete"}
	if f.require != "complete" && f.require != "settled" {
		return usage{a.T("--require: %q is not allowed: allowed are settled, complete.", f.require), path + " --help"}
	}
	if req.Date, err = a.day(path, "date", f.date); err != nil {
		return err
	}
	if req.From, err = a.day(path, "from", f.from); err != nil {
		return err
	}
	if req.From != "" && req.Date != "" && req.From > req.Date {
		return usage{a.T("--from: %s is after --date %s.", req.From, req.Date), path + " --help"}
	}
	if f.wait < 0 {
		return usage{a.T("--wait: %s is negative: write a time such as 2h.", f.wait), path + " --help"}
	}
	client, err := a.connect()
	if err != nil {
		return err
	}
	requests := make([]afterbell.EveningRequest, len(pools))
	for i, p := range pools {
		requests[i] = req
		requests[i].Pool = p
	}
	if f.wait > 0 {
		if err := a.wait(ctx, client, requests, f.wait); err != nil {
			return a.noAnswer(ctx, err)
		}
	}
	var silent []*orchestratorv1.Channel
	var beside sync.WaitGroup
	beside.Go(func() { silent = a.failingChannels(ctx, client) })
	once, cancel := a.call(ctx)
	defer cancel()
	evenings, err := client.Evenings(once, requests...)
	beside.Wait()
	if err != nil {
		return a.noAnswer(ctx, err)
	}
	return a.sayStatus(evenings, silent, len(f.pools) > 0)
}

// wait waits until all evenings are whole, or waiting is of no use, or the time is over.
func (a *app) wait(ctx context.Context, client *afterbell.Client, requests []afterbell.EveningRequest, limit time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	g, gctx := errgroup.WithContext(waiting)
	for _, req := range requests {
		g.Go(func() error {
			said := ""
			_, err := client.WaitEvening(gctx, req, func(e *afterbell.Evening) {
				if e.Verdict == afterbell.Whole {
					return
				}
				if line := a.sentence(e); line != said {
					said = line
					a.say(line)
				}
			})
			return err
		})
	}
	if err := g.Wait(); err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	return nil
}

// noAnswer is why the state of an evening is unknown.
func (a *app) noAnswer(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, afterbell.ErrUnreachable) || errors.Is(err, afterbell.ErrWorkerUnreachable) {
		return a.away(err)
	}
	return err
}

// away says, also to programs, that the state is unknown.
func (a *app) away(err error) error {
	var answer *afterbell.Error
	if errors.As(err, &answer) && a.printer.Format != output.Table {
		message, _ := a.answered(answer)
		doc := statusJSON{Verdict: verdictUnreachable, ExitCode: ExitUnreachable, Message: message, Pools: []poolStatus{}, FailingChannels: []output.Proto{}}
		if err := a.printer.Print(output.Answer{Columns: a.statusColumns(), Document: doc, Records: []any{doc}}); err != nil {
			return err
		}
	}
	return err
}

func (a *app) statusColumns() []output.Column {
	return []output.Column{
		{Key: "pool", Title: a.T("pool")}, {Key: "date", Title: a.T("date")}, {Key: "verdict", Title: a.T("verdict")},
		{Key: "settled", Title: a.T("settled"), Right: true, Drop: 1}, {Key: "counted", Title: a.T("of"), Right: true, Drop: 2},
		{Key: "next_time", Title: a.T("fetched next")}, {Key: "lacking", Title: a.T("missing data")},
	}
}

func (a *app) sayStatus(evenings []*afterbell.Evening, silent []*orchestratorv1.Channel, named bool) error {
	answer := output.Answer{Columns: a.statusColumns()}
	doc := statusJSON{Verdict: string(afterbell.Whole), FailingChannels: output.Protos(silent)}
	for _, e := range evenings {
		one := a.poolStatus(e)
		doc.add(one, named)
		answer.Records = append(answer.Records, one)
		var lacks any
		if names := lackingNames(e); len(names) > 0 {
			lacks = strings.Join(names, ", ")
		}
		answer.Rows = append(answer.Rows, []any{
			one.Pool, e.Date, a.verdict(e.Verdict), one.Settled, one.Counted, e.NextTime, lacks,
		})
	}
	answer.Document = doc
	if err := a.printer.Print(answer); err != nil {
		return err
	}
	for i, e := range evenings {
		a.sayEvening(e)
		again := func(later *afterbell.Evening) bool { return a.nextFor(later) == a.nextFor(e) }
		if !slices.ContainsFunc(evenings[i+1:], again) { // once for both pools
			a.hint(a.nextFor(e))
		}
	}
	a.sayChannels(silent)
	if doc.ExitCode != ExitWhole {
		return exit{doc.ExitCode}
	}
	return nil
}

func (a *app) poolStatus(e *afterbell.Evening) poolStatus {
	s := poolStatus{
		Pool: poolName(e.Pool), Verdict: string(e.Verdict), Date: e.Date, ClosedDate: e.ClosedDate,
		Settled: len(e.Coverages) - len(e.Lacking), Counted: len(e.Coverages) + len(e.PendingDatasetIDs),
		Lacking: output.Protos(e.Lacking), PendingDatasets: orEmpty(e.PendingDatasetIDs), DisabledModules: orEmpty(e.DisabledModuleIDs),
		RunID: e.Run.GetRunId(), Paused: e.Paused, Issues: output.Protos(e.Issues), NextCommand: a.nextFor(e),
	}
	s.NextTime, s.NextRunTime = inUTC(e.NextTime), inUTC(e.NextRunTime)
	return s
}

// inUTC is a time for programs, or nil for none.
func inUTC(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (a *app) verdict(v afterbell.Verdict) output.Word {
	return output.Word{Text: a.T(strings.ReplaceAll(string(v), "_", " ")), Raw: string(v)}
}

// lackingNames are the incomplete datasets without duplicates, with the number of days if
// there are several.
func lackingNames(e *afterbell.Evening) []string {
	var order []string
	days := map[string]int{}
	for _, v := range e.Lacking {
		if days[v.GetDatasetId()]++; days[v.GetDatasetId()] == 1 {
			order = append(order, v.GetDatasetId())
		}
	}
	for i, name := range order {
		if n := days[name]; n > 1 {
			order[i] = fmt.Sprintf("%s ×%d", name, n)
		}
	}
	return order
}

// sentence is an evening in one line.
func (a *app) sentence(e *afterbell.Evening) string {
	name := poolName(e.Pool)
	var line string
	switch {
	case e.Verdict == afterbell.Empty:
		return a.T("%s: the list has no symbols, and nothing is fetched until it has some.", name)
	case e.NothingCounted && e.Verdict == afterbell.NotWhole && e.Date != "":
		line = a.T("%s: nothing is stored or expected of %s.", name, e.Date)
	case e.NothingCounted && e.Verdict == afterbell.NotWhole:
		line = a.T("%s: nothing is stored or expected.", name)
	case e.Verdict == afterbell.Whole:
		line = a.T("%s: %s is whole.", name, e.Date)
	case e.Verdict == afterbell.NotDue:
		line = a.T("%s: %s is not due yet.", name, e.Date)
	case e.Verdict == afterbell.Blocked:
		line = a.T("%s: %s is not whole, and the next run is blocked.", name, e.Date)
	default:
		line = a.T("%s: %s is not whole.", name, e.Date)
	}
	if e.ClosedDate != "" {
		line = a.sentences(a.T("The exchange was closed on %s.", e.ClosedDate), line)
	}
	return a.sentences(line, a.follows(e))
}

// follows says when the pool is fetched next, or that nothing fetches what is missing.
func (a *app) follows(e *afterbell.Evening) string {
	run := e.Fetching()
	switch {
	case e.Paused:
		return a.T("The pool is paused, and nothing is fetched until it is resumed.")
	case run != nil && run.GetState() == orchestratorv1.Run_STATE_QUEUED:
		return a.T("Run %s is in the queue and starts next.", run.GetRunId())
	case run != nil && e.NextRunTime.IsZero():
		return a.T("Run %s is in progress.", run.GetRunId())
	case run != nil:
		return a.sentences(a.T("Run %s is in progress.", run.GetRunId()), a.T("The next run starts at %s.", a.moment(e.NextRunTime)))
	case e.Verdict == afterbell.Whole || e.NothingCounted && e.Verdict == afterbell.NotWhole:
		if e.NextRunTime.IsZero() {
			return a.T("No run is scheduled.")
		}
		return a.T("The next run starts at %s.", a.moment(e.NextRunTime))
	case e.Verdict == afterbell.Blocked && !e.NextTime.IsZero():
		return a.T("The next attempt is at %s.", a.moment(e.NextTime))
	case !e.NextTime.IsZero():
		return a.T("It is fetched next at %s.", a.moment(e.NextTime))
	case e.Verdict != afterbell.NotDue && !e.FetchedAgain():
		return a.T("No scheduled run fetches what is missing.")
	}
	return a.T("No scheduled run fetches it.")
}

// mostIssues is how many kinds of issues are printed; --output json has all of them.
const mostIssues = 5

// sayEvening says what is missing, why, and what happens next.
func (a *app) sayEvening(e *afterbell.Evening) {
	a.say(a.sentence(e))
	if (e.Verdict == afterbell.Whole || e.NothingCounted) && len(e.DisabledModuleIDs) > 0 {
		a.say("  " + a.T("Disabled and not counted: %s.", strings.Join(e.DisabledModuleIDs, ", ")))
	}
	for _, v := range e.Lacking[:min(len(e.Lacking), mostIssues)] {
		a.say("  " + a.lacks(v))
	}
	if more := len(e.Lacking) - mostIssues; more > 0 {
		a.say("  " + a.T("and %d more", more))
	}
	if len(e.PendingDatasetIDs) > 0 {
		a.say("  " + a.T("Not due yet: %s.", strings.Join(e.PendingDatasetIDs, ", ")))
	}
	a.sayIssues(e.Issues)
	if e.Verdict == afterbell.Blocked {
		a.say("  " + a.T("Once you have done it, start a run: %s", "afterbell run "+poolName(e.Pool)+" --watch"))
	}
}

// sayIssues prints issues, one line per kind, with the remedy.
func (a *app) sayIssues(issues []*faultv1.Issue) {
	var list []found
	for _, i := range issues {
		list = append(list, found{issue: i})
	}
	a.sayFound(list)
}

// found is an issue and where it was found, for example a pool; empty if that is obvious.
type found struct {
	where string
	issue *faultv1.Issue
}

// sayFound is sayIssues for issues from several places: each kind is printed once, after
// the list of its places.
func (a *app) sayFound(list []found) {
	var kinds []faultv1.Reason
	at := map[faultv1.Reason][]string{}
	for _, f := range list {
		r := f.issue.GetReason()
		if !slices.Contains(kinds, r) {
			kinds = append(kinds, r)
		}
		if f.where != "" && !slices.Contains(at[r], f.where) {
			at[r] = append(at[r], f.where)
		}
	}
	for _, r := range kinds[:min(len(kinds), mostIssues)] {
		i := list[slices.IndexFunc(list, func(f found) bool { return f.issue.GetReason() == r })].issue
		message, remedy := a.translated(reason(r), i.GetMetadata(), i.GetMessage(), i.GetRemedy())
		line := reason(r) + ": " + oneLine(message)
		if len(at[r]) > 0 {
			line = strings.Join(at[r], ", ") + ": " + line
		}
		a.say("  " + line)
		if remedy != "" {
			a.say("    " + oneLine(a.commands(remedy)))
		}
	}
}

// remedyCommand is the command of the first remedy that has one, or empty.
func (a *app) remedyCommand(issues []*faultv1.Issue) string {
	for _, i := range issues {
		if command := commandIn(a.commands(i.GetRemedy())); command != "" {
			return command
		}
	}
	return ""
}

// runOrRemedy is the command that runs a pool, or, if the pool is paused or its next run is
// blocked, the one that fixes that. If the state is unknown, it is the former.
func (a *app) runOrRemedy(ctx context.Context, client *afterbell.Client, name, line string) string {
	ctx, cancel := a.call(ctx)
	defer cancel()
	if held, err := client.Pools.GetPool(ctx, &orchestratorv1.GetPoolRequest{Pool: name}); err == nil && held.GetPool().GetPaused() {
		a.say(a.T("The pool is paused, and nothing is fetched until it is resumed."))
		return "afterbell resume " + name
	}
	resp, err := client.Modules.GetReadiness(ctx, &orchestratorv1.GetReadinessRequest{Pools: []marketv1.Pool{pool(name)}})
	if err != nil {
		return line
	}
	for _, v := range resp.GetVerdicts() {
		if v.GetDecision() == orchestratorv1.PoolVerdict_DECISION_BLOCKED {
			a.say(a.T("The next run of %s is blocked.", name))
			a.sayIssues(v.GetIssues())
			return cmp.Or(a.remedyCommand(v.GetIssues()), "afterbell preflight "+name)
		}
	}
	return line
}

// translated translates a message of the services: the reason's sentence, followed by the
// original message if that may say more.
func (a *app) translated(reason string, meta map[string]string, message, remedy string) (string, string) {
	if a.Lang != lang.Chinese {
		return message, remedy
	}
	zh, todo := fault.Chinese(fault.Reason(reason), meta, remedy)
	switch {
	case zh != "" && fault.ChineseIsComplete(fault.Reason(reason), meta):
		message = zh
	case zh != "":
		message = strings.TrimSuffix(zh, "。") + "（" + strings.TrimSuffix(message, ".") + "）。"
	}
	return message, cmp.Or(todo, remedy)
}

// lacks says what is missing of a dataset.
func (a *app) lacks(v *marketv1.Coverage) string {
	line := v.GetDatasetId()
	if v.GetTradeDate() != "" {
		line += " " + v.GetTradeDate()
	}
	line += ": " + a.enum(v.GetVerdict(), "VERDICT_").Text
	if v.GetExpectedCount() > 0 {
		has, of := output.Grouped(v.GetRowCount()), output.Grouped(v.GetExpectedCount())
		if v.GetExpectedCount() == 1 {
			line += ", " + a.T("%s of %s row", has, of)
		} else {
			line += ", " + a.T("%s of %s rows", has, of)
		}
	}
	return line
}

// longestWait is how far ahead a day is worth waiting for at a terminal.
const longestWait = 72 * time.Hour

// nextFor is the next command to type for an evening. Empty if there is nothing to do.
func (a *app) nextFor(e *afterbell.Evening) string {
	name := poolName(e.Pool)
	switch {
	case e.Verdict == afterbell.Empty:
		return "afterbell targets add 600519.SH"
	case e.Paused:
		return "afterbell resume " + name
	case e.Verdict == afterbell.Whole && (e.Fetching() != nil || !e.NextRunTime.IsZero()):
		return ""
	case e.Verdict == afterbell.Whole:
		return "afterbell schedule show"
	case e.Run != nil && e.Run.GetState() != orchestratorv1.Run_STATE_QUEUED:
		return "afterbell watch " + e.Run.GetRunId()
	case e.Verdict == afterbell.NotDue && (e.NextTime.IsZero() || time.Until(e.NextTime) > longestWait):
		return "afterbell schedule show"
	case e.Verdict == afterbell.NotDue: // to the run, and an hour for it
		return fmt.Sprintf("afterbell status --pool %s --date %s --wait %dh", name, e.Date, int(time.Until(e.NextTime).Hours())+2)
	case e.Verdict == afterbell.Blocked:
		return cmp.Or(a.remedyCommand(e.Issues), "afterbell preflight "+name)
	case e.NothingCounted:
		return "afterbell coverage " + name
	case len(e.Lacking) > 0 && !e.FetchedAgain():
		return beyondReach(e)
	case e.Run != nil: // a follow-up waits
		return "afterbell show " + e.Run.GetRunId()
	case slices.ContainsFunc(e.Issues, needsPreflight):
		return "afterbell preflight " + name
	}
	return "afterbell run " + name + " --watch"
}

// beyondReach is the command for a run that fetches what no run without dates fetches: days
// before the pool's window, and, with strict, days that were accepted short.
func beyondReach(e *afterbell.Evening) string {
	first, last := "", ""
	refetch := true
	for _, v := range e.Lacking {
		if date := v.GetTradeDate(); date != "" {
			last = max(last, date)
			if first == "" || date < first {
				first = date
			}
		}
		refetch = refetch && v.GetVerdict() == marketv1.Verdict_VERDICT_ACCEPTED_SHORT
	}
	line := "afterbell run " + poolName(e.Pool) + " --from " + first + " --to " + last
	if refetch {
		line += " --refetch"
	}
	return line + " --watch"
}

// needsPreflight reports whether a preflight shows if an issue is still there.
func needsPreflight(i *faultv1.Issue) bool {
	return doctor.AboutToken(i.GetReason()) || i.GetReason() == faultv1.Reason_REASON_MODULE_TEST_STALE
}
