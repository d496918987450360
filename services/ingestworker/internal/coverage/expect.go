package coverage

import (
	"fmt"
	"math"
	"slices"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Facts is what is known of a date when its rows are judged.
type Facts struct {
	// ListKnown is whether any instrument of the dataset's kind is known.
	ListKnown bool
	// Stocks listed on the date, per exchange; ETFs listed on it.
	Stocks ExchangeCounts
	ETFs   int64
	// DailyKnown is whether the date's `daily` is settled; Daily is its rows.
	DailyKnown bool
	Daily      ExchangeCounts
	// Near are the rows of the nearest settled days of the dataset itself, as Near
	// collects them.
	Near []int64
	// Held is how many rows the last whole answer of a snapshot had.
	Held int64
}

// FactsOf fills the facts that instrument lists know of a date.
func FactsOf(ds *catalog.Dataset, d market.Date, l *Lists) Facts {
	f := Facts{ListKnown: l.Has(ds.Kind)}
	if !ds.Snapshot {
		f.Stocks, f.ETFs = l.Stocks(d), l.ETFs(d)
	}
	return f
}

// Expectation is how many rows a dataset and date call for.
type Expectation struct {
	// Known is false where there is nothing to compare with; then any rows do.
	Known bool
	// Expected rows, and the Least that count as complete.
	Expected, Least int64
	// LeastBy is the least per exchange; zero where an exchange is not judged.
	LeastBy ExchangeCounts
	// Floor is the share that Least was made with.
	Floor float64
	// Doubt is the number of rows below which an answer that reaches Least is looked
	// at twice, because another measure calls it short. 0 where there is none.
	Doubt int64
	// Basis says in words what the expectation rests on.
	Basis string
}

// A count below tiny is judged with slack in rows, because one suspended company
// would already be more than the floor allows.
const (
	tiny  = 20
	slack = 2
)

func least(n int64, floor float64) int64 {
	if n < tiny {
		return max(n-slack, 0)
	}
	return int64(math.Ceil(float64(n)*floor - 1e-9))
}

// Expect tells what a dataset calls for on a date. It counts and never compares
// identities: the Beijing exchange re-numbered all its companies in 2025.
func Expect(ds *catalog.Dataset, d market.Date, f Facts) Expectation {
	switch {
	case ds.Snapshot:
		if f.Held == 0 {
			return Expectation{Basis: "nothing held to compare with"}
		}
		return total(f.Held, ds.Floor, "the rows held")
	case ds.ID == catalog.FundDaily:
		if len(f.Near) > 0 {
			e := total(median(f.Near), ds.Floor, fmt.Sprintf("the median of the %d nearest days held", len(f.Near)))
			if f.ListKnown { // the days held may all be short
				e.Doubt = least(f.ETFs, ds.FirstFloor)
			}
			return e
		}
		if !f.ListKnown {
			return Expectation{Basis: "no ETF list and no day nearby held"}
		}
		return total(f.ETFs, ds.FirstFloor, "the ETFs listed then")
	case ds.ID == catalog.Daily:
		if f.ListKnown {
			return perExchange(callable(f.Stocks, d, true), ds.Floor, "the stocks listed then")
		}
	default: // daily_basic and moneyflow rest on the date's daily
		withBJ := ds.ID != catalog.Moneyflow
		if f.DailyKnown {
			return perExchange(callable(f.Daily, d, withBJ), ds.Floor, "that date's daily")
		}
		if f.ListKnown {
			return perExchange(callable(f.Stocks, d, withBJ), 0.95, "the stocks listed then, daily not being held")
		}
	}
	if len(f.Near) > 0 {
		return total(median(f.Near), 0.95, fmt.Sprintf("the median of the %d nearest days held, no list being held", len(f.Near)))
	}
	return Expectation{Basis: "no instrument list and no day nearby held"}
}

func callable(c ExchangeCounts, d market.Date, withBJ bool) ExchangeCounts {
	if !withBJ || d < beijingOpens {
		c.BJ = 0
	}
	return c
}

func total(n int64, floor float64, basis string) Expectation {
	if floor == 0 {
		floor = 0.95
	}
	return Expectation{Known: true, Expected: n, Least: least(n, floor), Floor: floor, Basis: basis}
}

func perExchange(c ExchangeCounts, floor float64, basis string) Expectation {
	e := total(c.Sum(), floor, basis)
	e.LeastBy = ExchangeCounts{SH: least(c.SH, floor), SZ: least(c.SZ, floor), BJ: least(c.BJ, floor)}
	return e
}

// Reaches reports whether a number of rows is enough.
func (e Expectation) Reaches(rows int64, by ExchangeCounts) bool {
	if !e.Known {
		return rows > 0
	}
	return rows >= e.Least && by.SH >= e.LeastBy.SH && by.SZ >= e.LeastBy.SZ && by.BJ >= e.LeastBy.BJ
}

func median(n []int64) int64 {
	s := slices.Sorted(slices.Values(n))
	return s[len(s)/2]
}

// How far the nearest held days are looked for. Further away the number of ETFs
// has grown or shrunk by more than the floor allows.
const (
	nearEach = 5  // days on each side
	nearDays = 40 // calendar days on each side
)

// Near collects the rows of the nearest settled days on both sides of d. held
// looks a day up. listed, which may be nil, is how many instruments were listed on
// a day: the rows are scaled to those of d, because in a backfill all days held lie
// on one side, and the number of ETFs grows by a percent a week.
func Near(d market.Date, held func(market.Date) (Record, bool), listed func(market.Date) int64) []int64 {
	var out []int64
	for _, step := range []market.Date{-1, 1} {
		found := 0
		for i, day := 0, d+step; i < nearDays && found < nearEach; i, day = i+1, day+step {
			r, ok := held(day)
			if !ok || r.Rows == 0 || r.Verdict != Complete && r.Verdict != AcceptedShort {
				continue
			}
			rows := r.Rows
			if listed != nil {
				if now, then := listed(d), listed(day); now > 0 && then > 0 {
					rows = int64(math.Round(float64(rows) * float64(now) / float64(then)))
				}
			}
			out, found = append(out, rows), found+1
		}
	}
	return out
}
