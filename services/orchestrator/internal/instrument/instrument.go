// Package instrument finds stocks and ETFs in the worker's instrument lists: by code, name
// or pinyin initials, and the instrument nearest to an invalid code.
package instrument

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mozillazg/go-pinyin"
	"golang.org/x/text/width"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Instrument is a stock or an ETF of the lists.
type Instrument struct {
	// Symbol, for example "600519.SH".
	Symbol string
	// Name is the short name. May be empty.
	Name string
	// Kind is stock or ETF.
	Kind market.Kind
	// Status is L, D, P or I. May be empty.
	Status string
	// Listed and Delisted are the first trading day and the day of delisting; NoDate if
	// unknown or none.
	Listed, Delisted market.Date
	// Former are its earlier codes.
	Former []string
}

// gone reports whether it is delisted.
func (i *Instrument) gone() bool { return i.Status == "D" || i.Delisted != market.NoDate }

// entry is an instrument with its search keys.
type entry struct {
	Instrument
	name     string   // folded
	initials []string // for each character of the name, the possible initials
}

// List is a snapshot of the lists. It is immutable; nil is a list without instruments,
// before the first was received.
type List struct {
	entries []entry // by symbol
	former  map[string]string
	kinds   map[market.Kind]bool
}

var readings = pinyin.Args{Style: pinyin.FirstLetter, Heteronym: true, Fallback: func(rune, pinyin.Args) []string { return nil }}

// New indexes instruments.
func New(all []Instrument) *List {
	l := &List{entries: make([]entry, 0, len(all)), former: map[string]string{}, kinds: map[market.Kind]bool{}}
	for _, i := range all {
		e := entry{Instrument: i, name: fold(i.Name)}
		for _, r := range e.name {
			switch {
			case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)):
				e.initials = append(e.initials, string(r))
			case unicode.Is(unicode.Han, r):
				if of := strings.Join(pinyin.SinglePinyin(r, readings), ""); of != "" {
					e.initials = append(e.initials, of)
				}
			}
		}
		l.entries = append(l.entries, e)
		for _, old := range i.Former {
			l.former[old] = i.Symbol
		}
		l.kinds[i.Kind] = true
	}
	slices.SortFunc(l.entries, func(a, b entry) int { return strings.Compare(a.Symbol, b.Symbol) })
	return l
}

// fold normalizes text: half width, lower case, no spaces.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, width.Fold.String(s))
}

// Known reports whether a list was received.
func (l *List) Known() bool { return l != nil && len(l.entries) > 0 }

// Find returns the instrument of a symbol.
func (l *List) Find(symbol string) (Instrument, bool) {
	if e := l.find(symbol); e != nil {
		return e.Instrument, true
	}
	return Instrument{}, false
}

func (l *List) find(symbol string) *entry {
	if l == nil {
		return nil
	}
	if i, ok := slices.BinarySearchFunc(l.entries, symbol, func(e entry, s string) int { return strings.Compare(e.Symbol, s) }); ok {
		return &l.entries[i]
	}
	return nil
}

// current returns the present code of a company whose former code this is.
func (l *List) current(symbol string) (string, bool) {
	if l == nil {
		return "", false
	}
	if now, ok := l.former[symbol]; ok {
		return now, true
	}
	if now, ok := market.Renumbered(symbol); ok && l.find(now) != nil {
		return now, true
	}
	return "", false
}

// Unlisted reports whether the lists have instruments of a symbol's kind, but not this one.
func (l *List) Unlisted(symbol string) bool {
	return l != nil && l.kinds[market.KindOf(symbol)] && l.find(symbol) == nil
}

// Lead parses a symbol that a user typed and replaces a former code by the current one. It
// returns an error with the reason if the symbol cannot exist. With unlisted, it accepts a
// symbol of no list if the exchange assigns such codes. Nearest suggests a correction.
func (l *List) Lead(text string, unlisted bool) (symbol string, err error) {
	symbol, err = market.ParseSymbol(text)
	if err != nil {
		return "", err
	}
	if l.find(symbol) != nil {
		return symbol, nil
	}
	if now, ok := l.current(symbol); ok {
		return now, nil
	}
	if of := market.ExchangeOf(symbol[:6]); of != market.Exchange(symbol) {
		if of == "" {
			return "", fmt.Errorf("%s does not exist: no exchange has codes that start with %c", symbol, symbol[0])
		}
		return "", fmt.Errorf("%s does not exist: stocks and ETFs with this code are on the exchange %s", symbol, of)
	}
	if l.Unlisted(symbol) && !unlisted {
		return "", errors.New(symbol + " is not in the lists of stocks and ETFs")
	}
	return symbol, nil
}

