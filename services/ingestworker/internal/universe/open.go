package universe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
)

// ready makes the file fit to be written: open, of the right source, with room.
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

// attach opens the file for reading and writing, creates what is new, checks the
// schema and reads the coverage. It does nothing when the file is open.
func (w *writer) attach() error {
	defer func() { w.lastUse = time.Now() }()
	if w.file != nil {
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
		if err := w.clear(); err != nil {
			return w.faults.Unfit(err, pool.Pathless(err))
		}
	}
	d, err := openDuck(w.cfg.Path, map[string]string{
		"access_mode":  "READ_WRITE",
		"memory_limit": w.cfg.Memory,
		"threads":      strconv.Itoa(w.cfg.Threads),
		// The writer says itself when to checkpoint: an automatic one in a commit is
		// a stall of up to a second.
		"checkpoint_threshold":         "1GB",
		"autoinstall_known_extensions": "false",
		"autoload_known_extensions":    "false",
	})
	if err != nil {
		return w.openFailure(err)
	}
	if err := w.inspect(d); err != nil {
		d.close()
		return err
	}
	w.file = d
	// A log left by a process that was killed has been replayed by opening; it is
	// folded in with the next checkpoint.
	w.dirty = 1
	return nil
}

// clear makes room for a new file: DuckDB does not take an empty one, and a log
// left behind by a file that was moved away must not be replayed into the next.
func (w *writer) clear() error {
	if err := os.Remove(w.cfg.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	log := w.cfg.Path + ".wal"
	err := os.Rename(log, log+".orphan")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	w.log.Warn("a write-ahead log without its file was set aside", "file", log+".orphan")
	return err
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
	}
	return w.faults.Unfit(err, "DuckDB cannot open it: "+firstLine(strings.ReplaceAll(err.Error(), w.cfg.Path, "the file")))
}

// inspect creates the tables of a file that has none, refuses one whose tables
// are others, and reads source and coverage.
func (w *writer) inspect(d *duck) error {
	have, err := tablesOf(d)
	if err != nil {
		return w.openFailure(err)
	}
	if len(have) == 0 {
		if err := create(d, w.cfg.Source); err != nil {
			return w.failure(err)
		}
	} else if why := mismatch(have); why != "" {
		return w.faults.Unfit(nil, why)
	}
	version := int64(0)
	err = d.query("SELECT schema_version, source FROM meta", func(c rows) error {
		version, w.source = value[int64](c.columns[0], 0), c.columns[1].text(0)
		return nil
	})
	if err != nil {
		return w.openFailure(err)
	}
	if version != schemaVersion {
		return w.faults.Unfit(nil, fmt.Sprintf("its schema is version %d, this worker's is %d", version, schemaVersion))
	}
	var records map[coverage.Key]coverage.Record
	if records, err = loadCoverage(d); err != nil {
		return w.openFailure(err)
	}
	w.index.replace(records)
	w.sink.lists.calendar.Store(nil)
	w.sink.lists.instruments.Store(nil)
	return nil
}

func create(d *duck, source string) error {
	return d.exec("BEGIN;\n" + createSQL() + fmt.Sprintf("INSERT INTO meta VALUES (%d, %s, make_timestamp(%d)); COMMIT; CHECKPOINT",
		schemaVersion, quote(source), time.Now().UnixMicro()))
}

// tablesOf lists the file's tables, each with "column type" in order.
func tablesOf(d *duck) (map[string][]string, error) {
	have := make(map[string][]string)
	err := d.query(`SELECT table_name, column_name, data_type FROM duckdb_columns()
	  WHERE NOT internal AND database_name = current_database() ORDER BY table_name, column_index`, func(c rows) error {
		for i := range c.len {
			name := c.columns[0].text(i)
			have[name] = append(have[name], c.columns[1].text(i)+" "+c.columns[2].text(i))
		}
		return nil
	})
	return have, err
}

// mismatch names the first table that is missing or other than ours. More tables
// and views than ours are people's own, and let be.
func mismatch(have map[string][]string) string {
	for _, t := range schema() {
		columns, ok := have[t.name]
		if !ok {
			return "it lacks the table " + t.name
		}
		want := make([]string, len(t.columns))
		for i, c := range t.columns {
			want[i] = c.name + " " + c.typ
		}
		if !slices.Equal(columns, want) {
			return "its table " + t.name + " has other columns"
		}
	}
	return ""
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
