package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	_ "github.com/mattn/go-sqlite3" // reads the ledger with SQL, as users do

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

const historyQuery = `select scope, status, json_extract(meta_json,'$.blockedStage') as blocked_stage,
       json_extract(meta_json,'$.errorCode') as error_code, error_message, started_at
from ingest_runs order by started_at desc limit 10`

const countQuery = `select scope, status, count(*) from ingest_runs group by scope, status order by scope, status`

// printHistory prints the results of the documented queries of the ledger. A run's message is
// below its row, because it is long.
func printHistory(ctx context.Context, path string, out io.Writer) error {
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, historyQuery)
	if err != nil {
		return err
	}
	defer rows.Close()
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "  scope\tstatus\tblocked_stage\terror_code\tstarted_at")
	var messages []string
	for rows.Next() {
		var scope, status string
		var stage, code, message sql.NullString
		var started int64
		if err := rows.Scan(&scope, &status, &stage, &code, &message, &started); err != nil {
			return err
		}
		fmt.Fprintf(columns, "  %s\t%s\t%s\t%s\t%s\n", scope, status, orDash(stage.String), orDash(code.String),
			time.UnixMilli(started).Format("01-02 15:04:05"))
		messages = append(messages, message.String)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	zone, _ := time.Now().Zone()
	fmt.Fprintf(out, "\nRun history (ingest_runs in market-cache.sqlite), newest first, times in %s:\n", zone)
	lines := strings.Split(strings.TrimRight(table.String(), "\n"), "\n")
	fmt.Fprintln(out, lines[0])
	for i, line := range lines[1:] {
		fmt.Fprintln(out, line)
		for _, part := range wrap(messages[i], "    ") {
			fmt.Fprintln(out, part)
		}
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

// needs are the programs that the printed commands need, and how to install them.
var needs = []struct{ program, from string }{
	{"curl", "the system's package curl has it"},
	{"grpcurl", "make tools fetches it into .tools"},
	{"sqlite3", "the system's package sqlite3 has it"},
}

// tool returns how to call a program: by its path if `make tools` has installed it and the PATH
// does not have it.
func tool(bin, name string) string {
	if _, err := exec.LookPath(name); err == nil {
		return name
	}
	if found, err := filepath.Glob(filepath.Join(filepath.Dir(bin), ".tools", "bin-*", name)); err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	return name
}

// printNext prints where everything is, and commands to try, which work in any directory and with
// any ports.
func printNext(c stack.Config, out io.Writer) error {
	dir, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	bin, err := filepath.Abs(c.Bin)
	if err != nil {
		return err
	}
	grpcurl := tool(bin, "grpcurl")
	fmt.Fprintf(out, `
Serving until you press Ctrl-C.
  browser  http://%[1]s/
  REST     http://%[1]s/openapi.json describes all paths
  gRPC     %[2]s, with reflection
  metrics  http://%[1]s/metrics and http://%[5]s/metrics
  data     %[3]s
           published/universe.duckdb and published/parquet are for readers;
           market-cache.sqlite, targets.sqlite, analysis.duckdb, logs

Try next, in another terminal:
  export AFTERBELL_ORCHESTRATOR=%[2]s AFTERBELL_HTTP_ADDR=%[1]s
  '%[4]s/afterbell' status
  '%[4]s/afterbell' export daily_prices -o prices.csv
  curl -N -X POST http://%[1]s/v1/preflights:run -d '{}'
  %[6]s -plaintext -d '{"pool":"universe"}' %[2]s \
    afterbell.orchestrator.v1.PoolService/GetPool
  sqlite3 '%[3]s/targets.sqlite' \
    "select symbol, trade_date, close from daily_prices
     order by trade_date desc limit 12"
`, c.HTTPAddr, c.GRPCAddr, dir, bin, c.MetricsAddr, grpcurl)
	for _, n := range needs {
		if _, err := exec.LookPath(n.program); err != nil && tool(bin, n.program) == n.program {
			fmt.Fprintf(out, "  (%s is not installed here: %s.)\n", n.program, n.from)
		}
	}
	return nil
}
