package universe

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Covered is the coverage of a published file. Coverage by symbol, of which there are
// millions of records, takes 16 bytes per record.
type Covered struct {
	whole   map[coverage.Key]coverage.Record
	days    map[seriesKey][]coveredDay // ascending by date
	commits []commitOf
}

type seriesKey struct{ dataset, symbol string }

// coveredDay is a record with a symbol.
type coveredDay struct {
	date     market.Date
	commit   int32 // in commits
	rows     int16
	expected int16
	verdict  int32 // in coverage.Verdicts
}

type commitOf struct {
	at    time.Time
	runID string
}

// Get is the record of a key. One with a symbol has the rows, the expected rows, the
// verdict, and the time and run of its commit.
func (c *Covered) Get(k coverage.Key) (coverage.Record, bool) {
	if k.Symbol != "" {
		s := seriesKey{k.Dataset, k.Symbol}
		days := c.days[s]
		if i, ok := slices.BinarySearchFunc(days, k.Date, func(d coveredDay, at market.Date) int { return cmp.Compare(d.date, at) }); ok {
			return c.record(s, days[i]), true
		}
	}
	r, ok := c.whole[k]
	return r, ok
}

// All are the records, in no order.
func (c *Covered) All() iter.Seq[coverage.Record] {
	return func(yield func(coverage.Record) bool) {
		for _, r := range c.whole {
			if !yield(r) {
				return
			}
		}
		for s, days := range c.days {
			for _, d := range days {
				if !yield(c.record(s, d)) {
					return
				}
			}
		}
	}
}

func (c *Covered) record(s seriesKey, d coveredDay) coverage.Record {
	by := c.commits[d.commit]
	return coverage.Record{
		Key: coverage.Key{Dataset: s.dataset, Date: d.date, Symbol: s.symbol}, Rows: int64(d.rows), Expected: int64(d.expected),
		Verdict: coverage.Verdicts[d.verdict], CommittedAt: by.at, RunID: by.runID,
	}
}

// loadBySymbol reads a coverage table that Build created. ok is false if the file has a
// different one.
func loadBySymbol(d *duck) (out *Covered, ok bool, err error) {
	have, err := tablesOf(d)
	if err != nil || len(have["coverage"]) < 2 || have["coverage"][1] != "symbol VARCHAR" {
		return nil, false, err
	}
	out = &Covered{whole: map[coverage.Key]coverage.Record{}, days: map[seriesKey][]coveredDay{}}
	const query = "SELECT dataset, symbol, trade_date, row_count, expected_count, verdict, epoch_us(committed_at), run_id FROM coverage"
	var at seriesKey // of the previous records, and their days: they are sorted by symbol
	var days []coveredDay
	commits, last := map[commitOf]int32{}, commitOf{}
	number := int32(-1)
	err = d.stream(query, func(c Chunk) error {
		col := c.columns
		for i := range c.len {
			if dataset, symbol := c.Bytes(0, i), c.Bytes(1, i); string(dataset) != at.dataset || string(symbol) != at.symbol {
				if at.symbol != "" {
					out.days[at] = days
				}
				at = seriesKey{string(dataset), string(symbol)}
				days = out.days[at]
			}
			micros, runID := value[int64](col[6], i), c.Bytes(7, i)
			if number < 0 || last.at.UnixMicro() != micros || last.runID != string(runID) {
				last = commitOf{time.UnixMicro(micros).UTC(), string(runID)}
				n, known := commits[last]
				if !known {
					n = int32(len(out.commits))
					commits[last], out.commits = n, append(out.commits, last)
				}
				number = n
			}
			rows, expected, verdict := value[int64](col[3], i), value[int64](col[4], i), c.Bytes(5, i)
			v := slices.IndexFunc(coverage.Verdicts, func(v coverage.Verdict) bool { return string(v) == string(verdict) })
			if x := (coveredDay{date: col[2].date(i), commit: number, rows: int16(rows), expected: int16(expected), verdict: int32(v)}); at.symbol != "" && v >= 0 &&
				int64(x.rows) == rows && int64(x.expected) == expected {
				days = append(days, x)
				continue
			}
			k := coverage.Key{Dataset: at.dataset, Date: col[2].date(i), Symbol: at.symbol}
			out.whole[k] = coverage.Record{Key: k, Rows: rows, Expected: expected, Verdict: coverage.Verdict(verdict), CommittedAt: last.at, RunID: last.runID}
		}
		return nil
	})
	if at.symbol != "" {
		out.days[at] = days
	}
	for s, days := range out.days {
		if byDate := func(a, b coveredDay) int { return cmp.Compare(a.date, b.date) }; !slices.IsSortedFunc(days, byDate) {
			slices.SortFunc(days, byDate)
		}
		out.days[s] = slices.Clip(days)
	}
	return out, true, err
}
