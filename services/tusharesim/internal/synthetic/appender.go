package synthetic

import (
	"slices"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// appender writes rows of one dated interface. It computes only what the columns need.
type appender struct {
	u    *Universe
	g    *group
	api  spec.ID
	cols []uint8
	room int
	// needRow and needFlow report which parts of the row the columns use.
	needRow, needFlow, needYear bool

	day  int32
	t    int32
	date string
	row  row
	flow flow
	year uint64
}

// Appender implements table.Source.
func (u *Universe) Appender(api *spec.API, cols []int) table.Appender {
	if api.ID == spec.SuspendD {
		return &haltAppender{u: u, cols: cols}
	}
	a := &appender{u: u, g: u.group(api), api: api.ID, room: 2 + len(cols)*(wire.Room+1)}
	if a.g == &u.stocks {
		a.row.halts = u.halted.Load()
	}
	for _, c := range cols {
		a.cols = append(a.cols, uint8(c))
		a.needRow = a.needRow || c > 1
		a.needFlow = a.needFlow || c > 1 && api.ID == spec.Moneyflow
		a.needYear = a.needYear || c > 1 && api.ID == spec.DailyBasic
	}
	return a
}

func (u *Universe) group(api *spec.API) *group {
	if api.ID == spec.FundDaily {
		return &u.funds
	}
	return &u.stocks
}

func (a *appender) load(r table.Ref) *symbol {
	if r.Day != a.day {
		d, _ := a.u.cal.Lookup(r.Day)
		a.day, a.t, a.date = r.Day, d.Index, a.u.dateText(d.Index)
	}
	s := &a.g.syms[r.Row]
	if a.needRow {
		a.row.at = r.Row
		a.row.fill(s, a.t, a.g.dec)
	}
	if a.needFlow {
		a.flow.fill(&a.row)
	}
	if a.needYear {
		a.year = year(s, a.t)
	}
	return s
}

// AppendRow implements table.Appender.
func (a *appender) AppendRow(dst []byte, r table.Ref) []byte {
	s := a.load(r)
	dst = slices.Grow(dst, a.room)
	n := len(dst)
	p := dst[n : n+a.room]
	p[0] = '['
	i := 1
	for _, c := range a.cols {
		switch c {
		case 0:
			i += copy(p[i:], s.quoted)
		case 1:
			i += copy(p[i:], a.date)
		default:
			i = a.put(p, i, s, c)
		}
		p[i] = ','
		i++
	}
	if i > 1 {
		i--
	}
	p[i] = ']'
	return dst[:n+i+1]
}

// Cells implements table.Appender.
func (a *appender) Cells(r table.Ref) []string {
	s := a.load(r)
	out := make([]string, len(a.cols))
	var buf [2 * wire.Room]byte
	for k, c := range a.cols {
		switch c {
		case 0:
			out[k] = s.quoted
		case 1:
			out[k] = a.date
		default:
			out[k] = string(buf[:a.put(buf[:], 0, s, c)])
		}
	}
	return out
}

func (a *appender) put(p []byte, i int, s *symbol, c uint8) int {
	switch a.api {
	case spec.DailyBasic:
		return a.putBasic(p, i, s, c)
	case spec.Moneyflow:
		return a.putFlow(p, i, c)
	case spec.FundDaily:
		return a.putFund(p, i, c)
	}
	r := &a.row
	switch c {
	case 2:
		return wire.Put2(p, i, r.open)
	case 3:
		return wire.Put2(p, i, r.high)
	case 4:
		return wire.Put2(p, i, r.low)
	case 5:
		return wire.Put2(p, i, r.close)
	case 6:
		return wire.Put2(p, i, r.pre)
	case 7:
		return wire.Put2(p, i, r.close-r.pre)
	case 8:
		return wire.Put4(p, i, half((r.close-r.pre)*1_000_000, r.pre))
	case 9:
		return wire.Put2(p, i, r.shares)
	case 10:
		return wire.Put3(p, i, r.amount)
	}
	// ah_vol and ah_amount: after-hours trades, known from July 2026.
	if a.day < 20260706 || !s.ah {
		return wire.PutNull(p, i)
	}
	lots := r.shares / 100 * int64(r.h>>60) / 4000
	if c == 11 {
		return wire.Put2(p, i, lots*100)
	}
	return wire.Put3(p, i, lots*r.close)
}

func (a *appender) putFund(p []byte, i int, c uint8) int {
	r := &a.row
	switch c {
	case 2:
		return wire.Put3(p, i, r.pre)
	case 3:
		return wire.Put3(p, i, r.open)
	case 4:
		return wire.Put3(p, i, r.high)
	case 5:
		return wire.Put3(p, i, r.low)
	case 6:
		return wire.Put3(p, i, r.close)
	case 7:
		return wire.Put3(p, i, r.close-r.pre)
	case 8:
		return wire.Put4(p, i, half((r.close-r.pre)*1_000_000, r.pre))
	case 9:
		return wire.Put2(p, i, r.shares)
	}
	return wire.Put3(p, i, r.amount)
}

// putBasic appends a column of daily_basic. Ratios follow the price, relative to values that
// change once a year, and are null as often as recorded ones.
func (a *appender) putBasic(p []byte, i int, s *symbol, c uint8) int {
	r, y := &a.row, a.year
	switch c {
	case 2:
		return wire.Put2(p, i, r.close)
	case 3:
		return wire.Put4(p, i, half(r.shares*1_000_000, s.float))
	case 4:
		return wire.Put4(p, i, half(r.shares*1_000_000, s.free))
	case 5: // volume_ratio
		if r.t < s.list+5 {
			return wire.PutNull(p, i)
		}
		return wire.Put2(p, i, 40+unit(r.h, 44)*120/1023)
	case 6: // pe
		if y&1023 < 207 {
			return wire.PutNull(p, i)
		}
		return wire.Put4(p, i, a.scaled(peOf(y)))
	case 7: // pe_ttm
		if y&1023 < 264 {
			return wire.PutNull(p, i)
		}
		return wire.Put4(p, i, a.scaled(peOf(y)*(900+unit(y, 50)/5)/1000))
	case 8: // pb
		if y>>10&1023 < 6 {
			return wire.PutNull(p, i)
		}
		return wire.Put4(p, i, a.scaled(5000+unit(y, 30)*unit(y, 30)/9))
	case 9, 10: // ps, ps_ttm
		if y>>10&4095 == 4095 {
			return wire.PutNull(p, i)
		}
		ps := 3000 + unit(y, 40)*unit(y, 40)/6
		if c == 10 {
			ps = ps * (920 + unit(y, 50)/6) / 1000
		}
		return wire.Put4(p, i, a.scaled(ps))
	case 11: // dv_ratio: null means unknown, 0 means that none was paid
		switch k := y >> 20 & 1023; {
		case k < 170:
			return wire.PutNull(p, i)
		case k < 393:
			return wire.Put4(p, i, 0)
		}
		return wire.Put4(p, i, half((500+unit(y, 30)*45)*s.base, r.close))
	case 12: // dv_ttm
		if y>>20&1023 < 389 {
			return wire.PutNull(p, i)
		}
		return wire.Put4(p, i, half((450+unit(y, 30)*46)*s.base, r.close))
	case 13:
		return wire.Put4(p, i, s.total)
	case 14:
		return wire.Put4(p, i, s.float)
	case 15:
		return wire.Put4(p, i, s.free)
	case 16:
		return wire.Put4(p, i, (s.total*r.close+50)/100)
	case 17:
		return wire.Put4(p, i, (s.float*r.close+50)/100)
	}
	return wire.PutInt(p, i, 0) // limit_status: not at a price limit
}

// peOf returns a price-earnings ratio at the base price, in 1/10000.
func peOf(y uint64) int64 { return 60_000 + unit(y, 40)*unit(y, 30)*2 }

// scaled multiplies a ratio by the price relative to the base price.
func (a *appender) scaled(v int64) int64 { return half(v*a.row.close, a.row.s.base) }

// flowAt maps columns 2.. of moneyflow to places in flow, volume first.
var flowAt = [8]uint8{0, 4, 1, 5, 2, 6, 3, 7}

func (a *appender) putFlow(p []byte, i int, c uint8) int {
	f := &a.flow
	switch c {
	case 18:
		return wire.PutInt(p, i, f.netVol)
	case 19:
		return wire.Put2(p, i, f.netAmount)
	case 20:
		return wire.PutInt(p, i, f.trades)
	}
	at := flowAt[(c-2)/2]
	if c&1 == 0 {
		return wire.PutInt(p, i, f.vol[at])
	}
	return wire.Put2(p, i, f.amount[at])
}
