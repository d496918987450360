// Package targetset holds the rules of the watch list: named sets of symbols, of which
// some end by themselves, and what they resolve to together.
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

// The sets that have a meaning of their own.
const (
	// Default is the set that people edit. It is always there.
	Default = "default"
	// Temporary is the set whose symbols end by themselves.
	Temporary = "temporary"
)

// Bounds.
const (
	// MaxSets is how many sets there may be.
	MaxSets = 64
	// MaxSymbols is how many different symbols all sets together may have: of three
	// years, a plan of more is larger than what one answer may be.
	MaxSymbols = 2000
	// TemporaryFor is how long a symbol of Temporary stays where nobody says.
	TemporaryFor = 7 * 24 * time.Hour
	// MaxAhead is how far away an end may be.
	MaxAhead = 366 * 24 * time.Hour
)

// Entry is a symbol of a set.
type Entry struct {
	// Symbol, as in "600519.SH".
	Symbol string
	// Until is when it ends, in whole milliseconds; zero means never.
	Until time.Time
}

// Set is a named set of symbols.
type Set struct {
	// ID is its name.
	ID string
	// Note says what it is, for a person.
	Note string
	// Entries by symbol, each once.
	Entries []Entry
	// UpdatedAt is when it was changed last; zero for a default set that nobody wrote.
	UpdatedAt time.Time
}

var form = regexp.MustCompile(`^[a-z0-9][a-z0-9._:-]{0,63}$`)

// CheckID refuses what cannot be the name of a set.
func CheckID(id string) error {
	if !form.MatchString(id) {
		return fmt.Errorf("%.80q is not a valid set name: write 1 to 64 characters of a-z, 0-9, \".\", \"_\", \"-\" and \":\", starting with a letter or a digit", id)
	}
	return nil
}

// Make is a set of these entries, by symbol. Of a symbol that is given twice the entry
// that ends last counts.
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

// Live is the set without what has ended.
func (s Set) Live(now time.Time) Set {
	s.Entries = slices.DeleteFunc(slices.Clone(s.Entries), func(e Entry) bool { return !e.Until.IsZero() && !e.Until.After(now) })
	return s
}

// Until is when a symbol of the set ends, zero for never; ok is false where the set does
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

// Told is the set as the audit trail keeps it: the ends of its symbols, empty for those
// that have none.
func (s Set) Told() map[string]any {
	ends := make(map[string]string, len(s.Entries))
	for _, e := range s.Entries {
		if ends[e.Symbol] = ""; !e.Until.IsZero() {
			ends[e.Symbol] = e.Until.UTC().Format(time.RFC3339)
		}
	}
	return map[string]any{"set": s.ID, "note": s.Note, "symbols": ends}
}

// Find is the set of a name.
func Find(sets []Set, id string) (Set, bool) {
	i := slices.IndexFunc(sets, func(s Set) bool { return s.ID == id })
	if i < 0 {
		return Set{ID: id}, false
	}
	return sets[i], true
}

// With are the sets with one replaced or added.
func With(sets []Set, changed Set) []Set {
	return append(Without(sets, changed.ID), changed)
}

// Without are the sets without the one of a name.
func Without(sets []Set, id string) []Set {
	return slices.DeleteFunc(slices.Clone(sets), func(s Set) bool { return s.ID == id })
}

// Member is that a set has a symbol.
type Member struct {
	// Set by name.
	Set string
	// Until is when the symbol ends there; zero means never.
	Until time.Time
}

// Target is a symbol of the watch list.
type Target struct {
	// Symbol, as in "600519.SH".
	Symbol string
	// Members are the sets that have it, by name.
	Members []Member
}

// Until is when the symbol leaves the list by itself; zero means never.
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

// Reasons say for a person why the symbol is on the list.
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

// Resolve is the watch list: the union of what has not ended, by symbol.
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

// Symbols of a watch list.
func Symbols(targets []Target) []string {
	out := make([]string, len(targets))
	for i, t := range targets {
		out[i] = t.Symbol
	}
	return out
}

// Diff tells which symbols come onto a watch list and which leave it.
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

// Explicit is a default set of symbols that do not end. The tests of several packages
// begin with one.
func Explicit(symbols ...string) Set { return Make(Default, "", Entries(symbols, time.Time{})) }

// Entries are symbols that all end at one time; the zero time means never.
func Entries(symbols []string, until time.Time) []Entry {
	out := make([]Entry, len(symbols))
	for i, s := range symbols {
		out[i] = Entry{s, until}
	}
	return out
}
