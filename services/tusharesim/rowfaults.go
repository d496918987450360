package tusharesim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// Faults of single rows, days and columns. They change the rows before these are split into
// pages, so that pages, calls by date and calls by range agree. TradeDate and EndDate limit
// them to the rows of these dates; Codes, Exchange, Share and N limit them to some of the rows.
const (
	// Stale returns the rows of another day (SourceDate; by default the previous day with rows)
	// under the requested date. With Columns, only these columns are of the other day, by symbol.
	// Closed days stay empty.
	Stale FaultKind = "stale"
	// ClosedDays returns for closed days, also within ranges, the rows of the previous open day
	// (or SourceDate) under the closed date. With ModeAsIs the rows keep their own date, and only
	// calls for one date are affected.
	ClosedDays FaultKind = "closed_days"
	// ScaleColumn multiplies Columns by Factor. Null stays null.
	ScaleColumn FaultKind = "scale_column"
	// NullColumn sets Columns to null.
	NullColumn FaultKind = "null_column"
	// MangledCode changes the ts_code of rows to that in To, or adds a 1 in front. A call finds
	// them only by the new code.
	MangledCode FaultKind = "mangled_code"
	// DropRows omits rows.
	DropRows FaultKind = "drop_rows"
	// SetColumn writes Text, a JSON value, into Columns.
	SetColumn FaultKind = "set_column"
	// ShiftColumn gives each row of a day the Columns of the row before it; all columns that
	// hold numbers if there are none.
	ShiftColumn FaultKind = "shift_column"
	// SwapColumns gives each two of Columns each other's values.
	SwapColumns FaultKind = "swap_columns"
	// RoundColumn rounds Columns to multiples of Factor.
	RoundColumn FaultKind = "round_column"
	// DashedDates writes trade_date as "2026-04-01".
	DashedDates FaultKind = "dashed_dates"
	// FlippedDay inverts is_open of TradeDate in trade_cal.
	FlippedDay FaultKind = "flipped_day"
	// AllSuspended lists all listed stocks, or those of Codes, Exchange and Share, in suspend_d
	// as suspended for the whole day.
	AllSuspended FaultKind = "all_suspended"
	// LongList affects calls with more than N ts_codes (100 if 0). They get Code and Text (50101
	// and its text if 0), or with ModeCut only the rows of the first N codes.
	LongList FaultKind = "long_list"
)

// Modes of ClosedDays and LongList.
const (
	// ModeAsIs leaves the date of the rows of ClosedDays.
	ModeAsIs = "as_is"
	// ModeCut truncates the list of LongList.
	ModeCut = "cut"
)

// EveryColumn in Columns means all columns of numbers.
const EveryColumn = "*"

// longList is the number of ts_codes from which a list may fail.
const longList = 100

// changesRows reports whether the kind changes rows before they are split into pages.
func (k FaultKind) changesRows() bool {
	switch k {
	case Stale, ClosedDays, ScaleColumn, NullColumn, MangledCode, DropRows, SetColumn, ShiftColumn, SwapColumns, RoundColumn, DashedDates, FlippedDay, AllSuspended:
		return true
	}
	return false
}

func (f *Fault) checkRows() error {
	api := spec.Lookup(f.API)
	if f.EndDate != "" {
		if _, ok := calendar.Parse(f.EndDate); !ok || f.TradeDate == "" || f.EndDate < f.TradeDate {
			return fmt.Errorf("fault end_date %q is not YYYYMMDD at or after trade_date", f.EndDate)
		}
	}
	if f.SourceDate != "" {
		if _, ok := calendar.Parse(f.SourceDate); !ok {
			return fmt.Errorf("fault source_date %q is not YYYYMMDD", f.SourceDate)
		}
	}
	if !(f.Share >= 0 && f.Share <= 1) {
		return fmt.Errorf("fault share %v is not between 0 and 1", f.Share)
	}
	if len(f.To) > 0 && len(f.To) != len(f.Codes) {
		return errors.New("fault to: it has not as many codes as codes")
	}
	if math.IsNaN(f.Factor) || math.IsInf(f.Factor, 0) {
		return errors.New("fault factor is not a number")
	}
	if api != nil {
		for _, c := range f.columns() {
			if _, ok := api.Index(c); !ok && c != EveryColumn {
				return fmt.Errorf("fault columns: %s has no column %q", f.API, c)
			}
		}
	}
	switch f.Kind {
	case Stale, ClosedDays:
		if api != nil && !api.Dated {
			return fmt.Errorf("fault %s: %s is not kept by trade date", f.Kind, f.API)
		}
	case ScaleColumn, RoundColumn:
		if f.Factor == 0 {
			return fmt.Errorf("fault %s: factor is missing", f.Kind)
		}
		if len(f.columns()) == 0 {
			return fmt.Errorf("fault %s: columns are missing", f.Kind)
		}
	case FlippedDay:
		if f.TradeDate == "" {
			return fmt.Errorf("fault %s: trade_date is missing", f.Kind)
		}
	case SetColumn:
		if !json.Valid([]byte(f.Text)) {
			return fmt.Errorf("fault %s: text %q is not a JSON value", f.Kind, f.Text)
		}
		fallthrough
	case NullColumn:
		if len(f.columns()) == 0 {
			return fmt.Errorf("fault %s: columns are missing", f.Kind)
		}
	case SwapColumns:
		if n := len(f.columns()); n == 0 || n%2 != 0 {
			return fmt.Errorf("fault %s: columns must be in pairs", f.Kind)
		}
	case MangledCode, DropRows:
		if len(f.Codes) == 0 && f.N == 0 && f.Share == 0 && f.Exchange == "" {
			return fmt.Errorf("fault %s: one of codes, n, share and exchange is required", f.Kind)
		}
	}
	return nil
}

