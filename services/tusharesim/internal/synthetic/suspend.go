package synthetic

import (
	"maps"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// halts are the suspensions of Suspend, in addition to random ones: per open-day index, one mark
// per stock. They are immutable.
type halts struct{ days map[int32][]bool }

// on returns the marks of a day; nil if there are none.
func (h *halts) on(t int32) []bool {
	if h == nil {
		return nil
	}
	return h.days[t]
}

// off reports whether a stock is marked on a day.
func (h *halts) off(t, at int32) bool {
	if h == nil {
		return false
	}
	d := h.days[t]
	return d != nil && d[at]
}

// Suspend suspends the listed stocks that pick selects on all open days from..to, and returns
// their codes. A stock always trades on the first day of its listing. When it resumes, pre_close
// is the last close, as after any suspension.
func (u *Universe) Suspend(from, to int32, pick func(code string) bool) []string {
	u.halting.Lock()
	defer u.halting.Unlock()
	next := &halts{days: map[int32][]bool{}}
	if old := u.halted.Load(); old != nil {
		maps.Copy(next.days, old.days)
	}
	hit := make([]bool, len(u.stocks.syms))
	for _, date := range u.cal.Between(from, to) {
		d, _ := u.cal.Lookup(date)
		marks := make([]bool, len(u.stocks.syms))
		copy(marks, next.days[d.Index])
		for i := range u.stocks.syms {
			s := &u.stocks.syms[i]
			if s.alive(d.Index) && s.list != d.Index && pick(s.code) {
				marks[i], hit[i] = true, true
			}
		}
		next.days[d.Index] = marks
	}
	u.halted.Store(next)
	var codes []string
	for i, h := range hit {
		if h {
			codes = append(codes, u.stocks.syms[i].code)
		}
	}
	return codes
}

// Resume undoes all calls of Suspend.
func (u *Universe) Resume() {
	u.halting.Lock()
	defer u.halting.Unlock()
	u.halted.Store(nil)
}

// Kinds of rows of suspend_d, in the low bits of a row number.
const (
	haltedAll = iota
	haltedPart
	resumed
	kindBits = 2
)

// selectHalts appends the rows of suspend_d: suspended stocks, resumed stocks, and a few that are
// suspended for a part of the day, which have rows in the other interfaces.
func (u *Universe) selectHalts(dst []table.Ref, day, t int32, codes []string) []table.Ref {
	h := u.halted.Load()
	add := func(i int32) {
		s := &u.stocks.syms[i]
		trades := func(t int32) bool { return s.trades(t) && !h.off(t, i) }
		kind := int32(haltedAll)
		switch {
		case !s.alive(t):
			return
		case !trades(t):
		case t > s.list && !trades(t-1):
			kind = resumed
		case hash(s.key, int64(t), saltPart)%4000 == 0:
			kind = haltedPart
		default:
			return
		}
		dst = append(dst, table.Ref{Day: day, Row: i<<kindBits | kind})
	}
	if codes != nil {
		for _, c := range codes {
			if i, ok := u.stocks.index[c]; ok {
				add(i)
			}
		}
		return dst
	}
	for i := range u.stocks.syms {
		add(int32(i))
	}
	return dst
}

// haltAppender writes rows of suspend_d.
type haltAppender struct {
	u    *Universe
	cols []int
}

// AppendRow implements table.Appender.
func (a *haltAppender) AppendRow(dst []byte, r table.Ref) []byte {
	dst = append(dst, '[')
	for i, c := range a.Cells(r) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, c...)
	}
	return append(dst, ']')
}

// Cells implements table.Appender.
func (a *haltAppender) Cells(r table.Ref) []string {
	s, kind := &a.u.stocks.syms[r.Row>>kindBits], r.Row&(1<<kindBits-1)
	timing, typ := "null", `"S"`
	switch kind {
	case haltedPart:
		timing = `"09:30-10:00"`
	case resumed:
		typ = `"R"`
	}
	all := [...]string{s.quoted, wire.Quote(calendar.Text(r.Day)), timing, typ}
	out := make([]string, len(a.cols))
	for i, c := range a.cols {
		out[i] = all[c]
	}
	return out
}

// symbolOf returns the symbol of a row of a dated interface.
func (u *Universe) symbolOf(api *spec.API, r table.Ref) *symbol {
	if api.ID == spec.SuspendD {
		return &u.stocks.syms[r.Row>>kindBits]
	}
	return &u.group(api).syms[r.Row]
}
