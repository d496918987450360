package vault

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Token is a provider token that is printed as [redacted] by every verb. The zero value is
// no token.
type Token struct {
	// A pointer, because fmt calls no method on the unexported fields of a struct that
	// contains a Token.
	value *string
}

// NewToken wraps a value. An empty value is no token.
func NewToken(value string) Token {
	if value == "" {
		return Token{}
	}
	return Token{&value}
}

// Reveal is the value itself, only for the body of a provider call. Empty for the zero
// value.
func (t Token) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// String is "[redacted]", or empty for the zero value.
func (t Token) String() string {
	if t.value == nil {
		return ""
	}
	return redacted
}

// Format writes String for every verb.
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.String()) }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText is String, also within JSON.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