// columns returns Columns, or Column if Columns is empty.
func (f *Fault) columns() []string {
	if len(f.Columns) == 0 && f.Column != "" {
		return []string{f.Column}
	}
	return f.Columns
}

// suits reports whether the kind can apply to a call.
func (f *Fault) suits(api *spec.API, params map[string]string) bool {
	switch f.Kind {
	case RepeatedPage, LatePage:
		n, _ := whole(params["offset"])
		return n > 0
	case FlippedDay:
		return api != nil && api.ID == spec.TradeCal
	case AllSuspended:
		return api != nil && api.ID == spec.SuspendD && params["trade_date"] != ""
	case Stale:
		return api != nil && api.Dated
	case ClosedDays:
		if api == nil || !api.Dated {
			return false
		}
		d, ok := calendar.Parse(params["trade_date"])
		if !ok {
			return f.Mode != ModeAsIs
		}
		return closed(d)
	case LongList:
		return len(sentCodes(params["ts_code"])) > orInt(f.N, longList)
	}
	return true
}

func closed(day int32) bool {
	d, ok := calendar.Standard().Lookup(day)
	return ok && !d.Open
}

// on reports whether a fault affects a date. Rows of lists have no date.
func (f *Fault) on(day int32) bool {
	if f.TradeDate == "" || day == 0 {
		return true
	}
	text := calendar.Text(day)
	return text >= f.TradeDate && text <= cmp.Or(f.EndDate, f.TradeDate)
}

// choose returns a function that reports whether a fault affects a row of a reply.
func (f *Fault) choose() func(code string, day int32) bool {
	left := f.N
	return func(code string, day int32) bool {
		switch {
		case !f.on(day), len(f.Codes) > 0 && !slices.Contains(f.Codes, code),
			f.Exchange != "" && !strings.HasSuffix(code, "."+f.Exchange),
			f.Share > 0 && draw(code, day) >= f.Share:
			return false
		case f.N > 0 && left == 0:
			return false
		}
		left--
		return true
	}
}

// narrowed reports whether a fault affects only some rows.
func (f *Fault) narrowed() bool {
	return len(f.Codes) > 0 || f.N > 0 || f.Share > 0 || f.Exchange != ""
}

// draw returns a pseudo-random number from 0 to 1 for a symbol and a day.
func draw(code string, day int32) float64 {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, code, " ", day)
	x := h.Sum64()
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return float64((x^x>>32)>>11) / (1 << 53)
}

// row is one row of a reply as JSON texts.
type row struct {
	code  string
	day   int32
	cells []string
}

// rows returns all rows of a query.
func (s *Sim) rows(q *query, v view) ([]row, error) {
	p := &plan{q: q}
	if err := s.collect(p, v, math.MaxInt); err != nil {
		return nil, err
	}
	s.applyRevisions(p, v)
	out := make([]row, len(p.refs))
	for i, ref := range p.refs {
		out[i] = row{v.rekeyed.code(p.source(ref)), ref.Day, slices.Clone(p.cells(i))}
	}
	return out, nil
}

// rowsOf returns the rows of one date without faults.
func (s *Sim) rowsOf(q *query, v view, day int32) ([]row, error) {
	one := *q
	one.from, one.to = day, day
	v.truth = true
	return s.rows(&one, v)
}

