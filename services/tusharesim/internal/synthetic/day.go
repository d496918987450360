package synthetic

import (
	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// Amplitudes of the parts of the price wave of an ordinary stock, in parts per million: a slow
// part of 128 days, a faster one of 16 days, and the day's noise. Their sum stays well within
// the exchanges' daily price limits.
const (
	slowSize = 250_000
	fastSize = 80_000
	daySize  = 18_000
)

// wave is the part of the price that is equal for many days.
type wave struct{ a1, b1, a2, b2 int64 }

func nodes(s *symbol, t int32) wave {
	return wave{
		int64(int16(hash(s.key, int64(t>>7), saltSlow))), int64(int16(hash(s.key, int64(t>>7)+1, saltSlow))),
		int64(int16(hash(s.key, int64(t>>4), saltFast))), int64(int16(hash(s.key, int64(t>>4)+1, saltFast))),
	}
}

// price returns the close of day t in the symbol's unit.
func price(s *symbol, w wave, t int32, h uint64) int64 {
	f1, f2 := int64(t&127), int64(t&15)
	ppm := (w.a1*(128-f1)+w.b1*f1)*slowSize>>22 + (w.a2*(16-f2)+w.b2*f2)*fastSize>>19 + int64(int16(h))*daySize>>15
	ppm = 1_000_000 + ppm*s.amp>>8
	return max(1, (s.base*ppm+500_000)/1_000_000)
}

// row is one symbol on one day, in integers.
type row struct {
	s                           *symbol
	t                           int32
	h                           uint64
	pre, open, high, low, close int64
	shares                      int64
	amount                      int64 // yuan
	// halts, at the index at, has the days on which the symbol did not trade.
	halts *halts
	at    int32
}

// fill computes the row of s on day t, which it must trade on.
func (r *row) fill(s *symbol, t int32, dec int64) {
	r.s, r.t = s, t
	r.h = hash(s.key, int64(t), saltDay)
	w := nodes(s, t)
	r.close = price(s, w, t, r.h)
	p := t - 1
	for p >= s.list && (!s.trades(p) || r.halts.off(p, r.at)) {
		p--
	}
	switch {
	case p < s.list:
		// On the first day the reference is the issue price, and most prices rise.
		r.pre = max(1, r.close*1000/(900+unit(r.h, 54)))
		if dec == 1000 {
			r.pre = max(1, r.close*1000/(995+unit(r.h, 54)/100))
		}
	default:
		if p>>4 != t>>4 {
			w = nodes(s, p)
		}
		r.pre = price(s, w, p, hash(s.key, int64(p), saltDay))
		if t%243 == s.exDay {
			// On an ex-date the reference is below the last close.
			r.pre = max(1, r.pre*(995-unit(r.h, 54)/40)/1000)
		}
	}
	r.open = max(1, r.pre+r.pre*(unit(r.h, 16)-511)*12*s.amp/(512*1000*256))
	hi, lo := max(r.open, r.close), min(r.open, r.close)
	r.high = hi + hi*unit(r.h, 26)*unit(r.h, 26)*10*s.amp/(1023*1023*1000*256)
	r.low = max(1, lo-lo*unit(r.h, 36)*unit(r.h, 36)*10*s.amp/(1023*1023*1000*256))
	r.shares = max(100, s.turn*(350+unit(r.h, 44)*5/4)/1024)
	if s.kind == 0 && !s.ah {
		// Most volumes are whole lots plus some odd lots.
		r.shares += int64(r.h >> 58)
	}
	r.amount = half(r.shares*(r.open+r.high+r.low+r.close), 4*dec)
}

// flow is the moneyflow of a row: volumes in lots, amounts in 0.01 of 10,000 yuan.
type flow struct {
	vol, amount       [8]int64 // buy sm, md, lg, elg, sell sm, md, lg, elg
	netVol, netAmount int64
	trades            int64
}

func (f *flow) fill(r *row) {
	lots, money := (r.shares+50)/100, (r.amount+50)/100
	h := hash(r.s.key, int64(r.t), saltFlow)
	split(f.vol[:4], f.amount[:4], lots, money, h)
	split(f.vol[4:], f.amount[4:], lots, money, h>>30)
	f.netVol = lots * (int64(h&2047) - 1023) / 4096
	f.netAmount = 0
	if lots > 0 {
		f.netAmount = half(money*f.netVol, lots)
	}
	f.trades = lots/9 + 1 + int64(h&63)
}

// split divides lots and money among four sizes of orders, with exact sums. As at the provider,
// small orders exceed large ones on most days.
func split(vol, amount []int64, lots, money int64, h uint64) {
	vol[0] = lots * (330 + unit(h, 0)*120/1023) / 1000
	vol[1] = lots * (250 + unit(h, 10)*70/1023) / 1000
	vol[2] = lots * (110 + unit(h, 20)*80/1023) / 1000
	vol[3] = lots - vol[0] - vol[1] - vol[2]
	if lots <= 0 {
		amount[0], amount[1], amount[2], amount[3] = money, 0, 0, 0
		return
	}
	each := float64(money) / float64(lots)
	amount[0] = int64(each * float64(vol[0]))
	amount[1] = int64(each * float64(vol[1]))
	amount[2] = int64(each * float64(vol[2]))
	amount[3] = money - amount[0] - amount[1] - amount[2]
}

// year has the random bits of valuations that stay for a year.
func year(s *symbol, t int32) uint64 { return hash(s.key, int64(t/243), saltYear) }

// dateText returns the quoted date of an open day.
func (u *Universe) dateText(t int32) string { return wire.Quote(calendar.Text(u.cal.Open()[t])) }
