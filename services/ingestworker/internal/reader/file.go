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
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/volume"
)

// dictionary is how many different values a column of a row group may have to be written by
// a dictionary. DuckDB's own limit is three times as high; most prices stay below it, and
// writing them so takes twice as long and saves a fifth of the bytes.
const dictionary = 8192

// minFree is the least room left on the volume, in bytes.
const minFree = 64 << 20

// files are the Parquet files made of queries, kept for the next one that is the same.
type files struct {
	dir   string
	bytes int64

	mu   sync.Mutex
	held map[string]*file
}

// Made is a Parquet file that was made of an answer.
type Made struct {
	// ID names it: equal for equal rows that say the same of themselves.
	ID string
	// Bytes is its size, and Rows how many it has.
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

// FileID names the Parquet file of the answer: equal for equal rows that say the same of
// themselves.
func (a *Answer) FileID() string {
	p := a.plan
	names := make([]string, len(a.Columns))
	for i, c := range a.Columns {
		names[i] = c.Stored
	}
	h := sha256.Sum256([]byte(jsonText([]any{p.Pool, p.table.Name, p.Symbols, p.Start.String(), p.End.String(), names, p.Adjust, a.Metadata()})))
	return hex.EncodeToString(h[:16])
}

// File makes the Parquet file of the answer, unless it is there. DISK_FULL is returned
// where there is no room for it.
func (a *Answer) File(ctx context.Context) (Made, error) {
	id := a.FileID()
	fs := &a.service.files
	for {
		fs.mu.Lock()
		f := fs.held[id]
		if f != nil {
			fs.mu.Unlock()
			select {
			case <-f.making:
			case <-ctx.Done():
				return Made{}, context.Cause(ctx)
			}
			if f.err == nil {
				return f.Made, nil
			}
			continue // whoever made it may have been called off
		}
		f = &file{making: make(chan struct{}), used: time.Now()}
		fs.held[id] = f
		fs.mu.Unlock()
		made, err := a.make(ctx, fs.path(id))
		made.ID = id
		fs.mu.Lock()
		f.Made, f.err = made, err
		if err != nil {
			delete(fs.held, id)
		}
		fs.mu.Unlock()
		close(f.making)
		fs.prune(id)
		return made, err
	}
}

func (a *Answer) make(ctx context.Context, path string) (m Made, err error) {
	pass, err := a.service.cfg.Gate.Enter(ctx)
	if err != nil {
		return m, err
	}
	defer pass.Leave()
	between := func() error { return pass.Next(ctx) }
	free, err := volume.FreeBytes(path)
	if err != nil {
		return m, err
	}
	if free < minFree {
		return m, fault.New(fault.DiskFull, "The disk has no space for the Parquet file of the response.", "free_bytes", fmt.Sprint(free), "needed_bytes", fmt.Sprint(minFree))
	}
	made := path + ".new"
	defer os.Remove(made)
	if err := a.Version.Reader.Exec(ctx, a.copySQL(made), between); err != nil {
		if universe.IsFull(err) {
			return m, fault.Wrap(err, fault.DiskFull, "The disk has no space for the Parquet file of the response.")
		}
		return m, fmt.Errorf("write rows as Parquet: %w", err)
	}
	err = a.Version.Reader.Query(ctx, "SELECT num_rows FROM parquet_file_metadata("+universe.Quote(made)+")", func(c universe.Chunk) error {
		m.Rows = c.Longs(0)[0]
		return nil
	})
	if err != nil {
		return m, fmt.Errorf("count rows of a Parquet file: %w", err)
	}
	if m.Bytes, m.SHA256, err = hashed(made, between); err != nil {
		return m, err
	}
	return m, os.Rename(made, path)
}

// hashed is the size of a file and the hash of its bytes. between is called after each of
// some pieces.
func hashed(path string, between func() error) (size int64, sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, sum, err
	}
	defer f.Close()
	h := sha256.New()
	for {
		n, err := io.CopyN(h, f, 4*batchBytes)
		size += n
		if errors.Is(err, io.EOF) {
			return size, [sha256.Size]byte(h.Sum(nil)), nil
		}
		if err = errors.Join(err, between()); err != nil {
			return 0, sum, err
		}
	}
}

