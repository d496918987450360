package publish

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/market"
)

// ManifestName is the file that describes a version, in its folder.
const ManifestName = "manifest.json"

// manifestFormat goes up when a reader of the manifest must change.
const manifestFormat = 1

// Manifest describes one published version.
type Manifest struct {
	// Format of this document, 1.
	Format int `json:"format"`
	// Pool that was published, "universe" or "targets".
	Pool market.Pool `json:"pool"`
	// Version names it: the time of publication in UTC, as in
	// "20261129T113012.345Z". Later versions sort after earlier ones.
	Version string `json:"version"`
	// RunID of the run at whose end it was published. Empty where there was none.
	RunID string `json:"run_id"`
	// PublishedAt is when, UTC.
	PublishedAt time.Time `json:"published_at"`
	// Source is the host of the provider that filled the pool.
	Source string `json:"source"`
	// Tables sums the files up, one entry per table.
	Tables []TableInfo `json:"tables"`
	// Files are all files of the version but this one.
	Files []FileInfo `json:"files"`
	// Fingerprint changes with anything the pool holds.
	Fingerprint string `json:"fingerprint"`
}

// TableInfo is what a version holds of one table.
type TableInfo struct {
	// Name of the table.
	Name string `json:"name"`
	// Rows in it.
	Rows int64 `json:"rows"`
	// FirstDate and LastDate bound the trade dates that have rows; empty for lists
	// and calendars, and where there are none.
	FirstDate string `json:"first_date,omitempty"`
	LastDate  string `json:"last_date,omitempty"`
}

// FileInfo is one file of a version.
type FileInfo struct {
	// Path within the version's folder, with slashes.
	Path string `json:"path"`
	// Table whose rows it holds. Empty for the DuckDB file, which holds all.
	Table string `json:"table,omitempty"`
	// FirstDate and LastDate bound the trade dates that have rows.
	FirstDate string `json:"first_date,omitempty"`
	LastDate  string `json:"last_date,omitempty"`
	// Rows in the file; of the DuckDB file, in the tables named by Tables.
	Rows int64 `json:"rows"`
	// Verdicts counts the partitions in the file by their verdict.
	Verdicts map[coverage.Verdict]int `json:"verdicts"`
	// Bytes and SHA256 of the file; SHA256 in hex.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Modified is the file's time of modification as it was published.
	Modified time.Time `json:"modified"`
	// Fingerprint of the rows in it, which tells whether the next version needs
	// another file.
	Fingerprint string `json:"fingerprint,omitempty"`
}

const versionForm = "20060102T150405.000Z"

var versionName = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z$`)

// nextVersion is now, or just after the last one where the clock went back.
func nextVersion(now time.Time, last string) string {
	v := now.UTC().Format(versionForm)
	if v > last {
		return v
	}
	t, err := time.Parse(versionForm, last)
	if err != nil {
		return v
	}
	return t.Add(time.Millisecond).Format(versionForm)
}

func readManifest(dir string) (*Manifest, error) {
	data, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		return nil, err
	}
	return parseManifest(data)
}

func parseManifest(data []byte) (*Manifest, error) {
	m := &Manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, err
	}
	if m.Format != manifestFormat || !versionName.MatchString(m.Version) {
		return nil, fmt.Errorf("the manifest has the format %d and the version %.40q", m.Format, m.Version)
	}
	return m, nil
}

func (m *Manifest) file(path string) *FileInfo {
	if m == nil {
		return nil
	}
	for i := range m.Files {
		if m.Files[i].Path == path {
			return &m.Files[i]
		}
	}
	return nil
}

// piece is a Parquet file to be: the rows of one table in one month, or of a whole
// list.
type piece struct {
	table    pool.Table
	path     string
	month    market.Date // first day; NoDate for a list
	next     market.Date // first day of the next month
	verdicts map[coverage.Verdict]int
	claimed  int64
	first    market.Date
	last     market.Date
	records  []*coverage.Record
}

// pieces cuts what is covered into files, in the order of tables and months. Months
// without a row have none.
func pieces(records []coverage.Record) []*piece {
	var out []*piece
	for _, t := range pool.Tables() {
		byMonth := map[market.Date]*piece{}
		for i := range records {
			r := &records[i]
			d := catalog.Lookup(r.Dataset)
			if d == nil || d.Table != t.Name {
				continue
			}
			month := market.NoDate
			if !d.Snapshot {
				y, m, _ := r.Date.Time().Date()
				month = market.NewDate(y, m, 1)
			}
			p := byMonth[month]
			if p == nil {
				next, path := market.NoDate, "parquet/"+t.Name+"/"+t.Name+".parquet"
				if month != market.NoDate {
					y, m, _ := month.Time().Date()
					next = market.NewDate(y, m+1, 1)
					path = fmt.Sprintf("parquet/%s/year=%04d/%04d-%02d.parquet", t.Name, y, y, int(m))
				}
				p = &piece{table: t, path: path, month: month, next: next, verdicts: map[coverage.Verdict]int{}, first: market.NoDate, last: market.NoDate}
				byMonth[month] = p
			}
			p.add(r)
		}
		for _, month := range slices.Sorted(maps.Keys(byMonth)) {
			if byMonth[month].claimed > 0 {
				out = append(out, byMonth[month])
			}
		}
	}
	return out
}

func (p *piece) add(r *coverage.Record) {
	p.records = append(p.records, r)
	p.verdicts[r.Verdict]++
	p.claimed += r.Rows
	if r.Rows > 0 && r.Date != market.NoDate {
		if p.first == market.NoDate || r.Date < p.first {
			p.first = r.Date
		}
		p.last = max(p.last, r.Date)
	}
}

// fingerprint of the rows that records stand for.
func (p *piece) fingerprint(compression string) string {
	return fingerprint(func(yield func([]byte)) {
		var line []byte
		for _, r := range p.records {
			line = fmt.Append(line[:0], r.Dataset, "|", int64(r.Date), "|", r.Symbol, "|", r.Rows, "|", r.RowsHash)
			yield(line)
		}
	}, fmt.Sprint(compression, p.table.Columns))
}

// wholeFingerprint is of everything that coverage tells, but by which run and when a
// partition was looked at.
func wholeFingerprint(records []coverage.Record, compression string) string {
	return fingerprint(func(yield func([]byte)) {
		for _, r := range records {
			r.CommittedAt, r.Epoch, r.RunID, r.New, r.Changed, r.Gone = time.Time{}, 0, "", 0, 0, 0
			text, err := json.Marshal(r)
			if err != nil {
				text = fmt.Append(nil, r) // cannot be: a record holds plain values
			}
			yield(text)
		}
	}, compression)
}

// fingerprint is the same whatever order the lines come in: it sums their hashes, so
// that no list of them is kept or sorted.
func fingerprint(lines func(yield func([]byte)), salt string) string {
	var sum [4]uint64
	lines(func(line []byte) {
		h := sha256.Sum256(line)
		for i := range sum {
			sum[i] += binary.LittleEndian.Uint64(h[8*i:])
		}
	})
	h := sha256.Sum256(fmt.Append(nil, salt, sum))
	return hex.EncodeToString(h[:16])
}
