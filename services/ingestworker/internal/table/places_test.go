package table

import (
	"testing"

	"github.com/afterbell/afterbell/services/internal/market"
)

func TestKeysFindRepetition(t *testing.T) {
	day := market.NewDate(2026, 3, 2)
	texts := []string{"600519.SH", "600519.SZ", "600519.SH", "SSE", "SSE", "", ""}
	dates := []market.Date{day, day, day + 1, day, market.NoDate, day, market.NoDate}
	rows := len(texts)
	both := NewKeys(&Column{Texts: append(texts, texts...)}, &Column{Dates: append(dates, dates...)}, 2*rows)
	for r := range texts {
		if both.Has(texts[r], dates[r]) {
			t.Errorf("%q of %v is there before it was added", texts[r], dates[r])
		}
		if first, added := both.Add(r); !added || first != r {
			t.Errorf("%q of %v was not added as new: row %d is", texts[r], dates[r], first)
		}
		if first, added := both.Add(rows + r); added || first != r {
			t.Errorf("%q of %v was added twice: %d", texts[r], dates[r], first)
		}
		if !both.Has(texts[r], dates[r]) {
			t.Errorf("%q of %v is not there", texts[r], dates[r])
		}
	}
	both.Release()
	alone := NewKeys(&Column{Texts: texts}, nil, rows)
	for r, want := range []bool{true, true, false, true, false, true, false} {
		if _, added := alone.Add(r); added != want {
			t.Errorf("without dates, row %d was added: %v", r, added)
		}
	}
}

func TestKeysHoldAsManyRowsAsPromised(t *testing.T) {
	const rows = 100_000
	dates := make([]market.Date, rows)
	for i := range dates {
		dates[i] = market.Date(i % (rows / 2))
	}
	k := NewKeys(nil, &Column{Dates: dates}, rows)
	defer k.Release()
	for r := range rows {
		if first, added := k.Add(r); first != r%(rows/2) || added != (r < rows/2) {
			t.Fatalf("row %d: %d, added %v", r, first, added)
		}
	}
}
