// Package targetset defines the target list: named sets of symbols, some of which expire,
// and their union.
package targetset

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// The sets with a special meaning.
const (
	// Default is the set that users edit. It always exists.
	Default = "default"
	// Temporary is the set whose symbols expire.
	Temporary = "temporary"
)

// Limits.
const (
	// MaxSets is how many sets there may be.
	MaxSets = 64
	// MaxSymbols is how many different symbols all sets together may have: a plan of three
	// years of more would not fit in one response.
	MaxSymbols = 2000
	// TemporaryFor is the default lifetime of a symbol in Temporary.
	TemporaryFor = 7 * 24 * time.Hour
	// MaxAhead is the longest lifetime of a symbol.
	MaxAhead = 366 * 24 * time.Hour
)

// Entry is a symbol of a set.
type Entry struct {
	// Symbol, for example "600519.SH".
	Symbol string
	// Until is when it expires, in whole milliseconds; zero means never.
	Until time.Time
}

// Set is a named set of symbols.
type Set struct {
	// ID is its name.
	ID string
	// Note describes it for users.
	Note string
	// Entries by symbol, without duplicates.
	Entries []Entry
	// UpdatedAt is when it was last changed; zero for a default set that was never written.
	UpdatedAt time.Time
}

var form = regexp.MustCompile(`^[a-z0-9][a-z0-9._:-]{0,63}$`)

// CheckID returns an error for an invalid name of a set.
func CheckID(id string) error {
	if !form.MatchString(id) {
		return fmt.Errorf("%.80q is not a valid set name: write 1 to 64 characters of a-z, 0-9, \".\", \"_\", \"-\" and \":\", starting with a letter or a digit", id)
	}
	return nil
}

// Make returns a set of these entries, by symbol. If a symbol is given twice, the entry
// that expires last counts.
func Make(id, note string, entries []Entry) Set {
	last := make(map[string]time.Time, len(entries))
	for _, e := range entries {
		until, known := last[e.Symbol]
		if !known || e.Until.IsZero() || !until.IsZero() && e.Until.After(until) {
			last[e.Symbol] = e.Until
		}
	}
	s := Set{ID: id, Note: note, Entries: make([]Entry, 0, len(last))}
	for symbol, until := range last {
		s.Entries = append(s.Entries, Entry{symbol, until})
	}
	slices.SortFunc(s.Entries, func(a, b Entry) int { return strings.Compare(a.Symbol, b.Symbol) })
	return s
}

// Live is the set without expired entries.
func (s Set) Live(now time.Time) Set {
	s.Entries = slices.DeleteFunc(slices.Clone(s.Entries), func(e Entry) bool { return !e.Until.IsZero() && !e.Until.After(now) })
	return s
}

// Until is when a symbol of the set expires, zero for never; ok is false if the set does
// not have it.
func (s Set) Until(symbol string) (until time.Time, ok bool) {
	i, ok := slices.BinarySearchFunc(s.Entries, symbol, func(e Entry, symbol string) int { return strings.Compare(e.Symbol, symbol) })
	if !ok {
		return time.Time{}, false
	}
	return s.Entries[i].Until, true
}

// Symbols of the set, ascending.
func (s Set) Symbols() []string {
	out := make([]string, len(s.Entries))
	for i, e := range s.Entries {
		out[i] = e.Symbol
	}
	return out
}

// Etag changes with the entries and the note.
func (s Set) Etag() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", s.Note)
	for _, e := range s.Entries {
		ms := int64(0)
		if !e.Until.IsZero() {
			ms = e.Until.UnixMilli()
		}
		fmt.Fprintf(h, " %s %d", e.Symbol, ms)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Audited is the set as the audit trail stores it: the expiry of each symbol, empty if it
// never expires.
func (s Set) Audited() map[string]any {
	ends := make(map[string]string, len(s.Entries))
	for _, e := range s.Entries {
		if ends[e.Symbol] = ""; !e.Until.IsZero() {
			ends[e.Symbol] = e.Until.UTC().Format(time.RFC3339)
		}
	}
	return map[string]any{"set": s.ID, "note": s.Note, "symbols": ends}
}

// Find returns the set with a name.
func Find(sets []Set, id string) (Set, bool) {
	i := slices.IndexFunc(sets, func(s Set) bool { return s.ID == id })
	if i < 0 {
		return Set{ID: id}, false
	}
	return sets[i], true
}

// With returns the sets with one replaced or added.
func With(sets []Set, changed Set) []Set {
	return append(Without(sets, changed.ID), changed)
}

// Without returns the sets without the one with a name.
func Without(sets []Set, id string) []Set {
	return slices.DeleteFunc(slices.Clone(sets), func(s Set) bool { return s.ID == id })
}

// Member is the membership of a symbol in a set.
type Member struct {
	// Set is the name of the set.
	Set string
	// Until is when the symbol expires there; zero means never.
	Until time.Time
}

// Target is a symbol of the target list.
type Target struct {
	// Symbol, for example "600519.SH".
	Symbol string
	// Members are the sets that contain it, by name.
	Members []Member
}

// Until is when the symbol leaves the list automatically; zero means never.
func (t Target) Until() time.Time {
	var last time.Time
	for _, m := range t.Members {
		if m.Until.IsZero() {
			return time.Time{}
		}
		if m.Until.After(last) {
			last = m.Until
		}
	}
	return last
}

// Reasons say why the symbol is on the list.
func (t Target) Reasons() []string {
	out := make([]string, len(t.Members))
	for i, m := range t.Members {
		if out[i] = m.Set; m.Set == Default {
			out[i] = "explicit"
		}
		if !m.Until.IsZero() {
			out[i] += " until " + m.Until.In(market.Shanghai).Format("2006-01-02 15:04")
		}
	}
	return out
}

// Resolve is the target list: the union of all unexpired entries, by symbol.
func Resolve(sets []Set, now time.Time) []Target {
	members := map[string][]Member{}
	for _, s := range sets {
		for _, e := range s.Live(now).Entries {
			members[e.Symbol] = append(members[e.Symbol], Member{s.ID, e.Until})
		}
	}
	out := make([]Target, 0, len(members))
	for symbol, of := range members {
		slices.SortFunc(of, func(a, b Member) int { return strings.Compare(a.Set, b.Set) })
		out = append(out, Target{symbol, of})
	}
	slices.SortFunc(out, func(a, b Target) int { return cmp.Compare(a.Symbol, b.Symbol) })
	return out
}

// Symbols of a target list.
func Symbols(targets []Target) []string {
	out := make([]string, len(targets))
	for i, t := range targets {
		out[i] = t.Symbol
	}
	return out
}

// Diff returns the symbols that are added to a target list and those that are removed.
func Diff(before, after []Target) (added, removed []string) {
	return missing(after, before), missing(before, after)
}

// missing are the symbols of a that b lacks; both are sorted.
func missing(a, b []Target) []string {
	var out []string
	for _, t := range a {
		if _, found := slices.BinarySearchFunc(b, t.Symbol, func(x Target, s string) int { return strings.Compare(x.Symbol, s) }); !found {
			out = append(out, t.Symbol)
		}
	}
	return out
}

// Explicit is a default set of symbols that never expire. Tests of several packages use it.
func Explicit(symbols ...string) Set { return Make(Default, "", Entries(symbols, time.Time{})) }

// Entries are symbols that all expire at one time; the zero time means never.
func Entries(symbols []string, until time.Time) []Entry {
	out := make([]Entry, len(symbols))
	for i, s := range symbols {
		out[i] = Entry{s, until}
	}
	return out
}
