package targets_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// Partitions of targets overlap in any way: by symbols, by spans, by both. What is
// committed last for a symbol's day is what the file has.
func TestOverlappingSpans(t *testing.T) {
	h := harness()
	path := t.TempDir() + "/targets.sqlite"
	s := h.New(sinktest.Options{Path: path, Source: sinktest.Source})
	defer s.Close()
	rng := rand.New(rand.NewPCG(7, 7))
	all := sinktest.Stocks(12)
	want := make(map[coverage.Key]string)
	for epoch := int64(1); epoch <= 120; epoch++ {
		from := rng.IntN(len(all))
		symbols := all[from : from+1+rng.IntN(len(all)-from)]
		start := sinktest.Day0 + market.Date(rng.IntN(10))
		end := start + market.Date(rng.IntN(5))
		c := ingest.Commit{
			Partition: coverage.Partition{
				ID: "span", Pool: market.Targets, Dataset: catalog.Daily, Start: start, End: end, Symbols: symbols,
			},
			Epoch: epoch, RunID: "run",
		}
		b := table.New(catalog.Lookup(catalog.Daily).Specs(), 0)
		var gone int64
		for date := start; date <= end; date++ {
			for _, symbol := range symbols {
				k := coverage.Key{Dataset: catalog.Daily, Date: date, Symbol: symbol}
				c.Records = append(c.Records, coverage.Record{Key: k, Expected: 1, Verdict: coverage.Complete, SameSince: market.NoDate, LastSame: market.NoDate})
				_, was := want[k]
				if rng.IntN(4) == 0 {
					if delete(want, k); was {
						gone++
					}
					continue
				}
				one := sinktest.Rows(catalog.Daily, date, []string{symbol}, uint64(epoch%3))
				for i := range b.Columns {
					b.Columns[i].AppendFrom(&one.Columns[i], 0)
				}
				b.Len++
				want[k] = sinktest.Number(one.Column("close").Numbers[0])
			}
		}
		c.Batch = b
		changes, err := s.Commit(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if changes.Gone != gone {
			t.Errorf("commit %d: %d gone, want %d", epoch, changes.Gone, gone)
		}
		sameDays(t, s, sinktest.Day0+market.Date(rng.IntN(15)), start, end)
	}
	held := make(map[coverage.Key]bool)
	err := s.Coverage(t.Context(), nil, market.NoDate, market.NoDate, func(r coverage.Record) bool {
		if r.Rows == 1 {
			held[r.Key] = true
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := make(map[coverage.Key]string)
	for _, row := range dump(t, path, catalog.TablePrices) {
		date, err := market.ParseDate(row["trade_date"])
		if err != nil {
			t.Fatal(err)
		}
		k := coverage.Key{Dataset: catalog.Daily, Date: date, Symbol: row["symbol"]}
		got[k] = row["close"]
		if !held[k] {
			t.Errorf("%v has a row and no coverage", k)
		}
		delete(held, k)
	}
	if len(held) > 0 {
		t.Errorf("coverage of rows that are not there: %v", held)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ: %s", diff)
	}
	// Commits that no record refers to any more are not kept.
	used := make(map[string]bool)
	for _, row := range dump(t, path, "coverage") {
		used[row["commit_id"]] = true
	}
	if commits := dump(t, path, "commits"); len(commits) != len(used) {
		t.Errorf("%d commits are kept, %d referred to", len(commits), len(used))
	}
}

// sameDays compares the days that the sink returns with the rows of the file.
func sameDays(t *testing.T, s ingest.Sink, dates ...market.Date) {
	t.Helper()
	reader := s.(ingest.DayReader)
	traded, err := reader.Traded(t.Context(), catalog.Daily, sinktest.Day0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dates {
		day, err := reader.Day(t.Context(), catalog.Daily, d)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := s.Rows(t.Context(), coverage.Key{Dataset: catalog.Daily, Date: d})
		if err != nil {
			t.Fatal(err)
		}
		want := evidence.NewDay(catalog.Lookup(catalog.Daily), d, rows)
		if got, want := fmt.Sprintf("%+v", *day), fmt.Sprintf("%+v", *want); got != want { // as text, for a null is a NaN
			t.Fatalf("%s is reported as %s, and the file has %s", d, got, want)
		}
		if slices.Contains(traded, d) != (rows.Len > 0) {
			t.Fatalf("%s has %d rows; dates with rows are %v", d, rows.Len, traded)
		}
		if again, err := reader.Day(t.Context(), catalog.Daily, d); rows.Len > 0 && again != day {
			t.Fatalf("%s was read twice, %v", d, err)
		}
	}
}

// A date is remembered as it was committed while that is all of it, and not when
// another program has written to the file.
func TestDaysAreThoseOfTheFile(t *testing.T) {
	h := harness()
	path := t.TempDir() + "/targets.sqlite"
	s := h.New(sinktest.Options{Path: path, Source: sinktest.Source})
	defer s.Close()
	symbols := sinktest.Stocks(4)
	for epoch, list := range [][]string{symbols, symbols[:2], symbols[2:]} {
		for d := range market.Date(3) {
			b := sinktest.Rows(catalog.Daily, sinktest.Day0+d, list, uint64(epoch))
			if _, err := s.Commit(t.Context(), sinktest.Commit(market.Targets, catalog.Daily, sinktest.Day0+d, list, b, int64(epoch+1))); err != nil {
				t.Fatal(err)
			}
			sameDays(t, s, sinktest.Day0+d, sinktest.Day0+3)
		}
	}
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE daily_prices SET close = 1234")
		return err
	})
	if err := errors.Join(err, db.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = h.New(sinktest.Options{Path: path, Source: sinktest.Source})
	sameDays(t, s, sinktest.Day0, sinktest.Day0+1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.Refresh(t.Context())
	day, err := s.(ingest.DayReader).Day(t.Context(), catalog.Daily, sinktest.Day0)
	if err != nil || len(day.Symbols) > 0 {
		t.Errorf("a file that is gone holds %+v, %v", day, err)
	}
}

// A row without a record is covered, too.
func TestRowWithoutRecordIsCovered(t *testing.T) {
	h := harness()
	s := h.New(sinktest.Options{Path: t.TempDir() + "/targets.sqlite", Source: sinktest.Source})
	defer s.Close()
	symbols := sinktest.Stocks(3)
	c := sinktest.Commit(market.Targets, catalog.Daily, sinktest.Day0, symbols, sinktest.Rows(catalog.Daily, sinktest.Day0, symbols, 1), 5)
	c.Records = c.Records[:1]
	if _, err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, symbol := range symbols {
		r, ok := s.Held(coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0, Symbol: symbol})
		if !ok || r.Rows != 1 || r.Verdict != coverage.Complete || r.Epoch != 5 {
			t.Errorf("%s: %+v, %v", symbol, r, ok)
		}
	}
}

// What a commit no longer speaks of, it removes: rows and coverage together.
func TestRecordLeftOutIsDropped(t *testing.T) {
	h := harness()
	path := t.TempDir() + "/targets.sqlite"
	s := h.New(sinktest.Options{Path: path, Source: sinktest.Source})
	defer func() { _ = s.Close() }()
	symbols := sinktest.Stocks(3)
	c := sinktest.Commit(market.Targets, catalog.Daily, sinktest.Day0, symbols, sinktest.Rows(catalog.Daily, sinktest.Day0, symbols, 1), 5)
	if _, err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.Records, c.Batch = c.Records[:1], c.Batch.Select([]int{0})
	if changes, err := s.Commit(t.Context(), c); err != nil || changes.Gone != 2 || changes.New+changes.Changed != 0 {
		t.Fatalf("%+v, %v", changes, err)
	}
	for range 2 { // from memory, then from the file
		for i, symbol := range symbols {
			k := coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0, Symbol: symbol}
			found, err := sinktest.Contents(t.Context(), s, k)
			if _, held := s.Held(k); err != nil || held != (i == 0) || (found.Rows == 1) != held {
				t.Errorf("%s: %d rows, held %v, %v", symbol, found.Rows, held, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = h.New(sinktest.Options{Path: path, Source: sinktest.Source})
	}
}
