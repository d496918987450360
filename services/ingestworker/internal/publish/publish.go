package publish

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/atomicfile"
	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/volume"
)

// Result describes a publication.
type Result struct {
	// Version that is current now. Empty if the pool is empty.
	Version string
	// Published is false if the current version was up to date.
	Published bool
	// Repaired says what was wrong with the published files. Empty if nothing was.
	Repaired string
	// Written and Linked are the numbers of Parquet files that were created and reused.
	Written, Linked int
	// Bytes of all files of the version.
	Bytes int64
	// Took is how long it took.
	Took time.Duration
}

const (
	partial  = ".new-" // of a version's directory that is being built
	fileMode = 0o444   // so that opening a file for writing fails
)

// Publish updates the copy of the pool. It does nothing if the current version is up to
// date and undamaged. The error is DISK_FULL, PUBLICATION_FAILED or one of the pool's; then
// the previous version stays current.
func (s *Store) Publish(ctx context.Context, runID string) (r Result, err error) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	defer func() { s.cfg.Done(r, err) }()
	began := time.Now()
	r, err = s.publish(ctx, runID)
	r.Took = time.Since(began)
	if err != nil {
		if universe.IsFull(err) && !fault.Is(err, fault.DiskFull) {
			err = fault.Wrap(err, fault.DiskFull, fmt.Sprintf("The disk is full, so %s could not be published; the previous version is kept.", s.cfg.Pool), "pool", string(s.cfg.Pool))
		}
		if _, told := fault.As(err); !told && ctx.Err() == nil {
			err = fault.Wrap(err, fault.PublicationFailed,
				fmt.Sprintf("%s could not be published: %s.", s.cfg.Pool, strings.TrimSuffix(universe.ErrorText(err), ".")), "pool", string(s.cfg.Pool))
		}
		s.log.Warn("publication failed", "run_id", runID, "error", err, "took", r.Took)
		return r, err
	}
	if r.Published || r.Repaired != "" {
		s.log.Info("published", "version", r.Version, "run_id", runID, "files_written", r.Written, "files_linked", r.Linked, "bytes", r.Bytes,
			"repaired", r.Repaired, "took", r.Took)
	}
	return r, nil
}

func (s *Store) publish(ctx context.Context, runID string) (Result, error) {
	var held digest
	err := s.cfg.Source.Coverage(ctx, nil, market.NoDate, market.NoDate, func(r coverage.Record) bool {
		held.addWhole(&r)
		return true
	})
	if err != nil {
		return Result{}, err
	}
	before, damage := s.inspect()
	result := Result{Repaired: damage}
	if before != nil {
		result.Version = before.Version
	}
	if held.lines == 0 && before == nil && damage == "" {
		return result, nil // nothing was ever stored or published
	}
	if before != nil && damage == "" && before.Fingerprint == held.text(s.cfg.Compression) {
		return result, s.sweep(before.Version, s.cfg.Keep, "")
	}
	if err := os.MkdirAll(s.versions(), 0o755); err != nil {
		return result, err
	}
	// Space first: what a crash left behind. A version whose manifest is damaged stays until the
	// new one replaces it: its other files may be intact.
	b := &build{s: s, before: before, runID: runID, replaces: cmp.Or(result.Version, s.current()), keep: s.cfg.Keep}
	if damage == "" {
		b.keep = max(b.keep-1, 1)
	}
	if err := s.sweep(b.replaces, s.cfg.Keep, ""); err != nil {
		return result, err
	}
	if before != nil {
		b.beforeDir = filepath.Join(s.versions(), before.Version)
	}
	m, err := b.make(ctx)
	if errors.Is(err, universe.ErrEmpty) {
		return result, os.RemoveAll(b.dir)
	}
	if err != nil {
		if b.dir != "" {
			if rest := os.RemoveAll(b.dir); rest != nil {
				s.log.Warn("an unfinished version could not be removed", "error", rest)
			}
		}
		return result, err
	}
	result.Version, result.Published, result.Written, result.Linked = m.Version, true, b.written, b.linked
	for _, f := range m.Files {
		result.Bytes += f.Bytes
	}
	return result, s.sweep(m.Version, s.cfg.Keep, "")
}

