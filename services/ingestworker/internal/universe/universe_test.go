package universe_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // reads the closed file the way others do
	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

const holdFile = "UNIVERSE_TEST_HOLD"

// harness checkpoints every few commits, so that the suite tests checkpoints, too.
func harness() sinktest.Harness { return harnessWith(universe.Config{CheckpointRows: 2000}) }

func harnessWith(cfg universe.Config) sinktest.Harness {
	return sinktest.Harness{
		Pool: market.Universe, File: "analysis.duckdb", Locked: fault.AnalysisDBLocked, Unfit: fault.AnalysisDBNotInitialized,
		New: func(o sinktest.Options) ingest.Sink {
			cfg := cfg
			cfg.Path, cfg.Source, cfg.AcceptSource, cfg.MinFree, cfg.Idle = o.Path, o.Source, o.AcceptSource, o.MinFree, o.Idle
			cfg.Logger = slog.New(slog.DiscardHandler)
			return universe.New(cfg)
		},
		Dump: dump, Exec: alter, Hold: hold,
		First: []string{"DROP TABLE revisions", "UPDATE meta SET schema_version = 1"},
	}
}

func TestMain(m *testing.M) {
	if path := os.Getenv(holdFile); path != "" {
		db, err := sql.Open("duckdb", path)
		if err == nil {
			err = db.Ping()
		}
		fmt.Println("held", err)
		_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the test lets go
		os.Exit(0)
	}
	if code := sinktest.Main(m, harness()); code != 0 {
		os.Exit(code)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hold opens the file in another process: DuckDB's lock is one between processes.
func hold(path string) (func(), error) {
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), holdFile+"="+path)
	in, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	release := func() {
		_ = in.Close()
		_ = child.Wait()
	}
	if line != "held <nil>\n" {
		release()
		return nil, fmt.Errorf("the other process said %q", line)
	}
	return release, nil
}

func dump(t testing.TB, path, table string) []sinktest.Row {
	t.Helper()
	db, err := sql.Open("duckdb", path+"?access_mode=READ_ONLY")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT * FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	out := []sinktest.Row{}
	for rows.Next() {
		values := make([]any, len(names))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		row := make(sinktest.Row)
		for i, name := range names {
			switch x := (*values[i].(*any)).(type) {
			case nil:
				row[name] = "NULL"
			case time.Time:
				row[name] = x.Format(time.DateOnly)
			case float64:
				row[name] = sinktest.Number(x)
			default:
				row[name] = fmt.Sprint(x)
			}
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	sinktest.Sort(out)
	return out
}

func alter(t testing.TB, path, statement string) {
	t.Helper()
	db, err := sql.Open("duckdb", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestSink(t *testing.T) { sinktest.Run(t, harness()) }

// TestOverwrittenWhileOpen: DuckDB alone writes its file, so a change that is not its own
// is seen.
func TestOverwrittenWhileOpen(t *testing.T) { sinktest.OverwrittenWhileOpen(t, harness()) }

func TestKill(t *testing.T) { sinktest.RunKill(t, harness()) }
