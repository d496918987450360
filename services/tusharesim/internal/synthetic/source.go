package synthetic

import (
	"slices"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

var _ table.Source = (*Universe)(nil)

// first days of the datasets that do not reach back to 1990.
var firstDay = map[spec.ID]int32{spec.Moneyflow: 20100104, spec.FundDaily: 19980407}

// Days implements table.Source.
func (u *Universe) Days(api *spec.API, from, to int32) ([]int32, error) {
	return u.cal.Between(max(from, firstDay[api.ID]), to), nil
}

// Code implements table.Source.
func (u *Universe) Code(api *spec.API, r table.Ref) string { return u.symbolOf(api, r).code }

// Select implements table.Source: daily, moneyflow and fund_daily by ts_code,
// daily_basic in an order of the date's own.
func (u *Universe) Select(dst []table.Ref, api *spec.API, day int32, codes []string) ([]table.Ref, error) {
	d, ok := u.cal.Lookup(day)
	if !ok || !d.Open || day < firstDay[api.ID] {
		return dst, nil
	}
	g, t := u.group(api), d.Index
	var off []bool
	switch api.ID {
	case spec.SuspendD:
		return u.selectHalts(dst, day, t, codes), nil
	case spec.FundDaily:
	default:
		off = u.halted.Load().on(t)
	}
	noBJ := api.ID == spec.Moneyflow
	if codes != nil {
		for _, c := range codes {
			if i, ok := g.index[c]; ok && g.syms[i].trades(t) && !(noBJ && g.syms[i].bj) && (off == nil || !off[i]) {
				dst = append(dst, table.Ref{Day: day, Row: i})
			}
		}
		return dst, nil
	}
	n := len(g.syms)
	if n == 0 {
		return dst, nil
	}
	dst = slices.Grow(dst, n)
	at, step := 0, 1
	if api.ID == spec.DailyBasic {
		h := hash(u.seed, int64(t), saltOrder)
		at, step = int(h%uint64(n)), 1+int(h>>32%uint64(n))
		for gcd(step, n) != 1 {
			step++
		}
	}
	for range n {
		s := &g.syms[at]
		if s.trades(t) && !(noBJ && s.bj) && (off == nil || !off[at]) {
			dst = append(dst, table.Ref{Day: day, Row: int32(at)})
		}
		at += step
		if at >= n {
			at %= n
		}
	}
	return dst, nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Snapshot implements table.Source.
func (u *Universe) Snapshot(api *spec.API, market string, today int32) (*table.Table, error) {
	switch api.ID {
	case spec.TradeCal:
		switch market {
		case "SSE", "SZSE", "BSE":
			return calendarTable(u.cal, market, today), nil
		}
		return &table.Table{}, nil
	case spec.FundBasic:
		if market != "E" {
			return &table.Table{}, nil
		}
		return u.fundTable(api, today), nil
	}
	return u.stockTable(api, today), nil
}

func (u *Universe) stockTable(api *spec.API, today int32) *table.Table {
	status, _ := api.Index("list_status")
	gone, _ := api.Index("delist_date")
	name, _ := api.Index("name")
	market, _ := api.Index("market")
	out := &table.Table{}
	for i := range u.stocks.syms {
		s := &u.stocks.syms[i]
		if s.listed > today {
			continue
		}
		m := table.Meta{Code: s.code, Status: "L", Exchange: exchangeOf(s.code), Name: unquote(s.cells[name]), Market: unquote(s.cells[market]), Date: s.listed}
		cells := slices.Clone(s.cells)
		if s.gone != 0 && s.gone <= today {
			m.Status = "D"
			cells[gone] = wire.Quote(calendar.Text(s.gone))
		}
		cells[status] = wire.Quote(m.Status)
		out.Rows = append(out.Rows, cells)
		out.Meta = append(out.Meta, m)
	}
	return out
}

func (u *Universe) fundTable(api *spec.API, today int32) *table.Table {
	status, _ := api.Index("status")
	list, _ := api.Index("list_date")
	gone, _ := api.Index("delist_date")
	due, _ := api.Index("due_date")
	out := &table.Table{}
	for i := range u.funds.syms {
		s := &u.funds.syms[i]
		if s.issued > today {
			continue
		}
		cells := slices.Clone(s.cells)
		m := table.Meta{Code: s.code, Status: "L", Market: "E", Name: unquote(cells[1]), Date: s.listed}
		switch {
		case s.listed > today:
			m.Status, m.Date = "I", 0
			cells[list] = "null"
		case s.gone != 0 && s.gone <= today:
			m.Status = "D"
			cells[gone] = wire.Quote(calendar.Text(s.gone))
			cells[due] = cells[gone]
		}
		cells[status] = wire.Quote(m.Status)
		out.Rows = append(out.Rows, cells)
		out.Meta = append(out.Meta, m)
	}
	return out
}

// calendarTable returns the calendar as trade_cal has it on a day: newest first, up to the end
// of the year, and from December on to the end of the next year.
func calendarTable(c *calendar.Calendar, exchange string, today int32) *table.Table {
	end := calendar.Horizon(today)
	out := &table.Table{}
	exchange = wire.Quote(exchange)
	for _, d := range slices.Backward(c.All()) {
		if d.Date > end {
			continue
		}
		open, prev := "0", "null"
		if d.Open {
			open = "1"
		}
		if d.Prev != 0 {
			prev = wire.Quote(calendar.Text(d.Prev))
		}
		out.Rows = append(out.Rows, []string{exchange, wire.Quote(calendar.Text(d.Date)), open, prev})
		out.Meta = append(out.Meta, table.Meta{Date: d.Date, Status: open})
	}
	return out
}

func exchangeOf(code string) string {
	switch code[len(code)-2:] {
	case "SH":
		return "SSE"
	case "SZ":
		return "SZSE"
	}
	return "BSE"
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' {
		return ""
	}
	return s[1 : len(s)-1]
}
