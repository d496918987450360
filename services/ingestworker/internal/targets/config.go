package targets

import (
	"log/slog"
	"time"
)

// Config is where the pool's file is. The zero value of every field but Path and
// Source means its default.
type Config struct {
	// Path of the SQLite file. Its folder must exist.
	Path string
	// Source is the host of the provider's URL; a file filled from another is
	// refused.
	Source string
	// AcceptSource stamps a file of another source again, on purpose.
	AcceptSource bool
	// Logger; the default is slog.Default().
	Logger *slog.Logger
	// Idle is how long after its last use Release closes the file; the default is
	// 10 s.
	Idle time.Duration
	// BusyTimeout is how long another program's lock is waited for; the default is
	// 5 s.
	BusyTimeout time.Duration
	// MinFree is the least room on the volume, in bytes, to write at all; the
	// default is 64 MiB.
	MinFree int64
	// LogHeld is the size in bytes from which on a commit tells that a reader holds the
	// write-ahead log; the default is 128 MiB.
	LogHeld int64
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Idle == 0 {
		c.Idle = 10 * time.Second
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = 5 * time.Second
	}
	if c.MinFree == 0 {
		c.MinFree = 64 << 20
	}
	if c.LogHeld == 0 {
		c.LogHeld = 128 << 20
	}
	return c
}
