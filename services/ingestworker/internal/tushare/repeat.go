package tushare

import (
	"slices"
	"sort"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// maxCompared is the most rows of one key that are compared with a new row. Further rows
// are kept, and the caller rejects them.
const maxCompared = 64

// dedupe removes the rows from start on that equal a row of the batch in every column. It
// returns their number, and how many of them repeat a row of the same page. Rows with the
// same key and different values are all kept, because the client cannot know which is
// right.
func (d *decoder) dedupe(start, badStart int) (repeated, within int) {
	b := d.batch
	key := d.keys()
	slot := func(k uint64) *int32 {
		return d.seen.Find(k, func(r int32) bool { return key(int(r)) == k })
	}
	if !d.seen.HasRoom(b.Len) {
		d.seen = table.PlacesFor(b.Len)
		for r := range start {
			*slot(key(r)) = int32(r + 1)
		}
	}
	in, out := d.bad[badStart:], d.bad[:badStart]
	if len(in) > 0 {
		in = slices.Clone(in) // out overwrites the same memory
	}
	w := start
	d.prev = extend(d.prev[:min(len(d.prev), start)], b.Len)
	for r := start; r < b.Len; r++ {
		last := slot(key(r))
		var mine []table.BadCell
		for len(in) > 0 && in[0].Row == r {
			mine, in = append(mine, in[0]), in[1:]
		}
		head := *last - 1
		if at := d.find(head, r, out, mine); at >= 0 {
			if repeated++; int(at) >= start {
				within++
			}
			continue
		}
		if w != r {
			moveRow(b, w, r)
			d.ids[w] = d.ids[r]
		}
		for _, c := range mine {
			c.Row = w
			out = append(out, c)
		}
		d.prev[w] = head
		*last = int32(w + 1)
		w++
	}
	d.bad = out
	d.prev = d.prev[:w]
	d.trim(w)
	return repeated, within
}

// hashOrder adds the keys from row start on to a hash that depends on their order.
func (d *decoder) hashOrder(hash uint64, start int) uint64 {
	key := d.keys()
	for r := start; r < d.batch.Len; r++ {
		hash = (hash ^ key(r)) * 0x100000001b3
	}
	return hash
}

// keys returns a function that returns the key of a row: the number of its symbol, and its
// date.
func (d *decoder) keys() func(row int) uint64 {
	var dates []market.Date
	if d.keyDate != "" {
		dates = d.batch.Column(d.keyDate).Dates
	}
	return func(r int) uint64 {
		key := uint64(uint32(d.ids[r])) << 32
		if dates != nil {
			key |= uint64(uint32(dates[r]))
		}
		return key
	}
}

// find returns a row that equals r, from the chain of rows that begins at head; -1 if
// there is none.
func (d *decoder) find(head int32, r int, bad, mine []table.BadCell) int32 {
	for q, compared := head, 0; q >= 0 && compared < maxCompared; q, compared = d.prev[q], compared+1 {
		if equalRows(d.batch, int(q), r) && equalBad(badOf(bad, int(q)), mine) {
			return q
		}
	}
	return -1
}

func equalRows(b *table.Batch, q, r int) bool {
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.Null[q] != c.Null[r] {
			return false
		}
		switch c.Type {
		case table.Text:
			if c.Texts[q] != c.Texts[r] {
				return false
			}
		case table.Date:
			if c.Dates[q] != c.Dates[r] {
				return false
			}
		default:
			if c.Numbers[q] != c.Numbers[r] {
				return false
			}
		}
	}
	return true
}

// badOf returns the bad cells of a row from a list ordered by row.
func badOf(bad []table.BadCell, row int) []table.BadCell {
	from := sort.Search(len(bad), func(i int) bool { return bad[i].Row >= row })
	to := from
	for to < len(bad) && bad[to].Row == row {
		to++
	}
	return bad[from:to]
}

func equalBad(a, b []table.BadCell) bool {
	return slices.EqualFunc(a, b, func(x, y table.BadCell) bool { return x.Column == y.Column && x.Raw == y.Raw })
}

func moveRow(b *table.Batch, to, from int) {
	for i := range b.Columns {
		c := &b.Columns[i]
		c.Null[to] = c.Null[from]
		switch c.Type {
		case table.Text:
			c.Texts[to] = c.Texts[from]
		case table.Date:
			c.Dates[to] = c.Dates[from]
		default:
			c.Numbers[to] = c.Numbers[from]
		}
	}
}
