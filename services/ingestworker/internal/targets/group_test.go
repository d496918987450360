package targets

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// TestCommitsThatWaitAreWrittenTogether lets commits wait for the turn: they share one
// transaction, those of the same rows do not, one that is stale or whose caller has gone
// takes no other with it.
func TestCommitsThatWaitAreWrittenTogether(t *testing.T) {
	symbols := sinktest.Stocks(300)
	of := func(date market.Date, seed uint64, epoch int64) ingest.Commit {
		return sinktest.Commit(market.Targets, catalog.Daily, date, symbols, sinktest.Rows(catalog.Daily, date, symbols, seed), epoch)
	}
	fill := func(together bool) (s *Sink, log int64) {
		s = New(Config{Path: filepath.Join(t.TempDir(), "targets.sqlite"), Source: "x", Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		for n := range 20 {
			if _, err := s.Commit(t.Context(), of(sinktest.Day0-100+market.Date(n), 1, 5)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.db.Shrink(t.Context()); err != nil {
			t.Fatal(err)
		}
		if together {
			<-s.turn
		}
		var group errgroup.Group
		for n := range 16 {
			commit := func() error {
				_, err := s.Commit(t.Context(), of(sinktest.Day0+market.Date(n), 1, 5))
				return err
			}
			if together {
				group.Go(commit)
			} else if err := commit(); err != nil {
				t.Fatal(err)
			}
		}
		if together {
			waits(s, 16)
			s.turn <- struct{}{}
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		return s, s.db.LogBytes()
	}
	_, singly := fill(false)
	s, together := fill(true)
	if together*3 > singly*2 {
		t.Errorf("16 commits together wrote %d bytes, singly %d", together, singly)
	}

	<-s.turn
	gone, leave := context.WithCancel(t.Context())
	var group errgroup.Group
	expect := func(ctx context.Context, c ingest.Commit, want func(error) bool) {
		group.Go(func() error {
			if _, err := s.Commit(ctx, c); !want(err) {
				t.Errorf("commit of %s with epoch %d: %v", c.Partition.ID, c.Epoch, err)
			}
			return nil
		})
	}
	fine := func(err error) bool { return err == nil }
	expect(t.Context(), of(sinktest.Day0, 2, 6), fine)
	waits(s, 1)
	expect(t.Context(), of(sinktest.Day0+1, 2, 4), func(err error) bool { return fault.Is(err, fault.StaleEpoch) })
	waits(s, 2)
	expect(gone, of(sinktest.Day0+2, 2, 6), func(err error) bool { return errors.Is(err, context.Canceled) })
	waits(s, 3)
	expect(t.Context(), of(sinktest.Day0, 3, 7), fine) // the same rows again
	waits(s, 4)
	leave()
	for s.queued.waiting() > 3 {
		runtime.Gosched()
	}
	s.turn <- struct{}{}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for n, epoch := range []int64{7, 5, 5} {
		k := coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0 + market.Date(n), Symbol: symbols[0]}
		held, ok := s.Held(k)
		found, err := sinktest.Contents(t.Context(), s, k)
		if err != nil || !ok || held.Epoch != epoch || found.Hash != held.RowsHash || found.Rows != 1 {
			t.Errorf("%s: epoch %d, want %d; file %+v, coverage %x; %v", k.Date, held.Epoch, epoch, found, held.RowsHash, err)
		}
	}
}

// waiting counts the commits that wait for the turn.
func (q *queue) waiting() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.works {
		if w.ticket.Waiting() {
			n++
		}
	}
	return n
}

func waits(s *Sink, n int) {
	for s.queued.waiting() < n {
		runtime.Gosched()
	}
}

// TestUnchangedRowsAreNotWritten commits the same rows over and over: from the third
// time on, when no row counts as new any more, only the row of the commit is written.
func TestUnchangedRowsAreNotWritten(t *testing.T) {
	symbols := sinktest.Stocks(500)
	path := filepath.Join(t.TempDir(), "targets.sqlite")
	config := Config{Path: path, Source: "x", Logger: slog.New(slog.DiscardHandler)}
	s := New(config)
	var wrote [5]int64
	for n := range wrote {
		c := sinktest.Commit(market.Targets, catalog.Daily, sinktest.Day0, symbols, sinktest.Rows(catalog.Daily, sinktest.Day0, symbols, 1), int64(n+1))
		c.RunID = "run-" + string(rune('a'+n))
		got, err := s.Commit(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int64{true: 500}[n == 0]; got.New != want || got.Changed+got.Gone > 0 {
			t.Errorf("commit %d: %+v", n, got)
		}
		wrote[n] = s.db.LogBytes()
		if _, err := s.db.Shrink(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if wrote[2]*4 > wrote[0] || wrote[4]*4 > wrote[0] {
		t.Errorf("commits of the same rows wrote %v bytes", wrote)
	}
	check := func(s *Sink) {
		t.Helper()
		for _, symbol := range symbols {
			held, ok := s.Held(coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0, Symbol: symbol})
			if !ok || held.Rows != 1 || held.New != 0 || held.Epoch != 5 || held.RunID != "run-e" || held.RowsHash == 0 {
				t.Fatalf("%s: %+v", symbol, held)
			}
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = New(config)
	check(s)
	// One symbol alone takes its record out of the commit of the others.
	one := symbols[:1]
	if _, err := s.Commit(t.Context(), sinktest.Commit(market.Targets, catalog.Daily, sinktest.Day0, one, sinktest.Rows(catalog.Daily, sinktest.Day0, one, 2), 6)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = New(config)
	for n, symbol := range symbols[:2] {
		held, _ := s.Held(coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0, Symbol: symbol})
		if want := []int64{6, 5}[n]; held.Epoch != want {
			t.Errorf("%s: epoch %d, want %d", symbol, held.Epoch, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
