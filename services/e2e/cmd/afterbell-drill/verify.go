package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/truth"
)

// stopGrace is the time within which either process must stop: its own deadline, plus a margin for
// a busy machine.
const stopGrace = 15 * time.Second

// finish lets the pair recover, checks the explanations, stops the pair, compares both pools with
// the provider, and checks the ledger.
func (r *harness) finish() {
	defer r.close()
	defer func() { r.summary = r.happened() }()
	if r.skipped != "" || r.err != nil {
		return
	}
	if r.check == nil {
		r.heal()
	}
	r.explained()
	r.term(r.stack.Orchestrator, stopGrace)
	r.term(r.stack.Worker, stopGrace)
	r.ledgerIsSound()
	r.compare()
	r.noToken()
}

func (r *harness) compare() {
	if r.err != nil {
		return
	}
	for _, open := range []func() (*truth.Pool, error){
		func() (*truth.Pool, error) { return truth.OpenTargets(r.targetsFile(), r.watch) },
		func() (*truth.Pool, error) { return truth.OpenUniverse(r.universeFile()) },
	} {
		pool, err := open()
		if r.must(err); err != nil {
			return
		}
		report, err := pool.Compare(r.ctx, r.provider.Sim, r.clock.Now(), r.window)
		r.must(errors.Join(err, pool.Close()))
		r.report.Add(report)
		if r.check != nil {
			r.check(report)
			continue
		}
		if r.err == nil && !report.Clean() {
			r.failf("%s differs from the provider: of %d rows %d lost, %d doubled, %d wrong, %d alien, %d days miscounted: %s", pool.Name,
				report.Rows, report.Lost, report.Doubled, report.Wrong, report.Alien, report.Miscounted, clip(strings.Join(report.Examples, "; "), 400))
		}
	}
}

// explained checks that all runs and slots have an explanation and a next command.
func (r *harness) explained() {
	if r.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, 30*time.Second)
	defer cancel()
	runs, err := r.runs().ListRuns(ctx, &orchestratorv1.ListRunsRequest{PageSize: 500})
	r.must(err)
	for _, listed := range runs.GetRuns() {
		run := r.get(listed.GetRunId())
		if r.err == nil && (len(run.GetExplanation()) == 0 || run.GetNextCommand() == "") {
			r.failf("run %s of %s explains nothing: %q, next %q", run.GetRunId(), poolOf(run), run.GetExplanation(), run.GetNextCommand())
		}
	}
	if r.err != nil {
		return
	}
	slots, err := r.schedule().ListSlots(ctx, &orchestratorv1.ListSlotsRequest{PageSize: 500})
	r.must(err)
	for _, s := range slots.GetSlots() {
		answer, err := r.schedule().ExplainSlot(ctx, &orchestratorv1.ExplainSlotRequest{SlotId: s.GetSlotId()})
		r.must(err)
		if r.err == nil && (len(answer.GetExplanation()) == 0 || answer.GetNextCommand() == "") {
			r.failf("slot %s explains nothing: %q, next %q", s.GetSlotId(), answer.GetExplanation(), answer.GetNextCommand())
		}
	}
}

// ledgerRules are queries that must return no rows, each with the error that a row means.
var ledgerRules = []struct{ breach, query string }{
	{"a run is left running", `select id || ' ' || scope from ingest_runs r where status = 'running'
	    and not exists (select 1 from run_details d where d.id = r.id and d.state = 'paused')`},
	{"a status that is not documented", `select id || ' ' || status from ingest_runs where status not in ('running', 'success', 'partial', 'failed', 'canceled')`},
	{"a mode that is not documented", `select id || ' ' || mode from ingest_runs where mode not in ('daily', 'bootstrap', 'manual', 'on_demand')`},
	{"a finished run without a time, or one under way with one", `select id from ingest_runs where (status = 'running') <> (finished_at is null)`},
	{"a run that did not succeed and does not say why", `select id || ' ' || scope || ' ' || status from ingest_runs
	    where status in ('failed', 'partial') and (coalesce(error_message, '') = '' or coalesce(json_extract(meta_json, '$.errorCode'), '') = '')`},
	{"a source or scope that is not documented", `select id from ingest_runs where json_extract(meta_json, '$.scope') is not scope
	    or coalesce(json_extract(meta_json, '$.source'), '') not in ('manual', 'schedule', 'startup', 'auto')`},
	{"a blocked stage that is not documented", `select id from ingest_runs
	    where coalesce(json_extract(meta_json, '$.blockedStage'), 'token') not in ('preflight', 'readiness', 'token', 'analysis_init')`},
	{"state and status that do not agree", `select d.id || ' ' || d.state || ' ' || d.outcome || ' ' || r.status from run_details d join ingest_runs r on r.id = d.id
	    where r.status <> case when d.state <> 'finished' then 'running' when d.outcome in ('succeeded', 'unchanged') then 'success'
	      when d.outcome = 'cancelled' then 'canceled' when d.outcome = 'partial' then 'partial' else 'failed' end`},
	{"events with a gap", `select run_id from run_events group by run_id having count(*) <> max(sequence) or min(sequence) <> 1`},
	{"a finished run without its last event", `select id from run_details d where state = 'finished'
	    and not exists (select 1 from run_events e where e.run_id = d.id and e.kind = 'finished')`},
	{"a partition left at work in a finished run", `select p.run_id || ' ' || p.id || ' ' || p.state from run_partitions p join run_details d on d.id = p.run_id
	    where d.state = 'finished' and p.state in ('pending', 'running', 'waiting')`},
	{"more than one follow-up of one run", `select follows from (select follows from run_details union all select follows from run_queue)
	    where follows <> '' group by follows having count(*) > 1`},
	{"an interrupted run without a follow-up", `select d.id from run_details d join ingest_runs r on r.id = d.id
	    where json_extract(r.meta_json, '$.errorCode') = 'INTERRUPTED' and r.status = 'failed' and d.id not in (
	      select follows from run_details union all select follows from run_queue)
	    -- a follow-up that was queued already serves this one, too
	    and not exists (select 1 from run_details f where f.pool = d.pool and f.source = 'auto' and f.not_before = d.retry_at)
	    and not exists (select 1 from run_events e where e.run_id = d.id and json_extract(e.body, '$.stateChanged.To') = 'cancelling')`},
	{"a slot with more than one scheduled run", `select slot_id from run_details where slot_id <> '' and source = 'schedule' group by slot_id having count(*) > 1`},
	{"a slot that is left pending past its time", `select id from slots where state = 'pending' and due_at < ?1 - 60000`},
	{"a preflight left running", `select id from preflights where state = 'running'`},
}

