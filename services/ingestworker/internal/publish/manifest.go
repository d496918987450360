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

// ManifestName is the file that describes a version, in its directory.
const ManifestName = "manifest.json"

// manifestFormat is increased when readers of the manifest must change.
const manifestFormat = 1

// Manifest describes one published version.
type Manifest struct {
	// Format of this document, 1.
	Format int `json:"format"`
	// Pool that was published, "universe" or "targets".
	Pool market.Pool `json:"pool"`
	// Version is the time of publication in UTC, for example "20261129T113012.345Z". Later
	// versions sort after earlier ones.
	Version string `json:"version"`
	// RunID of the run at whose end it was published. Empty if there was none.
	RunID string `json:"run_id"`
	// PublishedAt is the time of publication, UTC.
	PublishedAt time.Time `json:"published_at"`
	// Source is the host of the provider that filled the pool.
	Source string `json:"source"`
	// Tables summarize the files, one entry per table.
	Tables []TableInfo `json:"tables"`
	// Files are all files of the version except this one.
	Files []FileInfo `json:"files"`
	// Fingerprint changes when any data of the pool changes.
	Fingerprint string `json:"fingerprint"`
}

// TableInfo describes a table in a version.
type TableInfo struct {
	// Name of the table.
	Name string `json:"name"`
	// Rows in it.
	Rows int64 `json:"rows"`
	// FirstDate and LastDate are the first and last trade date with rows; empty for lists and
	// calendars, and if there are no rows.
	FirstDate string `json:"first_date,omitempty"`
	LastDate  string `json:"last_date,omitempty"`
}

// FileInfo is one file of a version.
type FileInfo struct {
	// Path relative to the version's directory, with slashes.
	Path string `json:"path"`
	// Table of the rows. Empty for the DuckDB file, which has all tables.
	Table string `json:"table,omitempty"`
	// FirstDate and LastDate are the first and last trade date with rows.
	FirstDate string `json:"first_date,omitempty"`
	LastDate  string `json:"last_date,omitempty"`
	// Rows in the file; of the DuckDB file, in the tables named by Tables.
	Rows int64 `json:"rows"`
	// Verdicts is the number of partitions in the file by verdict.
	Verdicts map[coverage.Verdict]int `json:"verdicts"`
	// Bytes and SHA256 of the file; SHA256 in hex.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Modified is the modification time of the published file.
	Modified time.Time `json:"modified"`
	// Fingerprint of its rows, which shows whether the next version needs a new file.
	Fingerprint string `json:"fingerprint,omitempty"`
}

const versionForm = "20060102T150405.000Z"

var versionName = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z$`)

// nextVersion is now, or just after the last one if the clock was set back.
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
