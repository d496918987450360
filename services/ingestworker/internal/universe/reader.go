package universe

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
)

// Reader is a DuckDB file that is no longer written, open for reading. Queries may run
// concurrently, each on its own connection.
type Reader struct {
	database mapping.Database
	threads  int // see ReaderConfig
}

// ReaderConfig limits the resources of a Reader.
type ReaderConfig struct {
	// Memory is DuckDB's memory_limit, for example "160MB".
	Memory string
	// Threads of DuckDB for all queries together.
	Threads int
	// TempDir is the directory for sorts that exceed the memory; it is created when needed.
	TempDir string
}

// OpenReader opens the file at path. The error is DuckDB's.
func OpenReader(path string, c ReaderConfig) (*Reader, error) {
	d, err := openDuck(path, map[string]string{
		"access_mode":                  "READ_ONLY",
		"memory_limit":                 c.Memory,
		"threads":                      strconv.Itoa(c.Threads),
		"temp_directory":               c.TempDir,
		"autoinstall_known_extensions": "false",
		"autoload_known_extensions":    "false",
	})
	if err != nil {
		return nil, err
	}
	// The metadata of Parquet files is cached; their bytes are cached by the system.
	if err := d.exec("SET GLOBAL parquet_metadata_cache = true; SET GLOBAL enable_external_file_cache = false"); err != nil {
		d.close()
		return nil, err
	}
	mapping.Disconnect(&d.conn) // each query has its own
	return &Reader{database: d.database, threads: c.Threads}, nil
}

// Close closes the reader. No query may be in progress.
func (r *Reader) Close() { mapping.Close(&r.database) }

// Threads is the number of threads, and so of processors, that a query may use.
func (r *Reader) Threads() int { return r.threads }

// Exec runs one or more statements. between is called every few milliseconds, and may take
// its time if DuckDB has one thread; its error ends them.
func (r *Reader) Exec(ctx context.Context, sql string, between func() error) error {
	return r.connected(ctx, func(d *duck) error { return d.execInParts(sql, between) })
}

// Query runs one statement and passes its rows to each, chunk by chunk, as DuckDB finds
// them: the result is never in memory as a whole, unless the statement sorts it. A chunk is
// invalid after each returns.
func (r *Reader) Query(ctx context.Context, sql string, each func(Chunk) error) error {
	return r.connected(ctx, func(d *duck) error { return d.stream(sql, each) })
}

