package ledger

import (
	"encoding/json"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// The columns of run_queue, with which run_details begins, and the other columns of
// run_details. A queued run has the values of queuedRest there.
const (
	identity = "id, pool, mode, source, slot_id, trigger_id, follows, attempt, start_date, end_date, modules, refetch, created_at, not_before, note"
	progress = "state, outcome, stage, preflight_id, issues, partitions, completed, rows, new_rows, changed_rows, gone_rows, symbols, calls, as_of, started_at, finished_at, retry_at, meta"

	queuedRest = "'queued', '', '', '', '[]', 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, '{}'"

	fromDetails = "SELECT " + identity + ", " + progress + " FROM run_details"
	fromQueue   = "SELECT " + identity + ", " + queuedRest + " FROM run_queue"
)

var insertDetails = upsert("run_details", identity+", "+progress, "id")

// upsert writes INSERT … ON CONFLICT (key) DO UPDATE over all columns.
func upsert(table, columns, key string) string {
	names := strings.Split(columns, ", ")
	keys := strings.Split(key, ", ")
	isKey := map[string]bool{}
	for _, k := range keys {
		isKey[k] = true
	}
	var set []string
	for _, n := range names {
		if !isKey[n] {
			set = append(set, n+" = excluded."+n)
		}
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES (?" + strings.Repeat(", ?", len(names)-1) +
		") ON CONFLICT (" + key + ") DO UPDATE SET " + strings.Join(set, ", ")
}

type scanner interface{ Scan(dest ...any) error }

func scanRun(row scanner) (r run.Run, err error) {
	err = row.Scan(&r.ID, &r.Pool, &r.Mode, &r.Source, &r.SlotID, &r.TriggerID, &r.Follows, &r.Attempt,
		toDay{&r.Request.Start}, toDay{&r.Request.End}, toJSON{&r.Request.Modules}, &r.Request.Refetch,
		toTime{&r.CreatedAt}, toTime{&r.NotBefore}, &r.Note,
		&r.State, &r.Outcome, &r.Stage, &r.PreflightID, toJSON{&r.Issues}, &r.Partitions, &r.Completed,
		&r.Rows, &r.New, &r.Changed, &r.Gone, &r.Symbols, &r.Calls, toDay{&r.AsOf},
		toTime{&r.StartedAt}, toTime{&r.FinishedAt}, toTime{&r.RetryAt}, toJSON{&r.Meta})
	return r, err
}

func identityOf(r *run.Run) ([]any, error) {
	modules, err := list(r.Request.Modules)
	return []any{r.ID, r.Pool, r.Mode, r.Source, r.SlotID, r.TriggerID, r.Follows, r.Attempt,
		day(r.Request.Start), day(r.Request.End), modules, r.Request.Refetch,
		stamp(r.CreatedAt), stamp(r.NotBefore), r.Note}, err
}

func detailsOf(r *run.Run) ([]any, error) {
	values, err := identityOf(r)
	if err != nil {
		return nil, err
	}
	issues, err := list(r.Issues)
	if err != nil {
		return nil, err
	}
	meta, err := json.Marshal(r.Meta)
	if err != nil {
		return nil, err
	}
	return append(values, r.State, r.Outcome, r.Stage, r.PreflightID, issues, r.Partitions, r.Completed,
		r.Rows, r.New, r.Changed, r.Gone, r.Symbols, r.Calls, day(r.AsOf),
		stamp(r.StartedAt), stamp(r.FinishedAt), stamp(r.RetryAt), string(meta)), nil
}

const summaryColumns = "id, scope, mode, status, as_of_trade_date, started_at, finished_at, symbol_count, inserted, updated, errors, error_message, meta_json"

var insertSummary = upsert("ingest_runs", summaryColumns, "id")

// summaryMeta is meta_json.
type summaryMeta struct {
	Source       run.Source    `json:"source"`
	Scope        string        `json:"scope"`
	BlockedStage run.Stage     `json:"blockedStage,omitempty"`
	ErrorCode    fault.Reason  `json:"errorCode,omitempty"`
	Issues       []fault.Issue `json:"issues,omitempty"`
	run.Meta
	LastTradeDate string `json:"lastTradeDate,omitempty"`
	RetryAt       int64  `json:"retryAt,omitempty"` // Unix ms
}

// summaryOf is the row of a run in ingest_runs.
func summaryOf(r *run.Run) ([]any, error) {
	meta := summaryMeta{
		Source: r.Source, Scope: string(r.Pool), BlockedStage: r.Stage, Issues: r.Issues, Meta: r.Meta,
	}
	if r.AsOf > 0 {
		meta.LastTradeDate = r.AsOf.String()
	}
	if !r.RetryAt.IsZero() {
		meta.RetryAt = r.RetryAt.UnixMilli()
	}
	incomplete, message := 0, any(nil)
	status := r.State.Status(r.Outcome)
	if r.State == run.Finished {
		incomplete = r.Partitions - r.Completed
	}
	if status != "running" && status != "success" {
		if worst, ok := fault.Worst(r.Issues); ok {
			meta.ErrorCode = worst.Reason
		}
		message = sentence(r)
	}
	text, err := json.Marshal(meta)
	return []any{r.ID, r.Pool, r.Mode, status, day(r.AsOf), stamp(r.StartedAt), stamp(r.FinishedAt),
		r.Symbols, r.New, r.Changed, incomplete, message, string(text)}, err
}

// sentence is error_message: the worst issue's message, or a count if there are only
// warnings. For a failed run it includes the remedy, because users read it with SQL.
func sentence(r *run.Run) string {
	worst, ok := fault.Worst(r.Issues)
	switch missing := r.Partitions - r.Completed; {
	case ok && r.State.Status(r.Outcome) == "failed" && worst.Remedy != "":
		return worst.Message + " " + worst.Remedy
	case ok && (worst.Severity > fault.Warning || worst.Reason == fault.Cancelled):
		return worst.Message
	case missing > 0:
		return fault.Of(missing, r.Partitions, "partition", "partitions") + fault.One(missing, " is", " are") + " not complete."
	case len(r.Meta.BlockedModules) > 0:
		return "These modules were blocked: " + strings.Join(r.Meta.BlockedModules, ", ") + "."
	case r.Note != "":
		return r.Note
	case ok:
		return worst.Message
	}
	return "The run ended " + string(r.Outcome) + "."
}
