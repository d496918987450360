package main

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// clock is the time of both services and of the provider: the system's time plus the nanoseconds
// in the file, which the programs map into memory.
type clock struct {
	file string

	mu     sync.Mutex
	offset time.Duration
}

// Now returns the services' time.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset).Round(0)
}

// Set sets the clock to t.
func (c *clock) Set(t time.Time) error { return c.Jump(t.Sub(c.Now())) }

// Jump moves the clock of all processes by d.
func (c *clock) Jump(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(c.offset)), 0)
	return errors.Join(err, f.Close())
}

// evening returns a time, in Beijing time, of the drills' day, a Wednesday on which the exchange is
// open.
func evening(hour, minute, second int) time.Time {
	return time.Date(2026, 3, 18, hour, minute, second, 0, tusharesim.Beijing)
}

// today is the drills' day.
const today = "2026-03-18"
