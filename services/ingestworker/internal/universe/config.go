package universe

import (
	"log/slog"
	"time"
)

// Config is where the pool's file is and how it is written. The zero value of
// every field but Path and Source means its default.
type Config struct {
	// Path of the DuckDB file. Its folder must exist.
	Path string
	// Source is the host of the provider's URL; a file filled from another is
	// refused.
	Source string
	// AcceptSource stamps a file of another source again, on purpose.
	AcceptSource bool
	// Logger; the default is slog.Default().
	Logger *slog.Logger
	// Idle is how long after its last use the file is closed; the default is 10 s.
	Idle time.Duration
	// GroupPartitions and GroupRows bound what one transaction commits; the
	// defaults are 20 partitions and 100,000 rows. One partition is always let in.
	GroupPartitions, GroupRows int
	// CheckpointRows is after how many rows the write-ahead log is folded into the
	// file, which bounds both the log and the memory of rows not yet compressed;
	// the default is 300,000.
	CheckpointRows int
	// Memory is DuckDB's memory_limit, as in "120MB", the default. It does not
	// bound rows of a transaction in progress.
	Memory string
	// Threads DuckDB may use; the default is 1. With more, the one that waits for the
	// others asks in a loop whether they are done: a checkpoint then takes a third more
	// CPU time, which decoding lacks.
	Threads int
	// MinFree is the least room on the volume, in bytes, to write at all; the
	// default is 64 MiB.
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
		c.Memory = "120MB"
	}
	if c.Threads == 0 {
		c.Threads = 1
	}
	if c.MinFree == 0 {
		c.MinFree = 64 << 20
	}
	return c
}
