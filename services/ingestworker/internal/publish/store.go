package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Source is the pool that is published.
type Source interface {
	// Coverage calls yield for every record, see ingest.Sink.
	Coverage(ctx context.Context, datasets []string, start, end market.Date, yield func(coverage.Record) bool) error
	// Copy writes the pool's tables to a DuckDB file at path and calls yield for every record
	// of the coverage in the file. If it writes the file from its beginning to its end, it calls
	// written with the number of bytes so far. It returns universe.ErrEmpty if the pool has no
	// file.
	Copy(ctx context.Context, path string, written func(bytes int64), yield func(coverage.Record)) error
}

// Config is the configuration of a Store. Every field without a default is required.
type Config struct {
	// Pool that is published.
	Pool market.Pool
	// Dir is the directory of the copy; it is created if it does not exist.
	Dir string
	// Mark is a file outside of Dir with the version that was published last, so that a
	// deleted directory is distinguished from a new one.
	Mark string
	// Spill is an existing directory for temporary files of sorts for readers; the default is
	// Dir. Files that a crash left there are deleted at the next start.
	Spill string
	// Source of the rows.
	Source Source
	// File is the path of the pool's file if a copy is as large as it: the first publication
	// checks that there is room. Empty means that it does not.
	File string
	// Host of the provider, for the manifest.
	Host string
	// Compression of Parquet files: "snappy", the default, which every reader supports, or
	// "zstd".
	Compression string
	// Memory and Threads of DuckDB for publishing. The defaults are LeastMemory and 2.
	Memory  string
	Threads int
	// ReadMemory and ReadThreads are the same for the readers of a version. The default memory
	// is 64MB: rows are read in slices, which take no less time with more. The default is two
	// threads, or more with more Threads: a query over years takes half the time.
	ReadMemory  string
	ReadThreads int
	// Keep is how many versions are kept, including the current one; the default is 2.
	Keep int
	// Idle is how long after its last use a version's file is closed; the default is 10 s.
	Idle time.Duration
	// MinFree is the least free space on the volume, in bytes; the default is 64 MiB.
	MinFree int64
	// Logger; nil drops every record.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Done is called after each publication with its result; may be nil.
	Done func(Result, error)
}

// Store is the published copy of one pool. Safe for concurrent use.
type Store struct {
	cfg Config
	log *slog.Logger

	publishing sync.Mutex

	mu     sync.Mutex
	open   map[string]*Version
	closed bool
}

// LeastMemory is how many bytes DuckDB needs to publish a month of the whole market: each thread
// sorts and encodes in memory of its own.
func LeastMemory(threads int) int64 { return max(64e6, 48e6*int64(threads)) }

