package universe

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// scanRows limits the rows of one query, which DuckDB keeps in memory until they are read:
// about 8 MB, and twice that for both halves.
const scanRows = 75_000

// scan counts and hashes the rows of many trade dates in one pass per table. Reading them
// partition by partition takes about ten times as long.
type scan struct {
	table   string
	names   string // of the columns, for the query
	specs   []table.Spec
	hashes  []table.ColumnHash
	symbol  int // index of the columns of the key
	date    int
	of      [2]*catalog.Dataset // by kind: of other symbols, of ETFs
	tallies map[tallyKey]*tally
	symbols symbolIDs

	sums  []uint64
	kinds []int8 // index of scan.of; -1 if the row is of no dataset
	ids   []int32
	null  []bool
}

type tallyKey struct {
	etf  bool
	date market.Date
}

// tally is the result for one partition.
type tally struct {
	dataset string
	found   ingest.Contents
	seen    []uint64 // bits by symbol
}

// scansOf returns one scan for each table of the keys. Two datasets share one if their
// tables' columns have the same provider names.
func scansOf(keys []coverage.Key) []*scan {
	var out []*scan
	for _, k := range keys {
		d := catalog.Lookup(k.Dataset)
		b, names := pool.Held(d, 0)
		kind := 0
		if d.Table == catalog.TablePrices && d.Kind == market.ETF {
			kind = 1
		}
		at := slices.IndexFunc(out, func(s *scan) bool {
			return s.table == d.Table && (s.of[kind] == nil || s.of[kind] == d) && s.same(b)
		})
		if at < 0 {
			at = len(out)
			out = append(out, newScan(d, b, names))
		}
		s := out[at]
		s.of[kind] = d
		s.tallies[tallyKey{kind == 1, k.Date}] = &tally{dataset: d.ID}
	}
	return out
}

func newScan(d *catalog.Dataset, b *table.Batch, names string) *scan {
	s := &scan{
		table: d.Table, names: names, tallies: make(map[tallyKey]*tally), symbols: newSymbolIDs(),
		sums: make([]uint64, chunkRows), kinds: make([]int8, chunkRows), ids: make([]int32, chunkRows), null: make([]bool, chunkRows),
	}
	for i := range b.Columns {
		c := &b.Columns[i]
		s.specs = append(s.specs, table.Spec{Name: c.Name, Type: c.Type})
		s.hashes = append(s.hashes, table.HashOf(c.Name, c.Type))
		switch c.Name {
		case "ts_code":
			s.symbol = i
		case "trade_date":
			s.date = i
		}
	}
	return s
}

// same reports whether a batch has the scan's columns, in any order.
func (s *scan) same(b *table.Batch) bool {
	return len(b.Columns) == len(s.specs) && !slices.ContainsFunc(s.specs, func(c table.Spec) bool {
		have := b.Column(c.Name)
		return have == nil || have.Type != c.Type
	})
}

// spans divides the dates into date ranges of one query each: few rows by the coverage, and
// no long gap, whose rows would be read for nothing.
func (s *scan) spans(x *index) [][2]market.Date {
	rows := make(map[market.Date]int64)
	for k, t := range s.tallies {
		r, _ := x.get(coverage.Key{Dataset: t.dataset, Date: k.date})
		rows[k.date] += r.Rows
	}
	dates := make([]market.Date, 0, len(rows))
	for d := range rows {
		dates = append(dates, d)
	}
	slices.Sort(dates)
	const gap = 12 // the exchange is never closed for longer
	var out [][2]market.Date
	held := int64(0)
	for _, d := range dates {
		if n := len(out); n > 0 && d-out[n-1][1] <= gap && held+rows[d] <= scanRows {
			out[n-1][1] = d
			held += rows[d]
			continue
		}
		out, held = append(out, [2]market.Date{d, d}), rows[d]
	}
	return out
}

// reading is one query of a scan.
type reading struct {
	*scan
	from, to market.Date
}

// inHalves divides the keys by date, so that no date is in both halves.
func inHalves(keys []coverage.Key) [2][]coverage.Key {
	dates := make(map[market.Date]struct{})
	for _, k := range keys {
		dates[k.Date] = struct{}{}
	}
	sorted := slices.Sorted(maps.Keys(dates))
	var out [2][]coverage.Key
	for _, k := range keys {
		half := 0
		if k.Date >= sorted[len(sorted)/2] {
			half = 1
		}
		out[half] = append(out[half], k)
	}
	return out
}

// readTogether runs queries concurrently, each on its own connection: DuckDB processes each
// in the thread that waits for it. No two may be of one scan.
func readTogether(file *duck, queries []reading) error {
	var g errgroup.Group
	for _, q := range queries[1:] {
		g.Go(func() error {
			return file.besides(func(d *duck) error { return q.read(d, q.from, q.to) })
		})
	}
	return errors.Join(queries[0].read(file, queries[0].from, queries[0].to), g.Wait())
}

