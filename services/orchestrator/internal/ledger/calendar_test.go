package ledger

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/internal/market"
)

// TestCalendarIsHeld reads the calendar without decoding it again, and never an older one
// than the last that was saved.
func TestCalendarIsHeld(t *testing.T) {
	s, ctx := open(t), context.Background()
	years := Calendar{First: market.NewDate(1990, 12, 19), Last: market.NewDate(2026, 12, 31)}
	for d := years.First; d <= years.Last; d++ {
		if !d.Weekend() {
			years.Open = append(years.Open, d)
		}
	}
	if err := s.SaveCalendar(ctx, years); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(years, must(s.Calendar(ctx))(t)); diff != "" {
		t.Fatal(diff)
	}
	read := testing.AllocsPerRun(10, func() { _ = must(s.Calendar(ctx))(t) })
	same := testing.AllocsPerRun(10, func() { _ = must(0, s.SaveCalendar(ctx, years))(t) })
	if read > 10 || same > 500 {
		t.Errorf("%.0f allocations to read %d days, %.0f to save them again", read, len(years.Open), same)
	}

	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 25 {
				if i == 0 {
					years.Last = market.NewDate(2027, 1, 1) + market.Date(n)
					if err := s.SaveCalendar(ctx, years); err != nil {
						t.Error(err)
					}
					if got := must(s.Calendar(ctx))(t); got.Last != years.Last {
						t.Errorf("last day %s after saving %s", got.Last, years.Last)
					}
				} else if _, err := s.Calendar(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
