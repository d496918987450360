package reader

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
)

// A Parquet file of many months is joined from the published files, one a month, which are
// sorted by symbol and date. Nothing is sorted or encoded again, but the months of which
// the answer has a part. Where it has not all symbols and columns, or adjusted prices, each
// month is written, and sorted by date, so that a sort never has more rows than a month.

// month is a part of a response.
type month struct {
	slice
	file  *publish.FileInfo // the published file of the month
	whole bool              // whether the response has all dates of it
}

// monthsOf are the months of a date range with rows.
func (a *Answer) monthsOf(span slice) (out []month) {
	for n := range a.Version.Manifest.Files {
		f := &a.Version.Manifest.Files[n]
		first, err := market.ParseDate(f.FirstDate)
		if f.Table != a.plan.table.Name || err != nil { // a list has no dates
			continue
		}
		last, err := market.ParseDate(f.LastDate)
		if err != nil {
			continue
		}
		m := month{slice: slice{start: first, end: last}, file: f}
		if span.start != market.NoDate {
			m.start = max(first, span.start)
		}
		if span.end != market.NoDate {
			m.end = min(last, span.end)
		}
		if m.start > m.end {
			continue
		}
		m.whole = m.start == first && m.end == last
		out = append(out, m)
	}
	return out
}

// manySymbols is from how many symbols on an answer is written month by month. The rows of
// less are few enough to be sorted in memory, and would make small row groups.
const manySymbols = 500

// months returns the parts of a joined answer. It returns none if the answer is written at once,
// because it has fewer than two months or few symbols. A part is whole only if the answer has the
// published month unchanged.
func (a *Answer) months() []month {
	p := a.plan
	if n := len(p.Symbols); p.date == "" || n > 0 && n < manySymbols {
		return nil
	}
	out := a.monthsOf(slice{start: p.Start, end: p.End})
	if len(out) < 2 {
		return nil
	}
	if !a.asPublished() {
		for i := range out {
			out[i].whole = false
		}
	}
	return out
}

// asPublished reports whether the answer has all symbols and columns, and all as they are.
func (a *Answer) asPublished() bool {
	return a.plan.Adjust == None && len(a.plan.Symbols) == 0 && slices.EqualFunc(a.Columns, a.plan.table.Columns, func(x, y catalog.Column) bool { return x.Stored == y.Stored })
}

// monthsSorted names the columns that the rows of a month are sorted by.
func (a *Answer) monthsSorted() []string {
	if a.asPublished() {
		return a.plan.table.Key
	}
	return a.plan.sorted()
}

// fewSymbols is up to how many symbols are read from the published months, which are sorted
// by symbol, so that most row groups are skipped. In the DuckDB file a symbol has rows on
// every date, so the whole table would be read, which uses memory. More symbols take longer
// in the months.
const fewSymbols = 4

// from is the source of the rows of a date range: the published months for a few symbols,
// if they are undamaged, and otherwise the table.
func (a *Answer) from(span slice) (sql string, months bool) {
	p := a.plan
	if n := len(p.Symbols); n == 0 || n > fewSymbols || p.date == "" {
		return p.table.Name, false
	}
	var paths []string
	for _, m := range a.monthsOf(span) {
		path, ok := a.Version.Path(m.file)
		if !ok {
			return p.table.Name, false
		}
		paths = append(paths, universe.Quote(path))
	}
	if len(paths) == 0 {
		return p.table.Name, false
	}
	return "read_parquet([" + strings.Join(paths, ", ") + "], hive_partitioning = false)", true
}

// reading calls read with the source of the rows of a date range. If a month is deleted or
// damaged meanwhile, it calls it again with the table, which has the same rows.
func (a *Answer) reading(ctx context.Context, span slice, read func(from string) error) error {
	from, months := a.from(span)
	err := read(from)
	if err == nil || !months || ctx.Err() != nil || universe.IsFull(err) {
		return err
	}
	return read(a.plan.table.Name)
}