// New returns a Store. It touches no file.
func New(c Config) *Store {
	if c.Compression == "" {
		c.Compression = "snappy"
	}
	if c.Threads == 0 {
		c.Threads = 2
	}
	if c.Memory == "" {
		c.Memory = fmt.Sprintf("%dMB", LeastMemory(c.Threads)/1e6)
	}
	if c.ReadMemory == "" {
		c.ReadMemory = "64MB"
	}
	if c.ReadThreads == 0 {
		c.ReadThreads = max(c.Threads, 2)
	}
	if c.Spill == "" {
		c.Spill = c.Dir
	}
	if c.Keep == 0 {
		c.Keep = 2
	}
	if c.Idle == 0 {
		c.Idle = 10 * time.Second
	}
	if c.MinFree == 0 {
		c.MinFree = 64 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Done == nil {
		c.Done = func(Result, error) {}
	}
	return &Store{cfg: c, log: c.Logger.With("pool", string(c.Pool)), open: map[string]*Version{}}
}

// FileName is the DuckDB file's name in a version.
func (s *Store) FileName() string { return string(s.cfg.Pool) + ".duckdb" }

func (s *Store) versions() string { return filepath.Join(s.cfg.Dir, "versions") }

// current is the name of the current version, or empty.
func (s *Store) current() string {
	to, err := os.Readlink(filepath.Join(s.cfg.Dir, "current"))
	if err != nil || !versionName.MatchString(filepath.Base(to)) {
		return ""
	}
	return filepath.Base(to)
}

// Current is the manifest of the current version; nil if there is none, or its manifest
// cannot be read.
func (s *Store) Current() *Manifest {
	name := s.current()
	if name == "" {
		return nil
	}
	m, err := readManifest(filepath.Join(s.versions(), name))
	if err != nil {
		return nil // the next publication detects and repairs it
	}
	return m
}

// Version is a published version that is open for reading.
type Version struct {
	// Manifest of the version. It must not be modified.
	Manifest *Manifest
	// Reader of its DuckDB file.
	Reader *universe.Reader
	// Dir is its directory.
	Dir string

	extra sync.Map // what readers cache for it, by their own key

	uses    int
	lastUse time.Time
	ready   chan struct{} // closed when opening has ended
	err     error
}

// Keep returns the result of make for the key. It is called once for an open version. An
// error is not cached.
func (v *Version) Keep(key any, make func() (any, error)) (any, error) {
	if x, ok := v.extra.Load(key); ok {
		return x, nil
	}
	x, err := make()
	if err != nil {
		return nil, err
	}
	x, _ = v.extra.LoadOrStore(key, x)
	return x, nil
}

// Acquire opens a version for reading; an empty name means the current one. release
// releases it. NOT_FOUND if nothing is published, or the version was deleted.
func (s *Store) Acquire(ctx context.Context, name string) (v *Version, release func(), err error) {
	if name != "" && !versionName.MatchString(name) {
		return nil, nil, fault.Invalid("version", "%.40q is not a version such as 20261129T113012.345Z", name)
	}
	asked := name
	if name == "" {
		if name = s.current(); name == "" {
			text := "%s has not been published yet; a run publishes it when it ends."
			if s.lastVersion() != "" {
				text = "The published copy of %s was deleted; the next run publishes it again."
			}
			err := fault.New(fault.NotFound, fmt.Sprintf(text, s.cfg.Pool),
				"kind", "version", "id", "", "pool", string(s.cfg.Pool))
			err.Remedy = fmt.Sprintf("Start a run, and read the data when it has ended: curl -X POST localhost:7780/v1/runs -d '{\"pools\":[\"POOL_%s\"]}'", strings.ToUpper(string(s.cfg.Pool)))
			return nil, nil, err
		}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, nil, errors.New("the ingest-worker is shutting down")
	}
	v = s.open[name]
	if v == nil {
		v = &Version{Dir: filepath.Join(s.versions(), name), ready: make(chan struct{})}
		s.open[name] = v
		go s.load(name, v)
	}
	v.uses++
	s.mu.Unlock()
	release = sync.OnceFunc(func() { s.give(v) })
	select {
	case <-v.ready:
	case <-ctx.Done():
		release()
		return nil, nil, ctx.Err()
	}
	if v.err == nil {
		return v, release, nil
	}
	release()
	if errors.Is(v.err, os.ErrNotExist) && asked != "" {
		return nil, nil, fault.New(fault.NotFound, fmt.Sprintf("There is no version %s of %s: it was removed, or it never existed. Omit version to read the current one.", name, s.cfg.Pool),
			"kind", "version", "id", name)
	}
	return nil, nil, fault.Wrap(v.err, fault.NotFound,
		fmt.Sprintf("The published copy of %s is damaged; the next run repairs it.", s.cfg.Pool), "kind", "published copy", "id", name)
}

func (s *Store) load(name string, v *Version) {
	v.Manifest, v.err = readManifest(v.Dir)
	if v.err == nil {
		path := filepath.Join(v.Dir, s.FileName())
		if _, v.err = os.Stat(path); v.err == nil {
			v.Reader, v.err = universe.OpenReader(path, universe.ReaderConfig{Memory: s.cfg.ReadMemory, Threads: s.cfg.ReadThreads, TempDir: filepath.Join(s.cfg.Spill, fmt.Sprintf("spill-%s-%s", s.cfg.Pool, name))})
		}
	}
	if v.err != nil {
		level := slog.LevelWarn
		if _, err := os.Stat(v.Dir); errors.Is(err, os.ErrNotExist) && name != s.current() {
			level = slog.LevelDebug // the caller named a version that was removed, or never existed
		}
		s.log.Log(context.Background(), level, "a published version cannot be read", "version", name, "error", v.err)
		s.mu.Lock()
		delete(s.open, name) // the next caller tries again
		s.mu.Unlock()
	}
	close(v.ready)
}

func (s *Store) give(v *Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.uses--
	v.lastUse = time.Now()
	if s.closed && v.uses == 0 && v.Reader != nil {
		v.Reader.Close()
		v.Reader = nil
	}
}

// Release closes the files of versions that were idle for long enough.
func (s *Store) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, v := range s.open {
		if v.uses == 0 && time.Since(v.lastUse) >= s.cfg.Idle && v.Reader != nil {
			v.Reader.Close()
			v.Reader = nil
			delete(s.open, name)
		}
	}
}

// Close closes every version; one that is being read is closed when its reader releases it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for name, v := range s.open {
		if v.uses == 0 && v.Reader != nil {
			v.Reader.Close()
			v.Reader = nil
		}
		delete(s.open, name)
	}
	return nil
}
