package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// retryPause is the pause between two attempts to open a file or reach the worker.
const retryPause = time.Second

// gate is the result of the checks before a run. If stage is set, the run stops there.
type gate struct {
	stage       run.Stage
	issues      []fault.Issue // why it stops, or warnings
	retryAt     time.Time
	verdict     readiness.Verdict
	preflightID string
	calls       int
	meta        run.Meta
	err         error // the ledger failed
}

// check starts the checks of the run, which is CHECKING.
func (l *loop) check() {
	a := l.act
	a.phase, a.pausing, a.away, a.fails, a.outSince, a.holdUntil = checking, false, false, 0, time.Time{}, time.Time{}
	a.gaveUp, a.warnings = nil, nil
	ctx := l.store()
	var err error
	if a.set, err = l.d.cfg.Ledger.Settings(ctx); err != nil {
		l.fail(err)
		return
	}
	schedule, err := l.d.cfg.Ledger.Schedule(ctx)
	if err != nil {
		l.fail(err)
		return
	}
	a.zone = zoneOf(schedule)
	a.clock = append(a.clock, l.clockWrong()...)
	if a.symbols, err = l.d.symbols(ctx, l.pool); err != nil {
		l.fail(err)
		return
	}
	if l.pool == market.Targets && len(a.symbols) == 0 {
		l.finish(run.End{Outcome: run.Unchanged, Note: "The target list is empty, so there was nothing to do."})
		return
	}
	r := a.r
	l.next(func(ctx context.Context) func() {
		found := l.d.gate(ctx, r, func(n run.PreflightNote) {
			l.post(func() {
				if l.act == a {
					a.note(l, run.Event{Preflight: &n})
				}
			})
		})
		return func() { l.checked(found) }
	})
}

func zoneOf(s slot.Schedule) *time.Location {
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil || s.TimeZone == "" {
		return market.Shanghai
	}
	return zone
}

// fail ends the run because of an error in this process.
func (l *loop) fail(err error) {
	l.log.Error("a run failed", "run_id", l.act.r.ID, "error", err)
	l.finish(run.End{Outcome: run.Failed, Issues: []fault.Issue{fault.IssueOf(err)}})
}

// checked continues after the checks.
func (l *loop) checked(g gate) {
	a := l.act
	if g.err != nil {
		l.fail(g.err)
		return
	}
	a.r.Meta = g.meta
	a.preflightCalls += g.calls
	if g.preflightID != "" {
		a.r.PreflightID = g.preflightID
	}
	if g.stage != "" {
		a.r.RetryAt = g.retryAt
		l.finish(run.End{Outcome: run.Blocked, Stage: g.stage, Issues: g.issues})
		return
	}
	a.modules, a.warnings = g.verdict.Cleared, g.issues
	begun, event, err := run.Begin(a.r, now())
	if err != nil {
		l.fail(err)
		return
	}
	begun.Issues = a.warned()
	a.r = begun
	a.note(l, event)
	if l.flush() != nil && l.act != a { // a transition is stored at once; if the ledger fails, later
		return
	}
	l.plan(true)
}

// gate runs the checks: token, preflight, readiness, file.
func (d *Dispatcher) gate(ctx context.Context, r run.Run, note func(run.PreflightNote)) gate {
	var g gate
	away := d.cfg.Preflight.Refresh(ctx)
	facts, err := d.cfg.Preflight.Facts(ctx, r.Request.Modules)
	if err != nil && away == nil {
		g.err = err
		return g
	}
	sel := readiness.Select(r.Pool, facts)
	g.meta = run.Meta{SelectedDomains: sel.Domains, SelectedModules: sel.Modules, TokenSources: map[string]string{}}
	for _, domain := range sel.Domains {
		if source := facts.Tokens[domain].Source; source != "" {
			g.meta.TokenSources[domain] = source
		}
	}
	if away != nil { // the selection is from the worker's last answer
		return g.stop(run.StagePreflight, preflightIssue(away))
	}
	if missing := readiness.CheckTokens(r.Pool, facts); len(missing) > 0 {
		g.meta.BlockedModules = readiness.Judge(r.Pool, facts).Blocked
		return g.stop(run.StageToken, missing...)
	}
	var reused []string
	record, err := d.cfg.Preflight.Run(ctx, preflight.Options{
		Pools: []market.Pool{r.Pool}, Modules: r.Request.Modules, RunID: r.ID, Refreshed: true, Since: probedSince(r),
	}, func(e preflight.Event) error {
		if e.ModuleChecked != nil {
			g.meta.PreflightUpdatedAt = max(g.meta.PreflightUpdatedAt, e.ModuleChecked.Probe.At.UnixMilli())
			if e.ModuleChecked.Reused {
				reused = append(reused, e.ModuleChecked.Probe.Module)
			}
		}
		if n, ok := noteOf(e); ok {
			if v := e.PoolDecided; v != nil && len(v.Blocked) > 0 && len(reused) > 0 {
				n.Message = partlyChecked(v, reused)
			}
			note(n)
		}
		return nil
	})
	g.preflightID, g.calls = record.ID, record.Calls
	if err != nil || len(record.Verdicts) == 0 {
		return g.stop(run.StagePreflight, preflightIssue(err))
	}
	g.verdict = record.Verdicts[0]
	g.meta.BlockedModules = g.verdict.Blocked
	switch g.verdict.Decision {
	case readiness.Retry, readiness.Blocked:
		g.retryAt = g.verdict.RetryAt
		return g.stop(run.StageReadiness, g.verdict.Issues...)
	}
	g.issues = g.verdict.Issues
	if len(g.verdict.Cleared) == 0 { // the run is only for modules of which the target list has no instruments
		return g
	}
	return d.checkStore(ctx, r.Pool, g)
}

