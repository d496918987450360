package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-sqlite3"
	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	base   = time.Date(2026, 3, 2, 11, 30, 0, 0, time.UTC)
	monday = market.NewDate(2026, 3, 2)
)

func at(minutes int) time.Time { return base.Add(time.Duration(minutes) * time.Minute) }

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), FileName)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func queued(pool market.Pool, created time.Time) run.Run {
	return run.Run{
		ID: NewID(), Pool: pool, Mode: run.Daily, Source: run.SourceSchedule, SlotID: slot.ID(monday, pool), TriggerID: "t",
		Request: run.Request{Start: market.NoDate, End: market.NoDate}, AsOf: market.NoDate, CreatedAt: created, State: run.Queued,
	}
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// step is a transition that must be allowed.
func step(t testing.TB, s *Store, r run.Run, e run.Event, err error) run.Run {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), run.Update{Run: r, Events: []run.Event{e}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func taken(t testing.TB, s *Store, r run.Run) run.Run {
	t.Helper()
	next, e, err := run.Take(r, r.CreatedAt)
	return step(t, s, next, e, err)
}

func begun(t testing.TB, s *Store, r run.Run) run.Run {
	t.Helper()
	next, e, err := run.Begin(taken(t, s, r), r.CreatedAt)
	return step(t, s, next, e, err)
}

func finished(t testing.TB, s *Store, r run.Run, when time.Time, end run.End) run.Run {
	t.Helper()
	next, e, err := run.Finish(r, when, end)
	return step(t, s, next, e, err)
}

func TestRunKeepsEverything(t *testing.T) {
	s := open(t)
	r := queued(market.Universe, base)
	r.Request = run.Request{Start: monday - 30, End: monday, Modules: []string{"stock.basic", "etf.basic_info"}, Refetch: true}
	r.Source, r.Follows, r.Attempt, r.NotBefore, r.Note = run.SourceAuto, "earlier", 2, at(15), "because"
	if err := s.Enqueue(t.Context(), []run.Run{r}, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, must(s.Run(t.Context(), r.ID))(t)); diff != "" {
		t.Errorf("queued (-want +got):\n%s", diff)
	}
	r = begun(t, s, r)
	r.PreflightID, r.Partitions, r.Completed, r.Rows, r.New, r.Changed, r.Gone, r.Symbols, r.Calls = "p", 3, 1, 60, 50, 7, 3, 20, 9
	r.AsOf, r.RetryAt = monday, at(40)
	r.Meta = run.Meta{SelectedDomains: []string{"stock"}, SelectedModules: []string{"stock.basic"}, BlockedModules: []string{"etf.basic_info"},
		TokenSources: map[string]string{"stock": "main"}, UniverseCounts: map[string]int64{"daily": 60}, PreflightUpdatedAt: 77}
	r = finished(t, s, r, at(5), run.End{Outcome: run.Partial, Issues: []fault.Issue{
		fault.NewIssue(fault.UnknownSymbols, "Two symbols are new."), fault.NewIssue(fault.NotPublished, "moneyflow of 2026-03-02 is not published.")}})
	if diff := cmp.Diff(r, must(s.Run(t.Context(), r.ID))(t)); diff != "" {
		t.Errorf("finished (-want +got):\n%s", diff)
	}
	if q := must(s.Queue(t.Context(), market.Universe))(t); len(q) != 0 {
		t.Errorf("still queued: %v", q)
	}
	var row struct {
		status, asOf, message, meta                              string
		started, finished, symbols, inserted, updated, incorrect int64
	}
	err := s.db.Reader().QueryRow(`SELECT status, as_of_trade_date, error_message, meta_json, started_at, finished_at,
	  symbol_count, inserted, updated, errors FROM ingest_runs WHERE id = ?`, r.ID).Scan(&row.status, &row.asOf, &row.message, &row.meta,
		&row.started, &row.finished, &row.symbols, &row.inserted, &row.updated, &row.incorrect)
	if err != nil {
		t.Fatal(err)
	}
	if row.status != "partial" || row.asOf != "2026-03-02" || row.message != "moneyflow of 2026-03-02 is not published." ||
		row.started != base.UnixMilli() || row.finished != at(5).UnixMilli() || row.symbols != 20 || row.inserted != 50 || row.updated != 7 || row.incorrect != 2 {
		t.Errorf("ingest_runs: %+v", row)
	}
	for _, want := range []string{`"source":"auto"`, `"scope":"universe"`, `"errorCode":"NOT_PUBLISHED"`, `"selectedDomains":["stock"]`,
		`"selectedModules":["stock.basic"]`, `"blockedModules":["etf.basic_info"]`, `"tokenSourcesByDomain":{"stock":"main"}`,
		`"lastTradeDate":"2026-03-02"`, `"universeCounts":{"daily":60}`, `"preflightUpdatedAt":77`, fmt.Sprintf(`"retryAt":%d`, at(40).UnixMilli())} {
		if !strings.Contains(row.meta, want) {
			t.Errorf("meta_json lacks %s: %s", want, row.meta)
		}
	}
}

// The two queries of the design, to the letter.
const (
	failedQuery = `select scope, status, json_extract(meta_json,'$.blockedStage') as blocked_stage,
       json_extract(meta_json,'$.errorCode') as error_code, error_message, started_at
from ingest_runs where status = 'failed' order by started_at desc limit 50;`
	countQuery = `select scope, status, count(*) from ingest_runs group by scope, status order by scope, status;`
)

func TestDesignQueriesAnswer(t *testing.T) {
	s := open(t)
	type ending struct {
		pool  market.Pool
		begin bool
		end   run.End
	}
	for i, e := range []ending{
		{market.Universe, false, run.End{Outcome: run.Blocked, Stage: run.StageReadiness, Issues: []fault.Issue{
			fault.NewIssue(fault.ProbeEmpty, "Nothing recent."), fault.NewIssue(fault.PermissionDenied, "The token may not call fund_daily.", "api", "fund_daily")}}},
		{market.Targets, true, run.End{Outcome: run.Succeeded}},
		{market.Universe, true, run.End{Outcome: run.Failed, Issues: []fault.Issue{fault.NewIssue(fault.Interrupted, "The process stopped.")}}},
		{market.Targets, false, run.End{Outcome: run.Unchanged}},
		{market.Universe, true, run.End{Outcome: run.Partial}},
	} {
		r := queued(e.pool, at(i))
		if e.begin {
			r = begun(t, s, r)
		} else {
			r = taken(t, s, r)
		}
		if e.end.Outcome == run.Partial {
			r.Partitions = 1
		}
		finished(t, s, r, at(i+1), e.end)
	}
	cancelled := queued(market.Targets, at(20))
	if err := s.Enqueue(t.Context(), []run.Run{cancelled}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CancelQueued(t.Context(), cancelled.ID, "anna: not now", at(21)); err != nil {
		t.Fatal(err)
	}
	begun(t, s, queued(market.Targets, at(30)))

	wantFailed := fmt.Sprintf("universe|failed|NULL|INTERRUPTED|The process stopped. No action is needed: a follow-up run fetches what is missing.|%d\n"+
		"universe|failed|readiness|PERMISSION_DENIED|The token may not call fund_daily. "+
		"Upgrade the token at the provider (https://tushare.pro/document/1?doc_id=108 lists the points that each API needs), or disable the module. This lists the modules: curl localhost:7780/v1/domains|%d\n", at(2).UnixMilli(), at(0).UnixMilli())
	wantCount := "targets|canceled|1\ntargets|running|1\ntargets|success|2\nuniverse|failed|2\nuniverse|partial|1\n"
	for query, want := range map[string]string{failedQuery: wantFailed, countQuery: wantCount} {
		if got := text(t, s.db.Reader(), query); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
		shell, err := exec.LookPath("sqlite3")
		if err != nil {
			t.Log("no sqlite3 shell here: the queries ran through the driver only")
			continue
		}
		// The shell reads while the store is open, as users do.
		out, err := exec.Command(shell, "-nullvalue", "NULL", s.db.Path(), query).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("shell: %v\n got %s\nwant %s", err, out, want)
		}
	}
	var plan string
	for _, index := range []string{"ingest_runs_started", "ingest_runs_scope_status"} {
		if err := s.db.Reader().QueryRow("SELECT sql FROM sqlite_schema WHERE name = ?", index).Scan(&plan); err != nil || !strings.Contains(plan, "started_at DESC") {
			t.Errorf("%s: %s %v", index, plan, err)
		}
	}
}

func text(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for rows.Next() {
		cells, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i, c := range cells {
			if i > 0 {
				out.WriteByte('|')
			}
			if c.Valid {
				out.WriteString(c.String)
			} else {
				out.WriteString("NULL")
			}
		}
		out.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTheFileRefusesWhatTheMachineForbids(t *testing.T) {
	s := open(t)
	r := begun(t, s, queued(market.Targets, base))
	for name, c := range map[string]struct {
		sql  string
		args []any
	}{
		"finished without a moment":   {"UPDATE run_details SET state = 'finished', outcome = 'failed' WHERE id = ?", []any{r.ID}},
		"finished without an outcome": {"UPDATE run_details SET state = 'finished', finished_at = 1 WHERE id = ?", []any{r.ID}},
		"outcome while running":       {"UPDATE run_details SET outcome = 'failed' WHERE id = ?", []any{r.ID}},
		"back to checking":            {"UPDATE run_details SET state = 'checking' WHERE id = ?", []any{r.ID}},
		"queued again":                {"UPDATE run_details SET state = 'queued' WHERE id = ?", []any{r.ID}},
		"blocked without a stage":     {"UPDATE run_details SET state = 'finished', outcome = 'blocked', finished_at = 1 WHERE id = ?", []any{r.ID}},
		"more done than planned":      {"UPDATE run_details SET completed = 1 WHERE id = ?", []any{r.ID}},
		"unknown status":              {"UPDATE ingest_runs SET status = 'error', finished_at = 1 WHERE id = ?", []any{r.ID}},
		"running and finished":        {"UPDATE ingest_runs SET finished_at = 1 WHERE id = ?", []any{r.ID}},
		"failed without a message":    {"UPDATE ingest_runs SET status = 'failed', finished_at = 1 WHERE id = ?", []any{r.ID}},
		"meta without a source":       {`UPDATE ingest_runs SET meta_json = '{"scope":"targets"}' WHERE id = ?`, []any{r.ID}},
		"meta of another scope":       {`UPDATE ingest_runs SET meta_json = '{"scope":"universe","source":"auto"}' WHERE id = ?`, []any{r.ID}},
		"event that says nothing":     {"INSERT INTO run_events VALUES (?, 99, 1, '', '{}')", []any{r.ID}},
		"skipped without a reason":    {"INSERT INTO slots VALUES ('2026-03-02.targets', 'targets', '2026-03-02', 1, 'skipped', 1, '', '[]', 0, '')", nil},
		"fired without a run":         {"INSERT INTO slots VALUES ('2026-03-02.targets', 'targets', '2026-03-02', 1, 'fired', 1, '', '[]', 0, '')", nil},
		"slot of another day":         {"INSERT INTO slots VALUES ('2026-03-03.targets', 'targets', '2026-03-02', 1, 'pending', NULL, '', '[]', 0, '')", nil},
		"follow-up of nothing":        {"INSERT INTO run_queue VALUES ('x', 'targets', 'daily', 'auto', '', '', '', 0, NULL, NULL, '[]', 0, 1, NULL, '')", nil},
	} {
		err := s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
			_, err := tx.Exec(c.sql, c.args...)
			return err
		})
		if !sqlite.IsConstraint(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, e, err := run.Take(queued(market.Targets, base), base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), run.Update{Run: other, Events: []run.Event{e}}); !fault.Is(err, fault.WrongState) {
		t.Errorf("a second run under way: %v", err)
	}
	done := finished(t, s, r, at(1), run.End{Outcome: run.Succeeded})
	if _, err := s.Save(t.Context(), run.Update{Run: r}); !fault.Is(err, fault.WrongState) {
		t.Errorf("a finished run continues: %v", err)
	}
	done.RetryAt = at(9)
	if _, err := s.Save(t.Context(), run.Update{Run: done}); err != nil {
		t.Errorf("a finished run learns of its follow-up: %v", err)
	}
	if _, err := s.Save(t.Context(), run.Update{Run: queued(market.Targets, base)}); !fault.Is(err, fault.Internal) {
		t.Errorf("a queued run is not saved: %v", err)
	}
}

func TestPausedRunMakesRoom(t *testing.T) {
	s := open(t)
	r := begun(t, s, queued(market.Targets, base))
	next, e, err := run.Pause(r, at(1), "anna: maintenance")
	r = step(t, s, next, e, err)
	begun(t, s, queued(market.Universe, base))
	if got := must(s.Unfinished(t.Context()))(t); len(got) != 2 {
		t.Errorf("unfinished: %v", got)
	}
	next, e, err = run.Resume(r, at(2), "")
	step(t, s, next, e, err)
}

func TestSaveIsOneTransaction(t *testing.T) {
	s := open(t)
	r, e, err := run.Take(queued(market.Targets, base), base)
	if err != nil {
		t.Fatal(err)
	}
	follow := queued(market.Targets, at(1))
	follow.Source = run.SourceAuto // without Follows: refused by the file
	_, err = s.Save(t.Context(), run.Update{Run: r, Events: []run.Event{e}, Partitions: []run.Partition{{ID: "p", State: run.PartitionPending}},
		Enqueue: []run.Run{follow}})
	if !fault.Is(err, fault.Internal) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Run(t.Context(), r.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("half a save is left: %v", err)
	}
}

func TestEventsHaveNoGaps(t *testing.T) {
	s := open(t)
	r := begun(t, s, queued(market.Targets, base))
	p := run.Partition{ID: "daily:2026-03-02", Ordinal: 1, Dataset: "daily", Module: "stock.market.daily", Start: monday, End: monday,
		Symbols: []string{"600519.SH"}, Repeat: true, State: run.PartitionWaiting, Verdict: "incomplete", Attempts: 2, Rows: 5, Expected: 9, New: 1,
		Changed: 2, Gone: 3, SymbolCount: 5, Calls: 4, RetryAt: at(3), Issues: []fault.Issue{fault.NewIssue(fault.Incomplete, "Five of nine.")},
		Phases: &run.Phases{Wait: 1, Fetch: 220, Check: 3, Commit: 40}}
	ref := run.Partition{ID: "trade_cal", Dataset: "trade_cal", Module: "stock.reference", Reference: true, Start: market.NoDate, End: market.NoDate, State: run.PartitionPending}
	got, err := s.Save(t.Context(), run.Update{Run: r, Partitions: []run.Partition{p, ref}, Events: []run.Event{
		{Time: at(1), Planned: &run.Planned{Partitions: 2, Calls: 4, LastTradeDate: monday}}, {Time: at(1), Partition: &p}}})
	if err != nil || len(got) != 2 || got[0].Sequence != 3 || got[1].Sequence != 4 || got[1].RunID != r.ID {
		t.Fatalf("numbered %+v, %v", got, err)
	}
	all := must(s.Events(t.Context(), r.ID, 0, 0))(t)
	for i, e := range all {
		if e.Sequence != int64(i+1) {
			t.Fatalf("gap at %d: %v", i, e.Sequence)
		}
	}
	if diff := cmp.Diff(got, must(s.Events(t.Context(), r.ID, 2, 10))(t)); diff != "" {
		t.Errorf("resumed (-want +got):\n%s", diff)
	}
	if m := must(s.Milestones(t.Context(), r.ID))(t); len(m) != 3 || m[2].Planned == nil {
		t.Errorf("milestones: %+v", m)
	}
	if diff := cmp.Diff([]run.Partition{ref, p}, must(s.Partitions(t.Context(), r.ID, 0, 10))(t)); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	if got := must(s.Partitions(t.Context(), r.ID, 1, 1))(t); len(got) != 1 || got[0].ID != p.ID {
		t.Errorf("second page: %v", got)
	}
}

func TestQueueAndRequests(t *testing.T) {
	s := open(t)
	late, early := queued(market.Targets, at(2)), queued(market.Targets, at(1))
	blank := run.Run{Pool: market.Targets, Mode: run.Manual, Source: run.SourceManual}
	runs := []run.Run{late, early, blank}
	if err := s.Enqueue(t.Context(), runs, &CreateRecord{RequestID: "r1", Hash: "h"}); err != nil {
		t.Fatal(err)
	}
	if runs[2].ID == "" || runs[2].CreatedAt.IsZero() || runs[2].State != run.Queued || runs[2].TriggerID != runs[2].ID {
		t.Errorf("not filled in: %+v", runs[2])
	}
	q := must(s.Queue(t.Context(), market.Targets))(t)
	if len(q) != 3 || q[0].ID != early.ID || q[1].ID != late.ID || q[2].Request.Start != market.NoDate {
		t.Errorf("order: %+v", q)
	}
	if err := s.Enqueue(t.Context(), []run.Run{queued(market.Targets, at(3))}, &CreateRecord{RequestID: "r1", Hash: "x"}); !fault.Is(err, fault.RequestIDReused) {
		t.Errorf("again: %v", err)
	}
	if q := must(s.Queue(t.Context(), market.Targets))(t); len(q) != 3 {
		t.Errorf("a refused request queued a run: %d", len(q))
	}
	if err := s.Enqueue(t.Context(), nil, &CreateRecord{RequestID: "r2", Hash: "h2", RunIDs: []string{early.ID, "gone"}}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]struct {
		hash string
		n    int
	}{"r1": {"h", 3}, "r2": {"h2", 1}, "r3": {"", 0}} {
		hash, runs, err := s.RunsByRequestID(t.Context(), id)
		if err != nil || hash != want.hash || len(runs) != want.n {
			t.Errorf("%s: %q %d %v", id, hash, len(runs), err)
		}
	}

	c, err := s.CancelQueued(t.Context(), early.ID, "anna: too early", at(4))
	if err != nil || c.State != run.Finished || c.Outcome != run.Cancelled || !c.FinishedAt.Equal(at(4)) {
		t.Fatalf("cancelled: %+v, %v", c, err)
	}
	if _, err := s.CancelQueued(t.Context(), early.ID, "", at(5)); !fault.Is(err, fault.WrongState) {
		t.Errorf("twice: %v", err)
	}
	if _, err := s.CancelQueued(t.Context(), "none", "", at(5)); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
	events := must(s.Events(t.Context(), early.ID, 0, 0))(t)
	if len(events) != 2 || events[0].StateChanged == nil || events[1].Finished == nil || events[1].Finished.Outcome != run.Cancelled {
		t.Errorf("events: %+v", events)
	}
	if err := s.DeleteRun(t.Context(), late.ID); !fault.Is(err, fault.WrongState) {
		t.Errorf("deleting a queued run: %v", err)
	}
	if err := s.DeleteRun(t.Context(), early.ID); err != nil {
		t.Fatal(err)
	}
	if got := text(t, s.db.Reader(), "SELECT (SELECT count(*) FROM run_events), (SELECT count(*) FROM run_details), (SELECT count(*) FROM ingest_runs)"); got != "0|0|0\n" {
		t.Errorf("left behind: %s", got)
	}
}

func TestRunsArePaged(t *testing.T) {
	s := open(t)
	var ids []string
	for i := range 5 {
		r := queued(market.Pools()[i%2], at(i))
		ids = append(ids, r.ID)
		switch {
		case i < 2:
			finished(t, s, begun(t, s, r), at(10+i), run.End{Outcome: run.Succeeded})
		default:
			if err := s.Enqueue(t.Context(), []run.Run{r}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	before := ""
	for {
		page := must(s.Runs(t.Context(), RunFilter{Limit: 2, Before: before}))(t)
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			got = append(got, r.ID)
		}
		before = page[len(page)-1].ID
	}
	if diff := cmp.Diff([]string{ids[4], ids[3], ids[2], ids[1], ids[0]}, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		f    RunFilter
		want int
	}{
		{RunFilter{Pool: market.Targets}, 3}, {RunFilter{State: run.Queued}, 3}, {RunFilter{State: run.Finished}, 2},
		{RunFilter{Outcome: run.Succeeded, Pool: market.Universe}, 1}, {RunFilter{Outcome: run.Failed}, 0},
		{RunFilter{State: run.Queued, Outcome: run.Failed}, 0},
	} {
		if got := must(s.Runs(t.Context(), c.f))(t); len(got) != c.want {
			t.Errorf("%+v: %d runs", c.f, len(got))
		}
	}
	r, ok, err := s.LastFinished(t.Context(), market.Universe)
	if err != nil || !ok || r.ID != ids[1] {
		t.Errorf("last finished: %v %v %v", r.ID, ok, err)
	}
	follow := queued(market.Targets, at(30))
	follow.Source, follow.Follows = run.SourceAuto, ids[0]
	if err := s.Enqueue(t.Context(), []run.Run{follow}, nil); err != nil {
		t.Fatal(err)
	}
	if f := must(s.FollowUps(t.Context(), ids[0]))(t); len(f) != 1 || f[0].ID != follow.ID {
		t.Errorf("follow-ups: %+v", f)
	}
}

func TestPruneKeepsTheLast(t *testing.T) {
	s := open(t)
	for i := range 45 {
		finished(t, s, begun(t, s, queued(market.Targets, at(i))), at(i), run.End{Outcome: run.Succeeded})
	}
	n, err := s.Prune(t.Context(), at(40))
	if err != nil || n != 40 {
		t.Fatalf("pruned %d, %v", n, err)
	}
	if n, err := s.Prune(t.Context(), at(100)); err != nil || n != 4 {
		t.Fatalf("pruned %d, %v; the last one stays", n, err)
	}
}

func TestSlotsFireOnce(t *testing.T) {
	s := open(t)
	v := slot.Slot{ID: slot.ID(monday, market.Targets), Pool: market.Targets, Date: monday, DueAt: base, DecidedAt: at(1),
		Late: 90 * time.Second, LateNote: "the host slept", Issues: []fault.Issue{fault.NewIssue(fault.CalendarEnded, "Ended.")}}
	decide := func(v slot.Slot, runs ...run.Run) error { return s.Settle(t.Context(), []slot.Slot{v}, runs) }
	r := queued(market.Targets, at(1))
	v.State, v.RunID = slot.Fired, r.ID
	if err := decide(v, r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, must(s.Slot(t.Context(), v.ID))(t)); diff != "" {
		t.Errorf("slot (-want +got):\n%s", diff)
	}
	if err := decide(v, queued(market.Targets, at(2))); err != ErrDecided {
		t.Errorf("twice: %v", err)
	}
	if q := must(s.Queue(t.Context(), market.Targets))(t); len(q) != 1 {
		t.Errorf("queued %d runs", len(q))
	}
	if err := decide(slot.Slot{ID: v.ID, Pool: v.Pool, Date: v.Date, DueAt: v.DueAt, State: slot.Missed, DecidedAt: at(3)}); err != ErrDecided {
		t.Errorf("decided after firing: %v", err)
	}
	if in, err := s.InsertSlot(t.Context(), v); err != nil || in {
		t.Errorf("inserted again: %v %v", in, err)
	}

	pending := slot.Slot{ID: slot.ID(monday+1, market.Targets), Pool: market.Targets, Date: monday + 1, DueAt: at(1440), State: slot.Pending}
	if in, err := s.InsertSlot(t.Context(), pending); err != nil || !in {
		t.Fatalf("insert: %v %v", in, err)
	}
	if p := must(s.PendingSlots(t.Context()))(t); len(p) != 1 || p[0].ID != pending.ID {
		t.Errorf("pending: %v", p)
	}
	for today, want := range map[market.Date]string{monday + 1: pending.ID, monday: v.ID} { // on Monday, only a clock that was ahead can have stored it
		if last, _, err := s.LastSlot(t.Context(), market.Targets, today, at(2880)); err != nil || last == nil || last.ID != want {
			t.Errorf("on %s last is %+v, %v; want %s", today, last, err, want)
		}
	}
	pending.State, pending.DecidedAt = slot.Skipped, at(1441)
	pending.Issues = []fault.Issue{fault.NewIssue(fault.SchedulePaused, "Paused.")}
	if err := decide(pending); err != nil {
		t.Fatal(err)
	}
	if err := decide(pending); err != ErrDecided {
		t.Errorf("skipped twice: %v", err)
	}
	resumed := queued(market.Targets, at(1500))
	pending.State, pending.RunID, pending.Issues = slot.Fired, resumed.ID, nil
	if err := decide(pending, resumed); err != nil {
		t.Errorf("a slot held by a pause fires when the schedule is resumed: %v", err)
	}
	again := queued(market.Targets, at(1501))
	fresh := slot.Slot{ID: slot.ID(monday+2, market.Targets), Pool: market.Targets, Date: monday + 2, DueAt: at(2880), State: slot.Fired, RunID: again.ID, DecidedAt: at(2881)}
	if err := s.Settle(t.Context(), []slot.Slot{fresh, pending}, []run.Run{again}); err != ErrDecided {
		t.Errorf("settled a decided slot: %v", err)
	}
	if _, err := s.Slot(t.Context(), fresh.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("half a look was written: %v", err)
	}
	today, ends := monday, at(600) // the second slot was decided after that
	last, ahead, err := s.LastSlot(t.Context(), market.Targets, today, ends)
	if err != nil || last == nil || ahead == nil || last.ID != v.ID || ahead.ID != pending.ID {
		t.Errorf("last: %+v, ahead: %+v, %v", last, ahead, err)
	}
	if last, ahead, err := s.LastSlot(t.Context(), market.Targets, today, at(1500)); err != nil || last == nil || last.ID != pending.ID || ahead != nil {
		t.Errorf("last: %+v, ahead: %+v, %v", last, ahead, err)
	}
	if last, ahead, err := s.LastSlot(t.Context(), market.Universe, today, ends); err != nil || last != nil || ahead != nil {
		t.Errorf("universe has none: %v %v %v", last, ahead, err)
	}
	if all := must(s.Slots(t.Context(), "", 1, ""))(t); len(all) != 1 || all[0].ID != pending.ID {
		t.Errorf("first page: %v", all)
	}
	if all := must(s.Slots(t.Context(), market.Targets, 5, pending.ID))(t); len(all) != 1 || all[0].ID != v.ID {
		t.Errorf("second page: %v", all)
	}
	if n, err := s.DropSlotsAhead(t.Context(), today, at(1500)); err != nil || n != 0 {
		t.Errorf("dropped %d, %v", n, err)
	}
	if n, err := s.DropSlotsAhead(t.Context(), today, ends); err != nil || n != 1 {
		t.Errorf("dropped %d, %v", n, err)
	}
	if _, err := s.Slot(t.Context(), pending.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("dropped slot: %v", err)
	}
}

// TestALookReadsFewSlots: the scheduler looks every few seconds, and the slots of all
// years stay in the ledger.
func TestALookReadsFewSlots(t *testing.T) {
	var id, parent, unused int
	var step string
	s := open(t)
	if err := s.db.Reader().QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN SELECT "+slotColumns+" FROM slots "+endedBadly, 0).Scan(&id, &parent, &unused, &step); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(step, "slots_covered") {
		t.Errorf("the covered slots are found by %q", step)
	}
}

// TestUncoveredSlotsAreFoundAtOnce though none were found a moment before.
func TestUncoveredSlotsAreFoundAtOnce(t *testing.T) {
	s := open(t)
	uncovered := func(since time.Time) int { return len(must(s.UncoveredSlots(t.Context(), since))(t)) }
	r := queued(market.Targets, at(-60))
	r.SlotID = slot.ID(monday-3, market.Targets)
	v := slot.Slot{ID: slot.ID(monday, market.Targets), Pool: market.Targets, Date: monday, DueAt: base, State: slot.Covered, RunID: r.ID, DecidedAt: at(1),
		Issues: []fault.Issue{fault.NewIssue(fault.SlotCovered, "Covered.", "run_id", r.ID)}}
	if err := s.Settle(t.Context(), []slot.Slot{v}, []run.Run{r}); err != nil {
		t.Fatal(err)
	}
	r = begun(t, s, r)
	if n := uncovered(at(-1)); n != 0 {
		t.Errorf("%d are found while the run is under way", n)
	}
	stopped := fault.NewIssue(fault.Interrupted, "It was being cancelled.", "run_id", r.ID, "state", string(run.Cancelling))
	finished(t, s, r, at(2), run.End{Outcome: run.Failed, Issues: []fault.Issue{stopped}})
	if n := uncovered(at(1)); n != 0 {
		t.Errorf("%d are found that were due later than the only one", n)
	}
	if n := uncovered(at(-1)); n != 1 {
		t.Errorf("%d are found after the clock was set back, want 1", n)
	}
	if n := uncovered(at(-1)); n != 1 {
		t.Errorf("%d are found when it is asked again, want 1", n)
	}
}

func TestChoicesAndCopiesSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", FileName)
	ctx := t.Context()
	s := must(Open(ctx, Config{Path: path}))(t)

	// A setting that was never saved has its default.
	if got := must(s.Settings(ctx))(t); got != settings.Default() {
		t.Errorf("settings: %+v", got)
	}
	if diff := cmp.Diff(slot.Default(), must(s.Schedule(ctx))(t)); diff != "" {
		t.Errorf("schedule (-want +got):\n%s", diff)
	}
	if c := must(s.Calendar(ctx))(t); len(c.Open) != 0 || !c.IsOpen(monday) {
		t.Errorf("calendar: %+v", c)
	}
	if _, ok, err := s.Catalog(ctx); ok || err != nil {
		t.Errorf("catalog: %v %v", ok, err)
	}

	set := settings.Default()
	set.DispatchWidth = 3
	sched := slot.Default()
	sched.Pools, sched.Paused, sched.Note, sched.NotedAt = []market.Pool{market.Universe}, true, "bo: audit", base
	cat := catalog.Catalog{Domains: []catalog.Domain{{ID: "stock", Title: "Stocks"}}, Modules: []catalog.Module{{ID: "stock.basic", Pools: market.Pools()}}}
	cal := Calendar{Open: []market.Date{monday, monday + 1}, First: monday - 5, Last: monday + 10}
	token := readiness.Token{Domain: "stock", Source: "environment", Fingerprint: "f"}
	domain := readiness.DomainSetting{Domain: "stock", Enabled: true, Provider: "tushare"}
	probe := readiness.Probe{Module: "stock.basic", Status: readiness.Pass, At: base, Latency: 1500 * time.Microsecond, Rows: 9, Calls: 1, Fingerprint: "f", ConfigHash: "c",
		Issues: []fault.Issue{fault.NewIssue(fault.ProbeEmpty, "Empty.")}}
	pre := readiness.Preflight{ID: NewID(), RunID: "r", State: readiness.PreflightCompleted, StartedAt: base, EndedAt: at(1), Calls: 4,
		Verdicts: []readiness.Verdict{{Pool: market.Targets, Decision: readiness.Ready, Cleared: []string{"stock.basic"}}}}
	hold := PauseState{Paused: true, Note: "anna: disk", At: base}
	for i, err := range []error{
		s.SaveSettings(ctx, set), s.SaveSchedule(ctx, sched), s.SaveCatalog(ctx, cat), s.SaveCalendar(ctx, cal), s.SaveCalendar(ctx, Calendar{}),
		s.SaveTokens(ctx, []readiness.Token{token}, "api.tushare.pro", base), s.SaveDomain(ctx, domain), s.SaveModule(ctx, "stock.basic", false),
		s.SaveProbe(ctx, probe), s.SavePreflight(ctx, pre), s.SetPauseState(ctx, market.Targets, hold),
	} {
		if err != nil {
			t.Errorf("save %d: %v", i, err)
		}
	}
	if c := must(s.Calendar(ctx))(t); !cmp.Equal(c, cal) {
		t.Errorf("calendar after it was saved: %+v", c)
	}
	cal.Last++
	if err := s.SaveCalendar(ctx, cal); err != nil || must(s.Calendar(ctx))(t).Last != cal.Last {
		t.Errorf("calendar after another was saved: %v", err)
	}
	epoch := must(s.NextEpoch(ctx, at(0)))(t)
	if back := must(s.NextEpoch(ctx, at(-120)))(t); back <= epoch {
		t.Errorf("epoch went back with the clock: %d after %d", back, epoch)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = must(Open(ctx, Config{Path: path}))(t)
	defer s.Close()
	if again := must(s.NextEpoch(ctx, at(-120)))(t); again <= epoch+1 {
		t.Errorf("epoch reused after a restart: %d after %d", again, epoch)
	}
	gotCat, ok, err := s.Catalog(ctx)
	tokens, host, tokenErr := s.Tokens(ctx)
	if err != nil || !ok || tokenErr != nil || host != "api.tushare.pro" {
		t.Errorf("%v %v %v %s", err, ok, tokenErr, host)
	}
	for name, diff := range map[string]string{
		"settings": cmp.Diff(set, must(s.Settings(ctx))(t)), "schedule": cmp.Diff(sched, must(s.Schedule(ctx))(t)),
		"catalog": cmp.Diff(cat, gotCat), "calendar": cmp.Diff(cal, must(s.Calendar(ctx))(t)),
		"tokens":  cmp.Diff(map[string]readiness.Token{"stock": token}, tokens),
		"domains": cmp.Diff(map[string]readiness.DomainSetting{"stock": domain}, must(s.Domains(ctx))(t)),
		"modules": cmp.Diff(map[string]bool{"stock.basic": false}, must(s.Modules(ctx))(t)),
		"probes":  cmp.Diff(map[string]readiness.Probe{"stock.basic": probe}, must(s.Probes(ctx))(t)),
		"hold":    cmp.Diff(hold, must(s.PauseState(ctx, market.Targets))(t)), "no hold": cmp.Diff(PauseState{}, must(s.PauseState(ctx, market.Universe))(t)),
		"preflight":  cmp.Diff(pre, must(s.Preflight(ctx, pre.ID))(t)),
		"preflights": cmp.Diff([]readiness.Preflight{pre}, must(s.Preflights(ctx, 0, ""))(t)),
		"older":      cmp.Diff([]readiness.Preflight(nil), must(s.Preflights(ctx, 5, pre.ID))(t)),
	} {
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := s.Preflight(ctx, "none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown preflight: %v", err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	s := open(t)
	_, err := Open(t.Context(), Config{Path: s.db.Path()})
	f, ok := fault.As(err)
	if !ok || f.Reason != fault.DataDirLocked || f.Meta["holder_pid"] != strconv.Itoa(os.Getpid()) || !strings.Contains(f.Message, strconv.Itoa(os.Getpid())) {
		t.Fatalf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := must(Open(t.Context(), Config{Path: s.db.Path()}))(t)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerThatWasDeletedIsNotReady(t *testing.T) {
	s := open(t)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.db.Path()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"check": s.Check(t.Context()), "write": s.SaveModule(t.Context(), "m", true)} {
		if f, ok := fault.As(err); !ok || f.Reason != fault.StoreFailed || !strings.Contains(f.Message, "deleted or replaced") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestReadOnlyLedgerIsRefusedAtTheStart(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("permissions do not hold for root")
	}
	path := filepath.Join(t.TempDir(), FileName)
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Path: path})
	if !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), path+" cannot be written") {
		t.Errorf("got %v", err)
	}
}

func TestUnusableFileIsToldInOneLine(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	textFile := filepath.Join(dir, "text", FileName)
	torn := filepath.Join(dir, "torn", FileName)
	foreign := filepath.Join(dir, "foreign", FileName)
	for _, p := range []string{textFile, foreign} {
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(textFile, []byte(strings.Repeat("this is no database ", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := must(Open(ctx, Config{Path: torn}))(t)
	for i := range 200 {
		if err := s.SaveModule(ctx, fmt.Sprintf("module.%d", i), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(torn)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096 * 3; i < len(whole)-4096; i++ { // the header and schema stay readable
		whole[i] = 0xA5
	}
	if err := os.WriteFile(torn, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	db := must(sql.Open("sqlite3", foreign))(t)
	if _, err := db.Exec("CREATE TABLE theirs (x)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	notADir := filepath.Join(textFile, FileName)

	for path, want := range map[string]string{textFile: "damaged", torn: "damaged", foreign: "another program", notADir: "text/market-cache.sqlite cannot be used: not a directory"} {
		_, err := Open(ctx, Config{Path: path})
		f, ok := fault.As(err)
		if !ok || f.Reason != fault.InvalidArgument || !strings.Contains(f.Message, want) || strings.Contains(f.Message, "\n") ||
			!strings.Contains(f.Message, filepath.Dir(path)) {
			t.Errorf("%s: %v, want a line with the path and %q", filepath.Base(filepath.Dir(path)), err, want)
		}
		if !ok {
			continue
		}
		// A refused start must not keep the directory locked.
		if _, err := Open(ctx, Config{Path: path}); fault.Is(err, fault.DataDirLocked) {
			t.Errorf("%s: the lock outlived the failure", path)
		}
	}
	for err, want := range map[error]fault.Reason{
		sqlite3.Error{Code: sqlite3.ErrFull}:     fault.DiskFull,
		sqlite3.Error{Code: sqlite3.ErrReadonly}: fault.InvalidArgument,
		sqlite3.Error{Code: sqlite3.ErrBusy}:     fault.DataDirLocked,
		sqlite.ErrNewer:                          fault.InvalidArgument,
	} {
		if got := openFault("x/"+FileName, err); !fault.Is(got, want) {
			t.Errorf("%v: %v", err, got)
		}
	}
	if err := failed("x", context.Canceled); err != context.Canceled {
		t.Errorf("the caller's end is not a fault: %v", err)
	}
	for err, want := range map[error]fault.Reason{
		sqlite3.Error{Code: sqlite3.ErrFull}: fault.DiskFull, sqlite3.Error{Code: sqlite3.ErrIoErr}: fault.StoreFailed,
		sqlite3.Error{Code: sqlite3.ErrBusy}: fault.StoreFailed, sqlite3.Error{Code: sqlite3.ErrCorrupt}: fault.StoreFailed,
	} {
		if got := failed("x", err); !fault.Is(got, want) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func BenchmarkSave(b *testing.B) {
	s := open(b)
	r := begun(b, s, queued(market.Universe, base))
	for _, n := range []int{1, 16, 3000} {
		partitions, events := make([]run.Partition, n), make([]run.Event, n)
		for i := range partitions {
			d := monday - market.Date(i)
			partitions[i] = run.Partition{ID: "daily:" + d.String(), Ordinal: i, Dataset: "daily", Module: "stock.market.daily", Start: d, End: d,
				State: run.PartitionCompleted, Verdict: "complete", Attempts: 1, Rows: 5400, Expected: 5400, New: 5400, Calls: 1}
			events[i] = run.Event{Time: base, Partition: &partitions[i]}
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Save(b.Context(), run.Update{Run: r, Partitions: partitions, Events: events}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "partitions/s")
		})
	}
}