// Nearest is the instrument that the user most likely meant when Lead returned an error; ok
// is false if no list is known.
func (l *List) Nearest(text string) (Instrument, bool) {
	if !l.Known() {
		return Instrument{}, false
	}
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, width.Fold.String(text))
	if len(digits) > 12 { // not a mistyped code
		digits = digits[:12]
	}
	if digits == "" {
		if found, _ := l.Search(text, "", false, 1); len(found) > 0 {
			return found[0], true
		}
		return Instrument{}, false
	}
	for _, exchange := range []string{".SH", ".SZ", ".BJ"} {
		if now, ok := l.current(digits + exchange); ok {
			return l.find(now).Instrument, true
		}
	}
	folded := fold(text)
	value, _ := strconv.Atoi(digits)
	exchange := ""
	if len(digits) == 6 {
		exchange = market.ExchangeOf(digits)
	}
	best, least := -1, 0
	for i := range l.entries {
		e := &l.entries[i]
		d := 8 * distance(digits, e.Symbol[:min(6, len(e.Symbol))])
		if e.gone() {
			d += 4
		}
		// Digits are mistyped more often than the exchange, so the exchange is kept: that of the
		// digits, or the typed one if no exchange has such codes.
		if of := market.Exchange(e.Symbol); exchange != "" && of != exchange {
			d += 8
		} else if exchange == "" && !strings.Contains(folded, strings.ToLower(of)) {
			d++
		}
		// Among codes with equally many typing errors, the numerically nearest.
		of, _ := strconv.Atoi(e.Symbol[:min(6, len(e.Symbol))])
		d = d*1_000_000 + min(max(value-of, of-value), 999_999)
		if best < 0 || d < least {
			best, least = i, d
		}
	}
	near := l.entries[best].Instrument
	if code := near.Symbol[:min(6, len(near.Symbol))]; strings.HasPrefix(digits, code) || distance(digits, code) <= maxSlips {
		return near, true
	}
	return Instrument{}, false // a guess
}

// maxSlips is how many typing errors a symbol may have to be recognized.
const maxSlips = 2

// distance is the number of typing errors between a and b: a digit added, omitted or
// changed, or two neighbours swapped.
func distance(a, b string) int {
	var rows [3][16]int // of two codes at most 12 and 6 long
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		now, last, before := &rows[i%3], &rows[(i+2)%3], &rows[(i+1)%3]
		now[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}

// The rank of a hit; less is better.
const (
	exact = iota
	codeBegins
	nameBegins
	initialsWhole
	initialsBegin
	nameHas
	initialsHave
	noHit
)

// Search returns up to limit instruments whose code starts with the query, or whose name or
// initials contain it, best first; more reports whether there are others. An empty kind
// means both. Delisted instruments are included on request or if the query is their
// complete code.
func (l *List) Search(query string, kind market.Kind, delisted bool, limit int) (found []Instrument, more bool) {
	q := fold(query)
	if l == nil || q == "" {
		return nil, false
	}
	type hit struct {
		*entry
		rank int
	}
	var hits []hit
	for i := range l.entries {
		e := &l.entries[i]
		if kind != "" && e.Kind != kind {
			continue
		}
		rank := e.match(q)
		if rank == noHit || rank != exact && e.gone() && !delisted {
			continue
		}
		hits = append(hits, hit{e, rank})
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		if a.gone() != b.gone() && (a.rank == exact) == (b.rank == exact) {
			if a.gone() {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.rank, b.rank)
	})
	for _, h := range hits[:min(limit, len(hits))] {
		found = append(found, h.Instrument)
	}
	return found, len(hits) > limit
}

func (e *entry) match(q string) int {
	best := noHit
	for _, symbol := range append([]string{e.Symbol}, e.Former...) {
		s := strings.ToLower(symbol)
		code, exchange, _ := strings.Cut(s, ".")
		switch {
		case q == s, q == code, q == exchange+code, q == exchange+"."+code:
			return exact
		case strings.HasPrefix(s, q), strings.HasPrefix(exchange+code, q) && len(q) > 2:
			best = codeBegins
		}
	}
	switch {
	case q == e.name:
		return exact
	case strings.HasPrefix(e.name, q):
		return min(best, nameBegins)
	case strings.Contains(e.name, q):
		best = min(best, nameHas)
	}
	for from := 0; from+len(q) <= len(e.initials); from++ {
		if !e.spells(q, from) {
			continue
		}
		rank := initialsHave
		switch {
		case from == 0 && len(q) == len(e.initials):
			rank = initialsWhole
		case from == 0:
			rank = initialsBegin
		}
		best = min(best, rank)
	}
	return best
}

// spells reports whether the initials of the characters from one on match q.
func (e *entry) spells(q string, from int) bool {
	for i := range len(q) {
		if !strings.Contains(e.initials[from+i], q[i:i+1]) {
			return false
		}
	}
	return true
}