// probedSince is the time from which a passed probe counts for a run. Scheduled runs and
// their follow-ups need a probe of the same evening, because nobody watches them: a probe
// of the evening before may be less than a day old and yet out of date.
func probedSince(r run.Run) time.Time {
	if r.Source == run.SourceManual {
		return time.Time{}
	}
	return readiness.EveningOf(r.StartedAt)
}

func (g gate) stop(stage run.Stage, issues ...fault.Issue) gate {
	g.stage = stage
	g.issues = issues
	return g
}

// preflightIssue returns WORKER_UNREACHABLE unchanged, and PREFLIGHT_FAILED for any other
// error.
func preflightIssue(err error) fault.Issue {
	if fault.Is(err, fault.WorkerUnreachable) || fault.Is(err, fault.PreflightFailed) {
		return fault.IssueOf(err)
	}
	cause := "no verdict was reached"
	if f, ok := fault.As(err); ok {
		cause = f.Message
	}
	return fault.NewIssue(fault.PreflightFailed, "The preflight failed before it reached a verdict: "+cause, "cause", cause)
}

// checkStore makes the worker open the pool's file. If another process has it locked, it
// retries for a while.
func (d *Dispatcher) checkStore(ctx context.Context, pool market.Pool, g gate) gate {
	deadline := now().Add(d.cfg.Timing.StoreWait)
	for {
		var found StoreCheck
		err := d.patiently(ctx, func(ctx context.Context) (err error) {
			found, err = d.cfg.Worker.CheckStore(ctx, pool)
			return err
		})
		issues := found.Issues
		if err != nil {
			if fault.Is(err, fault.WorkerUnreachable) {
				return g.stop(run.StagePreflight, fault.IssueOf(err))
			}
			issues = []fault.Issue{fault.IssueOf(err)}
		}
		worst, bad := fault.Worst(issues)
		if !bad || worst.Severity == fault.Warning {
			g.issues = slices.Concat(g.issues, issues)
			return g
		}
		locked := worst.Reason == fault.AnalysisDBLocked || worst.Reason == fault.TargetsDBLocked
		if !locked || !now().Before(deadline) {
			return g.stop(run.StageAnalysisInit, issues...)
		}
		if !sleep(ctx, retryPause) {
			return g.stop(run.StageAnalysisInit, issues...)
		}
	}
}

// patiently calls the worker and retries while it is unreachable, for Timing.WorkerWait.
func (d *Dispatcher) patiently(ctx context.Context, f func(context.Context) error) error {
	var deadline time.Time
	for {
		err := f(ctx)
		if !fault.Is(err, fault.WorkerUnreachable) {
			return err
		}
		if deadline.IsZero() { // the call may have taken long before the worker was gone
			deadline = now().Add(d.cfg.Timing.WorkerWait)
		}
		if !now().Before(deadline) || !sleep(ctx, retryPause) {
			return err
		}
	}
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// partlyChecked is the note of a verdict for which the probes of some modules were reused.
// They passed earlier, which does not mean that the modules can run: a token may be
// rejected for all of them now.
func partlyChecked(v *readiness.Verdict, reused []string) string {
	return fmt.Sprintf("Verdict for %s: %s, because of %s; not checked again: %s.", v.Pool, v.Decision, strings.Join(v.Blocked, ", "), strings.Join(reused, ", "))
}

// noteOf formats a step of a preflight for the run's watchers.
func noteOf(e preflight.Event) (run.PreflightNote, bool) {
	n := run.PreflightNote{PreflightID: e.PreflightID}
	switch {
	case e.Started != nil:
		n.Message = "Checking " + fault.Count(len(e.Started.Modules), "module", "modules") + "."
	case e.ModuleStarted != nil:
		n.Module = e.ModuleStarted.Module
		n.Message = fmt.Sprintf("Probing %s.", n.Module)
	case e.ModuleChecked != nil:
		p := e.ModuleChecked.Probe
		n.Module, n.Issues = p.Module, p.Issues
		switch {
		case e.ModuleChecked.Reused:
			n.Message = fmt.Sprintf("%s: the probe of %s is reused (%s).", p.Module, slot.Moment(p.At, nil), p.Status)
			if p.At.IsZero() {
				n.Message = fmt.Sprintf("%s: %s.", p.Module, p.Status)
			}
		case p.Status == readiness.Pass:
			n.Message = fmt.Sprintf("%s passed in %s.", p.Module, p.Latency.Round(time.Millisecond))
		default:
			n.Message = fmt.Sprintf("%s failed.", p.Module)
			if w, ok := fault.Worst(p.Issues); ok {
				n.Message = fmt.Sprintf("%s failed: %s", p.Module, w.Message)
			}
		}
	case e.PoolDecided != nil:
		v := e.PoolDecided
		n.Issues = v.Issues
		n.Message = fmt.Sprintf("Verdict for %s: %s; %s can run, %s blocked.", v.Pool, v.Decision,
			fault.Count(len(v.Cleared), "module", "modules"), fault.Count(len(v.Blocked), "is", "are"))
	default:
		return n, false
	}
	return n, true
}
