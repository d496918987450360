package publish

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
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