// copySQL writes the answer. Factors travel as a temporary table.
func (a *Answer) copySQL(path string) string {
	p := a.plan
	var before strings.Builder
	from := "(SELECT * FROM " + p.table.Name + p.where(p.Start, p.End) + ") t"
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
		a.factorTable(&before)
		for i, c := range a.Columns {
			if c.Stored == FactorColumn || adjusted(c.Stored) {
				columns[i] = strings.ReplaceAll(columns[i], "f.factor", "CASE WHEN f.symbol IS NULL THEN 1.0::DOUBLE ELSE f.factor END")
			}
		}
		from += " LEFT JOIN factors f ON t.symbol = f.symbol AND t.trade_date >= f.first AND t.trade_date < f.next"
	}
	keys := strings.Split(strings.TrimPrefix(p.order(), " ORDER BY "), ", ")
	for i := range keys {
		keys[i] = "t." + keys[i]
	}
	order := " ORDER BY " + strings.Join(keys, ", ")
	var meta []string
	m := a.Metadata()
	for _, k := range sortedKeys(m) {
		meta = append(meta, `"`+k+`": `+universe.Quote(m[k]))
	}
	return before.String() + "COPY (SELECT " + strings.Join(columns, ", ") + " FROM " + from + order + ") TO " + universe.Quote(path) +
		fmt.Sprintf(" (FORMAT parquet, COMPRESSION snappy, DICTIONARY_SIZE_LIMIT %d, KV_METADATA {%s})", dictionary, strings.Join(meta, ", "))
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// factorTable writes the segments of all symbols, each with the day before which it ends.
func (a *Answer) factorTable(sql *strings.Builder) {
	sql.WriteString("CREATE TEMP TABLE factors (symbol VARCHAR, first DATE, next DATE, factor DOUBLE);\n")
	n := 0
	for symbol, segments := range a.factors {
		for i, s := range segments {
			if n%1000 == 0 {
				if n > 0 {
					sql.WriteString(";\n")
				}
				sql.WriteString("INSERT INTO factors VALUES ")
			} else {
				sql.WriteByte(',')
			}
			n++
			first, next, value := "DATE '0001-01-01'", "DATE '9999-12-31'", "NULL"
			if i > 0 {
				first = "DATE '" + s.from.String() + "'"
			}
			if i+1 < len(segments) {
				next = "DATE '" + segments[i+1].from.String() + "'"
			}
			if !math.IsNaN(s.factor) {
				value = fmt.Sprintf("%q::DOUBLE", fmt.Sprintf("%.17g", s.factor))
				value = strings.ReplaceAll(value, `"`, "'")
			}
			fmt.Fprintf(sql, "(%s, %s, %s, %s)", universe.Quote(symbol), first, next, value)
		}
	}
	if n > 0 {
		sql.WriteString(";\n")
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
		_ = os.Remove(f.path(oldest)) // what is left is removed at the next start
		delete(f.held, oldest)
	}
}

// ReadFile sends bytes of a file that was made, from offset on; length 0 means to the
// end. NOT_FOUND says that it was dropped.
func (s *Service) ReadFile(ctx context.Context, id string, offset, length int64, send func([]byte) error) error {
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
		fs.mu.Lock()
		delete(fs.held, id) // somebody took it away; it is made again
		fs.mu.Unlock()
		return gone
	}
	defer file.Close()
	in := io.NewSectionReader(file, offset, length)
	for {
		pass, err := s.cfg.Gate.Enter(ctx)
		if err != nil {
			return err
		}
		buffer := make([]byte, min(batchBytes, max(length, 1)))
		n, err := io.ReadFull(in, buffer)
		pass.Charge(time.Duration(n) * sendCost)
		pass.Leave()
		if n > 0 {
			if err := send(buffer[:n]); err != nil {
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