// inspect reads the manifest of the current version and returns what is wrong with the
// directory. If there is no current version, it uses the newest one: its files may be
// reused.
func (s *Store) inspect() (m *Manifest, damage string) {
	name := s.current()
	if name == "" {
		last := s.lastVersion()
		entries, _ := os.ReadDir(s.versions()) // none if it cannot be read
		for i := len(entries) - 1; i >= 0; i-- {
			if m, err := readManifest(filepath.Join(s.versions(), entries[i].Name())); err == nil && m.Version == entries[i].Name() {
				return m, "the link to the current version was missing"
			}
		}
		if last != "" {
			return nil, "it was deleted"
		}
		return nil, ""
	}
	dir := filepath.Join(s.versions(), name)
	m, err := readManifest(dir)
	if err != nil || m.Version != name {
		return nil, "the manifest of the current version could not be read"
	}
	for i := range m.Files {
		if !intact(dir, &m.Files[i]) {
			damage = m.Files[i].Path + " was deleted or changed"
			break
		}
	}
	for _, name := range s.linkNames() {
		if to, err := os.Readlink(filepath.Join(s.cfg.Dir, name)); damage == "" && (err != nil || to != "current/"+name) {
			damage = "the link " + name + " was deleted or changed"
		}
	}
	return m, damage
}

func (s *Store) linkNames() []string { return []string{s.FileName(), "parquet", ManifestName} }

