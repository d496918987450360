package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	_ "github.com/mattn/go-sqlite3" // reads the ledger as people's SQL does

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

const historyQuery = `select scope, status, json_extract(meta_json,'$.blockedStage') as blocked_stage,
       json_extract(meta_json,'$.errorCode') as error_code, error_message, started_at
from ingest_runs order by started_at desc limit 10`

const countQuery = `select scope, status, count(*) from ingest_runs group by scope, status order by scope, status`

// printHistory shows what the ledger says, by the queries of the documentation.
func printHistory(ctx context.Context, path string, out io.Writer) error {
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		return err
	}
	defer db.Close()
	fmt.Fprintln(out, "\nRun history (ingest_runs in "+filepath.Base(path)+"), newest first:")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  scope\tstatus\tblocked_stage\terror_code\tstarted_at\terror_message")
	rows, err := db.QueryContext(ctx, historyQuery)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var scope, status string
		var stage, code, message sql.NullString
		var started int64
		if err := rows.Scan(&scope, &status, &stage, &code, &message, &started); err != nil {
			return err
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\t%s\n", scope, status, orDash(stage.String), orDash(code.String),
			time.UnixMilli(started).Format("2006-01-02 15:04:05"), orDash(message.String))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	counts, err := db.QueryContext(ctx, countQuery)
	if err != nil {
		return err
	}
	defer counts.Close()
	fmt.Fprintln(out, "\nRuns by pool and status:")
	for counts.Next() {
		var scope, status string
		var n int
		if err := counts.Scan(&scope, &status, &n); err != nil {
			return err
		}
		fmt.Fprintf(out, "  %-9s %-9s %d\n", scope, status, n)
	}
	return counts.Err()
}

// printNext shows where everything is and three commands to try.
func printNext(s *stack.Stack, out io.Writer) {
	web := "http://" + s.Config.HTTPAddr
	fmt.Fprintf(out, `
Both pools are served until you press Ctrl-C.
  REST        %[1]s/v1/runs      (all of it: %[1]s/openapi.json)
  gRPC        %[2]s, with reflection
  files       %[3]s: market-cache.sqlite, targets.sqlite, analysis.duckdb

Try next, in another terminal:
  curl -N -X POST %[1]s/v1/preflights:run -d '{}'
  grpcurl -plaintext -d '{"pool":"universe"}' %[2]s afterbell.orchestrator.v1.PoolService/GetPool
  sqlite3 %[3]s/targets.sqlite "select symbol, trade_date, close from daily_prices order by trade_date desc limit 12"
`, web, s.Config.GRPCAddr, s.Config.Data)
}
