package coverage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Day is the coverage of one dataset on one trade date. In targets it is the sum over the
// symbols.
type Day struct {
	// Dataset is its name in the catalog.
	Dataset string
	// Date is the trade date, NoDate for a snapshot.
	Date market.Date
	// Rows stored, and rows expected.
	Rows, Expected int64
	// Verdict as of now; Missing if nothing was committed.
	Verdict Verdict
	// CommittedAt is the last commit. Zero if missing.
	CommittedAt time.Time
	// Filtered, Rejected and Unknown, see Record.
	Filtered, Rejected, Unknown int64
	// RunID of the last commit. Empty if missing.
	RunID string
	// SameDays, see Record; in targets, the largest of any symbol.
	SameDays int
	// Issues of the last response; in targets, SYMBOLS_ABSENT if listed symbols are considered
	// idle.
	Issues []fault.Issue
	// FetchedAgain is true if a run without dates fetches it: it is not settled, and not
	// before the pool's window.
	FetchedAgain bool
}

// Survey lists the snapshots, then one entry per dataset and due trading day of the date
// range. each calls its argument for every record of the datasets in the range, like
// Sink.Coverage. symbols are those of the target list, nil for universe.
func Survey(datasets []*catalog.Dataset, start, end market.Date, world PoolState, pool market.Pool, symbols []string, each func(yield func(Record) bool) error) ([]Day, error) {
	end = min(orDate(end, market.DateOf(world.Now)), market.DateOf(world.Now))
	if start == market.NoDate {
		start = world.WindowStart()
	}
	var out []Day
	add := func(d Day) {
		d.FetchedAgain = !d.Verdict.Settled() && (d.Date == market.NoDate || d.Date >= world.WindowStart())
		out = append(out, d)
	}
	slot := map[string]int{}
	for _, ds := range datasets {
		if ds.Snapshot {
			add(snapshotDay(ds, world))
		} else {
			slot[ds.ID] = len(slot)
		}
	}
	if start > end || len(slot) == 0 {
		return out, nil
	}
	wanted := make(map[string]bool, len(symbols))
	for _, x := range symbols {
		wanted[x] = true
	}
	width := int(end-start) + 1
	sums := make([]sum, width*len(slot))
	err := each(func(r Record) bool {
		i, ok := slot[r.Dataset]
		if len(wanted) > 0 && !wanted[r.Symbol] {
			return true // removed from the list since
		}
		if ok && r.Date >= start && r.Date <= end {
			s := &sums[i*width+int(r.Date-start)]
			s.add(r)
			if r.Symbol != "" && r.Verdict == ExpectedEmpty && catalog.Lookup(r.Dataset).Table == catalog.TablePrices {
				if listed, _ := world.Lists.Listed(r.Symbol, r.Date); listed {
					s.absent++
					if len(s.names) < mostAbsent {
						s.names = append(s.names, r.Symbol)
					}
				}
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, ds := range datasets {
		i, ok := slot[ds.ID]
		if !ok {
			continue
		}
		concerned := concernedBy(ds, symbols)
		for d := start; d <= end; d++ {
			s := &sums[i*width+int(d-start)]
			if s.keys == 0 && world.Now.Before(DueAt(ds, d)) || s.rows == 0 && !world.Calendar.IsOpen(d) {
				continue // a day that was fetched by a guess, and is closed, lacks nothing
			}
			if pool == market.Targets {
				if day, worth := targetsDay(ds, d, s, world, concerned); worth {
					add(day)
				}
				continue
			}
			add(universeDay(ds, d, s, world))
		}
	}
	return out, nil
}

func orDate(d, otherwise market.Date) market.Date {
	if d == market.NoDate {
		return otherwise
	}
	return d
}

type sum struct {
	last                                         Record
	keys, rows, rejected, unknown, filtered, exp int64
	worst                                        Verdict
	same                                         int
	absent                                       int      // listed symbols that are considered idle
	names                                        []string // of the first of them
}

// mostAbsent is how many idle symbols of a day are named.
const mostAbsent = 100

func (s *sum) add(r Record) {
	if s.keys == 0 {
		s.worst = ExpectedEmpty
	}
	s.keys++
	s.rows += r.Rows
	s.exp += r.Expected
	s.rejected += r.Rejected
	s.unknown += r.Unknown
	s.filtered += r.Filtered
	s.same = max(s.same, r.SameDays)
	s.worst = Worst(s.worst, r.Verdict)
	if s.keys == 1 || r.CommittedAt.After(s.last.CommittedAt) {
		s.last = r
	}
}

func snapshotDay(ds *catalog.Dataset, world PoolState) Day {
	r, ok := world.Held(Key{Dataset: ds.ID, Date: market.NoDate})
	if !ok {
		return Day{Dataset: ds.ID, Date: market.NoDate, Verdict: Missing}
	}
	return dayOf(r, r.Verdict)
}

func dayOf(r Record, v Verdict) Day {
	return Day{
		Dataset: r.Dataset, Date: r.Date, Rows: r.Rows, Expected: r.Expected, Verdict: v, CommittedAt: r.CommittedAt,
		Filtered: r.Filtered, Rejected: r.Rejected, Unknown: r.Unknown, RunID: r.RunID,
		SameDays: r.SameDays, Issues: r.Issues,
	}
}

func universeDay(ds *catalog.Dataset, d market.Date, s *sum, world PoolState) Day {
	if s.keys == 0 {
		return Day{Dataset: ds.ID, Date: d, Verdict: Missing, Expected: Expect(ds, d, FactsOf(ds, d, world.Lists)).Expected}
	}
	return dayOf(s.last, Standing(ds, s.last, world.Lists, world.Held))
}

// targetsDay is the sum of a day; worth is false if the dataset concerns no symbol of the
// list on that day.
func targetsDay(ds *catalog.Dataset, d market.Date, s *sum, world PoolState, symbols []string) (day Day, worth bool) {
	day = Day{
		Dataset: ds.ID, Date: d, Rows: s.rows, Expected: s.exp, Verdict: Missing,
		Filtered: s.filtered, Rejected: s.rejected, Unknown: s.unknown,
	}
	if s.keys > 0 {
		day.Verdict, day.CommittedAt, day.RunID, day.SameDays = s.worst, s.last.CommittedAt, s.last.RunID, s.same
	}
	if s.absent > 0 {
		slices.Sort(s.names)
		list := strings.Join(s.names, ", ")
		i := fault.NewIssue(fault.SymbolsAbsent, fmt.Sprintf("%s of %s has no row for %s; %s suspended or did not trade.", ds.ID, d,
			fault.Count(s.absent, "listed symbol", "listed symbols"), fault.One(s.absent, "it probably was", "they probably were")),
			"dataset", ds.ID, "trade_date", d.String(), "count", fmt.Sprint(s.absent), "sample", list)
		i.Remedy = "If you need one of these symbols, compare with another source. A run with refetch for that date fetches it again."
		day.Issues = append(day.Issues, About(ds, i))
	}
	if s.keys >= int64(len(symbols)) { // every symbol has a record
		return day, s.keys > 0
	}
	var called, lacking int64
	for _, symbol := range symbols {
		if listed, known := world.Lists.Listed(symbol, d); known && !listed {
			continue
		}
		called++
		if s.keys > 0 {
			if _, ok := world.Held(Key{Dataset: ds.ID, Date: d, Symbol: symbol}); ok {
				continue
			}
		}
		lacking++
	}
	if lacking > 0 {
		day.Verdict, day.Expected = Missing, s.exp+lacking
		if s.keys > 0 {
			day.Verdict = Incomplete // some symbols were never fetched
		}
	}
	return day, s.keys > 0 || called > 0
}

// concernedBy are the symbols of which a dataset may have rows.
func concernedBy(ds *catalog.Dataset, symbols []string) []string {
	var out []string
	for _, s := range symbols {
		if ds.Covers(s) {
			out = append(out, s)
		}
	}
	return out
}
