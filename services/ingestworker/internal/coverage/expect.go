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
	// TradedShares are the shares of the listed stocks that traded on the days beside the
	// date, as TradedShares collects them.
	TradedShares Shares
	// Suspended are the listed stocks without a row that the provider's own list of
	// suspensions names for the date; Asked is whether it was asked for.
	Suspended ExchangeCounts
	Asked     bool
	// Scattered is whether the stocks without a row lie scattered among those listed,
	// as suspended ones do; false also where that was not looked at.
	Scattered bool
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
			return Expectation{Basis: "no stored rows to compare with"}
		}
		return total(f.Held, ds.Floor, "the stored rows")
	case ds.ID == catalog.FundDaily:
		if len(f.Near) > 0 {
			e := total(median(f.Near), ds.Floor, fmt.Sprintf("the median of the %d nearest stored days", len(f.Near)))
			if f.ListKnown { // the days held may all be short
				e.Doubt = least(f.ETFs, ds.FirstFloor)
			}
			return e
		}
		if !f.ListKnown {
			return Expectation{Basis: "no ETF list and no nearby day are stored"}
		}
		return total(f.ETFs, ds.FirstFloor, "the ETFs listed on that date")
	case ds.ID == catalog.Daily:
		if f.ListKnown {
			return quotes(ds, d, f)
		}
	default: // the others are of the stocks that the date's daily is of
		withBJ := !ds.WithoutBeijing
		if f.DailyKnown {
			return perExchange(callable(f.Daily, d, withBJ), ds.Floor, "daily of that date")
		}
		if f.ListKnown {
			f.Stocks = callable(f.Stocks, d, withBJ)
			e := quotes(catalog.Lookup(catalog.Daily), d, f)
			e.Basis += " (daily is not stored)"
			return e
		}
	}
	if len(f.Near) > 0 {
		return total(median(f.Near), 0.95, fmt.Sprintf("the median of the %d nearest stored days (no list is stored)", len(f.Near)))
	}
	return Expectation{Basis: "no instrument list and no nearby day are stored"}
}

// quotes is what `daily` calls for. A suspended stock has no row, and in some years
// one stock in eight was suspended, so the share of the listed stocks that traded on
// the days beside is the measure, and the floor of the catalog only where no days
// beside are held. What the provider's list of suspensions explains is not called
// for; its word counts for the date alone.
func quotes(ds *catalog.Dataset, d market.Date, f Facts) Expectation {
	listed := callable(f.Stocks, d, true)
	e := perExchange(listed, ds.Floor, "the stocks listed on that date")
	switch {
	case f.Asked && f.Suspended.Sum() > 0:
		e = beside(ExchangeCounts{SH: listed.SH - f.Suspended.SH, SZ: listed.SZ - f.Suspended.SZ, BJ: listed.BJ - f.Suspended.BJ},
			"the stocks listed on that date, without the suspended ones")
	case f.TradedShares.Enough():
		traded := func(n int64, share float64) int64 { return int64(math.Round(float64(n) * share)) }
		e = beside(ExchangeCounts{SH: traded(listed.SH, f.TradedShares.SH), SZ: traded(listed.SZ, f.TradedShares.SZ), BJ: traded(listed.BJ, f.TradedShares.BJ)},
			fmt.Sprintf("the share of the listed stocks that traded on the %d nearest stored days", f.TradedShares.Days))
		e.Expected = traded(listed.Sum(), f.TradedShares.All)
		e.Least = besideLeast(e.Expected)
	case f.Scattered:
		// Nothing to compare with, and nothing speaks against suspensions: it is
		// taken, and looked at twice.
		e.Doubt = e.Least
		e.Least, e.LeastBy = least(listed.Sum(), loneFloor), ExchangeCounts{}
	}
	return e
}

// The share of stocks that trade moves slowly. Of 2,431 recorded days of 2009 to
// 2019, 0.2 % lie below besideFloor of the second lowest share of the five nearest
// days on each side, and a day among quiet ones that loses 3 % of its rows does in
// 99.9 %.
const (
	besideFloor = 0.98
	leastBeside = 3    // days, fewer tell nothing
	loneFloor   = 0.65 // without days beside; July 2015 had less
)

