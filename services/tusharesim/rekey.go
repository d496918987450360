package tusharesim

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// rekeying has the replaced ts_codes; nil means none. It is immutable, so that readers need no
// lock.
type rekeying struct {
	shown  map[string]string // the new code by the source's
	source map[string]string // the source's code by the new one
}

// code returns the ts_code that is shown for one of the source.
func (k *rekeying) code(source string) string {
	if k != nil {
		if c, ok := k.shown[source]; ok {
			return c
		}
	}
	return source
}

// find returns the source's ts_code of one that is shown; false if it was replaced.
func (k *rekeying) find(shown string) (string, bool) {
	if k == nil {
		return shown, true
	}
	if c, ok := k.source[shown]; ok {
		return c, true
	}
	return shown, k.shown[shown] == ""
}

// codes returns the source's ts_codes for those of a call, sorted, without replaced ones.
func (k *rekeying) codes(asked []string) []string {
	if k == nil || asked == nil {
		return asked
	}
	out := make([]string, 0, len(asked))
	for _, c := range asked {
		if was, ok := k.find(c); ok {
			out = append(out, was)
		}
	}
	slices.Sort(out)
	return out
}

// sort sorts rows by the new ts_code if they were sorted by the source's.
func (k *rekeying) sort(refs []table.Ref, source func(table.Ref) string) {
	by := func(code func(table.Ref) string) func(a, b table.Ref) int {
		return func(a, b table.Ref) int { return strings.Compare(code(a), code(b)) }
	}
	if k != nil && slices.IsSortedFunc(refs, by(source)) {
		slices.SortStableFunc(refs, by(func(r table.Ref) string { return k.code(source(r)) }))
	}
}

// relabel replaces the codes in the rows of a plan.
func (k *rekeying) relabel(p *plan) {
	if k == nil {
		return
	}
	for i, ref := range p.refs {
		if now, ok := k.shown[p.source(ref)]; ok {
			p.edit(i, func(names, cells []string) {
				if j := slices.Index(names, "ts_code"); j >= 0 {
					cells[j] = wire.Quote(now)
				}
				if j := slices.Index(names, "symbol"); j >= 0 {
					cells[j] = wire.Quote(now[:6])
				}
			})
		}
	}
}

var codeForm = regexp.MustCompile(`^\d{6}\.(SH|SZ|BJ)$`)

// Rekey replaces ts_codes (old to new), as the provider did for the companies of Beijing. From
// now on all lists and the whole history have the new code, and the old one is unknown. The old
// code must be in today's stock_basic or fund_basic, and the new one must not. Rows returns the
// new codes, too.
func (s *Sim) Rekey(codes map[string]string) error {
	if len(codes) == 0 {
		return errors.New("rekey: no code is given")
	}
	known := map[string]bool{}
	for _, api := range []string{StockBasic, FundBasic} {
		t, err := s.Rows(api, map[string]string{"list_status": "L,D,P,G"}, "ts_code")
		if err != nil {
			return err
		}
		for _, r := range t.Rows {
			if c, ok := r[0].(string); ok {
				known[c] = true
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &rekeying{shown: map[string]string{}, source: map[string]string{}}
	if s.rekeyed != nil {
		maps.Copy(next.shown, s.rekeyed.shown)
		maps.Copy(next.source, s.rekeyed.source)
	}
	taken := map[string]bool{}
	for _, old := range slices.Sorted(maps.Keys(codes)) {
		now := codes[old]
		switch {
		case !known[old]:
			return fmt.Errorf("rekey: %q is in no list", old)
		case !codeForm.MatchString(now):
			return fmt.Errorf("rekey: %q is not six digits and .SH, .SZ or .BJ", now)
		case known[now] || taken[now] || next.shown[now] != "":
			return fmt.Errorf("rekey: %q is or was another symbol's", now)
		}
		taken[now] = true
		source := old
		if was, ok := next.source[old]; ok {
			source = was
			delete(next.source, old)
		}
		next.shown[source], next.source[now] = now, source
	}
	s.rekeyed = next
	return nil
}

// ClearRekeys undoes every Rekey.
func (s *Sim) ClearRekeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rekeyed = nil
}