// faultyRows returns all rows of a query with a fault of rows applied.
func (s *Sim) faultyRows(q *query, v view, f *Fault) ([]row, error) {
	switch f.Kind {
	case Stale:
		return s.staleRows(q, v, f)
	case ClosedDays:
		return s.closedRows(q, v, f)
	case MangledCode:
		return s.mangledRows(q, v, f)
	case AllSuspended:
		return s.suspendedRows(q, f)
	}
	out, err := s.rows(q, v)
	if err != nil {
		return nil, err
	}
	chosen := f.choose()
	if f.Kind == DropRows {
		return slices.DeleteFunc(out, func(r row) bool { return chosen(r.code, r.day) }), nil
	}
	if f.Kind == FlippedDay {
		f.flip(q, out)
		return out, nil
	}
	at := f.places(q)
	switch f.Kind {
	case ShiftColumn:
		return s.shiftedRows(q, v, f, out)
	case SwapColumns:
		cols := f.columns()
		for _, r := range out {
			for n := 0; n < len(cols); n += 2 {
				i, j := slices.Index(q.names, cols[n]), slices.Index(q.names, cols[n+1])
				if i >= 0 && j >= 0 && chosen(r.code, r.day) {
					r.cells[i], r.cells[j] = r.cells[j], r.cells[i]
				}
			}
		}
		return out, nil
	case DashedDates:
		at = []int{slices.Index(q.names, "trade_date")}
	}
	for _, r := range out {
		if !chosen(r.code, r.day) {
			continue
		}
		for _, i := range at {
			if i >= 0 {
				r.cells[i] = f.change(r.cells[i])
			}
		}
	}
	return out, nil
}

// shiftedRows returns the rows of a reply with columns of the previous row of their day, even
// if that row was not requested.
func (s *Sim) shiftedRows(q *query, v view, f *Fault, rows []row) ([]row, error) {
	before := map[int32]map[string]row{} // by day and by the code of the next row
	chosen, at := f.choose(), f.places(q)
	if len(f.columns()) == 0 {
		for i, c := range q.cols {
			if q.api.Columns[c].Kind != spec.Text {
				at = append(at, i)
			}
		}
	}
	for _, r := range rows {
		if !chosen(r.code, r.day) {
			continue
		}
		if before[r.day] == nil {
			all := *q
			all.codes = nil
			day, err := s.rowsOf(&all, v, r.day)
			if err != nil {
				return nil, err
			}
			before[r.day] = map[string]row{}
			for n := range day[min(1, len(day)):] {
				before[r.day][day[n+1].code] = day[n]
			}
		}
		if other, ok := before[r.day][r.code]; ok {
			for _, i := range at {
				r.cells[i] = other.cells[i]
			}
		}
	}
	return rows, nil
}

// change returns a cell with a fault applied.
func (f *Fault) change(cell string) string {
	switch f.Kind {
	case NullColumn:
		return "null"
	case SetColumn:
		return f.Text
	case RoundColumn:
		if v, err := strconv.ParseFloat(cell, 64); err == nil {
			return scaled(strconv.FormatFloat(math.Round(v/f.Factor), 'f', 1, 64), f.Factor)
		}
		return cell
	case DashedDates:
		if len(cell) == len(`"20260401"`) {
			return cell[:5] + "-" + cell[5:7] + "-" + cell[7:]
		}
		return cell
	}
	return scaled(cell, f.Factor)
}

// flip inverts one day of a calendar.
func (f *Fault) flip(q *query, rows []row) {
	date, open := slices.Index(q.names, "cal_date"), slices.Index(q.names, "is_open")
	if date < 0 || open < 0 {
		return
	}
	for _, r := range rows {
		if r.cells[date] == wire.Quote(f.TradeDate) {
			r.cells[open] = map[string]string{"0": "1", "1": "0"}[r.cells[open]]
		}
	}
}

// suspendedRows returns rows of suspend_d for all listed stocks that a fault affects.
func (s *Sim) suspendedRows(q *query, f *Fault) ([]row, error) {
	list, err := s.Rows(StockBasic, nil, "ts_code")
	if err != nil {
		return nil, err
	}
	var out []row
	chosen := f.choose()
	for _, x := range list.Rows {
		code, _ := x[0].(string)
		if !chosen(code, q.from) {
			continue
		}
		r := row{code: code, day: q.from}
		for _, name := range q.names {
			cell := "null"
			switch name {
			case "ts_code":
				cell = wire.Quote(code)
			case "trade_date":
				cell = wire.Quote(calendar.Text(q.from))
			case "suspend_type":
				cell = `"S"`
			}
			r.cells = append(r.cells, cell)
		}
		out = append(out, r)
	}
	return out, nil
}

// places returns the positions of a fault's columns in a reply.
func (f *Fault) places(q *query) []int {
	var out []int
	cols := f.columns()
	for i, c := range q.cols {
		col := q.api.Columns[c]
		if slices.Contains(cols, col.Name) || col.Kind != spec.Text && slices.Contains(cols, EveryColumn) {
			out = append(out, i)
		}
	}
	return out
}

