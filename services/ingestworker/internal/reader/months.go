package reader

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
)

// A Parquet file of many months is joined from one file a month. Those of whole months are
// kept for the next answer: an evening changes the rows of one month, so all others are
// sorted and encoded once. Each is small enough to be sorted in memory.

// month is a part of an answer that makes a file of its own.
type month struct {
	slice
	id string // of the file that is kept; empty where the answer has part of the month
}

// months are the parts of an answer that is joined; none where it is written in one go,
// because it has not all columns and symbols of at least two whole months.
func (a *Answer) months() []month {
	p := a.plan
	all := slices.EqualFunc(a.Columns, p.table.Columns, func(x, y catalog.Column) bool { return x.Stored == y.Stored })
	if p.date == "" || p.Adjust != None || len(p.Symbols) > 0 || !all {
		return nil
	}
	var out []month
	whole := 0
	for _, f := range a.Version.Manifest.Files {
		first, err := market.ParseDate(f.FirstDate)
		if f.Table != p.table.Name || err != nil { // a list has no dates
			continue
		}
		last, err := market.ParseDate(f.LastDate)
		if err != nil {
			continue
		}
		m := month{slice: slice{start: first, end: last}}
		if p.Start != market.NoDate {
			m.start = max(first, p.Start)
		}
		if p.End != market.NoDate {
			m.end = min(last, p.End)
		}
		if m.start > m.end {
			continue
		}
		if m.start == first && m.end == last {
			h := sha256.Sum256([]byte(jsonText([]any{p.Pool, f.Path, f.Fingerprint})))
			m.id = "month-" + hex.EncodeToString(h[:16])
			whole++
		}
		out = append(out, m)
	}
	if whole < 2 {
		return nil
	}
	return out
}

// join writes the file of the answer from those of its months.
func (a *Answer) join(ctx context.Context, path string, months []month) (Made, error) {
	// One without rows has the schema, and says what the answer says of itself.
	none := slice{start: 1, end: 0}
	if err := a.copyTo(ctx, path+".head", none, a.Metadata()); err != nil {
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
	for file, err := range a.monthFiles(ctx, months, path) {
		if err == nil {
			err = a.joinMonth(ctx, j, file)
		}
		if err != nil {
			return Made{}, err
		}
	}
	if err := j.end(); err != nil {
		return Made{}, err
	}
	return Made{Bytes: j.size, Rows: j.about.NumRows, SHA256: [sha256.Size]byte(j.hash.Sum(nil))}, out.Close()
}

// monthsAhead is how many months are made at a time, while another one is joined.
const monthsAhead = 2

// monthFiles opens the files of the months in their order. One is open within the loop's
// body. None is being made any more when the sequence has ended.
func (a *Answer) monthFiles(ctx context.Context, months []month, path string) iter.Seq2[*os.File, error] {
	type opened struct {
		file *os.File
		err  error
	}
	return func(yield func(*os.File, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var ahead []chan opened
		begun := 0
		begin := func() {
			for begun < len(months) && len(ahead) < monthsAhead {
				c, m, part := make(chan opened, 1), months[begun], fmt.Sprintf("%s.part%d", path, begun)
				ahead = append(ahead, c)
				begun++
				go func() {
					f, err := a.monthFile(ctx, m, part)
					c <- opened{f, err}
				}()
			}
		}
		defer func() {
			cancel()
			for _, c := range ahead {
				if o := <-c; o.err == nil {
					_ = o.file.Close() // it was only read
				}
			}
		}()
		for begin(); len(ahead) > 0; {
			o := <-ahead[0]
			ahead = ahead[1:]
			begin()
			more := yield(o.file, o.err)
			if o.err != nil {
				return
			}
			_ = o.file.Close() // as above
			if !more {
				return
			}
		}
	}
}

func (a *Answer) joinMonth(ctx context.Context, j *joined, from *os.File) error {
	pass, err := a.service.cfg.Gate.Enter(ctx)
	if err != nil {
		return err
	}
	defer pass.Leave()
	return j.add(from, func() error { return pass.Next(ctx) })
}

// monthFile opens the file of a month, which it makes where it is not kept. part is a path
// for one that is not to be kept.
func (a *Answer) monthFile(ctx context.Context, m month, part string) (*os.File, error) {
	if m.id == "" {
		defer os.Remove(part)
		if err := a.copyTo(ctx, part, m.slice, nil); err != nil {
			return nil, err
		}
		return os.Open(part)
	}
	kept := &a.service.files
	for {
		_, err := kept.get(ctx, m.id, func(path string) (Made, error) {
			made := path + ".new"
			defer os.Remove(made)
			if err := a.copyTo(ctx, made, m.slice, nil); err != nil {
				return Made{}, err
			}
			st, err := os.Stat(made)
			if err != nil {
				return Made{}, err
			}
			return Made{Bytes: st.Size()}, os.Rename(made, path)
		})
		if err != nil {
			return nil, err
		}
		f, err := os.Open(kept.path(m.id))
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		kept.lost(m.id) // or it was dropped just now
	}
}

// magic begins and ends a Parquet file.
const magic = "PAR1"

// joined is a Parquet file that is put together from the row groups of others with the same
// columns. Their bytes stay as they are; only where they lie changes.
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

// begin takes over what a file without rows says of itself.
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

// add takes over the row groups of a file. between is called after each of some pieces.
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
			if c.FileOffset != 0 { // where its description lies, if it lies beside the values
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

// end writes what the file says of itself.
func (j *joined) end() error {
	n, err := j.about.WriteTo(j, nil)
	if err != nil {
		return err
	}
	_, err = j.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(n)), magic...))
	return err
}

// footer is what a Parquet file says of itself, and where that begins.
func footer(f *os.File) (about *metadata.FileMetaData, begin int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	tail := make([]byte, 4+len(magic)) // its length comes before the magic
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