// ledgerIsSound checks the ledger with SQL, after the services have stopped.
func (r *harness) ledgerIsSound() {
	r.query(func(db *sql.DB) {
		for _, rule := range ledgerRules {
			var args []any
			if strings.Contains(rule.query, "?1") {
				args = append(args, r.clock.Now().UnixMilli())
			}
			found, err := texts(r.ctx, db, rule.query, args...)
			if r.must(err); err != nil {
				return
			}
			if len(found) > 0 {
				r.failf("ledger: %s: %s", rule.breach, clip(strings.Join(found, ", "), 200))
			}
		}
	})
}

func texts(ctx context.Context, db *sql.DB, query string, args ...any) (found []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s sql.NullString
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		found = append(found, s.String)
	}
	return found, rows.Err()
}

// query opens the ledger read-only and passes it to do.
func (r *harness) query(do func(db *sql.DB)) {
	if r.err != nil {
		return
	}
	db, err := sql.Open("sqlite3", "file:"+r.ledgerFile()+"?mode=ro&_busy_timeout=5000")
	if r.must(err); err != nil {
		return
	}
	do(db)
	r.must(db.Close())
}

// count returns the result of a query that counts.
func (r *harness) count(query string, args ...any) (n int) {
	r.query(func(db *sql.DB) { r.must(db.QueryRowContext(r.ctx, query, args...).Scan(&n)) })
	return n
}

// noToken checks that no file of the pair contains the token.
func (r *harness) noToken() {
	if r.err != nil {
		return
	}
	r.must(filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(token)) {
			r.failf("%s holds the provider's token", filepath.Base(path))
		}
		return err
	}))
}

// happened returns the summary: what the drill told, and the runs of each pool in order.
func (r *harness) happened() string {
	told := slices.Clone(r.story)
	if r.skipped != "" {
		return r.skipped
	}
	db, err := sql.Open("sqlite3", "file:"+r.ledgerFile()+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		return strings.Join(told, "; ")
	}
	defer db.Close()
	rows, err := db.Query(`select d.pool, d.source, case when d.state = 'finished' then d.outcome else d.state end, coalesce(json_extract(r.meta_json, '$.errorCode'), '')
	    from run_details d join ingest_runs r on r.id = d.id order by d.pool, d.started_at, d.id`)
	if err != nil {
		return strings.Join(told, "; ")
	}
	defer rows.Close()
	type step struct {
		text  string
		times int
	}
	chains := map[string][]step{}
	for rows.Next() {
		var pool, source, outcome, code string
		if rows.Scan(&pool, &source, &outcome, &code) != nil {
			continue // the line is omitted
		}
		text := source + " " + outcome
		if code != "" && outcome != "succeeded" && outcome != "unchanged" {
			text += " " + code
		}
		if n := len(chains[pool]); n > 0 && chains[pool][n-1].text == text {
			chains[pool][n-1].times++
			continue
		}
		chains[pool] = append(chains[pool], step{text, 1})
	}
	if rows.Err() != nil {
		return strings.Join(told, "; ")
	}
	for _, pool := range []string{"targets", "universe"} {
		var steps []string
		for _, s := range chains[pool] {
			if s.times > 1 {
				s.text += fmt.Sprintf(" ×%d", s.times)
			}
			steps = append(steps, s.text)
		}
		if len(steps) > 0 {
			told = append(told, pool+": "+strings.Join(steps, ", "))
		}
	}
	return strings.Join(told, "; ")
}
