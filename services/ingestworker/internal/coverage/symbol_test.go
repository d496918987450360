package coverage_test

import (
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/market"
)

// TestDoubtedAbsenceIsAcceptedOnTheSecondDay judges a day without a row that the next
// row's pre_close speaks against: an ex-rights day after a suspension looks the same, so
// it does not stay open forever.
func TestDoubtedAbsenceIsAcceptedOnTheSecondDay(t *testing.T) {
	ds := catalog.Lookup(catalog.FundDaily)
	k := coverage.Key{Dataset: ds.ID, Date: market.NewDate(2026, 3, 2), Symbol: "510300.SH"}
	at := market.NewDate(2026, 3, 5).At(20, 0, market.Shanghai)
	facts := coverage.KeyFacts{Listed: true, ListKnown: true, Evidence: coverage.WholeDate}
	idle := coverage.JudgeKey(ds, k, facts, coverage.Situation{Now: at})
	if idle.Record.Verdict != coverage.ExpectedEmpty {
		t.Fatalf("an idle day is %s", idle.Record.Verdict)
	}
	held := coverage.Doubt(idle.Record, coverage.PreClose, coverage.Situation{Now: at}).Record
	if held.Verdict != coverage.Incomplete || !held.Doubted() || held.SameDays != 1 {
		t.Fatalf("doubted: %+v", held)
	}
	for n, step := range []struct {
		after time.Duration
		want  coverage.Verdict
	}{{time.Hour, coverage.Incomplete}, {24 * time.Hour, coverage.AcceptedShort}, {48 * time.Hour, coverage.AcceptedShort}} {
		got := coverage.JudgeKey(ds, k, facts, coverage.Situation{Now: at.Add(step.after), Held: held, HasHeld: true})
		if got.Record.Verdict != step.want || got.Lost {
			t.Errorf("look %d: %s, want %s", n, got.Record.Verdict, step.want)
		}
		held = got.Record
	}
	facts.Row = true
	if got := coverage.JudgeKey(ds, k, facts, coverage.Situation{Now: at, Held: held, HasHeld: true}); got.Record.Verdict != coverage.Complete {
		t.Errorf("with its row it is %s", got.Record.Verdict)
	}
}

// TestListAnswerIsNoSecondLook judges a day without a row by answers that came to a
// list of symbols, which may have been cut.
func TestListAnswerIsNoSecondLook(t *testing.T) {
	ds := catalog.Lookup(catalog.Daily)
	k := coverage.Key{Dataset: ds.ID, Date: market.NewDate(2026, 3, 2), Symbol: "600519.SH"}
	s := coverage.Situation{Now: market.NewDate(2026, 4, 1).At(20, 0, market.Shanghai)}
	facts := coverage.KeyFacts{Listed: true, ListKnown: true, Evidence: coverage.TradedLater, Shared: true}
	for range 3 {
		got := coverage.JudgeKey(ds, k, facts, s)
		if !got.Record.Unsure() {
			t.Fatalf("a list's answer settles the absence: %+v", got.Record)
		}
		s.Held, s.HasHeld = got.Record, true
	}
	facts.Shared = false
	if got := coverage.JudgeKey(ds, k, facts, s); got.Record.Unsure() || got.Record.Verdict != coverage.ExpectedEmpty {
		t.Errorf("an answer of its own does not settle it: %+v", got.Record)
	}
}
