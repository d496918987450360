package universe

import (
	"log/slog"
	"time"
)

// Config is the configuration of the pool. The zero value of every field except Path and
// Source means its default.
type Config struct {
	// Path of the DuckDB file. Its directory must exist.
	Path string
	// Source is the host of the provider's URL; a file that was filled from another one is
	// rejected.
	Source string
	// AcceptSource accepts this source for a file of another one.
	AcceptSource bool
	// Logger; the default is slog.Default().
	Logger *slog.Logger
	// Idle is how long after its last use the file is closed; the default is 10 s.
	Idle time.Duration
	// GroupPartitions and GroupRows limit one transaction; the defaults are 20 partitions and
	// 100,000 rows. A single partition is always accepted.
	GroupPartitions, GroupRows int
	// CheckpointRows is the number of rows after which the write-ahead log is checkpointed,
	// which limits the log and the memory of uncompressed rows; the default is 300,000.
	CheckpointRows int
	// Memory is DuckDB's memory_limit, by default "80MB": the rows up to a checkpoint have
	// room. Blocks just written fill the rest, though nothing reads them again. It does not
	// limit the rows of a transaction in progress.
	Memory string
	// Threads of DuckDB; the default is 1. With more, the thread that waits for the others
	// polls in a loop: a checkpoint then takes a third more CPU time, which decoding needs.
	Threads int
	// First gives the writer's thread priority over the other threads of the process, on Linux.
	First bool
	// MinFree is the least free space on the volume for writing, in bytes; the default is 64
	// MiB.
	MinFree int64
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Idle == 0 {
		c.Idle = 10 * time.Second
	}
	if c.GroupPartitions == 0 {
		c.GroupPartitions = 20
	}
	if c.GroupRows == 0 {
		c.GroupRows = 100_000
	}
	if c.CheckpointRows == 0 {
		c.CheckpointRows = 300_000
	}
	if c.Memory == "" {
		c.Memory = "80MB"
	}
	if c.Threads == 0 {
		c.Threads = 1
	}
	if c.MinFree == 0 {
		c.MinFree = 64 << 20
	}
	return c
}