// read adds the rows of a date range.
func (s *scan) read(file *duck, from, to market.Date) error {
	return file.query("SELECT "+s.names+" FROM "+s.table+" WHERE trade_date BETWEEN "+literal(from)+" AND "+literal(to), func(c rows) error {
		s.chunk(c)
		return nil
	})
}

func (s *scan) chunk(c rows) {
	sums := s.sums[:c.len]
	clear(sums)
	s.identify(c.columns[s.symbol], sums)
	for i, h := range s.hashes {
		v := c.columns[i]
		null := v.nulls(s.null[:c.len])
		switch {
		case i == s.symbol:
		case s.specs[i].Type == table.Date:
			h.Dates(sums, unsafe.Slice((*market.Date)(v.data), c.len), null)
		case s.specs[i].Type == table.Number:
			h.Numbers(sums, unsafe.Slice((*float64)(v.data), c.len), null)
		case s.specs[i].Type == table.Int:
			for r, x := range unsafe.Slice((*int32)(v.data), c.len) {
				if null == nil || !null[r] {
					h.Numbers(sums[r:r+1], []float64{float64(x)}, nil)
				}
			}
		default:
			for r := range c.len {
				if !v.null(r) {
					sums[r] += h.Text(table.HashText(v.text(r)))
				}
			}
		}
	}
	dates := unsafe.Slice((*market.Date)(c.columns[s.date].data), c.len)
	var t *tally
	last := tallyKey{date: market.NoDate}
	for r, sum := range sums {
		if s.kinds[r] < 0 {
			continue
		}
		if k := (tallyKey{s.kinds[r] == 1, dates[r]}); k != last {
			t, last = s.tallies[k], k
		}
		if t == nil {
			continue
		}
		t.found.Rows++
		t.found.Hash += table.HashRow(sum)
		word, bit := int(s.ids[r]/64), uint64(1)<<(s.ids[r]%64)
		if word >= len(t.seen) {
			t.seen = append(t.seen, make([]uint64, word+1-len(t.seen))...)
		}
		if t.seen[word]&bit != 0 {
			t.found.Duplicates++
		}
		t.seen[word] |= bit
	}
}

// identify determines the symbol of each row, its kind, and what it adds to the row's hash.
func (s *scan) identify(v vector, sums []uint64) {
	h := s.hashes[s.symbol]
	parted := s.table == catalog.TablePrices
	for r := range sums {
		if v.null(r) {
			// A row without a symbol counts as neither: see predicate.
			s.ids[r], s.kinds[r] = 0, 0
			if parted {
				s.kinds[r] = -1
			}
			continue
		}
		id := s.symbols.id(v, r)
		s.ids[r], s.kinds[r] = id, 0
		if parted && s.symbols.etf[id] {
			s.kinds[r] = 1
		}
		sums[r] += h.Text(s.symbols.hash[id])
	}
}

// symbolIDs numbers symbols from 1; 0 is the empty one and null, which have the same key.
type symbolIDs struct {
	short map[[stringSize]byte]int32 // by how DuckDB holds a text that it holds in place
	long  map[string]int32
	raw   [][stringSize]byte
	hash  []uint64
	etf   []bool
	// next is the symbol that followed another one last time. Dates mostly have the same
	// order, and then no look-up is needed.
	next []int32
	prev int32
}

func newSymbolIDs() symbolIDs {
	s := symbolIDs{short: make(map[[stringSize]byte]int32), long: make(map[string]int32)}
	s.short[[stringSize]byte{}] = s.add("", [stringSize]byte{})
	return s
}

func (s *symbolIDs) add(text string, raw [stringSize]byte) int32 {
	id := int32(len(s.hash))
	s.raw, s.hash, s.etf, s.next = append(s.raw, raw), append(s.hash, table.HashText(text)), append(s.etf, etfRow(text)), append(s.next, 0)
	return id
}

func (s *symbolIDs) id(v vector, i int) (id int32) {
	at := unsafe.Add(v.data, i*stringSize)
	if *(*uint32)(at) > inlineMax {
		text, ok := v.text(i), false
		if id, ok = s.long[text]; !ok {
			id = s.add(text, [stringSize]byte{})
			s.long[text] = id
		}
		return id
	}
	raw := *(*[stringSize]byte)(at)
	if id = s.next[s.prev]; s.raw[id] != raw || id == 0 {
		var ok bool
		if id, ok = s.short[raw]; !ok {
			id = s.add(v.text(i), raw)
			s.short[raw] = id
		}
		s.next[s.prev] = id
	}
	s.prev = id
	return id
}

// etfRow is etfPredicate in Go.
func etfRow(symbol string) bool {
	for _, r := range market.ETFRanges() {
		if strings.HasPrefix(symbol, r.Prefix) && strings.HasSuffix(symbol, "."+r.Exchange) {
			return true
		}
	}
	return false
}
