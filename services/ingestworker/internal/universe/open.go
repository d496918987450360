package universe

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
)

// ready opens the file for writing and checks its source and the free space.
func (w *writer) ready() error {
	if err := w.faults.Room(w.cfg.MinFree); err != nil {
		return err
	}
	if err := w.attach(); err != nil {
		return err
	}
	if w.source == w.cfg.Source {
		return nil
	}
	if !w.cfg.AcceptSource && w.index.holdsRows() {
		return w.faults.Source(w.source, w.cfg.Source)
	}
	w.log.Info("source of the file set", "file_source", w.source, "configured_source", w.cfg.Source)
	if err := w.file.exec("UPDATE meta SET source = " + quote(w.cfg.Source)); err != nil {
		return w.failure(err)
	}
	w.source = w.cfg.Source
	return nil
}

// attach opens the file for reading and writing, creates what is new, checks the schema and
// reads the coverage. It does nothing if the file is open.
func (w *writer) attach() error {
	defer func() { w.lastUse = time.Now() }()
	if w.stands() && w.file != nil {
		return nil
	}
	if w.lock == nil {
		lock, err := w.faults.Lock() // kept until Close
		if err != nil {
			return err
		}
		w.lock = lock
	}
	size, exists, err := pool.State(w.cfg.Path)
	if err != nil {
		return w.faults.Unfit(err, pool.Pathless(err))
	}
	if !exists || size == 0 {
		if err := w.begin(); err != nil {
			return err
		}
	}
	d, err := w.open(w.cfg.Path)
	if err != nil {
		return err
	}
	if err := w.inspect(d); err != nil {
		d.close()
		return err
	}
	w.file = d
	w.watch.Opened()
	// Opening the file has replayed a log that a killed process left; the next checkpoint
	// writes it to the file.
	w.dirty = 1
	return nil
}

// stands reports whether the file is still the one in the cache. If it was deleted or
// replaced while it is open, it is closed: writes to it would be lost.
func (w *writer) stands() bool {
	fate := w.watch.FileState()
	if fate == pool.Same {
		return true
	}
	if w.file != nil {
		w.log.Error("the open file was deleted or replaced; its partitions are missing now", "file", w.cfg.Path)
		if fate == pool.Overwritten {
			w.discard()
		} else {
			w.shut()
		}
	}
	if fate == pool.Gone {
		w.log.Warn("the file was deleted; the pool is empty", "file", w.cfg.Path)
		w.index.clear()
		w.forgetLists()
		w.watch.Closed()
	}
	return false
}

// discard closes a file that another program has overwritten, and writes nothing from
// memory or the log to the new content.
func (w *writer) discard() {
	if err := w.file.exec("PRAGMA disable_checkpoint_on_shutdown"); err != nil {
		w.log.Warn("the overwritten file is closed with a checkpoint", "error", err)
	}
	w.file.close()
	w.file, w.dirty = nil, 0
	if err := os.Remove(w.cfg.Path + ".wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.log.Warn("the write-ahead log of the overwritten file still exists", "error", err)
	}
	w.index.clear()
	w.forgetLists()
	w.watch.Closed()
}

// refresh reads a file that another program has written to or replaced, and closes it at
// once, because that program may not be done.
func (w *writer) refresh() {
	if w.stands() || w.watch.FileState() == pool.Same {
		return
	}
	if err := w.attach(); err != nil {
		w.log.Debug("the file has changed and cannot be read", "error", err)
		return
	}
	w.shut()
}

func (w *writer) open(path string) (*duck, error) {
	d, err := openDuck(path, map[string]string{
		"access_mode":  "READ_WRITE",
		"memory_limit": w.cfg.Memory,
		"threads":      strconv.Itoa(w.cfg.Threads),
		// The writer starts checkpoints itself: an automatic one in a commit blocks for up to a
		// second.
		"checkpoint_threshold":         "1GB",
		"autoinstall_known_extensions": "false",
		"autoload_known_extensions":    "false",
	})
	if err != nil {
		return nil, w.openFailure(err)
	}
	return d, nil
}

