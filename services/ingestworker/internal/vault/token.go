package vault

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Token is a provider token that prints as [redacted], however it is printed. The
// zero value is no token.
type Token struct {
	// Behind a pointer, because fmt calls no method on the unexported fields of a
	// struct that holds a Token.
	value *string
}

// NewToken wraps a value. The empty value is no token.
func NewToken(value string) Token {
	if value == "" {
		return Token{}
	}
	return Token{&value}
}

// Reveal is the value itself, for the body of a provider call and nothing else.
// Empty for the zero value.
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
