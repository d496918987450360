package targets

import (
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/internal/market"
)

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
			day, err := s.readDay(t.Context(), db, catalog.Lookup(catalog.Daily), sinktest.Day0+n)
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
