package tusharesim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/synthetic"
)

// Suspension suspends stocks on some days, as happened to hundreds in July 2015. They are absent
// from daily, daily_basic and moneyflow, are listed in suspend_d, and resume with the last close
// as pre_close. Rows returns the same.
type Suspension struct {
	// TradeDate (YYYYMMDD) is the first day, and EndDate the last; empty means TradeDate.
	TradeDate string `json:"trade_date"`
	EndDate   string `json:"end_date,omitempty"`
	// Share of the listed stocks, 0 to 1, the same stocks on all days; 0 means all.
	Share float64 `json:"share,omitempty"`
	// Exchange (SH, SZ, BJ) limits it to the codes of an exchange.
	Exchange string `json:"exchange,omitempty"`
	// Codes limits it to these ts_codes.
	Codes []string `json:"codes,omitempty"`
}

// Suspend suspends stocks and returns their ts_codes. It fails with recorded data, because the
// pre_close of recorded rows is fixed.
func (s *Sim) Suspend(x Suspension) ([]string, error) {
	u, ok := s.src.(*synthetic.Universe)
	if !ok {
		return nil, errors.New("suspension: recorded data cannot be suspended, because its pre_close would not follow")
	}
	from, ok1 := calendar.Parse(x.TradeDate)
	to, ok2 := calendar.Parse(cmp.Or(x.EndDate, x.TradeDate))
	switch {
	case !ok1 || !ok2 || to < from:
		return nil, fmt.Errorf("suspension: %q to %q is no span of YYYYMMDD", x.TradeDate, cmp.Or(x.EndDate, x.TradeDate))
	case !(x.Share >= 0 && x.Share <= 1):
		return nil, fmt.Errorf("suspension: share %v is not between 0 and 1", x.Share)
	case len(x.Codes) == 0 && x.Share == 0 && x.Exchange == "":
		return nil, errors.New("suspension: one of share, exchange and codes is required")
	}
	x.Codes = slices.Clone(x.Codes)
	// The lock keeps the list and the market consistent.
	s.mu.Lock()
	defer s.mu.Unlock()
	codes := u.Suspend(from, to, func(code string) bool {
		code = s.rekeyed.code(code)
		return (len(x.Codes) == 0 || slices.Contains(x.Codes, code)) &&
			(x.Exchange == "" || strings.HasSuffix(code, "."+x.Exchange)) &&
			(x.Share == 0 || draw(code, from) < x.Share)
	})
	if len(codes) == 0 {
		return nil, errors.New("suspension: no listed stock is meant on an open day")
	}
	for i, c := range codes {
		codes[i] = s.rekeyed.code(c)
	}
	s.halts = append(s.halts, x)
	return codes, nil
}

// ClearSuspensions undoes every Suspend.
func (s *Sim) ClearSuspensions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halts = nil
	if u, ok := s.src.(*synthetic.Universe); ok {
		u.Resume()
	}
}