func (s *Store) lastVersion() string {
	data, err := os.ReadFile(s.cfg.Mark)
	if err != nil || !versionName.MatchString(strings.TrimSpace(string(data))) {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// intact reports whether a file is as it was published. If its time differs, it is read,
// because a backup may have been restored.
func intact(dir string, f *FileInfo) bool {
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	st, err := os.Lstat(path)
	if err != nil || !st.Mode().IsRegular() || st.Size() != f.Bytes {
		return false
	}
	if st.ModTime().Equal(f.Modified) {
		return true
	}
	sum, err := hashFile(path)
	return err == nil && sum == f.SHA256
}

// Open opens a file of the version. An error that is fs.ErrNotExist means that it was
// deleted, or is not what was published.
func (v *Version) Open(f *FileInfo) (*os.File, error) {
	path, ok := v.Path(f)
	if !ok {
		return nil, fs.ErrNotExist
	}
	return os.Open(path)
}

// Path is the path of a file of the version. ok is false if it was deleted, or is not what
// was published.
func (v *Version) Path(f *FileInfo) (path string, ok bool) {
	return filepath.Join(v.Dir, filepath.FromSlash(f.Path)), intact(v.Dir, f)
}

// build builds one version.
type build struct {
	s         *Store
	before    *Manifest // nil if there is none
	beforeDir string
	runID     string
	replaces  string // version that is current until then; empty if there is none
	keep      int    // number of versions to keep beside the new one

	dir             string         // of the version, with its final name
	sealing         errgroup.Group // files that are synced while the next ones are built
	reader          *universe.Reader
	written, linked int
}

func (b *build) make(ctx context.Context) (*Manifest, error) {
	s := b.s
	now := s.cfg.Now()
	m := &Manifest{
		Format: manifestFormat, Pool: s.cfg.Pool, Version: nextVersion(now, max(s.lastVersion(), b.replaces)), RunID: b.runID,
		PublishedAt: now.UTC().Truncate(time.Millisecond), Source: s.cfg.Host,
	}
	b.dir = filepath.Join(s.versions(), partial+m.Version)
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		return nil, err
	}
	if err := b.room(); err != nil {
		return nil, err
	}
	drill.Point("publish.copy")
	t := newTally()
	whole := FileInfo{Path: s.FileName(), Verdicts: t.verdicts}
	b.sealing.SetLimit(sealers)
	if err := b.copy(ctx, &whole, t.add); err != nil {
		return nil, err
	}
	m.Fingerprint = t.whole.text(s.cfg.Compression)
	drill.Point("publish.parquet")
	files, err := b.parquet(ctx, t.files())
	if err = errors.Join(err, b.sealing.Wait()); err != nil {
		return nil, err
	}
	m.Tables = sumUp(files)
	for _, t := range m.Tables {
		whole.Rows += t.Rows
	}
	m.Files = append([]FileInfo{whole}, files...)
	drill.Point("publish.manifest")
	return m, b.install(m)
}

// copy copies the pool's file, which is hashed meanwhile.
func (b *build) copy(ctx context.Context, f *FileInfo, yield func(coverage.Record)) error {
	path := filepath.Join(b.dir, f.Path)
	lengths := make(chan int64, 1024)
	b.sealing.Go(func() error { return describeWhileWritten(path, f, lengths) })
	err := b.s.cfg.Source.Copy(ctx, path, func(bytes int64) { lengths <- bytes }, yield)
	close(lengths)
	if err != nil {
		_ = b.sealing.Wait() // it fails for the same reason
		return err
	}
	// The hash is not so fast: meanwhile the file is synced, and the version is deleted that
	// the new one leaves no place for.
	b.sealing.Go(func() error { return atomicfile.Sync(path) })
	b.sealing.Go(func() error { return b.s.sweep(b.replaces, b.keep, filepath.Base(b.dir)) })
	return nil
}

// room returns an error if the volume would become full.
func (b *build) room() error {
	need, rest := b.s.cfg.MinFree, "; the previous version is kept"
	if f := b.before.file(b.s.FileName()); f != nil {
		need += f.Bytes
	} else {
		rest = ""
		if st, err := os.Stat(b.s.cfg.File); err == nil {
			need += st.Size() + st.Size()*3/2 // the Parquet files are larger than the copy
		}
	}
	free, err := volume.FreeBytes(b.dir)
	if err != nil {
		return err
	}
	if free < need {
		return fault.New(fault.DiskFull, fmt.Sprintf("Publishing %s needs %d MB, and %d MB are free%s.", b.s.cfg.Pool, need>>20, free>>20, rest),
			"pool", string(b.s.cfg.Pool), "free_bytes", fmt.Sprint(free), "needed_bytes", fmt.Sprint(need))
	}
	return nil
}

func (b *build) parquet(ctx context.Context, pieces []*piece) ([]FileInfo, error) {
	defer func() {
		if b.reader != nil {
			b.reader.Close()
		}
	}()
	files := make([]FileInfo, len(pieces))
	for i, p := range pieces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		print := p.fingerprint(b.s.cfg.Compression)
		f := &files[i]
		*f = FileInfo{Path: p.path, Table: p.table.Name, FirstDate: p.first.String(), LastDate: p.last.String(), Fingerprint: print, Verdicts: p.verdicts}
		path := filepath.Join(b.dir, filepath.FromSlash(p.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		old := b.before.file(p.path)
		if old != nil && old.Fingerprint == print && intact(b.beforeDir, old) && link(filepath.Join(b.beforeDir, filepath.FromSlash(p.path)), path) == nil {
			f.Rows, f.Bytes, f.SHA256, f.Modified = old.Rows, old.Bytes, old.SHA256, old.Modified
			b.linked++
		} else {
			if err := b.write(ctx, p, path, f); err != nil {
				return nil, err
			}
			b.sealing.Go(func() error { return seal(path, f) })
			b.written++
		}
	}
	return files, nil
}

// rowGroup is small enough for a reader of one symbol to skip most of a month, and large
// enough to compress well.
const rowGroup = 8192

func (b *build) write(ctx context.Context, p *piece, path string, f *FileInfo) error {
	if b.reader == nil {
		var err error
		b.reader, err = universe.OpenReader(filepath.Join(b.dir, b.s.FileName()), universe.ReaderConfig{
			Memory: b.s.cfg.Memory, Threads: b.s.cfg.Threads, TempDir: filepath.Join(b.dir, "spill"),
		})
		if err != nil {
			return err
		}
	}
	where := ""
	if p.month != market.NoDate {
		where = fmt.Sprintf(" WHERE trade_date >= DATE '%s' AND trade_date < DATE '%s'", p.month, p.next)
	}
	sql := fmt.Sprintf("COPY (SELECT * FROM %s%s ORDER BY %s) TO %s (FORMAT parquet, COMPRESSION %s, ROW_GROUP_SIZE %d, KV_METADATA {%s})",
		p.table.Name, where, strings.Join(p.table.Key, ", "), universe.Quote(path), b.s.cfg.Compression, rowGroup, described(p.table))
	err := b.reader.Query(ctx, sql, func(c universe.Chunk) error {
		f.Rows += c.Longs(0)[0]
		return nil
	})
	return err
}

// described is the metadata of a Parquet file, as the members of a DuckDB struct.
func described(t pool.Table) string {
	units := map[string]string{}
	for _, c := range t.Columns {
		units[c.Stored] = c.Doc
	}
	text, err := json.Marshal(units)
	if err != nil {
		text = []byte("{}") // cannot happen: it has only texts
	}
	return "afterbell_table: " + universe.Quote(t.Name) + ", afterbell_description: " + universe.Quote(t.Doc) + ", afterbell_columns: " + universe.Quote(string(text))
}

// sealers is how many files are sealed at a time. The disk syncs several together.
const sealers = 8

// seal syncs a file, makes it read-only and describes it.
func seal(path string, f *FileInfo) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	synced := make(chan error, 1)
	go func() { synced <- file.Sync() }()
	return errors.Join(describe(file, sha256.New(), f), <-synced)
}

// describeWhileWritten makes a file read-only and describes it, which is written until lengths
// is closed. lengths has the numbers of bytes that can be hashed before.
func describeWhileWritten(path string, f *FileInfo, lengths <-chan int64) error {
	n, more := <-lengths
	file, err := os.Open(path)
	if err == nil {
		defer file.Close()
	}
	h, hashed := sha256.New(), int64(0)
	for ; more; n, more = <-lengths {
		if err == nil {
			_, err = io.CopyN(h, file, n-hashed)
			hashed = n
		}
	}
	if err != nil {
		return err
	}
	return describe(file, h, f)
}

// describe makes a file read-only and describes it. h has what comes before its offset.
func describe(file *os.File, h hash.Hash, f *FileInfo) error {
	if err := file.Chmod(fileMode); err != nil {
		return err
	}
	if _, err := io.Copy(h, file); err != nil {
		return err
	}
	st, err := file.Stat()
	if err != nil {
		return err
	}
	f.Bytes, f.SHA256, f.Modified = st.Size(), hex.EncodeToString(h.Sum(nil)), st.ModTime()
	return nil
}

func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// link creates a hard link to a file, or a copy if the file system has no hard links.
func link(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Sync(), out.Close(), os.Chtimes(to, st.ModTime(), st.ModTime()), os.Chmod(to, fileMode))
	if err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

// install gives the version its name and makes it the current one.
func (b *build) install(m *Manifest) error {
	s := b.s
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(b.dir, "spill")); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(b.dir, ManifestName), append(text, '\n'), 0o644); err != nil {
		return err
	}
	err = filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return atomicfile.Sync(path)
	})
	if err != nil {
		return err
	}
	named := filepath.Join(s.versions(), m.Version)
	if err := os.Rename(b.dir, named); err != nil {
		return err
	}
	b.dir = named
	if err := atomicfile.Sync(s.versions()); err != nil {
		return err
	}
	drill.Point("publish.swap")
	if err := replaceLink(s.cfg.Dir, "current", "versions/"+m.Version); err != nil {
		return err
	}
	b.dir = "" // from here on it is the current version, even if something fails
	for _, name := range s.linkNames() {
		if to, err := os.Readlink(filepath.Join(s.cfg.Dir, name)); err == nil && to == "current/"+name {
			continue
		}
		if err := replaceLink(s.cfg.Dir, name, "current/"+name); err != nil {
			return err
		}
	}
	if err := atomicfile.Sync(s.cfg.Dir); err != nil {
		return err
	}
	drill.Point("publish.swapped")
	return atomicfile.Write(s.cfg.Mark, []byte(m.Version+"\n"), 0o644)
}