// relabel changes the date of a row.
func (r *row) relabel(q *query, day int32) {
	r.day = day
	if i := slices.Index(q.names, "trade_date"); i >= 0 {
		r.cells[i] = `"` + calendar.Text(day) + `"`
	}
}

func (s *Sim) staleRows(q *query, v view, f *Fault) ([]row, error) {
	days, err := s.src.Days(q.api, q.from, min(q.to, v.today))
	if err != nil {
		return nil, err
	}
	var out []row
	chosen, at := f.choose(), f.places(q)
	whole := len(f.columns()) == 0
	for _, day := range slices.Backward(days) {
		if !v.shows(day) {
			continue
		}
		one := *q
		one.from, one.to = day, day
		now, err := s.rows(&one, v)
		if err != nil {
			return nil, err
		}
		source, err := s.sourceDay(q.api, f, day)
		if err != nil {
			return nil, err
		}
		if !f.on(day) || source == 0 {
			out = append(out, now...)
			continue
		}
		old, err := s.rowsOf(q, v, source)
		if err != nil {
			return nil, err
		}
		for i := range old {
			old[i].relabel(q, day)
		}
		if whole && !f.narrowed() {
			out = append(out, old...)
			continue
		}
		byCode := make(map[string]row, len(old))
		for _, r := range old {
			byCode[r.code] = r
		}
		for _, r := range now {
			if was, ok := byCode[r.code]; ok && chosen(r.code, day) {
				if whole {
					r = was
				}
				for _, i := range at {
					r.cells[i] = was.cells[i]
				}
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// sourceDay returns the day whose rows replace those of day; 0 if there is none.
func (s *Sim) sourceDay(api *spec.API, f *Fault, day int32) (int32, error) {
	if d, ok := calendar.Parse(f.SourceDate); ok {
		return d, nil
	}
	days, err := s.src.Days(api, 0, calendar.AddDays(day, -1))
	if err != nil || len(days) == 0 {
		return 0, err
	}
	return days[len(days)-1], nil
}

func (s *Sim) closedRows(q *query, v view, f *Fault) ([]row, error) {
	out, err := s.rows(q, v)
	if err != nil {
		return nil, err
	}
	chosen := f.choose()
	for _, d := range calendar.Standard().All() {
		if d.Open || d.Date < q.from || d.Date > min(q.to, v.today) || !f.on(d.Date) || !v.shows(d.Date) {
			continue
		}
		source := d.Prev
		if day, ok := calendar.Parse(f.SourceDate); ok {
			source = day
		}
		old, err := s.rowsOf(q, v, source)
		if err != nil {
			return nil, err
		}
		for _, r := range old {
			if !chosen(r.code, d.Date) {
				continue
			}
			if f.Mode != ModeAsIs {
				r.relabel(q, d.Date)
			}
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b row) int { return int(b.day - a.day) })
	return out, nil
}

func (s *Sim) mangledRows(q *query, v view, f *Fault) ([]row, error) {
	asked := *q
	if q.codes != nil {
		asked.codes = slices.Clone(q.codes)
		for _, c := range q.codes {
			if i := slices.Index(f.To, c); i >= 0 {
				asked.codes = append(asked.codes, f.Codes[i])
			} else if was, ok := strings.CutPrefix(c, "1"); ok && len(f.To) == 0 {
				asked.codes = append(asked.codes, was)
			}
		}
		slices.Sort(asked.codes)
		asked.codes = slices.Compact(asked.codes)
	}
	out, err := s.rows(&asked, v)
	if err != nil {
		return nil, err
	}
	chosen, at := f.choose(), slices.Index(q.names, "ts_code")
	for i := range out {
		r := &out[i]
		if !chosen(r.code, r.day) {
			continue
		}
		if len(f.To) > 0 {
			r.code = f.To[slices.Index(f.Codes, r.code)]
		} else {
			r.code = "1" + r.code
		}
		if at >= 0 {
			r.cells[at] = wire.Quote(r.code)
		}
	}
	if q.codes != nil {
		out = slices.DeleteFunc(out, func(r row) bool { return !slices.Contains(q.codes, r.code) })
	}
	return out, nil
}

// scaled multiplies a number and formats it as the provider does, with up to eight decimals.
// Other values are unchanged.
func scaled(cell string, factor float64) string {
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		return cell
	}
	out := strings.TrimRight(strconv.FormatFloat(v*factor, 'f', 8, 64), "0")
	if strings.HasSuffix(out, ".") {
		if !strings.Contains(cell, ".") {
			return out[:len(out)-1]
		}
		out += "0"
	}
	return out
}
