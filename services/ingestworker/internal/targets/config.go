package targets

import (
	"log/slog"
	"time"
)

// Config is the configuration of the pool. The zero value of every field except Path and
// Source means its default.
type Config struct {
	// Path of the SQLite file. Its directory must exist.
	Path string
	// Source is the host of the provider's URL; a file that was filled from another one is
	// rejected.
	Source string
	// AcceptSource accepts this source for a file of another one.
	AcceptSource bool
	// Logger; the default is slog.Default().
	Logger *slog.Logger
	// Idle is how long after its last use Release closes the file; the default is 10 s.
	Idle time.Duration
	// BusyTimeout is how long another program's lock is waited for; the default is 5 s.
	BusyTimeout time.Duration
	// MinFree is the least free space on the volume for writing, in bytes; the default is 64
	// MiB.
	MinFree int64
	// LogHeld is the size in bytes from which a commit reports that a reader holds the
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