// begin creates a new file in place of none, or of an empty one, which DuckDB does not
// open. It gets its name when it is complete: DuckDB does not open a file whose creation
// was interrupted.
func (w *writer) begin() error {
	path := pool.Destination(w.cfg.Path)
	made := path + ".new"
	if err := errors.Join(pool.SetAside(w.log, path+".wal"), remove(made), remove(made+".wal")); err != nil {
		return w.faults.Unfit(err, pool.Pathless(err))
	}
	d, err := w.open(made)
	if err != nil {
		return err
	}
	err = create(d, w.cfg.Source)
	d.close()
	if err != nil {
		_ = errors.Join(remove(made), remove(made+".wal")) // the next attempt does so again
		return w.failure(err)
	}
	if err := os.Rename(made, path); err != nil {
		return w.faults.Unfit(err, pool.Pathless(err))
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (w *writer) openFailure(err error) error {
	var e *duckError
	if errors.As(err, &e) {
		if pid, locked := e.lockedBy(); locked {
			return w.faults.Locked(err, pid)
		}
		if e.full() {
			return w.faults.Full(err, w.cfg.MinFree)
		}
		if e.foreign() {
			return w.faults.Unfit(err, "it is damaged, or it is not a DuckDB database")
		}
	}
	return w.faults.Unfit(err, "DuckDB cannot open it: "+w.words(err))
}

// inspect creates the tables of an empty file, rejects a file with different tables, and
// reads source and coverage.
func (w *writer) inspect(d *duck) error {
	have, err := tablesOf(d)
	if err != nil {
		return w.openFailure(err)
	}
	if len(have) == 0 {
		if err := create(d, w.cfg.Source); err != nil {
			return w.failure(err)
		}
		if have, err = tablesOf(d); err != nil {
			return w.openFailure(err)
		}
	}
	version := int64(0)
	if slices.Contains(have["meta"], "schema_version BIGINT") && slices.Contains(have["meta"], "source VARCHAR") {
		err = d.query("SELECT schema_version, source FROM meta", func(c rows) error {
			version, w.source = value[int64](c.columns[0], 0), c.columns[1].text(0)
			return nil
		})
		if err != nil {
			return w.openFailure(err)
		}
	}
	// The version first: the tables of a newer one may be different from ours.
	if version > schemaVersion {
		return w.faults.Unfit(nil, fmt.Sprintf("it was written by a newer version: its schema is %d, this worker's is %d", version, schemaVersion))
	}
	if version == 1 {
		if have, err = w.migrate(d, version, have); err != nil {
			return err
		}
		version = schemaVersion
	}
	if why := mismatch(have); why != "" {
		return w.faults.Unfit(nil, why)
	}
	if version != schemaVersion {
		return w.faults.Unfit(nil, fmt.Sprintf("its schema is version %d, this worker's is %d", version, schemaVersion))
	}
	var records map[coverage.Key]coverage.Record
	if records, err = loadCoverage(d); err != nil {
		return w.openFailure(err)
	}
	if w.nextRevision, err = loadNextRevision(d); err != nil {
		return w.openFailure(err)
	}
	w.index.replace(records)
	w.forgetLists()
	return nil
}

// migrate adds to a file of an older version the tables that are new since, in one
// transaction. A file whose other tables are not ours is not changed.
func (w *writer) migrate(d *duck, version int64, have map[string][]string) (map[string][]string, error) {
	made := maps.Clone(have)
	text := "BEGIN;\n"
	for _, t := range schema() {
		if _, ok := have[t.name]; !ok && t.name == pool.RevisionsTable {
			text += t.createSQL()
			made[t.name] = t.declared()
		}
	}
	if mismatch(made) != "" {
		return have, nil // the next inspection reports what is wrong
	}
	w.log.Info("the schema of the file is upgraded", "from", version, "to", schemaVersion)
	if err := d.exec(text + fmt.Sprintf("UPDATE meta SET schema_version = %d; COMMIT", schemaVersion)); err != nil {
		return have, w.failure(err)
	}
	return made, nil
}

func (w *writer) forgetLists() {
	w.sink.lists.calendar.Store(nil)
	w.sink.lists.instruments.Store(nil)
}

func create(d *duck, source string) error {
	return d.exec("BEGIN;\n" + createSQL() + fmt.Sprintf("INSERT INTO meta VALUES (%d, %s, make_timestamp(%d)); COMMIT; CHECKPOINT",
		schemaVersion, quote(source), time.Now().UnixMicro()))
}

// tablesOf lists the file's tables, each with "column type" in order.
func tablesOf(d *duck) (map[string][]string, error) {
	have := make(map[string][]string)
	err := d.query(`SELECT table_name, column_name, data_type FROM duckdb_columns()
	  WHERE NOT internal AND database_name = current_database() AND schema_name = 'main' ORDER BY table_name, column_index`, func(c rows) error {
		for i := range c.len {
			name := c.columns[0].text(i)
			have[name] = append(have[name], c.columns[1].text(i)+" "+c.columns[2].text(i))
		}
		return nil
	})
	return have, err
}

// mismatch names the first table that is missing or different from ours. Additional tables
// and views belong to the user and are ignored.
func mismatch(have map[string][]string) string {
	for _, t := range schema() {
		columns, ok := have[t.name]
		if !ok {
			return "it lacks the table " + t.name
		}
		if !slices.Equal(columns, t.declared()) {
			return "its table " + t.name + " has other columns"
		}
	}
	return ""
}

// declared lists the table's columns in the form of tablesOf.
func (t schemaTable) declared() []string {
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		out[i] = c.name + " " + c.typ
	}
	return out
}

// words is an error of DuckDB in one line, without the file's directory.
func (w *writer) words(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	for _, path := range []string{pool.Destination(w.cfg.Path), w.cfg.Path} {
		line = strings.ReplaceAll(line, path, "the file")
	}
	return strings.TrimRight(line, ".!") // it is part of a sentence
}
