package quota

import (
	"fmt"
	"math"
	"time"
)

// Window is the time a limit is counted over.
type Window uint8

// The windows that the provider names.
const (
	Minute Window = iota
	Hour
	// Day is the calendar day in Beijing.
	Day
	windows
)

// Length of the window.
func (w Window) Length() time.Duration {
	return [...]time.Duration{time.Minute, time.Hour, 24 * time.Hour}[w]
}

// String is the window in lower case, as metadata and the store write it.
func (w Window) String() string { return [...]string{"minute", "hour", "day"}[w] }

// WindowOf is the window for a wait: a wait of up to two minutes is handled like a limit
// per minute.
func WindowOf(wait time.Duration) Window {
	switch {
	case wait <= 2*time.Minute:
		return Minute
	case wait <= time.Hour:
		return Hour
	}
	return Day
}

// Priority decides which calls yield when a limit is near. The values are those of
// ingest.Priority, which this package may not import.
type Priority int

const (
	// Backfill leaves a reserve of every limit to the others.
	Backfill Priority = iota
	// Normal leaves one call of every limit of ten or more to probes.
	Normal
	// Probe may use all of a limit, and goes first.
	Probe
)

// Key identifies what a limit applies to.
type Key struct {
	// Token is the keyed fingerprint of the token, never the token.
	Token string
	// API is the provider's api_name.
	API string
}

// DefaultReserve is the share that backfills leave to others. It is small because it limits
// how far a backfill stays behind calls ÷ limit: with 4 %, the duration is within 5 % of
// it.
const DefaultReserve = 0.04

// Settings apply until the provider states a limit. The zero value means no limits.
type Settings struct {
	// PerMinute is the number of calls per minute and API. 0 means no limit until a refusal
	// states one.
	PerMinute int
	// Tighter lists APIs with a smaller limit.
	Tighter map[string]int
	// Reserve is the share of every limit that backfills leave to others, 0 to 0.9.
	Reserve float64
}

// DefaultSettings are the documented tier with so many calls per minute and API, of which
// stock_basic allows 50; 0 means no limit until a refusal states one.
func DefaultSettings(perMinute int) Settings {
	s := Settings{PerMinute: perMinute, Reserve: DefaultReserve}
	if perMinute > 0 {
		s.Tighter = map[string]int{"stock_basic": 50}
	}
	return s
}

// Check returns what is wrong with the settings.
func (s Settings) Check() error {
	if s.PerMinute < 0 {
		return fmt.Errorf("%d calls per minute: must be 1 or more, or 0 for no limit", s.PerMinute)
	}
	if !(s.Reserve >= 0 && s.Reserve <= 0.9) {
		return fmt.Errorf("a reserve of %v: must be from 0 to 0.9", s.Reserve)
	}
	return nil
}

// Limit is the number of calls a minute assumed for an API; 0 for no limit.
func (s Settings) Limit(api string) int {
	if t, ok := s.Tighter[api]; ok && t < s.PerMinute {
		return t
	}
	return s.PerMinute
}

// Allowance is how many of n calls a priority may use.
func (s Settings) Allowance(n int, p Priority) int {
	switch {
	case p == Backfill && n >= 5:
		return n - max(1, int(math.Floor(float64(n)*s.Reserve)))
	case p == Normal && n >= 10:
		return n - 1
	}
	return n
}

// Exhausted is the error for a used-up limit that is not waited for.
type Exhausted struct {
	// API whose limit it is.
	API string
	// Window of the limit, and Limit its size; 0 when unknown.
	Window Window
	Limit  int
	// Until is when calls are expected to be allowed again.
	Until time.Time
	// Asked is true if the provider asked for the wait without naming a limit.
	Asked bool
}

// Error names the limit and its end.
func (e *Exhausted) Error() string {
	return fmt.Sprintf("the limit of %s per %s is used up until %s", e.API, e.Window, e.Until.Format(time.RFC3339))
}
