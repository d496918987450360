package reader

import (
	"fmt"
	"math"
	"slices"

	"github.com/afterbell/afterbell/services/internal/market"
)

// BrokenLink is a pair of consecutive rows of a symbol between which the adjustment is
// unknown.
type BrokenLink struct {
	// Symbol, and the trade dates of the earlier and the later row.
	Symbol   string
	From, To market.Date
	// Problem says why, in a few words.
	Problem string
}

// Limits of a plausible link. Of the links of 2004 to 2018 a few per year are outside,
// almost all of them errors of the source; before 2004 hundreds per year.
const (
	minRatio = 0.999
	maxRatio = 3.2
)

var firstPromised = market.NewDate(2004, 1, 1)

// step is a change of a symbol's adjustment: from the date on.
type step struct {
	from  market.Date
	ratio float64 // last close / reference price; NaN if the link is broken
}

// chain collects the links between the rows of every symbol. Rows are added by date.
type chain struct {
	// hole finds a day between two dates, exclusive, that is not complete for a symbol.
	hole func(symbol string, after, before market.Date) (market.Date, bool)
	// listed is a symbol's first trading day; NoDate if unknown.
	listed func(symbol string) market.Date

	of     map[string]*history
	broken []BrokenLink
}

type history struct {
	last  market.Date
	close float64
	steps []step
	early int // index in broken of the last link before 2004; 0 for none
}

// add adds the next row of a symbol. NaN is a null price.
func (c *chain) add(symbol []byte, date market.Date, closing, reference float64) {
	h := c.of[string(symbol)]
	if h == nil {
		c.of[string(symbol)] = &history{last: date, close: closing}
		return
	}
	c.link(string(symbol), h, date, reference)
	h.last, h.close = date, closing
}

func (c *chain) link(symbol string, h *history, date market.Date, reference float64) {
	ratio := h.close / reference
	problem := ""
	switch {
	case date < firstPromised:
		problem = "before 2004 the reference prices are not reliable"
	case math.IsNaN(h.close) || math.IsNaN(reference) || reference <= 0 || h.close <= 0:
		problem = "a price is missing"
	case date <= c.listed(symbol):
		problem = "the first day of the listing has no reference price"
	default:
		if day, found := c.hole(symbol, h.last, date); found {
			problem = day.String() + " is not complete"
		} else if ratio < minRatio || ratio > maxRatio {
			problem = fmt.Sprintf("the ratio %.4g is not plausible", ratio)
		}
	}
	if problem == "" {
		if ratio != 1 {
			h.steps = append(h.steps, step{date, ratio})
		}
		return
	}
	h.steps = append(h.steps, step{date, math.NaN()})
	b := BrokenLink{Symbol: symbol, From: h.last, To: date, Problem: problem}
	if date >= firstPromised {
		c.broken = append(c.broken, b)
		return
	}
	if h.early == 0 { // only the last one is reported, for all of them
		c.broken = append(c.broken, b)
		h.early = len(c.broken)
		return
	}
	c.broken[h.early-1] = b
}

// segment is a factor that applies from a date until the next segment.
type segment struct {
	from   market.Date
	factor float64 // NaN if unknown
}

// factors are a symbol's segments by date; the first begins before any row. A symbol
// without steps has none, and the factor 1.
type factors map[string][]segment

// factors multiplies the links: from the newest row back, or from the first row on. Beyond
// a broken link, in that direction, the factor is unknown.
func (c *chain) factors(a Adjustment) factors {
	out := make(factors)
	for symbol, h := range c.of {
		if len(h.steps) == 0 {
			continue
		}
		segments := make([]segment, len(h.steps)+1)
		segments[0].from = math.MinInt32
		for i, s := range h.steps {
			segments[i+1].from = s.from
		}
		f := 1.0
		if a == Backward {
			segments[0].factor = f
			for i, s := range h.steps {
				f *= s.ratio
				segments[i+1].factor = f
			}
		} else {
			segments[len(segments)-1].factor = f
			for i := len(h.steps) - 1; i >= 0; i-- {
				f /= h.steps[i].ratio
				segments[i].factor = f
			}
		}
		out[symbol] = segments
	}
	return out
}

// at is the factor of a symbol's row.
func (f factors) at(symbol []byte, date market.Date) float64 {
	segments := f[string(symbol)]
	if segments == nil {
		return 1
	}
	i, found := slices.BinarySearchFunc(segments, date, func(s segment, d market.Date) int { return int(s.from) - int(d) })
	if !found {
		i--
	}
	return segments[i].factor
}
