package reader

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/volume"
)

// dictionary is how many different values a column of a row group may have to be encoded
// with a dictionary. DuckDB's default is three times as high; most prices are below it, and
// encoding them like that takes twice as long and saves a fifth of the bytes.
const dictionary = 8192

// rowGroup is such that a month has two row groups, each of which is encoded by one thread.
const rowGroup = 80 << 10

// minFree is the least free space on the volume, in bytes.
const minFree = 64 << 20

// files are the Parquet files of queries, cached for the next equal query.
type files struct {
	dir   string
	bytes int64

	mu   sync.Mutex
	held map[string]*file
}

// Made is a Parquet file of a response.
type Made struct {
	// ID of the file: equal for equal rows and metadata.
	ID string
	// Bytes is its size, and Rows its number of rows.
	Bytes, Rows int64
	// SHA256 of its bytes.
	SHA256 [sha256.Size]byte
}

type file struct {
	Made
	used    time.Time
	readers int
	making  chan struct{} // closed when it was made, or not
	err     error
}

func (f *files) init(dir string, limit int64) error {
	f.dir, f.bytes, f.held = dir, limit, map[string]*file{}
	return errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
}

func (f *files) path(id string) string { return filepath.Join(f.dir, id+".parquet") }

// FileID is the ID of the response's Parquet file: equal for equal rows and metadata.
func (a *Answer) FileID() string {
	p := a.plan
	names := make([]string, len(a.Columns))
	for i, c := range a.Columns {
		names[i] = c.Stored
	}
	h := sha256.Sum256([]byte(jsonText([]any{p.Pool, p.table.Name, p.Symbols, p.Start.String(), p.End.String(), names, p.Adjust, a.Metadata()})))
	return hex.EncodeToString(h[:16])
}

// File creates the Parquet file of the response, unless it exists. DISK_FULL if there is no
// space.
func (a *Answer) File(ctx context.Context) (Made, error) {
	return a.service.files.get(ctx, a.FileID(), func(path string) (Made, error) { return a.make(ctx, path) })
}

// get returns a file, or creates it at its path. The caller must not have a pass: another
// goroutine may be creating it, which needs one.
func (f *files) get(ctx context.Context, id string, create func(path string) (Made, error)) (Made, error) {
	for {
		f.mu.Lock()
		x := f.held[id]
		if x != nil {
			x.used = time.Now()
			f.mu.Unlock()
			select {
			case <-x.making:
			case <-ctx.Done():
				return Made{}, context.Cause(ctx)
			}
			if x.err != nil {
				continue // its creator may have been cancelled
			}
			if f.intact(x) {
				return x.Made, nil
			}
			f.lost(id, x)
			continue
		}
		x = &file{making: make(chan struct{}), used: time.Now()}
		f.held[id] = x
		f.mu.Unlock()
		made, err := create(f.path(id))
		made.ID = id
		f.mu.Lock()
		x.Made, x.err = made, err
		if err != nil {
			delete(f.held, id)
		}
		f.mu.Unlock()
		close(x.making)
		f.prune(id)
		return made, err
	}
}

// intact reports whether a file that was made is still there, whole.
func (f *files) intact(x *file) bool {
	st, err := os.Stat(f.path(x.ID))
	return err == nil && st.Size() == x.Bytes
}

// lost records that a file was deleted or cut; it is created again.
func (f *files) lost(id string, x *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held[id] == x { // unless it already is
		delete(f.held, id)
	}
}

func (a *Answer) make(ctx context.Context, path string) (m Made, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // it may have been deleted
		return m, err
	}
	free, err := volume.FreeBytes(path)
	if err != nil {
		return m, err
	}
	if free < minFree {
		return m, fault.New(fault.DiskFull, "The disk has no space for the Parquet file of the response.", "free_bytes", fmt.Sprint(free), "needed_bytes", fmt.Sprint(minFree))
	}
	made := path + ".new"
	defer os.Remove(made)
	if months := a.months(); len(months) > 0 {
		m, err = a.join(ctx, made, months)
	} else if err = a.copyTo(ctx, made, slice{start: a.plan.Start, end: a.plan.End}, a.plan.sorted(), a.Metadata()); err == nil {
		m, err = a.described(ctx, made)
	}
	if err != nil {
		if universe.IsFull(err) {
			return m, fault.Wrap(err, fault.DiskFull, "The disk has no space for the Parquet file of the response.")
		}
		return m, fmt.Errorf("write rows as Parquet: %w", err)
	}
	return m, os.Rename(made, path)
}