// replaceLink creates a link and replaces anything with its name.
func replaceLink(dir, name, to string) error {
	made, path := filepath.Join(dir, "."+name+".new"), filepath.Join(dir, name)
	if err := errors.Join(os.RemoveAll(made), os.Symlink(to, made)); err != nil {
		return err
	}
	if st, err := os.Lstat(path); err == nil && st.IsDir() {
		if err := os.RemoveAll(path); err != nil { // a rename does not replace a directory
			return err
		}
	}
	return os.Rename(made, path)
}

// sweep deletes old versions, and what a crash left half built, but not the directory
// building. A reader that has a file open keeps it.
func (s *Store) sweep(current string, keep int, building string) error {
	entries, err := os.ReadDir(s.versions())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && versionName.MatchString(e.Name()) && e.Name() <= current {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	kept := names[max(0, len(names)-keep):]
	for _, e := range entries {
		if slices.Contains(kept, e.Name()) || e.Name() == building {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.versions(), e.Name())); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) > 0 {
		return nil // a reader may be spilling
	}
	return os.RemoveAll(filepath.Join(s.cfg.Dir, "spill"))
}

// sumUp summarizes the tables in the files.
func sumUp(files []FileInfo) []TableInfo {
	var out []TableInfo
	for _, t := range pool.Tables() {
		info := TableInfo{Name: t.Name}
		for _, f := range files {
			if f.Table != t.Name {
				continue
			}
			info.Rows += f.Rows
			if info.FirstDate == "" || f.FirstDate != "" && f.FirstDate < info.FirstDate {
				info.FirstDate = f.FirstDate
			}
			info.LastDate = max(info.LastDate, f.LastDate)
		}
		out = append(out, info)
	}
	return out
}