// Shares are the low but usual shares of listed stocks that traded on the days
// beside a date, per exchange and together.
type Shares struct {
	SH, SZ, BJ, All float64
	// Days is how many they are of.
	Days int
}

// Enough reports whether the days are enough to measure a date by.
func (s Shares) Enough() bool { return s.Days >= leastBeside }

// TradedShares collects the shares of the nearest settled days on both sides of d. held
// looks a day's `daily` up and listed tells how many stocks were listed on a day.
// It takes the second lowest of all, so that one bad day does not lower the measure;
// with days on one side only the lowest, because there a trend looks like a loss.
func TradedShares(d market.Date, held func(market.Date) (Record, bool), listed func(market.Date) ExchangeCounts) Shares {
	var sh, sz, bj, all []float64
	sides := 0
	share := func(n, of int64) float64 {
		if of == 0 {
			return 1
		}
		return float64(n) / float64(of)
	}
	for _, step := range []market.Date{-1, 1} {
		found := nearest(d, step, held, func(day market.Date, r Record) bool {
			of := callable(listed(day), day, true)
			if of.Sum() == 0 {
				return false
			}
			sh, sz = append(sh, share(r.ByExchange.SH, of.SH)), append(sz, share(r.ByExchange.SZ, of.SZ))
			bj, all = append(bj, share(r.ByExchange.BJ, of.BJ)), append(all, share(r.ByExchange.Sum(), of.Sum()))
			return true
		})
		if found > 0 {
			sides++
		}
	}
	low := func(x []float64) float64 {
		slices.Sort(x)
		return min(1, x[min(max(sides-1, 0), len(x)-1)])
	}
	if len(all) == 0 {
		return Shares{}
	}
	return Shares{SH: low(sh), SZ: low(sz), BJ: low(bj), All: low(all), Days: len(all)}
}

func callable(c ExchangeCounts, d market.Date, withBJ bool) ExchangeCounts {
	if !withBJ || d < beijingOpens {
		c.BJ = 0
	}
	return c
}

// besideLeast is least for a share that other days gave: in a small number of
// stocks chance moves the share by more than the floor allows.
func besideLeast(n int64) int64 {
	return min(least(n, besideFloor), max(0, n-int64(math.Ceil(slack+math.Sqrt(float64(n))/4))))
}

func beside(c ExchangeCounts, basis string) Expectation {
	n := c.Sum()
	return Expectation{Known: true, Expected: n, Least: besideLeast(n), Floor: besideFloor, Basis: basis,
		LeastBy: ExchangeCounts{SH: besideLeast(c.SH), SZ: besideLeast(c.SZ), BJ: besideLeast(c.BJ)}}
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

// Less is the expectation without a number of rows that are explained otherwise.
func (e Expectation) Less(n ExchangeCounts) Expectation {
	e.Expected, e.Least = e.Expected-n.Sum(), max(0, e.Least-n.Sum())
	e.LeastBy = ExchangeCounts{SH: max(0, e.LeastBy.SH-n.SH), SZ: max(0, e.LeastBy.SZ-n.SZ), BJ: max(0, e.LeastBy.BJ-n.BJ)}
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
		nearest(d, step, held, func(day market.Date, r Record) bool {
			rows := r.Rows
			if listed != nil {
				if now, then := listed(d), listed(day); now > 0 && then > 0 {
					rows = int64(math.Round(float64(rows) * float64(now) / float64(then)))
				}
			}
			out = append(out, rows)
			return true
		})
	}
	return out
}

// nearest hands the nearest settled days with rows on one side of d to use, until
// enough of them were of use, and returns how many were.
func nearest(d, step market.Date, held func(market.Date) (Record, bool), use func(market.Date, Record) bool) (found int) {
	for i, day := 0, d+step; i < nearDays && found < nearEach; i, day = i+1, day+step {
		r, ok := held(day)
		if ok && r.Rows > 0 && (r.Verdict == Complete || r.Verdict == AcceptedShort) && use(day, r) {
			found++
		}
	}
	return found
}