// copyTo writes the rows of a date range as a Parquet file, sorted by some columns.
func (a *Answer) copyTo(ctx context.Context, path string, s slice, sorted []string, meta map[string]string) error {
	pass, err := a.service.cfg.Gate.Enter(ctx)
	if err != nil {
		return err
	}
	defer pass.Leave()
	pass.Use(a.Version.Reader.Threads())
	return a.reading(ctx, s, func(from string) error {
		return a.Version.Reader.Exec(ctx, a.copySQL(path, from, s, sorted, meta), func() error { return pass.Next(ctx) })
	})
}

// described reads the description of a file.
func (a *Answer) described(ctx context.Context, path string) (m Made, err error) {
	pass, err := a.service.cfg.Gate.Enter(ctx)
	if err != nil {
		return m, err
	}
	defer pass.Leave()
	file, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer file.Close()
	about, _, err := footer(file)
	if err != nil {
		return m, err
	}
	m.Rows = about.NumRows
	h := sha256.New()
	m.Bytes, err = copied(h, file, func() error { return pass.Next(ctx) })
	m.SHA256 = [sha256.Size]byte(h.Sum(nil))
	return m, err
}

// copied copies the rest of a file. between is called after each part.
func copied(to io.Writer, from io.Reader, between func() error) (n int64, err error) {
	buffer := make([]byte, batchBytes)
	for {
		some, err := from.Read(buffer)
		if _, failed := to.Write(buffer[:some]); failed != nil {
			return n, failed
		}
		n += int64(some)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err = errors.Join(err, between()); err != nil {
			return n, err
		}
	}
}

