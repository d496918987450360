package tusharesim

import (
	"cmp"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// view is the part of the simulator's state that a call uses. It is copied once under the lock.
type view struct {
	today    int32
	minute   int // of the Beijing day
	publish  int
	cap      int
	withheld map[int32]bool
	revised  map[int32]*revision
	rekeyed  *rekeying
	truth    bool
}

// look returns the view of an interface. The caller holds mu.
func (s *Sim) look(api *spec.API) view {
	now := s.now()
	v := view{today: calendar.FromTime(now), minute: now.Hour()*60 + now.Minute(), publish: s.publish[api.ID], cap: s.caps[api.ID], rekeyed: s.rekeyed}
	for k, until := range s.withheld {
		if k.api == api.ID && (until.IsZero() || now.Before(until)) {
			if v.withheld == nil {
				v.withheld = map[int32]bool{}
			}
			v.withheld[k.date] = true
		}
	}
	for k, r := range s.revised {
		if k.api == api.ID {
			if v.revised == nil {
				v.revised = map[int32]*revision{}
			}
			v.revised[k.date] = r
		}
	}
	return v
}

func (v *view) shows(day int32) bool {
	if v.truth {
		return day <= v.today
	}
	return !v.withheld[day] && (day < v.today || day == v.today && v.minute >= v.publish)
}

// plan has the rows of a reply.
type plan struct {
	q     *query
	refs  []table.Ref
	edits map[int][]edit // by position in refs
	more  bool
	app   table.Appender
	// source returns the source's ts_code of a row of refs; empty if its rows have none.
	source func(table.Ref) string
	// rows, if not nil, is sent instead of refs, because a fault has changed the rows.
	rows []row
}

// count is the number of rows of the reply.
func (p *plan) count() int {
	if p.rows != nil {
		return len(p.rows)
	}
	return len(p.refs)
}

// page adds the matching rows of the requested page to a plan. fault is a fault of the data, or
// nil.
func (s *Sim) page(q *query, v view, f *Fault) (*plan, error) {
	p := &plan{q: q}
	limit := v.cap
	if q.limit > 0 {
		limit = min(limit, q.limit)
	}
	kind := FaultKind("")
	if f != nil {
		kind = f.Kind
	}
	if kind.changesRows() {
		rows, err := s.faultyRows(q, v, f)
		if err != nil {
			return nil, err
		}
		p.more = len(rows) > q.offset+limit
		from := min(q.offset, len(rows))
		p.rows = append([]row{}, rows[from:min(from+limit, len(rows))]...)
		return p, nil
	}
	most := q.offset + limit + 1
	if kind == HalfDay {
		most = 1 << 20
	}
	if err := s.collect(p, v, most); err != nil {
		return nil, err
	}
	if kind == HalfDay {
		pct := f.N
		if pct == 0 || pct > 100 {
			pct = 50
		}
		p.refs = p.refs[:len(p.refs)*pct/100]
	}
	p.more = len(p.refs) > q.offset+limit
	from := min(q.offset, len(p.refs))
	switch {
	case kind == RepeatedPage:
		from = 0
	case kind == LatePage:
		from = max(0, from-limit)
	}
	p.refs = p.refs[from:min(from+limit, len(p.refs))]
	switch kind {
	case Empty:
		p.refs, p.more = nil, false
	case SilentTruncation:
		n := f.N
		if n == 0 {
			n = v.cap / 2
		}
		p.refs, p.more = p.refs[:min(n, len(p.refs))], false
	case Endless:
		p.more = true
	case DuplicateRows:
		n := f.N
		if n == 0 {
			n = 10
		}
		p.refs = append(slices.Clip(p.refs), p.refs[:min(n, len(p.refs))]...)
	}
	s.applyRevisions(p, v)
	switch kind {
	case OtherDate:
		for i := range p.refs {
			p.edit(i, s.otherDate(p.refs[i].Day))
		}
	case WrongValue:
		for i := range min(max(1, f.N), len(p.refs)) {
			p.edit(i, f.wrongValue(q.api.Name))
		}
	}
	return p, nil
}

func (p *plan) edit(i int, e edit) {
	if p.edits == nil {
		p.edits = map[int][]edit{}
	}
	p.edits[i] = append(p.edits[i], e)
}

// otherDate relabels a row with the open day before.
func (s *Sim) otherDate(day int32) edit {
	other := calendar.AddDays(day, -1)
	if d, ok := calendar.Standard().Lookup(day); ok && d.Prev != 0 {
		other = d.Prev
	}
	cell := `"` + calendar.Text(other) + `"`
	return func(names, cells []string) {
		for _, n := range []string{"trade_date", "cal_date"} {
			if i := slices.Index(names, n); i >= 0 {
				cells[i] = cell
			}
		}
	}
}

func (s *Sim) applyRevisions(p *plan, v view) {
	v.rekeyed.relabel(p)
	if v.revised == nil {
		return
	}
	for i, ref := range p.refs {
		r := v.revised[ref.Day]
		if r == nil || len(r.changed) == 0 && len(r.columns) == 0 {
			continue
		}
		code := p.source(ref)
		if n := r.changed[code]; n > 0 {
			p.edit(i, revisedEdit(p.q.api.ID, n))
		}
		for _, c := range r.columns {
			if c.codes == nil || c.codes[code] {
				p.edit(i, c.edit)
			}
		}
	}
}

// collect returns the rows of a query in the provider's order. It may stop when it has most
// rows.
func (s *Sim) collect(p *plan, v view, most int) error {
	q := p.q
	if !q.api.Dated {
		return s.collectSnapshot(p, v)
	}
	p.app = s.src.Appender(q.api, q.cols)
	p.source = func(r table.Ref) string { return s.src.Code(q.api, r) }
	codes := v.rekeyed.codes(q.codes)
	days, err := s.src.Days(q.api, q.from, min(q.to, v.today))
	if err != nil {
		return err
	}
	// The provider returns the newest rows first.
	for _, day := range slices.Backward(days) {
		if !v.shows(day) {
			continue
		}
		from := len(p.refs)
		if p.refs, err = s.src.Select(p.refs, q.api, day, codes); err != nil {
			return err
		}
		if r := v.revised[day]; r != nil {
			p.refs = append(p.refs[:from], s.hide(q.api, r, p.refs[from:], v.truth)...)
		}
		if typ := q.params["suspend_type"]; typ != "" && q.api.ID == spec.SuspendD {
			p.refs = append(p.refs[:from], s.ofType(q.api, typ, p.refs[from:])...)
		}
		v.rekeyed.sort(p.refs[from:], p.source)
		if len(p.refs) >= most {
			return nil
		}
	}
	return nil
}

// ofType returns the rows of suspend_d with a suspend_type.
func (s *Sim) ofType(api *spec.API, typ string, refs []table.Ref) []table.Ref {
	at, _ := api.Index("suspend_type")
	app, want := s.src.Appender(api, []int{at}), wire.Quote(typ)
	return slices.DeleteFunc(refs, func(r table.Ref) bool { return app.Cells(r)[0] != want })
}

func (s *Sim) collectSnapshot(p *plan, v view) error {
	q := p.q
	market := ""
	switch q.api.ID {
	case spec.FundBasic:
		market = cmp.Or(q.params["market"], "E")
	case spec.TradeCal:
		market = cmp.Or(q.params["exchange"], "SSE")
	}
	t, err := s.snapshot(q.api, market, v.today)
	if err != nil {
		return err
	}
	keep := filter(q, v.rekeyed.codes(q.codes))
	for i := range t.Rows {
		if keep(&t.Meta[i], t.Rows[i]) {
			p.refs = append(p.refs, table.Ref{Row: int32(i)})
		}
	}
	p.source = func(r table.Ref) string { return t.Meta[r.Row].Code }
	v.rekeyed.sort(p.refs, p.source)
	p.app = &table.TextAppender{Cols: q.cols, Find: func(table.Ref) *table.Table { return t }}
	return nil
}

// snapshot caches the few tables in use, because lists are requested as a whole.
func (s *Sim) snapshot(api *spec.API, market string, today int32) (*table.Table, error) {
	k := snapKey{api.ID, market, today}
	s.mu.Lock()
	t := s.snaps[k]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := s.src.Snapshot(api, market, today)
	if err != nil {
		return nil, err
	}
	if len(t.Rows) == 0 {
		// Unknown markets are not cached.
		return t, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.snaps) >= 8 {
		clear(s.snaps)
	}
	s.snaps[k] = t
	return t, nil
}

// filter returns the condition of a snapshot's parameters.
func filter(q *query, codes []string) func(*table.Meta, []string) bool {
	in := func(list string) func(string) bool {
		if list == "" {
			return func(string) bool { return true }
		}
		set := strings.Split(list, ",")
		return func(v string) bool { return slices.Contains(set, v) }
	}
	code := func(c string) bool {
		if codes == nil {
			return true
		}
		_, ok := slices.BinarySearch(codes, c)
		return ok
	}
	name := in(q.params["name"])
	switch q.api.ID {
	case spec.TradeCal:
		open := in(q.params["is_open"])
		return func(m *table.Meta, _ []string) bool { return m.Date >= q.from && m.Date <= q.to && open(m.Status) }
	case spec.FundBasic:
		status := in(q.params["status"])
		return func(m *table.Meta, _ []string) bool { return status(m.Status) && code(m.Code) && name(m.Name) }
	}
	status, exchange, market := in(cmp.Or(q.params["list_status"], "L")), in(q.params["exchange"]), in(q.params["market"])
	hs, at := in(q.params["is_hs"]), slices.IndexFunc(q.api.Columns, func(c spec.Column) bool { return c.Name == "is_hs" })
	return func(m *table.Meta, cells []string) bool {
		return status(m.Status) && exchange(m.Exchange) && market(m.Market) && code(m.Code) && name(m.Name) && hs(strings.Trim(cells[at], `"`))
	}
}

// appendRows appends the rows of a plan, separated by commas.
func (p *plan) appendRows(dst []byte) []byte {
	if p.rows != nil {
		for i, r := range p.rows {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '['), strings.Join(r.cells, ",")...), ']')
		}
		return dst
	}
	if p.edits == nil {
		for i, r := range p.refs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = p.app.AppendRow(dst, r)
		}
		return dst
	}
	for i, r := range p.refs {
		if i > 0 {
			dst = append(dst, ',')
		}
		if p.edits[i] == nil {
			dst = p.app.AppendRow(dst, r)
			continue
		}
		dst = append(dst, '[')
		dst = append(dst, strings.Join(p.cells(i), ",")...)
		dst = append(dst, ']')
	}
	return dst
}

// cells returns the JSON texts of one row with its edits.
func (p *plan) cells(i int) []string {
	cells := p.app.Cells(p.refs[i])
	for _, e := range p.edits[i] {
		e(p.q.names, cells)
	}
	return cells
}