// join writes the file of the response from those of its months.
func (a *Answer) join(ctx context.Context, path string, months []month) (Made, error) {
	// A file without rows has the schema and the metadata of the response.
	none := slice{start: 1, end: 0}
	if err := a.copyTo(ctx, path+".head", none, a.plan.table.Key, a.Metadata()); err != nil {
		return Made{}, err
	}
	defer os.Remove(path + ".head")
	out, err := os.Create(path)
	if err != nil {
		return Made{}, err
	}
	defer out.Close()
	j := &joined{out: out, hash: sha256.New()}
	if err := j.begin(path + ".head"); err != nil {
		return Made{}, err
	}
	for _, m := range months {
		if err := a.joinMonth(ctx, j, m, path+".part"); err != nil {
			return Made{}, err
		}
	}
	if err := j.end(); err != nil {
		return Made{}, err
	}
	return Made{Bytes: j.size, Rows: j.about.NumRows, SHA256: [sha256.Size]byte(j.hash.Sum(nil))}, out.Close()
}

// joinMonth adds a month. If no published file has its rows, they are first written to
// part.
func (a *Answer) joinMonth(ctx context.Context, j *joined, m month, part string) error {
	from, err := a.monthFile(ctx, m, part)
	if err != nil {
		return err
	}
	defer from.Close()
	pass, err := a.service.cfg.Gate.Enter(ctx)
	if err != nil {
		return err
	}
	defer pass.Leave()
	return j.add(from, func() error { return pass.Next(ctx) })
}

func (a *Answer) monthFile(ctx context.Context, m month, part string) (*os.File, error) {
	if m.whole {
		if f, err := a.Version.Open(m.file); err == nil {
			return f, nil
		} // it was deleted; the DuckDB file has the rows
	}
	defer os.Remove(part)
	if err := a.copyTo(ctx, part, m.slice, a.monthsSorted(), nil); err != nil {
		return nil, err
	}
	return os.Open(part)
}

// magic is the beginning and the end of a Parquet file.
const magic = "PAR1"

// joined is a Parquet file that is built from the row groups of others with the same
// columns. Their bytes do not change; only their positions do.
type joined struct {
	out   io.Writer
	hash  hash.Hash
	size  int64
	about *metadata.FileMetaData
}

func (j *joined) Write(data []byte) (int, error) {
	j.hash.Write(data)
	n, err := j.out.Write(data)
	j.size += int64(n)
	return n, err
}

// begin copies the metadata of a file without rows.
func (j *joined) begin(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if j.about, _, err = footer(f); err != nil {
		return err
	}
	_, err = io.WriteString(j, magic)
	return err
}

// add copies the row groups of a file. between is called after each part.
func (j *joined) add(from *os.File, between func() error) error {
	about, end, err := footer(from)
	if err != nil {
		return err
	}
	by := j.size - int64(len(magic))
	moved := func(at *int64) {
		if at != nil {
			*at += by
		}
	}
	for i, group := range about.RowGroups {
		moved(group.FileOffset)
		if group.Ordinal != nil {
			*group.Ordinal = int16(len(j.about.RowGroups) + i)
		}
		for _, c := range group.Columns {
			if c.FileOffset != 0 { // position of its metadata, if it is next to the values
				c.FileOffset += by
			}
			moved(c.OffsetIndexOffset)
			moved(c.ColumnIndexOffset)
			c.MetaData.DataPageOffset += by
			moved(c.MetaData.IndexPageOffset)
			moved(c.MetaData.DictionaryPageOffset)
			moved(c.MetaData.BloomFilterOffset)
		}
	}
	if err := j.about.AppendRowGroups(about); err != nil {
		return err
	}
	_, err = copied(j, io.NewSectionReader(from, int64(len(magic)), end-int64(len(magic))), between)
	return err
}

// end writes the footer of the file.
func (j *joined) end() error {
	n, err := j.about.WriteTo(j, nil)
	if err != nil {
		return err
	}
	_, err = j.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(n)), magic...))
	return err
}

// footer is the footer of a Parquet file, and its position.
func footer(f *os.File) (about *metadata.FileMetaData, begin int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	tail := make([]byte, 4+len(magic)) // its length is before the magic
	if _, err := f.ReadAt(tail, st.Size()-int64(len(tail))); err != nil {
		return nil, 0, err
	}
	begin = st.Size() - int64(len(tail)) - int64(binary.LittleEndian.Uint32(tail))
	if string(tail[4:]) != magic || begin < int64(len(magic)) {
		return nil, 0, fmt.Errorf("%s is not a whole Parquet file", f.Name())
	}
	text := make([]byte, st.Size()-int64(len(tail))-begin)
	if _, err := f.ReadAt(text, begin); err != nil {
		return nil, 0, err
	}
	about, err = metadata.NewFileMetaData(text, nil)
	return about, begin, err
}
