package ingest_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// TestAReaderThatHoldsTheLogIsTold once by a run, and not once it has gone.
func TestAReaderThatHoldsTheLogIsTold(t *testing.T) {
	r := newHarness(t, tiny())
	r.close()
	r.logHeld = 1
	r.open()
	start, end := r.span(3)
	w := coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: end - 1, Symbols: []string{r.traded(end)}}
	r.settle(w, 3)
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(r.dir, "targets.sqlite")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // ended below; a second end is harmless
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM daily_prices").Scan(&n); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	told := func() (out []fault.Issue) {
		w.End, w.Refetch = end, true
		all, err := r.pass(w, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			for _, i := range o.result.Issues {
				if i.Reason == fault.WALHeld {
					out = append(out, i)
				}
			}
		}
		return out
	}
	issues := told()
	faulttest.Produces(t, issues, fault.WALHeld)
	if len(issues) != 1 {
		t.Errorf("reported %d times in a run", len(issues))
	}
}
