package tusharesim

import (
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
)

// Units of a Limit.
const (
	// PerMinute counts calls per minute.
	PerMinute = "minute"
	// PerHour counts calls per hour.
	PerHour = "hour"
	// PerDay counts calls per day in Beijing.
	PerDay = "day"
)

// Texts of a refusal.
const (
	// TextOld is 抱歉，您每分钟最多访问该接口N次…, which also contains the word for
	// permission.
	TextOld = "old"
	// TextNew is 抱歉，您访问接口(x)频率超限(N次/分钟)….
	TextNew = "new"
)

// Limit is a rate limit per token and interface.
type Limit struct {
	// API is the interface; empty means each one separately.
	API string `json:"api,omitempty"`
	// N is the number of calls allowed.
	N int `json:"n"`
	// Per is PerMinute, PerHour or PerDay.
	Per string `json:"per"`
	// Text is TextOld or TextNew; empty means TextOld.
	Text string `json:"text,omitempty"`
	// Rolling counts over the last minute, hour or day instead of the calendar one.
	Rolling bool `json:"rolling,omitempty"`
	// CountRefused also counts refused calls.
	CountRefused bool `json:"count_refused,omitempty"`
}

var unitNames = map[string]string{PerMinute: "分钟", PerHour: "小时", PerDay: "天"}

const detailsURL = "https://tushare.pro/document/1?doc_id=108。"

// refusal is the provider's text for a limit.
func (l Limit) refusal(api string) string {
	if l.Text == TextNew {
		return fmt.Sprintf("抱歉，您访问接口(%s)频率超限(%d次/%s)，具体频次详情：%s", api, l.N, unitNames[l.Per], detailsURL)
	}
	return fmt.Sprintf("抱歉，您每%s最多访问该接口%d次，权限的具体详情访问：%s", unitNames[l.Per], l.N, detailsURL)
}

func (l Limit) check() error {
	if l.API != "" {
		if _, err := lookup(l.API); err != nil {
			return named("limit", err)
		}
	}
	if l.N < 0 {
		return fmt.Errorf("limit: %d calls is negative", l.N)
	}
	if unitNames[l.Per] == "" {
		return fmt.Errorf("limit: per %q is not minute, hour or day", l.Per)
	}
	if l.Text != "" && l.Text != TextOld && l.Text != TextNew {
		return fmt.Errorf("limit: text %q is not old or new", l.Text)
	}
	return nil
}

// SetLimits replaces all limits and resets their counters; without arguments there are none.
func (s *Sim) SetLimits(ls ...Limit) error {
	for _, l := range ls {
		if err := l.check(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limiter = limiter{limits: ls, used: map[limitKey]*window{}}
	return nil
}

type limitKey struct {
	at    int
	token digest
	api   spec.ID
}

// window counts the calls of one limit, token and interface.
type window struct {
	start int64       // calendar windows
	n     int         // calendar windows
	times []time.Time // rolling windows
}

type limiter struct {
	limits []Limit
	used   map[limitKey]*window
}

// take counts a call and returns the limit that refuses it, or nil. It checks all limits before
// it counts the call for any; a refused call is counted only by limits with CountRefused.
func (l *limiter) take(now time.Time, token digest, api *spec.API) *Limit {
	var refused *Limit
	var charge []limitKey
	for i := range l.limits {
		lim := &l.limits[i]
		if lim.API != "" && lim.API != api.Name {
			continue
		}
		k := limitKey{i, token, api.ID}
		if l.used[k] == nil {
			l.used[k] = &window{}
		}
		charge = append(charge, k)
		if l.used[k].count(now, lim) >= lim.N && refused == nil {
			refused = lim
		}
	}
	for _, k := range charge {
		if refused == nil || l.limits[k.at].CountRefused {
			w := l.used[k]
			w.n++
			w.times = append(w.times, now)
		}
	}
	return refused
}

// count brings the window up to now and returns the calls in it.
func (w *window) count(now time.Time, l *Limit) int {
	if l.Rolling {
		from := now.Add(-map[string]time.Duration{PerMinute: time.Minute, PerHour: time.Hour, PerDay: 24 * time.Hour}[l.Per])
		i := 0
		for i < len(w.times) && !w.times[i].After(from) {
			i++
		}
		w.times = append(w.times[:0], w.times[i:]...)
		return len(w.times)
	}
	w.times = w.times[:0]
	sec := now.Unix() + 8*3600
	start := sec / 60
	switch l.Per {
	case PerHour:
		start = sec / 3600
	case PerDay:
		start = sec / 86400
	}
	if start != w.start {
		w.start, w.n = start, 0
	}
	return w.n
}
