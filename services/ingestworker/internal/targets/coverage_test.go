package targets_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Records that are kept by number and those that are not take each other's place, and
// are the same after the file was opened again, and after a file of the first release
// was migrated.
func TestCoverageIsTheSameHoweverItIsKept(t *testing.T) {
	h := harness()
	path := t.TempDir() + "/targets.sqlite"
	s := h.New(sinktest.Options{Path: path, Source: sinktest.Source})
	defer func() { _ = s.Close() }()
	rng := rand.New(rand.NewPCG(3, 3))
	symbols := append(sinktest.Stocks(5), "000001.SZ", "920001.BJ")
	verdicts := []coverage.Verdict{
		coverage.Complete, coverage.ExpectedEmpty, coverage.NotPublished, coverage.Incomplete, coverage.Empty, coverage.AcceptedShort,
	}
	for epoch := int64(1); epoch <= 80; epoch++ {
		d := sinktest.Day0 + market.Date(rng.IntN(6))
		dataset := []string{catalog.Daily, catalog.DailyBasic}[rng.IntN(2)]
		list := symbols[rng.IntN(len(symbols)-1):]
		b := sinktest.Rows(dataset, d, list[:rng.IntN(len(list)+1)], uint64(epoch%3))
		c := sinktest.Commit(market.Targets, dataset, d, list, b, epoch)
		if rng.IntN(4) == 0 {
			c.Batch = nil
		} else if rng.IntN(4) == 0 && b.Len > 0 {
			c.Records = c.Records[:b.Len] // the others are dropped
		}
		for i := range c.Records {
			r := &c.Records[i]
			r.Verdict = verdicts[rng.IntN(len(verdicts))]
			r.CommittedAt = time.UnixMilli(1_790_000_000_000 + epoch*1000 + int64(rng.IntN(2)))
			switch rng.IntN(6) {
			case 0:
				r.AnswerHash, r.SameSince, r.LastSame, r.SameDays = 1<<63|5, d, d+1, 2
			case 1:
				r.Rejected, r.Unknown, r.Filtered = 1, 1, 3
			case 2:
				r.Expected = 2
			case 3:
				r.Issues = []fault.Issue{fault.NewIssue(fault.Incomplete, fmt.Sprint("Something is missing: ", rng.IntN(2)))}
			}
		}
		if _, err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	list := sinktest.List(catalog.StockBasic, symbols)
	if _, err := s.Commit(t.Context(), sinktest.Snapshot(market.Targets, catalog.StockBasic, list, 99)); err != nil {
		t.Fatal(err)
	}
	records := func(s ingest.Sink) map[coverage.Key]coverage.Record {
		out := map[coverage.Key]coverage.Record{}
		err := s.Coverage(t.Context(), nil, market.NoDate, market.NoDate, func(r coverage.Record) bool { out[r.Key] = r; return true })
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := records(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = h.New(sinktest.Options{Path: path, Source: sinktest.Source})
	if diff := cmp.Diff(before, records(s)); diff != "" {
		t.Fatalf("coverage differs once it is read from the file: %s", diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	byKey := func(rows []sinktest.Row) map[string]sinktest.Row {
		out := map[string]sinktest.Row{}
		for _, row := range rows {
			out[row["dataset"]+" "+row["symbol"]+" "+row["trade_date"]] = row
		}
		return out
	}
	all := dump(t, path, "coverage")
	days, others := dump(t, path, "coverage_days"), dump(t, path, "coverage_records")
	if len(all) != len(before) || len(all) != len(days)+len(others) || len(days) == 0 || len(others) < 2 {
		t.Fatalf("the view has %d of %d records, %d by number and %d others", len(all), len(before), len(days), len(others))
	}
	h.Exec(t, path, "DELETE FROM revisions") // as First wants it
	for _, statement := range h.First {
		h.Exec(t, path, statement)
	}
	s = h.New(sinktest.Options{Path: path, Source: sinktest.Source})
	if diff := cmp.Diff(before, records(s)); diff != "" {
		t.Errorf("coverage differs once it is migrated: %s", diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byKey(all), byKey(dump(t, path, "coverage"))); diff != "" {
		t.Errorf("the view differs once the file is migrated: %s", diff)
	}
	if diff := cmp.Diff(byKey(others), byKey(dump(t, path, "coverage_records"))); diff != "" {
		t.Errorf("other records are kept by number once the file is migrated: %s", diff)
	}
	if len(byKey(all)) != len(all) {
		t.Error("a key has records in both tables")
	}
	for _, row := range all {
		k := coverage.Key{Dataset: row["dataset"], Symbol: row["symbol"], Date: market.NoDate}
		if row["trade_date"] != "" {
			var err error
			if k.Date, err = market.ParseDate(row["trade_date"]); err != nil {
				t.Fatal(err)
			}
		}
		r := before[k]
		if row["verdict"] != string(r.Verdict) || row["row_count"] != fmt.Sprint(r.Rows) || row["row_count_sz"] != fmt.Sprint(r.ByExchange.SZ) ||
			row["expected_count"] != fmt.Sprint(r.Expected) || row["rows_hash"] != fmt.Sprint(int64(r.RowsHash)) || row["new_count"] != fmt.Sprint(r.New) ||
			row["changed_count"] != fmt.Sprint(r.Changed) || row["gone_count"] != fmt.Sprint(r.Gone) {
			t.Errorf("the view returns %v of %+v", row, r)
		}
	}
}
