package targets

import (
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// TestDaysOfABackfillAreReadTogether reads days from the newest back: each read takes more of
// those before it. A single day, or a newer one, is read alone.
func TestDaysOfABackfillAreReadTogether(t *testing.T) {
	const days = 20
	s := New(Config{Path: filepath.Join(t.TempDir(), "targets.sqlite"), Source: "x", Logger: slog.New(slog.DiscardHandler)})
	defer s.Close()
	for n := range market.Date(days) {
		symbols := sinktest.Stocks(40)[n%3:] // not every symbol has a row on every date
		d := sinktest.Day0 + n
		c := sinktest.Commit(market.Targets, catalog.Daily, d, symbols, sinktest.Rows(catalog.Daily, d, symbols, 1), 1)
		if _, err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	s.days.clear()
	cached := func() (n int) {
		for d := range market.Date(days) {
			if s.days.get(date{catalog.Daily, sinktest.Day0 + d}) != nil {
				n++
			}
		}
		return n
	}
	var first *evidence.Day
	for _, step := range []struct {
		day  market.Date
		want int // days in the cache afterwards
	}{
		{15, 1}, {14, 3}, {13, 3}, {12, 7}, {8, 15}, {17, 16}, {0, 17}, {19, 18}, {18, 19}, {16, 20},
	} {
		d := sinktest.Day0 + step.day
		day, err := s.Day(t.Context(), catalog.Daily, d)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = day
		}
		if n := cached(); n != step.want {
			t.Errorf("after the day %d, %d days are in memory, want %d", step.day, n, step.want)
		}
		if day != s.days.get(date{catalog.Daily, d}) {
			t.Errorf("the day %d is not the one in memory", step.day)
		}
	}
	if s.days.get(date{catalog.Daily, first.Date}) != first {
		t.Error("a day in memory was read again")
	}
	for n := range market.Date(days) {
		d := sinktest.Day0 + n
		rows, err := s.Rows(t.Context(), coverage.Key{Dataset: catalog.Daily, Date: d})
		if err != nil {
			t.Fatal(err)
		}
		want := evidence.NewDay(catalog.Lookup(catalog.Daily), d, rows)
		if day := s.days.get(date{catalog.Daily, d}); fmt.Sprintf("%+v", *day) != fmt.Sprintf("%+v", *want) {
			t.Errorf("the day %d in memory differs from the file", n)
		}
	}
}

// TestADayThatIsCommittedWhileItIsReadIsNotCached: the read may have seen a part of it.
func TestADayThatIsCommittedWhileItIsReadIsNotCached(t *testing.T) {
	s := New(Config{Path: filepath.Join(t.TempDir(), "targets.sqlite"), Source: "x", Logger: slog.New(slog.DiscardHandler)})
	defer s.Close()
	symbols := sinktest.Stocks(4)
	commit := func(d market.Date, list []string, epoch int64) {
		c := sinktest.Commit(market.Targets, catalog.Daily, d, list, sinktest.Rows(catalog.Daily, d, list, uint64(epoch)), epoch)
		if _, err := s.Commit(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	for n := range market.Date(2) {
		commit(sinktest.Day0+n, symbols, 1)
	}
	s.days.clear()
	var days []*evidence.Day
	err := s.beside(t.Context(), s.days.begin, func(db *sql.DB) error {
		commit(sinktest.Day0, symbols[:2], 2) // a read does not hold the turn
		for n := range market.Date(2) {
			day, err := s.readDays(t.Context(), db, catalog.Lookup(catalog.Daily), sinktest.Day0+n, sinktest.Day0+n, symbols, 0)
			if err != nil {
				return err
			}
			days = append(days, day)
		}
		return nil
	})
	if s.days.end(); err != nil {
		t.Fatal(err)
	}
	for n, day := range days {
		if held := s.days.get(date{catalog.Daily, day.Date}); (held == day) != (n == 1) {
			t.Errorf("day %d: cached %v", n, held == day)
		}
	}
	commit(sinktest.Day0+1, symbols[:2], 2)
	if len(s.days.changed) > 0 || s.days.get(date{catalog.Daily, sinktest.Day0 + 1}) != nil {
		t.Errorf("after the read: %+v", s.days.changed)
	}
}
