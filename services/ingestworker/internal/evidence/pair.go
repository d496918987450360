package evidence

import (
	"fmt"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Pair is two days of a dataset, with the rows of the symbols that both have. All rules
// that compare two days row by row share it.
type Pair struct {
	// Day and Other are the two days.
	Day, Other *Day
	// i and j are the rows of each symbol on Day and on Other, and exchange is the index of its
	// exchange in a tally.
	i, j     []int32
	exchange []uint8
	// repeats are the symbols whose row on Day has the values of Other, after Repeated.
	repeats []Symbol
}

// PairOf matches the rows of two days of a dataset by symbol.
func PairOf(day, other *Day) *Pair {
	most := min(len(day.Symbols), len(other.Symbols))
	p := &Pair{Day: day, Other: other, i: make([]int32, 0, most), j: make([]int32, 0, most), exchange: make([]uint8, 0, most)}
	each(day, other, func(i, j int) {
		p.i, p.j, p.exchange = append(p.i, int32(i)), append(p.j, int32(j)), append(p.exchange, day.Symbols[i].exchange())
	})
	return p
}

// Reversed returns the pair with Day and Other exchanged.
func (p *Pair) Reversed() *Pair {
	return &Pair{Day: p.Other, Other: p.Day, i: p.j, j: p.i, exchange: p.exchange}
}

// Repeats returns the symbols whose row on Day has the values of Other, as RepeatedSymbols
// does. It must be called after Repeated.
func (p *Pair) Repeats() []Symbol { return p.repeats }

// suspects are the columns of a finding. count and of are the affected and the compared rows
// of the column with the most affected rows.
type suspects struct {
	names     []string
	count, of int
}

func (s *suspects) add(name string, count, of int) {
	if s.names = append(s.names, name); count > s.count {
		s.count, s.of = count, of
	}
}

// finding returns the finding that the suspects differ from another day; false if there are
// none. what has verbs for the columns, the date of the other day, and the rows.
func (s *suspects) finding(reason fault.Reason, other *Day, what string) (Finding, bool) {
	if len(s.names) == 0 {
		return Finding{}, false
	}
	list := strings.Join(s.names, ", ")
	meta := []string{"other_date", other.Date.String(), "column", list}
	if reason == fault.ValuesConflict {
		meta = append(meta, "check", list)
	}
	return Finding{Reason: reason, Count: s.count, Of: s.of, Meta: meta,
		What: fmt.Sprintf(what, list, other.Date, fault.Of(s.count, s.of, "row", "rows"))}, true
}
