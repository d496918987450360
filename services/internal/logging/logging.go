// Package logging configures slog in the same way for every program: one line per record,
// JSON or text, times in UTC, durations as 1.5s, secrets redacted.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Redacted replaces a secret.
const Redacted = "[redacted]"

// New returns a program's logger. level is debug, info, warn or error; format is json or
// text. Attributes named token, authorization, password or secret are redacted at any
// depth.
func New(w io.Writer, level, format string) (*slog.Logger, error) {
	lvl, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: lvl, ReplaceAttr: replace}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("unknown log format %.20q: allowed are json, text", format)
}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	switch s {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("unknown log level %.20q: allowed are debug, info, warn, error", s)
}

// Discard drops every record.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func replace(groups []string, a slog.Attr) slog.Attr {
	switch strings.ToLower(a.Key) {
	case "token", "authorization", "password", "secret":
		return slog.String(a.Key, Redacted)
	}
	if a.Key == slog.TimeKey && len(groups) == 0 && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	if a.Value.Kind() == slog.KindDuration { // JSON would have nanoseconds
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}
