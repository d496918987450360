package auth

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// MaxAudit is how many bytes of a request, and of the values before and after, an audit
// entry stores. The longest target list fits.
const MaxAudit = 64 << 10

// Entry is one entry of the audit trail.
type Entry struct {
	// ID increases with time. 0 until it is stored.
	ID int64
	// At is when the change was made.
	At time.Time
	// Caller who made it.
	Caller Caller
	// Method that was called, for example "RunService.CreateRun".
	Method string
	// Request as JSON, without secrets.
	Request string
	// Before is the value before the change, as JSON; empty if nothing was replaced.
	Before string
	// After is the value after the change, as JSON.
	After string
}

// EntryFilter selects entries; empty fields select everything.
type EntryFilter struct {
	// Actor is the caller's name.
	Actor string
	// Method, or the service alone.
	Method string
	// Before selects entries with a lower ID; 0 means from the newest on.
	Before int64
	// Limit is the largest number of entries to return. Fewer are returned if they have more
	// than MaxAnswer bytes.
	Limit int
}

// MaxAnswer is about how many bytes the entries of one response have, so that it stays
// below the 4 MiB that a gRPC client accepts by default.
const MaxAnswer = 3 << 20

// Change is the change that a call makes. The call's first write to the store adds its
// audit entry, in the same transaction.
type Change struct {
	// Entry, as far as it is known before the write.
	Entry Entry

	stored atomic.Bool
	begun  atomic.Bool
}

// Begun reports whether the entry says that the call has begun a change outside the store.
func (c *Change) Begun() bool { return c.begun.Load() }

// Begin returns the entry of a call that is about to change something outside the store.
// Outcome returns its second entry; if that is missing, the process was killed in between.
func (c *Change) Begin() Entry {
	c.begun.Store(true)
	e := c.Entry
	e.After = AuditText(outcome{Outcome: "begun"})
	return e
}

// Outcome is the second entry of a call that began, with its result.
func (c *Change) Outcome(err error) Entry {
	e, o := c.Entry, outcome{Outcome: "done"}
	if err != nil {
		o = outcome{Outcome: "failed", Reason: string(fault.ReasonOf(err))}
	}
	e.After = AuditText(o)
	return e
}

// outcome is stored instead of the value after a change.
type outcome struct {
	// Outcome is "begun", "done" or "failed".
	Outcome string `json:"outcome"`
	// Reason of a failure.
	Reason string `json:"reason,omitempty"`
}

// Stored reports whether the entry is in the audit trail.
func (c *Change) Stored() bool { return c.stored.Load() }

// Done marks the entry as stored.
func (c *Change) Done() { c.stored.Store(true) }

type changeKey struct{}

// WithChange returns a context whose first write is audited as c.
func WithChange(ctx context.Context, c *Change) context.Context {
	return context.WithValue(ctx, changeKey{}, c)
}

// ChangeOf returns the change of a context that is not stored yet; nil if there is none.
func ChangeOf(ctx context.Context) *Change {
	c, _ := ctx.Value(changeKey{}).(*Change)
	if c == nil || c.Stored() {
		return nil
	}
	return c
}

// Carry returns to with the change of from, for work that another goroutine does for a
// caller.
func Carry(to, from context.Context) context.Context {
	if c := ChangeOf(from); c != nil {
		return WithChange(to, c)
	}
	return to
}

// written matches a key in a text in which somebody wrote it by mistake.
var written = regexp.MustCompile(keyPrefix + `[a-z2-7]{10}_[a-z2-7]+`)

// AuditText is a value as the audit trail stores it: JSON without keys, cut at MaxAudit. Text is
// stored unchanged.
func AuditText(v any) string {
	text := written.ReplaceAllString(textOf(v), keyPrefix+"…")
	if len(text) <= MaxAudit {
		return text
	}
	text = text[:MaxAudit-len("…")]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "…"
}

func textOf(v any) string {
	if text, ok := v.(string); ok || v == nil {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// Same reports whether a write changed nothing.
func Same(before, after any) bool {
	was := textOf(before)
	return was != "" && was == textOf(after)
}

// Secret reports, by the name of a field, whether its value must not be stored in an entry.
func Secret(field string) bool {
	field = strings.ToLower(field)
	for _, word := range []string{"secret", "password", "authorization", "cookie", "credential"} {
		if strings.Contains(field, word) {
			return true
		}
	}
	return field == "key" || field == "token" || strings.HasSuffix(field, "_key") || strings.HasSuffix(field, "token") && field != "page_token"
}
