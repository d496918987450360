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

// MaxAudit is how many bytes of a request, of the values before and of those after an
// entry of the audit trail keeps: the longest list of targets fits.
const MaxAudit = 64 << 10

// Entry is one entry of the audit trail.
type Entry struct {
	// ID grows with time. 0 until it is stored.
	ID int64
	// At is when the change was made.
	At time.Time
	// Caller who made it.
	Caller Caller
	// Method that was called, as in "RunService.CreateRun".
	Method string
	// Request as JSON, without secrets.
	Request string
	// Before and After are what was changed, as JSON; empty where nothing was replaced.
	Before string
	// After is what it was changed to.
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
	// Limit is the most that is returned; entries of more than MaxAnswer bytes end the
	// list earlier.
	Limit int
}

// MaxAnswer is about how many bytes the entries of one answer have together, so that it
// stays below the 4 MiB that a gRPC client reads unless told otherwise.
const MaxAnswer = 3 << 20

// Change is a call that changes something, on its way to the store. The first write of
// it puts its entry into the audit trail, in the same transaction.
type Change struct {
	// Entry as far as it is known before the write.
	Entry Entry

	stored atomic.Bool
	begun  atomic.Bool
}

// Begun tells whether the trail says that the call has begun to do something that no write
// of the store takes along.
func (c *Change) Begun() bool { return c.begun.Load() }

// Begin is the entry of a call that is about to do such a thing. Its Outcome follows as a
// second entry; where that is missing, the process ended in between.
func (c *Change) Begin() Entry {
	c.begun.Store(true)
	e := c.Entry
	e.After = Told(outcome{Outcome: "begun"})
	return e
}

// Outcome is the entry of a call that began, with what became of it.
func (c *Change) Outcome(err error) Entry {
	e, o := c.Entry, outcome{Outcome: "done"}
	if err != nil {
		o = outcome{Outcome: "failed", Reason: string(fault.ReasonOf(err))}
	}
	e.After = Told(o)
	return e
}

// outcome is what an entry has in the place of the value after a change.
type outcome struct {
	// Outcome is "begun", "done" or "failed".
	Outcome string `json:"outcome"`
	// Reason of a failure.
	Reason string `json:"reason,omitempty"`
}

// Stored tells whether the entry is in the audit trail.
func (c *Change) Stored() bool { return c.stored.Load() }

// Done says that the entry is in the audit trail.
func (c *Change) Done() { c.stored.Store(true) }

type changeKey struct{}

// WithChange is a context whose first write is audited as c.
func WithChange(ctx context.Context, c *Change) context.Context {
	return context.WithValue(ctx, changeKey{}, c)
}

// ChangeOf is the change that a context carries and that is not stored yet; nil where
// there is none.
func ChangeOf(ctx context.Context) *Change {
	c, _ := ctx.Value(changeKey{}).(*Change)
	if c == nil || c.Stored() {
		return nil
	}
	return c
}

// Carry is to with the change of from, for work that another goroutine does on behalf
// of a caller.
func Carry(to, from context.Context) context.Context {
	if c := ChangeOf(from); c != nil {
		return WithChange(to, c)
	}
	return to
}

// written finds a key in a text, where somebody put it by mistake.
var written = regexp.MustCompile(keyPrefix + `[a-z2-7]{10}_[a-z2-7]+`)

// Told is a value as the audit trail keeps it: JSON without keys, cut at MaxAudit. Text
// is taken as it is.
func Told(v any) string {
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

// Same tells whether a write left things as they were.
func Same(before, after any) bool {
	was := textOf(before)
	return was != "" && was == textOf(after)
}

// Secret tells a field whose value no entry keeps, by its name.
func Secret(field string) bool {
	field = strings.ToLower(field)
	for _, word := range []string{"secret", "password", "authorization", "cookie", "credential"} {
		if strings.Contains(field, word) {
			return true
		}
	}
	return field == "key" || field == "token" || strings.HasSuffix(field, "_key") || strings.HasSuffix(field, "token") && field != "page_token"
}