// connected runs f on a new connection and interrupts it when ctx ends.
func (r *Reader) connected(ctx context.Context, f func(d *duck) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := (&duck{database: r.database}).besides(func(d *duck) error {
		interrupted := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			mapping.Interrupt(d.conn)
			close(interrupted)
		})
		err := f(d)
		if !stop() {
			<-interrupted // before its connection is closed
		}
		return err
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// stream is query without the whole result in memory.
func (d *duck) stream(sql string, each func(Chunk) error) error {
	var statement mapping.PreparedStatement
	defer mapping.DestroyPrepare(&statement)
	if mapping.Prepare(d.conn, sql, &statement) == mapping.StateError {
		return newDuckError(mapping.PrepareError(statement), mapping.ErrorTypeInvalid)
	}
	var result mapping.Result
	state := bindings.ExecutePreparedStreaming(statement, &result) // the only way without the whole result in memory
	defer mapping.DestroyResult(&result)
	if state == mapping.StateError {
		return newDuckError(mapping.ResultError(&result), mapping.ResultErrorType(&result))
	}
	return eachChunk(result, func(chunk rows) error { return each(Chunk{chunk}) })
}

// execInParts is exec, task by task.
func (d *duck) execInParts(sql string, between func() error) error {
	var statements mapping.ExtractedStatements
	n := mapping.ExtractStatements(d.conn, sql, &statements)
	defer mapping.DestroyExtracted(&statements)
	if n == 0 {
		return newDuckError(mapping.ExtractStatementsError(statements), mapping.ErrorTypeParser)
	}
	for i := range n {
		if err := d.statement(statements, i, between); err != nil {
			return err
		}
	}
	return nil
}

func (d *duck) statement(statements mapping.ExtractedStatements, i mapping.IdxT, between func() error) error {
	var statement mapping.PreparedStatement
	defer mapping.DestroyPrepare(&statement)
	if mapping.PrepareExtractedStatement(d.conn, statements, i, &statement) == mapping.StateError {
		return newDuckError(mapping.PrepareError(statement), mapping.ErrorTypeInvalid)
	}
	var pending mapping.PendingResult
	defer mapping.DestroyPending(&pending)
	if mapping.PendingPrepared(statement, &pending) == mapping.StateError {
		return newDuckError(mapping.PendingError(pending), mapping.ErrorTypeInvalid)
	}
	for more := true; more; {
		switch mapping.PendingExecuteTask(pending) {
		case mapping.PendingStateResultNotReady:
			if err := between(); err != nil {
				return err
			}
		case mapping.PendingStateError:
			return newDuckError(mapping.PendingError(pending), mapping.ErrorTypeInvalid)
		default: // ready, or in progress in other threads
			more = false
		}
	}
	var result mapping.Result
	state := mapping.ExecutePending(pending, &result)
	defer mapping.DestroyResult(&result)
	if state == mapping.StateError {
		return newDuckError(mapping.ResultError(&result), mapping.ResultErrorType(&result))
	}
	return nil
}

// Chunk is some rows of a result, by column, in DuckDB's memory.
type Chunk struct{ rows }

// Len is the number of rows.
func (c Chunk) Len() int { return c.len }

// Null reports whether a value is null.
func (c Chunk) Null(column, row int) bool { return c.columns[column].null(row) }

// Valid has one bit per row, the first row's lowest; nil if no value is null. Bits after
// the last row are undefined.
func (c Chunk) Valid(column int) []uint64 {
	v := c.columns[column].valid
	if v == nil {
		return nil
	}
	return unsafe.Slice((*uint64)(v), (c.len+63)/64)
}

// Floats are the values of a DOUBLE column; those of nulls are undefined.
func (c Chunk) Floats(column int) []float64 {
	return unsafe.Slice((*float64)(c.columns[column].data), c.len)
}

// Ints are the values of an INTEGER column, or the days since 1970 of a DATE column.
func (c Chunk) Ints(column int) []int32 {
	return unsafe.Slice((*int32)(c.columns[column].data), c.len)
}

// Longs are the values of a BIGINT column, or the microseconds of a TIMESTAMP column.
func (c Chunk) Longs(column int) []int64 {
	return unsafe.Slice((*int64)(c.columns[column].data), c.len)
}

// Bytes is a value of a VARCHAR column, in DuckDB's memory: copy it to keep it. Empty for a
// null.
func (c Chunk) Bytes(column, row int) []byte {
	v := c.columns[column]
	if v.null(row) {
		return nil
	}
	at := unsafe.Add(v.data, row*stringSize)
	n := *(*uint32)(at)
	if n <= inlineMax {
		return unsafe.Slice((*byte)(unsafe.Add(at, 4)), n)
	}
	return unsafe.Slice(*(**byte)(unsafe.Add(at, 8)), n)
}

// Text is a value of a VARCHAR column. Empty for a null.
func (c Chunk) Text(column, row int) string { return string(c.Bytes(column, row)) }

// Coverage reads the coverage table.
func (r *Reader) Coverage(ctx context.Context) (out *Covered, err error) {
	err = r.connected(ctx, func(d *duck) error {
		var bySymbol bool
		if out, bySymbol, err = loadBySymbol(d); err != nil || bySymbol {
			return err
		}
		records, err := loadCoverage(d)
		out = &Covered{whole: records}
		return err
	})
	return out, err
}

// IsFull reports whether an error means a full volume.
func IsFull(err error) bool {
	var e *duckError
	return errors.As(err, &e) && e.full() || pool.IsFull(err)
}

// ErrorText is the first line of DuckDB's error, without the directories of files.
func ErrorText(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return paths.ReplaceAllString(line, "$1")
}

var paths = regexp.MustCompile(`(?:/[^/\s"']+)+/([^/\s"']+)`)

// Quote writes a text as an SQL literal.
func Quote(s string) string { return quote(s) }
