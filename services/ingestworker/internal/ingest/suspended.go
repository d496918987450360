package ingest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/internal/market"
)

// suspensions caches the provider's lists of suspensions, so that each date is fetched once
// a day.
type suspensions struct {
	mu    sync.Mutex
	today market.Date
	held  map[market.Date]suspendedList
}

// suspendedList is the provider's list of one date.
type suspendedList struct {
	// symbols are the stocks that are suspended for the whole date.
	symbols []evidence.Symbol
	// told is true if the list has any entry, including resumptions: an empty list says
	// nothing.
	told bool
}

// fits reports whether the list can be of a day of quotes: almost none of its stocks has a
// row.
func (l suspendedList) fits(day *evidence.Day) bool {
	traded := 0
	for _, s := range l.symbols {
		if day.Has(s) {
			traded++
		}
	}
	return traded <= 5 || 10*traded <= len(l.symbols)
}

// mostHalted is the largest share of the listed stocks for which a list of suspensions is
// believed. From 8 to 10 July 2015 it was half.
const mostHalted = 0.6

func (s *suspensions) get(today, d market.Date) (suspendedList, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.today != today {
		return suspendedList{}, false
	}
	list, ok := s.held[d]
	return list, ok
}

func (s *suspensions) put(today, d market.Date, list suspendedList) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.today != today {
		s.today, s.held = today, map[market.Date]suspendedList{}
	}
	s.held[d] = list
}

// suspendedOn fetches the stocks that the provider lists as suspended for the whole of a
// date. The list is evidence, not a condition: if it cannot be fetched, it is empty.
func (j *job) suspendedOn(ctx context.Context, d market.Date) suspendedList {
	today := market.DateOf(time.Now())
	if list, ok := j.i.suspended.get(today, d); ok {
		return list
	}
	ans, err := j.i.provider.Fetch(ctx, Query{
		Dataset: catalog.Suspensions(), Params: map[string]string{"trade_date": d.Compact()}, Priority: j.priority(),
	}, nil)
	j.calls += ans.Calls
	if err != nil {
		if ctx.Err() != nil {
			return suspendedList{}
		}
		j.i.log.Info("the list of suspensions could not be fetched", "trade_date", d, "error", err)
		j.i.suspended.put(today, d, suspendedList{})
		return suspendedList{}
	}
	list := suspendedList{told: ans.Batch.Len > 0}
	symbol, timing, kind := ans.Batch.Column("ts_code"), ans.Batch.Column("suspend_timing"), ans.Batch.Column("suspend_type")
	for r := range ans.Batch.Len {
		s, ok := evidence.SymbolOf(symbol.Texts[r])
		if ok && timing.Null[r] && kind.Texts[r] == "S" {
			list.symbols = append(list.symbols, s)
		}
	}
	j.i.suspended.put(today, d, list)
	return list
}

// halted reports whether the provider lists a stock as suspended for a whole date.
func (j *job) halted(ctx context.Context, symbol string, d market.Date, l *coverage.Lists) bool {
	s, ok := evidence.SymbolOf(symbol)
	list := j.suspendedOn(ctx, d).symbols
	return ok && slices.Contains(list, s) && float64(len(list)) <= mostHalted*float64(l.Stocks(d).Sum())
}

// explain looks for reasons why a day of quotes has fewer rows than the lists and the
// neighbouring days require: the provider's list of suspensions, or, if too few
// neighbouring days are stored and the date is old, how the missing stocks are distributed
// among the listed ones. It returns the resulting expectation.
func (j *job) explain(ctx context.Context, world coverage.PoolState, f *coverage.Facts, day *evidence.Day, a coverage.Answer, e coverage.Expectation, publishing bool) coverage.Expectation {
	d := j.work.Partition.Start
	var newly coverage.ExchangeCounts
	prev := j.days().nearest(catalog.Daily, d)
	list := j.suspendedOn(ctx, d)
	if !list.fits(day) {
		list = suspendedList{}
	}
	for _, s := range list.symbols {
		if day.Has(s) {
			continue
		}
		text := s.String()
		if listed, known := world.Lists.Listed(text, d); known && listed {
			f.Suspended.Add(text)
		}
		if prev != nil && prev.Has(s) {
			newly.Add(text)
		}
	}
	f.Asked = true
	for _, better := range []coverage.Expectation{coverage.Expect(j.ds, d, *f), e.Less(newly)} {
		if f.Suspended.Sum() > 0 && better.Reaches(a.Rows, a.ByExchange) {
			return better
		}
	}
	f.Asked = false
	if !publishing && !f.TradedShares.Enough() {
		var listed []evidence.Symbol
		for _, text := range world.Lists.ListedOn(market.Stock, d) {
			if s, ok := evidence.SymbolOf(text); ok {
				listed = append(listed, s)
			}
		}
		f.Scattered = evidence.Spread(day, listed)
		return coverage.Expect(j.ds, d, *f)
	}
	return e
}
