package publish

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/market"
)

// tally summarizes the coverage of a version while it is copied. A long target list has
// millions of records, so none is kept.
type tally struct {
	whole    digest
	verdicts map[coverage.Verdict]int
	tables   map[string]pool.Table // by dataset
	pieces   map[pieceKey]*piece
}

type pieceKey struct {
	table string
	month market.Date
}

func newTally() *tally {
	t := &tally{verdicts: map[coverage.Verdict]int{}, tables: map[string]pool.Table{}, pieces: map[pieceKey]*piece{}}
	for _, table := range pool.Tables() {
		for _, d := range catalog.Datasets() {
			if d.Table == table.Name {
				t.tables[d.ID] = table
			}
		}
	}
	return t
}

func (t *tally) add(r coverage.Record) {
	t.whole.addWhole(&r)
	t.verdicts[r.Verdict]++
	table, ok := t.tables[r.Dataset]
	if !ok {
		return
	}
	k := pieceKey{table.Name, market.NoDate}
	if !catalog.Lookup(r.Dataset).Snapshot {
		y, m, _ := r.Date.Time().Date()
		k.month = market.NewDate(y, m, 1)
	}
	p := t.pieces[k]
	if p == nil {
		p = newPiece(table, k.month)
		t.pieces[k] = p
	}
	p.add(&r)
}

// files are the pieces with rows, in the order of tables and months.
func (t *tally) files() []*piece {
	var out []*piece
	for _, table := range pool.Tables() {
		from := len(out)
		for k, p := range t.pieces {
			if k.table == table.Name && p.claimed > 0 {
				out = append(out, p)
			}
		}
		slices.SortFunc(out[from:], func(a, b *piece) int { return int(a.month) - int(b.month) })
	}
	return out
}

// piece is a Parquet file to build: the rows of one table in one month, or of a whole list.
type piece struct {
	table    pool.Table
	path     string
	month    market.Date // first day; NoDate for a list
	next     market.Date // first day of the next month
	verdicts map[coverage.Verdict]int
	claimed  int64
	first    market.Date
	last     market.Date
	rows     digest
}

func newPiece(t pool.Table, month market.Date) *piece {
	p := &piece{
		table: t, path: "parquet/" + t.Name + "/" + t.Name + ".parquet", month: month, next: market.NoDate,
		verdicts: map[coverage.Verdict]int{}, first: market.NoDate, last: market.NoDate,
	}
	if month != market.NoDate {
		y, m, _ := month.Time().Date()
		p.next = market.NewDate(y, m+1, 1)
		p.path = fmt.Sprintf("parquet/%s/year=%04d/%04d-%02d.parquet", t.Name, y, y, int(m))
	}
	return p
}

func (p *piece) add(r *coverage.Record) {
	p.rows.addRows(r)
	p.verdicts[r.Verdict]++
	p.claimed += r.Rows
	if r.Rows > 0 && r.Date != market.NoDate {
		if p.first == market.NoDate || r.Date < p.first {
			p.first = r.Date
		}
		p.last = max(p.last, r.Date)
	}
}

// fingerprint of the rows of the piece, and of how they are written.
func (p *piece) fingerprint(compression string) string {
	return p.rows.text(fmt.Sprint(compression, rowGroup, p.table.Columns))
}

// digest sums the hashes of lines, so that it does not depend on their order.
type digest struct {
	sum   [4]uint64
	lines int
	line  []byte // room for the next
}

func (d *digest) add() {
	h := sha256.Sum256(d.line)
	for i := range d.sum {
		d.sum[i] += binary.LittleEndian.Uint64(h[8*i:])
	}
	d.lines++
}

// text is the fingerprint. The salt has what the lines do not have.
func (d *digest) text(salt string) string {
	h := sha256.Sum256(fmt.Append(nil, salt, d.sum))
	return hex.EncodeToString(h[:16])
}

// addRows adds the rows of a record.
func (d *digest) addRows(r *coverage.Record) {
	d.line = append(append(d.line[:0], r.Dataset...), '|')
	d.line = append(append(strconv.AppendInt(d.line, int64(r.Date), 10), '|'), r.Symbol...)
	d.line = strconv.AppendInt(append(d.line, '|'), r.Rows, 10)
	d.line = strconv.AppendUint(append(d.line, '|'), r.RowsHash, 10)
	d.add()
}

// addWhole adds everything in a record, except its run and the time of the check.
func (d *digest) addWhole(r *coverage.Record) {
	d.line = append(append(append(append(d.line[:0], r.Dataset...), '|'), r.Symbol...), '|')
	d.line = append(d.line, r.Verdict...)
	for _, n := range [...]int64{
		int64(r.Date), r.Rows, r.ByExchange.SH, r.ByExchange.SZ, r.ByExchange.BJ, int64(r.RowsHash), r.Expected, int64(r.AnswerHash),
		int64(r.SameSince), int64(r.SameDays), int64(r.LastSame), r.Filtered, r.Rejected, r.Unknown,
	} {
		d.line = strconv.AppendInt(append(d.line, '|'), n, 10)
	}
	if len(r.Issues) > 0 {
		text, err := json.Marshal(r.Issues)
		if err != nil {
			text = fmt.Append(nil, r.Issues) // cannot happen: an issue has only texts
		}
		d.line = append(append(d.line, '|'), text...)
	}
	d.add()
}
