package synthetic

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// never is a day index after all days.
const never = math.MaxInt32

// symbol has the properties of an instrument that do not change from day to day.
type symbol struct {
	code   string
	quoted string // `["000001.SZ"` needs it quoted
	key    uint64
	list   int32 // open-day index of the first day
	delist int32 // open-day index of the day from which it is gone, or never
	listed int32 // YYYYMMDD of the first day
	gone   int32 // YYYYMMDD of the delisting, 0 if none
	issued int32 // funds: YYYYMMDD of the issue
	exDay  int32 // day of its ex-rights cycle
	idle   uint64
	amp    int64 // swing, 256 = an ordinary stock
	base   int64 // price in 1/100 (stocks) or 1/1000 (funds) yuan
	total  int64 // shares
	float  int64 // shares
	free   int64 // shares
	turn   int64 // shares traded on an ordinary day
	bj     bool
	ah     bool // has after-hours trading
	kind   int  // funds: index into fundKinds
	cells  []string
}

// Options size a Universe.
type Options struct {
	// Seed of all random choices.
	Seed uint64
	// Stocks is the number of stock codes at the end of 2026, including delisted ones; at most
	// MaxStocks. More are listed in each later year.
	Stocks int
	// Funds is the same for exchange-traded funds; at most MaxFunds.
	Funds int
}

// Limits of a Universe, from the size of the code ranges.
const (
	MaxStocks = 6000
	MaxFunds  = 2400
)

// Universe is a whole market. Only suspensions change it; it is safe for
// concurrent use.
type Universe struct {
	seed   uint64
	cal    *calendar.Calendar
	stocks group
	funds  group

	halting sync.Mutex // held while halted is replaced
	halted  atomic.Pointer[halts]
}

// group is one kind of instrument, in ts_code text order.
type group struct {
	syms  []symbol
	index map[string]int32
	dec   int64 // 100 or 1000
}

// New returns a market.
func New(o Options) (*Universe, error) {
	if o.Stocks < 0 || o.Stocks > MaxStocks {
		return nil, fmt.Errorf("stocks: %d is not between 0 and %d", o.Stocks, MaxStocks)
	}
	if o.Funds < 0 || o.Funds > MaxFunds {
		return nil, fmt.Errorf("funds: %d is not between 0 and %d", o.Funds, MaxFunds)
	}
	u := &Universe{seed: hash(o.Seed, 7, saltYear), cal: calendar.Standard()}
	u.stocks = newGroup(u.makeStocks(o.Stocks), 100)
	u.funds = newGroup(u.makeFunds(o.Funds), 1000)
	return u, nil
}

func newGroup(syms []symbol, dec int64) group {
	slices.SortFunc(syms, func(a, b symbol) int { return strings.Compare(a.code, b.code) })
	g := group{syms: syms, index: make(map[string]int32, len(syms)), dec: dec}
	for i := range syms {
		syms[i].quoted = wire.Quote(syms[i].code)
		g.index[syms[i].code] = int32(i)
	}
	return g
}

// openIndex returns the index of the first open day at or after date.
func (u *Universe) openIndex(date int32) int32 {
	d, ok := u.cal.Lookup(date)
	switch {
	case !ok:
		return 0
	case d.Open:
		return d.Index
	}
	return d.Index + 1
}

// place sets the first day to the first open one at or after date.
func (u *Universe) place(s *symbol, date int32) {
	s.list = min(u.openIndex(date), int32(len(u.cal.Open())-1))
	s.listed = u.cal.Open()[s.list]
	s.delist = never
}

// remove delists s on a random open day of from..to, at least a year after its listing.
func (u *Universe) remove(s *symbol, from, to int32) {
	lo, hi := max(u.openIndex(from), s.list+243), u.openIndex(to)
	if lo >= hi {
		return
	}
	s.delist = lo + int32(hash(s.key, 1, saltHalt)%uint64(hi-lo))
	s.gone = u.cal.Open()[s.delist]
}

// spread returns a random date of from..to.
func (u *Universe) spread(key uint64, from, to int32) int32 {
	lo, hi := u.openIndex(from), u.openIndex(to)
	return u.cal.Open()[lo+int32(hash(key, 2, saltHalt)%uint64(hi-lo))]
}

// alive reports whether s is listed on day t.
func (s *symbol) alive(t int32) bool { return t >= s.list && t < s.delist }

// trades reports whether s has a row on open day t.
func (s *symbol) trades(t int32) bool {
	if t < s.list || t >= s.delist {
		return false
	}
	// One block of seven days in 170 has a suspension of one to seven days: about 0.3 % of all
	// days. The first day always has a row.
	h := hash(s.key, int64(t>>3), saltHalt)
	if h&0xffff < 386 && t != s.list {
		from := int32(h >> 16 & 3)
		if at := t & 7; at >= from && at <= from+int32(h>>20&3)+1 {
			return false
		}
	}
	return s.idle == 0 || t == s.list || hash(s.key, int64(t), saltIdle)&0xffff >= s.idle
}
