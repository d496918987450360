package fault

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Severity is how much an issue matters.
type Severity int

const (
	// Warning is recorded and blocks nothing.
	Warning Severity = 1
	// Retry may be over later.
	Retry Severity = 2
	// Blocking stays until a user changes something.
	Blocking Severity = 3
)

// String is the severity in lower case, as the ledger stores it.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Retry:
		return "retry"
	case Blocking:
		return "blocking"
	}
	return "none"
}

// MarshalText writes the word of String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalJSON reads the word, or the number that earlier releases wrote.
func (s *Severity) UnmarshalJSON(data []byte) error {
	if number := (*int)(s); json.Unmarshal(data, number) == nil {
		return nil
	}
	var word string
	if err := json.Unmarshal(data, &word); err != nil {
		return err
	}
	for _, v := range []Severity{0, Warning, Retry, Blocking} {
		if v.String() == word {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("%.20q is not a severity", word)
}

// Issue is one finding about a module, a domain, a partition or a pool. Its JSON form is
// stored in the ledger's `meta_json.issues`.
type Issue struct {
	// Reason from the closed list.
	Reason Reason `json:"reason"`
	// Severity of the issue.
	Severity Severity `json:"severity"`
	// Domain of the issue. Empty if it is about more.
	Domain string `json:"domain,omitempty"`
	// Module of the issue. Empty if it is about more.
	Module string `json:"module,omitempty"`
	// Message is one sentence for a user. It never contains a token.
	Message string `json:"message"`
	// Remedy says what to do, as a sentence or a command line.
	Remedy string `json:"remedy"`
	// RetryAt is the earliest time at which a retry can help. Zero means unknown.
	RetryAt time.Time `json:"retryAt,omitzero"`
	// Meta has the values in the message.
	Meta map[string]string `json:"meta,omitempty"`
}

// IssueOf converts an error to an issue, with the severity and the remedy of its reason.
func IssueOf(err error) Issue {
	f, ok := As(err)
	if !ok {
		f = New(Internal, "An unexpected error occurred; the log has the details.")
	}
	d, _ := Describe(f.Reason)
	return Issue{
		Reason: f.Reason, Severity: d.Class.severity(), Domain: f.Meta["domain"], Module: f.Meta["module"],
		Message: f.Message, Remedy: d.Remedy, RetryAt: f.RetryAt, Meta: maps.Clone(f.Meta),
	}
}

// NewIssue is IssueOf for a finding that is not an error.
func NewIssue(r Reason, message string, kv ...string) Issue { return IssueOf(New(r, message, kv...)) }

// Command is the command line that the remedy ends with, or empty.
func (i Issue) Command() string { return CommandIn(i.Remedy) }

// CommandIn is the command line at the end of a remedy, or empty: it follows the last
// colon, so that it can be pasted.
func CommandIn(remedy string) string {
	command := remedy[strings.LastIndex(remedy, ": ")+1:]
	for _, word := range []string{" curl ", " bin/", " afterbell ", " AFTERBELL_", " mv ", " df "} {
		if strings.HasPrefix(command, word) {
			return command[1:]
		}
	}
	return ""
}

// Err converts an issue to an error.
func (i Issue) Err() *Error {
	return &Error{Reason: i.Reason, Message: i.Message, Meta: i.Meta, RetryAt: i.RetryAt}
}

func (c Class) severity() Severity {
	switch c {
	case Permanent:
		return Blocking
	case Notice:
		return Warning
	}
	return Retry
}

// SortIssues sorts the worst first and keeps the order of equals.
func SortIssues(issues []Issue) {
	slices.SortStableFunc(issues, func(a, b Issue) int { return int(b.Severity) - int(a.Severity) })
}

// Worst returns the worst issue; ok is false if there is none.
func Worst(issues []Issue) (worst Issue, ok bool) {
	for _, i := range issues {
		if !ok || i.Severity > worst.Severity {
			worst, ok = i, true
		}
	}
	return worst, ok
}
