package universe

import (
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Days that the provider rewrote as a whole are committed together as long as their old
// values are few enough for one transaction; every old value is kept all the same.
func TestRewrittenDaysShareNoTransaction(t *testing.T) {
	const days, stocks = 6, 300
	s := newSink(t, Config{Path: t.TempDir() + "/analysis.duckdb", GroupRows: 5000})
	symbols := sinktest.Stocks(stocks)
	var cells int64
	for seed := range uint64(2) {
		var group []*request
		for i := range days {
			date := sinktest.Day0 + market.Date(i)
			b := sinktest.Rows(catalog.DailyBasic, date, symbols, seed)
			c := sinktest.Commit(market.Universe, catalog.DailyBasic, date, symbols, b, int64(seed)+1)
			group = append(group, &request{commit: &c, dataset: catalog.Lookup(catalog.DailyBasic), hash: b.Hash(), done: make(chan struct{})})
		}
		sizes := []int{}
		err := s.do(t.Context(), func(w *writer) error {
			if err := w.ready(); err != nil {
				return err
			}
			for rest := group; len(rest) > 0; {
				written, err := w.attempt(rest)
				if err != nil {
					return err
				}
				sizes, rest = append(sizes, written), rest[written:]
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{1, days / 2}[seed]; len(sizes) != want {
			t.Errorf("the days were committed by %v in %d transactions, want %d", sizes, len(sizes), want)
		}
		for _, r := range group {
			cells += r.changes.Revised.Cells
		}
	}
	if cells < days*stocks*10 {
		t.Fatalf("%d values were kept", cells)
	}
	var kept int64
	q := ingest.RevisionQuery{Start: market.NoDate, End: market.NoDate, Limit: 1 << 20}
	all, err := s.Revisions(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		if r.ID != int64(len(all)-i) {
			t.Fatalf("revision %d of %d bears number %d", i, len(all), r.ID)
		}
		kept++
	}
	if kept != cells {
		t.Errorf("%d values are kept, the commits reported %d", kept, cells)
	}
}

// BenchmarkRewrittenDay commits a day of the whole market of which every value changed.
func BenchmarkRewrittenDay(b *testing.B) {
	s := New(Config{Path: b.TempDir() + "/analysis.duckdb"})
	defer s.Close()
	symbols := sinktest.Stocks(5500)
	batches := [2]ingest.Commit{}
	for i := range batches {
		batches[i] = sinktest.Commit(market.Universe, catalog.DailyBasic, sinktest.Day0, symbols,
			sinktest.Rows(catalog.DailyBasic, sinktest.Day0, symbols, uint64(i)), 1)
	}
	if _, err := s.Commit(b.Context(), batches[1]); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		if _, err := s.Commit(b.Context(), batches[n%2]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
