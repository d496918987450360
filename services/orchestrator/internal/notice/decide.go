package notice

import (
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// EveningOf is the trading day of a slot's evening: the newest trading day up to the slot's
// own. ok is false if the slot was skipped because the exchange was closed.
func EveningOf(v slot.Slot, cal slot.Calendar) (d market.Date, ok bool) {
	if v.State == slot.Pending || v.State == slot.Skipped && len(v.Issues) > 0 && v.Issues[0].Reason == fault.NotTradingDay {
		return market.NoDate, false
	}
	return OpenUpTo(cal, slot.TradeDay(v.Date, v.DueAt)), true
}

// OpenUpTo is the newest trading day up to d.
func OpenUpTo(cal slot.Calendar, d market.Date) market.Date {
	const lookDays = 60 // the longest close is about twelve days
	for last := d - lookDays; d > last; d-- {
		if cal.IsOpen(d) {
			break
		}
	}
	return d
}

// Decide returns the notice that is due about an evening, if any. told are the notices of
// the day so far, oldest first.
func Decide(day market.Date, pools []Judged, told []Notice, now time.Time) (n Notice, ok bool) {
	n = Notice{Date: day, CreatedAt: now}
	last, said := Notice{}, 0
	for _, t := range told {
		switch t.Kind {
		case Evening, Better, Worse:
			last, said = t, said+1
		}
	}
	if len(pools) == 0 {
		return n, false
	}
	if said == 0 {
		for _, p := range pools {
			if !p.Settled {
				return n, false
			}
			n.Pools = append(n.Pools, p.PoolState)
			n.Changed = append(n.Changed, p.Pool)
		}
		n.Kind, n.Key, n.Whole = Evening, key(Evening, day), whole(n.Pools)
		return n, true
	}
	better, worse := false, false
	for i, p := range pools {
		before, known := stateOf(last, p.Pool)
		if !known { // added to the schedule meanwhile
			if !p.Settled {
				continue
			}
			before = PoolState{Pool: p.Pool, Verdict: Whole}
		}
		direction := 0
		if p.Settled {
			direction = Direction(before, p.PoolState)
		}
		if direction == 0 {
			if known {
				n.Pools = append(n.Pools, before)
			} else {
				n.Pools = append(n.Pools, p.PoolState)
			}
			continue
		}
		for k, other := range pools {
			if k != i && other.Busy && other.Verdict != Whole && now.Before(p.At.Add(JoinWindow)) {
				return n, false
			}
		}
		n.Pools = append(n.Pools, p.PoolState)
		n.Changed = append(n.Changed, p.Pool)
		better, worse = better || direction < 0, worse || direction > 0
	}
	switch {
	case worse:
		n.Kind = Worse
	case better:
		n.Kind = Better
	default:
		return n, false
	}
	n.Key, n.Whole = fmt.Sprintf("change/%s/%d", day, said), whole(n.Pools)
	return n, true
}

// DecideLate returns a notice if it is past the late_at of a trading day and the day is not
// complete. A state that a user chose and that was already sent is not sent again.
func DecideLate(day market.Date, at slot.Clock, pools []Judged, told []Notice, now time.Time) (n Notice, ok bool) {
	if now.Before(at.On(day, market.Shanghai)) || market.DateOf(now) != day {
		return Notice{}, false
	}
	n = Notice{Kind: Late, Key: key(Late, day), Date: day, CreatedAt: now, LateAt: at.String()}
	for _, t := range told {
		if t.Key == n.Key {
			return Notice{}, false
		}
	}
	for _, p := range pools {
		n.Pools = append(n.Pools, p.PoolState)
		if p.Verdict != Whole && !p.Chosen {
			n.Changed = append(n.Changed, p.Pool)
		}
	}
	return n, len(n.Changed) > 0
}

// DecideStarted returns a notice if an evening has begun, for heartbeats with start; also
// if it is already over.
func DecideStarted(day market.Date, pools []Judged, told []Notice, now time.Time) (n Notice, ok bool) {
	if len(told) > 0 {
		return Notice{}, false
	}
	for _, p := range pools {
		ok = ok || p.Busy || !p.At.IsZero()
		n.Pools = append(n.Pools, p.PoolState)
	}
	n.Kind, n.Key, n.Date, n.CreatedAt = Started, key(Started, day), day, now
	return n, ok
}

// NewTest is a test message that a user requested. It has no trade date, so that it does
// not count for an evening, and a unique key.
func NewTest(id string, now time.Time) Notice {
	return Notice{ID: id, Key: string(Test) + "/" + id, Kind: Test, Date: market.NoDate, CreatedAt: now}
}

func key(k Kind, d market.Date) string { return string(k) + "/" + d.String() }

func stateOf(n Notice, pool market.Pool) (PoolState, bool) {
	for _, p := range n.Pools {
		if p.Pool == pool {
			return p, true
		}
	}
	return PoolState{}, false
}