// copySQL writes the rows of a date range from a table or files. Factors are in a temporary
// table.
func (a *Answer) copySQL(path, from string, span slice, sorted []string, meta map[string]string) string {
	p := a.plan
	var before strings.Builder
	from = "(SELECT * FROM " + from + p.where(span.start, span.end) + ") t"
	columns := make([]string, len(a.Columns))
	for i, c := range a.Columns {
		columns[i] = `t."` + c.Stored + `"`
		if p.Adjust == None {
			continue
		}
		switch {
		case c.Stored == FactorColumn:
			columns[i] = "f.factor AS factor"
		case adjusted(c.Stored):
			columns[i] = `t."` + c.Stored + `" * f.factor AS "` + c.Stored + `"`
		}
	}
	if p.Adjust != None {
		a.factorTable(&before, span)
		for i, c := range a.Columns {
			if c.Stored == FactorColumn || adjusted(c.Stored) {
				columns[i] = strings.ReplaceAll(columns[i], "f.factor", "CASE WHEN f.symbol IS NULL THEN 1.0::DOUBLE ELSE f.factor END")
			}
		}
		from += " LEFT JOIN factors f ON t.symbol = f.symbol AND t.trade_date >= f.first AND t.trade_date < f.next"
	}
	order := " ORDER BY t." + strings.Join(sorted, ", t.")
	var pairs []string
	for _, k := range sortedKeys(meta) {
		pairs = append(pairs, `"`+k+`": `+universe.Quote(meta[k]))
	}
	options := fmt.Sprintf("FORMAT parquet, COMPRESSION snappy, DICTIONARY_SIZE_LIMIT %d, ROW_GROUP_SIZE %d", dictionary, rowGroup)
	if len(pairs) > 0 {
		options += ", KV_METADATA {" + strings.Join(pairs, ", ") + "}"
	}
	return before.String() + "COPY (SELECT " + strings.Join(columns, ", ") + " FROM " + from + order + ") TO " + universe.Quote(path) + " (" + options + ")"
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// factorTable writes the segments of all symbols that have dates of a span, each with the day
// before which it ends. DuckDB takes a text for each column much faster than a row at a time.
func (a *Answer) factorTable(sql *strings.Builder, span slice) {
	var symbols, firsts, nexts, factors []string
	for symbol, segments := range a.factors {
		for i, s := range segments {
			first, next, factor := "0001-01-01", "9999-12-31", ""
			if i > 0 {
				if span.end != market.NoDate && s.from > span.end {
					break
				}
				first = s.from.String()
			}
			if i+1 < len(segments) {
				if span.start != market.NoDate && segments[i+1].from <= span.start {
					continue
				}
				next = segments[i+1].from.String()
			}
			if !math.IsNaN(s.factor) {
				factor = strconv.FormatFloat(s.factor, 'g', -1, 64)
			}
			symbols, firsts, nexts, factors = append(symbols, symbol), append(firsts, first), append(nexts, next), append(factors, factor)
		}
	}
	split := func(values []string) string {
		return "unnest(string_split(" + universe.Quote(strings.Join(values, ",")) + ", ','))"
	}
	sql.WriteString("CREATE TEMP TABLE factors (symbol VARCHAR, first DATE, next DATE, factor DOUBLE);\n")
	if len(symbols) > 0 {
		fmt.Fprintf(sql, "INSERT INTO factors SELECT symbol, first, next, nullif(factor, '') FROM (SELECT %s AS symbol, %s AS first, %s AS next, %s AS factor);\n",
			split(symbols), split(firsts), split(nexts), split(factors))
	}
}

// prune drops the files used least recently until the rest fit.
func (f *files) prune(but string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		var total int64
		oldest := ""
		for id, x := range f.held {
			total += x.Bytes
			if id != but && x.readers == 0 && x.Bytes > 0 && (oldest == "" || x.used.Before(f.held[oldest].used)) {
				oldest = id
			}
		}
		if total <= f.bytes || oldest == "" {
			return
		}
		_ = os.Remove(f.path(oldest)) // the next start removes what is left
		delete(f.held, oldest)
	}
}

// ReadFile sends bytes of a file that was made, from offset on; length 0 means to the
// end. NOT_FOUND says that it was dropped. done is to be called when data is no longer needed.
func (s *Service) ReadFile(ctx context.Context, id string, offset, length int64, send func(data []byte, done func()) error) error {
	gone := fault.New(fault.NotFound, "The file has expired; request the rows again.", "kind", "file", "id", id[:min(len(id), 40)])
	fs := &s.files
	fs.mu.Lock()
	f := fs.held[id]
	if f == nil || f.Bytes == 0 {
		fs.mu.Unlock()
		return gone
	}
	f.readers++
	f.used = time.Now()
	fs.mu.Unlock()
	defer func() {
		fs.mu.Lock()
		f.readers--
		fs.mu.Unlock()
	}()
	if offset < 0 || offset > f.Bytes {
		return fault.Invalid("offset", "%d is not from 0 to %d", offset, f.Bytes)
	}
	if length < 0 {
		return fault.Invalid("length", "%d is negative", length)
	}
	if length == 0 || length > f.Bytes-offset {
		length = f.Bytes - offset
	}
	file, err := os.Open(fs.path(id))
	if err != nil {
		fs.lost(id, f)
		return gone
	}
	defer file.Close()
	in := io.NewSectionReader(file, offset, length)
	for {
		pass, err := s.cfg.Gate.Enter(ctx)
		if err != nil {
			return err
		}
		memo, _ := messages.Get().(*[]byte)
		size := int(min(batchBytes, max(length, 1)))
		*memo = slices.Grow((*memo)[:0], size)[:size]
		n, err := io.ReadFull(in, *memo)
		pass.Charge(time.Duration(n) * sendCost)
		pass.Leave()
		if n > 0 {
			if err := send((*memo)[:n], func() { messages.Put(memo) }); err != nil {
				return err
			}
			if length -= int64(n); length == 0 {
				return nil
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
