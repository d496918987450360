package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// verifyTime limits how long an evening's run verifies the previous trading day.
const verifyTime = 5 * time.Minute

// alteration is a dataset of the previous trading day whose rows in the pool's file are not
// the ones that were committed.
type alteration struct {
	issue fault.Issue
	parts []string // the partitions that fetch it again in this run, by ID
}

// verifies reports whether a run verifies the previous trading day: scheduled runs do,
// once.
func (a *active) verifies() bool {
	return a.r.Source == run.SourceSchedule && !a.verified
}

// verifyBefore reads the previous trading day again from the pool's file and compares it
// with what was committed. It runs before that day is fetched again, which would overwrite
// an altered row unnoticed. If the file cannot be read, the error is logged and the run
// continues.
func (d *Dispatcher) verifyBefore(ctx context.Context, r run.Run, modules, symbols []string) (market.Date, []alteration) {
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	day, differences, err := d.differencesBefore(ctx, r, modules, symbols)
	if err != nil {
		d.cfg.Logger.Warn("the previous trading day could not be verified", "run_id", r.ID, "reason", fault.ReasonOf(err), "error", err)
		return market.NoDate, nil
	}
	var found []alteration
	for dataset, messages := range differences {
		text := messages[0]
		if n := len(messages) - 1; n > 0 {
			text += fmt.Sprintf(" %d more of %s differ.", n, dataset)
		}
		issue := fault.NewIssue(fault.StoreAltered, text, "pool", string(r.Pool), "dataset", dataset, "trade_date", day.String(), "count", fmt.Sprint(len(messages)))
		issue.Remedy = "Find the program that writes to the file, then fetch the day again: " + refetch(r.Pool, day, day)
		found = append(found, alteration{issue: issue})
	}
	slices.SortFunc(found, func(a, b alteration) int { return strings.Compare(a.dataset(), b.dataset()) })
	return day, found
}

func (x alteration) dataset() string { return x.issue.Meta["dataset"] }

// differencesBefore returns the differences on the trading day before the run's, by
// dataset.
func (d *Dispatcher) differencesBefore(ctx context.Context, r run.Run, modules, symbols []string) (market.Date, map[string][]string, error) {
	cal, err := d.cfg.Ledger.Calendar(ctx)
	if err != nil {
		return market.NoDate, nil, err
	}
	facts, err := d.cfg.Preflight.Facts(ctx, nil)
	if err != nil || facts.Catalog == nil {
		return market.NoDate, nil, err
	}
	day := run.OpenBefore(cal, market.DateOf(r.StartedAt), 1)
	var parts []run.Partition
	for _, id := range modules {
		m := facts.Catalog.Module(id)
		if m == nil {
			continue
		}
		for _, ds := range m.Datasets {
			if ds.Snapshot {
				continue
			}
			p := run.Partition{ID: ds.ID + "/" + day.String(), Dataset: ds.ID, Module: id, Start: day, End: day}
			if r.Pool == market.Universe {
				parts = append(parts, p)
				continue
			}
			for _, s := range symbols {
				if m.Kind == "" || market.KindOf(s) == m.Kind {
					one := p
					one.ID, one.Symbols = p.ID+"/"+s, []string{s}
					parts = append(parts, one)
				}
			}
		}
	}
	differ := map[string][]string{}
	_, err = d.check(ctx, r.Pool, parts, func(p run.Partition, c Check) {
		if wrong := differences("", p, c); wrong != "" {
			differ[p.Dataset] = append(differ[p.Dataset], p.ID+": "+wrong+".")
		}
	})
	return day, differ, err
}

// addAltered adds partitions to the plan that fetch the altered datasets again, unless the
// plan has them.
func (d *Dispatcher) addAltered(ctx context.Context, req PlanRequest, day market.Date, found []alteration, plan *WorkPlan) {
	if len(found) == 0 {
		return
	}
	req.Start, req.End, req.Refetch = day, day, true
	again, err := d.cfg.Worker.PlanPartitions(ctx, req)
	if err != nil {
		d.cfg.Logger.Warn("altered rows are not fetched again in this run", "reason", fault.ReasonOf(err), "error", err)
		return
	}
	for i := range found {
		x := &found[i]
		for _, p := range again.Partitions {
			if p.Dataset != x.dataset() {
				continue
			}
			x.parts = append(x.parts, p.ID)
			if !slices.ContainsFunc(plan.Partitions, func(q run.Partition) bool { return q.ID == p.ID }) {
				plan.Partitions = append(plan.Partitions, p)
			}
		}
	}
}

// alteredIssues returns the issues about altered data when the run ends, and whether a
// follow-up must fetch it again because this run did not.
func (a *active) alteredIssues() (issues []fault.Issue, again bool) {
	for _, x := range a.altered {
		healed := len(x.parts) > 0
		for _, id := range x.parts {
			p := a.parts[id]
			healed = healed && p != nil && p.State == run.PartitionCompleted && p.Verdict != ""
		}
		if healed {
			x.issue.Severity = fault.Warning // nothing is missing any more
			x.issue.Message += " It was fetched again in this run."
		} else {
			x.issue.Message += " A follow-up run fetches it again."
			again = true
		}
		issues = append(issues, x.issue)
	}
	return issues, again
}

// refetchAltered is the follow-up that fetches the altered day again.
func (a *active) refetchAltered(at time.Time) run.Run {
	f := run.Next{At: at.Add(run.PublishInterval), Reason: fault.StoreAltered, Note: "Rows of " + a.alteredDay.String() + " were altered in the pool's file."}.Follow(a.r, at)
	f.Request = run.Request{Start: a.alteredDay, End: a.alteredDay, Refetch: true}
	f.Mode, f.SlotID = run.OnDemand, ""
	return f
}
