package coverage

import (
	"iter"
	"maps"
	"slices"

	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/internal/market"
)

// The Beijing exchange opened on this day; companies that it took over from the previous
// board have older listing dates, and no rows are expected before it.
var beijingOpens = market.NewDate(2021, 11, 15)

// Lists returns which instruments were listed on a date. It is immutable.
type Lists struct {
	bySymbol       map[string]Instrument
	known          []uint64 // one bit for each packed symbol in bySymbol: every row of every response is looked up
	renamed        map[string]string
	sh, sz, bj     span
	etf            span
	stocks, etfAll int
}

// span counts how many intervals contain a date, by their sorted ends.
type span struct{ starts, ends []market.Date }

func (s *span) add(listed, delisted market.Date) {
	if delisted != market.NoDate && delisted <= listed {
		return
	}
	s.starts = append(s.starts, listed)
	if delisted != market.NoDate {
		s.ends = append(s.ends, delisted)
	}
}

func (s *span) sort() { slices.Sort(s.starts); slices.Sort(s.ends) }

func (s *span) on(d market.Date) int64 {
	begun, _ := slices.BinarySearch(s.starts, d+1)
	ended, _ := slices.BinarySearch(s.ends, d+1) // on the day of delisting it is no longer listed
	return int64(begun - ended)
}

// NewLists indexes instruments. One without a listing date, or a delisted one without a
// delisting date, is known but never counted.
func NewLists(instruments []Instrument) *Lists {
	l := &Lists{
		bySymbol: make(map[string]Instrument, len(instruments)), renamed: map[string]string{},
		known: make([]uint64, evidence.Symbols/64),
	}
	for _, i := range instruments {
		l.bySymbol[i.Symbol] = i
		if s, ok := evidence.SymbolOf(i.Symbol); ok {
			l.known[s/64] |= 1 << (s % 64)
		}
		for _, old := range i.Former {
			l.renamed[old] = i.Symbol
		}
		if i.Listed == market.NoDate || i.Status == "D" && i.Delisted == market.NoDate {
			continue
		}
		if i.Kind == market.ETF {
			l.etfAll++
		} else {
			l.stocks++
		}
		if i.Kind == market.ETF {
			l.etf.add(i.Listed, i.Delisted)
			continue
		}
		switch market.Exchange(i.Symbol) {
		case "SH":
			l.sh.add(i.Listed, i.Delisted)
		case "SZ":
			l.sz.add(i.Listed, i.Delisted)
		case "BJ":
			l.bj.add(max(i.Listed, beijingOpens), i.Delisted)
		}
	}
	for _, s := range []*span{&l.sh, &l.sz, &l.bj, &l.etf} {
		s.sort()
	}
	return l
}

// Stocks counts the stocks listed on d per exchange.
func (l *Lists) Stocks(d market.Date) ExchangeCounts {
	return ExchangeCounts{SH: l.sh.on(d), SZ: l.sz.on(d), BJ: l.bj.on(d)}
}

// ListedOn lists the instruments of a kind that were listed on d, in no order.
func (l *Lists) ListedOn(k market.Kind, d market.Date) []string {
	var out []string
	for s, i := range l.bySymbol {
		if i.Kind != k {
			continue
		}
		if listed, known := l.Listed(s, d); known && listed {
			out = append(out, s)
		}
	}
	return out
}

// ETFs counts the ETFs listed on d.
func (l *Lists) ETFs(d market.Date) int64 { return l.etf.on(d) }

// Has reports whether any instrument of the kind is known with its dates: without them, no
// date would seem to need a row.
func (l *Lists) Has(k market.Kind) bool {
	if k == market.ETF {
		return l.etfAll > 0
	}
	return l.stocks > 0
}

// All are the instruments, in no order.
func (l *Lists) All() iter.Seq[Instrument] { return maps.Values(l.bySymbol) }

// Find returns the instrument of a symbol.
func (l *Lists) Find(symbol string) (Instrument, bool) {
	i, ok := l.bySymbol[symbol]
	return i, ok
}

// Knows reports whether any list has a symbol.
func (l *Lists) Knows(symbol string) bool {
	if s, ok := evidence.SymbolOf(symbol); ok {
		return l.known[s/64]&(1<<(s%64)) != 0
	}
	_, ok := l.bySymbol[symbol]
	return ok
}

// Renamed is the current code of a company for which the lists once had this code, or that
// replaced it in Beijing; ok is false if the lists have the code itself, or do not know it.
func (l *Lists) Renamed(symbol string) (current string, ok bool) {
	if _, listed := l.bySymbol[symbol]; listed {
		return "", false
	}
	if current, ok = l.renamed[symbol]; ok {
		return current, true
	}
	if current, ok = market.Renumbered(symbol); ok { // before the lists begin
		_, ok = l.bySymbol[current]
	}
	return current, ok
}

// Listed reports whether a symbol was listed on d; known is false if the lists do not say.
func (l *Lists) Listed(symbol string, d market.Date) (listed, known bool) {
	i, ok := l.bySymbol[symbol]
	if !ok || i.Listed == market.NoDate || i.Status == "D" && i.Delisted == market.NoDate {
		return false, false
	}
	from := i.Listed
	if market.Exchange(symbol) == "BJ" {
		from = max(from, beijingOpens)
	}
	return d >= from && (i.Delisted == market.NoDate || d < i.Delisted), true
}
