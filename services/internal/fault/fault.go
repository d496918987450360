package fault

import (
	"errors"
	"fmt"
	"time"
)

// Violation is one invalid field of a request.
type Violation struct {
	// Field is its path, as in the contract: "start_date", "targets.symbols[3]".
	Field string
	// Problem says what is wrong and what is allowed.
	Problem string
}

// Error is a failure with a reason. Build it with New, Wrap or Invalid.
type Error struct {
	// Reason from the closed list.
	Reason Reason
	// Message is one sentence for a user. It never contains a token.
	Message string
	// Meta has the values in the message; its keys are those in Describe.
	Meta map[string]string
	// RetryAt is the earliest time at which a retry can help. Zero means unknown.
	RetryAt time.Time
	// Fields are the invalid fields of a request. Empty unless INVALID_ARGUMENT.
	Fields []Violation
	// Remedy says what to do, if the reason's own remedy does not fit. Empty means that one;
	// see RemedyOf.
	Remedy string

	cause error
}

// New returns an error with a reason, a sentence and metadata as key, value pairs.
func New(r Reason, message string, kv ...string) *Error {
	return &Error{Reason: r, Message: message, Meta: pairs(kv)}
}

// Wrap is New with a cause, which errors.Is and errors.As see and remote callers do not.
func Wrap(cause error, r Reason, message string, kv ...string) *Error {
	f := New(r, message, kv...)
	f.cause = cause
	return f
}

// Invalid returns INVALID_ARGUMENT for one field.
func Invalid(field, format string, args ...any) *Error {
	problem := fmt.Sprintf(format, args...)
	return &Error{
		Reason:  InvalidArgument,
		Message: field + ": " + problem,
		Meta:    map[string]string{"field": field},
		Fields:  []Violation{{Field: field, Problem: problem}},
	}
}

// RemedyOf is the remedy of an error: its own, that of the kind of resource that was not
// found, or that of its reason.
func RemedyOf(e *Error) string {
	if e.Remedy != "" {
		return e.Remedy
	}
	if e.Reason == NotFound {
		if remedy, ok := finding[e.Meta["kind"]]; ok {
			return remedy
		}
	}
	d, _ := Describe(e.Reason)
	return d.Remedy
}

// Error is the message. The reason and cause are for logs and code.
func (e *Error) Error() string { return e.Message }

// Unwrap is the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// As returns the Error in a chain.
func As(err error) (*Error, bool) {
	var f *Error
	if errors.As(err, &f) {
		return f, true
	}
	return nil, false
}

// ReasonOf is the reason of an error: INTERNAL for one without, empty for nil.
func ReasonOf(err error) Reason {
	if err == nil {
		return ""
	}
	if f, ok := As(err); ok {
		return f.Reason
	}
	return Internal
}

// Is reports whether err has the reason.
func Is(err error, r Reason) bool { return ReasonOf(err) == r }

func pairs(kv []string) map[string]string {
	if len(kv) == 0 {
		return nil
	}
	if len(kv)%2 != 0 {
		panic("fault: metadata must be key, value pairs") // a bug, found by the first test of the call
	}
	m := make(map[string]string, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}
